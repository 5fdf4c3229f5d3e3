package testenv

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/portalgate/portalgate/migrations"
)

// DB is a migrated database, by the roles that may connect to it.
type DB struct {
	Name        string
	OwnerURL    string // owns the tables; no superuser
	AppURL      string // role app, a member of portalgate_gateway: what the gateway connects as
	OperatorURL string // role operator, a member of portalgate_operator: what commands connect as
	RootURL     string // a superuser, for whom no policy holds: for arranging and for looking, never for the code under test
}

// rolePassword is of the roles on a server that asks for one. It opens nothing but databases of tests.
const rolePassword = "portalgate-test"

const databasePrefix = "portalgate_test_"

var (
	theTemplate = sync.OnceValues(makeTemplate)
	theDatabase = sync.OnceValues(func() (DB, error) { return makeDatabase(context.Background()) })
)

// Database returns the database that all tests of the package share. Tests keep apart by tenants of their own.
func Database(t testing.TB) DB {
	t.Helper()
	db, err := theDatabase()
	need(t, err)
	return db
}

// FreshDatabase returns a migrated database for this test alone.
func FreshDatabase(t testing.TB) DB {
	t.Helper()
	db, err := makeDatabase(t.Context())
	need(t, err)
	t.Cleanup(func() { drop(t, db.Name) })
	return db
}

// EmptyDatabase returns a database without any table, for this test alone. The logins app and operator may not exist.
func EmptyDatabase(t testing.TB) DB {
	t.Helper()
	c, err := theCluster()
	need(t, err)
	need(t, owner(t.Context(), c))
	db := c.database(newName())
	need(t, c.exec(t.Context(), "create database "+db.Name+" owner owner"))
	t.Cleanup(func() { drop(t, db.Name) })
	return db
}

// Exec runs a statement as the superuser.
func (d DB) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	d.asRoot(t, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, sql, args...)
		return err
	})
}

// Row reads one row as the superuser.
func (d DB) Row(t testing.TB, sql string, args []any, into ...any) {
	t.Helper()
	d.asRoot(t, func(ctx context.Context, c *pgx.Conn) error { return c.QueryRow(ctx, sql, args...).Scan(into...) })
}

func (d DB) asRoot(t testing.TB, do func(context.Context, *pgx.Conn) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := pgx.Connect(ctx, d.RootURL)
	if err != nil {
		t.Fatal("connecting as the superuser: ", err)
	}
	defer c.Close(ctx)
	if err := do(ctx, c); err != nil {
		t.Fatal("as the superuser: ", err)
	}
}

func (c *cluster) database(name string) DB {
	return DB{
		Name: name, RootURL: c.root(name),
		OwnerURL: c.role(name, "owner"), AppURL: c.role(name, "app"), OperatorURL: c.role(name, "operator"),
	}
}

// external is a cluster that was there before.
func external(address string) (*cluster, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errors.New("PORTALGATE_TEST_DATABASE_URL is not an address of the form postgres://…")
	}
	at := func(database string, who *url.Userinfo) string {
		v := *u
		v.Path, v.RawPath = "/"+database, ""
		if who != nil {
			v.User = who
			q := v.Query()
			q.Del("user")
			q.Del("password")
			v.RawQuery = q.Encode()
		}
		return v.String()
	}
	c := &cluster{
		root: func(database string) string { return at(database, nil) },
		role: func(database, role string) string { return at(database, url.UserPassword(role, rolePassword)) },
	}
	return c, c.sweep(context.Background())
}

// sweep removes databases that test binaries left behind on a server that outlives them.
func (c *cluster) sweep(ctx context.Context) error {
	return c.connected(ctx, "postgres", func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `select datname from pg_database d where starts_with(datname, $1) and not exists (select from pg_stat_activity a where a.datname = d.datname)`, databasePrefix)
		if err != nil {
			return err
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, name := range names {
			made, _, _ := strings.Cut(strings.TrimPrefix(name, databasePrefix), "_")
			at, err := strconv.ParseInt(made, 10, 64)
			if err != nil || time.Since(time.Unix(at, 0)) < time.Hour {
				continue // another test binary may be between two connections
			}
			if _, err := conn.Exec(ctx, "drop database if exists "+pgx.Identifier{name}.Sanitize()); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *cluster) connected(ctx context.Context, database string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, c.root(database))
	if err != nil {
		return fmt.Errorf("connecting to the server of the tests: %w", err)
	}
	defer conn.Close(ctx)
	return do(conn)
}

func (c *cluster) exec(ctx context.Context, statements ...string) error {
	return c.connected(ctx, "postgres", func(conn *pgx.Conn) error {
		for _, s := range statements {
			if _, err := conn.Exec(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	})
}

// role makes a login, unless another test binary was faster.
func role(ctx context.Context, c *cluster, name, attributes string) error {
	err := c.exec(ctx, "create role "+name+" login password '"+rolePassword+"' "+attributes)
	var e *pgconn.PgError
	if errors.As(err, &e) && (e.Code == "42710" || e.Code == "23505") { // duplicate_object; or, in a race, unique_violation
		return nil
	}
	return err
}

func owner(ctx context.Context, c *cluster) error {
	return role(ctx, c, "owner", "createrole createdb")
}

// makeTemplate migrates once; every database is a copy of the result.
func makeTemplate() (string, error) {
	c, err := theCluster()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := owner(ctx, c); err != nil {
		return "", err
	}
	db := c.database(newName())
	if err := c.exec(ctx, "create database "+db.Name+" owner owner"); err != nil {
		return "", err
	}
	if _, err := migrations.Up(ctx, db.OwnerURL, migrations.Options{}); err != nil {
		return "", fmt.Errorf("migrating the database of the tests: %w", err)
	}
	if err := role(ctx, c, "app", "in role portalgate_gateway"); err != nil {
		return "", err
	}
	return db.Name, role(ctx, c, "operator", "in role portalgate_operator")
}

func makeDatabase(ctx context.Context) (DB, error) {
	template, err := theTemplate()
	if err != nil {
		return DB{}, err
	}
	c, err := theCluster()
	if err != nil {
		return DB{}, err
	}
	db := c.database(newName())
	copying.Lock() // a template that is being copied must not be connected to, nor copied twice at once
	defer copying.Unlock()
	return db, c.exec(ctx, "create database "+db.Name+" template "+template+" owner owner")
}

var copying sync.Mutex

func drop(t testing.TB, name string) {
	t.Helper()
	c, err := theCluster()
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		err = c.exec(ctx, "drop database if exists "+name+" with (force)")
	}
	if err != nil {
		t.Error("removing the database of the test: ", err)
	}
}

func newName() string {
	return databasePrefix + strconv.FormatInt(time.Now().Unix(), 10) + "_" + random(6)
}

func random(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
