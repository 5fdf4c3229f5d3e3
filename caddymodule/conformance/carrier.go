package conformance

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
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

// patience is how long a message may take whose context has ended.
const patience = 10 * time.Second

// carrier is a provider under test, of mails or of texts: M is what it is given, and A what arrives.
type carrier[M, A any] struct {
	send     func(context.Context, M) error
	message  func(n int) M // an ordinary message; of a test's each has its number
	arrived  func(testing.TB) []A
	behave   func(Fault) bool
	rejected error                          // how a refusal for good is told
	same     func(all []A, m M) (any, bool) // what came of a message, and whether it is what was sent
}

// must sends a message that has to leave.
func (c carrier[M, A]) must(t *testing.T, n int) {
	t.Helper()
	if err := c.send(t.Context(), c.message(n)); err != nil {
		t.Fatalf("message %d: %v", n, err)
	}
}

// count fails where not so many messages have arrived.
func (c carrier[M, A]) count(t *testing.T, want int) []A {
	t.Helper()
	all := c.arrived(t)
	if len(all) != want {
		t.Fatalf("%d messages have arrived, not %d", len(all), want)
	}
	return all
}

// can has a fault happen; false, and said so, where it cannot.
func (c carrier[M, A]) can(t *testing.T, f Fault) bool {
	t.Helper()
	if c.behave(f) {
		return true
	}
	t.Logf("nothing here %s", f)
	return false
}

// forNow says whether an error is one after which another try may go well.
func (c carrier[M, A]) forNow(err error) bool { return err != nil && !errors.Is(err, c.rejected) }

func (c carrier[M, A]) refusal(t *testing.T) {
	if c.can(t, Refuses) {
		if err := c.send(t.Context(), c.message(1)); !errors.Is(err, c.rejected) {
			t.Errorf("refused for good: %v", err)
		}
	}
	c.behave(Works)
	c.count(t, 0)
	c.must(t, 2)
	c.count(t, 1)
}

func (c carrier[M, A]) later(t *testing.T) {
	for i, f := range []Fault{Defers, HangsUp} {
		if c.can(t, f) {
			if err := c.send(t.Context(), c.message(i)); !c.forNow(err) {
				t.Errorf("it %s: %v", f, err)
			}
		}
		c.behave(Works)
		c.count(t, i)
		c.must(t, i)
		c.count(t, i+1)
	}
}

func (c carrier[M, A]) bounded(t *testing.T) {
	if !c.can(t, Stalls) {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := c.send(ctx, c.message(1))
	if took := time.Since(began); !c.forNow(err) || took > patience {
		t.Errorf("after %s: %v", took, err)
	}
}

func (c carrier[M, A]) gone(t *testing.T) {
	c.must(t, 1) // so that it has whatever it keeps between two messages
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for n := range 20 {
		if err := c.send(ctx, c.message(n+2)); !c.forNow(err) {
			t.Errorf("nobody waits any more, and the answer is %v", err)
		}
	}
	c.must(t, 30)
	c.count(t, 2)
}

func (c carrier[M, A]) atOnce(t *testing.T) {
	const many = 20
	var all sync.WaitGroup
	for n := range many {
		all.Go(func() {
			if err := c.send(t.Context(), c.message(n)); err != nil {
				t.Errorf("message %d: %v", n, err)
			}
		})
	}
	all.Wait()
	came := c.count(t, many)
	for n := range many {
		if got, ok := c.same(came, c.message(n)); !ok {
			t.Errorf("message %d came as %+v", n, got)
		}
	}
}

// nowhere fails where a message for an address that is none, or several, does not come back for good.
func (c carrier[M, A]) nowhere(t *testing.T, to []string, address func(m *M, to string)) {
	for _, one := range to {
		m := c.message(1)
		address(&m, one)
		if err := c.send(t.Context(), m); !errors.Is(err, c.rejected) {
			t.Errorf("to %q: %v", one, err)
		}
	}
	c.count(t, 0)
}
