package ratelimit_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/ratelimit"
)

func TestEveryLimitIsDeclaredWhole(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]portal.Limits{"default": portal.DefaultPolicy().Limits, "review": portal.ReviewPolicy().Limits, "nist": portal.NISTPolicy().Limits} {
		declared := ratelimit.Declare(p)
		all := declared.All()
		if n := reflect.TypeOf(declared).NumField(); n != len(all) {
			t.Errorf("policy %s: %d limits are declared and %d listed", name, n, len(all))
		}
		seen := map[string]bool{}
		for _, l := range all {
			if l.Name == "" || seen[l.Name] || l.Kind == "" || l.Counts == "" || l.By == "" || l.Number < 1 || l.Period <= 0 || l.Effect == "" {
				t.Errorf("policy %s: %+v lacks a name of its own, or something else", name, l)
			}
			seen[l.Name] = true
			if refuses := l.Effect != ratelimit.SlowsStrangers; refuses != (l.Public != "") {
				t.Errorf("policy %s: %s: a limit that refuses has a sentence for the person, and no other has one", name, l.Name)
			}
			if holds := l.Kind == ratelimit.Failures && l.Effect != ratelimit.SlowsStrangers; holds != (l.Wait > 0) {
				t.Errorf("policy %s: %s: wait %s", name, l.Name, l.Wait)
			}
			if l.Most != 0 && l.Most <= l.Wait {
				t.Errorf("policy %s: %s: the longest wait %s is not longer than the first, %s", name, l.Name, l.Most, l.Wait)
			}
		}
	}
}

// The row "limit by address" of the decisions.
func TestTheNumbersOfTheDecisions(t *testing.T) {
	t.Parallel()
	l := ratelimit.Declare(portal.DefaultPolicy().Limits)
	if g := l.Guesses; g.Number != 10 || g.Period != 15*time.Minute || g.Wait != 15*time.Minute || g.Most != 2*time.Hour || g.Effect != ratelimit.RefusesStrangers {
		t.Errorf("by network: %+v", g)
	}
	if r := l.Refusal; r.Number != 10*l.Guesses.Number || r.Wait != 15*time.Minute || r.Effect != ratelimit.RefusesEverybody {
		t.Errorf("refusal: %+v", r)
	}
	if l.TenantGuesses.Number != 1000 || l.AllGuesses.Number != 10_000 || l.TenantGuesses.Effect != ratelimit.SlowsStrangers || l.AllGuesses.Effect != ratelimit.SlowsStrangers {
		t.Errorf("tenant %+v, everything %+v", l.TenantGuesses, l.AllGuesses)
	}
	if r := ratelimit.Declare(portal.ReviewPolicy().Limits).Refusal; r.Number != 5 || r.Period != 15*time.Minute || r.Wait != 15*time.Minute || r.Effect != ratelimit.RefusesEverybody || r.Counts != "failures" {
		t.Errorf("policy review: %+v", r)
	}
}
