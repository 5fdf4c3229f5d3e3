package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strings"
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
	Missing            bool      // nobody has set a password, or it is closed, or the person comes by single sign-on
	Elsewhere          bool      // the person comes by single sign-on, and gets no password here
	ChangedAt          time.Time // when it was set last, as the ERP's row says; zero: it does not
	Closed             *Secret   // what opened the account until it was shut; nothing opens it now

	beside []byte // the digest of the ERP's value
}

// Lost is how many people of the tenant are not found by their address: they were written while triggers were off, as a
// restore of a dump may have it. It reads all of them.
func (x *Tx) Lost(ctx context.Context) (n int, err error) {
	err = x.tx.QueryRow(ctx, `select count(*) from public.customer_users u left join portalgate.addresses a on a.tenant_id = u.tenant_id and a.user_id = u.id
		where u.tenant_id = $1 and u.deleted_at is null and a.account is distinct from portalgate.account(u.tenant_id, lower(u.email))`, x.tenant).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("looking for lost addresses: %w", err)
	}
	return n, nil
}

// Account is a row of customer_users and what opens it.
type Account struct {
	User   portal.User
	Secret Secret
	Second Second
}

// Second is what is known of a person's second step without looking at the factors themselves.
type Second struct {
	Has     bool      // there is a factor, added from whichever of the person's rows
	ToldAt  time.Time // since when they know that they need one; zero: nobody has told them
	Claimed bool      // the ERP's row says that there is one, and nobody has dealt with that
	Claim   string    // what the ERP's row has as its secret
	ByMail  bool      // whoever set the password showed nothing but the mailbox
	Offered bool      // a passkey was offered to them
	Handle  []byte    // by which authenticators know the person; nil: they have never had a passkey
}

// ownCode is the customer code of the tenant's own company, which people without a company of their own belong to.
const ownCode = "!portalgate"

// personColumns are what everybody may know of a row.
const personColumns = `u.id::text, u.customer_id::text, c.customer_code, c.customer_name, u.email, coalesce(u.first_name, ''), coalesce(u.last_name, ''),
	u.role, coalesce(u.is_email_verified, false), coalesce(u.preferred_language, ''), coalesce(u.timezone, ''),
	case when u.deleted_at is not null then 'deleted'
		when not coalesce(u.is_active, false) then 'inactive'
		when c.deleted_at is not null or not coalesce(c.is_active, false) then 'company closed'
		when not coalesce(c.portal_enabled, false) then 'portal closed'
		when t.status not in ('ACTIVE', 'TRIAL') or t.deleted_at is not null then 'tenant suspended'
		else '' end`

const accountColumns = personColumns + `, coalesce(u.password_hash, ''), coalesce(k.phc, ''), coalesce(k.key_id, ''), k.legacy_digest, coalesce(k.version, 0), coalesce(k.must_change, false),
	coalesce(k.by_mail, false), coalesce(u.mfa_enabled, false), coalesce(u.mfa_secret, ''), o.told_at, o.settled, o.offered_at is not null, o.handle, u.password_changed_at,
	exists (select from portalgate.addresses me join portalgate.addresses a on a.tenant_id = me.tenant_id and a.account = me.account
		join portalgate.factors f on f.tenant_id = a.tenant_id and f.user_id = a.user_id
		join public.customer_users p on p.tenant_id = a.tenant_id and p.id = a.user_id
		where me.tenant_id = u.tenant_id and me.user_id = u.id and p.deleted_at is null)`

const accountFrom = ` from public.customer_users u
	join public.customers c on c.id = u.customer_id
	join public.tenants t on t.id = u.tenant_id
	left join portalgate.credentials k on k.user_id = u.id
	left join portalgate.second_steps o on o.user_id = u.id `

func userFields(u *portal.User) []any {
	return []any{&u.ID, &u.Customer, &u.CustomerCode, &u.CustomerName, &u.Email, &u.FirstName, &u.LastName, &u.Role, &u.Verified, &u.Language, &u.Zone, &u.Blocked}
}

// completed derives what follows from the columns.
func completed(u portal.User) portal.User {
	u.Active = u.Blocked == ""
	u.OwnCompany = u.CustomerCode == ownCode
	return u
}

func scanAccount(row pgx.CollectableRow) (a Account, err error) {
	var (
		hash            string
		digest, settled []byte
		told, changed   *time.Time
	)
	err = row.Scan(append(userFields(&a.User), &hash, &a.Secret.PHC, &a.Secret.KeyID, &digest, &a.Secret.Version, &a.Secret.MustChange,
		&a.Second.ByMail, &a.Second.Claimed, &a.Second.Claim, &told, &settled, &a.Second.Offered, &a.Second.Handle, &changed, &a.Second.Has)...)
	if changed != nil {
		a.Secret.ChangedAt = *changed
	}
	if told != nil {
		a.Second.ToldAt = *told
	}
	a.Second.Claimed = a.Second.Claimed && !secret.Equal(settled, claimDigest(a.Second.Claim))
	a.User = completed(a.User)
	a.Secret.beside = legacyDigest(hash)
	if hash != "" && hash != noPassword && !secret.Equal(digest, a.Secret.beside) {
		a.Secret.Legacy, a.Secret.PHC = hash, "" // the ERP's word wins
	}
	a.Secret.Elsewhere = hash == "" // the ERP's rule: a row has a hash or a provider
	if was, ok := strings.CutPrefix(a.Secret.PHC, closedSecret); ok {
		a.Secret.Closed, a.Secret.PHC, a.Secret.KeyID = closed(was, a.Secret.KeyID), "", ""
	}
	a.Secret.Missing = a.Secret.Legacy == "" && a.Secret.PHC == ""
	return a, err
}

// legacyDigest is what trigger portalgate.beside makes of the ERP's value.
func legacyDigest(hash string) []byte {
	d := sha256.Sum256([]byte("portalgate legacy\x00" + hash))
	return d[:]
}

// claimDigest is what Settle notes.
func claimDigest(claim string) []byte {
	d := sha256.Sum256([]byte("portalgate claim\x00" + claim))
	return d[:]
}

// named says that a row u of tenant $1 has the address $2, whose digest is $3. It is found by the digest (core/0014).
const named = `u.id in (select a.user_id from portalgate.addresses a where a.tenant_id = $1 and a.account = $3) and lower(u.email) = $2 and u.deleted_at is null`

// People are the rows of one address in this tenant, the one used last first.
func (x *Tx) People(ctx context.Context, e portal.Email) ([]Account, error) {
	rows, err := x.tx.Query(ctx, `select `+accountColumns+accountFrom+`
		where u.tenant_id = $1 and `+named+`
		order by u.last_login_at desc nulls last, u.created_at, u.id`, x.tenant, string(e), account(x.tenant, e))
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
	if err == nil {
		if x.judged == nil {
			x.judged = map[portal.UserID][]byte{}
		}
		x.judged[id] = a.Secret.beside
	}
	return a, said(err)
}

// PutSecret sets our hash if nobody has changed it since version ifVersion was read; false if somebody has. Beside it
// stays the digest of the ERP's value, so that a change of the ERP's is noticed: of the value that this transaction has
// read with Account, or else of the present one. What the ERP changes between that reading and this writing wins.
func (x *Tx) PutSecret(ctx context.Context, id portal.UserID, phc, keyID string, ifVersion int64, mustChange bool) (bool, error) {
	tag, err := x.tx.Exec(ctx, `insert into portalgate.credentials as k (user_id, tenant_id, phc, key_id, legacy_digest, version, must_change, changed_at)
		values ($1, $2, $3, $4, $5, 1, $6, $7)
		on conflict (tenant_id, user_id) do update set phc = $3, key_id = $4, legacy_digest = $5, version = k.version + 1, must_change = $6, changed_at = $7
		where k.version = $8`, id, x.tenant, phc, keyID, x.judged[id], mustChange, x.now, ifVersion)
	if err != nil {
		return false, fmt.Errorf("storing a password: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// SetPasswords notes when the password of these people was set, where the ERP looks too.
func (x *Tx) SetPasswords(_ context.Context, users []portal.UserID) error {
	x.tx.Later("noting a change of password", `update public.customer_users set password_changed_at = $3 where tenant_id = $1 and id = any ($2::uuid[])`, x.tenant, users, x.now)
	return nil
}

// SignedIn keeps the ERP's columns about the last sign-in truthful; Mirror keeps those about failures.
func (x *Tx) SignedIn(ctx context.Context, id portal.UserID, addr netip.Addr, now time.Time) error {
	x.tx.Later("noting the sign-in", `update public.customer_users set last_login_at = $2, last_login_ip = $3 where id = $1`,
		id, now, addrText(addr))
	return nil
}

func addrText(a netip.Addr) *string {
	if !a.IsValid() {
		return nil
	}
	s := a.String()
	return &s
}
