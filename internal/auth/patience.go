package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// Patience is for how long a request waits for PostgreSQL in all: each question has as much at most, and a sign-in asks
// several (RL-08: nothing hangs longer than two seconds).
const Patience = 2 * time.Second

var errPatience = errors.New("the database was waited for long enough")

// patience is the context of a request. It ends when neighbours were waited for long enough; while a password is checked,
// which has a bound of its own, that time stands still.
type patience struct {
	context.Context
	asked context.Context // the request's own

	mu    sync.Mutex
	timer *time.Timer
	left  time.Duration
	since time.Time // when it last began to run; zero: it stands still
}

// Patient makes the context of a request that may ask the database several times. It must reach the flows as it is: one
// derived from it ends with it, but does not stand still.
func Patient(ctx context.Context) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithCancelCause(ctx)
	p := &patience{Context: inner, asked: ctx, left: Patience, since: time.Now()}
	p.timer = time.AfterFunc(Patience, func() { cancel(errPatience) })
	return p, func() {
		p.timer.Stop()
		cancel(nil)
	}
}

// Deadline is when it ends if it goes on from now.
func (p *patience) Deadline() (time.Time, bool) {
	at := time.Now().Add(p.remains())
	if asked, ok := p.asked.Deadline(); ok && asked.Before(at) {
		at = asked
	}
	return at, true
}

func (p *patience) remains() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		return p.left
	}
	return p.left - time.Since(p.since)
}

// still stops a request's patience from running out until the returned function is called.
func still(ctx context.Context) (again func()) {
	p, ok := ctx.(*patience)
	if !ok {
		return func() {}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() || !p.timer.Stop() {
		return func() {}
	}
	p.left -= time.Since(p.since)
	p.since = time.Time{}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.since = time.Now()
		p.timer.Reset(max(p.left, 0))
	}
}

// Unhurried is the request's own context: for what must not become shorter because something else took long, as the
// moment at which an answer may leave.
func Unhurried(ctx context.Context) context.Context {
	if p, ok := ctx.(*patience); ok {
		return p.asked
	}
	return ctx
}

// within runs fn in a transaction of a tenant, and wakes the courier for what it has posted.
func (s *Service) within(ctx context.Context, t *portal.Tenant, now time.Time, fn func(*store.Tx) error) error {
	posted := false
	err := s.Store.Within(ctx, t.ID, now, func(x *store.Tx) error {
		err := fn(x)
		posted = x.Posted()
		return err
	})
	if err == nil && posted {
		s.wake()
	}
	var p *portal.Problem
	if err != nil && errors.Is(context.Cause(ctx), errPatience) && !errors.As(err, &p) {
		err = fmt.Errorf("%w: %w: %w", store.ErrUnavailable, errPatience, err)
	}
	return troubled(err)
}

// enough is what must be left of a request's patience for a deed that its answer does not depend on: a transaction is
// three trips, and one that is begun on the way and broken off is not done again.
const enough = 1500 * time.Millisecond

// afterwards does a deed that the answer does not depend on: now while there is time, else behind the answer.
func (s *Service) afterwards(ctx context.Context, t portal.TenantID, now time.Time, deed func(context.Context, *store.Tx) error) error {
	within := func(ctx context.Context) error {
		return s.Store.Within(ctx, t, now, func(x *store.Tx) error { return deed(ctx, x) })
	}
	p, hurried := ctx.(*patience)
	if !hurried {
		return troubled(within(context.WithoutCancel(ctx)))
	}
	left := p.remains()
	if p.Err() == nil && left >= enough {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), left)
		defer cancel()
		return troubled(within(bounded))
	}
	select {
	case s.behind <- within:
		return nil
	default:
		return errors.New("too much waits to be done behind answers")
	}
}
