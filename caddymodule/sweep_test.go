package caddymodule

import (
	"net/netip"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// A sweep of a whole gateway: each tenant's rows by the configuration's numbers, and nothing that is younger.
func TestASweepForgetsByTheConfigurationsNumbers(t *testing.T) {
	t.Parallel()
	w, house, acme, globex := keeping(t)
	w.settings.policy = portal.DefaultPolicy()
	w.settings.policy.Retention = portal.Retention{Activity: 60 * day, Coarse: 10 * day}
	house.Clock.Advance(-100 * day)
	users := map[portal.TenantID]portal.UserID{}
	for _, n := range []portal.Tenant{acme, globex} {
		users[n.ID] = house.Person(t, n, testenv.Visitor{})
	}
	record := func(n portal.Tenant) {
		t.Helper()
		if err := house.Store.Within(t.Context(), n.ID, house.Clock.Now(), func(x *store.Tx) error {
			return x.Record(t.Context(), portal.Activity{Verb: portal.VerbLogin, User: users[n.ID], Addr: netip.MustParseAddr("203.0.113.77"), Agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", Result: "ok"})
		}); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 { // 100, 59 and 9 days ago
		record(acme)
		record(globex)
		house.Clock.Advance(41 * day)
		if house.Clock.Now().After(time.Now().Add(-20 * day)) {
			house.Clock.Set(time.Now().Add(-9 * day))
		}
	}
	house.Clock.Set(time.Now())
	for range 2 {
		if err := w.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []portal.Tenant{acme, globex} {
		var rows string
		house.DB.Row(t, `select string_agg(ip_address || ' ' || left(user_agent, 16), ', ' order by created_at) from public.customer_activity_log where tenant_id = $1 and activity_type = 'LOGIN'`, []any{n.ID}, &rows)
		if want := "203.0.113.0 Firefox on Linux, 203.0.113.77 Mozilla/5.0 (X11"; rows != want {
			t.Errorf("%s has %q, want %q", n.Slug, rows, want)
		}
	}
}
