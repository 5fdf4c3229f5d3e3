package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// line is the connection of one transaction. A statement whose answer decides nothing waits, and travels with the next
// one that somebody waits for, or with the commit: a sign-in makes half as many trips, each of which costs the server a
// wake-up, and to a distant one its distance. The order is kept; an error of a statement that waited is told there.
type line struct {
	conn    *pgx.Conn
	waiting []waiting
}

type waiting struct {
	what, sql string
	args      []any
}

// Later lets a statement wait; what says in its error what could not be done.
func (l *line) Later(what, sql string, args ...any) {
	l.waiting = append(l.waiting, waiting{what, sql, args})
}

// send sends what waits and one statement more, whose results are the next to be read.
func (l *line) send(ctx context.Context, sql string, args []any) (pgx.BatchResults, error) {
	b := &pgx.Batch{}
	for _, w := range l.waiting {
		b.Queue(w.sql, w.args...)
	}
	b.Queue(sql, args...)
	sent := l.waiting
	l.waiting = nil
	results := l.conn.SendBatch(ctx, b)
	for _, w := range sent {
		if _, err := results.Exec(); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", w.what, err), results.Close())
		}
	}
	return results, nil
}

// Exec runs a statement.
func (l *line) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if len(l.waiting) == 0 {
		return l.conn.Exec(ctx, sql, args...)
	}
	results, err := l.send(ctx, sql, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	tag, err := results.Exec()
	return tag, errors.Join(err, results.Close())
}

// Query runs a statement and reads its rows, which must be closed before the next one.
func (l *line) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if len(l.waiting) == 0 {
		return l.conn.Query(ctx, sql, args...)
	}
	results, err := l.send(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		return nil, errors.Join(err, results.Close())
	}
	return &batchRows{Rows: rows, results: results}, nil
}

// QueryRow runs a statement and reads its first row.
func (l *line) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if len(l.waiting) == 0 {
		return l.conn.QueryRow(ctx, sql, args...)
	}
	results, err := l.send(ctx, sql, args)
	return batchRow{results, err}
}

// commit ends the transaction; an error means that nothing of it stays, unless the connection was lost on the way.
func (l *line) commit(ctx context.Context) error {
	tag, err := l.Exec(ctx, "commit")
	if err == nil && tag.String() != "COMMIT" {
		err = pgx.ErrTxCommitRollback // an error in it was not returned
	}
	if err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

// batchRows are the rows of the last statement of a batch; closing them closes it.
type batchRows struct {
	pgx.Rows
	results pgx.BatchResults
	err     error
}

// Close closes the rows and their batch.
func (r *batchRows) Close() {
	r.Rows.Close()
	if r.results != nil {
		r.err = r.results.Close()
		r.results = nil
	}
}

// Next reads the next row; behind the last one the batch is closed.
func (r *batchRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

// Err is what went wrong.
func (r *batchRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.err
}

// batchRow is the only row of the last statement of a batch.
type batchRow struct {
	results pgx.BatchResults
	err     error
}

// Scan reads the row and closes the batch.
func (r batchRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	return errors.Join(r.results.QueryRow().Scan(dest...), r.results.Close())
}
