package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
)

func init() {
	caddy.RegisterModule(new(MailCapture))
}

// MailCapture sends nothing: it keeps mails in the database, sealed with the keyring, for staging and for tests. They
// are kept for 7 days, and the newest 1000 of a tenant; `portalgate mail captured` shows them, and so does
// /portalgate/mail of the admin endpoint.
type MailCapture struct {
	// That this is a trial, in which nobody waits for a mail: without the word the configuration is refused, since one that
	// was left over from staging keeps every link to a new password where an operator reads it. Required.
	Trial bool `json:"trial,omitempty"`

	kept atomic.Pointer[func(context.Context, mail.Message) error] // nil: no gateway runs
}

// CaddyModule returns the module's registration.
func (*MailCapture) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "portalgate.mail.capture", New: func() caddy.Module { return new(MailCapture) }}
}

// UnmarshalCaddyfile reads the provider.
//
//	capture trial
func (m *MailCapture) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return trialOnly(d, &m.Trial) }

// trialOnly reads the word that says so.
func trialOnly(d *caddyfile.Dispenser, to *bool) error {
	d.Next()
	if d.NextArg() {
		if *to = d.Val() == "trial"; !*to {
			return d.Errf("capture takes the word trial, not %q", d.Val())
		}
	}
	if d.NextArg() || d.NextBlock(0) {
		return d.Errf("capture takes the word trial and nothing else, and %q is something", d.Val())
	}
	return nil
}

// judgement refuses it where nobody has said that this is a trial (CFG-01).
func (m *MailCapture) judgement() complaints { return onTrial(m.Trial) }

func onTrial(trial bool) complaints {
	if trial {
		return nil
	}
	return complaints{bad("capture", "keeps every message in place of sending it, with the links and codes in it; in a trial write `capture trial`, and else name a provider that sends")}
}

var errNothingKeeps = errors.New("capture keeps mails in the database of a gateway that runs, and none runs here")

// Send keeps the mail.
func (m *MailCapture) Send(ctx context.Context, what mail.Message) error {
	return mail.Capture{Keep: func(ctx context.Context, what mail.Message) error {
		if keep := m.kept.Load(); keep != nil {
			return (*keep)(ctx, what)
		}
		return errNothingKeeps
	}}.Send(ctx, what)
}

// exceptions are what `doctor` repeats.
func (m *MailCapture) exceptions() []string {
	return []string{"capture keeps mails in place of sending them; nobody gets any"}
}

// keepBy is told who keeps mails when the configuration starts: a guest knows no database.
func (m *MailCapture) keepBy(keep func(context.Context, mail.Message) error) { m.kept.Store(&keep) }

// keepers are the guests of a configuration that keep mails in place of sending them.
func (p *post) keepers() (out []interface {
	keepBy(func(context.Context, mail.Message) error)
}) {
	if p == nil {
		return nil
	}
	for _, s := range mail.Leaves(p.Sender) {
		if k, ok := s.(interface {
			keepBy(func(context.Context, mail.Message) error)
		}); ok {
			out = append(out, k)
		}
	}
	return out
}

// keep seals a mail and keeps it in its tenant.
func (w *world) keep(ctx context.Context, m mail.Message) error {
	c := store.Captured{ID: portal.FormatID(secret.NewID()), Kind: m.Kind}
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding a mail: %w", err)
	}
	return w.keepSealed(ctx, m.Tenant, c, b)
}

// keepSealed seals what a captured message says, and keeps it.
func (w *world) keepSealed(ctx context.Context, t portal.TenantID, c store.Captured, plain []byte) (err error) {
	if c.Message, err = w.keys.Seal(plain, capturedPlace(t, c.ID), w.now()); err != nil {
		return err
	}
	c.KeyID = secret.SealedWith(c.Message)
	return w.store.Within(ctx, t, w.now(), func(x *store.Tx) error { return x.Capture(ctx, c) })
}

func capturedPlace(t portal.TenantID, id string) secret.Place {
	return secret.Place{Tenant: string(t), Table: "captured", Column: "message", Row: id}
}

// capturedMail is a captured mail as it is shown, or a text message, which has neither sender nor subject.
type capturedMail struct {
	ID      string            `json:"id"`
	At      time.Time         `json:"at"`
	Kind    portal.LetterKind `json:"kind"`
	From    string            `json:"from,omitempty"`
	ReplyTo string            `json:"reply_to,omitempty"`
	To      string            `json:"to,omitempty"`
	Subject string            `json:"subject,omitempty"`
	Text    string            `json:"text,omitempty"`
	HTML    string            `json:"html,omitempty"`
	Problem string            `json:"problem,omitempty"` // why it cannot be shown
}

// opened is a captured mail in the clear, or says why it cannot be.
func opened(keys *secret.Keyring, t portal.TenantID, c store.Captured, now time.Time) capturedMail {
	out := capturedMail{ID: c.ID, At: c.CreatedAt, Kind: c.Kind}
	var m mail.Message
	b, err := keys.Unseal(c.Message, capturedPlace(t, c.ID), now)
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		out.Problem = fmt.Sprintf("sealed with the key %s, which this keyring cannot open", c.KeyID)
		return out
	}
	out.To, out.Text = string(m.To), m.Text
	if c.Kind == portal.LetterTextCode { // a text message is kept under the same names
		return out
	}
	out.From, out.Subject, out.HTML = m.From.String(), m.Subject, m.HTML
	if m.ReplyTo.Email != "" {
		out.ReplyTo = m.ReplyTo.String()
	}
	return out
}

// capturedShown is how many captured mails of a tenant are listed.
const capturedShown = 100

// captured reads a tenant's captured mails, the newest first: one of them with all it says, or without an id the heads
// of as many as are listed.
func captured(ctx context.Context, s *store.Store, keys *secret.Keyring, t portal.TenantID, id string, now time.Time) (out []capturedMail, err error) {
	out = []capturedMail{}
	if id != "" {
		if id, err = portal.ParseID[string](id); err != nil {
			return out, nil // of that id there is none
		}
	}
	err = s.Within(ctx, t, now, func(x *store.Tx) error {
		if id != "" {
			c, err := x.CapturedMail(ctx, id)
			if errors.Is(err, store.ErrNone) {
				return nil
			}
			out = append(out, opened(keys, t, c, now))
			return err
		}
		all, err := x.CapturedMails(ctx, capturedShown)
		for _, c := range all {
			m := opened(keys, t, c, now)
			m.Text, m.HTML = "", ""
			out = append(out, m)
		}
		return err
	})
	return out, err
}

var (
	_ caddyfile.Unmarshaler = (*MailCapture)(nil)
	_ mail.Sender           = (*MailCapture)(nil)
)
