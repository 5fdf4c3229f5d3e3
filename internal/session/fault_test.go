package session_test

import (
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/testenv"
)

// REV-01, REF-06, M29: what is written by plain SQL about a person, their company or the tenant is felt on every
// gateway once the note was heard, by an access token that has not ended and by the refresh token.
func TestWhatIsWrittenBySQLIsFeltOnEveryGateway(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		deed string
		ends bool
	}{
		"switched off":           {`update customer_users set is_active = false where id = $1`, true},
		"deleted":                {`update customer_users set deleted_at = now() where id = $1`, true},
		"address unproved":       {`update customer_users set is_email_verified = false where id = $1`, true},
		"company closed":         {`update customers set is_active = false where id = (select customer_id from customer_users where id = $1)`, true},
		"portal closed":          {`update customers set portal_enabled = false where id = (select customer_id from customer_users where id = $1)`, true},
		"tenant suspended":       {`update tenants set status = 'SUSPENDED' where id = (select tenant_id from customer_users where id = $1)`, true},
		"another role":           {`update customer_users set role = 'APPROVER' where id = $1`, false},
		"what does not concern":  {`update customer_users set notification_preferences = '{}' where id = $1`, false},
		"session ended in a row": {`with e as (update portalgate.sessions set ended_at = now(), end_reason = 'operator' where user_id = $1 returning id, tenant_id) insert into portalgate.revocations (tenant_id, kind, subject, at) select tenant_id, 'session', id, now() from e`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, tenant, id := newHouse(t, testenv.Plan{})
			next := h.Neighbour(t)
			b := signedIn(t, h, &tenant, false)
			there := b.at(next)
			b.get(t)
			there.get(t)
			h.DB.Exec(t, c.deed, id)
			heard(t, h, next)
			for _, w := range []*browser{b, there, b.at(h.Neighbour(t))} {
				r, err := w.ask(b.cookies, true)
				if !c.ends {
					is(t, "a request", err, "")
					if name == "another role" && (len(r.Facts.Identity.Roles) != 1 || r.Facts.Identity.Roles[0] != portal.RoleApprover) {
						t.Errorf("the upstream would hear of roles %v", r.Facts.Identity.Roles)
					}
					continue
				}
				is(t, "a request", err, portal.ProblemSessionExpired)
				_, err = w.ask(session.Cookies{Access: b.cookies.Access}, true)
				if err == nil {
					t.Error("the access token alone passes")
				}
				_, err = w.ask(session.Cookies{Refresh: b.cookies.Refresh}, true)
				is(t, "the refresh token alone", err, portal.ProblemSessionExpired)
			}
		})
	}
}

// The table of neighbours: with PostgreSQL gone or silent who is signed in goes on until the access token ends; nothing
// is renewed, nobody loses a cookie, and nothing hangs.
func TestWithoutTheDatabaseWhoIsSignedInGoesOn(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(*testenv.Proxy){"gone": (*testenv.Proxy).Cut, "silent": (*testenv.Proxy).Stall} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testenv.Database(t)
			proxy, address := testenv.ProxyPostgres(t, db.AppURL)
			h, tenant, _ := newHouse(t, testenv.Plan{DatabaseURL: address})
			warm, cold := signedIn(t, h, &tenant, false), signedIn(t, h, &tenant, false)
			warm.get(t)
			begin(proxy)
			quick := func(what string, w *browser, c session.Cookies, renewable bool, want portal.ProblemKind) {
				t.Helper()
				began := time.Now()
				r, err := w.ask(c, renewable)
				is(t, what, err, want)
				if err == nil && r.Grant != nil {
					t.Errorf("%s: renewed without a database", what)
				}
				if took := time.Since(began); took > 5*time.Second { // two are promised, the rest is this machine's
					t.Errorf("%s took %s", what, took)
				}
			}
			quick("a warm request", warm, warm.cookies, true, "")
			quick("facts that were never read", cold, cold.cookies, true, portal.ProblemUnavailable)
			h.Clock.Advance(26 * time.Minute)
			quick("near the end", warm, warm.cookies, true, "")
			quick("near the end, HEAD", warm, warm.cookies, false, "")
			h.Clock.Advance(5 * time.Minute)
			quick("after the end", warm, warm.cookies, true, portal.ProblemUnavailable)
			quick("the refresh token alone", warm, session.Cookies{Refresh: warm.cookies.Refresh}, true, portal.ProblemUnavailable)
			_ = h.Sessions.Settle(t.Context()) // what was put off meanwhile is lost, and is put off again
			proxy.Heal()
			for _, w := range []*browser{warm, cold} {
				if r := w.get(t); r.Grant == nil {
					t.Error("not renewed when the database was back")
				}
			}
		})
	}
}

// Contract 5: that a successor has arrived is noted also when the database was away at its first sight; otherwise the
// token before it would stay of use to a thief.
func TestAnArrivalThatCouldNotBeNotedIsNotedAtTheNextRequest(t *testing.T) {
	t.Parallel()
	proxy, address := testenv.ProxyPostgres(t, testenv.Database(t).AppURL)
	h, tenant, _ := newHouse(t, testenv.Plan{DatabaseURL: address})
	b := signedIn(t, h, &tenant, false)
	replaced := session.Cookies{Refresh: b.cookies.Refresh}
	h.Clock.Advance(26 * time.Minute)
	b.get(t)
	proxy.Cut()
	b.get(t) // the first sight
	if err := h.Sessions.Settle(t.Context()); err == nil {
		t.Fatal("noted without a database")
	}
	proxy.Heal()
	b.get(t)
	settled(t, h)
	h.Clock.Advance(time.Minute)
	_, err := b.ask(replaced, true)
	is(t, "the replaced token", err, portal.ProblemSessionExpired)
}

// Cut off from every server for too long, nothing passes: this gateway may be the one that has missed a revocation.
func TestAGatewayThatIsCutOffLetsNothingPass(t *testing.T) {
	t.Parallel()
	h, tenant, _ := newHouse(t, testenv.Plan{})
	b := signedIn(t, h, &tenant, false)
	off := false
	k := session.New(session.Options{Store: h.Store, Keys: h.Keys, Ended: h.Ended, Policy: h.Policy, Realm: "customers", Now: h.Clock.Now, CutOff: func() bool { return off }})
	if _, err := k.Resume(t.Context(), &tenant, b.cookies, b.client(), true); err != nil {
		t.Fatal(err)
	}
	off = true
	_, err := k.Resume(t.Context(), &tenant, b.cookies, b.client(), true)
	is(t, "cut off", err, portal.ProblemUnavailable)
	off = false
	if _, err := k.Resume(t.Context(), &tenant, b.cookies, b.client(), true); err != nil {
		t.Errorf("connected again: %v", err)
	}
}
