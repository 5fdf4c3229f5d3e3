package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// A condition on lower(email) would read every person of the tenant at each sign-in, for whoever types any address.
func TestNobodyIsFoundByReadingTheirWholeTenant(t *testing.T) {
	t.Parallel()
	const crowd = 2000
	p := newPlace(t, testenv.FreshDatabase(t))
	root := connect(t, p.db.RootURL)
	for _, sql := range []string{
		fmt.Sprintf(`insert into public.customer_users (customer_id, tenant_id, email, password_hash, first_name, last_name, role)
			select customer_id, tenant_id, 'crowd' || i || '@buyer.example', '!portalgate', 'C', 'C', role from public.customer_users, generate_series(1, %d) i where id = '%s'`, crowd, p.ann),
		`insert into portalgate.sessions (id, tenant_id, user_id, choices, remember, amr, auth_time, created_at, last_active_at, idle_end, ends_at, agent)
			select gen_random_uuid(), tenant_id, id, array[id], false, '{pwd}', now(), now(), now(), now() + interval '1 hour', now() + interval '1 hour', 'Firefox' from public.customer_users`,
		`analyze`,
	} {
		if _, err := root.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	ctx, nobody := t.Context(), portal.Email("nobody@buyer.example")
	s := portal.Session{ID: newID[portal.SessionID](), Tenant: p.tenant.ID, User: p.ann, Choices: []portal.UserID{p.ann}, AMR: []portal.AMR{portal.AMRPassword}, AuthTime: p.clock.Now(),
		CreatedAt: p.clock.Now(), LastActive: p.clock.Now(), IdleEnd: p.clock.Now().Add(time.Hour), End: p.clock.Now().Add(time.Hour), Agent: "Firefox"}
	people := func(e portal.Email, want int) func(*store.Tx) error {
		return func(x *store.Tx) error {
			got, err := x.People(ctx, e)
			if len(got) != want {
				t.Errorf("%s is %d rows", e, len(got))
			}
			return err
		}
	}
	for name, act := range map[string]func(*store.Tx) error{
		"somebody":     people(annsAddress, 1),
		"nobody":       people(nobody, 0),
		"a row":        func(x *store.Tx) error { _, err := x.Account(ctx, p.ann); return err },
		"their proofs": func(x *store.Tx) error { _, err := x.Factors(ctx, p.ann); return err },
		"a failure":    func(x *store.Tx) error { return x.Mirror(ctx, annsAddress) },
		"an offer":     func(x *store.Tx) error { return x.Offer(ctx, p.ann) },
		"a settlement": func(x *store.Tx) error { return x.Settle(ctx, p.ann) },
		"a session":    func(x *store.Tx) error { _, err := x.BeginSession(ctx, s, digestOf(s.ID), "k1", 5); return err },
		"sessions":     func(x *store.Tx) error { _, err := x.Sessions(ctx, []portal.UserID{p.ann}); return err },
		"a new name": func(x *store.Tx) error {
			_, err := x.RenameFactor(ctx, p.ann, newID[portal.FactorID](), "x")
			return err
		},
	} {
		p.in(t, func(x *store.Tx) error {
			if err := act(x); err != nil {
				return err
			}
			var read int
			err := x.QueryRow(ctx, `select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) from pg_stat_xact_user_tables`).Scan(&read)
			if read > crowd/10 {
				t.Errorf("%s: %d rows were read, of %d people", name, read, crowd)
			}
			return err
		})
	}
}

func TestAnAddressIsKnownWhoeverWritesIt(t *testing.T) {
	t.Parallel()
	p := newPlace(t, testenv.Database(t))
	root := connect(t, p.db.RootURL)
	erp := func(sql string, args ...any) {
		t.Helper()
		if _, err := root.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	found := func(e portal.Email, want int) {
		t.Helper()
		p.in(t, func(x *store.Tx) error {
			got, err := x.People(t.Context(), e)
			if len(got) != want {
				t.Errorf("%s: %d rows instead of %d", e, len(got), want)
			}
			return err
		})
	}
	bob := newID[portal.UserID]()
	erp(`insert into public.customer_users (id, customer_id, tenant_id, email, password_hash, first_name, last_name, role)
		select $1, customer_id, tenant_id, 'Bob@Buyer.Example', 'x', 'Bob', 'Buyer', role from public.customer_users where id = $2`, bob, p.ann)
	found("bob@buyer.example", 1)
	erp(`update public.customer_users set email = 'ROB@buyer.example' where id = $1`, bob)
	found("bob@buyer.example", 0)
	found("rob@buyer.example", 1)

	// Where triggers were off, saying the address once more makes it known, which is what doctor says.
	erp(`delete from portalgate.addresses where user_id = $1`, bob)
	found("rob@buyer.example", 0)
	if n := p.lost(t); n != 1 {
		t.Errorf("%d people are lost instead of one", n)
	}
	erp(`update public.customer_users set email = email where id = $1`, bob)
	found("rob@buyer.example", 1)
	if n := p.lost(t); n != 0 {
		t.Errorf("%d people are lost", n)
	}

	erp(`delete from public.customer_users where id = $1`, bob)
	var left int
	if err := root.QueryRow(t.Context(), `select count(*) from portalgate.addresses where user_id = $1`, bob).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d addresses of somebody who is gone, %v", left, err)
	}
}

func (p *place) lost(t *testing.T) (n int) {
	t.Helper()
	p.in(t, func(x *store.Tx) (err error) {
		n, err = x.Lost(t.Context())
		return err
	})
	return n
}
