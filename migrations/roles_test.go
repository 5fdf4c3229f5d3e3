package migrations_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/demo/servers"
	"github.com/portalgate/portalgate/internal/testenv"
	"github.com/portalgate/portalgate/migrations"
)

// Roles belong to the cluster, so these stand on one of their own, in which there are none of ours at first.
func TestRolesAreMadeOnceForAllDatabasesOfACluster(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pg, err := servers.StartPostgres(ctx, servers.Options{Offline: !testenv.Everything()})
	if errors.Is(err, servers.ErrMissing) {
		testenv.Missing(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Close)
	root := connect(t, pg.URL("postgres", "postgres"))
	exec := func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			if _, err := root.Exec(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
	exec(`create role maker login createrole`, `create role plain login`, `create role other login`)

	// A role that may not make roles names all that an administrator has to run, and that is enough.
	exec(`create database one owner plain`)
	statements := demanded(t, pg.URL("one", "plain"))
	if len(statements) != len(migrations.GroupRoles)+3 {
		t.Errorf("with no role there: %q", statements)
	}
	exec(statements...)
	if _, err := migrations.Up(t.Context(), pg.URL("one", "plain"), migrations.Options{}); err != nil {
		t.Fatal("after an administrator has run them: ", err)
	}

	// Where the roles are there, only membership is missing.
	exec(`create database two owner other`)
	statements = demanded(t, pg.URL("two", "other"))
	if len(statements) != 3 || !strings.HasPrefix(statements[0], "grant portalgate_directory to other") {
		t.Errorf("with the roles there: %q", statements)
	}
	if s := said(t, pg.URL("two", "other")); !strings.Contains(s, "wrong roles: ") || !strings.Contains(s, strings.Join(statements, "; ")) {
		t.Errorf("the check says nothing of %q:\n%s", statements, s)
	}
	var left int
	if err := connect(t, pg.URL("two", "postgres")).QueryRow(t.Context(), `select count(*) from pg_namespace where nspname = 'portalgate'`).Scan(&left); err != nil || left > 0 {
		t.Errorf("a migration that was refused leaves a schema: %v", err)
	}
	exec(statements...)
	if s := said(t, pg.URL("two", "other")); strings.Contains(s, "wrong ") {
		t.Errorf("the check, as a member:\n%s", s)
	}
	if _, err := migrations.Up(t.Context(), pg.URL("two", "other"), migrations.Options{}); err != nil {
		t.Fatal("as a member: ", err)
	}

	// A role that may make roles meets those that are there, and others that are being made at the same moment.
	exec(`drop database one`, `drop database two with (force)`)
	for range 2 {
		exec("drop role " + strings.Join(migrations.GroupRoles, ", "))
		names := []string{"a", "b", "c"}
		errs := make([]error, len(names))
		var wg sync.WaitGroup
		for _, n := range names {
			exec("create database " + n + " owner maker")
		}
		for i, n := range names {
			wg.Go(func() { _, errs[i] = migrations.Up(t.Context(), pg.URL(n, "maker"), migrations.Options{}) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal("at once: ", err)
		}
		for _, n := range names {
			exec("drop database " + n)
		}
	}
}

// demanded are the statements that a migration asks an administrator for.
func demanded(t *testing.T, url string) []string {
	t.Helper()
	_, err := migrations.Up(t.Context(), url, migrations.Options{})
	if err == nil {
		t.Fatal("it has found a way by itself")
	}
	_, list, ok := strings.Cut(err.Error(), "have an administrator run: ")
	if !ok || !strings.Contains(err.Error(), "0001_roles.sql") {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(list, ";"), "; ")
}
