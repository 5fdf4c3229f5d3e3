package revocation

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
)

func id(n int) (text string, raw [16]byte) {
	text = fmt.Sprintf("00000000-0000-4000-8000-%012d", n)
	raw, _ = portal.IDBytes(text)
	return text, raw
}

// A change makes stale what was read before it about its subject, and nothing else.
func TestAChangeMakesStaleWhatWasReadBeforeIt(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := NewSet(time.Hour)
	text, raw := id(1)
	_, other := id(2)
	for _, c := range []struct {
		kind                  Kind
		session, user, tenant bool
	}{{KindSession, true, false, false}, {KindUser, false, true, false}, {KindTenant, false, false, true}, {KindDirectory, false, false, false}, {KindLimits, false, false, false}} {
		s.All()
		before := s.Epoch()
		s.Apply(c.kind, text, now)
		after := s.Epoch()
		for name, got := range map[string]struct{ stale, want bool }{
			"session": {s.Since(before, raw, other, other), c.session}, "user": {s.Since(before, other, raw, other), c.user},
			"tenant": {s.Since(before, other, other, raw), c.tenant}, "others": {s.Since(before, other, other, other), false}, "read after": {s.Since(after, raw, raw, raw), false},
		} {
			if got.stale != got.want {
				t.Errorf("a change of kind %s, asked about %s: %v", c.kind, name, got.stale)
			}
		}
	}
	// A later release's kind may be about anybody.
	epoch := s.Epoch()
	s.Apply("useful", text, now)
	if !s.Since(epoch, other, other, other) {
		t.Error("a change that cannot be understood leaves facts as they are")
	}
	// Twice, late and out of order does no harm; what is no id is nobody's.
	epoch = s.Epoch()
	for _, bad := range []string{"", "x", text[:35]} {
		s.Apply(KindSession, bad, now)
	}
	if s.Epoch() != epoch {
		t.Error("what is no id has changed something")
	}
	s.Apply(KindSession, text, now)
	s.Apply(KindSession, text, now.Add(-time.Hour))
	if !s.Since(epoch, raw, other, other) {
		t.Error("a change that came twice is forgotten")
	}
}

func TestAGapMakesEverythingStaleThatWasReadBeforeIt(t *testing.T) {
	t.Parallel()
	s := NewSet(time.Hour)
	_, raw := id(1)
	before := s.Epoch()
	s.All()
	if !s.Since(before, raw, raw, raw) {
		t.Error("what was read before the gap is good")
	}
	if after := s.Epoch(); s.Since(after, raw, raw, raw) {
		t.Error("what is read after the gap is stale")
	}
}

// A change is remembered for as long as anybody may trust facts, and not for ever.
func TestAChangeIsRememberedForItsTime(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := NewSet(time.Hour)
	_, other := id(999_999)
	epoch := s.Epoch()
	for i := range 1000 {
		text, _ := id(i)
		s.Apply(KindSession, text, now.Add(time.Duration(i)*time.Second))
	}
	last := now.Add(1000 * time.Second)
	for i := range 1000 {
		if _, raw := id(i); !s.Since(epoch, raw, other, other) {
			t.Fatalf("change %d is forgotten after %s", i, last.Sub(now.Add(time.Duration(i)*time.Second)))
		}
	}
	text, _ := id(2000)
	s.Apply(KindSession, text, last.Add(3*time.Hour))
	s.mu.RLock()
	n := len(s.last)
	s.mu.RUnlock()
	if n != 1 {
		t.Errorf("%d changes are remembered three hours later", n)
	}
}

// Whoever asks while something changes is told of it, or asks too early to be concerned: an epoch that was read after a
// change never calls that change news, one read before always does.
func TestChangesAndQuestionsAtOnce(t *testing.T) {
	t.Parallel()
	s := NewSet(time.Hour)
	now := time.Now()
	_, other := id(999_999)
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			text, raw := id(w)
			for range 2000 {
				before := s.Epoch()
				s.Apply(KindSession, text, now)
				if !s.Since(before, raw, other, other) {
					t.Error("a change is missed")
					return
				}
				if s.Since(s.Epoch(), raw, other, other) {
					t.Error("a change comes twice")
					return
				}
			}
		})
	}
	all.Wait()
}
