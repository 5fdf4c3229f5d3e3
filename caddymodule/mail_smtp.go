package caddymodule

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"os"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/portalgate/portalgate/internal/mail"
)

func init() {
	caddy.RegisterModule(new(MailSMTP))
	caddy.RegisterModule(new(MailSES))
	caddy.RegisterModule(new(MailSendGrid))
}

// MailSMTP hands mail to an SMTP server. STARTTLS is demanded and the certificate verified; on the ports 465 and 2465
// TLS comes first. Only to this machine, and without a password, mail goes in plain text.
type MailSMTP struct {
	// The server as host:port. Required.
	Server string `json:"server,omitempty"`
	// The account at the server. Default: none, and no authentication.
	Username string `json:"username,omitempty"`
	// Its password, as a placeholder. Default: none.
	Password string `json:"password,omitempty"`
	// A file with the certificates, in PEM form, of whoever may sign the server's. Default: whom the machine trusts.
	CA string `json:"ca,omitempty"`
	// Networks in which the server may be reached without TLS, and then without a password. Each is a named exception
	// that `doctor` repeats. Default: none but this machine.
	PlaintextNetworks []string `json:"plaintext_networks,omitempty"`
	// How long one mail may take, 30s at most. Default: 30s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	*mail.SMTP `json:"-"`
	misgivings
}

// CaddyModule returns the module's registration.
func (*MailSMTP) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "portalgate.mail.smtp", New: func() caddy.Module { return new(MailSMTP) }}
}

// UnmarshalCaddyfile reads the provider.
//
//	smtp <host:port> {
//		username          <name>
//		password          <placeholder>
//		ca                <file>
//		plaintext_network <networks...>
//		timeout           <duration>
//	}
func (m *MailSMTP) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return with(one(&m.Server), sub("smtp", noting{}, map[string]option{
		"username":          one(&m.Username),
		"password":          one(&m.Password),
		"ca":                one(&m.CA),
		"plaintext_network": many(&m.PlaintextNetworks),
		"timeout":           duration(&m.Timeout),
	}))(d)
}

// Provision resolves placeholders and judges the options.
func (m *MailSMTP) Provision(caddy.Context) error {
	var wrong complaints
	m.SMTP = &mail.SMTP{}
	server := m.Server
	if server == "" {
		wrong.add(bad("smtp", "needs the server as host:port"))
	} else if v, err := filled(server); err != nil {
		wrong.add(bad("smtp", "%v", err))
	} else {
		host, port, err := net.SplitHostPort(v)
		n, nerr := strconv.Atoi(port)
		if err != nil || nerr != nil || host == "" || n < 1 || n > 65535 {
			wrong.add(bad("smtp", "%q is not host:port, such as mail.example:587", v))
		}
		m.Host, m.Port = host, n
	}
	m.SMTP.Username, m.SMTP.Password = credentials("smtp", m.Username, m.Password, &wrong)
	if m.CA != "" {
		pem, err := os.ReadFile(m.CA)
		m.Roots = x509.NewCertPool()
		if err != nil {
			wrong.add(bad("smtp ca", "%v", err))
		} else if !m.Roots.AppendCertsFromPEM(pem) {
			wrong.add(bad("smtp ca", "%s holds no certificate in PEM form", m.CA))
		}
	}
	nets := prefixes("smtp plaintext_network", m.PlaintextNetworks, wrong.add)
	m.Plaintext = func(a netip.Addr) bool { return holds(nets, a) }
	m.SMTP.Timeout = limited("smtp timeout", m.Timeout, &wrong)
	return m.pass(wrong)
}

// Send hands over one mail.
func (m *MailSMTP) Send(ctx context.Context, what mail.Message) error { return m.SMTP.Send(ctx, what) }

// Cleanup ends connections that nobody uses.
func (m *MailSMTP) Cleanup() error {
	if m.SMTP != nil {
		m.SMTP.Close()
	}
	return nil
}

// exceptions are what `doctor` repeats.
func (m *MailSMTP) exceptions() (out []string) {
	for _, n := range m.PlaintextNetworks {
		out = append(out, "mail may be handed to "+m.provider()+" without TLS in "+n)
	}
	return out
}

func (m *MailSMTP) provider() string { return net.JoinHostPort(m.Host, strconv.Itoa(m.Port)) }

// MailSES hands mail to Amazon SES by the SMTP endpoint of a region.
type MailSES struct {
	// The region, such as eu-central-1. Required.
	Region string `json:"region,omitempty"`
	// The user name of the SMTP credentials, which are not those of an IAM user. A placeholder will do. Required.
	Username string `json:"username,omitempty"`
	// Their password, as a placeholder. Required.
	Password string `json:"password,omitempty"`
	// How long one mail may take, 30s at most. Default: 30s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	*mail.SMTP `json:"-"`
	misgivings
}

// CaddyModule returns the module's registration.
func (*MailSES) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "portalgate.mail.ses", New: func() caddy.Module { return new(MailSES) }}
}

// UnmarshalCaddyfile reads the provider.
//
//	ses <region> {
//		username <name>
//		password <placeholder>
//		timeout  <duration>
//	}
func (m *MailSES) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return with(one(&m.Region), sub("ses", noting{}, map[string]option{
		"username": one(&m.Username),
		"password": one(&m.Password),
		"timeout":  duration(&m.Timeout),
	}))(d)
}

// Provision resolves placeholders and judges the options.
func (m *MailSES) Provision(caddy.Context) error {
	var wrong complaints
	if m.Username == "" {
		wrong.add(bad("ses", "needs `username` and `password`: the SMTP credentials that the SES console makes"))
	}
	username, password := credentials("ses", m.Username, m.Password, &wrong)
	s, err := mail.SES(m.Region, username, password)
	if err != nil {
		wrong.add(bad("ses", "%v", err))
		return m.pass(wrong)
	}
	m.SMTP = s
	m.SMTP.Timeout = limited("ses timeout", m.Timeout, &wrong)
	return m.pass(wrong)
}

// Send hands over one mail.
func (m *MailSES) Send(ctx context.Context, what mail.Message) error { return m.SMTP.Send(ctx, what) }

// Cleanup ends connections that nobody uses.
func (m *MailSES) Cleanup() error {
	if m.SMTP != nil {
		m.SMTP.Close()
	}
	return nil
}

func (m *MailSES) provider() string { return m.Name }

// MailSendGrid hands mail to SendGrid by its SMTP endpoint, with link and open tracking switched off.
type MailSendGrid struct {
	// The region, `global` or `eu`. Default: `global`.
	Region string `json:"region,omitempty"`
	// The API key, as a placeholder. Required.
	Key string `json:"key,omitempty"`
	// How long one mail may take, 30s at most. Default: 30s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	*mail.SMTP `json:"-"`
	misgivings
}

// CaddyModule returns the module's registration.
func (*MailSendGrid) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "portalgate.mail.sendgrid", New: func() caddy.Module { return new(MailSendGrid) }}
}

// UnmarshalCaddyfile reads the provider.
//
//	sendgrid {
//		region  global|eu
//		key     <placeholder>
//		timeout <duration>
//	}
func (m *MailSendGrid) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return block(d, "sendgrid", noting{}, map[string]option{
		"region":  one(&m.Region),
		"key":     one(&m.Key),
		"timeout": duration(&m.Timeout),
	})
}

// Provision resolves placeholders and judges the options.
func (m *MailSendGrid) Provision(caddy.Context) error {
	var wrong complaints
	key := ""
	if m.Key == "" {
		wrong.add(bad("sendgrid", "needs `key`"))
	} else if v, err := filled(m.Key); err != nil {
		wrong.add(bad("sendgrid key", "%v", err))
	} else {
		key = v
	}
	s, err := mail.SendGrid(m.Region, mail.Password(key))
	if err != nil {
		wrong.add(bad("sendgrid region", "%v", err))
		return m.pass(wrong)
	}
	m.SMTP = s
	m.SMTP.Timeout = limited("sendgrid timeout", m.Timeout, &wrong)
	return m.pass(wrong)
}

// Send hands over one mail.
func (m *MailSendGrid) Send(ctx context.Context, what mail.Message) error {
	return m.SMTP.Send(ctx, what)
}

// Cleanup ends connections that nobody uses.
func (m *MailSendGrid) Cleanup() error {
	if m.SMTP != nil {
		m.SMTP.Close()
	}
	return nil
}

func (m *MailSendGrid) provider() string { return m.Name }
