// Package conformance owns what every provider has to keep to, as suites that its tests call: ours, and those of
// whoever writes a guest module of their own.
//
// It refuses to know how a provider works: it hands over mails, and looks at what came of them. What stands behind the
// provider is the caller's, and misbehaves on command. A fault that
// cannot happen to a provider is skipped, by name. When what stands behind a provider is not there, its test fails.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
)

// Fault is what whoever stands behind a provider does from now on.
type Fault string

// The faults.
const (
	Works   Fault = "works"
	Refuses Fault = "refuses a mail for good"
	Defers  Fault = "puts a mail off"
	HangsUp Fault = "hangs up in the middle"
	Stalls  Fault = "does not answer"
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

// Sender is the suite for whatever carries mails. Each test makes a provider of its own.
func Sender(t *testing.T, make func(t *testing.T) Subject) {
	for name, test := range map[string]func(*testing.T, Subject){
		"a mail arrives whole":                          arrivesWhole,
		"a refusal for good is told from all others":    refusal,
		"what fails for now can be sent later":          later,
		"nobody waits longer than the context allows":   bounded,
		"who has gone sends nothing":                    gone,
		"many send at once":                             atOnce,
		"nobody's data adds a header or a recipient":    injection,
		"a mail for more or less than one goes nowhere": oneRecipient,
		"whoever asks is told who took it":              told,
	} {
		t.Run(name, func(t *testing.T) { test(t, make(t)) })
	}
}

func (s Subject) must(t *testing.T, n int) {
	t.Helper()
	if err := s.Sender.Send(t.Context(), s.message(n)); err != nil {
		t.Fatalf("mail %d: %v", n, err)
	}
}

// count fails where not so many mails have arrived.
func (s Subject) count(t *testing.T, want int) []Arrival {
	t.Helper()
	all := s.Arrived(t)
	if len(all) != want {
		t.Fatalf("%d mails have arrived, not %d", len(all), want)
	}
	return all
}

func (s Subject) behave(t *testing.T, f Fault) bool {
	t.Helper()
	if s.Behave(f) {
		return true
	}
	t.Logf("nothing here %s", f)
	return false
}

func arrivesWhole(t *testing.T, s Subject) {
	s.must(t, 1)
	got, m := s.count(t, 1)[0], s.message(1)
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

func refusal(t *testing.T, s Subject) {
	if s.behave(t, Refuses) {
		if err := s.Sender.Send(t.Context(), s.message(1)); !errors.Is(err, mail.ErrRejected) {
			t.Errorf("refused for good: %v", err)
		}
	}
	s.Behave(Works)
	s.count(t, 0)
	s.must(t, 2)
	s.count(t, 1)
}

func later(t *testing.T, s Subject) {
	for i, f := range []Fault{Defers, HangsUp} {
		if s.behave(t, f) {
			if err := s.Sender.Send(t.Context(), s.message(i)); err == nil || errors.Is(err, mail.ErrRejected) {
				t.Errorf("it %s: %v", f, err)
			}
		}
		s.Behave(Works)
		s.count(t, i)
		s.must(t, i)
		s.count(t, i+1)
	}
}

// patience is how long a mail may take whose context has ended.
const patience = 10 * time.Second

func bounded(t *testing.T, s Subject) {
	if !s.behave(t, Stalls) {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := s.Sender.Send(ctx, s.message(1))
	if took := time.Since(began); err == nil || errors.Is(err, mail.ErrRejected) || took > patience {
		t.Errorf("after %s: %v", took, err)
	}
}

func gone(t *testing.T, s Subject) {
	s.must(t, 1) // so that it has whatever it keeps between two mails
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for n := range 20 {
		if err := s.Sender.Send(ctx, s.message(n+2)); err == nil || errors.Is(err, mail.ErrRejected) {
			t.Errorf("nobody waits any more, and the answer is %v", err)
		}
	}
	s.must(t, 30)
	s.count(t, 2)
}

func atOnce(t *testing.T, s Subject) {
	const many = 20
	var all sync.WaitGroup
	for n := range many {
		all.Go(func() {
			if err := s.Sender.Send(t.Context(), s.message(n)); err != nil {
				t.Errorf("mail %d: %v", n, err)
			}
		})
	}
	all.Wait()
	seen := map[string]Arrival{}
	for _, a := range s.count(t, many) {
		seen[a.To] = a
	}
	for n := range many {
		if m := s.message(n); seen[string(m.To)].Subject != m.Subject || seen[string(m.To)].Text != m.Text {
			t.Errorf("to %s came %+v", m.To, seen[string(m.To)])
		}
	}
}

func injection(t *testing.T, s Subject) {
	s.must(t, 0)
	ordinary := s.count(t, 1)[0].Headers
	for i, evil := range []string{"x\r\nBcc: c@d.example", "x\nX-Evil: 1", "x\r\n\r\nbody", "=?utf-8?q?=0d=0aBcc:_c@d.example?=", `", <c@d.example>, "`, "x\u2028y\x00z"} {
		m := s.message(i + 1)
		m.Subject, m.From.Name, m.ReplyTo.Name, m.Language = evil, evil, evil, "" // where a person's or a tenant's name may stand
		if err := s.Sender.Send(t.Context(), m); err != nil {
			t.Errorf("%q: %v", evil, err)
			continue
		}
		all := s.count(t, i+2)
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
	for _, to := range []string{"a@b.example,c@d.example", "a@b.example\r\nBcc: c@d.example", "a@b.example>\r\nDATA", "A <a@b.example>", "=?utf-8?q?c=40d.example=3e?=@b.example", "", "a"} {
		m := s.message(1)
		m.To = portal.Email(to)
		if err := s.Sender.Send(t.Context(), m); !errors.Is(err, mail.ErrRejected) {
			t.Errorf("to %q: %v", to, err)
		}
	}
	s.count(t, 0)
}

func told(t *testing.T, s Subject) {
	m := s.message(1)
	times, who := 0, ""
	m.Taken = func(provider, _ string) { times, who = times+1, provider }
	if err := s.Sender.Send(t.Context(), m); err != nil || times != 1 || who == "" {
		t.Errorf("told %d times, of %q: %v", times, who, err)
	}
	if s.behave(t, Defers) {
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
