package caddymodule

import (
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
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
