package store_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// atOnce lets so many transactions of a tenant go at the same moment, over two gateways. They wait for each other as long
// as it takes: how fast a machine is decides nothing here.
func (p *place) atOnce(t *testing.T, n int, act func(i int, x *store.Tx) error) {
	t.Helper()
	gateways := []*store.Store{p.gateway, open(t, p.db.AppURL)}
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			if err := gateways[i%2].Within(t.Context(), p.tenant.ID, p.clock.Now(), func(x *store.Tx) error {
				if _, err := x.Exec(t.Context(), `select set_config(name, '60s', true) from unnest(array['lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout']) name`); err != nil {
					return err
				}
				return act(i, x)
			}); err != nil {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	close(start)
	wg.Wait()
}

// RL-04: of two hundred tries at once as many are paid as the rule allows before the first rest, no more and no fewer;
// the same for an address without an account, in a known browser's purse, and for the last try before a purse closes.
func TestOfTwoHundredTriesAtOnceThoseThatTheRuleAllowsArePaid(t *testing.T) {
	t.Parallel()
	p := newPlace(t, testenv.Database(t))
	rule := p.gateway.Lockout()
	known := newID[portal.DeviceID]()
	for _, c := range []struct {
		email  portal.Email
		device portal.DeviceID
		before int
		want   int64
	}{{annsAddress, "", 0, int64(rule.Free) + 1}, {annsAddress, known, 0, int64(rule.Free) + 1}, {"nobody@buyer.example", "", 0, int64(rule.Free) + 1}, {"nearly@buyer.example", "", rule.Close - 1, 1}} {
		if c.before > 0 {
			p.in(t, func(x *store.Tx) error {
				_, err := x.Exec(t.Context(), `insert into portalgate.lockouts (tenant_id, account, purse, failures, last_failure) values ($1, $2, $3, $4, $5)`,
					p.tenant.ID, store.AccountDigest(p.tenant.ID, c.email), string(c.device), c.before, x.Now())
				return err
			})
		}
		var paid atomic.Int64
		p.atOnce(t, 200, func(_ int, x *store.Tx) error {
			try, err := x.SpendTry(t.Context(), c.email, c.device)
			if err == nil && !try.Resting {
				paid.Add(1)
			}
			return err
		})
		if n := paid.Load(); n != c.want {
			t.Errorf("%s, device %q, after %d: %d of 200 were paid, want %d", c.email, c.device, c.before, n, c.want)
		}
	}
}

func TestATryIsRefundedOnceAndAPurseIsEmptiedByItsOwner(t *testing.T) {
	t.Parallel()
	p := newPlace(t, testenv.Database(t))
	spend := func(device portal.DeviceID) (try store.Try) {
		t.Helper()
		p.in(t, func(x *store.Tx) (err error) { try, err = x.SpendTry(t.Context(), annsAddress, device); return err })
		return try
	}
	for range 3 {
		spend("")
	}
	known := newID[portal.DeviceID]()
	spend(known)
	p.in(t, func(x *store.Tx) error { return x.RefundTry(t.Context(), annsAddress, "") })
	if purses := p.purses(t); purses[""].Failures != 2 || purses[string(known)].Failures != 1 {
		t.Errorf("refunded: %+v", purses)
	}
	// The right password on a known browser leaves what strangers have spent.
	p.in(t, func(x *store.Tx) error { return x.ReturnTry(t.Context(), annsAddress, known) })
	if purses := p.purses(t); len(purses) != 1 || purses[""].Failures != 2 {
		t.Errorf("returned to a known browser: %+v", purses)
	}
	p.in(t, func(x *store.Tx) error { return x.ReturnTry(t.Context(), annsAddress, "") })
	if purses := p.purses(t); len(purses) != 0 {
		t.Errorf("returned: %+v", purses)
	}
}

// Of those who replace one password at the same moment, from the same version, one succeeds.
func TestOfTwentyNewPasswordsAtOnceOneIsStored(t *testing.T) {
	t.Parallel()
	p := newPlace(t, testenv.Database(t))
	var version int64 = 1
	for round := range 3 {
		var won atomic.Int64
		winner := make([]bool, 20)
		p.atOnce(t, 20, func(i int, x *store.Tx) error {
			ok, err := x.PutSecret(t.Context(), p.ann, fmt.Sprintf("phc %d of round %d", i, round), "k1", version, false)
			if ok {
				won.Add(1)
			}
			winner[i] = ok
			return err
		})
		var a store.Account
		p.in(t, func(x *store.Tx) (err error) { a, err = x.Account(t.Context(), p.ann); return err })
		if won.Load() != 1 || a.Secret.Version != version+1 || a.Secret.PHC != fmt.Sprintf("phc %d of round %d", slices.Index(winner, true), round) {
			t.Errorf("%d have won; stored is %q, version %d", won.Load(), a.Secret.PHC, a.Secret.Version)
		}
		version = a.Secret.Version
	}
	// The first password of all, too: nobody's is overwritten by somebody who knew of none.
	p.db.Exec(t, `delete from portalgate.credentials where user_id = $1`, p.ann)
	var won atomic.Int64
	p.atOnce(t, 20, func(i int, x *store.Tx) error {
		ok, err := x.PutSecret(t.Context(), p.ann, fmt.Sprintf("first %d", i), "k1", 0, false)
		if ok {
			won.Add(1)
		}
		return err
	})
	if won.Load() != 1 {
		t.Errorf("%d first passwords were stored", won.Load())
	}
}

// REF-03: the statement that replaces a token is conditional by itself, without the lock that the flow takes before it.
func TestOfFiftyReplacementsOfATokenOneSucceeds(t *testing.T) {
	t.Parallel()
	p := newPlace(t, testenv.Database(t))
	s := p.begin(t, p.ann)
	presented := digestOf(s.ID)
	for generation := range 3 {
		var won atomic.Int64
		next := make([]string, 50)
		p.atOnce(t, 50, func(i int, x *store.Tx) error {
			name := fmt.Sprintf("%s %d %d", s.ID, generation, i)
			ok, err := x.ReplaceRefresh(t.Context(), s.ID, presented, digestOf(name), "k1")
			if ok {
				won.Add(1)
				next[i] = name
			}
			return err
		})
		var tokens, living int
		p.db.Row(t, `select count(*), count(*) filter (where replaced_at is null) from portalgate.refresh_tokens where session_id = $1`, []any{s.ID}, &tokens, &living)
		if won.Load() != 1 || tokens != generation+2 || living != 1 {
			t.Fatalf("generation %d: %d have won, %d tokens, %d of them living", generation, won.Load(), tokens, living)
		}
		presented = digestOf(next[slices.IndexFunc(next, func(n string) bool { return n != "" })])
	}
	// A token of another family, and one that is none, replace nothing.
	other := p.begin(t, p.ann)
	for _, d := range []string{string(other.ID), "none"} {
		p.in(t, func(x *store.Tx) error {
			if ok, err := x.ReplaceRefresh(t.Context(), s.ID, digestOf(d), digestOf("next "+d), "k1"); ok || err != nil {
				t.Errorf("%s: %t, %v", d, ok, err)
			}
			return nil
		})
	}
}

// SES-08, at the store: thirty sessions begun at once leave five, whatever the order; those of a person of two companies
// are counted together, and each that ends is announced.
func TestThirtySessionsBegunAtOnceLeaveFive(t *testing.T) {
	t.Parallel()
	p := newPlace(t, testenv.Database(t))
	second := p.person(t, "second@buyer.example")
	choices := [][]portal.UserID{{p.ann, second}, {second, p.ann}}
	var mu sync.Mutex
	ended := map[portal.SessionID]int{}
	p.atOnce(t, 30, func(i int, x *store.Tx) error {
		now, users := x.Now(), choices[i%2]
		s := portal.Session{ID: newID[portal.SessionID](), Tenant: p.tenant.ID, User: users[0], Choices: users, AuthTime: now, CreatedAt: now, LastActive: now,
			AMR: []portal.AMR{portal.AMRPassword}, IdleEnd: now.Add(patient), End: now.Add(patient)}
		over, err := x.BeginSession(t.Context(), s, digestOf(s.ID), "k1", 5)
		mu.Lock()
		defer mu.Unlock()
		for _, id := range over {
			ended[id]++
		}
		return err
	})
	var living, announced int
	p.db.Row(t, `select count(*) filter (where ended_at is null), (select count(*) from portalgate.revocations where tenant_id = $1 and kind = 'session') from portalgate.sessions where tenant_id = $1`,
		[]any{p.tenant.ID}, &living, &announced)
	if living != 5 || len(ended) != 25 || announced != 25 {
		t.Errorf("%d live, %d have ended, %d are announced", living, len(ended), announced)
	}
	for id, n := range ended {
		if n != 1 {
			t.Errorf("%s has ended %d times", id, n)
		}
	}
}
