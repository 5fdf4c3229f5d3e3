package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/testenv"
	"github.com/portalgate/portalgate/migrations"
)

func where(t *testing.T, url string) migrations.Status {
	t.Helper()
	s, err := migrations.Where(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestASecondUpHasNothingToDo(t *testing.T) {
	t.Parallel()
	testenv.Database(t) // the login app belongs to the cluster
	db := testenv.EmptyDatabase(t)
	if s := where(t, db.OwnerURL); s.Version != 0 || len(s.Pending) != int(migrations.Latest()) || s.Latest != migrations.Latest() {
		t.Errorf("before: %+v", s)
	}
	if r := up(t, db); r.From != 0 || r.To != migrations.Latest() || len(r.Applied) != int(migrations.Latest())+1 {
		t.Errorf("the first: %+v", r)
	}
	if r := up(t, db); r.From != migrations.Latest() || r.To != migrations.Latest() || len(r.Applied) != 0 {
		t.Errorf("the second: %+v", r)
	}
	for _, url := range []string{db.OwnerURL, db.AppURL} {
		if s := where(t, url); s.Version != migrations.Latest() || len(s.Pending) != 0 {
			t.Errorf("after: %+v", s)
		}
	}
}

func TestThreeMigratorsAtOnceMigrateOnce(t *testing.T) {
	t.Parallel()
	db := testenv.EmptyDatabase(t)
	var (
		wg      sync.WaitGroup
		reports [3]migrations.Report
		errs    [3]error
	)
	for i := range reports {
		wg.Go(func() { reports[i], errs[i] = migrations.Up(t.Context(), db.OwnerURL, migrations.Options{}) })
	}
	wg.Wait()
	applied := 0
	for i, r := range reports {
		if errs[i] != nil || r.To != migrations.Latest() {
			t.Errorf("%+v, %v", r, errs[i])
		}
		applied += len(r.Applied)
	}
	if want := int(migrations.Latest()) + 1; applied != want {
		t.Errorf("%d files were applied, expected %d once each", applied, want)
	}
	testenv.Golden(t, "schema.golden.sql", []byte(schema(t, db)))
}

// Whoever waits in pg_advisory_lock holds a snapshot that a concurrent index build waits for, while the builder holds
// the lock: a deadlock. Up probes instead.
func TestAWaitingMigratorLetsAConcurrentIndexBuildPass(t *testing.T) {
	t.Parallel()
	db := testenv.EmptyDatabase(t)
	builder := connect(t, db.OwnerURL)
	exec := func(sql string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if _, err := builder.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec(`create table public.orders (id int)`)
	exec(`select pg_advisory_lock(x'706f7274616c6761'::bigint)`)
	done := make(chan error, 1)
	go func() {
		_, err := migrations.Up(t.Context(), db.OwnerURL, migrations.Options{})
		done <- err
	}()
	for waiting := false; !waiting; { // until it has asked for the lock
		db.Row(t, `select exists (select from pg_stat_activity where datname = current_database() and query like '%pg_try_advisory_lock%' and pid <> pg_backend_pid())`, nil, &waiting)
	}
	exec(`create index concurrently orders_id on public.orders (id)`)
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	exec(`select pg_advisory_unlock(x'706f7274616c6761'::bigint)`)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestAMigratorDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	db := testenv.EmptyDatabase(t)
	holder := connect(t, db.OwnerURL)
	if _, err := holder.Exec(t.Context(), `select pg_advisory_lock(x'706f7274616c6761'::bigint)`); err != nil {
		t.Fatal(err)
	}
	if _, err := migrations.Up(t.Context(), db.OwnerURL, migrations.Options{Wait: time.Millisecond}); err == nil || !strings.Contains(err.Error(), "another migration has been running for 1ms") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := migrations.Up(ctx, db.OwnerURL, migrations.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestAnERPsDatabaseIsLeftAlone(t *testing.T) {
	t.Parallel()
	db := testenv.EmptyDatabase(t)
	erp, err := os.ReadFile("testdata/erp.sql")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, db.OwnerURL).Exec(t.Context(), string(erp)); err != nil {
		t.Fatal(err)
	}
	before := objects(t, db)
	if _, err := migrations.Up(t.Context(), db.OwnerURL, migrations.Options{}); !errors.Is(err, migrations.ErrERP) {
		t.Errorf("%v", err)
	}
	if after := objects(t, db); after != before {
		t.Errorf("it had\n%s\nand has\n%s", before, after)
	}
	if s := where(t, db.OwnerURL); s.Version != 0 {
		t.Errorf("%+v", s)
	}
}

// objects lists everything that stands in a database and is not the server's own.
func objects(t *testing.T, db testenv.DB) (list string) {
	t.Helper()
	db.Row(t, `select string_agg(what, e'\n' order by what) from (
			select 'schema ' || nspname as what from pg_namespace where nspname not like 'pg\_%'
			union all select 'relation ' || c.oid::regclass || ' ' || c.relrowsecurity || c.relforcerowsecurity from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname not in ('pg_catalog', 'pg_toast', 'information_schema')
			union all select 'function ' || oid::regprocedure from pg_proc where pronamespace::regnamespace::text not in ('pg_catalog', 'information_schema')
			union all select 'trigger ' || tgname from pg_trigger
			union all select 'policy ' || polname from pg_policy
		) w`, nil, &list)
	return list
}

func TestADatabaseOfALaterReleaseIsLeftAlone(t *testing.T) {
	t.Parallel()
	db := testenv.EmptyDatabase(t)
	up(t, db)
	db.Exec(t, `insert into portalgate.schema_version (version_id, is_applied) values (41, true)`)
	want := fmt.Sprintf("at version 41 and this program knows only up to %d", migrations.Latest())
	if _, err := migrations.Up(t.Context(), db.OwnerURL, migrations.Options{}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v", err)
	}
	if s := where(t, db.OwnerURL); s.Version != 41 || len(s.Pending) != 0 {
		t.Errorf("%+v", s)
	}
}

func TestADatabaseOfAnEarlierReleaseIsBroughtUp(t *testing.T) {
	t.Parallel()
	db := testenv.EmptyDatabase(t)
	up(t, db)
	downTo(t, db, migrations.Latest()-1)
	s := where(t, db.OwnerURL)
	if s.Version != migrations.Latest()-1 || len(s.Pending) != 1 {
		t.Errorf("behind by one: %+v", s)
	}
	if r := up(t, db); r.From != migrations.Latest()-1 || len(r.Applied) != 1 || r.Applied[0] != "core/"+s.Pending[0] {
		t.Errorf("%+v", r)
	}
	testenv.Golden(t, "schema.golden.sql", []byte(schema(t, db)))
}

func TestOnlyTheRoleThatOwnsTheTablesMigratesThem(t *testing.T) {
	t.Parallel()
	testenv.Database(t)
	db := testenv.EmptyDatabase(t)
	if _, err := migrations.Up(t.Context(), db.AppURL, migrations.Options{}); err == nil || !strings.Contains(err.Error(), "permission denied for database") {
		t.Errorf("a role that may not create: %v", err)
	}
	up(t, db)
	if _, err := migrations.Up(t.Context(), db.AppURL, migrations.Options{}); err == nil || !strings.Contains(err.Error(), "schema portalgate belongs to role owner; migrate as that role") {
		t.Errorf("another role: %v", err)
	}
	testenv.Golden(t, "schema.golden.sql", []byte(schema(t, db)))
}

// The gateway can be killed between any two files; the next run goes on from there.
func TestAFirstRunThatWasCutOffGoesOn(t *testing.T) {
	t.Parallel()
	db := testenv.EmptyDatabase(t)
	if _, err := connect(t, db.OwnerURL).Exec(t.Context(), `create schema portalgate`); err != nil {
		t.Fatal(err)
	}
	raw, err := migrations.Open(t.Context(), db.OwnerURL)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	erp, err := migrations.Provider(raw, "erp", "portalgate.schema_version_erp")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := erp.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := where(t, db.OwnerURL); s.Version != 0 {
		t.Errorf("cut off: %+v", s)
	}
	up(t, db)
	testenv.Golden(t, "schema.golden.sql", []byte(schema(t, db)))
}

func downTo(t *testing.T, db testenv.DB, version int64) {
	t.Helper()
	raw, err := migrations.Open(t.Context(), db.OwnerURL)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	core, err := migrations.Provider(raw, "core", "portalgate.schema_version")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := core.DownTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
}

// Each file's way back leaves what stood before it, and no file's takes a role away: another database may use it.
func TestEachFileHasAWayBackThatLeavesRolesAlone(t *testing.T) {
	t.Parallel()
	db := testenv.EmptyDatabase(t)
	up(t, db)
	for v := migrations.Latest() - 1; v >= 0; v-- {
		downTo(t, db, v)
		if s := where(t, db.OwnerURL); s.Version != v {
			t.Fatalf("the way back to %d leads to %d", v, s.Version)
		}
	}
	var left int
	db.Row(t, `select count(*) from pg_class where relnamespace = 'portalgate'::regnamespace and relkind = 'r' and relname not like 'schema_version%'`, nil, &left)
	if left != 0 {
		t.Errorf("%d tables are left", left)
	}
	up(t, db)
	testenv.Golden(t, "schema.golden.sql", []byte(schema(t, db)))
	var n int
	db.Row(t, `select count(*) from pg_roles where rolname = any ($1)`, []any{migrations.GroupRoles}, &n)
	if n != len(migrations.GroupRoles) {
		t.Errorf("%d of %v are left", n, migrations.GroupRoles)
	}
}

func TestTheCheckKnowsTheRolesThatTheFirstFileMakes(t *testing.T) {
	t.Parallel()
	var printed strings.Builder
	if err := migrations.Print(&printed); err != nil {
		t.Fatal(err)
	}
	if want := "array['" + strings.Join(migrations.GroupRoles, "', '") + "']"; !strings.Contains(printed.String(), want) {
		t.Errorf("the first file does not make %s", want)
	}
}
