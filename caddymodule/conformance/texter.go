package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/sms"
)

// TextArrival is a text message as it arrived.
type TextArrival struct{ To, Text string }

// TextSubject is a provider of text messages under test, and what stands behind it.
type TextSubject struct {
	Sender sms.Sender
	Tenant portal.Tenant // in whose name messages are sent; zero: one that nobody asks about
	// Arrived are all messages so far.
	Arrived func(t testing.TB) []TextArrival
	// Behave changes what stands behind; false: this fault cannot happen there.
	Behave func(f Fault) bool
}

// message is an ordinary text message; of a test's each has its number, its code, and signs of other alphabets.
func (s TextSubject) message(n int) sms.Message {
	return sms.Message{ID: fmt.Sprintf("0197f3c2-%04d", n), Tenant: s.Tenant.ID, Slug: s.Tenant.Slug, To: fmt.Sprintf("+49151123456%02d", n),
		Text: fmt.Sprintf("%s ist Ihr Code für Größe & Söhne + Co = 100 %%. 😀\n\n@acme.example #%s", code(n), code(n)), Within: 10 * time.Minute}
}

func (s TextSubject) carrier() carrier[sms.Message, TextArrival] {
	return carrier[sms.Message, TextArrival]{send: s.Sender.Send, message: s.message, arrived: s.Arrived, behave: s.Behave, rejected: sms.ErrRejected,
		same: func(all []TextArrival, m sms.Message) (any, bool) {
			return all, slices.Contains(all, TextArrival{m.To, m.Text})
		}}
}

func code(n int) string { return fmt.Sprintf("9182%02d", n) }

// Texter is the suite for whatever carries text messages. Each test makes a provider of its own.
func Texter(t *testing.T, make func(t *testing.T) TextSubject) {
	for name, test := range map[string]func(*testing.T, TextSubject){
		"a message arrives whole":                           textWhole,
		"a refusal for good is told from all others":        func(t *testing.T, s TextSubject) { s.carrier().refusal(t) },
		"what fails for now can be sent later":              func(t *testing.T, s TextSubject) { s.carrier().later(t) },
		"nobody waits longer than the context allows":       func(t *testing.T, s TextSubject) { s.carrier().bounded(t) },
		"who has gone sends nothing":                        func(t *testing.T, s TextSubject) { s.carrier().gone(t) },
		"many send at once":                                 func(t *testing.T, s TextSubject) { s.carrier().atOnce(t) },
		"a message for no number, or for two, goes nowhere": textOneNumber,
		"no error tells a code or a number":                 textSilent,
	} {
		t.Run(name, func(t *testing.T) { test(t, make(t)) })
	}
}

func textWhole(t *testing.T, s TextSubject) {
	c := s.carrier()
	c.must(t, 1)
	m := s.message(1)
	if got := c.count(t, 1)[0]; got != (TextArrival{m.To, m.Text}) {
		t.Errorf("it arrived as %q", got)
	}
}

func textOneNumber(t *testing.T, s TextSubject) {
	s.carrier().nowhere(t, []string{"", "015112345678", "4915112345678", "+49 151 12345678", "+4915112345678,+15005550006", "+4915112345678\r\nX: y", "+4915112345678&Body=x", "whatsapp:+4915112345678", "ann@buyer.example"},
		func(m *sms.Message, to string) { m.To = to })
}

// Errors are logged, and stand in the queue where operators read them.
func textSilent(t *testing.T, s TextSubject) {
	for n, f := range []Fault{Refuses, Defers, HangsUp, Stalls} {
		if !s.carrier().can(t, f) {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		err := s.Sender.Send(ctx, s.message(n))
		cancel()
		for _, verb := range []string{"%v", "%+v", "%#v"} {
			said := fmt.Sprintf(verb, err)
			for _, secret := range []string{code(n), s.message(n).To, strings.TrimPrefix(s.message(n).To, "+"), "Ihr Code"} {
				if strings.Contains(said, secret) {
					t.Errorf("it %s, and the error tells %q: %s", f, secret, said)
				}
			}
		}
	}
}
