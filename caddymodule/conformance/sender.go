// Package conformance owns what every provider has to keep to, as suites that its tests call: ours, and those of
// whoever writes a guest module of their own.
//
// It refuses to know how a provider works: it hands over mails, and looks at what came of them. What stands behind the
// provider is the caller's, and misbehaves on command. A fault that
// cannot happen to a provider is skipped, by name. When what stands behind a provider is not there, its test fails.
package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
)

// Arrival is a mail as it arrived, read back by other means than the provider's.
type Arrival struct {
	From, ReplyTo, To   string // addresses alone
	Subject, Text, HTML string
	Headers             []string // the names of all headers; nil: there is no such thing where it arrived
}

// Subject is a provider under test, and what stands behind it.
type Subject struct {
	Sender mail.Sender
	Tenant portal.Tenant // in whose name mails are sent; zero: one that nobody asks about
	// Arrived are all mails so far.
	Arrived func(t testing.TB) []Arrival
	// Behave changes what stands behind; false: this fault cannot happen there.
	Behave func(f Fault) bool
}

// message is an ordinary mail; of a test's mails each has its number.
func (s Subject) message(n int) mail.Message {
	return mail.Message{ID: fmt.Sprintf("0197f3c2.%d@acme.example", n), Tenant: s.Tenant.ID, Slug: s.Tenant.Slug, Region: s.Tenant.Region, Kind: portal.LetterRecover,
		From: mail.Address{Name: "Acme Portal", Email: "no-reply@acme.example"}, ReplyTo: mail.Address{Name: "Größe & Söhne, Acme", Email: "help@acme.example"},
		To: portal.Email(fmt.Sprintf("p%d@buyer.example", n)), Subject: fmt.Sprintf("Grüße aus Köln — mail %d", n),
		Text: fmt.Sprintf("Guten Tag,\n\nein Satz mit Umlauten: äöü.\n.\nNummer %d\n", n), HTML: fmt.Sprintf("<p>Guten Tag, <b>äöü</b>, %d</p>", n),
		Language: "de", Date: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func (s Subject) carrier() carrier[mail.Message, Arrival] {
	return carrier[mail.Message, Arrival]{send: s.Sender.Send, message: s.message, arrived: s.Arrived, behave: s.Behave, rejected: mail.ErrRejected,
		same: func(all []Arrival, m mail.Message) (any, bool) {
			i := slices.IndexFunc(all, func(a Arrival) bool { return a.To == string(m.To) })
			if i < 0 {
				return nil, false
			}
			return all[i], all[i].Subject == m.Subject && all[i].Text == m.Text
		}}
}

// Sender is the suite for whatever carries mails. Each test makes a provider of its own.
func Sender(t *testing.T, make func(t *testing.T) Subject) {
	for name, test := range map[string]func(*testing.T, Subject){
		"a mail arrives whole":                          arrivesWhole,
		"a refusal for good is told from all others":    func(t *testing.T, s Subject) { s.carrier().refusal(t) },
		"what fails for now can be sent later":          func(t *testing.T, s Subject) { s.carrier().later(t) },
		"nobody waits longer than the context allows":   func(t *testing.T, s Subject) { s.carrier().bounded(t) },
		"who has gone sends nothing":                    func(t *testing.T, s Subject) { s.carrier().gone(t) },
		"many send at once":                             func(t *testing.T, s Subject) { s.carrier().atOnce(t) },
		"nobody's data adds a header or a recipient":    injection,
		"a mail for more or less than one goes nowhere": oneRecipient,
		"whoever asks is told who took it":              told,
	} {
		t.Run(name, func(t *testing.T) { test(t, make(t)) })
	}
}

func arrivesWhole(t *testing.T, s Subject) {
	c := s.carrier()
	c.must(t, 1)
	got, m := c.count(t, 1)[0], s.message(1)
	want := Arrival{From: m.From.Email, ReplyTo: m.ReplyTo.Email, To: string(m.To), Subject: m.Subject, Text: m.Text, HTML: m.HTML}
	headers := got.Headers
	got.Headers, got.HTML = nil, strings.TrimSpace(got.HTML)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("it arrived as\n%+v\nand was\n%+v", got, want)
	}
	for _, name := range []string{"Message-Id", "Date", "Auto-Submitted", "Content-Language"} {
		if headers != nil && !contains(headers, name) {
			t.Errorf("it has no %s", name)
		}
	}
}

func injection(t *testing.T, s Subject) {
	c := s.carrier()
	c.must(t, 0)
	ordinary := c.count(t, 1)[0].Headers
	for i, evil := range []string{"x\r\nBcc: c@d.example", "x\nX-Evil: 1", "x\r\n\r\nbody", "=?utf-8?q?=0d=0aBcc:_c@d.example?=", `", <c@d.example>, "`, "x\u2028y\x00z"} {
		m := s.message(i + 1)
		m.Subject, m.From.Name, m.ReplyTo.Name, m.Language = evil, evil, evil, "" // where a person's or a tenant's name may stand
		if err := s.Sender.Send(t.Context(), m); err != nil {
			t.Errorf("%q: %v", evil, err)
			continue
		}
		all := c.count(t, i+2)
		for _, got := range all {
			if got.To != string(m.To) {
				continue
			}
			if got.From != m.From.Email || got.ReplyTo != m.ReplyTo.Email || got.Text != m.Text || strings.ContainsAny(got.Subject, "\r\n\x00\u2028") {
				t.Errorf("%q: %+v", evil, got)
			}
			for _, h := range got.Headers {
				if !contains(ordinary, h) {
					t.Errorf("%q added the header %s", evil, h)
				}
			}
		}
	}
}

func oneRecipient(t *testing.T, s Subject) {
	s.carrier().nowhere(t, []string{"a@b.example,c@d.example", "a@b.example\r\nBcc: c@d.example", "a@b.example>\r\nDATA", "A <a@b.example>", "=?utf-8?q?c=40d.example=3e?=@b.example", "", "a"},
		func(m *mail.Message, to string) { m.To = portal.Email(to) })
}

func told(t *testing.T, s Subject) {
	m := s.message(1)
	times, who := 0, ""
	m.Taken = func(provider, _ string) { times, who = times+1, provider }
	if err := s.Sender.Send(t.Context(), m); err != nil || times != 1 || who == "" {
		t.Errorf("told %d times, of %q: %v", times, who, err)
	}
	if s.carrier().can(t, Defers) {
		if err := s.Sender.Send(t.Context(), m); err == nil || times != 1 {
			t.Errorf("told %d times of a mail that nobody took: %v", times-1, err)
		}
	}
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if strings.EqualFold(s, one) {
			return true
		}
	}
	return false
}
