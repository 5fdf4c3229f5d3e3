package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// What a caller may branch on. Everything else is wrapped and goes to the log.
var (
	ErrNone        = errors.New("no such row")
	ErrUnavailable = errors.New("the database does not answer")
	ErrRefused     = errors.New("the database refuses the login") // beside ErrUnavailable: asking again helps only after a mend
)

// refusal is a connection that failed because of who we say we are, or of the database we name.
type refusal struct{ err error }

func (r *refusal) Error() string        { return ErrRefused.Error() + ": " + r.err.Error() }
func (r *refusal) Unwrap() error        { return r.err }
func (r *refusal) Is(target error) bool { return target == ErrRefused || target == ErrUnavailable }

// connected interprets an error of connecting.
func connected(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code[:2] == "28" || pg.Code == "3D000") {
		return &refusal{err}
	}
	return said(err)
}

// TakenError means that a name is taken; What is the constraint that says so.
type TakenError struct{ What string }

// Error names the constraint.
func (e *TakenError) Error() string { return "already taken: " + e.What }

// said interprets what the driver says, here and only here.
func said(err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNone) {
		return err
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNone
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case pg.Code == "23505": // unique_violation
			return &TakenError{pg.ConstraintName}
		case pg.Code[:2] == "08", pg.Code[:2] == "57", pg.Code[:2] == "53", pg.Code == "55P03", pg.Code == "25P03", pg.Code == "40P01":
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return err
	}
	var network net.Error
	var connect *pgconn.ConnectError
	if errors.As(err, &network) || errors.As(err, &connect) || pgconn.SafeToRetry(err) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, net.ErrClosed) || pgconn.Timeout(err) || isClosed(err) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// isClosed knows the driver's sentences for a connection that ended in the middle; they have no type.
func isClosed(err error) bool {
	s := err.Error()
	for _, end := range []string{"conn closed", "unexpected EOF", "closed pool", "connection reset", "broken pipe"} {
		if strings.Contains(s, end) {
			return true
		}
	}
	return false
}
