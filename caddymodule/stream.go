package caddymodule

import (
	"context"
	"sync"
	"time"

	"github.com/portalgate/portalgate/internal/admission"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/session"
)

// hold makes a stream end with its session: at a revocation, and when the session's own time has come, which no
// revocation announces. A stream on a path with `require mfa` ends with its second step, too: whoever finds the tab open
// would otherwise read on where every new request is refused.
func (w *world) hold(a *admission.Admitted, f *session.Facts, cancel context.CancelFunc) (release func()) {
	out := w.streams.Hold(f.Identity, cancel)
	q := asked{a.Tenant, a.MFA, a.Within}
	until, err := q.lasts(w.keeper, f, w.now())
	if err != nil || w.keeper.Changed(f) {
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
		until, err := q.again(w.keeper, f, w.now())
		if err != nil {
			cancel()
			return
		}
		arm(until)
	}
	arm(until)
	return func() {
		out()
		mu.Lock()
		defer mu.Unlock()
		over = true
		timer.Stop()
	}
}

// asked is what the path of a stream asks of its session, for as long as the stream is open.
type asked struct {
	tenant *portal.Tenant
	mfa    bool
	within time.Duration // zero: at any time in the session
}

// lasts says until when a stream may go on without a look, by facts that have just been read. It fails where the same
// request would be refused now.
func (q asked) lasts(k *session.Keeper, f *session.Facts, now time.Time) (time.Time, error) {
	until := k.Lasts(f, now)
	if !q.mfa {
		return until, nil
	}
	shown := f.Identity.MFAAt
	if stale(shown, now, q.within) {
		return time.Time{}, errSecondStep
	}
	if end := shown.Add(q.within); q.within > 0 && end.Before(until) {
		until = end
	}
	return until, nil
}

// again is the look at a stream whose time has come. A second step that is shown anew makes another session (LOG-04), so
// that one which has grown stale stays so, and nobody needs to be asked.
func (q asked) again(k *session.Keeper, f *session.Facts, now time.Time) (time.Time, error) {
	if _, err := q.lasts(k, f, now); err != nil {
		return time.Time{}, err
	}
	f, err := k.Watch(context.Background(), q.tenant, f.Session.ID, now)
	if err != nil {
		return time.Time{}, err
	}
	return q.lasts(k, f, now)
}
