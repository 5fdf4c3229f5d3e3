package caddymodule

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// observatory is the read-only listener of `observe`: whether the program runs, whether it can serve, what it counts,
// which release it is, and nothing else. It stays open while the program drains, so that a probe is told so.
type observatory struct {
	listener net.Listener
	server   *http.Server
}

// observeAddress reads `:9180` or `host:port`.
func observeAddress(s string) (caddy.NetworkAddress, error) {
	a, err := caddy.ParseNetworkAddressWithDefaults(s, "tcp", 0)
	switch {
	case err != nil:
		return a, bad("observe", "%q is not an address like :9180 or 127.0.0.1:9180", s)
	case a.IsUnixNetwork() || a.StartPort == 0 || a.PortRangeSize() != 1:
		return a, bad("observe", "%q is not one TCP port, like :9180 or 127.0.0.1:9180", s)
	}
	return a, nil
}

// unshared refuses a port that a site serves too: Caddy would share it, and probes would be answered now by one and now
// by the other.
func (a *App) unshared(servers map[string]*caddyhttp.Server) error {
	if a.Observe == "" {
		return nil
	}
	mine, err := observeAddress(a.Observe)
	if err != nil {
		return err
	}
	for _, server := range servers {
		for _, listen := range server.Listen {
			theirs, err := caddy.ParseNetworkAddress(listen)
			if err != nil || theirs.IsUnixNetwork() || theirs.IsFdNetwork() || mine.StartPort < theirs.StartPort || mine.StartPort > theirs.EndPort {
				continue
			}
			if everywhere(mine.Host) || everywhere(theirs.Host) || mine.Host == theirs.Host || loopback(mine.Host) && loopback(theirs.Host) {
				return complaints{places(a.Places).at(bad("observe", "%s is served by the site %s too; give it a port of its own", a.Observe, listen))}
			}
		}
	}
	return nil
}

// everywhere says whether a host of a listener is each address of this machine.
func everywhere(host string) bool {
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "" || err == nil && addr.IsUnspecified()
}

// observe opens the listener of an app. Caddy shares it between the old and the new configuration of a reload.
func (a *App) observe() error {
	if a.Observe == "" {
		return nil
	}
	address, err := observeAddress(a.Observe)
	if err != nil {
		return err
	}
	opened, err := address.Listen(a.ctx, 0, net.ListenConfig{})
	if err != nil {
		return bad("observe", "%s cannot be opened: %v", a.Observe, err)
	}
	listener, ok := opened.(net.Listener)
	if !ok {
		return bad("observe", "%q is not a TCP address", a.Observe)
	}
	mine := func() []*world { return []*world{a.world} }
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", health)
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, r *http.Request) { ready(w, r, mine) })
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		simple, full := caddy.Version()
		tell(w, http.StatusOK, map[string]any{"version": simple, "build": full})
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.ctx.GetMetricsRegistry(), promhttp.HandlerOpts{}))
	o := &observatory{listener: listener, server: &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 8 << 10,
	}}
	a.observatory = o
	go func() {
		if err := o.server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			a.log.Error("the observe listener has ended", zap.Error(err))
		}
	}()
	return nil
}

func (o *observatory) close() {
	if o != nil {
		_ = o.server.Close() // whoever is asking now asks again
	}
}
