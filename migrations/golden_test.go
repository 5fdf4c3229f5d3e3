package migrations_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/testenv"
	"github.com/portalgate/portalgate/migrations"
)

// chapters are what a schema means, read from the catalog and not dumped, so that every release of PostgreSQL writes the
// same. Each query gives lines of text.
var chapters = []struct{ title, query string }{
	{"roles", `select rolname || ':' || case when rolcanlogin then ' login' else '' end || case when rolsuper then ' superuser' else '' end
			|| case when rolbypassrls then ' bypassrls' else '' end || case when rolcreaterole then ' createrole' else '' end || case when rolcreatedb then ' createdb' else '' end
			|| coalesce(' member of ' || (select string_agg(g.rolname, ', ' order by g.rolname collate "C") from pg_auth_members m join pg_roles g on g.oid = m.roleid where m.member = r.oid), '')
		from pg_roles r where rolname like 'portalgate\_%' order by rolname collate "C"`},
	{"schemas", `select n.nspname || ': ' || string_agg(a.grantee::regrole || ' ' || a.privilege_type, ', ' order by a.grantee::regrole::text collate "C", a.privilege_type)
		from pg_namespace n, aclexplode(n.nspacl) a where n.nspname in ('portalgate', 'public') and a.grantee <> n.nspowner and a.grantee <> 0 group by n.nspname order by n.nspname`},
	{"tables", `select line from (
			select c.oid, 0 as part, 0::bigint as place, e'\n' || c.oid::regclass || case when c.relrowsecurity then ' row security' else '' end || case when c.relforcerowsecurity then ' forced' else '' end
				|| ', owner ' || pg_get_userbyid(c.relowner) as line from ours c
			union all
			select c.oid, 1, a.attnum, '  ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || case when a.attnotnull then ' not null' else '' end
				|| case a.attidentity when 'a' then ' identity always' when 'd' then ' identity' else '' end || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
				from ours c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
			union all
			select c.oid, 2, row_number() over (order by pg_get_constraintdef(k.oid) collate "C"), '  ' || pg_get_constraintdef(k.oid)
				from ours c join pg_constraint k on k.conrelid = c.oid and k.contype in ('p', 'u', 'f', 'c')
			union all
			select c.oid, 3, row_number() over (order by i.indexrelid::regclass::text collate "C"), '  ' || pg_get_indexdef(i.indexrelid)
				from ours c join pg_index i on i.indrelid = c.oid where not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u'))
			union all
			select c.oid, 4, row_number() over (order by p.polname), '  policy ' || p.polname || case when p.polpermissive then '' else ' restrictive' end || ' for '
				|| case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end
				|| ' to ' || (select string_agg(case when g = 0 then 'everybody' else pg_get_userbyid(g)::text end, ', ' order by pg_get_userbyid(g) collate "C") from unnest(p.polroles) g)
				|| coalesce(e'\n    using ' || pg_get_expr(p.polqual, p.polrelid), '') || coalesce(e'\n    with check ' || pg_get_expr(p.polwithcheck, p.polrelid), '')
				from ours c join pg_policy p on p.polrelid = c.oid
			union all
			select c.oid, 5, row_number() over (order by t.tgname), '  ' || pg_get_triggerdef(t.oid) from ours c join pg_trigger t on t.tgrelid = c.oid and not t.tgisinternal
			union all
			select c.oid, 6, row_number() over (order by a.grantee::regrole::text collate "C"), '  granted to ' || a.grantee::regrole || ': ' || lower(string_agg(a.privilege_type, ', ' order by a.privilege_type))
				from ours c, aclexplode(c.relacl) a where a.grantee <> c.relowner group by c.oid, a.grantee
			union all
			select c.oid, 7, row_number() over (order by x.grantee::regrole::text collate "C", x.privilege_type), '  granted to ' || x.grantee::regrole || ': ' || lower(x.privilege_type)
				|| ' (' || string_agg(a.attname, ', ' order by a.attnum) || ')'
				from ours c join pg_attribute a on a.attrelid = c.oid and not a.attisdropped, aclexplode(a.attacl) x group by c.oid, x.grantee, x.privilege_type
		) l order by (select n.nspname::text || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = l.oid) collate "C", part, place`},
	{"functions", `select e'\n' || p.oid::regprocedure || ' returns ' || pg_get_function_result(p.oid) || ', ' || l.lanname
			|| case p.provolatile when 'i' then ' immutable' when 's' then ' stable' else ' volatile' end || case when p.prosecdef then ' security definer' else '' end
			|| ', ' || coalesce(array_to_string(p.proconfig, ', '), 'nothing pinned') || ', owner ' || pg_get_userbyid(p.proowner)
			|| ', executed by ' || coalesce((select string_agg(case when a.grantee = 0 then 'everybody' else a.grantee::regrole::text end, ', ' order by a.grantee::regrole::text collate "C")
				from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where a.grantee <> p.proowner), 'nobody else') || e'\n' || btrim(p.prosrc, e' \t\n')
		from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
		where n.nspname in ('portalgate', 'public') order by n.nspname, p.proname`},
	{"views, and sequences that stand alone", `select c.oid::regclass || ' ' || c.relkind::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where n.nspname in ('portalgate', 'public') and (c.relkind in ('v', 'm', 'f') or c.relkind = 'S' and not exists (select from pg_depend d where d.objid = c.oid and d.deptype in ('i', 'a')))
		order by 1`},
	{"applied", `select 'erp ' || version_id from portalgate.schema_version_erp where is_applied union all select 'core ' || version_id from portalgate.schema_version where is_applied order by 1`},
}

const ours = `with ours as (
	select c.* from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('portalgate', 'public') and c.relkind in ('r', 'p')
) `

// schema writes what a database is.
func schema(t *testing.T, db testenv.DB) string {
	t.Helper()
	c := connect(t, db.RootURL)
	if _, err := c.Exec(t.Context(), `set search_path = pg_catalog`); err != nil { // every name in full
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("-- What the migrations mean, read from the catalog of a database on which they have run. A test writes this file, and\n-- compares every database with it that is made in another way.\n")
	for _, ch := range chapters {
		query := ch.query
		if ch.title == "tables" {
			query = ours + query
		}
		rows, err := c.Query(t.Context(), query)
		if err != nil {
			t.Fatalf("%s: %v", ch.title, err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", ch.title, err)
		}
		fmt.Fprintf(&b, "\n-- %s\n%s\n", ch.title, strings.Join(lines, "\n"))
	}
	return b.String()
}

func connect(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.WithoutCancel(t.Context())) })
	return c
}

func up(t *testing.T, db testenv.DB) migrations.Report {
	t.Helper()
	r, err := migrations.Up(t.Context(), db.OwnerURL, migrations.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheMigrationsMeanWhatWasReviewed(t *testing.T) {
	t.Parallel()
	db := testenv.EmptyDatabase(t)
	r := up(t, db)
	if r.From != 0 || r.To != migrations.Latest() {
		t.Errorf("from %d to %d", r.From, r.To)
	}
	testenv.Golden(t, "schema.golden.sql", []byte(schema(t, db)))
}

// What `migrate print` writes for a DBA makes the same database, and Up goes on from there.
func TestThePrintedStatementsMakeTheSameDatabase(t *testing.T) {
	t.Parallel()
	var printed strings.Builder
	if err := migrations.Print(&printed); err != nil {
		t.Fatal(err)
	}
	for name, apply := range map[string]func(t *testing.T, db testenv.DB){
		"by the driver": func(t *testing.T, db testenv.DB) {
			if _, err := connect(t, db.OwnerURL).Exec(t.Context(), printed.String()); err != nil {
				t.Fatal(err)
			}
		},
		"by psql": func(t *testing.T, db testenv.DB) {
			psql, err := exec.LookPath("psql")
			if err != nil {
				testenv.Missing(t, "psql is not installed")
			}
			cmd := exec.CommandContext(t.Context(), psql, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", db.OwnerURL)
			cmd.Stdin = strings.NewReader(printed.String())
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Fatalf("%v: %s", err, out)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testenv.EmptyDatabase(t)
			apply(t, db)
			if r := up(t, db); len(r.Applied) != 0 || r.From != migrations.Latest() {
				t.Errorf("up goes on from %d and applies %v", r.From, r.Applied)
			}
			testenv.Golden(t, "schema.golden.sql", []byte(schema(t, db)))
		})
	}
}

// A printed script that meets a database that has something already leaves it as it was.
func TestThePrintedStatementsAreOneTransaction(t *testing.T) {
	t.Parallel()
	db := testenv.EmptyDatabase(t)
	db.Exec(t, `create table public.customers (id uuid)`)
	var printed strings.Builder
	if err := migrations.Print(&printed); err != nil {
		t.Fatal(err)
	}
	c := connect(t, db.OwnerURL)
	if _, err := c.Exec(t.Context(), printed.String()); err == nil {
		t.Error("no complaint")
	}
	_, _ = c.Exec(t.Context(), `rollback`) // what psql's `commit` does in a failed transaction
	var n int
	db.Row(t, `select count(*) from pg_namespace where nspname = 'portalgate'`, nil, &n)
	if n != 0 {
		t.Error("half of it stays")
	}
}
