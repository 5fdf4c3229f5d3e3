package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
)

// Recovery is an operator's recovery as it is stored: the two addresses are sealed, and empty when it is over.
type Recovery struct {
	portal.Recovery
	Addresses, KeyID string
}

const recoveryColumns = `id::text, user_id::text, letter_id::text, addresses, key_id, begun_by, reason, begun_at, due_at, coalesce(confirmed_by, ''), confirmed_at, state, ended_by, ended_at, why`

func scanRecovery(row pgx.CollectableRow) (r Recovery, err error) {
	var (
		addresses        []byte
		confirmed, ended *time.Time
	)
	err = row.Scan(&r.ID, &r.User, &r.Letter, &addresses, &r.KeyID, &r.BegunBy, &r.Reason, &r.BegunAt, &r.DueAt, &r.ConfirmedBy, &confirmed, &r.State, &r.EndedBy, &ended, &r.Why)
	if r.Addresses = string(addresses); confirmed != nil {
		r.ConfirmedAt = *confirmed
	}
	if ended != nil {
		r.EndedAt = *ended
	}
	return r, err
}

// BeginRecovery stores a recovery that waits. The error is a TakenError where one of the person waits already.
func (x *Tx) BeginRecovery(ctx context.Context, r Recovery, d Deed) error {
	_, err := x.tx.Exec(ctx, `insert into portalgate.recoveries (id, tenant_id, user_id, addresses, key_id, letter_id, begun_by, reason, begun_at, due_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		r.ID, x.tenant, r.User, []byte(r.Addresses), r.KeyID, r.Letter, d.Operator, d.Reason, x.now, r.DueAt)
	if err != nil {
		return said(fmt.Errorf("beginning a recovery: %w", err))
	}
	return x.did(ctx, d, portal.VerbRecoveryBegun, r.User, map[string]string{"recovery": string(r.ID), "from": r.From.Masked(), "to": r.To.Masked(), "due": r.DueAt.UTC().Format(time.RFC3339)})
}

// Recovery reads one recovery, whatever came of it.
func (x *Tx) Recovery(ctx context.Context, id portal.RecoveryID) (Recovery, error) {
	rows, err := x.tx.Query(ctx, `select `+recoveryColumns+` from portalgate.recoveries where tenant_id = $1 and id = $2`, x.tenant, id)
	if err != nil {
		return Recovery{}, fmt.Errorf("reading a recovery: %w", err)
	}
	r, err := pgx.CollectExactlyOneRow(rows, scanRecovery)
	return r, said(err)
}

// Recoveries lists recoveries of a state, or of any, and of a person, or of anybody; the newest first.
func (x *Tx) Recoveries(ctx context.Context, state portal.RecoveryState, user portal.UserID, most int) ([]Recovery, error) {
	rows, err := x.tx.Query(ctx, `select `+recoveryColumns+` from portalgate.recoveries where tenant_id = $1 and ($2 = '' or state = $2) and ($3::uuid is null or user_id = $3) order by begun_at desc, id limit $4`,
		x.tenant, state, idOrNull(user), most)
	if err != nil {
		return nil, fmt.Errorf("listing recoveries: %w", err)
	}
	return pgx.CollectRows(rows, scanRecovery)
}

// HastenRecovery ends the wait of a recovery, once; by is who answers for that. False where it does not wait any more,
// and where by is who has begun it: two pairs of eyes are what the wait stands for.
func (x *Tx) HastenRecovery(ctx context.Context, id portal.RecoveryID, by string) (bool, error) {
	tag, err := x.tx.Exec(ctx, `with h as (update portalgate.recoveries set due_at = $3, confirmed_by = $4, confirmed_at = $3
			where tenant_id = $1 and id = $2 and state = 'waiting' and confirmed_at is null and lower(btrim(begun_by)) <> lower(btrim($4)) returning letter_id)
		update portalgate.outbox o set next_try_at = $3 from h where o.tenant_id = $1 and o.id = h.letter_id and o.state = 'waiting'`, x.tenant, id, x.now, by)
	if err != nil {
		return false, fmt.Errorf("ending the wait of a recovery: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// ConfirmRecovery is HastenRecovery from a command.
func (x *Tx) ConfirmRecovery(ctx context.Context, r Recovery, d Deed) (bool, error) {
	ok, err := x.HastenRecovery(ctx, r.ID, d.Operator)
	if err != nil || !ok {
		return false, err
	}
	return true, x.did(ctx, d, portal.VerbRecoveryAgreed, r.User, map[string]string{"recovery": string(r.ID), "begun_by": r.BegunBy})
}

// EndRecovery ends a recovery that waits, whoever comes at the same moment: of all that would, one does. False: another
// was first. What it was about is erased, here and by the courier in its letter.
func (x *Tx) EndRecovery(ctx context.Context, id portal.RecoveryID, state portal.RecoveryState, by, why string) (bool, error) {
	tag, err := x.tx.Exec(ctx, `update portalgate.recoveries set state = $3, ended_by = $4, ended_at = $5, why = $6, addresses = '' where tenant_id = $1 and id = $2 and state = 'waiting'`,
		x.tenant, id, state, by, x.now, why)
	if err != nil {
		return false, fmt.Errorf("ending a recovery: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return false, nil
	}
	if state == portal.RecoveryStopped {
		x.tx.Later("hurrying the letter of a recovery", `update portalgate.outbox o set next_try_at = $3 from portalgate.recoveries r where r.tenant_id = $1 and r.id = $2 and o.tenant_id = $1 and o.id = r.letter_id and o.state = 'waiting'`,
			x.tenant, id, x.now)
	}
	return true, nil
}

// StopRecovery stops a recovery from a command.
func (x *Tx) StopRecovery(ctx context.Context, r Recovery, d Deed) (bool, error) {
	if err := x.TakeTurns(ctx, []portal.UserID{r.User}); err != nil {
		return false, err
	}
	ok, err := x.EndRecovery(ctx, r.ID, portal.RecoveryStopped, d.Operator, d.Reason)
	if err != nil || !ok {
		return false, err
	}
	return true, x.did(ctx, d, portal.VerbRecoveryStopped, r.User, map[string]string{"recovery": string(r.ID), "begun_by": r.BegunBy})
}

// SameOperator says whether two names of operators are one.
func SameOperator(a, b string) bool {
	return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(b))
}
