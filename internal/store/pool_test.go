package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// bare demands that the next connection of a pool has neither a tenant nor a time of ours.
func bare(t *testing.T, s *store.Store, after string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	var tenant, now, state string
	if err := s.Pool().QueryRow(ctx, `select current_setting('app.current_tenant_id', true), coalesce(current_setting('portalgate.now', true), ''), coalesce(pg_current_xact_id_if_assigned()::text, '')`).Scan(&tenant, &now, &state); err != nil {
		t.Fatalf("after %s: %v", after, err)
	}
	if tenant != string(portal.NilTenant) || now != "" || state != "" {
		t.Fatalf("after %s a connection goes back with tenant %q, time %q, transaction %q", after, tenant, now, state)
	}
}

func narrow(t *testing.T, address string, conns int, wait time.Duration) *store.Store {
	t.Helper()
	s, err := store.Open(address, store.Options{MaxConns: conns, Wait: wait})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// TEN-07: one connection, two tenants in turn, and every way in which a transaction can end. None leaves its tenant.
func TestAConnectionGoesBackWithoutItsTenant(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	a, b := newPlace(t, db), newPlace(t, db)
	s := narrow(t, db.AppURL, 1, patient)
	broken := errors.New("broken")
	// sees demands that exactly its own tenant exists in a transaction.
	sees := func(ctx context.Context, x *store.Tx, p *place) error {
		var people, others int
		var set string
		if err := x.QueryRow(ctx, `select count(*), count(*) filter (where tenant_id <> $1), current_setting('app.current_tenant_id') from public.customer_users`, p.tenant.ID).Scan(&people, &others, &set); err != nil {
			return err
		}
		if people != 1 || others != 0 || set != string(p.tenant.ID) {
			t.Errorf("%d people, %d of them another tenant's, under %s", people, others, set)
		}
		return nil
	}
	ends := []struct {
		name string
		want error // nil: any
		run  func(p *place) error
	}{
		{"a commit", nil, func(p *place) error {
			return s.Within(t.Context(), p.tenant.ID, p.clock.Now(), func(x *store.Tx) error { return sees(t.Context(), x, p) })
		}},
		{"an error", broken, func(p *place) error {
			return s.Within(t.Context(), p.tenant.ID, p.clock.Now(), func(x *store.Tx) error { return errors.Join(sees(t.Context(), x, p), broken) })
		}},
		{"an error of the server's that nobody minds", errors.ErrUnsupported, func(p *place) error {
			if s.Within(t.Context(), p.tenant.ID, p.clock.Now(), func(x *store.Tx) error {
				_, _ = x.Exec(t.Context(), `select 1 / 0`)
				return nil
			}) == nil {
				return nil
			}
			return errors.ErrUnsupported // whatever it says, it must say something
		}},
		{"a panic", broken, func(p *place) (err error) {
			defer func() { err, _ = recover().(error) }()
			return s.Within(t.Context(), p.tenant.ID, p.clock.Now(), func(x *store.Tx) error { panic(broken) })
		}},
		{"a goroutine's end", nil, func(p *place) error {
			var wg sync.WaitGroup
			wg.Go(func() {
				_ = s.Within(t.Context(), p.tenant.ID, p.clock.Now(), func(x *store.Tx) error { runtime.Goexit(); return nil })
			})
			wg.Wait()
			return nil
		}},
		{"a request that was gone before", context.Canceled, func(p *place) error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return s.Within(ctx, p.tenant.ID, p.clock.Now(), func(x *store.Tx) error { return nil })
		}},
		{"a request that goes in the middle", context.Canceled, func(p *place) error {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			return s.Within(ctx, p.tenant.ID, p.clock.Now(), func(x *store.Tx) error {
				err := sees(ctx, x, p)
				cancel()
				return err
			})
		}},
		{"a reading in one trip", nil, func(p *place) error {
			got, err := s.Tenant(t.Context(), p.tenant.ID, p.clock.Now())
			if err == nil && got.Slug != p.tenant.Slug {
				t.Errorf("read %+v for %s", got, p.tenant.Slug)
			}
			return err
		}},
		{"a reading that finds nothing", store.ErrNone, func(p *place) error {
			_, err := s.Facts(t.Context(), p.tenant.ID, newID[portal.SessionID](), p.clock.Now())
			return err
		}},
		{"a claim", nil, func(p *place) error { _, err := s.Claim(t.Context(), p.clock.Now(), 0); return err }},
		{"a tenant that is none", portal.ErrID, func(p *place) error {
			return s.Within(t.Context(), "' or true --", p.clock.Now(), func(x *store.Tx) error { t.Error("it ran"); return nil })
		}},
	}
	for i := range 44 * len(ends) {
		p, end := []*place{a, b}[i%2], ends[i/2%len(ends)]
		if err := end.run(p); !errors.Is(err, end.want) {
			t.Fatalf("%s: %v", end.name, err)
		}
		bare(t, s, end.name)
	}

	// What is cut off while the server is at work costs a connection, and the next one is bare too.
	watch, sleep := connect(t, db.RootURL), `select pg_sleep(60) /* `+string(a.tenant.ID)+` */`
	working := func(act func()) {
		for t.Context().Err() == nil {
			var busy bool
			if err := watch.QueryRow(t.Context(), `select exists (select from pg_stat_activity where datname = current_database() and state = 'active' and query = $1)`, sleep).Scan(&busy); err != nil {
				t.Error(err)
			}
			if busy {
				break
			}
		}
		act()
	}
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { working(cancel) })
		if err := s.Within(ctx, a.tenant.ID, a.clock.Now(), func(x *store.Tx) error { _, err := x.Exec(ctx, sleep); return err }); err == nil {
			t.Error("a statement that was cancelled has succeeded")
		}
		wg.Wait()
		cancel()
		bare(t, s, "a statement that was cancelled")
		wg.Go(func() {
			working(func() {
				db.Exec(t, `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and state = 'active' and query = $1`, sleep)
			})
		})
		if err := s.Within(t.Context(), a.tenant.ID, a.clock.Now(), func(x *store.Tx) error { _, err := x.Exec(t.Context(), sleep); return err }); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("a connection that was ended: %v", err)
		}
		wg.Wait()
		bare(t, s, "a connection that was ended")
	}
	hurried := narrow(t, db.AppURL, 1, 300*time.Millisecond)
	if err := hurried.Within(t.Context(), a.tenant.ID, a.clock.Now(), func(x *store.Tx) error {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := x.Exec(ctx, sleep)
		return err
	}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("an answer that takes too long: %v", err)
	}
	bare(t, hurried, "an answer that took too long")
}

// The same with two connections and more who want them: nobody ever gets another tenant's answer.
func TestTenantsThatShareConnectionsSeeTheirOwn(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	s := narrow(t, db.AppURL, 2, patient)
	var wg sync.WaitGroup
	for n := range 6 {
		p := newPlace(t, db)
		wg.Go(func() {
			for i := range 60 {
				ctx, cancel := context.WithCancel(t.Context())
				err := s.Within(ctx, p.tenant.ID, p.clock.Now(), func(x *store.Tx) error {
					if i%7 == n {
						cancel()
					}
					people, err := x.People(ctx, annsAddress)
					if err == nil && (len(people) != 1 || people[0].User.ID != p.ann) {
						t.Errorf("the people of another tenant: %+v", people)
					}
					return err
				})
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				cancel()
				if got, err := s.Tenant(t.Context(), p.tenant.ID, p.clock.Now()); err != nil || got.ID != p.tenant.ID || got.Slug != p.tenant.Slug {
					t.Errorf("the name of another tenant: %+v, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

// The one statement that sets a tenant sets it for its transaction.
func TestATenantIsSetInOnePlace(t *testing.T) {
	t.Parallel()
	var setters []string
	for _, q := range queries(t) {
		if s := strings.ToLower(q.sql); strings.Contains(s, "set_config") || strings.HasPrefix(s, "set ") || strings.Contains(s, "current_tenant") {
			setters = append(setters, q.sql)
		}
	}
	if len(setters) < 1 {
		t.Error("nothing sets it")
	}
	for _, s := range setters {
		if s != `select set_config('app.current_tenant_id', $1, true), set_config('portalgate.now', $2, true)` {
			t.Errorf("this sets something: %s", s)
		}
	}
}

// TEN-10: in the simple protocol a parameter is text pasted into a statement. No address can ask for it.
func TestTheSimpleProtocolIsRefused(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	for _, mode := range []string{"simple_protocol", "exec", "nonsense"} {
		u, err := url.Parse(db.AppURL)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set("default_query_exec_mode", mode)
		u.RawQuery = q.Encode()
		s, err := store.Open(u.String(), store.Options{})
		if err == nil {
			defer s.Close()
		}
		if (err == nil) != (mode == "exec") { // exec is of the extended protocol
			t.Errorf("%s: %v", mode, err)
		}
	}
}

// TEN-10: whatever somebody writes comes back as it was written, and changes no statement.
func TestTextIsKeptAsItIs(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p := newPlace(t, db)
	for i, text := range []string{`'; drop table portalgate.sessions; --`, `$1`, `$$ $x$`, `\`, `\' or 1=1`, `"`, `%s %d %`, `{}`, `${jndi:x}`, "line\r\nline\t", `Ж 漢 🦊`, `E'\x00'`, strings.Repeat("'", 99)} {
		p.asOperator(t, func(x *store.Tx) error {
			_, err := x.AddUser(t.Context(), store.NewUser{Email: portal.Email(fmt.Sprintf("p%d@buyer.example", i)), FirstName: text, LastName: text, Role: portal.RoleUser, Verified: true, PHC: text, KeyID: text}, store.Deed{Operator: text, Reason: text})
			return errors.Join(err, x.RenameTenant(t.Context(), text, store.Deed{Operator: text}), x.SetBrand(t.Context(), portal.Brand{Contact: text}, store.Deed{Operator: text}))
		})
		p.in(t, func(x *store.Tx) error {
			if _, err := x.SawDevice(t.Context(), p.ann, []byte{byte(i)}, text, text, netip.Addr{}); err != nil {
				return err
			}
			return x.Record(t.Context(), portal.Activity{Verb: portal.VerbLogin, User: p.ann, Agent: text, Result: "ok", Note: text, Facts: map[string]string{text: text}})
		})
		p.in(t, func(x *store.Tx) error {
			people, err := x.People(t.Context(), portal.Email(fmt.Sprintf("p%d@buyer.example", i)))
			if err != nil {
				return err
			}
			if len(people) != 1 || people[0].User.FirstName != text || people[0].Secret.PHC != text {
				t.Errorf("%q: a person comes back as %+v", text, people)
			}
			trail, err := x.Activities(t.Context(), []portal.UserID{p.ann}, 200, p.clock.Now().Add(patient))
			if err != nil {
				return err
			}
			found := false
			for _, a := range trail {
				found = found || a.Agent == text && a.Note == text && a.Facts[text] == text
			}
			if !found {
				t.Errorf("%q: the trail is %+v", text, trail)
			}
			return nil
		})
		if got, err := p.gateway.Tenant(t.Context(), p.tenant.ID, p.clock.Now()); err != nil || got.Name != text || got.Brand.Contact != text {
			t.Errorf("%q: the tenant comes back as %+v, %v", text, got, err)
		}
		var agent string
		db.Row(t, `select agent from portalgate.devices where tenant_id = $1 and digest = $2`, []any{p.tenant.ID, []byte{byte(i)}}, &agent)
		if agent != text {
			t.Errorf("%q: a browser comes back as %q", text, agent)
		}
	}
	// What PostgreSQL cannot say is refused as what it is: no fault of the server's, which somebody would wait out.
	for _, text := range []string{"nul \x00", "cut \xff\xfe"} {
		err := p.gateway.Within(t.Context(), p.tenant.ID, p.clock.Now(), func(x *store.Tx) error {
			_, err := x.SawDevice(t.Context(), p.ann, []byte{'n'}, text, text, netip.Addr{})
			return err
		})
		if code(err) != unsayable || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
