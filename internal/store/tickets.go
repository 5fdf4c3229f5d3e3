package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
)

// Stamp is how an account stands: its password, here and at the ERP, its address, and whether it may be used. A ticket
// made for an account that stood otherwise opens nothing (REC-02).
func (a Account) Stamp() []byte {
	h := sha256.New()
	fmt.Fprintf(h, "portalgate stamp\x00%d\x00%x\x00%s\x00%t", a.Secret.Version, a.Secret.beside, strings.ToLower(a.User.Email), a.User.Active)
	return h.Sum(nil)
}

// NewTicket is a ticket to be stored.
type NewTicket struct {
	portal.Ticket
	Digest  secret.Digest
	Stamp   []byte
	Browser []byte // digest of the browser that asked; nil: any
	Content string // what is to be done, sealed
}

// PutTicket stores a ticket and forgets those that are long over.
func (x *Tx) PutTicket(ctx context.Context, t NewTicket) error {
	x.tx.Later("forgetting old tickets", `delete from portalgate.tickets where tenant_id = $1 and expires_at < $2`, x.tenant, x.now.Add(-24*time.Hour))
	_, err := x.tx.Exec(ctx, `insert into portalgate.tickets (id, tenant_id, digest, purpose, user_id, email, stamp, browser, content, created_at, expires_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		t.ID, x.tenant, t.Digest[:], t.Purpose, t.User, string(t.Email), t.Stamp, t.Browser, t.Content, t.CreatedAt, t.ExpiresAt)
	if err != nil {
		return fmt.Errorf("storing a ticket: %w", err)
	}
	return nil
}

// Redeemed is a ticket and what it was made beside.
type Redeemed struct {
	portal.Ticket
	Stamp, Browser []byte
	Content        string
}

const ticketColumns = `id::text, purpose, user_id::text, email, created_at, expires_at, stamp, browser, coalesce(content, '')`

func ticketFields(t *Redeemed) []any {
	return []any{&t.ID, &t.Purpose, &t.User, &t.Email, &t.CreatedAt, &t.ExpiresAt, &t.Stamp, &t.Browser, &t.Content}
}

// Ticket looks at a ticket that is not spent, and spends nothing: what a mail scanner opens stays good (REG-04).
func (x *Tx) Ticket(ctx context.Context, d secret.Digest, purposes ...portal.Purpose) (t Redeemed, err error) {
	err = x.tx.QueryRow(ctx, `select `+ticketColumns+` from portalgate.tickets where tenant_id = $1 and digest = $2 and purpose = any ($3) and spent_at is null and expires_at > $4`,
		x.tenant, d[:], purposes, x.now).Scan(ticketFields(&t)...)
	return t, said(err)
}

// SpendTicket spends a ticket, once, whoever comes at the same moment.
func (x *Tx) SpendTicket(ctx context.Context, d secret.Digest, purposes ...portal.Purpose) (t Redeemed, err error) {
	err = x.tx.QueryRow(ctx, `update portalgate.tickets set spent_at = $4 where tenant_id = $1 and digest = $2 and purpose = any ($3) and spent_at is null and expires_at > $4
		returning `+ticketColumns, x.tenant, d[:], purposes, x.now).Scan(ticketFields(&t)...)
	return t, said(err)
}

// OpenUndo is when the oldest change of address was made that a mailbox may still take back; zero: there is none.
func (x *Tx) OpenUndo(ctx context.Context, users []portal.UserID, mailbox portal.Email) (since time.Time, err error) {
	var at *time.Time
	err = x.tx.QueryRow(ctx, `select min(created_at) from portalgate.tickets where tenant_id = $1 and user_id = any ($2::uuid[]) and purpose = 'undo' and email = $3 and spent_at is null and expires_at > $4`,
		x.tenant, users, string(mailbox), x.now).Scan(&at)
	if err != nil {
		return since, fmt.Errorf("looking for a change that can be taken back: %w", err)
	}
	if at != nil {
		since = *at
	}
	return since, nil
}

// Overrule is for a mailbox that has its account back, of which it had been taken at a moment: since then whoever took it
// was told of their own changes, and could take this one back with what they were mailed. The ways back of others end that
// were mailed since, also those whose mail a slow mailbox keeps waiting. Those from before stay: of several mailboxes the
// one that had the account first has the last word (REC-11).
func (x *Tx) Overrule(_ context.Context, users []portal.UserID, mailbox portal.Email, since time.Time) error {
	x.tx.Later("voiding ways back", `update portalgate.tickets set spent_at = $3 where tenant_id = $1 and user_id = any ($2::uuid[]) and spent_at is null and created_at >= $4
		and (purpose = 'undo' or purpose = 'not_me' and email <> $5)`, x.tenant, users, x.now, since, string(mailbox))
	x.tx.Later("dropping ways back", `update portalgate.outbox set state = 'dropped', done_at = $3, content = null, address = '', claimed_until = null, last_error = 'the change was taken back'
		where tenant_id = $1 and user_id = any ($2::uuid[]) and kind = 'old_address' and state in ('waiting', 'failed') and created_at >= $4`, x.tenant, users, x.now, since)
	return nil
}

// VoidTickets spends every other ticket of these people for these purposes: only the newest is good.
func (x *Tx) VoidTickets(_ context.Context, users []portal.UserID, except portal.TicketID, purposes ...portal.Purpose) error {
	var but *string
	if s := string(except); s != "" {
		but = &s
	}
	x.tx.Later("voiding tickets", `update portalgate.tickets set spent_at = $4 where tenant_id = $1 and user_id = any ($2::uuid[]) and purpose = any ($3) and spent_at is null and id is distinct from $5`,
		x.tenant, users, purposes, x.now, but)
	return nil
}
