package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
)

// Suppression is an address that no mail is sent to any more; the address is sealed.
type Suppression struct {
	Account []byte // digest of the address
	Address string
	KeyID   string
	Cause   string // bounce or complaint
	Detail  string // what the other side said, without addresses
	Letter  portal.LetterID
	At      time.Time
}

// AddressDigest is what an address is known by where the address itself is not kept.
func AddressDigest(t portal.TenantID, e portal.Email) []byte { return account(t, e) }

// Recipient says whether a letter has left for an address, or has been handed to a provider whose answer is not noted
// yet. A report about any other is somebody's invention.
func (x *Tx) Recipient(ctx context.Context, id portal.LetterID, e portal.Email) (ok bool, err error) {
	err = x.tx.QueryRow(ctx, `select exists (select from portalgate.outbox where tenant_id = $1 and id = $2 and recipient = $3)`, x.tenant, id, account(x.tenant, e)).Scan(&ok)
	if err != nil {
		return false, fmt.Errorf("looking for a letter: %w", err)
	}
	return ok, nil
}

// Suppress puts an address on the list; false when it is there already.
func (x *Tx) Suppress(ctx context.Context, s Suppression, d Deed) (bool, error) {
	tag, err := x.tx.Exec(ctx, `insert into portalgate.suppressions (tenant_id, account, address, key_id, cause, detail, letter_id, at) values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing`,
		x.tenant, s.Account, []byte(s.Address), s.KeyID, s.Cause, s.Detail, s.Letter, x.now)
	if err != nil {
		return false, fmt.Errorf("suppressing an address: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return false, nil
	}
	return true, x.did(ctx, d, portal.VerbMailSuppressed, "", map[string]string{"cause": s.Cause, "letter": string(s.Letter), "detail": s.Detail})
}

// Unsuppress takes an address off the list; false when it is not on it.
func (x *Tx) Unsuppress(ctx context.Context, e portal.Email, d Deed) (bool, error) {
	tag, err := x.tx.Exec(ctx, `delete from portalgate.suppressions where tenant_id = $1 and account = $2`, x.tenant, account(x.tenant, e))
	if err != nil || tag.RowsAffected() == 0 {
		return false, err
	}
	return true, x.did(ctx, d, portal.VerbMailResumed, "", map[string]string{"to": e.Masked()})
}

const suppressionColumns = `account, address, key_id, cause, detail, letter_id::text, at`

func scanSuppression(row pgx.CollectableRow) (s Suppression, err error) {
	var address []byte
	err = row.Scan(&s.Account, &address, &s.KeyID, &s.Cause, &s.Detail, &s.Letter, &s.At)
	s.Address = string(address)
	return s, err
}

// Suppressed finds an address on the list; the error is ErrNone where it is not on it.
func (x *Tx) Suppressed(ctx context.Context, e portal.Email) (Suppression, error) {
	rows, err := x.tx.Query(ctx, `select `+suppressionColumns+` from portalgate.suppressions where tenant_id = $1 and account = $2`, x.tenant, account(x.tenant, e))
	if err != nil {
		return Suppression{}, fmt.Errorf("looking for a suppression: %w", err)
	}
	s, err := pgx.CollectExactlyOneRow(rows, scanSuppression)
	return s, said(err)
}

// IsSuppressed says whether an address is on the list.
func (x *Tx) IsSuppressed(ctx context.Context, e portal.Email) (bool, error) {
	_, err := x.Suppressed(ctx, e)
	if errors.Is(err, ErrNone) {
		return false, nil
	}
	return err == nil, err
}

// Suppressions lists them, the newest first.
func (x *Tx) Suppressions(ctx context.Context, most int) ([]Suppression, error) {
	rows, err := x.tx.Query(ctx, `select `+suppressionColumns+` from portalgate.suppressions where tenant_id = $1 order by at desc, account limit $2`, x.tenant, most)
	if err != nil {
		return nil, fmt.Errorf("listing suppressions: %w", err)
	}
	return pgx.CollectRows(rows, scanSuppression)
}
