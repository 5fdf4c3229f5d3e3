package store

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/portalgate/portalgate/internal/portal"
)

// For the tests outside, which look at connections and arrange what no method does.

// Pool is what the store stands on.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// Exec runs any statement in a transaction.
func (x *Tx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return x.tx.Exec(ctx, sql, args...)
}

// QueryRow reads one row in a transaction.
func (x *Tx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return x.tx.QueryRow(ctx, sql, args...)
}

// AccountDigest is what a purse is counted by.
func AccountDigest(t portal.TenantID, e portal.Email) []byte { return account(t, e) }

// Query reads rows in a transaction.
func (x *Tx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return x.tx.Query(ctx, sql, args...)
}

// Later lets a statement wait for the next.
func (x *Tx) Later(what, sql string, args ...any) { x.tx.Later(what, sql, args...) }
