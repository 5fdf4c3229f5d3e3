package caddymodule

import (
	"context"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/sms"
)

func init() {
	caddy.RegisterModule(new(SMSWebhook))
}

// SMSWebhook hands text messages to a receiver of your own, as a POST with JSON and a signature; docs/sms.md says what the
// receiver must verify.
type SMSWebhook struct {
	// Where messages are handed over, as an https address; only on this machine without TLS. A placeholder will do.
	// Required.
	URL string `json:"url,omitempty"`
	// The secret that both sides know, as a placeholder: 32 random characters or more. Required.
	Secret string `json:"secret,omitempty"`
	// How long one message may take, 20s at most. Default: 20s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	*sms.Webhook `json:"-"`
	misgivings
}

// CaddyModule returns the module's registration.
func (*SMSWebhook) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "portalgate.sms.webhook", New: func() caddy.Module { return new(SMSWebhook) }}
}

// UnmarshalCaddyfile reads the provider.
//
//	webhook <url> {
//		secret  <placeholder>
//		timeout <duration>
//	}
func (m *SMSWebhook) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return with(one(&m.URL), sub("webhook", noting{}, map[string]option{
		"secret":  one(&m.Secret),
		"timeout": duration(&m.Timeout),
	}))(d)
}

// Provision resolves placeholders and judges the options.
func (m *SMSWebhook) Provision(caddy.Context) error {
	var wrong complaints
	m.Webhook = &sms.Webhook{Now: time.Now, Wait: waited("webhook timeout", m.Timeout, &wrong)}
	if m.URL == "" {
		wrong.add(bad("webhook", "needs the address, such as https://messages.example/send"))
	} else if v, err := filled(m.URL); err != nil {
		wrong.add(bad("webhook", "%v", err))
	} else {
		m.Webhook.URL = v
		if err := m.Open(); err != nil {
			wrong.add(bad("webhook", "its address %v", err))
		}
	}
	if m.Secret == "" {
		wrong.add(bad("webhook", "needs `secret`, with which the receiver knows us"))
	} else if v, err := filled(m.Secret); err != nil {
		wrong.add(bad("webhook secret", "%v", err))
	} else if m.Key, err = secret.NewSigner(v); err != nil {
		wrong.add(bad("webhook secret", "%v", err))
	}
	return m.pass(wrong)
}

// Send hands over one message.
func (m *SMSWebhook) Send(ctx context.Context, what sms.Message) error {
	return m.Webhook.Send(ctx, what)
}

// Cleanup ends connections that nobody uses.
func (m *SMSWebhook) Cleanup() error {
	if m.Webhook != nil {
		m.Webhook.Close()
	}
	return nil
}

var (
	_ caddyfile.Unmarshaler = (*SMSWebhook)(nil)
	_ sms.Sender            = (*SMSWebhook)(nil)
)
