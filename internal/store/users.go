package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
)

// noPassword stands in customer_users.password_hash where the hash is ours alone; no verifier accepts it.
const noPassword = "!portalgate"

// Secret is what a password is checked against. Legacy is set when the ERP's own hash is what counts: nobody has
// signed in here yet, or the ERP has changed it since.
type Secret struct {
	PHC, KeyID, Legacy string
	Version            int64 // of our hash; 0: none yet
	MustChange         bool
}

// Account is a row of customer_users and what opens it.
type Account struct {
	User   portal.User
	Secret Secret
}

// ownCompany is the customer code of the tenant's own company, which people without a company of their own belong to.
const ownCompany = "!portalgate"

const accountColumns = `u.id::text, u.customer_id::text, c.customer_code, c.customer_name, u.email, coalesce(u.first_name, ''), coalesce(u.last_name, ''),
	u.role, coalesce(u.is_email_verified, false), coalesce(u.preferred_language, ''),
	case when u.deleted_at is not null then 'deleted'
		when not coalesce(u.is_active, false) then 'inactive'
		when c.deleted_at is not null or not coalesce(c.is_active, false) then 'company closed'
		when not coalesce(c.portal_enabled, false) then 'portal closed'
		when t.status not in ('ACTIVE', 'TRIAL') or t.deleted_at is not null then 'tenant suspended'
		else '' end,
	coalesce(u.password_hash, ''), coalesce(k.phc, ''), coalesce(k.key_id, ''), k.legacy_digest, coalesce(k.version, 0), coalesce(k.must_change, false)`

const accountFrom = ` from public.customer_users u
	join public.customers c on c.id = u.customer_id
	join public.tenants t on t.id = u.tenant_id
	left join portalgate.credentials k on k.user_id = u.id `

func scanAccount(row pgx.CollectableRow) (a Account, err error) {
	var (
		hash   string
		digest []byte
		u      = &a.User
	)
	err = row.Scan(&u.ID, &u.Customer, &u.CustomerCode, &u.CustomerName, &u.Email, &u.FirstName, &u.LastName, &u.Role, &u.Verified, &u.Language,
		&u.Blocked, &hash, &a.Secret.PHC, &a.Secret.KeyID, &digest, &a.Secret.Version, &a.Secret.MustChange)
	u.Active = u.Blocked == ""
	u.OwnCompany = u.CustomerCode == ownCompany
	if hash != "" && hash != noPassword && !secret.Equal(digest, legacyDigest(hash)) {
		a.Secret.Legacy, a.Secret.PHC = hash, "" // the ERP's word wins
	}
	return a, err
}

func legacyDigest(hash string) []byte {
	d := sha256.Sum256([]byte("portalgate legacy\x00" + hash))
	return d[:]
}

// People are the rows of one address in this tenant, the one used last first.
func (x *Tx) People(ctx context.Context, e portal.Email) ([]Account, error) {
	rows, err := x.tx.Query(ctx, `select `+accountColumns+accountFrom+`
		where u.tenant_id = $1 and lower(u.email) = $2 and u.deleted_at is null
		order by u.last_login_at desc nulls last, u.created_at, u.id`, x.tenant, string(e))
	if err != nil {
		return nil, fmt.Errorf("reading people: %w", err)
	}
	return pgx.CollectRows(rows, scanAccount)
}

// Account is one row by its id.
func (x *Tx) Account(ctx context.Context, id portal.UserID) (Account, error) {
	rows, err := x.tx.Query(ctx, `select `+accountColumns+accountFrom+`where u.id = $1`, id)
	if err != nil {
		return Account{}, fmt.Errorf("reading an account: %w", err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, scanAccount)
	return a, said(err)
}

// PutSecret sets our hash if nobody has changed it since version ifVersion was read; false if somebody has. The
// digest of the ERP's present value is kept beside it, so that a change of the ERP's is noticed.
func (x *Tx) PutSecret(ctx context.Context, id portal.UserID, phc, keyID string, ifVersion int64, mustChange bool) (bool, error) {
	var hash string
	if err := x.tx.QueryRow(ctx, `select coalesce(password_hash, '') from public.customer_users where id = $1`, id).Scan(&hash); err != nil {
		return false, said(fmt.Errorf("reading the old hash: %w", err))
	}
	tag, err := x.tx.Exec(ctx, `insert into portalgate.credentials as k (user_id, tenant_id, phc, key_id, legacy_digest, version, must_change, changed_at)
		values ($1, $2, $3, $4, $5, 1, $6, $7)
		on conflict (user_id) do update set phc = excluded.phc, key_id = excluded.key_id, legacy_digest = excluded.legacy_digest,
			version = k.version + 1, must_change = excluded.must_change, changed_at = excluded.changed_at
		where k.version = $8`, id, x.tenant, phc, keyID, legacyDigest(hash), mustChange, x.now, ifVersion)
	if err != nil {
		return false, fmt.Errorf("storing a password: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// SignedIn keeps the ERP's columns about the last sign-in truthful; Mirror keeps those about failures.
func (x *Tx) SignedIn(ctx context.Context, id portal.UserID, addr netip.Addr, now time.Time) error {
	_, err := x.tx.Exec(ctx, `update public.customer_users set last_login_at = $2, last_login_ip = $3 where id = $1`,
		id, now, addrText(addr))
	if err != nil {
		return fmt.Errorf("noting the sign-in: %w", err)
	}
	return nil
}

func addrText(a netip.Addr) *string {
	if !a.IsValid() {
		return nil
	}
	s := a.String()
	return &s
}
