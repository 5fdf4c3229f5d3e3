package auth_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// stopped is the rule that a problem names.
func stopped(err error) string {
	if p, ok := errors.AsType[*portal.Problem](err); ok && p.Kind == portal.ProblemLimit {
		return p.Rule
	}
	return ""
}

// OOB-05: whoever knows many passwords has no more codes mailed from one network than a limit says. A browser that the
// account knows, and an office, are not counted; a sign-in that gets no code goes on to its page.
func TestCodesByMailAreBoundedByNetworkForStrangers(t *testing.T) {
	t.Parallel()
	rule := portal.DefaultPolicy()
	rule.Limits.CodesNetwork = 2
	h := testenv.NewHouse(t, testenv.Plan{Policy: &rule, Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	tenant := testenv.Tenant(t)
	tenant.MFA.EmailCodes = true
	people := []string{"ann@buyer.example", "bob@buyer.example", "cyd@buyer.example"}
	var known []*browser
	for _, who := range people {
		h.Person(t, tenant, testenv.Visitor{Email: who})
		b := open(h, &tenant, "203.0.113.7")
		b.in(t, who, testenv.Password)
		b.prove(t)
		h.Clock.Advance(2 * time.Minute)
		if _, err := h.Auth.Begin(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorEmail, ""); err != nil {
			t.Fatalf("a browser that %s is known on, as the third of a network: %v", who, err)
		}
		added, err := h.Auth.Confirm(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorEmail, b.code(t), "")
		if err != nil {
			t.Fatal(err)
		}
		b.took(added.Outcome, nil)
		known = append(known, b)
	}
	h.Clock.Advance(2 * time.Hour)
	h.Courier(t, tenant.ID)
	mailed := func() (n int) {
		for _, m := range h.Courier(t, tenant.ID) {
			if m.Kind == portal.LetterCode {
				n++
			}
		}
		return n
	}
	again := func(b *browser) error {
		return h.Auth.Send(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorEmail, false)
	}
	var last *browser
	for i, who := range people {
		last = open(h, &tenant, "198.51.100.3")
		if out := last.start(t, who, testenv.Password); out.Step != portal.StepSecond {
			t.Errorf("%s comes to %q", who, out.Step)
		}
		if n, want := mailed(), map[bool]int{true: 1}[i < 2]; n != want {
			t.Errorf("%s: %d codes, want %d", who, n, want)
		}
	}
	if q, err := h.Auth.Second(t.Context(), &tenant, last.client(), last.holder(t), "", false); err != nil || !q.SentAt.IsZero() {
		t.Errorf("the page says that a code was sent at %v: %v", q.SentAt, err)
	}
	if err := again(last); stopped(err) != "codes_network" {
		t.Errorf("asked for: %v", err)
	}
	if n, _ := counted(t, h, tenant, "codes_sent"); n != 2 {
		t.Errorf("%d refusals are counted", n)
	}
	known[2].addr = "198.51.100.3"
	known[2].start(t, people[2], testenv.Password)
	if n := mailed(); n != 1 {
		t.Errorf("on a browser that is known: %d codes", n)
	}
	h.Clock.Advance(2 * time.Minute)
	for i, who := range people {
		b := open(h, &tenant, "192.0.2.1")
		b.start(t, who, testenv.Password)
		if n := mailed(); n != 1 {
			t.Errorf("%s, the %d. of an office: %d codes", who, i+1, n)
		}
	}
	h.Clock.Advance(20 * time.Minute)
	if err := again(last); kind(t, err) == portal.ProblemLimit {
		t.Errorf("when there is room again: %v", err)
	}
}

// OOB-05, toll fraud: text messages are bounded by network and by tenant for everybody, for whoever sends them to numbers
// that pay for each does it from accounts of their own. What a person's own numbers refuse costs the tenant nothing.
func TestTextMessagesAreBoundedByNetworkAndTenantForEverybody(t *testing.T) {
	t.Parallel()
	rule := portal.DefaultPolicy()
	rule.Limits.TextsNetwork, rule.Limits.TextsTenant = 2, 3
	h := testenv.NewHouse(t, testenv.Plan{Policy: &rule})
	tenant := testenv.Tenant(t)
	tenant.MFA.SMSCodes = true
	texts := func(who, addr string) (*browser, error) {
		h.Person(t, tenant, testenv.Visitor{Email: who})
		b, _, _ := withApp(t, h, &tenant, who)
		b.addr = addr
		_, err := h.Auth.Begin(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorSMS, "+4915112345678")
		return b, err
	}
	first, err := texts("ann@buyer.example", "198.51.100.3")
	if err != nil {
		t.Fatal(err)
	}
	for range 5 { // a minute has not passed
		if _, err := h.Auth.Begin(t.Context(), &tenant, first.client(), first.holder(t), portal.FactorSMS, ""); stopped(err) != auth.RuleCodes {
			t.Fatal(err)
		}
	}
	if _, err := texts("bob@buyer.example", "198.51.100.3"); err != nil {
		t.Fatal(err)
	}
	if _, err := texts("cyd@buyer.example", "198.51.100.3"); stopped(err) != "texts_network" {
		t.Errorf("a third from one network: %v", err)
	}
	if _, err := texts("dee@buyer.example", "198.51.100.4"); err != nil {
		t.Errorf("from another: %v", err)
	}
	if _, err := texts("eve@buyer.example", "198.51.100.5"); stopped(err) != "texts_tenant" {
		t.Errorf("a fourth of the tenant: %v", err)
	}
}
