package caddymodule

import (
	"context"
	"sync"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/session"
)

// hold makes a stream end with its session: at a revocation, and when the session's own time has come, which no
// revocation announces.
func (w *world) hold(t *portal.Tenant, f *session.Facts, cancel context.CancelFunc) (release func()) {
	out := w.streams.Hold(f.Identity, cancel)
	if w.keeper.Changed(f) {
		// It changed after it was looked at and before it stood in the register, where nothing was found to end.
		cancel()
		return out
	}
	var (
		mu    sync.Mutex
		over  bool
		timer *time.Timer
		look  func()
	)
	arm := func(until time.Time) {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			timer = time.AfterFunc(until.Sub(w.now()), look)
		}
	}
	look = func() {
		until, err := w.keeper.Watch(context.Background(), t, f.Session.ID, w.now())
		if err != nil {
			cancel()
			return
		}
		arm(until)
	}
	arm(w.keeper.Lasts(f, w.now()))
	return func() {
		out()
		mu.Lock()
		defer mu.Unlock()
		over = true
		timer.Stop()
	}
}
