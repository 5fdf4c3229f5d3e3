package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
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

func code(n int) string { return fmt.Sprintf("9182%02d", n) }

// Texter is the suite for whatever carries text messages. Each test makes a provider of its own.
func Texter(t *testing.T, make func(t *testing.T) TextSubject) {
	for name, test := range map[string]func(*testing.T, TextSubject){
		"a message arrives whole":                           textWhole,
		"a refusal for good is told from all others":        textRefusal,
		"what fails for now can be sent later":              textLater,
		"nobody waits longer than the context allows":       textBounded,
		"who has gone sends nothing":                        textGone,
		"many send at once":                                 textAtOnce,
		"a message for no number, or for two, goes nowhere": textOneNumber,
		"no error tells a code or a number":                 textSilent,
	} {
		t.Run(name, func(t *testing.T) { test(t, make(t)) })
	}
}

func (s TextSubject) must(t *testing.T, n int) {
	t.Helper()
	if err := s.Sender.Send(t.Context(), s.message(n)); err != nil {
		t.Fatalf("message %d: %v", n, err)
	}
}

// count fails where not so many messages have arrived.
func (s TextSubject) count(t *testing.T, want int) []TextArrival {
	t.Helper()
	all := s.Arrived(t)
	if len(all) != want {
		t.Fatalf("%d messages have arrived, not %d", len(all), want)
	}
	return all
}

func (s TextSubject) behave(t *testing.T, f Fault) bool {
	t.Helper()
	if s.Behave(f) {
		return true
	}
	t.Logf("nothing here %s", f)
	return false
}

func textWhole(t *testing.T, s TextSubject) {
	s.must(t, 1)
	m := s.message(1)
	if got := s.count(t, 1)[0]; got != (TextArrival{m.To, m.Text}) {
		t.Errorf("it arrived as %q", got)
	}
}

func textRefusal(t *testing.T, s TextSubject) {
	if s.behave(t, Refuses) {
		if err := s.Sender.Send(t.Context(), s.message(1)); !errors.Is(err, sms.ErrRejected) {
			t.Errorf("refused for good: %v", err)
		}
	}
	s.Behave(Works)
	s.count(t, 0)
	s.must(t, 2)
	s.count(t, 1)
}

func textLater(t *testing.T, s TextSubject) {
	for i, f := range []Fault{Defers, HangsUp} {
		if s.behave(t, f) {
			if err := s.Sender.Send(t.Context(), s.message(i)); err == nil || errors.Is(err, sms.ErrRejected) {
				t.Errorf("it %s: %v", f, err)
			}
		}
		s.Behave(Works)
		s.count(t, i)
		s.must(t, i)
		s.count(t, i+1)
	}
}

func textBounded(t *testing.T, s TextSubject) {
	if !s.behave(t, Stalls) {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := s.Sender.Send(ctx, s.message(1))
	if took := time.Since(began); err == nil || errors.Is(err, sms.ErrRejected) || took > patience {
		t.Errorf("after %s: %v", took, err)
	}
}

func textGone(t *testing.T, s TextSubject) {
	s.must(t, 1) // so that it has whatever it keeps between two messages
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for n := range 20 {
		if err := s.Sender.Send(ctx, s.message(n+2)); err == nil || errors.Is(err, sms.ErrRejected) {
			t.Errorf("nobody waits any more, and the answer is %v", err)
		}
	}
	s.must(t, 30)
	s.count(t, 2)
}

func textAtOnce(t *testing.T, s TextSubject) {
	const many = 20
	var all sync.WaitGroup
	for n := range many {
		all.Go(func() {
			if err := s.Sender.Send(t.Context(), s.message(n)); err != nil {
				t.Errorf("message %d: %v", n, err)
			}
		})
	}
	all.Wait()
	seen := map[string]string{}
	for _, a := range s.count(t, many) {
		seen[a.To] = a.Text
	}
	for n := range many {
		if m := s.message(n); seen[m.To] != m.Text {
			t.Errorf("to %s came %q", m.To, seen[m.To])
		}
	}
}

func textOneNumber(t *testing.T, s TextSubject) {
	for _, to := range []string{"", "015112345678", "4915112345678", "+49 151 12345678", "+4915112345678,+15005550006", "+4915112345678\r\nX: y", "+4915112345678&Body=x", "whatsapp:+4915112345678", "ann@buyer.example"} {
		m := s.message(1)
		m.To = to
		if err := s.Sender.Send(t.Context(), m); !errors.Is(err, sms.ErrRejected) {
			t.Errorf("to %q: %v", to, err)
		}
	}
	s.count(t, 0)
}

// Errors are logged, and stand in the queue where operators read them.
func textSilent(t *testing.T, s TextSubject) {
	for n, f := range []Fault{Refuses, Defers, HangsUp, Stalls} {
		if !s.behave(t, f) {
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
