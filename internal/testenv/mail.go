package testenv

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// Outgoing is a provider that keeps what it is given, for flows; what is sent for real is tested with a Mailbox.
type Outgoing struct {
	mu    sync.Mutex
	sent  []mail.Message
	Fails func(mail.Message) error // nil: takes everything
}

// Send keeps a mail, or fails.
func (o *Outgoing) Send(_ context.Context, m mail.Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.Fails != nil {
		if err := o.Fails(m); err != nil {
			return err
		}
	}
	o.sent = append(o.sent, m)
	return nil
}

// Sent are the mails of a tenant so far.
func (o *Outgoing) Sent(t portal.TenantID) (out []mail.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range o.sent {
		if m.Tenant == t {
			out = append(out, m)
		}
	}
	return out
}

func press(t testing.TB) *mail.Press {
	t.Helper()
	p, err := mail.BuiltIn()
	if err != nil {
		t.Fatal("reading the mails: ", err)
	}
	return p
}

// tenant is the table of hosts of a house that serves no HTTP.
func (h *House) tenant(t testing.TB) func(portal.TenantID) (*portal.Tenant, bool) {
	return func(id portal.TenantID) (*portal.Tenant, bool) {
		n, err := h.Store.Tenant(context.Background(), id, h.Clock.Now())
		if err != nil {
			t.Errorf("reading tenant %s: %v", id, err)
			return nil, false
		}
		h.DB.Row(t, `select coalesce(array_agg(host order by host), '{}') from portalgate.hosts where tenant_id = $1`, []any{id}, &n.Hosts)
		return &n, true
	}
}

// Courier sends the letters of a tenant that are due, as the courier does, and returns the mails that left. Letters of
// other tenants in the shared database are other tests', whose keys this house does not have.
func (h *House) Courier(t testing.TB, tenant portal.TenantID) []mail.Message {
	t.Helper()
	before := len(h.Mail.Sent(tenant))
	var due []portal.LetterID
	h.DB.Row(t, `with due as (update portalgate.outbox set tries = tries + 1, claimed_until = $2::timestamptz + interval '2 minutes'
			where tenant_id = $1 and state = 'waiting' and next_try_at <= $2 and (claimed_until is null or claimed_until <= $2) returning id, created_at, next_try_at)
		select coalesce(array_agg(id::text order by next_try_at, created_at), '{}') from due`, []any{tenant, h.Clock.Now()}, &due)
	for _, id := range due {
		if err := h.Auth.DeliverOne(context.Background(), store.Due{Tenant: tenant, Letter: id}); err != nil {
			t.Errorf("delivering: %v", err)
		}
	}
	var complaints []string
	h.DB.Row(t, `select coalesce(array_agg(kind || ': ' || last_error), '{}') from portalgate.outbox where tenant_id = $1 and state = 'waiting' and last_error <> ''`, []any{tenant}, &complaints)
	if len(complaints) > 0 && h.Mail.Fails == nil {
		t.Errorf("letters that could not leave: %q", complaints)
	}
	return h.Mail.Sent(tenant)[before:]
}

// Queue posts a letter as a command does.
func (h *House) Queue(t testing.TB, tenant portal.TenantID, q store.Queued) {
	t.Helper()
	if err := h.Store.Within(t.Context(), tenant, h.Clock.Now(), func(x *store.Tx) error { return x.Post(t.Context(), q) }); err != nil {
		t.Fatal("posting a letter: ", err)
	}
}

// LinkIn is the path and query of the one link of a mail that leads to a page of ours.
func LinkIn(t testing.TB, m mail.Message, page string) string {
	t.Helper()
	for _, word := range strings.Fields(m.Text) {
		if u, err := url.Parse(word); err == nil && u.IsAbs() && u.Path == page {
			return u.RequestURI()
		}
	}
	t.Fatalf("the mail %q leads to no %s:\n%s", m.Subject, page, m.Text)
	return ""
}

// TokenIn is the secret in a link of a mail.
func TokenIn(t testing.TB, m mail.Message, page string) string {
	t.Helper()
	u, err := url.Parse(LinkIn(t, m, page))
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("token")
}
