package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
)

// FactorsOf are a person's second proofs as an operator may see them: everything but what checks an answer.
func (x *Tx) FactorsOf(ctx context.Context, user portal.UserID) ([]portal.Factor, error) {
	rows, err := x.tx.Query(ctx, `select f.id::text, f.user_id::text, f.kind, f.name, f.facts, f.created_at, f.used_at from portalgate.factors f
		where f.tenant_id = $2 and f.user_id in `+person+` order by f.created_at, f.id`, user, x.tenant)
	if err != nil {
		return nil, fmt.Errorf("reading factors: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (f portal.Factor, err error) {
		var (
			used  *time.Time
			facts []byte
		)
		if err = row.Scan(&f.ID, &f.User, &f.Kind, &f.Name, &facts, &f.CreatedAt, &used); err != nil {
			return f, err
		}
		if used != nil {
			f.UsedAt = *used
		}
		if err = json.Unmarshal(facts, &f.Facts); err != nil {
			return f, fmt.Errorf("reading the facts of a factor: %w", err)
		}
		return f, nil
	})
}

// MFA is what a tenant has decided about second steps, as a command reads it before it changes it: nobody else's change
// comes in between.
func (x *Tx) MFA(ctx context.Context) (p portal.MFAPolicy, err error) {
	var b []byte
	err = x.tx.QueryRow(ctx, `select value from portalgate.settings where tenant_id = $1 and key = 'mfa' for update`, x.tenant).Scan(&b)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return p, nil
	case err != nil:
		return p, fmt.Errorf("reading the second-step policy: %w", err)
	}
	if err = json.Unmarshal(b, &p); err != nil {
		return p, fmt.Errorf("reading the second-step policy: %w", err)
	}
	return p, nil
}

// Claims says whether the ERP's rows of a person say that there is a second step, and nobody has dealt with that.
func (x *Tx) Claims(ctx context.Context, user portal.UserID) (claims bool, err error) {
	err = x.tx.QueryRow(ctx, `select exists (select from public.customer_users u left join portalgate.second_steps o on o.tenant_id = u.tenant_id and o.user_id = u.id
		where u.tenant_id = $2 and u.id in `+person+` and `+claimed+`)`, user, x.tenant).Scan(&claims)
	if err != nil {
		return false, fmt.Errorf("looking for a claim: %w", err)
	}
	return claims, nil
}

// claimed is what the ERP's row says of a second step, as long as nobody has dealt with it.
const claimed = `coalesce(u.mfa_enabled, false) and o.settled is distinct from sha256('portalgate claim\000'::bytea || convert_to(coalesce(u.mfa_secret, ''), 'UTF8'))`

// Impact is how many of a tenant's people a rule would meet, and in which state. One address is one person, who may have
// several rows; each row counts for its role.
type Impact struct {
	Role    portal.Role `json:"role"`
	People  int         `json:"people"`       // who may sign in
	Ready   int         `json:"ready"`        // have a second proof that the tenant takes
	Mailed  int         `json:"enrolling"`    // have none, and a proved mailbox: they are led through adding one
	Stuck   int         `json:"unconfirmed"`  // have none, and no proved mailbox: they have to confirm it first
	Claimed int         `json:"erp_claims"`   // the ERP's row says that they have one, and nobody has dealt with that
	Holding int         `json:"with_factors"` // have one of any kind, whether or not the tenant takes it
}

// Impacts counts a tenant's people by role, where that policy says which kinds are taken.
func (x *Tx) Impacts(ctx context.Context, p portal.MFAPolicy) ([]Impact, error) {
	void := []string{string(portal.FactorBackup)} // they stand beside another
	for _, k := range []portal.FactorKind{portal.FactorEmail, portal.FactorSMS} {
		if !p.Allows(k) {
			void = append(void, string(k))
		}
	}
	rows, err := x.tx.Query(ctx, `with people as (
			select u.role, coalesce(u.is_email_verified, false) as proved, `+claimed+` as claimed, coalesce(h.ready, false) as ready, h.ready is not null as holding
			from public.customer_users u join public.customers c on c.id = u.customer_id
				left join portalgate.second_steps o on o.tenant_id = u.tenant_id and o.user_id = u.id,
				lateral (select bool_or(f.kind <> all ($2::text[])) as ready from portalgate.addresses me join portalgate.addresses a on a.tenant_id = me.tenant_id and a.account = me.account
						join portalgate.factors f on f.tenant_id = a.tenant_id and f.user_id = a.user_id
						join public.customer_users p on p.tenant_id = a.tenant_id and p.id = a.user_id
					where me.tenant_id = u.tenant_id and me.user_id = u.id and p.deleted_at is null) h
			where u.tenant_id = $1 and u.deleted_at is null and coalesce(u.is_active, false) and c.deleted_at is null and coalesce(c.is_active, false) and coalesce(c.portal_enabled, false)
		) select role, count(*), count(*) filter (where ready), count(*) filter (where not ready and proved), count(*) filter (where not ready and not proved), count(*) filter (where claimed), count(*) filter (where holding)
		from people group by role order by role`, x.tenant, void)
	if err != nil {
		return nil, fmt.Errorf("counting people: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (i Impact, err error) {
		err = row.Scan(&i.Role, &i.People, &i.Ready, &i.Mailed, &i.Stuck, &i.Claimed, &i.Holding)
		return i, err
	})
}
