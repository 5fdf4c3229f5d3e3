// Package migrations owns the schema: the SQL files beside it, the order they run in, and the lock under which they do.
//
// It refuses to touch a database that already holds an ERP's customer_users but not our version table: taking over a
// live installation goes by stages, and this release installs new databases. It refuses one of a later release, and one
// whose tables belong to another role. It refuses to run beside another migration; a second one waits, looks again, and
// finds nothing left to do. When the database goes away in the middle, each file is a transaction of its own, so what
// was done stands and the next run goes on from there.
//
// # Why we probe for the lock
//
// A session that waits in pg_advisory_lock holds a snapshot, and a concurrent index build waits for that snapshot while
// its owner holds the lock: a deadlock. pg_try_advisory_lock returns at once and holds nothing between tries.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver that goose speaks to
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

//go:embed core/*.sql erp/*.sql
var files embed.FS

// lockKey is the advisory lock of all migrations: "portalga" as a number.
const lockKey = 0x706f7274616c6761

// streams are the folders of a new database, in their order, and where goose keeps what was applied of each.
var streams = []struct{ dir, table string }{
	{"erp", "portalgate.schema_version_erp"},
	{"core", "portalgate.schema_version"},
}

// Options are how a migration runs.
type Options struct {
	Wait time.Duration // for another migration to finish; default one minute
}

// Report is what a migration did.
type Report struct {
	From, To int64
	Applied  []string
}

// Status is where a database stands.
type Status struct {
	Version int64    `json:"version"`
	Latest  int64    `json:"latest"`
	Pending []string `json:"pending"`
}

// ErrERP means that the database belongs to an ERP.
var ErrERP error = unfit("this database already holds an ERP's customer_users; this release installs new databases, and `portalgate migrate print` shows what it would make")

// Latest is the newest version this program knows.
func Latest() int64 {
	latest := int64(0)
	for _, f := range list("core") {
		latest = max(latest, number(f))
	}
	return latest
}

// Oldest is the oldest version of a database that this program can work with. Of newer ones the database says itself
// from which program on it may be served.
func Oldest() int64 { return Latest() }

func number(file string) int64 {
	n, _, _ := strings.Cut(file, "_")
	v, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		return 0
	}
	return v
}

func list(dir string) []string {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	sort.Strings(out)
	return out
}

// Up brings a database to the newest version. url connects as the role that shall own the tables.
func Up(ctx context.Context, url string, o Options) (r Report, err error) {
	if o.Wait == 0 {
		o.Wait = time.Minute
	}
	db, err := open(ctx, url)
	if err != nil {
		return r, err
	}
	defer db.Close()
	unlock, err := lock(ctx, db, o.Wait)
	if err != nil {
		return r, err
	}
	defer unlock()

	if err := fit(ctx, db); err != nil {
		return r, err
	}
	if err := mayMakeRoles(ctx, db); err != nil {
		return r, err
	}
	// goose makes its version table before the first file, and that needs the schema.
	if _, err := db.ExecContext(ctx, `create schema if not exists portalgate`); err != nil {
		return r, fmt.Errorf("making schema portalgate: %w", said(err))
	}
	for _, stream := range streams {
		p, err := provider(db, stream.dir, stream.table)
		if err != nil {
			return r, err
		}
		if stream.dir == "core" {
			if r.From, err = p.GetDBVersion(ctx); err != nil {
				return r, fmt.Errorf("reading the version: %w", err)
			}
		}
		done, err := p.Up(ctx)
		for _, d := range done {
			if d.Error == nil {
				r.Applied = append(r.Applied, stream.dir+"/"+d.Source.Path)
			}
		}
		if err != nil {
			return r, fmt.Errorf("migrating: %w", said(err))
		}
		if stream.dir == "core" {
			if r.To, err = p.GetDBVersion(ctx); err != nil {
				return r, fmt.Errorf("reading the version: %w", err)
			}
		}
	}
	return r, nil
}

// mayMakeRoles refuses before anything is made what the first file would refuse when half is there.
func mayMakeRoles(ctx context.Context, db asker) error {
	at, err := applied(ctx, db)
	if err != nil || at > 0 {
		return err
	}
	var create bool
	if err := db.QueryRowContext(ctx, `select has_database_privilege(current_database(), 'create')`).Scan(&create); err != nil || !create {
		return err // the server says what is missing in its own words
	}
	_, demanded, err := roles(ctx, db)
	if err == nil && len(demanded) > 0 {
		err = unfit("0001_roles.sql: this role may not make the roles that are missing, or may not give functions to them; have an administrator run: " + strings.Join(demanded, " "))
	}
	return err
}

// asker is a database or a transaction.
type asker interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// unfit is a database that Up must not touch, and why.
type unfit string

func (u unfit) Error() string { return string(u) }

// fit refuses a database that Up must not touch.
func fit(ctx context.Context, db asker) error {
	var (
		ours, theirs bool
		owner        sql.NullString // of our version table, where this role may not act as its owner
	)
	// The first stream's table alone is a first run that was cut off between the two.
	err := db.QueryRowContext(ctx, `select count(*) > 0, to_regclass('public.customer_users') is not null,
			min(pg_get_userbyid(c.relowner)) filter (where not pg_has_role(c.relowner, 'usage'))
		from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'portalgate' and c.relname in ('schema_version', 'schema_version_erp')`).Scan(&ours, &theirs, &owner)
	switch {
	case err != nil:
		return fmt.Errorf("looking at the database: %w", err)
	case owner.Valid:
		return unfit(fmt.Sprintf("schema portalgate belongs to role %s; migrate as that role", owner.String))
	case theirs && !ours:
		return ErrERP
	case !ours:
		return nil
	}
	version, err := applied(ctx, db)
	if err != nil {
		return err
	}
	if version > Latest() {
		return unfit(fmt.Sprintf("this database is at version %d and this program knows only up to %d; use the program of that release, or a newer one", version, Latest()))
	}
	return nil
}

// said keeps what the server says, and which file it says it of, and leaves out the statement: goose quotes all of it.
func said(err error) error {
	var (
		pg   *pgconn.PgError
		part *goose.PartialError
	)
	if !errors.As(err, &pg) {
		return err
	}
	what := errors.New(pg.Message)
	if pg.Hint != "" {
		what = fmt.Errorf("%s (%s)", pg.Message, pg.Hint)
	}
	if errors.As(err, &part) {
		return fmt.Errorf("%s: %w", part.Failed.Source.Path, what)
	}
	return what
}

// applied is the version of a database; 0 is one without anything of ours.
func applied(ctx context.Context, db asker) (version int64, err error) {
	var ours bool
	if err := db.QueryRowContext(ctx, `select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'portalgate' and c.relname = 'schema_version')`).Scan(&ours); err != nil {
		return 0, fmt.Errorf("looking at the database: %w", err)
	}
	if !ours {
		return 0, nil
	}
	if err := db.QueryRowContext(ctx, `select coalesce(max(version_id), 0) from portalgate.schema_version where is_applied`).Scan(&version); err != nil {
		return 0, fmt.Errorf("reading the version: %w", said(err))
	}
	return version, nil
}

// Where says where a database stands, and changes nothing.
func Where(ctx context.Context, url string) (s Status, err error) {
	s.Latest = Latest()
	db, err := open(ctx, url)
	if err != nil {
		return s, err
	}
	defer db.Close()
	if s.Version, err = applied(ctx, db); err != nil {
		return s, err
	}
	for _, f := range list("core") {
		if number(f) > s.Version {
			s.Pending = append(s.Pending, f)
		}
	}
	return s, nil
}

func open(ctx context.Context, url string) (*sql.DB, error) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return nil, fmt.Errorf("reading the database's address: %w", err)
	}
	db.SetMaxOpenConns(4)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("connecting to the database: %w", err)
	}
	return db, nil
}

// lock takes the migrations' lock by probing, on a connection of its own.
func lock(ctx context.Context, db *sql.DB, wait time.Duration) (unlock func(), err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting to the database: %w", err)
	}
	give := time.After(wait)
	for {
		var got bool
		if err := conn.QueryRowContext(ctx, `select pg_try_advisory_lock($1)`, int64(lockKey)).Scan(&got); err != nil {
			conn.Close()
			return nil, fmt.Errorf("taking the migrations' lock: %w", err)
		}
		if got {
			return func() {
				_, _ = conn.ExecContext(context.WithoutCancel(ctx), `select pg_advisory_unlock($1)`, int64(lockKey)) // closing the connection gives it back as well
				conn.Close()
			}, nil
		}
		select {
		case <-ctx.Done():
			conn.Close()
			return nil, ctx.Err()
		case <-give:
			conn.Close()
			return nil, fmt.Errorf("another migration has been running for %s; look at it, or try again when it is done", wait)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func provider(db *sql.DB, dir, table string) (*goose.Provider, error) {
	sub, err := fs.Sub(files, dir)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", dir, err)
	}
	store, err := database.NewStore(goose.DialectPostgres, table)
	if err != nil {
		return nil, fmt.Errorf("preparing %s: %w", dir, err)
	}
	p, err := goose.NewProvider("", db, sub, goose.WithStore(store))
	if err != nil {
		return nil, fmt.Errorf("preparing %s: %w", dir, err)
	}
	return p, nil
}
