package caddymodule

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portalgate/portalgate/internal/admission"
	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/revocation"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/testenv"
	"github.com/portalgate/portalgate/internal/upstream"
)

// watched is a session that was just looked at, and the world that keeps streams for it.
func watched(t *testing.T, p testenv.Plan) (*testenv.House, *world, portal.Tenant, *session.Facts) {
	t.Helper()
	h := testenv.NewHouse(t, p)
	tenant := h.DB.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	out, err := h.Auth.SignIn(t.Context(), &tenant, h.Client("192.0.2.7"), session.Cookies{}, auth.Credentials{Email: "ann@buyer.example", Password: testenv.Password})
	if err != nil || out.Grant == nil {
		t.Fatalf("signing in: %+v, %v", out, err)
	}
	res, err := h.Sessions.Resume(t.Context(), &tenant, session.Cookies{Access: out.Grant.Access}, h.Client("192.0.2.7"), false)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{keeper: h.Sessions, streams: upstream.NewStreams()}
	now := h.Clock.Now
	w.clock.Store(&now)
	return h, w, tenant, res.Facts
}

// The race of REV-02, held still: a session that ended after it was looked at and before the stream stood in the
// register ends the stream nevertheless.
func TestAStreamOfASessionThatHasJustEndedIsNotHeld(t *testing.T) {
	t.Parallel()
	h, w, tenant, facts := watched(t, testenv.Plan{})
	h.Ended.Apply(revocation.KindSession, string(facts.Session.ID), h.Clock.Now())
	ctx, cancel := context.WithCancel(t.Context())
	defer w.hold(&admission.Admitted{Tenant: &tenant}, facts, cancel)()
	if ctx.Err() == nil {
		t.Error("it goes on")
	}
}

func TestAStreamOfALiveSessionIsHeldUntilItIsReleased(t *testing.T) {
	t.Parallel()
	h, w, tenant, facts := watched(t, testenv.Plan{})
	h.Ended.Apply(revocation.KindSession, portal.FormatID([16]byte{1}), h.Clock.Now()) // somebody else's
	ctx, cancel := context.WithCancel(t.Context())
	release := w.hold(&admission.Admitted{Tenant: &tenant}, facts, cancel)
	if ctx.Err() != nil || w.streams.Len() != 1 {
		t.Errorf("%v, %d held", ctx.Err(), w.streams.Len())
	}
	if release(); w.streams.Len() != 0 {
		t.Error("it is held for ever")
	}
}

// Contract 12: a stream lives until the session's own end, is looked at in between, and without PostgreSQL no longer
// than an access token would.
func TestAStreamIsLookedAtWhenItsTimeHasCome(t *testing.T) {
	t.Parallel()
	h, w, tenant, facts := watched(t, testenv.Plan{})
	if got, want := w.keeper.Lasts(facts, h.Clock.Now()), h.Clock.Now().Add(h.Policy.AccessLife); !got.Equal(want) {
		t.Errorf("looked at again at %s, want %s", got, want)
	}
	q := asked{tenant: &tenant}
	until, err := q.again(w.keeper, facts, h.Clock.Advance(h.Policy.AccessLife))
	if err != nil || !until.After(h.Clock.Now()) {
		t.Errorf("alive until %s, %v", until, err)
	}
	h.Clock.Advance(h.Policy.Idle)
	if _, err := q.again(w.keeper, facts, h.Clock.Now()); err == nil {
		t.Error("alive after a day without a request")
	}
	// the timer itself: its time has come long ago
	ctx, cancel := context.WithCancel(t.Context())
	defer w.hold(&admission.Admitted{Tenant: &tenant}, facts, cancel)()
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
	}
}

func TestAStreamEndsWhenNobodyCanSayThatItsSessionLives(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	proxy, address := testenv.ProxyPostgres(t, db.AppURL)
	h, w, tenant, facts := watched(t, testenv.Plan{DatabaseURL: address})
	proxy.Cut()
	h.Clock.Advance(h.Policy.AccessLife)
	if _, err := w.keeper.Watch(t.Context(), &tenant, facts.Session.ID, h.Clock.Now()); err == nil {
		t.Error("alive, says nobody")
	}
}

// shown has a session show its second step at a moment, and returns what is known of it then.
func shown(t *testing.T, h *testenv.House, w *world, tenant *portal.Tenant, id portal.SessionID, at *time.Time) *session.Facts {
	t.Helper()
	h.DB.Exec(t, `update portalgate.sessions set mfa_at = $2 where id = $1`, id, at)
	facts, err := w.keeper.Watch(t.Context(), tenant, id, h.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

func TestAStreamEndsWhenTheSecondStepOfItsPathHasGrownStale(t *testing.T) {
	t.Parallel()
	h, w, tenant, facts := watched(t, testenv.Plan{})
	start := h.Clock.Now()
	at := start.Add(-time.Minute)
	facts = shown(t, h, w, &tenant, facts.Session.ID, &at)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		now := func() time.Time { return start.Add(time.Since(began)) }
		w.clock.Store(&now)
		open := func(mfa bool, within time.Duration) context.Context {
			ctx, cancel := context.WithCancel(t.Context())
			t.Cleanup(w.hold(&admission.Admitted{Tenant: &tenant, MFA: mfa, Within: within}, facts, cancel))
			return ctx
		}
		fresh, long, ever, free := open(true, 5*time.Minute), open(true, time.Hour), open(true, 0), open(false, 0)
		time.Sleep(4*time.Minute - time.Millisecond)
		synctest.Wait()
		if fresh.Err() != nil {
			t.Error("it ended while the same request would be taken")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if fresh.Err() == nil {
			t.Error("it goes on where the same request is refused")
		}
		if long.Err() != nil || ever.Err() != nil || free.Err() != nil {
			t.Errorf("ended beside it: %v within an hour, %v at any time, %v without a second step", long.Err(), ever.Err(), free.Err())
		}
		if late := open(true, 5*time.Minute); late.Err() == nil {
			t.Error("it was stale when the answer came, and goes on")
		}
	})
}

// Nothing takes a second step from a session today and leaves it alive; whatever does it some day ends its streams at
// once by the note of a change, and without one at the next look.
func TestAStreamEndsAtTheNextLookWhenItsSessionHasNoSecondStepAnyMore(t *testing.T) {
	t.Parallel()
	h, w, tenant, facts := watched(t, testenv.Plan{})
	at := h.Clock.Now()
	facts = shown(t, h, w, &tenant, facts.Session.ID, &at)
	q := asked{&tenant, true, time.Hour}
	if until, err := q.lasts(w.keeper, facts, at); err != nil || !until.Equal(at.Add(h.Policy.AccessLife)) {
		t.Errorf("looked at again at %s, %v", until, err)
	}
	next := h.Clock.Advance(h.Policy.AccessLife)
	if until, err := q.again(w.keeper, facts, next); err != nil || !until.Equal(at.Add(time.Hour)) {
		t.Errorf("then at %s, %v", until, err)
	}
	shown(t, h, w, &tenant, facts.Session.ID, nil)
	if _, err := q.again(w.keeper, facts, next); err == nil {
		t.Error("it goes on without a second step")
	}
	if _, err := (asked{tenant: &tenant}).again(w.keeper, facts, next); err != nil {
		t.Errorf("so does one that needs none: %v", err)
	}
}
