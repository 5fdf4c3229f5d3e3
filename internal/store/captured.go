package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
)

// Captured is a mail that was kept in place of being sent.
type Captured struct {
	ID        string
	Kind      portal.LetterKind
	Message   string // sealed
	KeyID     string
	CreatedAt time.Time // the transaction's time
}

// How long captured mails are kept, and how many of a tenant: they serve tests and staging, where somebody looks soon.
const (
	CapturedFor  = 7 * 24 * time.Hour
	CapturedMost = 1000
)

// Capture keeps a mail. The tenant's oldest make room for it.
func (x *Tx) Capture(ctx context.Context, c Captured) error {
	if _, err := x.tx.Exec(ctx, `insert into portalgate.captured (id, tenant_id, kind, message, key_id, created_at) values ($1, $2, $3, $4, $5, $6)`,
		c.ID, x.tenant, c.Kind, c.Message, c.KeyID, x.now); err != nil {
		return fmt.Errorf("keeping a mail: %w", err)
	}
	if _, err := x.tx.Exec(ctx, `delete from portalgate.captured where tenant_id = $1 and id in (
			select id from portalgate.captured where tenant_id = $1 order by created_at desc, id desc offset $2)`, x.tenant, CapturedMost); err != nil {
		return fmt.Errorf("forgetting the oldest mails: %w", err)
	}
	return nil
}

// CapturedMails are a tenant's captured mails that are young enough, the newest first, at most most.
func (x *Tx) CapturedMails(ctx context.Context, most int) ([]Captured, error) {
	rows, err := x.tx.Query(ctx, `select id::text, kind, message, key_id, created_at from portalgate.captured where tenant_id = $1 and created_at > $2 order by created_at desc, id desc limit $3`,
		x.tenant, x.now.Add(-CapturedFor), most)
	if err != nil {
		return nil, fmt.Errorf("listing captured mails: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Captured])
}

// CapturedMail is one of a tenant's captured mails. ErrNone means that there is none of that id, or no longer.
func (x *Tx) CapturedMail(ctx context.Context, id string) (c Captured, err error) {
	err = x.tx.QueryRow(ctx, `select id::text, kind, message, key_id, created_at from portalgate.captured where tenant_id = $1 and id = $2 and created_at > $3`,
		x.tenant, id, x.now.Add(-CapturedFor)).Scan(&c.ID, &c.Kind, &c.Message, &c.KeyID, &c.CreatedAt)
	return c, said(err)
}

// SweepCaptured forgets captured mails that are old, most at a time.
func (s *Store) SweepCaptured(ctx context.Context, t portal.TenantID, now time.Time, most int) (n int64, err error) {
	err = s.Within(ctx, t, now, func(x *Tx) error {
		tag, err := x.tx.Exec(ctx, `delete from portalgate.captured where tenant_id = $1 and id in (
				select id from portalgate.captured where tenant_id = $1 and created_at <= $2 order by created_at limit $3)`, x.tenant, now.Add(-CapturedFor), most)
		n = tag.RowsAffected()
		return err
	})
	if err != nil {
		return 0, errors.Join(fmt.Errorf("forgetting captured mails"), err)
	}
	return n, nil
}
