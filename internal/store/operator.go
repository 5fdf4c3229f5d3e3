package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
)

// Deed is who does something from a command, and why; it goes into the trail in the deed's transaction.
type Deed struct {
	Operator, Reason string
}

func (x *Tx) did(ctx context.Context, d Deed, verb portal.Verb, user portal.UserID, facts map[string]string) error {
	a := portal.Activity{Verb: verb, User: user, Result: "ok", Operator: orElse(d.Operator, "unknown"), Note: d.Reason, Facts: facts}
	return x.Record(ctx, a)
}

// changed announces that hosts, modes, names or brands are to be read anew.
func (x *Tx) changed(ctx context.Context) error {
	_, err := x.tx.Exec(ctx, `insert into portalgate.revocations (tenant_id, kind, subject, at) values ($1, 'directory', $1, $2)`, x.tenant, x.now)
	if err != nil {
		return fmt.Errorf("announcing the change: %w", err)
	}
	return nil
}

// AddTenant makes a tenant, its mode on, in the transaction of a tenant of that id.
func (x *Tx) AddTenant(ctx context.Context, slug, name string, d Deed) error {
	if _, err := x.tx.Exec(ctx, `insert into public.tenants (id, tenant_code, tenant_name, created_at) values ($1, $2, $3, $4)`, x.tenant, slug, name, x.now); err != nil {
		return said(fmt.Errorf("making tenant %s: %w", slug, err))
	}
	return errors.Join(x.SetMode(ctx, portal.ModeOn, d), x.did(ctx, d, portal.VerbTenantChanged, "", map[string]string{"added": slug}))
}

// RenameTenant changes what people see.
func (x *Tx) RenameTenant(ctx context.Context, name string, d Deed) error {
	_, err := x.tx.Exec(ctx, `update public.tenants set tenant_name = $2 where id = $1`, x.tenant, name)
	if err != nil {
		return fmt.Errorf("renaming the tenant: %w", err)
	}
	return errors.Join(x.did(ctx, d, portal.VerbTenantChanged, "", map[string]string{"name": name}), x.changed(ctx))
}

// SetMode changes how much of the gate a tenant has.
func (x *Tx) SetMode(ctx context.Context, m portal.Mode, d Deed) error {
	if err := x.put(ctx, "mode", m); err != nil {
		return err
	}
	return errors.Join(x.did(ctx, d, portal.VerbTenantChanged, "", map[string]string{"mode": string(m)}), x.changed(ctx))
}

// SetBrand changes what a tenant's pages look like.
func (x *Tx) SetBrand(ctx context.Context, b portal.Brand, d Deed) error {
	if err := x.put(ctx, "brand", b); err != nil {
		return err
	}
	return errors.Join(x.did(ctx, d, portal.VerbTenantChanged, "", map[string]string{"brand": b.Accent}), x.changed(ctx))
}

func (x *Tx) put(ctx context.Context, key string, value any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding setting %s: %w", key, err)
	}
	_, err = x.tx.Exec(ctx, `insert into portalgate.settings as s (tenant_id, key, value, version, changed_at) values ($1, $2, $3, 1, $4)
		on conflict (tenant_id, key) do update set value = excluded.value, version = s.version + 1, changed_at = excluded.changed_at`, x.tenant, key, b, x.now)
	if err != nil {
		return fmt.Errorf("storing setting %s: %w", key, err)
	}
	return nil
}

// SetRegistration changes how people come to have an account. Where anybody may register, those without a company of
// their own need the tenant's.
func (x *Tx) SetRegistration(ctx context.Context, r portal.Registration, d Deed) error {
	if err := x.put(ctx, "registration", r); err != nil {
		return err
	}
	if r == portal.RegistrationOpen {
		if _, err := x.ownCompany(ctx); err != nil {
			return err
		}
	}
	return errors.Join(x.did(ctx, d, portal.VerbTenantChanged, "", map[string]string{"registration": string(r)}), x.changed(ctx))
}

// SetHome names the host that links in mails lead to; the tenant must have it.
func (x *Tx) SetHome(ctx context.Context, host string, d Deed) error {
	if err := x.put(ctx, "home", host); err != nil {
		return err
	}
	return errors.Join(x.did(ctx, d, portal.VerbTenantChanged, "", map[string]string{"home": host}), x.changed(ctx))
}

// SetRegion says by which of the configured regions a tenant's mail leaves.
func (x *Tx) SetRegion(ctx context.Context, region string, d Deed) error {
	if err := x.put(ctx, "mail_region", region); err != nil {
		return err
	}
	return errors.Join(x.did(ctx, d, portal.VerbTenantChanged, "", map[string]string{"mail_region": region}), x.changed(ctx))
}

// AddHost gives a tenant a host name of its own.
func (x *Tx) AddHost(ctx context.Context, host string, d Deed) error {
	if _, err := x.tx.Exec(ctx, `insert into portalgate.hosts (host, tenant_id) values ($1, $2)`, host, x.tenant); err != nil {
		return said(fmt.Errorf("adding host %s: %w", host, err))
	}
	return errors.Join(x.did(ctx, d, portal.VerbTenantChanged, "", map[string]string{"host_added": host}), x.changed(ctx))
}

// RemoveHost takes a host name away; false when the tenant has none of that name.
func (x *Tx) RemoveHost(ctx context.Context, host string, d Deed) (bool, error) {
	tag, err := x.tx.Exec(ctx, `delete from portalgate.hosts where host = $1 and tenant_id = $2`, host, x.tenant)
	if err != nil || tag.RowsAffected() == 0 {
		return false, err
	}
	return true, errors.Join(x.did(ctx, d, portal.VerbTenantChanged, "", map[string]string{"host_removed": host}), x.changed(ctx))
}

// NewUser is a person to be added.
type NewUser struct {
	Email               portal.Email
	FirstName, LastName string
	Role                portal.Role
	Customer            string // customer code; empty: the tenant's own company, made on first use
	Verified            bool
	Language            string
	PHC, KeyID          string
	MustChange          bool
}

// ErrCustomer means that there is no customer company with that code.
var ErrCustomer = errors.New("no such customer company")

// Invited notes that a person was sent an invitation by a command.
func (x *Tx) Invited(ctx context.Context, id portal.UserID, d Deed) error {
	return x.did(ctx, d, portal.VerbUserInvited, id, nil)
}

// Recovers notes that a person was sent a link to a new password by a command.
func (x *Tx) Recovers(ctx context.Context, id portal.UserID, d Deed) error {
	return x.did(ctx, d, portal.VerbResetAsked, id, nil)
}

// ownCompany finds or makes the tenant's own company; its code cannot be an ERP's, and its id is never sent to the
// upstream.
func (x *Tx) ownCompany(ctx context.Context) (id string, err error) {
	err = x.tx.QueryRow(ctx, `with made as (
			insert into public.customers (tenant_id, customer_code, customer_name, portal_enabled, portal_enabled_at)
			select $1, $2, tenant_name, true, $3 from public.tenants where id = $1
			on conflict (tenant_id, customer_code) do nothing returning id
		) select id::text from made union all select id::text from public.customers where tenant_id = $1 and customer_code = $2 limit 1`,
		x.tenant, ownCode, x.now).Scan(&id)
	if err != nil {
		return "", said(fmt.Errorf("making the tenant's own company: %w", err))
	}
	return id, nil
}

// AddUser adds a person; one without a password gets in by an invitation.
func (x *Tx) AddUser(ctx context.Context, n NewUser, d Deed) (portal.UserID, error) {
	var customer string
	if n.Customer == "" {
		var err error
		if customer, err = x.ownCompany(ctx); err != nil {
			return "", err
		}
	} else if err := x.tx.QueryRow(ctx, `select id::text from public.customers where tenant_id = $1 and customer_code = $2 and deleted_at is null`, x.tenant, n.Customer).Scan(&customer); err != nil {
		if errors.Is(err, pgx.ErrNoRows) {
			return "", ErrCustomer
		}
		return "", fmt.Errorf("looking for the company: %w", err)
	}
	id := portal.UserID(portal.FormatID(secret.NewID()))
	if _, err := x.tx.Exec(ctx, `insert into public.customer_users (id, tenant_id, customer_id, email, password_hash, first_name, last_name, role, is_email_verified, preferred_language, password_changed_at, created_at, updated_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $11)`,
		id, x.tenant, customer, string(n.Email), noPassword, n.FirstName, n.LastName, n.Role, n.Verified, orElse(n.Language, "en-US"), x.now); err != nil {
		return "", said(fmt.Errorf("adding %s: %w", n.Email, err))
	}
	if n.PHC != "" {
		if _, err := x.PutSecret(ctx, id, n.PHC, n.KeyID, 0, n.MustChange); err != nil {
			return "", err
		}
	}
	return id, x.did(ctx, d, portal.VerbUserAdded, id, map[string]string{"role": string(n.Role), "company": n.Customer})
}

// AddCustomer makes a customer company; the demo and tests need companies where no ERP makes them.
func (x *Tx) AddCustomer(ctx context.Context, code, name string) error {
	_, err := x.tx.Exec(ctx, `insert into public.customers (tenant_id, customer_code, customer_name, portal_enabled, portal_enabled_at) values ($1, $2, $3, true, $4)`, x.tenant, code, name, x.now)
	return said(err)
}

// What a command may know of the people: nothing that opens an account. Whether there is a password is known only from
// our own table, and from the ERP's saying that a person comes by single sign-on.
const listedColumns = personColumns + `, coalesce(k.version, 0), coalesce(k.must_change, false), k.version is null and u.sso_provider is not null`

func scanListed(row pgx.CollectableRow) (a Account, err error) {
	err = row.Scan(append(userFields(&a.User), &a.Secret.Version, &a.Secret.MustChange, &a.Secret.Missing)...)
	a.User = completed(a.User)
	return a, err
}

// Users lists a tenant's people by address.
func (x *Tx) Users(ctx context.Context, limit int) ([]Account, error) {
	rows, err := x.tx.Query(ctx, `select `+listedColumns+accountFrom+`where u.tenant_id = $1 and u.deleted_at is null order by lower(u.email), u.id limit $2`, x.tenant, limit)
	if err != nil {
		return nil, fmt.Errorf("listing people: %w", err)
	}
	return pgx.CollectRows(rows, scanListed)
}

// Named are the rows of one address, in the order of People, without anything that opens them.
func (x *Tx) Named(ctx context.Context, e portal.Email) ([]Account, error) {
	rows, err := x.tx.Query(ctx, `select `+listedColumns+accountFrom+`
		where u.tenant_id = $1 and `+named+`
		order by u.last_login_at desc nulls last, u.created_at, u.id`, x.tenant, string(e), account(x.tenant, e))
	if err != nil {
		return nil, fmt.Errorf("looking for %s: %w", e.Masked(), err)
	}
	return pgx.CollectRows(rows, scanListed)
}

// Person is one row by its id, without anything that opens it.
func (x *Tx) Person(ctx context.Context, id portal.UserID) (Account, error) {
	rows, err := x.tx.Query(ctx, `select `+listedColumns+accountFrom+`where u.id = $1`, id)
	if err != nil {
		return Account{}, fmt.Errorf("reading a person: %w", err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, scanListed)
	return a, said(err)
}

// LastSignIn is when a person was last here; zero: never.
func (x *Tx) LastSignIn(ctx context.Context, id portal.UserID) (time.Time, error) {
	var at *time.Time
	if err := x.tx.QueryRow(ctx, `select last_login_at from public.customer_users where id = $1`, id).Scan(&at); err != nil {
		return time.Time{}, said(err)
	}
	if at == nil {
		return time.Time{}, nil
	}
	return *at, nil
}

// Purses are the lockouts of an address: of strangers, and of each device.
func (x *Tx) Purses(ctx context.Context, e portal.Email) (map[string]portal.Lockout, error) {
	rows, err := x.tx.Query(ctx, `select purse, failures, last_failure, rests_until from portalgate.lockouts where tenant_id = $1 and account = $2`, x.tenant, account(x.tenant, e))
	if err != nil {
		return nil, fmt.Errorf("reading lockouts: %w", err)
	}
	defer rows.Close()
	out := map[string]portal.Lockout{}
	for rows.Next() {
		var (
			purse string
			l     portal.Lockout
			rest  *time.Time
		)
		if err := rows.Scan(&purse, &l.Failures, &l.LastFailure, &rest); err != nil {
			return nil, fmt.Errorf("reading lockouts: %w", err)
		}
		if rest != nil {
			l.RestsUntil = *rest
		}
		out[purse] = l
	}
	return out, rows.Err()
}

// SetPassword replaces a person's password from a command: it must be changed at the next sign-in, every session ends,
// the purses are empty again, and no browser is known any more.
func (x *Tx) SetPassword(ctx context.Context, a Account, e portal.Email, phc, keyID string, d Deed) ([]portal.SessionID, error) {
	if err := x.TakeTurns(ctx, []portal.UserID{a.User.ID}); err != nil {
		return nil, err
	}
	ok, err := x.PutSecret(ctx, a.User.ID, phc, keyID, a.Secret.Version, true)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errors.New("the password was changed by somebody else at the same moment; try again")
	}
	if _, err := x.Unlock(ctx, e); err != nil {
		return nil, err
	}
	if err := errors.Join(x.SetPasswords(ctx, []portal.UserID{a.User.ID}), x.ForgetDevices(ctx, []portal.UserID{a.User.ID}, nil)); err != nil {
		return nil, err
	}
	ended, err := x.EndSessions(ctx, []portal.UserID{a.User.ID}, "", portal.EndPasswordChange)
	if err != nil {
		return nil, err
	}
	return ended, x.did(ctx, d, portal.VerbPasswordReset, a.User.ID, map[string]string{"sessions_ended": fmt.Sprint(len(ended))})
}

// RevokeSessions ends every session of a person from a command.
func (x *Tx) RevokeSessions(ctx context.Context, users []portal.UserID, d Deed) ([]portal.SessionID, error) {
	ended, err := x.EndSessions(ctx, users, "", portal.EndOperator)
	if err != nil {
		return nil, err
	}
	return ended, x.did(ctx, d, portal.VerbSessionsRevoked, users[0], map[string]string{"sessions_ended": fmt.Sprint(len(ended))})
}

// RevokedAtOnce is how many sessions of a tenant one transaction ends: each is a row that is announced, and locked until
// all of them are.
const RevokedAtOnce = 1000

// RevokeEverybody ends sessions of a tenant that began before a moment, so many at most; more may be left when that many
// have ended. Who signs in meanwhile stays.
func (x *Tx) RevokeEverybody(ctx context.Context, before time.Time, d Deed) (int, error) {
	ended, err := x.end(ctx, `id in (select id from portalgate.sessions where tenant_id = $3 and ended_at is null and created_at < $4 order by id limit $5 for update)`,
		portal.EndOperator, x.tenant, before, RevokedAtOnce)
	if err != nil {
		return 0, err
	}
	return len(ended), x.did(ctx, d, portal.VerbSessionsRevoked, "", map[string]string{"sessions_ended": fmt.Sprint(len(ended)), "of": "everybody"})
}

// UnlockBy empties every purse of an address from a command.
func (x *Tx) UnlockBy(ctx context.Context, e portal.Email, user portal.UserID, d Deed) (int64, error) {
	n, err := x.Unlock(ctx, e)
	if err != nil {
		return 0, err
	}
	return n, x.did(ctx, d, portal.VerbAccountUnlocked, user, map[string]string{"purses": fmt.Sprint(n)})
}

// Verify confirms a person's address from a command.
func (x *Tx) Verify(ctx context.Context, user portal.UserID, d Deed) error {
	if _, err := x.tx.Exec(ctx, `update public.customer_users set is_email_verified = true, email_verification_token = null, email_verification_expires = null, updated_at = $2 where id = $1`, user, x.now); err != nil {
		return fmt.Errorf("confirming an address: %w", err)
	}
	return x.did(ctx, d, portal.VerbEmailVerified, user, nil)
}
