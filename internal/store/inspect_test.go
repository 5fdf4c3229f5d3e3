package store_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
	"github.com/portalgate/portalgate/migrations"
)

// as is a database's address for another login.
func as(t *testing.T, address, role string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if q.Get("user") == "" {
		testenv.Missing(t, "the server of the tests asks for passwords; leave PORTALGATE_TEST_DATABASE_URL out for this test")
	}
	q.Set("user", role)
	u.RawQuery = q.Encode()
	return u.String()
}

// Whoever could cross tenants, and whatever cannot be worked with, is refused with its reason and its mend (CFG-02,
// TEN-05).
func TestADatabaseThatIsNotFitIsRefusedWithItsReasonAndItsMend(t *testing.T) {
	t.Parallel()
	db := testenv.FreshDatabase(t)
	versions := store.Versions{Oldest: migrations.Oldest(), Latest: migrations.Latest(), Server: migrations.LeastServer}
	inspect := func(t *testing.T, address string, v store.Versions) error {
		t.Helper()
		s, err := store.Open(address, store.Options{MaxConns: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		return s.Inspect(t.Context(), v)
	}
	if err := inspect(t, db.AppURL, versions); err != nil {
		t.Fatalf("the role the gateway uses: %v", err)
	}
	suffix := db.Name[len(db.Name)-6:]
	login := func(t *testing.T, name, attributes string) string {
		t.Helper()
		name += "_" + suffix
		db.Exec(t, "create role "+name+" login "+attributes)
		t.Cleanup(func() {
			db.Exec(t, "reassign owned by "+name+" to postgres")
			db.Exec(t, "drop owned by "+name)
			db.Exec(t, "drop role "+name)
		})
		return as(t, db.AppURL, name)
	}
	for _, c := range []struct{ name, attributes, reason, mend string }{
		{"superuser", "superuser in role portalgate_gateway", "is a superuser", "create role app login"},
		{"bypasser", "bypassrls in role portalgate_gateway", "bypasses row-level security", "create role app login"},
		{"creator", "createrole in role portalgate_gateway", "may create roles or databases", "create role app login"},
		{"other", "in role portalgate_gateway, portalgate_operator", "is an operator's, for commands", "create role app login"},
		{"reporter", "in role portalgate_gateway, pg_read_all_stats", "is a member of pg_read_all_stats", "revoke pg_read_all_stats from"},
	} {
		address := login(t, c.name, c.attributes)
		if err := inspect(t, address, versions); err == nil || !strings.Contains(err.Error(), c.reason) || !strings.Contains(err.Error(), c.mend) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	owner := login(t, "owner", "in role portalgate_gateway")
	db.Exec(t, fmt.Sprintf("create table public.mine_%s (id int); alter table public.mine_%s owner to owner_%s", suffix, suffix, suffix))
	if err := inspect(t, owner, versions); err == nil || !strings.Contains(err.Error(), "owns 1 tables") {
		t.Errorf("an owner of tables: %v", err)
	}
	for what, v := range map[string]store.Versions{
		"this program needs":                            {Oldest: migrations.Latest() + 1, Latest: migrations.Latest() + 1},
		"knows only up to":                              {Oldest: 0, Latest: migrations.Latest() - 1},
		"is too old; move it to PostgreSQL 99 or newer": {Oldest: migrations.Oldest(), Latest: migrations.Latest(), Server: 99},
	} {
		if err := inspect(t, db.AppURL, v); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// A neighbouring release has brought the database up, and says whether this program may go on.
	db.Exec(t, `insert into portalgate.schema_version (version_id, is_applied) values ($1, true)`, migrations.Latest()+1)
	if err := inspect(t, db.AppURL, versions); err != nil {
		t.Errorf("a schema of the next release: %v", err)
	}
	db.Exec(t, fmt.Sprintf(`create or replace function portalgate.oldest_program() returns bigint language sql immutable set search_path = '' return %d`, migrations.Latest()+1))
	if err := inspect(t, db.AppURL, versions); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("needs a program that knows %d", migrations.Latest()+1)) {
		t.Errorf("a schema that this program cannot work with: %v", err)
	}
	db.Exec(t, fmt.Sprintf(`create or replace function portalgate.oldest_program() returns bigint language sql immutable set search_path = '' return %d`, migrations.Latest()))
	db.Exec(t, `delete from portalgate.schema_version where version_id = $1`, migrations.Latest()+1)
	db.Exec(t, `alter table portalgate.sessions no force row level security`)
	if err := inspect(t, db.AppURL, versions); err == nil || !strings.Contains(err.Error(), "not forced on portalgate.sessions") {
		t.Errorf("security lifted on one table: %v", err)
	}
	db.Exec(t, `alter table portalgate.sessions force row level security`)
	doors(t, &db, func() error { return inspect(t, db.AppURL, versions) })
	empty := testenv.EmptyDatabase(t)
	if err := inspect(t, empty.AppURL, versions); err == nil || !strings.Contains(err.Error(), "migrate up") {
		t.Errorf("a database without tables: %v", err)
	}
}

// doors puts policies beside ours: one that opens rows of other tenants to the gateway is refused, and no other is.
func doors(t *testing.T, db *testenv.DB, inspect func() error) {
	t.Helper()
	const tenant = `nullif(current_setting('app.current_tenant_id', true), '')::uuid`
	db.Exec(t, `create table public.unrelated (id int)`)
	for policy, refused := range map[string]bool{
		`portalgate.events for select using (true)`:                                                        true,
		`portalgate.events for select to portalgate_gateway using (true)`:                                  true,
		`portalgate.events for insert with check (true)`:                                                   true,
		`portalgate.outbox for all using (tenant_id = ` + tenant + `) with check (true)`:                   true,
		`portalgate.sessions for select using (tenant_id = ` + tenant + ` or true)`:                        true,
		`public.customer_users for select using (true)`:                                                    true,
		`public.tenants for update using (id is not null)`:                                                 true,
		`public.customers for select using (current_user <> 'nobody')`:                                     true,
		`portalgate.events for select to portalgate_directory using (true)`:                                false, // the gateway cannot become it
		`portalgate.events as restrictive for select using (true)`:                                         false, // it takes away, if anything
		`public.customer_users for all using (tenant_id = current_setting('app.current_tenant_id')::uuid)`: false, // the ERP's own
		`public.unrelated for select using (true)`:                                                         false,
	} {
		table, _, _ := strings.Cut(policy, " ")
		db.Exec(t, `create policy "a report" on `+policy)
		err := inspect()
		if !refused && err != nil || refused && (err == nil || !strings.Contains(err.Error(), "policy a report on "+table+" opens rows of other tenants") || !strings.Contains(err.Error(), "`drop policy \"a report\" on "+table+"`")) {
			t.Errorf("create policy on %s: %v", policy, err)
		}
		db.Exec(t, `drop policy "a report" on `+table)
	}
	if err := inspect(); err != nil {
		t.Errorf("after all of them are gone: %v", err)
	}
}
