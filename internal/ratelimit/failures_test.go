package ratelimit_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/ratelimit"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/testenv"
)

// plenty are the decisions' numbers, but for the plain rates, which in Redis go by its own clock.
func plenty() portal.Limits {
	l := portal.DefaultLimits()
	l.SignInsNetwork, l.SignInsFlood, l.SignInsTenant = 1_000_000, 1_000_000, 1_000_000
	return l
}

func client(t testing.TB, address string) redis.UniversalClient {
	t.Helper()
	o, err := redis.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	o.MaxRetries, o.ContextTimeoutEnabled = -1, true
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// door is a limiter with one tenant and a clock.
type door struct {
	testing.TB
	*ratelimit.Limiter
	clock   *testenv.Clock
	tenant  portal.TenantID
	network string
}

// both runs a test with limits in the process and with limits in Redis.
func both(t *testing.T, p portal.Limits, test func(t *testing.T, d *door)) {
	t.Parallel()
	t.Run("in the process", func(t *testing.T) {
		t.Parallel()
		test(t, &door{t, ratelimit.New(nil, p), testenv.NewClock(), tenantID(), "203.0.113.7"})
	})
	t.Run("in Redis", func(t *testing.T) {
		t.Parallel()
		test(t, &door{t, ratelimit.New(client(t, testenv.Redis(t)), p), testenv.NewClock(), tenantID(), "203.0.113.7"})
	})
}

func tenantID() portal.TenantID { return portal.TenantID(portal.FormatID(secret.NewID())) }

func (d *door) pay(account string, stranger bool) *ratelimit.Paid {
	d.Helper()
	return d.Pay(context.Background(), d.clock.Now(), ratelimit.Guess{Tenant: d.tenant, Network: d.network, Account: portal.Email(account), Stranger: stranger})
}

// try is one whole guess; it says whether it was checked, and how long to wait if not.
func (d *door) try(account string, stranger bool, v ratelimit.Verdict) (bool, time.Duration) {
	d.Helper()
	p := d.pay(account, stranger)
	dec := p.Decision(!stranger)
	if !dec.Allowed {
		v = ratelimit.Unchecked
	}
	p.Settle(context.Background(), d.clock.Now(), v)
	return dec.Allowed, dec.RetryAfter
}

func (d *door) mustTry(account string, stranger bool, v ratelimit.Verdict) {
	d.Helper()
	if ok, wait := d.try(account, stranger, v); !ok {
		d.Fatalf("%s is refused for %s", account, wait)
	}
}

func (d *door) mustWait(account string, stranger bool, want time.Duration) {
	d.Helper()
	if ok, wait := d.try(account, stranger, ratelimit.Wrong); ok || wait != want {
		d.Fatalf("%s: checked %v, wait %s; want a wait of %s", account, ok, wait, want)
	}
}

func (d *door) look() ratelimit.Standing {
	return d.Look(context.Background(), d.clock.Now(), d.tenant, d.network)
}

func name(i int) string { return fmt.Sprintf("person%d@buyer.example", i) }

func TestTenAccountsThatFailedMakeStrangersWaitAndNobodyElse(t *testing.T) {
	both(t, plenty(), func(t *testing.T, d *door) {
		for i := range 10 {
			d.mustTry(name(i), true, ratelimit.Wrong)
		}
		d.mustWait(name(10), true, 15*time.Minute)
		d.mustWait(name(3), true, 15*time.Minute) // also for an account that has failed before
		d.mustTry(name(11), false, ratelimit.Right)
		d.mustTry(name(12), false, ratelimit.Wrong)
	})
}

func TestAnAccountCountsOnceHoweverOftenItFails(t *testing.T) {
	both(t, plenty(), func(t *testing.T, d *door) {
		for i := range 40 {
			d.mustTry(name(i%9), true, ratelimit.Wrong)
			d.clock.Advance(time.Second)
		}
		if n := d.look().Failed; n != 9 {
			t.Fatalf("%d accounts are counted, want 9", n)
		}
	})
}

func TestASuccessTakesTheAccountsFailuresBack(t *testing.T) {
	both(t, plenty(), func(t *testing.T, d *door) {
		for i := range 9 {
			d.mustTry(name(i), i < 8, ratelimit.Wrong) // the last by a browser that its account knows
		}
		d.mustTry(name(5), true, ratelimit.Right)
		d.mustTry(name(8), false, ratelimit.Right)
		if n := d.look().Failed; n != 7 {
			t.Fatalf("%d accounts are counted, want 7", n)
		}
		d.mustTry(name(20), true, ratelimit.Right) // one that never failed takes nothing back
		d.mustTry(name(4), false, ratelimit.Right) // and the owner's sign-in not what a stranger has failed
		for i := range 3 {
			d.mustTry(name(30+i), true, ratelimit.Wrong)
		}
		d.mustWait(name(40), true, 15*time.Minute)
	})
}

func TestAGuessThatWasNotCheckedIsHandedBackAndTakesNothingElseWithIt(t *testing.T) {
	both(t, plenty(), func(t *testing.T, d *door) {
		d.mustTry(name(0), true, ratelimit.Wrong)
		d.mustTry(name(0), true, ratelimit.Unchecked) // what failed before has failed
		d.mustTry(name(1), true, ratelimit.Unchecked)
		if n := d.look().Failed; n != 1 {
			t.Fatalf("%d accounts are counted, want 1", n)
		}
		// Of two guesses at one account under way the first is not checked: the second keeps its place, and fails.
		first, second := d.pay(name(2), true), d.pay(name(2), true)
		first.Settle(t.Context(), d.clock.Now(), ratelimit.Unchecked)
		for i := range 8 {
			d.mustTry(name(10+i), true, ratelimit.Wrong)
		}
		d.Impatient()
		if dec := d.pay(name(20), true).Decision(false); dec.Allowed || !dec.Busy {
			t.Fatalf("with nine accounts that failed and a guess under way: %+v", dec)
		}
		second.Settle(t.Context(), d.clock.Now(), ratelimit.Wrong)
		d.mustWait(name(20), true, 15*time.Minute)
	})
}

// The decisions: first 15 minutes from when the limit was reached; after it was reached again within a day 30, 60, and
// at most two hours. After a wait the set begins empty.
// What was turned away because there was no room draws on none of the rates for strangers: whoever was asked to come
// again in a few seconds finds the door open. What was checked, or refused, stays drawn, and so does what holds against
// a flood.
func TestWhatFoundNoRoomIsHandedBackToTheRates(t *testing.T) {
	few := portal.DefaultLimits()
	few.SignInsNetwork, few.SignInsFlood, few.SignInsTenant = 10, 64, 10
	both(t, few, func(t *testing.T, d *door) {
		for range 50 {
			p := d.pay("ann@buyer.example", true)
			if !p.Decision(false).Allowed {
				t.Fatalf("refused by %s", p.Decision(false).Limit.Name)
			}
			p.Settle(t.Context(), d.clock.Now(), ratelimit.Unchecked)
			p.HandBack(t.Context(), d.clock.Now())
			p.HandBack(t.Context(), d.clock.Now()) // once is enough
		}
		checked := 0
		for range 12 {
			if ok, _ := d.try("ann@buyer.example", true, ratelimit.Right); ok {
				checked++
			}
		}
		if checked > 10 || checked < 9 {
			t.Errorf("after them %d are checked, and the limit is 10", checked)
		}
		p := d.pay("ann@buyer.example", true)
		p.HandBack(t.Context(), d.clock.Now())
		if p = d.pay("ann@buyer.example", true); p.Decision(false).Allowed {
			t.Error("a refused one was handed back")
		}
		if known := d.pay("ann@buyer.example", false); known.Decision(true).Allowed || known.Decision(true).Limit.Name != "sign_in_flood" {
			t.Errorf("the flood is not counted: %+v", known.Decision(true))
		}
	})
}

func TestTheWaitGrowsWhenTheLimitIsReachedAgainWithinADay(t *testing.T) {
	both(t, plenty(), func(t *testing.T, d *door) {
		spray := func() {
			t.Helper()
			for i := range 10 {
				d.mustTry(name(i), true, ratelimit.Wrong)
			}
		}
		for _, want := range []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 2 * time.Hour} {
			spray()
			d.mustWait(name(10), true, want)
			d.clock.Advance(want / 3)
			d.mustWait(name(10), true, want-want/3) // a try during a wait does not lengthen it
			d.clock.Advance(want - want/3 - time.Second)
			d.mustWait(name(10), true, time.Second)
			d.mustTry(name(50), false, ratelimit.Wrong) // a known device that fails during the wait
			d.clock.Advance(time.Second)
			if n := d.look().Failed; n != 0 {
				t.Fatalf("after the wait %d accounts are counted", n)
			}
		}
		d.clock.Advance(24 * time.Hour)
		spray()
		d.mustWait(name(10), true, 15*time.Minute)
	})
}

func TestFailuresAreForgottenAfterTheWindow(t *testing.T) {
	both(t, plenty(), func(t *testing.T, d *door) {
		for i := range 200 {
			d.mustTry(name(i), true, ratelimit.Wrong)
			d.clock.Advance(15 * time.Minute / 9)
		}
	})
}

func TestAHundredAccountsThatFailedRefuseEverybodyForAQuarterOfAnHour(t *testing.T) {
	both(t, plenty(), func(t *testing.T, d *door) {
		for i := range 100 {
			d.mustTry(name(i), false, ratelimit.Wrong)
		}
		d.mustWait(name(200), false, 15*time.Minute)
		d.mustWait(name(200), true, 15*time.Minute)
		d.clock.Advance(15 * time.Minute)
		d.mustTry(name(200), false, ratelimit.Right)
		d.mustTry(name(201), true, ratelimit.Right)
	})
}

func TestTheReviewsLimitCountsTriesAndBlocksEverybody(t *testing.T) {
	p := portal.ReviewPolicy().Limits
	p.SignInsNetwork, p.SignInsFlood, p.SignInsTenant = 1_000_000, 1_000_000, 1_000_000
	both(t, p, func(t *testing.T, d *door) {
		for range 4 {
			d.mustTry(name(0), true, ratelimit.Wrong)
		}
		d.mustTry(name(0), true, ratelimit.Right) // gives nothing back: the review counts failures
		d.mustTry(name(1), true, ratelimit.Unchecked)
		d.mustTry(name(1), false, ratelimit.Wrong)
		d.mustWait(name(2), false, 15*time.Minute)
		d.clock.Advance(15*time.Minute - time.Second)
		d.mustWait(name(2), true, time.Second)
		d.clock.Advance(time.Second)
		for range 5 {
			d.mustTry(name(3), true, ratelimit.Wrong)
		}
		d.mustWait(name(2), false, 15*time.Minute) // it does not grow
	})
}

func TestNetworksAndTenantsDoNotTouchEachOther(t *testing.T) {
	both(t, plenty(), func(t *testing.T, d *door) {
		for i := range 10 {
			d.mustTry(name(i), true, ratelimit.Wrong)
		}
		other := *d
		other.network = "203.0.113.8"
		other.mustTry(name(0), true, ratelimit.Right)
		other = *d
		other.tenant = tenantID()
		other.mustTry(name(0), true, ratelimit.Right)
	})
}

func TestClearedIsAsNew(t *testing.T) {
	p := plenty()
	p.SignInsNetwork = 12
	both(t, p, func(t *testing.T, d *door) {
		for i := range 10 {
			d.mustTry(name(i), true, ratelimit.Wrong)
		}
		if s := d.look(); s.Waits != 1 || !s.Strangers.Equal(d.clock.Now().Add(15*time.Minute)) {
			t.Fatalf("%+v", s)
		}
		for range 3 {
			d.try(name(0), true, ratelimit.Wrong)
		}
		if err := d.Clear(t.Context(), d.tenant, d.network); err != nil {
			t.Fatal(err)
		}
		if s := d.look(); s != (ratelimit.Standing{}) {
			t.Fatalf("after clearing: %+v", s)
		}
		for i := range 10 {
			d.mustTry(name(i), true, ratelimit.Wrong)
		}
		d.mustWait(name(0), true, 15*time.Minute)
	})
}

func TestAnExemptNetworkIsNotStoppedButItsFailuresCountForTheTenant(t *testing.T) {
	p := plenty()
	p.Tenant = 10
	both(t, p, func(t *testing.T, d *door) {
		for i := range 50 {
			paid := d.Pay(t.Context(), d.clock.Now(), ratelimit.Guess{Tenant: d.tenant, Network: d.network, Account: portal.Email(name(i)), Stranger: true, Exempt: true})
			if dec := paid.Decision(false); !dec.Allowed || paid.Slower(false) != 0 {
				t.Fatalf("the office is stopped: %+v, slower by %s", dec, paid.Slower(false))
			}
			paid.Settle(t.Context(), d.clock.Now(), ratelimit.Wrong)
		}
		if got := d.pay(name(0), true).Slower(false); got != 750*time.Millisecond { // 50 of 10: three doublings
			t.Fatalf("a stranger's answer elsewhere is %s later", got)
		}
	})
}

func TestAboveTheTenantsLimitStrangersAnswersComeLaterAndNobodyIsRefused(t *testing.T) {
	p := plenty()
	p.Tenant, p.Global = 4, 1_000_000
	both(t, p, func(t *testing.T, d *door) {
		want := map[int]time.Duration{4: 0, 5: 250 * time.Millisecond, 8: 250 * time.Millisecond, 9: 500 * time.Millisecond, 16: 500 * time.Millisecond,
			17: 750 * time.Millisecond, 513: 2 * time.Second, 1100: 2 * time.Second}
		for i := 1; i <= 1100; i++ {
			d.network = fmt.Sprintf("198.51.100.%d", i)
			d.mustTry(name(i), true, ratelimit.Wrong)
			if later, ask := want[i]; ask {
				d.network = "203.0.113.9"
				if got := d.pay(name(5000+i), true).Slower(false); got != later {
					t.Errorf("after %d accounts a stranger's answer comes %s later, want %s", i, got, later)
				}
				if got := d.pay(name(5000+i), false).Slower(true); got != 0 {
					t.Errorf("after %d accounts a known device's answer comes %s later", i, got)
				}
			}
		}
		d.clock.Advance(15 * time.Minute)
		if got := d.pay(name(0), true).Slower(false); got != 0 {
			t.Errorf("after the window a stranger's answer comes %s later", got)
		}
	})
}

// RL-04, P16: two hundred guesses at two hundred accounts, released at once over two gateways, all wrong. As many are
// checked as the limit says, and the rest is refused.
func TestParallelGuessesNeverGetMoreChecksThanTheLimit(t *testing.T) {
	t.Parallel()
	for _, gateways := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d gateways", gateways), func(t *testing.T) {
			t.Parallel()
			var doors []*door
			tenant := tenantID()
			clock := testenv.NewClock()
			for range gateways {
				l := ratelimit.New(nil, plenty())
				if gateways > 1 {
					l = ratelimit.New(client(t, testenv.Redis(t)), plenty())
				}
				doors = append(doors, &door{t, l, clock, tenant, "203.0.113.7"})
			}
			degraded := func() (n int64) {
				for _, d := range doors {
					n += d.Degraded()
				}
				return n
			}
			volley := func(network string, want time.Duration) (checked, refused int64) {
				var yes, no atomic.Int64
				var all sync.WaitGroup
				start := make(chan struct{})
				for i := range 200 {
					d := *doors[i%gateways]
					d.network = network
					all.Go(func() {
						<-start
						p := d.pay(name(i), i%2 == 0)
						if i%2 == 1 {
							p.AsStranger(t.Context(), clock.Now()) // with a device cookie of somebody else's
						}
						if dec := p.Decision(false); !dec.Allowed {
							no.Add(1)
							if (dec.Busy || dec.RetryAfter != want) && degraded() == 0 {
								t.Errorf("refused with %+v", dec)
							}
							p.Settle(t.Context(), clock.Now(), ratelimit.Unchecked)
							return
						}
						yes.Add(1)
						p.Settle(t.Context(), clock.Now(), ratelimit.Wrong)
					})
				}
				close(start)
				all.Wait()
				return yes.Load(), no.Load()
			}
			for attempt := range 3 {
				before := degraded()
				for round, want := range []time.Duration{15 * time.Minute, 30 * time.Minute} {
					checked, refused := volley(fmt.Sprint("203.0.113.", attempt), want)
					if (checked != 10 || refused != 190) && degraded() == before {
						t.Errorf("round %d: %d checked, %d refused; want 10 and 190", round, checked, refused)
					}
					clock.Advance(want)
				}
				if degraded() == before {
					return
				}
				<-time.After(2 * time.Second) // Redis did not answer in time on this machine; it is asked again then
			}
			t.Error("Redis never answered in time; nothing is shown")
		})
	}
}

// Eighty colleagues press the button in the same second, all with the right password, all in new browsers.
func TestGuessesUnderWayMakeOthersWaitAMomentAndStopNobody(t *testing.T) {
	both(t, plenty(), func(t *testing.T, d *door) {
		var all sync.WaitGroup
		for i := range 80 {
			all.Go(func() {
				p := d.pay(name(i), true)
				if dec := p.Decision(false); !dec.Allowed {
					t.Errorf("%+v", dec)
				}
				p.Settle(t.Context(), d.clock.Now(), ratelimit.Right)
			})
		}
		all.Wait()
	})
}

func TestAGuessWhoseGatewayWasKilledGivesItsPlaceFree(t *testing.T) {
	both(t, plenty(), func(t *testing.T, d *door) {
		for i := range 10 {
			d.pay(name(i), true) // never settled
		}
		d.Impatient()
		if dec := d.pay(name(20), true).Decision(false); !dec.Busy {
			t.Fatalf("%+v", dec)
		}
		d.clock.Advance(31 * time.Second)
		d.mustTry(name(20), true, ratelimit.Right)
	})
}

func TestAClockThatIsPutBackMakesNobodyWaitForItToComeRoundAgain(t *testing.T) {
	p := portal.DefaultLimits() // with the plain rates too
	p.SignInsNetwork, p.SignInsFlood = 1000, 1000
	both(t, p, func(t *testing.T, d *door) {
		for i := range 10 {
			d.mustTry(name(i), true, ratelimit.Wrong)
		}
		d.clock.Advance(-24 * time.Hour)
		d.mustTry(name(0), false, ratelimit.Right)
		if ok, wait := d.try(name(0), true, ratelimit.Right); !ok && wait > 2*time.Hour {
			t.Errorf("a stranger waits %s", wait)
		}
		d.clock.Advance(2 * time.Hour)
		d.mustTry(name(0), true, ratelimit.Right)
	})
}

// The two kinds are two implementations of one rule: whatever happens, they give the same answers.
func TestBothKindsGiveTheSameAnswersToWhateverHappens(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		p := plenty()
		p.Tenant, p.Global = 6, 1_000_000_000
		if seed%3 == 2 {
			p = portal.ReviewPolicy().Limits
			p.SignInsNetwork, p.SignInsFlood, p.SignInsTenant, p.Global = 1_000_000, 1_000_000, 1_000_000, 1_000_000_000
		}
		r := rand.New(rand.NewPCG(seed, 20261124))
		clock, tenant := testenv.NewClock(), tenantID()
		doors := [2]*door{{t, ratelimit.New(nil, p).Impatient(), clock, tenant, ""}, {t, ratelimit.New(client(t, testenv.Redis(t)), p).Impatient(), clock, tenant, ""}}
		type under struct {
			paid [2]*ratelimit.Paid
		}
		var way []under
		var back bool
		for step := range 1500 {
			network := fmt.Sprintf("192.0.2.%d", r.IntN(3))
			account, stranger := name(r.IntN(30)), r.IntN(3) > 0
			verdicts := []ratelimit.Verdict{ratelimit.Wrong, ratelimit.Wrong, ratelimit.Wrong, ratelimit.Right, ratelimit.Unchecked}
			switch what := r.IntN(10); {
			case what < 5 && len(way) < 6:
				var u under
				for i, d := range doors {
					d.network = network
					u.paid[i] = d.pay(account, stranger)
				}
				a, b := u.paid[0].Decision(!stranger), u.paid[1].Decision(!stranger)
				if a != b || !back && u.paid[0].Slower(false) != u.paid[1].Slower(false) {
					t.Fatalf("seed %d, step %d: in the process %+v, in Redis %+v; slower %s, %s", seed, step, a, b, u.paid[0].Slower(false), u.paid[1].Slower(false))
				}
				v := verdicts[r.IntN(len(verdicts))]
				if !a.Allowed {
					v = ratelimit.Unchecked
				}
				if a.Allowed && r.IntN(3) == 0 {
					way = append(way, u)
					break
				}
				for _, p := range u.paid {
					p.Settle(t.Context(), clock.Now(), v)
				}
			case what < 8 && len(way) > 0:
				i := r.IntN(len(way))
				v := verdicts[r.IntN(len(verdicts))]
				for _, p := range way[i].paid {
					p.Settle(t.Context(), clock.Now(), v)
				}
				way = append(way[:i], way[i+1:]...)
			default:
				clock.Advance(time.Duration(r.IntN(100)) * time.Second)
				switch r.IntN(80) {
				case 0, 1:
					clock.Advance(time.Duration(r.IntN(300)) * time.Minute)
				case 2: // the clock is put back
					clock.Advance(-time.Duration(r.IntN(300)) * time.Minute)
					back = true // the process then begins its tallies anew, Redis does not
				}
			}
			for _, d := range doors {
				d.network = network
			}
			if a, b := doors[0].look(), doors[1].look(); a != b {
				t.Fatalf("seed %d, step %d: in the process %+v, in Redis %+v", seed, step, a, b)
			}
		}
		if n := doors[1].Degraded(); n > 0 {
			t.Fatalf("Redis did not answer %d times", n)
		}
	}
}
