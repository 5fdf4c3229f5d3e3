package auth_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/testenv"
)

// alive counts a tenant's sessions that have not ended.
func alive(t testing.TB, h *testenv.House, tenant portal.Tenant) (n int) {
	t.Helper()
	h.DB.Row(t, `select count(*) from portalgate.sessions where tenant_id = $1 and ended_at is null`, []any{tenant.ID}, &n)
	return n
}

// LOG-04, SES-04: each sign-in has an identifier of its own, and the one this browser had before is worth nothing.
func TestASignInBeginsANewSessionAndEndsTheBrowsersOldOne(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	next := h.Neighbour(t)
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	h.Person(t, tenant, testenv.Visitor{Email: "bob@buyer.example"})
	b := open(h, &tenant, "203.0.113.7")
	first := b.in(t, "ann@buyer.example", testenv.Password)
	old := *b
	second := b.in(t, "ann@buyer.example", testenv.Password)
	if first.ID == second.ID || first.Device != second.Device || old.cookies == b.cookies {
		t.Errorf("%+v and %+v", first, second)
	}
	there := *b
	there.house = next
	next.Hear(t)
	for _, g := range []*testenv.House{h, next} {
		replay := old
		replay.house = g
		if _, ok := replay.session(t); ok {
			t.Error("the old session goes on")
		}
	}
	if _, ok := there.session(t); !ok {
		t.Error("the new session does not stand at the other gateway")
	}
	// Somebody else at the same browser, and with only the old refresh cookie left: the session before is over too.
	left := *b
	left.cookies.Access = ""
	left.in(t, "bob@buyer.example", testenv.Password)
	if _, ok := b.session(t); ok {
		t.Error("Ann's session goes on behind Bob's")
	}
	// Identifiers that a browser brings are never adopted.
	planted := open(h, &tenant, "203.0.113.8")
	planted.cookies = session.Cookies{Access: "chosen", Refresh: "chosen"}
	planted.device = "chosen"
	if s := planted.in(t, "ann@buyer.example", testenv.Password); planted.cookies.Access == "chosen" || s.ID == "chosen" {
		t.Error("a planted identifier was adopted")
	}
	trailed(t, h, tenant, "2 × LOGIN ok 203.0.113.7", "LOGIN ok 203.0.113.7", "LOGIN ok 203.0.113.8")
}

// SES-08: however many sign in at once, at most five sessions live, the newest.
func TestThirtyParallelSignInsLeaveFiveSessions(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	gates := []*testenv.House{h, h.Neighbour(t)}
	var all sync.WaitGroup
	var refused atomic.Int64
	browsers := make([]*browser, 30)
	gate := make(chan struct{})
	for i := range browsers { // each of them known, and so with a purse of its own
		browsers[i] = open(gates[i%2], &tenant, "203.0.113.7")
		browsers[i].in(t, "ann@buyer.example", testenv.Password)
	}
	for i := range browsers {
		all.Go(func() {
			<-gate
			// One person's sign-ins wait for each other, and on a slow machine some for too long.
			if _, err := browsers[i].signIn("ann@buyer.example", testenv.Password); kind(t, err) == portal.ProblemUnavailable {
				refused.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	close(gate)
	all.Wait()
	for _, g := range gates {
		g.Hear(t)
	}
	if n := alive(t, h, tenant); n != 5 {
		t.Errorf("%d sessions live", n)
	}
	n := 0
	for _, b := range browsers {
		if _, ok := b.session(t); ok {
			n++
		}
	}
	if n > 5 || n < 5 && refused.Load() == 0 || refused.Load() > 25 {
		t.Errorf("%d browsers are signed in; %d were refused", n, refused.Load())
	}
	for range 6 {
		h.Clock.Advance(time.Minute)
		last := open(h, &tenant, "203.0.113.8")
		last.in(t, "ann@buyer.example", testenv.Password)
		if _, ok := last.session(t); !ok || alive(t, h, tenant) != 5 {
			t.Errorf("the newest does not live, or more than five do")
		}
	}
	if refused.Load() == 0 {
		trailed(t, h, tenant, "60 × LOGIN ok 203.0.113.7", "6 × LOGIN ok 203.0.113.8")
	}
}

// REV-03: people end their own sessions; anybody else's is not found, in their tenant and in every other.
func TestSomebodyElsesSessionIsNotFound(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	a, b := testenv.Tenant(t), testenv.Tenant(t)
	h.Person(t, a, testenv.Visitor{})
	h.Person(t, a, testenv.Visitor{Email: "bob@buyer.example"})
	h.Person(t, b, testenv.Visitor{}) // Ann's twin
	ann, phone, bob, twin := open(h, &a, "203.0.113.1"), open(h, &a, "203.0.113.2"), open(h, &a, "203.0.113.3"), open(h, &b, "203.0.113.4")
	mine := ann.in(t, "ann@buyer.example", testenv.Password)
	second := phone.in(t, "ann@buyer.example", testenv.Password)
	bobs := bob.in(t, "bob@buyer.example", testenv.Password)
	twins := twin.in(t, "ann@buyer.example", testenv.Password)
	for name, c := range map[string]struct {
		who *browser
		ses portal.Session
		id  portal.SessionID
	}{
		"Bob's by Ann": {ann, mine, bobs.ID}, "the twin's by Ann": {ann, mine, twins.ID}, "Ann's by Bob": {bob, bobs, mine.ID}, "Ann's by the twin": {twin, twins, mine.ID},
		"nobody's": {ann, mine, portal.SessionID(portal.FormatID([16]byte{1}))}, "no id": {ann, mine, "x"},
	} {
		err := h.Auth.EndSession(t.Context(), c.who.tenant, c.who.client(), c.ses, c.id)
		if name == "no id" {
			if err == nil {
				t.Error("what is no id is ended")
			}
			continue
		}
		if got := refusal(t, err); got.Kind != portal.ProblemNotFound {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for name, w := range map[string]*browser{"Ann": ann, "her phone": phone, "Bob": bob, "the twin": twin} {
		if _, ok := w.session(t); !ok {
			t.Errorf("%s was signed out", name)
		}
	}
	live, err := h.Auth.Live(t.Context(), &a, ann.client(), mine)
	if err != nil || len(live) != 2 || live[0].ID != mine.ID || live[1].ID != second.ID {
		t.Errorf("Ann's list: %+v, %v", live, err)
	}
	if err := h.Auth.EndSession(t.Context(), &a, ann.client(), mine, second.ID); err != nil {
		t.Fatal(err)
	}
	if _, ok := phone.session(t); ok {
		t.Error("the phone goes on")
	}
	if err := h.Auth.EndSession(t.Context(), &a, ann.client(), mine, second.ID); err != nil {
		t.Errorf("ending it twice: %v", err)
	}
	phone.in(t, "ann@buyer.example", testenv.Password)
	if n, err := h.Auth.EndOthers(t.Context(), &a, ann.client(), mine); err != nil || n != 1 {
		t.Errorf("ending the others: %d, %v", n, err)
	}
	if n, err := h.Auth.EndOthers(t.Context(), &a, ann.client(), mine); err != nil || n != 0 {
		t.Errorf("ending no others: %d, %v", n, err)
	}
	if _, ok := phone.session(t); ok {
		t.Error("the phone goes on")
	}
	if _, ok := bob.session(t); !ok {
		t.Error("Bob was signed out with Ann's others")
	}
	trailed(t, h, a, "LOGIN ok 203.0.113.1", "2 × LOGIN ok 203.0.113.2", "LOGIN ok 203.0.113.3", "SESSION_REVOKED ok 203.0.113.1", "SESSIONS_REVOKED ok 203.0.113.1")
	trailed(t, h, b, "LOGIN ok 203.0.113.4")
	acts, err := h.Auth.Activity(t.Context(), &a, ann.client(), mine, 50, h.Clock.Now().Add(time.Second))
	if err != nil || len(acts) != 5 {
		t.Errorf("Ann's own log has %d rows, %v", len(acts), err)
	}
}

// SES-07, REV-01: signing out ends this session on every gateway, with whatever cookie is left; everywhere ends all of
// the person's.
func TestSigningOutEndsTheSessionHereOrEverywhere(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	next := h.Neighbour(t)
	tenant, other := testenv.Tenant(t), testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	out := func(b *browser, c session.Cookies, all bool) {
		t.Helper()
		if err := b.house.Auth.SignOut(context.Background(), b.tenant, b.client(), c, all); err != nil {
			t.Fatal(err)
		}
		h.Hear(t)
		next.Hear(t)
	}
	gone := func(name string, b *browser) {
		t.Helper()
		for _, g := range []*testenv.House{h, next} {
			at := *b
			at.house = g
			if _, ok := at.session(t); ok {
				t.Errorf("%s: the session goes on", name)
			}
		}
	}
	for name, left := range map[string]func(session.Cookies) session.Cookies{
		"both cookies":    func(c session.Cookies) session.Cookies { return c },
		"access alone":    func(c session.Cookies) session.Cookies { return session.Cookies{Access: c.Access} },
		"refresh alone":   func(c session.Cookies) session.Cookies { return session.Cookies{Refresh: c.Refresh} },
		"an expired one":  func(c session.Cookies) session.Cookies { return session.Cookies{Access: c.Access} },
		"a gateway anew":  func(c session.Cookies) session.Cookies { return session.Cookies{Access: c.Access} },
		"one from before": func(c session.Cookies) session.Cookies { return session.Cookies{Refresh: c.Refresh} },
	} {
		b := open(h, &tenant, "203.0.113.7")
		b.in(t, "ann@buyer.example", testenv.Password)
		cookies := left(b.cookies)
		switch name {
		case "an expired one":
			h.Clock.Advance(31 * time.Minute)
		case "a gateway anew":
			h.Clock.Advance(31 * time.Minute)
			b.house = h.Neighbour(t)
		case "one from before": // the refresh token was renewed, and the answer never arrived
			h.Clock.Advance(26 * time.Minute)
			if _, err := h.Sessions.Resume(t.Context(), &tenant, b.cookies, b.client(), true); err != nil {
				t.Fatal(err)
			}
		}
		out(b, cookies, false)
		gone(name, b)
	}
	if n := alive(t, h, tenant); n != 0 {
		t.Errorf("%d sessions live", n)
	}
	// Another tenant's door, and cookies of nobody, end nothing and are no error.
	ann, phone := open(h, &tenant, "203.0.113.7"), open(next, &tenant, "203.0.113.8")
	ann.in(t, "ann@buyer.example", testenv.Password)
	phone.in(t, "ann@buyer.example", testenv.Password)
	foreign := open(h, &other, "203.0.113.9")
	out(foreign, ann.cookies, true)
	out(ann, session.Cookies{}, true)
	out(ann, session.Cookies{Access: "x", Refresh: "y"}, true)
	if n := alive(t, h, tenant); n != 2 {
		t.Errorf("%d sessions live", n)
	}
	// A session that has ended, or run out, ends no others: its cookie may be the stolen one.
	stolen := *ann
	out(ann, ann.cookies, false)
	out(&stolen, stolen.cookies, true)
	late := open(h, &tenant, "203.0.113.7")
	late.in(t, "ann@buyer.example", testenv.Password)
	h.Clock.Advance(h.Policy.Idle + time.Minute)
	phone.in(t, "ann@buyer.example", testenv.Password)
	out(late, late.cookies, true)
	if _, ok := phone.session(t); !ok {
		t.Error("a session that is over has ended another")
	}
	ann.in(t, "ann@buyer.example", testenv.Password)
	out(ann, ann.cookies, true)
	gone("everywhere, here", ann)
	gone("everywhere, the phone", phone)
	if n := alive(t, h, tenant); n != 0 {
		t.Errorf("%d sessions live", n)
	}
	trailed(t, h, tenant, "8 × LOGIN ok 203.0.113.7", "LOGIN ok 203.0.113.7", "2 × LOGIN ok 203.0.113.8", "9 × LOGOUT ok 203.0.113.7")
	trailed(t, h, other)
}

// TEN-03: what was made at one tenant opens nothing at another, where the twin has the same address and password.
func TestNothingMadeAtOneTenantOpensAnother(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	a, b := testenv.Tenant(t), testenv.Tenant(t)
	h.Person(t, a, testenv.Visitor{})
	h.Person(t, b, testenv.Visitor{})
	at := open(h, &a, "203.0.113.7")
	ses := at.in(t, "ann@buyer.example", testenv.Password)
	there := open(h, &b, "203.0.113.7")
	there.cookies, there.device = at.cookies, at.device
	for _, c := range []session.Cookies{at.cookies, {Access: at.cookies.Access}, {Refresh: at.cookies.Refresh}} {
		for range 2 {
			if _, err := h.Sessions.Resume(t.Context(), &b, c, there.client(), true); kind(t, err) != portal.ProblemSessionRequired {
				t.Errorf("%v", err)
			}
		}
	}
	if _, err := h.Auth.ChangePassword(t.Context(), &b, there.client(), ses, testenv.Password, fresh); err == nil {
		t.Error("a session of one tenant changes a password in another")
	}
	// The device is a stranger there: its purse is the strangers'.
	for range 5 {
		_, _ = open(h, &b, "203.0.113.9").signIn("ann@buyer.example", "wrong")
	}
	if _, err := there.signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemLimit {
		t.Errorf("a device known at one tenant is known at another: %v", err)
	}
	if _, ok := at.session(t); !ok {
		t.Error("the session at its own tenant was harmed")
	}
}
