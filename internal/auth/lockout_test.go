package auth_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// elsewhere is a new stranger at an address of their own, so that no limit by network has a say.
type elsewhere struct {
	house  *testenv.House
	tenant *portal.Tenant
	n      int
}

func (e *elsewhere) try(t testing.TB, email, password string) answer {
	t.Helper()
	e.n++
	return newSeat(e.house, e.tenant, fmt.Sprintf("198.18.%d.%d", e.n>>8, e.n&255)).try(t, email, password)
}

// M04, RL-01 and RL-09, the row of the decisions: failures 1 to 4 answer 401; from the fifth the purse rests 30 minutes,
// then 60, then 2 h, then 4 h and never more; tries during a rest, with the right password as well, are refused and not
// counted. An address without an account goes through the same, answer by answer.
func TestTheLockOutFollowsItsScheduleForAccountsAndForAddressesWithoutOne(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	strangers := &elsewhere{house: h, tenant: &tenant}
	both := func(password, when string, want answer) {
		t.Helper()
		for _, email := range []string{"ann@buyer.example", "nobody@buyer.example"} {
			if a := strangers.try(t, email, password); a != want {
				t.Fatalf("%s: %s: %+v, want %+v", email, when, a, want)
			}
		}
	}
	for i := 1; i <= 4; i++ {
		both("wrong", fmt.Sprint("failure ", i), answer{status: 401})
	}
	for i, rest := range []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 4 * time.Hour, 4 * time.Hour} {
		both("wrong", fmt.Sprint("failure ", 5+i), answer{status: 429, rule: "lockout", wait: rest})
		h.Clock.Advance(rest - time.Second)
		for range 3 {
			both(testenv.Password, fmt.Sprint("in the rest after failure ", 5+i), answer{status: 429, rule: "lockout", wait: time.Second})
		}
		h.Clock.Advance(time.Second)
	}
	if a := strangers.try(t, "ann@buyer.example", testenv.Password); a.status != 303 {
		t.Fatalf("the right password after the rest: %+v", a)
	}
	if a := strangers.try(t, "ann@buyer.example", "wrong"); a.status != 401 {
		t.Errorf("after a good sign-in the purse is not empty: %+v", a)
	}
}

func TestAPurseIsEmptyAgainADayAfterItsLastFailure(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	strangers := &elsewhere{house: h, tenant: &tenant}
	for day := range 3 {
		for i := range 4 {
			if a := strangers.try(t, "ann@buyer.example", "wrong"); a.status != 401 {
				t.Fatalf("day %d, failure %d: %+v", day, i, a)
			}
		}
		h.Clock.Advance(24*time.Hour + time.Second)
	}
}

// RL-01: at a hundred failures the password is closed to strangers. From outside it looks like any other rest, at an
// address without an account too; the owner's known browser, a password set anew and `user unlock` open it.
func TestAHundredFailuresCloseThePasswordToStrangersUntilItIsSetAnew(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	owner := newSeat(h, &tenant, "203.0.113.1")
	if a := owner.try(t, "ann@buyer.example", testenv.Password); a.status != 303 {
		t.Fatalf("%+v", a)
	}
	strangers := &elsewhere{house: h, tenant: &tenant}
	rounds := 0
	close := func() {
		t.Helper()
		rounds++
		nobody := fmt.Sprintf("nobody%d@buyer.example", rounds)
		checked := h.Hasher.Stats().Done
		for n := 0; n < 100; n++ {
			for _, email := range []string{"ann@buyer.example", nobody} {
				want := answer{status: 401}
				if rest := h.Policy.Lockout.Rest(n + 1); rest > 0 {
					want = answer{status: 429, rule: "lockout", wait: rest}
				}
				if a := strangers.try(t, email, "wrong"); a != want {
					t.Fatalf("%s: failure %d: %+v", email, n+1, a)
				}
			}
			h.Clock.Advance(h.Policy.Lockout.Rest(n + 1))
		}
		if n := h.Hasher.Stats().Done - checked; n != 200 {
			t.Fatalf("%d passwords were checked, want 200", n)
		}
		for i, wait := range []time.Duration{0, 90 * time.Minute, 4 * time.Hour, 48 * time.Hour} {
			h.Clock.Advance(wait)
			a, b := strangers.try(t, "ann@buyer.example", testenv.Password), strangers.try(t, nobody, testenv.Password)
			if a != b || a.status != 429 || a.rule != "lockout" || a.wait <= 0 || a.wait > 4*time.Hour {
				t.Fatalf("try %d at the closed password: %+v, without an account %+v", i, a, b)
			}
		}
		if n := h.Hasher.Stats().Done - checked; n != 200 {
			t.Fatalf("a closed password was checked")
		}
		if a := owner.try(t, "ann@buyer.example", testenv.Password); a.status != 303 {
			t.Fatalf("the owner's known browser: %+v", a)
		}
		if a := strangers.try(t, "ann@buyer.example", testenv.Password); a.status != 429 {
			t.Fatalf("the owner's sign-in has opened the password to strangers: %+v", a)
		}
	}
	opened := func(how, password string) {
		t.Helper()
		if a := strangers.try(t, "ann@buyer.example", password); a.status != 303 {
			t.Fatalf("after %s: %+v", how, a)
		}
	}
	close()
	byOperator(t, h, tenant, func(x *store.Tx, a store.Account) error {
		_, err := x.UnlockBy(t.Context(), "ann@buyer.example", a.User.ID, store.Deed{Operator: "test"})
		return err
	})
	opened("user unlock", testenv.Password)

	close()
	res, err := h.Sessions.Resume(t.Context(), &tenant, owner.cookies, h.Client(owner.addr), false)
	if err != nil {
		t.Fatal(err)
	}
	c := h.Client(owner.addr)
	c.Device = owner.device
	grant, err := h.Auth.ChangePassword(t.Context(), &tenant, c, res.Facts.Session, testenv.Password, "four crates of lids, please")
	if err != nil {
		t.Fatal(err)
	}
	owner.cookies = session.Cookies{Access: grant.Access, Refresh: grant.Refresh}
	opened("a change of the password by its owner", "four crates of lids, please")
}

// byOperator runs an act of a command on Ann's row.
func byOperator(t testing.TB, h *testenv.House, tenant portal.Tenant, act func(*store.Tx, store.Account) error) {
	t.Helper()
	s, err := store.Open(h.DB.OperatorURL, store.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Within(t.Context(), tenant.ID, h.Clock.Now(), func(x *store.Tx) error {
		rows, err := x.Named(t.Context(), "ann@buyer.example")
		if err != nil || len(rows) != 1 {
			return fmt.Errorf("%d rows, %w", len(rows), err)
		}
		return act(x, rows[0])
	})
	if err != nil {
		t.Fatal(err)
	}
}

// M06: a hundred addresses with five guesses each at one account get nowhere: five are checked, and a right guess among
// the rest is refused. RL-05: the owner's known browser, open session and set-password go on working.
func TestAHundredAddressesWithFiveGuessesEachGetNowhereAndDoNotLockTheOwnerOut(t *testing.T) {
	kinds(t, func(t *testing.T, plan testenv.Plan) {
		h := testenv.NewHouse(t, plan)
		tenant := testenv.Tenant(t)
		h.Person(t, tenant, testenv.Visitor{})
		owner := newSeat(h, &tenant, "203.0.113.1")
		if a := owner.try(t, "ann@buyer.example", testenv.Password); a.status != 303 {
			t.Fatalf("%+v", a)
		}
		checked := h.Hasher.Stats().Done
		for i := range 500 {
			guess := fmt.Sprintf("guess %d", i)
			if i > 4 && i%50 == 0 {
				guess = testenv.Password
			}
			if a := newSeat(h, &tenant, fmt.Sprintf("198.51.100.%d", i%100)).try(t, "ANN@buyer.example", guess); a.status == 303 || (a.status == 401) != (i < 4) {
				t.Fatalf("guess %d: %+v", i, a)
			}
		}
		if n := h.Hasher.Stats().Done - checked; n != 5 {
			t.Errorf("%d passwords were checked, want 5", n)
		}
		if a := owner.try(t, "ann@buyer.example", testenv.Password); a.status != 303 || !owner.signedIn(t) {
			t.Errorf("the owner's known browser: %+v", a)
		}
		if a := newSeat(h, &tenant, "192.0.2.1").try(t, "ann@buyer.example", testenv.Password); a.status != 429 || a.rule != "lockout" {
			t.Errorf("the owner's sign-in has emptied the strangers' purse: %+v", a)
		}
	})
}

// RL-02: however an address is written, it has one purse.
func TestAllSpellingsOfAnAddressShareOnePurse(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	strangers := &elsewhere{house: h, tenant: &tenant}
	for i, email := range []string{"ann@buyer.example", "ANN@buyer.example", " ann@buyer.example", "Ann@Buyer.Example\t", "ann@BUYER.example"} {
		if a := strangers.try(t, email, "wrong"); (a.status == 429) != (i == 4) {
			t.Fatalf("%q: %+v", email, a)
		}
	}
}

// RL-04, P16: two hundred guesses at one account at once, from two hundred addresses, over two gateways: as many are
// checked as the purse has tries.
func TestParallelGuessesAtOneAccountOverTwoGatewaysCostTheirTries(t *testing.T) {
	kinds(t, func(t *testing.T, plan testenv.Plan) {
		h := testenv.NewHouse(t, plan)
		tenant := testenv.Tenant(t)
		h.Person(t, tenant, testenv.Visitor{})
		gateways := []*testenv.House{h, h.Neighbour(t)}
		before := h.Hasher.Stats().Done
		var all sync.WaitGroup
		start := make(chan struct{})
		for i := range 200 {
			s := newSeat(gateways[i%2], &tenant, fmt.Sprintf("198.51.100.%d", i))
			all.Go(func() {
				<-start
				s.try(t, "ann@buyer.example", "wrong")
			})
		}
		close(start)
		all.Wait()
		// Those that found no room were not checked, paid nothing, and left their try to somebody else.
		for (&elsewhere{house: h, tenant: &tenant}).try(t, "ann@buyer.example", "wrong").status == 401 {
		}
		checked := gateways[0].Hasher.Stats().Done - before + gateways[1].Hasher.Stats().Done
		if checked != 5 {
			t.Errorf("%d passwords were checked, want 5", checked)
		}
	})
}

// RL-04, P16: the same against the network's limit: two hundred accounts from one address, over two gateways that share
// Redis, ten are checked.
func TestParallelGuessesFromOneAddressOverTwoGatewaysGetTheLimitAndNoMore(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{Redis: testenv.Redis(t)})
	tenant := testenv.Tenant(t)
	gateways := []*testenv.House{h, h.Neighbour(t)}
	count := func() (checked, alone int64) {
		for _, g := range gateways {
			checked, alone = checked+g.Hasher.Stats().Done, alone+g.Limits.Degraded()
		}
		return checked, alone
	}
	for attempt := range 3 {
		address := fmt.Sprint("198.51.100.", attempt)
		checkedBefore, aloneBefore := count()
		var all sync.WaitGroup
		start := make(chan struct{})
		for i := range 200 {
			s := newSeat(gateways[i%2], &tenant, address)
			all.Go(func() {
				<-start
				s.try(t, fmt.Sprintf("nobody%d-%d@buyer.example", attempt, i), "wrong")
			})
		}
		close(start)
		all.Wait()
		for i := range 20 { // those that found no room left it to others
			newSeat(gateways[i%2], &tenant, address).try(t, fmt.Sprintf("somebody%d-%d@buyer.example", attempt, i), "wrong")
		}
		checked, alone := count()
		if alone == aloneBefore {
			if checked -= checkedBefore; checked != 10 {
				t.Errorf("%d passwords were checked, want 10", checked)
			}
			return
		}
		<-time.After(2 * time.Second) // Redis did not answer in time on this machine; it is asked again then
	}
	t.Error("Redis never answered in time; nothing is shown")
}

// RL-03: what was counted survives a restart, a reload, cleared cookies and the other gateway.
func TestCountersSurviveRestartReloadClearedCookiesAndTheOtherGateway(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{Redis: testenv.Redis(t)})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	spray := newSeat(h, &tenant, "203.0.113.1")
	checked := 0
	places := []struct {
		name string
		do   func()
	}{
		{"cleared cookies", func() { spray.forget() }},
		{"a restart", func() { spray.house = h.Neighbour(t) }},
		{"the other gateway", func() { spray.house = h }},
		{"a reload to other numbers and back", func() {
			l := h.Limits
			h.Auth.Limits = l.With(portal.ReviewPolicy().Limits).With(h.Policy.Limits)
		}},
	}
	for i := range 12 {
		place := places[i%len(places)]
		place.do()
		a := spray.try(t, fmt.Sprintf("nobody%d@buyer.example", i), "wrong")
		if a.status == 401 {
			checked++
		} else if i < 10 || a.rule != "failures_network" {
			t.Errorf("guess %d, after %s: %+v", i, place.name, a)
		}
	}
	if checked != 10 {
		t.Errorf("%d guesses from one network were checked, want 10", checked)
	}
	strangers := &elsewhere{house: h, tenant: &tenant}
	for i := range 6 {
		places[i%len(places)].do()
		strangers.house = spray.house
		if a := strangers.try(t, "ann@buyer.example", "wrong"); (a.status == 401) != (i < 4) {
			t.Errorf("guess %d at one account, after %s: %+v", i, places[i%len(places)].name, a)
		}
	}
}

// RL-08: what counts per account stands in PostgreSQL; without Redis not one guess more is checked.
func TestWithoutRedisTheAccountsOwnPurseCountsAsAlways(t *testing.T) {
	t.Parallel()
	proxy, address := testenv.ProxyRedis(t, testenv.Redis(t))
	h := testenv.NewHouse(t, testenv.Plan{Redis: address})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	strangers := &elsewhere{house: h, tenant: &tenant}
	before := h.Hasher.Stats().Done
	for i := range 50 {
		switch i {
		case 2:
			proxy.Stall()
		case 20:
			proxy.Cut()
		}
		began := time.Now()
		if a := strangers.try(t, "ann@buyer.example", "wrong"); (a.status == 401) != (i < 4) {
			t.Errorf("guess %d: %+v", i, a)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("guess %d took %s", i, took)
		}
	}
	if n := h.Hasher.Stats().Done - before; n != 5 {
		t.Errorf("%d passwords were checked, want 5", n)
	}
	if h.Limits.Degraded() == 0 {
		t.Error("Redis was asked all the time: nothing is shown")
	}
}

// DOS-04: who guesses at addresses that nobody has leaves rows for a day and no longer.
func TestPursesOfADayAgoAreForgottenAndNoOthers(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant, other := testenv.Tenant(t), testenv.Tenant(t)
	rows := func(t portal.Tenant, tb testing.TB) (n int) {
		h.DB.Row(tb, `select count(*) from portalgate.lockouts where tenant_id = $1`, []any{t.ID}, &n)
		return n
	}
	strangers, others := &elsewhere{house: h, tenant: &tenant}, &elsewhere{house: h, tenant: &other}
	for i := range 25 {
		strangers.try(t, fmt.Sprintf("nobody%d@buyer.example", i), "wrong")
	}
	others.try(t, "nobody@buyer.example", "wrong")
	h.DB.Exec(t, `update portalgate.lockouts set failures = 100 where tenant_id = $1 and account in (select account from portalgate.lockouts where tenant_id = $1 order by account limit 2)`, tenant.ID)
	h.Clock.Advance(20 * time.Hour)
	strangers.try(t, "late@buyer.example", "wrong")
	sweep := func(most int) int64 {
		t.Helper()
		n, err := h.Store.SweepLockouts(t.Context(), tenant.ID, h.Clock.Now(), most)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := sweep(1000); n != 0 {
		t.Fatalf("%d purses were forgotten before their day was over", n)
	}
	h.Clock.Advance(4*time.Hour + time.Second)
	if first, second, third := sweep(10), sweep(1000), sweep(1000); first != 10 || second != 13 || third != 0 {
		t.Errorf("forgotten: %d, %d, %d; want 10, 13 and none", first, second, third)
	}
	if here, there := rows(tenant, t), rows(other, t); here != 3 || there != 1 {
		t.Errorf("%d purses are left, and %d at the other tenant; want 3 (two closed, one of today) and 1", here, there)
	}
}
