package pages

import (
	"fmt"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
)

func TestAFloodOfRefusalsIsBoundedAndDoesNotWashAwayAnotherNetworks(t *testing.T) {
	t.Parallel()
	r := newRefusals(1000)
	now := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	add := func(ref, network string) {
		now = now.Add(time.Millisecond)
		r.add(Refusal{Reference: ref, At: now, Code: portal.ProblemLimit, Rule: "failures_network", Network: network, Tenant: "t", Until: now.Add(time.Hour)})
	}
	add("HELPME22", "203.0.113.7")
	for i := range 20_000 {
		add(fmt.Sprintf("FLD%05d", i), fmt.Sprint("198.51.100.", i%3))
	}
	if len(r.byReference) != 1000 {
		t.Errorf("%d refusals are remembered, want 1000", len(r.byReference))
	}
	held := 0
	for _, refs := range r.byNetwork {
		held += len(refs)
	}
	if held != 1000 || len(r.byNetwork) != 4 {
		t.Errorf("%d references of %d networks are remembered", held, len(r.byNetwork))
	}
	if f, ok := r.Find("HELPME22"); !ok || f.Network != "203.0.113.7" || f.Reference != "HELPME22" || f.Code != portal.ProblemLimit || f.Tenant != "t" || !f.Until.Equal(f.At.Add(time.Hour)) {
		t.Errorf("the other network's refusal is forgotten: %+v", f)
	}
	if f, ok := r.Find("FLD19999"); !ok || f.Rule != "failures_network" {
		t.Errorf("the newest refusal is forgotten: %+v", f)
	}
	if _, ok := r.Find("FLD00000"); ok {
		t.Error("the oldest of the flood is still remembered")
	}
	if _, ok := r.Find("no reference"); ok {
		t.Error("something is found by what is none")
	}
	standing := r.Standing(now)
	if len(standing) != 4 {
		t.Errorf("%d limits stand, want one for each network", len(standing))
	}
	if late := r.Standing(now.Add(2 * time.Hour)); len(late) != 0 {
		t.Errorf("%d limits stand after their end", len(late))
	}
}

func TestRefusalsAreCountedByTheirRule(t *testing.T) {
	t.Parallel()
	r := NewRefusals()
	for range 3 {
		r.count(&portal.Problem{Kind: portal.ProblemLimit, Rule: "lockout"})
	}
	r.count(&portal.Problem{Kind: portal.ProblemCrossSite})
	if got := r.Counts(); len(got) != 2 || got["lockout"] != 3 || got["cross_site"] != 1 {
		t.Errorf("counted are %v", got)
	}
	for i := range 1000 {
		r.count(&portal.Problem{Kind: portal.ProblemLimit, Rule: fmt.Sprint("rule", i)})
	}
	got, all := r.Counts(), int64(0)
	for _, n := range got {
		all += n
	}
	if len(got) > maxRules+1 || all != 1004 {
		t.Errorf("%d rules are counted apart, %d refusals in all", len(got), all)
	}
}
