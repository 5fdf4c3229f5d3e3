package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
)

// closedSecret stands in place of a hash, or before it, where the password is shut until it is set anew; no verifier
// accepts it.
const closedSecret = "!closed"

// ConfirmAddress notes that the mailbox of these people was proved, where the ERP looks too.
func (x *Tx) ConfirmAddress(_ context.Context, users []portal.UserID) error {
	x.tx.Later("noting a proved address", `update public.customer_users set is_email_verified = true, updated_at = $3 where tenant_id = $1 and id = any ($2::uuid[]) and not coalesce(is_email_verified, false)`,
		x.tenant, users, x.now)
	return nil
}

// ChangeAddress gives these people another address, which is proved. The error is a TakenError where somebody of the same
// company has it.
func (x *Tx) ChangeAddress(ctx context.Context, users []portal.UserID, e portal.Email) error {
	_, err := x.tx.Exec(ctx, `update public.customer_users set email = $3, is_email_verified = true, updated_at = $4 where tenant_id = $1 and id = any ($2::uuid[]) and deleted_at is null`,
		x.tenant, users, string(e), x.now)
	if err != nil {
		return said(fmt.Errorf("changing an address: %w", err))
	}
	return nil
}

// CloseSecret shuts the password of a person until it is set anew; nobody gets in with it, and nobody is told why. What it
// was stays behind the lock, so that whoever chooses a new one cannot choose the one that somebody else knows.
func (x *Tx) CloseSecret(ctx context.Context, a Account) error {
	was := a.Secret
	if c := a.Secret.Closed; c != nil {
		was.PHC, was.KeyID, was.Legacy = c.PHC, c.KeyID, c.Legacy
	}
	if was.PHC == "" {
		was.KeyID = ""
	}
	return x.shut(ctx, a, closedSecret+was.PHC+was.Legacy, was.KeyID)
}

// ForgetSecret does the same with a password that its owner may choose again: whoever set it may have been them.
func (x *Tx) ForgetSecret(ctx context.Context, a Account) error {
	return x.shut(ctx, a, closedSecret, "")
}

func (x *Tx) shut(ctx context.Context, a Account, phc, keyID string) error {
	ok, err := x.PutSecret(ctx, a.User.ID, phc, keyID, a.Secret.Version, false)
	if err == nil && !ok {
		err = errors.New("the password was changed at the same moment")
	}
	return err
}

// closed reads what CloseSecret has written: what was behind the lock, or nothing.
func closed(rest, keyID string) *Secret {
	switch {
	case rest == "":
		return nil
	case strings.HasPrefix(rest, "$argon2"):
		return &Secret{PHC: rest, KeyID: keyID}
	}
	return &Secret{Legacy: rest}
}

// Company finds a customer company by the ERP's code, or the tenant's own by none. Where no code is written as it was typed,
// one in capitals is meant, or in small letters.
func (x *Tx) Company(ctx context.Context, code string) (id portal.CustomerID, err error) {
	err = x.tx.QueryRow(ctx, `select id::text from public.customers where tenant_id = $1 and customer_code in ($2::text, upper($2::text), lower($2::text)) and deleted_at is null and coalesce(is_active, false) and coalesce(portal_enabled, false)
		order by customer_code = $2::text desc, customer_code limit 1`,
		x.tenant, orElse(code, ownCode)).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", ErrCustomer
	}
	if err != nil {
		return "", fmt.Errorf("looking for a company: %w", err)
	}
	return id, nil
}

// Enter adds a person who has registered; the address is not proved yet. The error is a TakenError where somebody of the
// company has it.
func (x *Tx) Enter(ctx context.Context, id portal.UserID, company portal.CustomerID, n NewUser) error {
	_, err := x.tx.Exec(ctx, `insert into public.customer_users (id, tenant_id, customer_id, email, password_hash, first_name, last_name, role, is_active, is_email_verified, preferred_language, password_changed_at, created_at, updated_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, true, false, $9, $10, $10, $10)`,
		id, x.tenant, company, string(n.Email), noPassword, n.FirstName, n.LastName, n.Role, orElse(n.Language, "en-US"), x.now)
	if err != nil {
		return said(fmt.Errorf("entering a person: %w", err))
	}
	_, err = x.PutSecret(ctx, id, n.PHC, n.KeyID, 0, false)
	return err
}
