package migrations_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/testenv"
)

func lines(t *testing.T, c *pgx.Conn, query string, args ...any) []string {
	t.Helper()
	rows, err := c.Query(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The questions that an auditor asks a database, of one that has been migrated and of the roles that connect to it. Each
// has to find nothing, and does find what it looks for once that is there.
var questions = []struct{ what, query, planted string }{
	{"a table with a tenant and without forced security", `select c.oid::regclass::text from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
		where c.relkind in ('r', 'p') and not (c.relrowsecurity and c.relforcerowsecurity)`,
		`create table public.leak (tenant_id uuid)`},
	{"a policy that checks nothing that is written, or is open to all", `select tablename || ' ' || policyname from pg_policies
		where cmd in ('ALL', 'INSERT', 'UPDATE') and with_check is null and qual is null or qual = 'true' or with_check = 'true'`,
		`create policy leak on portalgate.events for insert with check (true)`},
	{"a role that could do more than serve", `select rolname || ' ' || concat_ws(' ', case when rolsuper then 'superuser' end, case when rolbypassrls then 'bypassrls' end, case when rolcreaterole then 'createrole' end,
			case when rolcreatedb then 'createdb' end, case when rolreplication then 'replication' end, case when rolname like 'portalgate\_%' and rolcanlogin then 'login' end)
		from pg_roles where rolname = any ($1) and (rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication or rolname like 'portalgate\_%' and rolcanlogin)`,
		``},
	{"a thing that a role owns", `select c.oid::regclass || ' of ' || pg_get_userbyid(relowner) from pg_class c where pg_get_userbyid(relowner) = any ($1)
		union all select 'schema ' || nspname from pg_namespace where pg_get_userbyid(nspowner) = any ($1)
		union all select 'database ' || datname from pg_database where pg_get_userbyid(datdba) = any ($1) and datname = current_database()`,
		`create table public.leak (); alter table public.leak owner to app`},
	{"a membership upwards", `select u.rolname || ' in ' || m.rolname from pg_auth_members am join pg_roles m on m.oid = am.roleid join pg_roles u on u.oid = am.member
		where u.rolname = any ($1) and (u.rolname, m.rolname) not in (('app', 'portalgate_gateway'), ('operator', 'portalgate_operator'))`,
		``},
	{"a function that runs as its owner with a search path of the caller's", `select oid::regprocedure::text from pg_proc
		where prosecdef and 'search_path=pg_catalog, pg_temp' <> all (coalesce(proconfig, '{}')) and pronamespace::regnamespace::text not like 'pg\_%'`,
		`create function public.leak() returns int language sql security definer set search_path = public as 'select 1'`},
	{"a view that reads as its owner", `select c.oid::regclass::text from pg_class c where relkind in ('v', 'm') and not coalesce(array_to_string(reloptions, ','), '') like '%security_invoker=true%'
		and relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema')`,
		`create view public.leak as select * from portalgate.events`},
	// One tenant's address, code or key is no news of another's. What is unique over all of them was drawn at random, or
	// is given out by operators and known to the world.
	{"a uniqueness over all tenants", `select i.indexrelid::regclass::text from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
		where n.nspname in ('portalgate', 'public') and i.indisunique and i.indexrelid::regclass::text <> all (array['portalgate.schema_version_pkey', 'portalgate.schema_version_erp_pkey',
				'portalgate.hosts_pkey', 'tenants_tenant_code_key', 'portalgate.keys_pkey', 'portalgate.keys_fingerprint_key'])
			and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attnum = any (i.indkey)
				and (a.attname in ('tenant_id', 'customer_id') or i.indnkeyatts = 1 and a.attname in ('id', 'digest')))`,
		`create unique index leak on public.customer_users (lower(email))`},
	{"a sequence that a role can look at", `select c.oid::regclass || ' ' || r from pg_class c, unnest($1::text[]) r where case when relkind = 'S' then has_sequence_privilege(r, c.oid, 'select, usage, update') end`,
		`grant select on sequence portalgate.events_id_seq to portalgate_gateway`},
}

func TestAnAuditorsQuestionsFindNothing(t *testing.T) {
	t.Parallel()
	db := testenv.FreshDatabase(t)
	c := connect(t, db.RootURL)
	roles := []string{"app", "operator", "portalgate_gateway", "portalgate_operator", "portalgate_directory", "portalgate_changes", "portalgate_claim"}
	for _, q := range questions {
		var args []any
		if strings.Contains(q.query, "$1") {
			args = []any{roles}
		}
		if found := lines(t, c, q.query, args...); len(found) > 0 {
			t.Errorf("%s: %q", q.what, found)
		}
		if q.planted == "" {
			continue // roles belong to the cluster, and other tests look at them
		}
		if _, err := c.Exec(t.Context(), `begin; `+q.planted); err != nil {
			t.Fatal(err)
		}
		if found := lines(t, c, q.query, args...); len(found) == 0 {
			t.Errorf("%s: planted, and found %q", q.what, found)
		}
		if _, err := c.Exec(t.Context(), `rollback`); err != nil {
			t.Fatal(err)
		}
	}
	// That the two about roles can find something: the superuser of the tests, and the role that migrates.
	if found := lines(t, c, questions[2].query, []string{"postgres"}); len(found) != 1 {
		t.Errorf("a superuser: %q", found)
	}
	if found := lines(t, c, questions[4].query, []string{"owner"}); len(found) != 3 {
		t.Errorf("the role that migrates: %q", found)
	}
}

// Contract 10: three things are read across tenants, each by one function. What runs as its owner besides is a trigger,
// which nobody can call, or takes from the trails what is old or names somebody, in
// the tenant of the transaction; and its owner is the
// tables', for whom security is forced too.
func TestThreeFunctionsAndNoMoreReadAcrossTenants(t *testing.T) {
	t.Parallel()
	db := testenv.FreshDatabase(t)
	c := connect(t, db.RootURL)
	const definers = `select p.proname || case when p.prorettype = 'trigger'::regtype then ' trigger' else '' end || ' of ' || pg_get_userbyid(p.proowner) || ', pinned ' || coalesce(array_to_string(p.proconfig, '; '), 'nothing')
			|| ', by ' || coalesce((select string_agg(case when x.grantee = 0 then 'everybody' else x.grantee::regrole::text end, ' ' order by x.grantee::regrole::text collate "C")
				from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x where x.grantee <> p.proowner), 'nobody')
		from pg_proc p where p.prosecdef and p.pronamespace::regnamespace::text not in ('pg_catalog', 'information_schema') order by 1`
	pinned := ", pinned search_path=pg_catalog, pg_temp, by "
	want := []string{
		"address_hand trigger of owner" + pinned + "nobody",
		"beside trigger of owner" + pinned + "nobody",
		"changes of portalgate_changes" + pinned + "portalgate_gateway portalgate_operator",
		"claim of portalgate_claim" + pinned + "portalgate_gateway",
		"coarsen of owner" + pinned + "portalgate_gateway",
		"directory of portalgate_directory" + pinned + "portalgate_gateway portalgate_operator",
		"erase of owner" + pinned + "portalgate_operator",
		"erp_hand trigger of owner" + pinned + "nobody",
		"forget of owner" + pinned + "portalgate_gateway",
		"lockout_hand trigger of owner" + pinned + "nobody",
	}
	if found := lines(t, c, definers); !slices.Equal(found, want) {
		t.Errorf("functions that run as their owner:\n%s", strings.Join(found, "\n"))
	}
	// Each owner has its function and nothing else, and policies on what that function reads.
	for role, tables := range map[string]string{
		"portalgate_directory": "hosts settings tenants",
		"portalgate_changes":   "revocations",
		"portalgate_claim":     "outbox",
	} {
		has := lines(t, c, `select concat_ws(' ', s.classid::regclass, s.deptype) from pg_shdepend s where s.refobjid = $1::regrole and s.dbid = (select oid from pg_database where datname = current_database()) and s.deptype = 'o'`, role)
		if len(has) != 1 || has[0] != "pg_proc o" {
			t.Errorf("%s owns %q", role, has)
		}
		if on := lines(t, c, `select distinct tablename::text from pg_policies where roles @> array[$1::name] order by 1`, role); strings.Join(on, " ") != tables {
			t.Errorf("%s has policies on %q", role, on)
		}
		// As that role nothing is seen but by it: whoever is a member of it sees no more than before.
		if open := lines(t, c, `select tablename || ' ' || policyname from pg_policies where roles @> array[$1::name] and (coalesce(qual, '') not like '%CURRENT_USER = ''' || $1 || '''%' or cmd not in ('SELECT', 'UPDATE'))`, role); len(open) > 0 {
			t.Errorf("%s has policies that hold for its members: %q", role, open)
		}
	}
	// The role that migrates is a member of all three, and owns the tables. It sees nothing without a tenant all the same.
	db.Tenant(t)
	o := connect(t, db.OwnerURL)
	for _, table := range []string{"portalgate.hosts", "portalgate.settings", "public.tenants", "portalgate.revocations", "portalgate.outbox"} {
		if n := lines(t, o, `select count(*)::text from `+table); n[0] != "0" {
			t.Errorf("the owner sees %s rows of %s without a tenant", n, table)
		}
	}
	// A schema of the caller's does not lend a function its own tables and operators.
	caller := connect(t, db.AppURL)
	if _, err := caller.Exec(t.Context(), `create temp table revocations (id bigint); create temp table tenants (id uuid); set search_path = pg_temp, public`); err != nil {
		t.Fatal(err)
	}
	if n := lines(t, caller, `select count(*)::text from portalgate.directory()`); n[0] != "1" {
		t.Errorf("with the caller's own tables the directory has %s hosts", n)
	}
	for _, call := range []string{`select portalgate.beside()`, `select portalgate.erp_hand()`, `select portalgate.lockout_hand()`, `select portalgate.announce()`,
		`create temp table mine (id uuid); create trigger t after insert on mine for each row execute function portalgate.erp_hand()`} {
		if _, err := caller.Exec(t.Context(), call); err == nil || !strings.Contains(err.Error(), "permission denied for function") {
			t.Errorf("%s: %v", call, err)
		}
	}
}
