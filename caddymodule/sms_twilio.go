package caddymodule

import (
	"context"
	"errors"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/portalgate/portalgate/internal/sms"
)

func init() {
	caddy.RegisterModule(new(SMSTwilio))
}

// SMSTwilio sends text messages by Twilio's API.
type SMSTwilio struct {
	// The SID of the account, AC and 32 digits. A placeholder will do. Required.
	Account string `json:"account,omitempty"`
	// The SID of an API key, SK and 32 digits, as a placeholder. Default: none, and `token` is used.
	Key string `json:"key,omitempty"`
	// The secret of the API key, as a placeholder. Default: none, and `token` is used.
	Secret string `json:"secret,omitempty"`
	// The account's own token in place of a key and its secret, as a placeholder. It may do everything with the account,
	// where a key can be taken back by itself. Default: none.
	Token string `json:"token,omitempty"`
	// The sender: a number of the account, such as +15005550006, or a name of up to 11 letters and digits where the
	// country allows that. Default: none, and `service` is used.
	From string `json:"from,omitempty"`
	// The SID of a messaging service, MG and 32 digits, in place of a sender. Default: none.
	Service string `json:"service,omitempty"`
	// How long one message may take, 20s at most. Default: 20s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	*sms.Twilio `json:"-"`
	misgivings
}

// CaddyModule returns the module's registration.
func (*SMSTwilio) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "portalgate.sms.twilio", New: func() caddy.Module { return new(SMSTwilio) }}
}

// UnmarshalCaddyfile reads the provider.
//
//	twilio {
//		account <sid>
//		key     <placeholder>
//		secret  <placeholder>
//		token   <placeholder>
//		from    <number or name>
//		service <sid>
//		timeout <duration>
//	}
func (m *SMSTwilio) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return block(d, "twilio", noting{}, map[string]option{
		"account": one(&m.Account),
		"key":     one(&m.Key),
		"secret":  one(&m.Secret),
		"token":   one(&m.Token),
		"from":    one(&m.From),
		"service": one(&m.Service),
		"timeout": duration(&m.Timeout),
	})
}

// Provision resolves placeholders and judges the options.
func (m *SMSTwilio) Provision(caddy.Context) error {
	var wrong complaints
	read := func(name, raw string) string {
		if raw == "" {
			return ""
		}
		v, err := filled(raw)
		if err != nil {
			wrong.add(bad("twilio "+name, "%v", err))
		}
		return v
	}
	t := &sms.Twilio{Account: read("account", m.Account), Key: read("key", m.Key), From: read("from", m.From), Service: read("service", m.Service)}
	if m.Account == "" {
		wrong.add(bad("twilio", "needs `account`, the SID of the account"))
	}
	switch {
	case m.Token != "" && m.Key == "" && m.Secret == "":
		t.Secret = sms.Secret(read("token", m.Token))
	case m.Token == "" && m.Key != "" && m.Secret != "":
		t.Secret = sms.Secret(read("secret", m.Secret))
	default:
		wrong.add(bad("twilio", "needs `key` and `secret` of an API key, or else the account's `token`"))
	}
	t.Wait = waited("twilio timeout", m.Timeout, &wrong)
	if len(wrong) == 0 { // what could not be read is not judged
		for _, one := range joined(t.Open()) {
			var f *sms.FieldError
			if errors.As(one, &f) && f.Field != "" {
				wrong.add(bad("twilio "+f.Field, "%s", f.Says))
			} else {
				wrong.add(bad("twilio", "%v", one))
			}
		}
	}
	m.Twilio = t
	return m.pass(wrong)
}

// Send hands over one message.
func (m *SMSTwilio) Send(ctx context.Context, what sms.Message) error {
	return m.Twilio.Send(ctx, what)
}

// Cleanup ends connections that nobody uses.
func (m *SMSTwilio) Cleanup() error {
	if m.Twilio != nil {
		m.Twilio.Close()
	}
	return nil
}

// waited is how long one text message may take.
func waited(at string, d caddy.Duration, wrong *complaints) time.Duration {
	if t := time.Duration(d); t < 0 || t > 20*time.Second {
		wrong.add(bad(at, "%s is not between 0 and 20s", t))
	}
	return time.Duration(d)
}

// joined are the errors that were joined.
func joined(err error) []error {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		return several.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

var (
	_ caddyfile.Unmarshaler = (*SMSTwilio)(nil)
	_ sms.Sender            = (*SMSTwilio)(nil)
)
