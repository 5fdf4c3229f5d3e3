package caddymodule

import (
	"context"
	"errors"
	"net"
	stdmail "net/mail"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/portalgate/portalgate/caddymodule/conformance"
	"github.com/portalgate/portalgate/internal/demo/sink"
	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// faults are how a mail server misbehaves.
var faults = map[conformance.Fault]sink.Behaviour{
	conformance.Works:   {},
	conformance.Refuses: {Step: sink.AtRecipient, Code: 550, Text: "5.1.1 no such user"},
	conformance.Defers:  {Step: sink.AtRecipient, Code: 451, Text: "4.7.1 later"},
	conformance.HangsUp: {Step: sink.AtContent, Cut: true},
	conformance.Stalls:  {Step: sink.AtContent, Stall: true},
}

// behind is a provider configured by these lines, with mail servers behind it.
func behind(t *testing.T, lines string, boxes ...*testenv.Box) conformance.Subject {
	t.Helper()
	p, err := posted(t, "from hello@portal.example\n"+lines)
	if err != nil {
		t.Fatal(err)
	}
	return conformance.Subject{Sender: p, Tenant: portal.Tenant{Slug: "acme", Region: "eu"},
		Behave: func(f conformance.Fault) bool {
			for _, b := range boxes {
				b.Behave(faults[f])
			}
			return true
		},
		Arrived: func(t testing.TB) (out []conformance.Arrival) {
			for _, b := range boxes {
				for _, m := range b.Mails() {
					out = append(out, arrival(t, m))
				}
			}
			return out
		}}
}

func arrival(t testing.TB, m sink.Mail) conformance.Arrival {
	t.Helper()
	a := conformance.Arrival{To: m.To, Subject: m.Subject, Text: m.Text, HTML: m.HTML, Headers: []string{}}
	for name, to := range map[string]*string{"From": &a.From, "Reply-To": &a.ReplyTo, "To": new(string)} {
		list, err := m.Header.AddressList(name)
		if err != nil || len(list) != 1 {
			t.Errorf("%s is %v, %v", name, m.Header[name], err)
			continue
		}
		*to = list[0].Address
	}
	for name := range m.Header {
		a.Headers = append(a.Headers, name)
	}
	return a
}

// service is a mail server that has a service's name and asks for its account.
func service(t *testing.T, host, username, password string) (box *testenv.Box, lead func(*mail.SMTP)) {
	t.Helper()
	ca, err := sink.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Certificate(host)
	if err != nil {
		t.Fatal(err)
	}
	box = testenv.MailboxWith(t, sink.Options{Certificate: cert, Username: username, Password: password})
	return box, func(s *mail.SMTP) {
		s.Roots = ca.Pool()
		s.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != host+":587" {
				return nil, errors.New("no way to " + address)
			}
			return new(net.Dialer).DialContext(ctx, network, box.Addr())
		}
	}
}

// secretFile is a placeholder of a secret.
func secretFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "{file." + name + "}"
}

func TestEveryProviderKeepsToTheContract(t *testing.T) {
	t.Parallel()
	two := func(t *testing.T) (a, b *testenv.Box) { return testenv.Mailbox(t), testenv.Mailbox(t) }
	for name, make := range map[string]func(t *testing.T) conformance.Subject{
		"smtp": func(t *testing.T) conformance.Subject {
			box := testenv.Mailbox(t)
			return behind(t, "smtp "+box.Addr(), box)
		},
		"ses": func(t *testing.T) conformance.Subject {
			box, lead := service(t, "email-smtp.eu-central-1.amazonaws.com", "AKIA", "swordfish")
			s := behind(t, "ses eu-central-1 {\n username AKIA\n password "+secretFile(t, "swordfish")+"\n }", box)
			lead(mail.Leaves(s.Sender.(*post).Sender)[0].(*MailSES).SMTP)
			return s
		},
		"sendgrid": func(t *testing.T) conformance.Subject {
			box, lead := service(t, "smtp.eu.sendgrid.net", "apikey", "SG.swordfish")
			s := behind(t, "sendgrid {\n region eu\n key "+secretFile(t, "SG.swordfish")+"\n }", box)
			lead(mail.Leaves(s.Sender.(*post).Sender)[0].(*MailSendGrid).SMTP)
			return s
		},
		"failover": func(t *testing.T) conformance.Subject {
			a, b := two(t)
			return behind(t, "failover {\n smtp "+a.Addr()+"\n smtp "+b.Addr()+"\n }", a, b)
		},
		"split": func(t *testing.T) conformance.Subject {
			a, b := two(t)
			return behind(t, "split {\n 1 smtp "+a.Addr()+"\n 1 smtp "+b.Addr()+"\n }", a, b)
		},
		"tenant": func(t *testing.T) conformance.Subject {
			a, b := two(t)
			return behind(t, "smtp "+a.Addr()+"\n tenant acme {\n smtp "+b.Addr()+"\n }\n region eu {\n smtp "+a.Addr()+"\n }", b)
		},
		"region": func(t *testing.T) conformance.Subject {
			a, b := two(t)
			return behind(t, "smtp "+a.Addr()+"\n region eu {\n smtp "+b.Addr()+"\n }", b)
		},
		"capture": capturing(t),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conformance.Sender(t, make)
		})
	}
}

// capturing makes providers that keep mails in one database, each in a tenant of its own.
func capturing(t *testing.T) func(t *testing.T) conformance.Subject {
	w, house, _, _ := keeping(t)
	return func(t *testing.T) conformance.Subject {
		tenant := house.DB.Tenant(t)
		p, err := posted(t, "from hello@portal.example\n capture trial")
		if err != nil {
			t.Fatal(err)
		}
		var now atomic.Value
		now.Store(conformance.Works)
		p.keepers()[0].keepBy(func(ctx context.Context, m mail.Message) error {
			switch now.Load() {
			case conformance.Defers:
				return errors.New("the database is full")
			case conformance.Stalls:
				<-ctx.Done()
				return ctx.Err()
			}
			return w.keep(ctx, m)
		})
		return conformance.Subject{Sender: p, Tenant: tenant,
			Behave: func(f conformance.Fault) bool {
				now.Store(f)
				return f != conformance.Refuses && f != conformance.HangsUp // nobody is there who could
			},
			Arrived: func(t testing.TB) (out []conformance.Arrival) {
				list, err := captured(t.Context(), w.store, w.keys, tenant.ID, "", w.now())
				if err != nil {
					t.Fatal(err)
				}
				for _, head := range list {
					one, err := captured(t.Context(), w.store, w.keys, tenant.ID, head.ID, w.now())
					if err != nil || len(one) != 1 || one[0].Problem != "" {
						t.Fatal(one, err)
					}
					m := one[0]
					bare := func(s string) string {
						a, err := stdmail.ParseAddress(s)
						if err != nil {
							t.Errorf("%q: %v", s, err)
							return ""
						}
						return a.Address
					}
					out = append(out, conformance.Arrival{From: bare(m.From), ReplyTo: bare(m.ReplyTo), To: m.To, Subject: m.Subject, Text: m.Text, HTML: m.HTML})
				}
				return out
			}}
	}
}
