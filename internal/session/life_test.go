package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/testenv"
)

// browser holds the cookies of one sign-in and asks one gateway after another.
type browser struct {
	house   *testenv.House
	tenant  *portal.Tenant
	device  portal.DeviceToken
	agent   string // empty: the house's
	cookies session.Cookies
	first   portal.Session
}

// signedIn is Ann, signed in.
func signedIn(t testing.TB, h *testenv.House, tenant *portal.Tenant, remember bool) *browser {
	t.Helper()
	out, err := h.Auth.SignIn(context.Background(), tenant, h.Client("203.0.113.7"), session.Cookies{}, auth.Credentials{Email: "ann@buyer.example", Password: testenv.Password, Remember: remember})
	if err != nil || out.Grant == nil {
		t.Fatalf("signing in: %v", err)
	}
	d := out.Grant.Device.Digest(secret.KindDevice, string(tenant.ID))
	return &browser{house: h, tenant: tenant, device: portal.DeviceToken(d[:]), first: out.Grant.Session,
		cookies: session.Cookies{Access: out.Grant.Access, Refresh: out.Grant.Refresh}}
}

// newHouse is a house with a tenant and Ann in it.
func newHouse(t testing.TB, p testenv.Plan) (*testenv.House, portal.Tenant, portal.UserID) {
	t.Helper()
	h := testenv.NewHouse(t, p)
	tenant := h.DB.Tenant(t)
	return h, tenant, h.Person(t, tenant, testenv.Visitor{})
}

func (b *browser) client() portal.Client {
	c := b.house.Client("203.0.113.7")
	c.Device = b.device
	if b.agent != "" {
		c.Agent = b.agent
	}
	return c
}

// ask makes a request with some cookies and leaves the answer's aside.
func (b *browser) ask(c session.Cookies, renewable bool) (session.Resumed, error) {
	return b.house.Sessions.Resume(context.Background(), b.tenant, c, b.client(), renewable)
}

// get makes a request and takes the answer's cookies.
func (b *browser) get(t testing.TB) session.Resumed {
	t.Helper()
	r, err := b.ask(b.cookies, true)
	if err != nil {
		t.Fatalf("the session is not resumed: %v", err)
	}
	if r.Grant != nil {
		b.cookies = cookies(r)
	}
	return r
}

func cookies(r session.Resumed) session.Cookies {
	return session.Cookies{Access: r.Grant.Access, Refresh: r.Grant.Refresh}
}

// at is the same browser at another gateway.
func (b *browser) at(h *testenv.House) *browser {
	c := *b
	c.house = h
	return &c
}

// settled does what was put off behind requests.
func settled(t testing.TB, houses ...*testenv.House) {
	t.Helper()
	for _, h := range houses {
		if err := h.Sessions.Settle(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// heard lets houses read what has changed.
func heard(t testing.TB, houses ...*testenv.House) {
	t.Helper()
	for _, h := range houses {
		h.Hear(t)
	}
}

// is fails unless an error is of a kind; empty: no error.
func is(t testing.TB, what string, err error, want portal.ProblemKind) {
	t.Helper()
	var p *portal.Problem
	switch {
	case err == nil && want == "":
	case err == nil || !errors.As(err, &p) || p.Kind != want:
		t.Errorf("%s: %v; want %q", what, err, want)
	}
}

// reuses counts the rows of the trail that tell of a replaced token that came back.
func reuses(t testing.TB, h *testenv.House, tenant portal.Tenant) (n int) {
	t.Helper()
	h.DB.Row(t, `select count(*) from public.customer_activity_log where tenant_id = $1 and activity_type = 'TOKEN_REUSE' and is_suspicious and security_notes <> '' and ip_address = '203.0.113.7' and user_agent <> ''`, []any{tenant.ID}, &n)
	return n
}

// Contract 5: renewal begins five minutes before the end, works with the refresh cookie alone, and never on answers
// that may carry no cookie.
func TestRenewalBeginsFiveMinutesBeforeTheEndOfTheAccessToken(t *testing.T) {
	t.Parallel()
	h, tenant, _ := newHouse(t, testenv.Plan{})
	b := signedIn(t, h, &tenant, false)
	access, refresh := session.Cookies{Access: b.cookies.Access}, session.Cookies{Refresh: b.cookies.Refresh}
	h.Clock.Advance(25*time.Minute - time.Second)
	if r := b.get(t); r.Grant != nil {
		t.Error("renewed a second too early")
	}
	h.Clock.Advance(time.Second)
	for name, c := range map[string]struct {
		cookies   session.Cookies
		renewable bool
		renewed   bool
	}{
		"a HEAD request": {b.cookies, false, false}, "the access token alone": {access, true, false}, "both": {b.cookies, true, true}, "the refresh token alone": {refresh, true, true},
		"the refresh token alone, HEAD": {refresh, false, false},
	} {
		r, err := b.ask(c.cookies, c.renewable)
		is(t, name, err, "")
		if err == nil && ((r.Grant != nil) != c.renewed || r.Facts.Session.ID != b.first.ID) {
			t.Errorf("%s: renewed %v", name, r.Grant != nil)
		}
	}
	old := b.cookies
	r := b.get(t)
	if r.Grant == nil || b.cookies.Access == old.Access || b.cookies.Refresh == old.Refresh || !r.Grant.Until.Equal(b.first.End) {
		t.Errorf("the answer carries %v", r.Grant)
	}
	if r := b.get(t); r.Grant != nil {
		t.Error("renewed again at once")
	}
	// Past its end the access token is worth nothing alone, and the refresh token renews.
	h.Clock.Advance(40 * time.Minute)
	_, err := b.ask(session.Cookies{Access: b.cookies.Access}, true)
	is(t, "an expired access token alone", err, portal.ProblemSessionExpired)
	if r := b.get(t); r.Grant == nil {
		t.Error("an expired access token is not renewed")
	}
	h.Clock.Advance(40 * time.Minute)
	if r, err := b.ask(b.cookies, false); err != nil || r.Grant != nil {
		t.Errorf("a HEAD request past the end: %v", err)
	}
	_, err = b.ask(session.Cookies{}, true)
	is(t, "no cookies", err, portal.ProblemSessionRequired)
}

// SES-01, contract 5: the claims of an access token, none of them personal.
func TestAnAccessTokenHoldsIdsAndNothingPersonal(t *testing.T) {
	t.Parallel()
	h, tenant, id := newHouse(t, testenv.Plan{})
	b := signedIn(t, h, &tenant, false)
	a, err := h.Keys.VerifyAccess(b.cookies.Access, "customers", string(tenant.ID), h.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if a.User != string(id) || a.Tenant != string(tenant.ID) || a.Session != string(b.first.ID) || !slices.Equal(a.AMR, []string{"pwd"}) || a.AuthTime != h.Clock.Now().Unix() ||
		a.Expires-a.IssuedAt != 1800 || a.Audience != "customers" || a.ID == "" {
		t.Errorf("%+v", a)
	}
	r := b.get(t)
	i := r.Facts.Identity
	if i.Email != "ann@buyer.example" || i.Name != "Ann Buyer" || i.Customer != "" || i.Slug != tenant.Slug || !slices.Equal(i.Roles, []portal.Role{portal.RoleUser}) || i.Session != b.first.ID {
		t.Errorf("identity %+v", i)
	}
	raw, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, personal := range []string{"ann", "Ann", "buyer", tenant.Slug, "203.0.113"} {
		if strings.Contains(string(raw), personal) {
			t.Errorf("the token says %q", personal)
		}
	}
	if len(b.cookies.Access) > 1024 {
		t.Errorf("%d bytes", len(b.cookies.Access))
	}
	// Another realm's token of the same keyring opens nothing (M01).
	staff, err := h.Keys.SignAccess(secret.Access{Issuer: secret.Issuer, Audience: "staff", User: a.User, Tenant: a.Tenant, Session: a.Session, AMR: a.AMR,
		AuthTime: a.AuthTime, IssuedAt: a.IssuedAt, NotBefore: a.NotBefore, Expires: a.Expires, ID: "x"}, h.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.ask(session.Cookies{Access: staff}, true)
	is(t, "another realm's token", err, portal.ProblemSessionRequired)
}

// The decisions: a working day, idle 10 h and absolute 14 h; with "keep me signed in" 7 days and 14 days. The policies'
// numbers reach the session, and requests move the idle end and never the other.
func TestASessionEndsWhenItIsIdleAndWhenItIsOld(t *testing.T) {
	t.Parallel()
	nist := portal.NISTPolicy()
	for name, c := range map[string]struct {
		policy         *portal.Policy
		remember       bool
		idle, absolute time.Duration
	}{
		"the default":                 {nil, false, 10 * time.Hour, 14 * time.Hour},
		"the default, kept signed in": {nil, true, 7 * 24 * time.Hour, 14 * 24 * time.Hour},
		"nist":                        {&nist, false, time.Hour, 14 * time.Hour},
		"nist, kept signed in":        {&nist, true, time.Hour, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, tenant, _ := newHouse(t, testenv.Plan{Policy: c.policy})
			idle := signedIn(t, h, &tenant, c.remember)
			if !idle.first.End.Equal(h.Clock.Now().Add(c.absolute)) || !idle.first.IdleEnd.Equal(h.Clock.Now().Add(c.idle)) {
				t.Errorf("idle end %s, end %s", idle.first.IdleEnd, idle.first.End)
			}
			h.Clock.Advance(c.idle - time.Second)
			if _, err := idle.ask(session.Cookies{Refresh: idle.cookies.Refresh}, false); err != nil {
				t.Errorf("a second before its idle end: %v", err)
			}
			h.Clock.Advance(time.Second)
			_, err := idle.ask(idle.cookies, true)
			is(t, "at its idle end", err, portal.ProblemSessionExpired)

			// REF-05: used all the time it goes on past the idle end, and ends in the moment it had to.
			busy := signedIn(t, h, &tenant, c.remember)
			end := busy.first.End
			for at := h.Clock.Now(); at.Add(c.idle / 2).Before(end); at = h.Clock.Advance(c.idle / 2) {
				r := busy.get(t)
				settled(t, h)
				if r.Grant != nil && !r.Grant.Until.Equal(end) {
					t.Fatalf("a renewal moved the end to %s", r.Grant.Until)
				}
			}
			h.Clock.Set(end.Add(-time.Second))
			r := busy.get(t)
			if r.Grant != nil {
				a, err := h.Keys.VerifyAccess(r.Grant.Access, "customers", string(tenant.ID), h.Clock.Now())
				if err != nil || a.Expires > end.Unix() {
					t.Errorf("the last access token lives until %s, past %s: %v", time.Unix(a.Expires, 0), end, err)
				}
			}
			h.Clock.Set(end)
			for what, cookies := range map[string]session.Cookies{"both": busy.cookies, "access": {Access: busy.cookies.Access}, "refresh": {Refresh: busy.cookies.Refresh}} {
				_, err := busy.ask(cookies, true)
				is(t, "at its end, "+what, err, portal.ProblemSessionExpired)
			}
		})
	}
}

// Requests move the idle end behind them, once a minute at most, with the address and agent of the last.
func TestUseIsNotedBehindTheRequestOnceAMinute(t *testing.T) {
	t.Parallel()
	h, tenant, _ := newHouse(t, testenv.Plan{})
	b := signedIn(t, h, &tenant, false)
	row := func() (active, idle time.Time) {
		t.Helper()
		h.DB.Row(t, `select last_active_at, idle_end from portalgate.sessions where id = $1`, []any{b.first.ID}, &active, &idle)
		return active, idle
	}
	b.get(t)
	trips := h.Store.Trips()
	for range 59 {
		h.Clock.Advance(time.Second)
		b.get(t)
		settled(t, h)
	}
	if n := h.Store.Trips() - trips; n != 0 {
		t.Errorf("59 requests within a minute asked the database %d times", n)
	}
	h.Clock.Advance(time.Second)
	for range 10 {
		b.get(t)
	}
	settled(t, h)
	if n := h.Store.Trips() - trips; n != 1 {
		t.Errorf("ten requests after a minute wrote %d times", n)
	}
	if active, idle := row(); !active.Equal(h.Clock.Now()) || !idle.Equal(h.Clock.Now().Add(10*time.Hour)) {
		t.Errorf("last active %s, idle end %s", active, idle)
	}
}

// REF-07, and clocks that jump: a gateway without a memory, and a clock set forwards and back, revive nothing and sign
// nobody out.
func TestAClockThatJumpsRevivesNothingAndSignsNobodyOut(t *testing.T) {
	t.Parallel()
	h, tenant, _ := newHouse(t, testenv.Plan{})
	b := signedIn(t, h, &tenant, false)
	gone := signedIn(t, h, &tenant, false)
	h.Clock.Advance(9 * time.Hour) // forwards: the access token is over, the session is not
	if r := b.get(t); r.Grant == nil {
		t.Error("not renewed")
	}
	settled(t, h)
	gone.get(t)
	if err := h.Auth.SignOut(t.Context(), &tenant, gone.client(), gone.cookies, false); err != nil {
		t.Fatal(err)
	}
	_, err := gone.ask(gone.cookies, true)
	is(t, "signed out", err, portal.ProblemSessionExpired)
	h.Clock.Advance(-9 * time.Hour) // and back: what was made in that future is not believed, what stands in the database is
	_, err = b.ask(session.Cookies{Access: b.cookies.Access}, true)
	is(t, "an access token from the future", err, portal.ProblemSessionRequired)
	r := b.get(t)
	if r.Grant == nil || r.Facts.Session.ID != b.first.ID {
		t.Errorf("with its refresh token: %+v", r)
	}
	for _, g := range []*testenv.House{h, h.Neighbour(t)} {
		_, err = gone.at(g).ask(gone.cookies, true)
		is(t, "signed out in the future", err, portal.ProblemSessionExpired)
		if _, err := b.at(g).ask(b.cookies, true); err != nil {
			t.Errorf("alive, and the clock back: %v", err)
		}
	}
	// A change made after the clock was set back is felt although the facts were read in the future.
	if err := h.Auth.SignOut(t.Context(), &tenant, b.client(), b.cookies, false); err != nil {
		t.Fatal(err)
	}
	h.Clock.Advance(3 * time.Hour)
	h.Ended.Apply("session", "00000000-0000-4000-8000-000000000000", h.Clock.Now()) // sweeps what is remembered
	_, err = b.ask(b.cookies, true)
	is(t, "signed out after the clock was set back", err, portal.ProblemSessionExpired)
}

// P7: a signed-in request leaves the collector nothing. Not beside other tests, which would be counted too.
func TestAWarmRequestAllocatesNothing(t *testing.T) {
	h, tenant, _ := newHouse(t, testenv.Plan{})
	b := signedIn(t, h, &tenant, false)
	b.get(t)
	c := b.client()
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := h.Sessions.Resume(t.Context(), &tenant, b.cookies, c, true); err != nil {
			t.Fatal(err)
		}
	}); n >= 1 {
		t.Errorf("%.0f allocations a request", n)
	}
}

// P6: a signed-in request asks no server.
func TestAWarmRequestAsksNoServer(t *testing.T) {
	t.Parallel()
	h, tenant, _ := newHouse(t, testenv.Plan{})
	b := signedIn(t, h, &tenant, false)
	b.get(t)
	c := b.client()
	trips := h.Store.Trips()
	for range 1000 {
		if _, err := h.Sessions.Resume(t.Context(), &tenant, b.cookies, c, true); err != nil {
			t.Fatal(err)
		}
	}
	if n := h.Store.Trips() - trips; n != 0 {
		t.Errorf("a thousand requests asked the database %d times", n)
	}
	// P19: a forged token of either kind costs no question either.
	for _, forged := range []session.Cookies{
		{Refresh: strings.Repeat("A", secret.RefreshTextLen)}, {Access: b.cookies.Access + "x"}, {Access: b.cookies.Access[:len(b.cookies.Access)-4] + "AAAA"},
		{Refresh: b.cookies.Access}, {Access: b.cookies.Refresh}, {Access: strings.Repeat(".", 1_000_000)}, {Refresh: "x"},
	} {
		_, err := b.ask(forged, true)
		is(t, "forged", err, portal.ProblemSessionRequired)
	}
	if n := h.Store.Trips() - trips; n != 0 {
		t.Errorf("forged tokens asked the database %d times", n)
	}
}

// KEY-03: a key that was leaked and rotated away ends in memory too, and nobody is signed out by it.
func TestALeakedKeysTokensAreForgottenAndRenewed(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/keyring.json"
	raw, err := secret.Generate(time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := secret.WriteNew(path, raw); err != nil {
		t.Fatal(err)
	}
	keys, err := secret.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	h, tenant, _ := newHouse(t, testenv.Plan{Keys: keys})
	b := signedIn(t, h, &tenant, false)
	b.get(t)
	if _, err := secret.RotateFile(path, secret.Rotation{Leak: true}, h.Clock.Now()); err != nil {
		t.Fatal(err)
	}
	if err := keys.Reload(); err != nil {
		t.Fatal(err)
	}
	_, err = b.ask(session.Cookies{Access: b.cookies.Access}, true)
	is(t, "an access token of the leaked key", err, portal.ProblemSessionRequired)
	if r := b.get(t); r.Grant == nil {
		t.Error("not renewed")
	}
	h.Clock.Advance(26 * time.Minute)
	if r := b.get(t); r.Grant == nil {
		t.Error("not renewed with the new keys")
	}
}
