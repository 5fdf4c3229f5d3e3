package store_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

const day = 24 * time.Hour

// long is a place whose clock stands where it stood some time ago: the database believes nobody that a row is older than
// its own clock says.
func longAgo(t *testing.T, db testenv.DB, ago time.Duration) *place {
	t.Helper()
	p := newPlace(t, db)
	p.clock.Advance(-ago)
	return p
}

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

// lived leaves of one moment a row in each log, an ended session and an announcement.
func (p *place) lived(t *testing.T) portal.Session {
	t.Helper()
	s := p.begin(t, p.ann)
	p.in(t, func(x *store.Tx) error {
		for _, a := range []portal.Activity{
			{Verb: portal.VerbLogin, User: p.ann, Addr: netip.MustParseAddr("203.0.113.77"), Agent: firefox, Result: "ok"},
			{Verb: portal.VerbLogout, User: p.ann, Addr: netip.MustParseAddr("2001:db8:1:2:3:4:5:6"), Agent: firefox, Result: "ok"},
			{Verb: portal.VerbLoginFailed, Addr: netip.MustParseAddr("203.0.113.78"), Agent: "curl/8.5.0", Result: "refused", Facts: map[string]string{"network": "203.0.113.78", "count": "3"}},
		} {
			if err := x.Record(t.Context(), a); err != nil {
				return err
			}
		}
		_, err := x.EndSession(t.Context(), s.ID, portal.EndSignOut)
		return err
	})
	return s
}

// kept counts what a tenant has, by name.
func (p *place) kept(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	for name, sql := range map[string]string{
		"activity": `select count(*) from public.customer_activity_log where tenant_id = $1`,
		"events":   `select count(*) from portalgate.events where tenant_id = $1 and verb = 'LOGIN_FAILED'`,
		"sessions": `select count(*) from portalgate.sessions where tenant_id = $1`, "tokens": `select count(*) from portalgate.refresh_tokens where tenant_id = $1`,
		"revocations": `select count(*) from portalgate.revocations where tenant_id = $1 and kind = 'session'`,
	} {
		var n int
		p.db.Row(t, sql, []any{p.tenant.ID}, &n)
		out[name] = n
	}
	return out
}

func (p *place) forget(t *testing.T, what store.Forgettable, kept time.Duration) int64 {
	t.Helper()
	n, err := p.gateway.Forget(t.Context(), p.tenant.ID, p.clock.Now(), what, p.clock.Now().Add(-kept), 1000)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWhatIsOldIsForgottenAndNothingElse(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p, other := longAgo(t, db, 400*day), longAgo(t, db, 400*day)
	p.lived(t)
	other.lived(t)
	p.clock.Advance(20 * day) // 380 days ago
	p.lived(t)
	p.clock.Advance(380 * day)
	other.clock.Advance(400 * day)
	before := other.kept(t)

	for what, want := range map[store.Forgettable]int64{store.ForgetActivity: 2, store.ForgetEvents: 1, store.ForgetSessions: 2, store.ForgetRevocations: 2} {
		kept := portal.DefaultRetention().Activity
		if what == store.ForgetSessions || what == store.ForgetRevocations {
			kept = portal.SessionsKept
		}
		if n := p.forget(t, what, kept); n != want {
			t.Errorf("%d %s are forgotten, expected %d", n, what, want)
		}
		if n := p.forget(t, what, kept); n != 0 {
			t.Errorf("and then %d more %s", n, what)
		}
	}
	got := p.kept(t)
	for name, want := range map[string]int{"activity": 2, "events": 1, "sessions": 0, "tokens": 0, "revocations": 0} {
		if got[name] != want {
			t.Errorf("%d %s are left, expected %d", got[name], name, want)
		}
	}
	for name, n := range other.kept(t) {
		if n != before[name] || n == 0 {
			t.Errorf("the other tenant has %d %s of %d", n, name, before[name])
		}
	}
}

// Whoever holds the gateway's login says that it is next year, and asks for everything to be forgotten.
func TestAThiefOfTheLoginWipesOutNoTraceOfLastWeek(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p := longAgo(t, db, 29*day)
	live := p.begin(t, p.ann)
	p.lived(t)
	p.clock.Advance(29 * day)
	p.in(t, func(x *store.Tx) error { _, err := x.EndSession(t.Context(), live.ID, portal.EndSignOut); return err })
	before := p.kept(t)
	p.clock.Advance(1000 * day)
	for _, what := range []store.Forgettable{store.ForgetActivity, store.ForgetEvents, store.ForgetSessions} {
		if n := p.forget(t, what, -1000*day); n != 0 {
			t.Errorf("%d %s are forgotten", n, what)
		}
	}
	if n := p.forget(t, store.ForgetRevocations, -1000*day); n != 1 { // the one of 29 days ago
		t.Errorf("%d revocations are forgotten", n)
	}
	got := p.kept(t)
	before["revocations"]--
	for name, n := range before {
		if got[name] != n {
			t.Errorf("%s: %d of %d are left", name, got[name], n)
		}
	}
	for _, sql := range []string{`select portalgate.forget('tenants', now(), 10)`, `select portalgate.forget(null, now(), 10)`, `select portalgate.coarsen('tenants', now(), '{}', '{}')`,
		`select portalgate.coarsen('events', now(), '{x}', '{"Café"}')`} {
		if err := p.gateway.Within(t.Context(), p.tenant.ID, time.Now(), func(x *store.Tx) error { _, err := x.Exec(t.Context(), sql); return err }); err == nil {
			t.Errorf("%s is not refused", sql)
		}
	}
	// Without a tenant, and as another one, nothing is there to be forgotten.
	c := connect(t, db.AppURL)
	for _, tenant := range []string{"", string(portal.NilTenant), newID[string]()} {
		if _, err := c.Exec(t.Context(), `select set_config('app.current_tenant_id', $1, false)`, tenant); err != nil {
			t.Fatal(err)
		}
		var n int64
		if err := c.QueryRow(t.Context(), `select portalgate.forget('revocations', now(), 1000)`).Scan(&n); err != nil || n != 0 {
			t.Errorf("tenant %q: %d, %v", tenant, n, err)
		}
	}
}

func TestRowsAboutTheERPsDocumentsAndOfAGateThatIsOffAreTheERPs(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p := newPlace(t, db)
	for _, row := range []string{`'LOGIN', null, null`, `'LOGIN', null, '{"result": "ok"}'::jsonb`, `'ORDER_VIEW', gen_random_uuid(), null`, `'ORDER_VIEW', gen_random_uuid(), '{"result": "ok"}'`} {
		db.Exec(t, `insert into public.customer_activity_log (tenant_id, customer_user_id, activity_type, sales_order_id, metadata, ip_address, created_at)
			select $1, $2, a, b::uuid, c::jsonb, '203.0.113.9', now() - interval '2 years' from (values (`+row+`)) v (a, b, c)`, p.tenant.ID, p.ann)
	}
	db.Exec(t, `update portalgate.settings set value = '"off"' where tenant_id = $1 and key = 'mode'`, p.tenant.ID)
	p.coarsen(t, store.ForgetActivity, 90*day)
	if n := p.forget(t, store.ForgetActivity, 395*day); n != 1 {
		t.Errorf("off: %d", n)
	}
	var exact int
	if db.Row(t, `select count(*) from public.customer_activity_log where tenant_id = $1 and ip_address = '203.0.113.9'`, []any{p.tenant.ID}, &exact); exact != 3 {
		t.Errorf("off: %d addresses are as they were", exact)
	}
	db.Exec(t, `update portalgate.settings set value = '"on"' where tenant_id = $1 and key = 'mode'`, p.tenant.ID)
	if n := p.forget(t, store.ForgetActivity, 395*day); n != 1 {
		t.Errorf("on: %d", n)
	}
	if n := p.kept(t)["activity"]; n != 2 {
		t.Errorf("%d rows about documents are left", n)
	}
}

func (p *place) coarsen(t *testing.T, what store.Forgettable, kept time.Duration) int64 {
	t.Helper()
	n, err := p.gateway.Coarsen(t.Context(), p.tenant.ID, p.clock.Now(), what, p.clock.Now().Add(-kept), 1000, func(agent string) string {
		if !strings.Contains(agent, "/") {
			t.Errorf("%q is asked for twice", agent)
		}
		return "Browser " + agent[:4]
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// seen are the addresses and agents of a tenant's logs.
func (p *place) seen(t *testing.T) (out []string) {
	t.Helper()
	out = texts(t, connect(t, p.db.RootURL), `select ip_address || ' ' || user_agent from public.customer_activity_log where tenant_id = $1
		union all select host(address) || ' ' || agent || ' ' || (facts ->> 'network') from portalgate.events where tenant_id = $1 and verb = 'LOGIN_FAILED' order by 1`, p.tenant.ID)
	return out
}

func TestOldAddressesAndAgentsBecomeCoarse(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p, other := longAgo(t, db, 91*day), longAgo(t, db, 91*day)
	p.lived(t)
	other.lived(t)
	p.clock.Advance(2 * day)
	p.lived(t)
	p.clock.Advance(89 * day)
	exact := []string{"2001:db8:1:2:3:4:5:6 " + firefox, "203.0.113.77 " + firefox, "203.0.113.78 curl/8.5.0 203.0.113.78"}
	for _, want := range []int64{2, 0} {
		if n := p.coarsen(t, store.ForgetActivity, 90*day); n != want {
			t.Errorf("%d of the activity, expected %d", n, want)
		}
	}
	for _, want := range []int64{1, 0} {
		if n := p.coarsen(t, store.ForgetEvents, 90*day); n != want {
			t.Errorf("%d of the events, expected %d", n, want)
		}
	}
	want := append([]string{"2001:db8:1:: Browser Mozi", "203.0.113.0 Browser Mozi", "203.0.113.0 Browser curl 203.0.113.0"}, exact...)
	if got := p.seen(t); !slices.Equal(sorted(got), sorted(want)) {
		t.Errorf("%q", got)
	}
	if got := other.seen(t); !slices.Equal(sorted(got), sorted(exact)) {
		t.Errorf("of the other tenant: %q", got)
	}
	// A sooner date goes on from there, and the last week is nobody's to blur.
	p.clock.Advance(-3 * day)
	p.lived(t)
	p.clock.Advance(3 * day)
	if n := p.coarsen(t, store.ForgetActivity, 0); n != 0 { // it does not ask for ever
		t.Errorf("%d", n)
	}
	if got := p.seen(t); !slices.Contains(got, exact[0]) || strings.Count(strings.Join(got, "\n"), exact[1]) != 1 {
		t.Errorf("%q", got)
	}
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

func TestTwoGatewaysSweepTheSameTenant(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p := longAgo(t, db, 500*day)
	const each = 40
	for range each {
		p.clock.Advance(time.Minute)
		p.lived(t)
	}
	p.clock.Set(time.Now())
	gateways := []*store.Store{p.gateway, open(t, db.AppURL)}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		gone = map[store.Forgettable]int64{}
	)
	for _, g := range gateways {
		wg.Go(func() {
			for range 3 * each {
				if _, err := g.Coarsen(context.WithoutCancel(t.Context()), p.tenant.ID, p.clock.Now(), store.ForgetActivity, p.clock.Now().Add(-90*day), 7, func(string) string { return "Firefox" }); err != nil {
					t.Error(err)
				}
				for _, what := range []store.Forgettable{store.ForgetActivity, store.ForgetEvents, store.ForgetSessions} {
					n, err := g.Forget(context.WithoutCancel(t.Context()), p.tenant.ID, p.clock.Now(), what, p.clock.Now().Add(-400*day), 3)
					if err != nil || n > 3 {
						t.Errorf("%s: %d, %v", what, n, err)
					}
					mu.Lock()
					gone[what] += n
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if gone[store.ForgetActivity] != 2*each || gone[store.ForgetEvents] != each || gone[store.ForgetSessions] != each {
		t.Errorf("%v", gone)
	}
}

// A session's tokens are there for as long as it can be alive, however long that is and however long it is quiet.
func TestASessionThatMayStillLiveKeepsItsTokens(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p := longAgo(t, db, 200*day)
	live, ended := p.begin(t, p.ann), p.begin(t, p.ann)
	db.Exec(t, `update portalgate.sessions set ends_at = created_at + interval '400 days', idle_end = created_at + interval '171 days' where tenant_id = $1`, p.tenant.ID)
	p.clock.Advance(171 * day)
	p.in(t, func(x *store.Tx) error { _, err := x.EndSession(t.Context(), ended.ID, portal.EndReuse); return err })
	p.clock.Advance(29 * day)
	if n := p.forget(t, store.ForgetSessions, portal.SessionsKept); n != 0 {
		t.Errorf("%d", n)
	}
	p.in(t, func(x *store.Tx) error {
		for id, over := range map[portal.SessionID]bool{live.ID: false, ended.ID: true} {
			r, err := x.Refresh(t.Context(), digestOf(id))
			if err != nil || r.Session.EndedAt.IsZero() == over {
				t.Errorf("%+v, %v", r.Session, err)
			}
		}
		return nil
	})
}

func TestWhatNobodyUsedAndBrowsersOfLongAgoAreForgotten(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p := newPlace(t, db)
	for id, age := range map[string]string{"old": "396 days", "young": "394 days", "here": "89 days"} {
		db.Exec(t, `insert into portalgate.devices (tenant_id, user_id, digest, label, agent, first_seen, last_seen) values ($1, $2, sha256($3::bytea), 'Firefox', 'Firefox/140.0', now(), now() - $4::interval)`, p.tenant.ID, p.ann, id, age)
	}
	for id, age := range map[string]string{"old": "25 hours", "young": "23 hours"} {
		db.Exec(t, `insert into portalgate.attempts (id, tenant_id, digest, users, verified, expired, shown, remember, return_to, created_at, expires_at)
			values (gen_random_uuid(), $1, sha256(($1::uuid || $3)::bytea), array[$2::uuid], true, false, '{}', false, '/', now(), now() - $4::interval)`, p.tenant.ID, p.ann, id, age)
		db.Exec(t, `insert into portalgate.tickets (id, tenant_id, digest, purpose, user_id, email, stamp, created_at, expires_at)
			values (gen_random_uuid(), $1, sha256(($1::uuid || $3)::bytea), 'recover', $2, 'ann@buyer.example', '\x04', now(), now() - $4::interval)`, p.tenant.ID, p.ann, id, age)
	}
	if n, err := p.gateway.SweepDevices(t.Context(), p.tenant.ID, time.Now(), time.Now().Add(-90*day), 10); n != 1 || err != nil {
		t.Errorf("devices: %d, %v", n, err)
	}
	if n, err := p.gateway.SweepUnused(t.Context(), p.tenant.ID, time.Now(), 10); n != 1 || err != nil {
		t.Errorf("unused: %d, %v", n, err)
	}
	var devices, attempts, tickets int
	db.Row(t, `select (select count(*) from portalgate.devices where tenant_id = $1 and (agent = 'Firefox') = (last_seen < now() - interval '90 days')), (select count(*) from portalgate.attempts where tenant_id = $1), (select count(*) from portalgate.tickets where tenant_id = $1)`,
		[]any{p.tenant.ID}, &devices, &attempts, &tickets)
	if devices != 2 || attempts != 1 || tickets != 1 {
		t.Errorf("%d devices, %d sign-ins under way, %d links are left", devices, attempts, tickets)
	}
}
