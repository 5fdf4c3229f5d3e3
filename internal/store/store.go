// Package store owns PostgreSQL: every SQL statement of the gateway, the transactions they run in, and the meaning of
// what the driver says.
//
// It refuses SQL outside a tenant: Within begins, sets app.current_tenant_id for that transaction, runs and commits,
// and there is no other way to a query, but for the functions that contract section 10 allows across tenants. It
// refuses a database that it could cross tenants in (Inspect), a connection that could be overheard, and the simple
// protocol, in which a parameter is text pasted into a statement.
//
// When PostgreSQL is down or slow every method returns ErrUnavailable within the pool's waiting time; nothing is
// retried here, because only the flow above knows whether a deed may be done twice.
package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/portalgate/portalgate/internal/portal"
)

// Options are how a store connects.
type Options struct {
	MaxConns  int            // default 10
	Wait      time.Duration  // for a connection and for an answer; default 2 s (RL-08)
	Plaintext []netip.Prefix // networks that may be reached without TLS
	Name      string         // application_name
}

// Store is a pool of connections. It may be used by many goroutines.
type Store struct {
	pool    *pgxpool.Pool
	wait    time.Duration
	lockout portal.LockoutRule
	ear     *ear
}

// Open reads the address and prepares the pool. It dials nothing.
func Open(address string, o Options) (*Store, error) {
	cfg, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, fmt.Errorf("reading the database's address: %w; write it as postgres://user@host:5432/name", scrubbed(err, address))
	}
	if o.Wait == 0 {
		o.Wait = 2 * time.Second
	}
	if o.MaxConns == 0 {
		o.MaxConns = 10
	}
	if m := cfg.ConnConfig.DefaultQueryExecMode; m == pgx.QueryExecModeSimpleProtocol {
		return nil, errors.New("the database's address asks for the simple protocol, in which parameters become text of the statement; leave default_query_exec_mode out")
	}
	cfg.ConnConfig.ConnectTimeout = o.Wait
	if err := encrypted(cfg.ConnConfig, o.Plaintext); err != nil {
		return nil, err
	}
	cfg.MaxConns = int32(o.MaxConns)
	cfg.MaxConnIdleTime = 5 * time.Minute
	p := cfg.ConnConfig.RuntimeParams
	p["application_name"] = orElse(o.Name, "portalgate")
	p["statement_timeout"] = "5000"
	p["lock_timeout"] = "2000"
	p["idle_in_transaction_session_timeout"] = "10000"
	// Each statement finds its rows by a key, whatever the values: planning one anew for each use, as PostgreSQL does
	// where it hopes for better, costs a sign-in more than its statements do.
	p["plan_cache_mode"] = "force_generic_plan"
	// The tenant of nobody: a foreign policy that casts the setting shows no rows rather than failing.
	p["app.current_tenant_id"] = string(portal.NilTenant)
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return nil, fmt.Errorf("preparing the database's pool: %w", err)
	}
	return &Store{pool: pool, wait: o.Wait, lockout: portal.DefaultLockout(), ear: &ear{wakes: map[*func()]struct{}{}}}, nil
}

func orElse(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// scrubbed keeps a password in an address out of an error message.
func scrubbed(err error, address string) error {
	text := err.Error()
	if strings.Contains(text, address) {
		text = strings.ReplaceAll(text, address, "[address]")
	}
	if i := strings.Index(text, "`: "); i >= 0 && strings.Contains(text[:i], "cannot parse") {
		text = "cannot parse it: " + text[i+3:]
	}
	if strings.Contains(text, "invalid URL escape") {
		text += " (what is special in a password is percent-encoded: % as %25, @ as %40, / as %2F, : as %3A)"
	}
	return errors.New(text)
}

// WithLockout is the same store, over the same connections, with another schedule of the lock-out.
func (s *Store) WithLockout(r portal.LockoutRule) *Store {
	other := *s
	other.lockout = r
	return &other
}

// Lockout is the schedule by which purses rest.
func (s *Store) Lockout() portal.LockoutRule { return s.lockout }

// Close ends all connections.
func (s *Store) Close() { s.pool.Close() }

// Ready asks the database for a sign of life.
func (s *Store) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	return connected(s.pool.Ping(ctx))
}

// Clock is the database's time.
func (s *Store) Clock(ctx context.Context) (at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	err = s.pool.QueryRow(ctx, `select clock_timestamp()`).Scan(&at)
	return at, said(err)
}

// Connections is how many connections are open, for metrics and for tests of reloads.
func (s *Store) Connections() int { return int(s.pool.Stat().TotalConns()) }

// Trips counts the times a connection was taken: each is at least one question to the server. The bench holds it at
// zero for warm requests (P6).
func (s *Store) Trips() int64 { return s.pool.Stat().AcquireCount() }

const setTenant = `select set_config('app.current_tenant_id', $1, true), set_config('portalgate.now', $2, true)`

// Tx is a transaction of one tenant.
type Tx struct {
	tx      *line
	tenant  portal.TenantID
	now     time.Time
	lockout portal.LockoutRule
	judged  map[portal.UserID][]byte // digests of the ERP's values that Account has read
	posted  bool
}

// Posted says whether this transaction has queued a letter.
func (x *Tx) Posted() bool { return x.posted }

// Now is the gateway's time in this transaction.
func (x *Tx) Now() time.Time { return x.now }

// Within runs fn in a transaction in which only one tenant's rows exist. It commits when fn returns nil.
func (s *Store) Within(ctx context.Context, t portal.TenantID, now time.Time, fn func(*Tx) error) (err error) {
	if _, ok := portal.IDBytes(t); !ok {
		return fmt.Errorf("beginning a transaction: tenant %q: %w", t, portal.ErrID)
	}
	end := time.Now().Add(s.wait)
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	conn, err := s.begin(ctx, t, now)
	if err != nil {
		return err
	}
	defer conn.Release()
	tx := &line{conn: conn.Conn()}
	done := false
	defer func() {
		if !done { // an error or a panic: nothing of it stays
			undo, cancel := context.WithDeadline(context.WithoutCancel(ctx), end)
			defer cancel()
			_, _ = tx.conn.Exec(undo, "rollback") // a connection that cannot roll back is closed by the pool
		}
	}()
	if err := fn(&Tx{tx: tx, tenant: t, now: now, lockout: s.lockout}); err != nil {
		return said(err)
	}
	if err := tx.commit(ctx); err != nil {
		return said(err)
	}
	done = true
	return nil
}

// begin opens a transaction of a tenant. A connection that died in the pool, as all do when the server restarts, is no
// answer yet: nothing was done on it, so the next one is tried.
func (s *Store) begin(ctx context.Context, t portal.TenantID, now time.Time) (*pgxpool.Conn, error) {
	for tries := 0; ; tries++ {
		conn, err := s.acquire(ctx)
		if err != nil {
			return nil, err
		}
		b := &pgx.Batch{}
		b.Queue("begin")
		b.Queue(setTenant, string(t), now.UTC().Format(time.RFC3339Nano))
		if err = conn.SendBatch(ctx, b).Close(); err == nil {
			return conn, nil
		}
		dead := conn.Conn().IsClosed()
		conn.Release()
		if err = said(fmt.Errorf("beginning a transaction: %w", err)); !dead || !errors.Is(err, ErrUnavailable) || tries >= int(s.pool.Config().MaxConns) {
			return nil, err
		}
	}
}

func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	wait, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	conn, err := s.pool.Acquire(wait)
	if who := connected(err); errors.Is(who, ErrRefused) {
		return nil, who
	}
	if err != nil {
		return nil, fmt.Errorf("%w: getting a connection: %w", ErrUnavailable, err)
	}
	return conn, nil
}

// single reads one thing of one tenant: the setting and the query travel as one batch, which is an implicit
// transaction, at a third of the price of four trips.
func (s *Store) single(ctx context.Context, t portal.TenantID, now time.Time, scan func(pgx.Rows) error, sql string, args ...any) error {
	if _, ok := portal.IDBytes(t); !ok {
		return fmt.Errorf("reading: tenant %q: %w", t, portal.ErrID)
	}
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	for tries := 0; ; tries++ {
		conn, err := s.acquire(ctx)
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		b.Queue(setTenant, string(t), now.UTC().Format(time.RFC3339Nano))
		b.Queue(sql, args...).Query(func(rows pgx.Rows) error { return scan(rows) })
		err = said(conn.SendBatch(ctx, b).Close())
		dead := conn.Conn().IsClosed()
		conn.Release()
		if !dead || !errors.Is(err, ErrUnavailable) || tries >= int(s.pool.Config().MaxConns) {
			return err // what died in the pool is asked again on the next connection: a reading may be done twice
		}
	}
}
