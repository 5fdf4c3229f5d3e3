package ratelimit_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/ratelimit"
	"github.com/portalgate/portalgate/internal/testenv"
)

// RL-08: without Redis the process decides alone, at half the numbers, without anybody waiting for an answer that does
// not come; what it has let through before counts; and when Redis is back, what stood there stands again.
func TestWhileRedisDoesNotAnswerTheProcessIsStricterAndNothingHangs(t *testing.T) {
	t.Parallel()
	for fault, breakIt := range map[string]func(*testenv.Proxy){
		"cut": (*testenv.Proxy).Cut, "stalled": (*testenv.Proxy).Stall,
		"slow": func(p *testenv.Proxy) { p.Slow(2 * time.Second) },
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			proxy, address := testenv.ProxyRedis(t, testenv.Redis(t))
			d := &door{t, ratelimit.New(client(t, address), plenty()), testenv.NewClock(), tenantID(), "203.0.113.7"}
			var mu sync.Mutex
			var told []bool // whether Redis answers, as the log is told
			d.Tell(func(err error) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, err == nil)
			})
			for i := range 3 {
				d.mustTry(name(i), true, ratelimit.Wrong)
			}
			under, unchecked := d.pay(name(3), true), d.pay(name(4), true)
			breakIt(proxy)
			begun := time.Now()
			under.Settle(t.Context(), d.clock.Now(), ratelimit.Wrong) // counted here, since there is nobody else to count it
			unchecked.Settle(t.Context(), d.clock.Now(), ratelimit.Unchecked)
			d.mustTry(name(5), true, ratelimit.Wrong) // the fifth of five
			d.mustWait(name(20), true, 15*time.Minute)
			d.mustTry(name(21), false, ratelimit.Right)
			d.network = "203.0.113.8" // of which nothing is known
			for i := range 5 {
				d.mustTry(name(10+i), true, ratelimit.Wrong)
			}
			d.mustWait(name(20), true, 15*time.Minute)
			d.network = "203.0.113.7"
			if took := time.Since(begun); took > 2*time.Second {
				t.Errorf("it took %s", took)
			}
			if d.Degraded() == 0 {
				t.Error("nobody counts that Redis did not answer")
			}
			proxy.Heal()
			// Asked again a second later at the latest.
			deadline := time.Now().Add(20 * time.Second)
			for before := d.Degraded(); ; before = d.Degraded() {
				if d.look(); d.Degraded() == before {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("Redis answers again and is not asked")
				}
				<-time.After(50 * time.Millisecond)
			}
			// The one that was under way may have been counted there as well, when the question arrived and the answer did not.
			if n := d.look().Failed; n != 3 && n != 4 {
				t.Errorf("in Redis %d accounts are counted, want the 3 of before", n)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(told) != 2 || told[0] || !told[1] {
				t.Errorf("the log is told %v, want once that Redis is gone and once that it is back", told)
			}
		})
	}
}

// Whoever hangs up while Redis is being asked neither takes a guess back nor makes the gateway believe that Redis is down.
func TestAHangUpIsNoOutage(t *testing.T) {
	t.Parallel()
	d := &door{t, ratelimit.New(client(t, testenv.Redis(t)), plenty()), testenv.NewClock(), tenantID(), "203.0.113.7"}
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	p := d.Pay(gone, d.clock.Now(), ratelimit.Guess{Tenant: d.tenant, Network: d.network, Account: portal.Email(name(1)), Stranger: true})
	p.Settle(gone, d.clock.Now(), ratelimit.Wrong)
	if n := d.look().Failed; n != 1 || d.Degraded() != 0 {
		t.Fatalf("%d failures are counted, %d decisions alone", n, d.Degraded())
	}
}

// DOS-04: anonymous traffic makes no unbounded memory, and a flood of networks does not wash away a wait.
func TestAFloodOfNetworksIsBoundedAndDoesNotEndAWait(t *testing.T) {
	t.Parallel()
	d := &door{t, ratelimit.New(nil, plenty()).Small(500), testenv.NewClock(), tenantID(), "203.0.113.7"}
	for i := range 10 {
		d.mustTry(name(i), true, ratelimit.Wrong)
	}
	for i := range 20_000 {
		d.network = fmt.Sprintf("2001:db8:%x:%x::/64", i>>8, i&255)
		d.mustTry(name(i), true, ratelimit.Wrong)
		d.clock.Advance(time.Millisecond)
	}
	if networks, rates := d.Held(); networks > 500 || rates > 500 {
		t.Errorf("%d networks and %d rates are remembered, want at most 500", networks, rates)
	}
	d.network = "203.0.113.7"
	if s := d.look(); s.Strangers.IsZero() {
		t.Error("the flood has ended the wait of another network")
	}
}

// DOS-04, and on a cluster: what Redis holds ends by itself, belongs to one slot, and names nobody.
func TestWhatStandsInRedisEndsByItselfAndNamesNobody(t *testing.T) {
	t.Parallel()
	c := client(t, testenv.Redis(t))
	d := &door{t, ratelimit.New(c, plenty()), testenv.NewClock(), tenantID(), "203.0.113.7"}
	for i := range 9 {
		d.mustTry(name(i), true, ratelimit.Wrong)
	}
	d.pay(name(20), true)                                      // under way
	d.mustTry("someone@buyer.example", false, ratelimit.Wrong) // the tenth
	keys := ratelimit.Keys(string(d.tenant), d.network)
	_, tag, _ := strings.Cut(keys[0], "{")
	for _, k := range keys {
		if !strings.HasSuffix(k[:strings.Index(k, "}")+1], "{"+tag[:strings.Index(tag, "}")+1]) {
			t.Errorf("%s has another hash tag than %s", k, keys[0])
		}
		ttl, err := c.PTTL(t.Context(), k).Result()
		if err != nil || ttl <= 0 || ttl > 26*time.Hour {
			t.Errorf("%s ends in %s, %v", k, ttl, err)
		}
	}
	members, err := c.ZRange(t.Context(), keys[0], 0, -1).Result()
	if err != nil || len(members) != 10 {
		t.Fatalf("%d members, %v", len(members), err)
	}
	for _, text := range append(members, keys...) {
		if strings.Contains(text, "buyer") || strings.Contains(text, "203.0") || strings.Contains(text, string(d.tenant)) {
			t.Errorf("%q says who it is about", text)
		}
	}
}

// P15: an in-process decision takes 500 ns at most. The plain rate and the failures of a network are each one.
func BenchmarkDecisionInProcess(b *testing.B) {
	ctx, now := context.Background(), time.Now()
	b.Run("rate", func(b *testing.B) {
		l := ratelimit.New(nil, plenty())
		charge := ratelimit.Charge{Limit: l.Limits().Network, Key: []string{"0197c1d0-0000-7000-8000-000000000001", "203.0.113.7"}}
		b.ReportAllocs()
		for b.Loop() {
			if d := l.Spend(ctx, now, charge); !d.Allowed {
				b.Fatal("refused")
			}
			now = now.Add(time.Millisecond)
		}
	})
	b.Run("stranger refused by failures", func(b *testing.B) {
		l := ratelimit.New(nil, plenty())
		g := ratelimit.Guess{Tenant: "0197c1d0-0000-7000-8000-000000000001", Network: "203.0.113.7", Stranger: true}
		for i := range 10 {
			g.Account = portal.Email(name(i))
			l.Pay(ctx, now, g).Settle(ctx, now, ratelimit.Wrong)
		}
		b.ReportAllocs()
		for b.Loop() {
			if l.Decide(ctx, now, g) {
				b.Fatal("admitted")
			}
		}
	})
	b.Run("whole guess, four rates and sets, counted and settled", func(b *testing.B) {
		l := ratelimit.New(nil, plenty())
		g := ratelimit.Guess{Tenant: "0197c1d0-0000-7000-8000-000000000001", Network: "203.0.113.7", Account: "ann@buyer.example", Stranger: true}
		b.ReportAllocs()
		for b.Loop() {
			p := l.Pay(ctx, now, g)
			if !p.Decision(false).Allowed {
				b.Fatal("refused")
			}
			p.Settle(ctx, now, ratelimit.Right)
			now = now.Add(time.Millisecond)
		}
	})
}
