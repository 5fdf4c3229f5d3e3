package auth_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/ratelimit"
	"github.com/portalgate/portalgate/internal/testenv"
)

// M06: eighty colleagues behind one address mistype eight times in a hundred, thirty mornings long, and nobody is ever
// refused; from the second morning on somebody behind the same address sprays, at the colleagues' accounts too, and
// gets the ten tries in a quarter of an hour that the limit allows.
func TestAnOfficeIsNeverStoppedByItsColleaguesNorByASprayFromItsMidst(t *testing.T) {
	t.Parallel()
	t.Run("in the process, thirty mornings", func(t *testing.T) {
		t.Parallel()
		office(t, testenv.Plan{}, 30, portal.DefaultPolicy())
	})
	t.Run("in Redis, four mornings", func(t *testing.T) {
		t.Parallel()
		// The plain rates in Redis go by its own clock, on which four mornings take seconds.
		p := portal.DefaultPolicy()
		p.Limits.SignInsNetwork, p.Limits.SignInsFlood = 1_000_000, 1_000_000
		office(t, testenv.Plan{Redis: testenv.Redis(t)}, 4, p)
	})
}

func office(t *testing.T, plan testenv.Plan, mornings int, policy portal.Policy) {
	play.Lock()
	defer play.Unlock()
	const (
		colleagues = 80
		mistyping  = 0.08
		address    = "203.0.113.80"
	)
	r := rand.New(rand.NewPCG(80, 30))
	plan.Policy = &policy
	h := testenv.NewHouse(t, plan)
	tenant := testenv.Tenant(t)
	email := func(i int) string { return fmt.Sprintf("colleague%d@office.example", i) }
	seats := make([]*seat, colleagues)
	for i := range seats {
		h.Person(t, tenant, testenv.Visitor{Email: email(i)})
		seats[i] = newSeat(h, &tenant, address)
	}
	spray := newSeat(h, &tenant, address)
	sprayed, refused := []time.Time{}, 0 // when the spray had a password checked; how often it was refused
	next := 0                            // whose turn it is: every second guess is at a colleague, the rest at whoever there may be
	day := h.Clock.Now().Truncate(24 * time.Hour).Add(24 * time.Hour)
	mistyped := 0
	for morning := range mornings {
		type event struct {
			at  time.Time
			who int // -1: the spray
		}
		begin := day.Add(time.Duration(morning)*24*time.Hour + 8*time.Hour)
		var events []event
		for i := range colleagues {
			events = append(events, event{begin.Add(time.Duration(r.IntN(3600)) * time.Second), i})
		}
		if morning > 0 {
			for at := begin.Add(-30 * time.Minute); at.Before(begin.Add(90 * time.Minute)); at = at.Add(time.Duration(5+r.IntN(20)) * time.Second) {
				events = append(events, event{at, -1})
			}
		}
		slices.SortFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
		for _, e := range events {
			if h.Clock.Now().Before(e.at) {
				h.Clock.Set(e.at)
			}
			if e.who < 0 {
				who := email(next / 2 % colleagues)
				if next%2 == 1 {
					who = fmt.Sprintf("nobody%d@office.example", next)
				}
				switch a := spray.try(t, who, "Spring2026!"); a.status {
				case 401:
					sprayed = append(sprayed, h.Clock.Now())
					next++
				case 429:
					refused++
				default:
					t.Fatalf("the spray is answered %+v", a)
				}
				continue
			}
			for {
				if r.Float64() >= mistyping {
					if a := seats[e.who].try(t, email(e.who), testenv.Password); a.status != 303 {
						t.Fatalf("morning %d: colleague %d with the right password is answered %+v", morning, e.who, a)
					}
					break
				}
				mistyped++
				if a := seats[e.who].try(t, email(e.who), "blue pallet trucks at down"); a.status != 401 {
					t.Fatalf("morning %d: colleague %d, who mistyped, is answered %+v", morning, e.who, a)
				}
				h.Clock.Advance(time.Duration(5+r.IntN(10)) * time.Second)
			}
		}
	}
	if want := int(float64(mornings) * colleagues * mistyping / 2); mistyped < want {
		t.Fatalf("only %d mistyped: nothing is shown", mistyped)
	}
	most, first := 0, 0
	for i, at := range sprayed {
		if at.Sub(sprayed[0]) < 15*time.Minute {
			first++
		}
		n := 1
		for _, later := range sprayed[i+1:] {
			if later.Sub(at) < 15*time.Minute {
				n++
			}
		}
		most = max(most, n)
	}
	t.Logf("%d mistyped; the spray had %d passwords checked, at most %d in a quarter of an hour, and was refused %d times", mistyped, len(sprayed), most, refused)
	if most > 10 || first < 5 || refused < 100 {
		t.Errorf("the spray had up to %d passwords checked in a quarter of an hour, %d in its first, and was refused %d times", most, first, refused)
	}
	if n := h.Limits.Degraded(); n > 0 {
		t.Errorf("Redis did not answer %d times", n)
	}
}

// A browser that is new to the account waits while somebody sprays from its network; after the wait it gets in.
func TestANewBrowserInASprayedNetworkWaitsAndThenGetsIn(t *testing.T) {
	kinds(t, func(t *testing.T, plan testenv.Plan) {
		h := testenv.NewHouse(t, plan)
		tenant := testenv.Tenant(t)
		h.Person(t, tenant, testenv.Visitor{})
		known, elsewhere := newSeat(h, &tenant, "203.0.113.1"), newSeat(h, &tenant, "198.51.100.1")
		if a := known.try(t, "ann@buyer.example", testenv.Password); a.status != 303 {
			t.Fatalf("%+v", a)
		}
		spray := newSeat(h, &tenant, "203.0.113.1")
		for i := range 10 {
			if a := spray.try(t, fmt.Sprintf("nobody%d@buyer.example", i), "Spring2026!"); a.status != 401 {
				t.Fatalf("guess %d: %+v", i, a)
			}
		}
		fresh := newSeat(h, &tenant, "203.0.113.1")
		want := answer{status: 429, rule: "failures_network", wait: 15 * time.Minute}
		if a := fresh.try(t, "ann@buyer.example", testenv.Password); a != want {
			t.Fatalf("a new browser: %+v", a)
		}
		// a device cookie that belongs to somebody else, or to nobody, opens nothing
		borrowed := newSeat(h, &tenant, "203.0.113.1")
		borrowed.device = known.device
		for _, who := range []string{"nobody99@buyer.example", "nobody1@buyer.example"} {
			if a := borrowed.try(t, who, "Spring2026!"); a.status != 429 || a.rule != "failures_network" || a.wait != 15*time.Minute {
				t.Fatalf("with a borrowed device cookie: %+v", a)
			}
		}
		borrowed.device = "forged"
		if a := borrowed.try(t, "ann@buyer.example", testenv.Password); a.status != 429 || a.rule != "failures_network" {
			t.Fatalf("with a forged device cookie: %+v", a)
		}
		if a := known.try(t, "ann@buyer.example", testenv.Password); a.status != 303 {
			t.Fatalf("the known browser: %+v", a)
		}
		if a := elsewhere.try(t, "ann@buyer.example", testenv.Password); a.status != 303 {
			t.Fatalf("a new browser elsewhere: %+v", a)
		}
		h.Clock.Advance(15 * time.Minute)
		if a := fresh.try(t, "ann@buyer.example", testenv.Password); a.status != 303 {
			t.Fatalf("after the wait: %+v", a)
		}
	})
}

// The refusal at ten times the number holds for known browsers as well, and for as long as it says.
func TestAHundredFailedAccountsRefuseEverybodyInTheNetwork(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	ann := newSeat(h, &tenant, "203.0.113.1")
	if a := ann.try(t, "ann@buyer.example", testenv.Password); a.status != 303 {
		t.Fatalf("%+v", a)
	}
	for i := range 100 { // as a hundred known browsers of that network would fail
		p := h.Limits.Pay(t.Context(), h.Clock.Now(), ratelimit.Guess{Tenant: tenant.ID, Network: "203.0.113.1", Account: portal.Email(fmt.Sprint(i))})
		p.Settle(t.Context(), h.Clock.Now(), ratelimit.Wrong)
	}
	if a := ann.try(t, "ann@buyer.example", testenv.Password); a != (answer{status: 429, rule: "failures_network_refusal", wait: 15 * time.Minute}) {
		t.Fatalf("%+v", a)
	}
	if !ann.signedIn(t) {
		t.Error("an open session is stopped by a limit of sign-ins")
	}
	h.Clock.Advance(15 * time.Minute)
	if a := ann.try(t, "ann@buyer.example", testenv.Password); a.status != 303 {
		t.Fatalf("after the refusal: %+v", a)
	}
}

// `policy review`: five failures from one address, and everybody behind it is blocked for 15 minutes.
func TestTheReviewsPolicyBlocksEverybodyBehindAnAddressAfterFiveFailures(t *testing.T) {
	kinds(t, func(t *testing.T, plan testenv.Plan) {
		policy := portal.ReviewPolicy()
		plan.Policy = &policy
		h := testenv.NewHouse(t, plan)
		tenant := testenv.Tenant(t)
		h.Person(t, tenant, testenv.Visitor{})
		ann := newSeat(h, &tenant, "203.0.113.1")
		if a := ann.try(t, "ann@buyer.example", testenv.Password); a.status != 303 {
			t.Fatalf("%+v", a)
		}
		for i := range 5 {
			if a := newSeat(h, &tenant, "203.0.113.1").try(t, fmt.Sprintf("nobody%d@buyer.example", i/2), "wrong"); a.status != 401 {
				t.Fatalf("failure %d: %+v", i, a)
			}
		}
		if a := ann.try(t, "ann@buyer.example", testenv.Password); a != (answer{status: 429, rule: "failures_network_refusal", wait: 15 * time.Minute}) {
			t.Fatalf("a known browser: %+v", a)
		}
		h.Clock.Advance(15 * time.Minute)
		if a := ann.try(t, "ann@buyer.example", testenv.Password); a.status != 303 {
			t.Fatalf("after the block: %+v", a)
		}
	})
}

// RL-09: addresses of one IPv6 /64 are one network, those of two are two.
func TestAnIPv6NetworkIsItsFirst64Bits(t *testing.T) {
	kinds(t, func(t *testing.T, plan testenv.Plan) {
		h := testenv.NewHouse(t, plan)
		tenant := testenv.Tenant(t)
		for i := range 10 {
			if a := newSeat(h, &tenant, fmt.Sprintf("2001:db8:1:2:%x::%x", i, 7*i)).try(t, fmt.Sprintf("nobody%d@buyer.example", i), "wrong"); a.status != 401 {
				t.Fatalf("guess %d: %+v", i, a)
			}
		}
		if a := newSeat(h, &tenant, "2001:db8:1:2:ffff::1").try(t, "another@buyer.example", "wrong"); a.status != 429 {
			t.Errorf("the same /64: %+v", a)
		}
		if a := newSeat(h, &tenant, "2001:db8:1:3::1").try(t, "another@buyer.example", "wrong"); a.status != 401 {
			t.Errorf("another /64: %+v", a)
		}
		if a := newSeat(h, &tenant, "::ffff:203.0.113.5").try(t, "another@buyer.example", "wrong"); a.status != 401 {
			t.Errorf("IPv4: %+v", a)
		}
	})
}

// Offices that the operator has listed are left alone by the limits by network, those of the configuration at every
// tenant, those of the database at theirs; what counts per account counts there as everywhere.
func TestAListedOfficeIsLeftAlone(t *testing.T) {
	t.Parallel()
	policy := portal.DefaultPolicy()
	policy.Limits.SignInsNetwork, policy.Limits.SignInsFlood = 3, 3
	h := testenv.NewHouse(t, testenv.Plan{Policy: &policy, Exempt: prefixes("203.0.113.0/28")})
	tenant, other := testenv.Tenant(t), testenv.Tenant(t)
	tenant.Offices = prefixes("198.51.100.0/28", "2001:db8:5::/48")
	for _, addr := range []string{"203.0.113.9", "198.51.100.9", "2001:db8:5:6::7"} {
		for i := range 20 {
			if a := newSeat(h, &tenant, addr).try(t, fmt.Sprintf("nobody%s%d@buyer.example", addr[:3], i), "wrong"); a.status != 401 {
				t.Fatalf("guess %d from %s: %+v", i, addr, a)
			}
		}
	}
	for i := range 5 {
		newSeat(h, &tenant, "203.0.113.9").try(t, "one@buyer.example", "wrong")
		if a := newSeat(h, &other, "198.51.100.9").try(t, fmt.Sprintf("nobody%d@buyer.example", i), "wrong"); (a.status == 401) != (i < 3) {
			t.Errorf("guess %d at the other tenant: %+v", i, a)
		}
	}
	if a := newSeat(h, &tenant, "203.0.113.9").try(t, "one@buyer.example", "wrong"); a.rule != "lockout" {
		t.Errorf("the account's own purse: %+v", a)
	}
}

// The limits of a tenant and of everything make strangers' answers come later; nobody is refused, and whoever is known
// is answered as always.
func TestManyFailedAccountsInATenantSlowStrangersDownAndRefuseNobody(t *testing.T) {
	kinds(t, func(t *testing.T, plan testenv.Plan) {
		policy := portal.DefaultPolicy()
		policy.Limits.Tenant = 20
		plan.Policy, plan.AnswerAfter = &policy, 250*time.Millisecond
		h := testenv.NewHouse(t, plan)
		tenant := testenv.Tenant(t)
		h.Person(t, tenant, testenv.Visitor{})
		ann, stranger := newSeat(h, &tenant, "203.0.113.1"), newSeat(h, &tenant, "203.0.113.2")
		if a := ann.try(t, "ann@buyer.example", testenv.Password); a.status != 303 || a.later != 250*time.Millisecond {
			t.Fatalf("%+v", a)
		}
		for i := range 50 {
			newSeat(h, &tenant, fmt.Sprintf("198.51.100.%d", i)).try(t, fmt.Sprintf("nobody%d@buyer.example", i), "wrong")
		}
		if a := ann.try(t, "ann@buyer.example", testenv.Password); a.status != 303 || a.later != 250*time.Millisecond {
			t.Errorf("a known browser: %+v", a)
		}
		if a := stranger.try(t, "nobody@buyer.example", "wrong"); a.status != 401 || a.later != 750*time.Millisecond {
			t.Errorf("a stranger who guesses wrong: %+v", a)
		}
		if a := stranger.try(t, "ann@buyer.example", testenv.Password); a.status != 303 || a.later != 750*time.Millisecond {
			t.Errorf("a stranger with the right password: %+v", a)
		}
	})
}
