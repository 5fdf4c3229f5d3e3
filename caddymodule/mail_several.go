package caddymodule

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/portalgate/portalgate/internal/mail"
)

func init() {
	caddy.RegisterModule(new(MailFailover))
	caddy.RegisterModule(new(MailSplit))
}

// MailPart is one provider among several.
type MailPart struct {
	// Its share in a split, from 1. Default: 1; in a failover it means nothing.
	Weight int `json:"weight,omitempty"`
	// The provider. Required.
	Sender json.RawMessage `json:"sender,omitempty" caddy:"namespace=portalgate.mail inline_key=provider"`
}

// MailFailover tries providers in their order: after a temporary failure the next one, after a rejection none. One that
// is broken rests for 15 s at first and 5 min at most.
type MailFailover struct {
	// The providers, in their order. Required.
	Senders []*MailPart `json:"senders,omitempty"`

	all *mail.Failover
	misgivings
}

// CaddyModule returns the module's registration.
func (*MailFailover) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "portalgate.mail.failover", New: func() caddy.Module { return new(MailFailover) }}
}

// UnmarshalCaddyfile reads the providers, one a line.
//
//	failover {
//		<provider> ...
//	}
func (m *MailFailover) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.Errf("failover takes a block here, not %q", d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		raw, err := sender(d, d.Val(), noting{})
		if err != nil {
			return err
		}
		m.Senders = append(m.Senders, &MailPart{Sender: raw})
	}
	return nil
}

// Provision loads the providers.
func (m *MailFailover) Provision(ctx caddy.Context) error {
	var wrong complaints
	var all []mail.Sender
	for _, p := range m.Senders {
		all = append(all, loadSender(ctx, p, p.Sender, "failover", true, &wrong)) // literals were judged with the whole
	}
	if len(all) < 2 {
		wrong.add(bad("failover", "needs two providers or more"))
	}
	m.all = mail.NewFailover(time.Now, all...)
	return m.pass(wrong)
}

// Send tries until one takes the mail.
func (m *MailFailover) Send(ctx context.Context, what mail.Message) error {
	return m.all.Send(ctx, what)
}

// Parts are the providers.
func (m *MailFailover) Parts() []mail.Sender { return m.all.Parts() }

// MailSplit divides mails among providers by weight. A mail's next try goes the same way.
type MailSplit struct {
	// The providers with their weights. Required.
	Senders []*MailPart `json:"senders,omitempty"`

	all mail.Split
	misgivings
}

// CaddyModule returns the module's registration.
func (*MailSplit) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "portalgate.mail.split", New: func() caddy.Module { return new(MailSplit) }}
}

// UnmarshalCaddyfile reads the providers, one a line, each after its weight.
//
//	split {
//		<weight> <provider> ...
//	}
func (m *MailSplit) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.Errf("split takes a block here, not %q", d.Val())
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		n, err := strconv.Atoi(d.Val())
		if err != nil || n < 1 || n > 1000 {
			return d.Errf("split takes a weight from 1 to 1000 before each provider, not %q", d.Val())
		}
		if !d.NextArg() {
			return d.Errf("split takes a provider after the weight %d", n)
		}
		raw, err := sender(d, d.Val(), noting{})
		if err != nil {
			return err
		}
		m.Senders = append(m.Senders, &MailPart{Weight: n, Sender: raw})
	}
	return nil
}

// Provision loads the providers.
func (m *MailSplit) Provision(ctx caddy.Context) error {
	var wrong complaints
	for _, p := range m.Senders {
		if p.Weight == 0 {
			p.Weight = 1
		}
		if p.Weight < 0 || p.Weight > 1000 {
			wrong.add(bad("split", "the weight %d is not between 1 and 1000", p.Weight))
		}
		m.all = append(m.all, mail.Share{Weight: p.Weight, Sender: loadSender(ctx, p, p.Sender, "split", true, &wrong)})
	}
	if len(m.all) < 2 {
		wrong.add(bad("split", "needs two providers or more"))
	}
	return m.pass(wrong)
}

// Send sends by the message's choice.
func (m *MailSplit) Send(ctx context.Context, what mail.Message) error { return m.all.Send(ctx, what) }

// Parts are the providers.
func (m *MailSplit) Parts() []mail.Sender { return m.all.Parts() }

// credentials are an account's name and password, both or neither.
func credentials(at, username, password string, wrong *complaints) (string, mail.Password) {
	if (username == "") != (password == "") {
		wrong.add(bad(at, "has one of `username` and `password`; it takes both or neither"))
		return "", ""
	}
	if username == "" {
		return "", ""
	}
	name, err := filled(username)
	if err != nil {
		wrong.add(bad(at+" username", "%v", err))
	}
	secret, err := filled(password)
	if err != nil {
		wrong.add(bad(at+" password", "%v", err))
	}
	return name, mail.Password(secret)
}

// limited is how long one mail may take.
func limited(at string, d caddy.Duration, wrong *complaints) time.Duration {
	if t := time.Duration(d); t < 0 || t > 30*time.Second {
		wrong.add(bad(at, "%s is not between 0 and 30s", t))
	}
	return time.Duration(d)
}

var (
	_ caddyfile.Unmarshaler = (*MailSMTP)(nil)
	_ caddyfile.Unmarshaler = (*MailSES)(nil)
	_ caddyfile.Unmarshaler = (*MailSendGrid)(nil)
	_ caddyfile.Unmarshaler = (*MailFailover)(nil)
	_ caddyfile.Unmarshaler = (*MailSplit)(nil)
	_ mail.Sender           = (*MailSMTP)(nil)
	_ mail.Sender           = (*MailSES)(nil)
	_ mail.Sender           = (*MailSendGrid)(nil)
	_ mail.Sender           = (*MailFailover)(nil)
	_ mail.Sender           = (*MailSplit)(nil)
)
