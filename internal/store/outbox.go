package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
)

// Due is a letter whose time has come. Who it is for and what it says is read inside its tenant.
type Due struct {
	Tenant portal.TenantID
	Letter portal.LetterID
}

// Claim takes letters of any tenant that are due, at most most and never more than a hundred: for two minutes no other
// courier gets them.
func (s *Store) Claim(ctx context.Context, now time.Time, most int) (due []Due, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	conn, err := s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	b := &pgx.Batch{}
	b.Queue(setTenant, string(portal.NilTenant), now.UTC().Format(time.RFC3339Nano))
	b.Queue(`select tenant_id::text, letter_id::text from portalgate.claim($1)`, most).Query(func(rows pgx.Rows) error {
		due, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Due])
		return err
	})
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return nil, said(fmt.Errorf("claiming letters: %w", err))
	}
	return due, nil
}
