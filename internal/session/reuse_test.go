package session_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/testenv"
)

func family(t testing.TB, h *testenv.House, id portal.SessionID) (tokens, leaves int) {
	t.Helper()
	h.DB.Row(t, `select count(*), count(*) filter (where replaced_at is null) from portalgate.refresh_tokens where session_id = $1`, []any{id}, &tokens, &leaves)
	return tokens, leaves
}

// REF-03, REF-04: a hundred requests at once on two gateways get one successor, and the family one living leaf.
func TestParallelRequestsOnTwoGatewaysGetTheSameSuccessor(t *testing.T) {
	t.Parallel()
	h, tenant, _ := newHouse(t, testenv.Plan{})
	gates := []*testenv.House{h, h.Neighbour(t)}
	b := signedIn(t, h, &tenant, false)
	for round := range 3 {
		h.Clock.Advance(26 * time.Minute)
		var all sync.WaitGroup
		var mu sync.Mutex
		refresh := map[string]int{}
		var last session.Cookies
		gate := make(chan struct{})
		for i := range 100 {
			w := b.at(gates[i%2])
			all.Go(func() {
				<-gate
				r, err := w.ask(b.cookies, true)
				mu.Lock()
				defer mu.Unlock()
				if err != nil || r.Grant == nil {
					t.Errorf("request %d: %v", i, err)
					return
				}
				refresh[r.Grant.Refresh]++
				last = cookies(r)
			})
		}
		close(gate)
		all.Wait()
		tokens, leaves := family(t, h, b.first.ID)
		if len(refresh) != 1 || tokens != round+2 || leaves != 1 {
			t.Fatalf("round %d: %d successors, %d tokens in the family, %d of them living", round, len(refresh), tokens, leaves)
		}
		b.cookies = last
		b.get(t)
		settled(t, gates...)
	}
	if n := reuses(t, h, tenant); n != 0 {
		t.Errorf("%d requests were taken for a thief's", n)
	}
}

// Contract 5: an answer that never arrived must not look like theft. As long as nobody has presented the successor, the
// old token goes on yielding it, for hours, on every gateway, from a restarted one too.
func TestAnAnswerThatNeverArrivedGoesOnYieldingTheSameSuccessor(t *testing.T) {
	t.Parallel()
	h, tenant, _ := newHouse(t, testenv.Plan{})
	b := signedIn(t, h, &tenant, true)
	h.Clock.Advance(26 * time.Minute)
	lost, err := b.ask(b.cookies, true)
	if err != nil || lost.Grant == nil {
		t.Fatal(err)
	}
	for _, after := range []time.Duration{0, time.Second, 31 * time.Second, time.Hour, 24 * time.Hour, 3 * 24 * time.Hour} {
		h.Clock.Advance(after)
		for _, g := range []*testenv.House{h, h.Neighbour(t)} {
			r, err := b.at(g).ask(b.cookies, true)
			if err != nil || r.Grant == nil || r.Grant.Refresh != lost.Grant.Refresh {
				t.Fatalf("%s later: %v", after, err)
			}
			settled(t, g)
		}
	}
	// Another browser, too: nobody can tell yet which of the two is the owner, and nobody is signed out.
	thief := b.at(h)
	thief.device, thief.agent = "", "curl/8"
	if r, err := thief.ask(b.cookies, true); err != nil || r.Grant.Refresh != lost.Grant.Refresh {
		t.Errorf("from another browser: %v", err)
	}
	if tokens, leaves := family(t, h, b.first.ID); tokens != 2 || leaves != 1 || reuses(t, h, tenant) != 0 {
		t.Errorf("%d tokens, %d leaves, %d reuses", tokens, leaves, reuses(t, h, tenant))
	}
	b.get(t)
	if r := b.get(t); r.Grant != nil {
		t.Error("the answer that arrived at last is not taken")
	}
}

// REF-02, REF-04, REF-07: once the successor was presented, in whatever form, its predecessor has thirty seconds in the
// same browser, and then ends the family, on every gateway, and the trail says so.
func TestAReplacedTokenThatComesBackEndsTheFamily(t *testing.T) {
	t.Parallel()
	type from struct {
		device bool   // the browser's device cookie
		agent  string // empty: the browser's
	}
	same := from{device: true}
	for name, c := range map[string]struct {
		present func(t *testing.T, b *browser, next session.Cookies)
		after   time.Duration
		from    from
		head    bool
		ends    bool
	}{
		"at once":                                    {byAccess, 0, same, false, false},
		"at the end of the grace":                    {byAccess, 30 * time.Second, same, false, false},
		"after the grace":                            {byAccess, 31 * time.Second, same, false, true},
		"a day later":                                {byAccess, 9 * time.Hour, same, false, true},
		"after the grace, by HEAD":                   {byAccess, 31 * time.Second, same, true, true},
		"at once, by HEAD":                           {byAccess, 0, same, true, false},
		"the successor was presented itself":         {byRefresh, 31 * time.Second, same, false, true},
		"itself, at once":                            {byRefresh, time.Second, same, false, false},
		"itself, by HEAD":                            {byHead, 31 * time.Second, same, false, true},
		"in the grace, from a browser with no name":  {byAccess, time.Second, from{false, "curl/8"}, false, true},
		"in the grace, an agent that was updated":    {byAccess, time.Second, from{true, "other"}, false, false},
		"in the grace, the same agent and no device": {byAccess, time.Second, from{false, ""}, false, false},
		"in the grace, by HEAD from another browser": {byAccess, time.Second, from{false, "curl/8"}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, tenant, _ := newHouse(t, testenv.Plan{})
			next := h.Neighbour(t)
			b := signedIn(t, h, &tenant, false)
			replaced := session.Cookies{Refresh: b.cookies.Refresh}
			h.Clock.Advance(26 * time.Minute)
			b.get(t)
			c.present(t, b, b.cookies)
			settled(t, h)
			h.Clock.Advance(c.after)
			again := b.at(next)
			if !c.from.device {
				again.device = ""
			}
			again.agent = c.from.agent
			r, err := again.ask(replaced, !c.head)
			if !c.ends {
				if err != nil || !c.head && r.Grant.Refresh == replaced.Refresh {
					t.Fatalf("refused: %v", err)
				}
				if n := reuses(t, h, tenant); n != 0 {
					t.Error("taken for theft")
				}
				if _, err := b.ask(b.cookies, true); err != nil {
					t.Errorf("the owner: %v", err)
				}
				return
			}
			is(t, "the replaced token", err, portal.ProblemSessionExpired)
			heard(t, h, next)
			for where, g := range map[string]*testenv.House{"here": h, "at the other gateway": next, "at a restarted one": h.Neighbour(t)} {
				for what, cookies := range map[string]session.Cookies{"both": b.cookies, "the newest refresh token": {Refresh: b.cookies.Refresh}, "the replaced one": replaced} {
					_, err := b.at(g).ask(cookies, true)
					is(t, what+" "+where, err, portal.ProblemSessionExpired)
				}
			}
			var reason string
			h.DB.Row(t, `select end_reason from portalgate.sessions where id = $1`, []any{b.first.ID}, &reason)
			if n := reuses(t, h, tenant); n != 1 || reason != string(portal.EndReuse) {
				t.Errorf("%d suspicious rows, ended because %q", n, reason)
			}
		})
	}
}

// byAccess presents an access token made with the successor.
func byAccess(t *testing.T, b *browser, next session.Cookies) {
	if _, err := b.ask(session.Cookies{Access: next.Access}, true); err != nil {
		t.Fatal(err)
	}
}

// byRefresh presents the successor itself, which is renewed in turn.
func byRefresh(t *testing.T, b *browser, next session.Cookies) {
	r, err := b.ask(session.Cookies{Refresh: next.Refresh}, true)
	if err != nil {
		t.Fatal(err)
	}
	b.cookies = cookies(r)
}

// byHead presents the successor where it cannot be renewed.
func byHead(t *testing.T, b *browser, next session.Cookies) {
	if _, err := b.ask(session.Cookies{Refresh: next.Refresh}, false); err != nil {
		t.Fatal(err)
	}
}

// Another person's device cookie is no binding, whatever the agent says.
func TestInTheGraceAnotherDevicesCookieIsReuse(t *testing.T) {
	t.Parallel()
	h, tenant, _ := newHouse(t, testenv.Plan{})
	b, other := signedIn(t, h, &tenant, false), signedIn(t, h, &tenant, false)
	replaced := session.Cookies{Refresh: b.cookies.Refresh}
	h.Clock.Advance(26 * time.Minute)
	b.get(t)
	b.get(t)
	settled(t, h)
	thief := b.at(h)
	thief.device = other.device
	_, err := thief.ask(replaced, true)
	is(t, "with another device's cookie", err, portal.ProblemSessionExpired)
	_, err = b.ask(b.cookies, true)
	is(t, "the owner", err, portal.ProblemSessionExpired)
	if _, err := other.ask(other.cookies, true); err != nil {
		t.Errorf("the other session: %v", err)
	}
}

// REF-02: R0, R1, R2: the first token ends the newest.
func TestAnOldGenerationEndsTheNewest(t *testing.T) {
	t.Parallel()
	h, tenant, _ := newHouse(t, testenv.Plan{})
	b := signedIn(t, h, &tenant, false)
	var all []session.Cookies
	for range 4 {
		all = append(all, b.cookies)
		h.Clock.Advance(26 * time.Minute)
		b.get(t)
	}
	settled(t, h)
	if _, err := b.ask(b.cookies, true); err != nil {
		t.Fatal(err)
	}
	_, err := b.ask(all[0], true)
	is(t, "the first token", err, portal.ProblemSessionExpired)
	_, err = b.ask(b.cookies, true)
	is(t, "the newest", err, portal.ProblemSessionExpired)
}

// REF-06: what is no token of this tenant is refused, and nobody is revoked by it.
func TestGarbageIsRefusedWithoutRevokingAnybody(t *testing.T) {
	t.Parallel()
	h, tenant, _ := newHouse(t, testenv.Plan{})
	other := testenv.Tenant(t)
	b := signedIn(t, h, &tenant, false)
	h.Clock.Advance(26 * time.Minute)
	foreign := b.at(h)
	foreign.tenant = &other
	for range 3 {
		_, err := foreign.ask(b.cookies, true)
		is(t, "another tenant's", err, portal.ProblemSessionRequired)
	}
	// A token whose MAC is right and that was never given out: a keyring was copied, or a row erased.
	for name, c := range map[string]session.Cookies{
		"beside a good access token": {Access: b.cookies.Access, Refresh: "garbage"}, "another tenant's beside it": {Access: b.cookies.Access, Refresh: b.cookies.Access},
	} {
		r, err := b.ask(c, true)
		if err != nil || r.Grant != nil {
			t.Errorf("garbage %s: %v", name, err)
		}
	}
	if tokens, leaves := family(t, h, b.first.ID); tokens != 1 || leaves != 1 || reuses(t, h, tenant) != 0 {
		t.Errorf("%d tokens, %d leaves", tokens, leaves)
	}
	if r := b.get(t); r.Grant == nil {
		t.Error("the owner is not renewed")
	}
}

// Renewals, requests and a sign-out at once: whatever comes first, at the end the session is over and nothing hangs.
func TestASignOutAmidRenewalsIsTheLastWord(t *testing.T) {
	t.Parallel()
	h, tenant, _ := newHouse(t, testenv.Plan{})
	gates := []*testenv.House{h, h.Neighbour(t)}
	for range 5 {
		b := signedIn(t, h, &tenant, false)
		h.Clock.Advance(26 * time.Minute)
		var all sync.WaitGroup
		gate := make(chan struct{})
		var mu sync.Mutex
		given := []session.Cookies{b.cookies}
		for i := range 20 {
			w := b.at(gates[i%2])
			all.Go(func() {
				<-gate
				if i == 7 {
					if err := h.Auth.SignOut(context.Background(), &tenant, w.client(), b.cookies, false); err != nil {
						t.Error(err)
					}
					return
				}
				r, err := w.ask(b.cookies, true)
				if err != nil {
					is(t, "a request beside the sign-out", err, portal.ProblemSessionExpired)
				} else if r.Grant != nil {
					mu.Lock()
					given = append(given, cookies(r))
					mu.Unlock()
				}
			})
		}
		close(gate)
		all.Wait()
		heard(t, gates...)
		for _, c := range given {
			for _, g := range gates {
				_, err := b.at(g).ask(c, true)
				is(t, "after the sign-out", err, portal.ProblemSessionExpired)
			}
		}
	}
}
