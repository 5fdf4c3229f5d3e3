package migrations_test

import (
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/testenv"
	"github.com/portalgate/portalgate/migrations"
)

func said(t *testing.T, url string) string {
	t.Helper()
	found, err := migrations.Check(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range found {
		b.WriteString(f.State + " " + f.Check + ": " + f.Says + "\n")
	}
	return b.String()
}

func TestCheckSaysWhatUpWouldDoAndChangesNothing(t *testing.T) {
	t.Parallel()
	db := testenv.EmptyDatabase(t)
	if s := said(t, db.OwnerURL); !strings.Contains(s, "`migrate up` makes the ERP-shaped tables") || strings.Contains(s, "wrong ") {
		t.Errorf("an empty database:\n%s", s)
	}
	var schemas int
	db.Row(t, `select count(*) from pg_namespace where nspname = 'portalgate'`, nil, &schemas)
	if schemas != 0 {
		t.Error("it has made a schema")
	}
	if _, err := migrations.Up(t.Context(), db.OwnerURL, migrations.Options{}); err != nil {
		t.Fatal(err)
	}
	if s := said(t, db.OwnerURL); !strings.Contains(s, "nothing to do") {
		t.Errorf("a migrated database:\n%s", s)
	}
	db.Exec(t, `insert into portalgate.schema_version (version_id, is_applied) values (9999, true)`)
	if s := said(t, db.OwnerURL); !strings.Contains(s, "wrong database: this database is at version 9999") {
		t.Errorf("a database of a later release:\n%s", s)
	}
}

func TestCheckNamesWhatStandsInTheWay(t *testing.T) {
	t.Parallel()
	testenv.Database(t) // the login app belongs to the cluster
	db := testenv.EmptyDatabase(t)
	s := said(t, db.AppURL)
	for _, want := range []string{"wrong role: app may not create a schema here", "wrong role: app may not create tables in schema public"} {
		if !strings.Contains(s, want) {
			t.Errorf("it does not say %q:\n%s", want, s)
		}
	}
	db.Exec(t, `create table customer_users (id uuid)`)
	if s := said(t, db.OwnerURL); !strings.Contains(s, "wrong database: this database already holds an ERP's customer_users") {
		t.Errorf("an ERP's database:\n%s", s)
	}
}
