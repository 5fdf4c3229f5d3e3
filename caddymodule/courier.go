package caddymodule

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/portalgate/portalgate/internal/portal"
)

const (
	courierRests = 5 * time.Second // between two looks at the outbox, when nobody has woken the courier
	courierTakes = 50              // letters at a time
)

// courier sends letters until the context ends. Whoever queues one here wakes it; what commands and other gateways have
// queued, and what waits for another try, it finds by looking.
func (w *world) courier(ctx context.Context) {
	tick := time.NewTicker(courierRests)
	defer tick.Stop()
	down := false
	for {
		n := 0
		if w.fit.Load() && (w.posts.newest() != nil || w.texts.possible()) { // without a provider letters wait, and are not tried
			var err error
			n, err = w.auth.Deliver(ctx, courierTakes, func(err error) {
				w.log.Load().Warn("delivering a letter; it is tried again", zap.Error(err))
			})
			if err != nil && ctx.Err() == nil && !down {
				w.log.Load().Warn("looking for letters that are due; mail waits until the database answers", zap.Error(err))
			}
			down = err != nil
		}
		if n == courierTakes {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-w.letters:
		}
	}
}

// wake tells the courier that a letter waits.
func (w *world) wake() {
	select {
	case w.letters <- struct{}{}:
	default: // it is told already
	}
}

// origin is what links in a tenant's mails begin with. It is made of the tenant's own host and of nothing that a request
// says (REC-06); only names of this machine are reached without TLS, and at the port on which this gateway listens.
func (w *world) origin(t *portal.Tenant) string {
	host := t.Canonical()
	port := w.plainPort.Load()
	if port == 0 || host != "localhost" && !strings.HasSuffix(host, ".localhost") {
		return "https://" + host
	}
	if port == 80 {
		return "http://" + host
	}
	return fmt.Sprintf("http://%s:%d", host, port)
}

// listens notes the port of a gate that speaks plain HTTP, the lowest of several. Of a socket that was handed over Caddy
// knows no port; there `http_port` says it.
func (w *world) listens(server *caddyhttp.Server) {
	for _, at := range server.Listen {
		if addr, err := caddy.ParseNetworkAddress(at); err == nil {
			w.plainAt(int64(addr.StartPort))
		}
	}
}

func (w *world) plainAt(port int64) {
	if now := w.plainPort.Load(); port > 0 && (now == 0 || port < now) {
		w.plainPort.Store(port)
	}
}
