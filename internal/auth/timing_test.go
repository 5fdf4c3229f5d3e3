package auth_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/testenv"
	"github.com/portalgate/portalgate/internal/testenv/timing"
)

// measurement says how sharply the time of sign-in is looked at.
type measurement struct {
	samples int // of each class
	bounds  timing.Bounds
	hashing password.Config
	bcrypt  int // cost
	after   time.Duration
	workers int
}

// everyday finishes within a minute or so, beside other tests on the same cores: the hashes cost a tenth of the released
// product's, bcrypt as much more than argon2id as there, and answers are held in proportion to what the rest costs.
var everyday = measurement{300, timing.Everyday, password.Config{Memory: 2048, Passes: 2}, 6, 150 * time.Millisecond, 10}

// released is the product as it is released; `go run ./cmd/dev timing` takes it.
var released = measurement{2000, timing.Sharp, password.Config{}, 10, 250 * time.Millisecond, 2 * runtime.GOMAXPROCS(0)}

// state is one state of an account, as a stranger meets it.
type state struct {
	name     string
	visitor  testenv.Visitor
	deed     string // SQL about one person, $1
	password string // what is typed; empty: a wrong one
	nobody   bool   // there is no such account
	old      bool   // hashed with half the memory, before the parameters were raised
	second   bool   // the person has a row in a second company
	resting  bool   // after as many tries
}

// TIM-01: the states of LOG-01, those whose hash costs more or less work among them, and the states of a rest.
func states(legacy string) (answered, rested []state) {
	const wrong = "not the password"
	answered = []state{
		{name: "unknown address", nobody: true, password: wrong},
		{name: "wrong password", password: wrong},
		{name: "wrong, unverified", visitor: testenv.Visitor{Unverified: true}, password: wrong},
		{name: "wrong, bcrypt only", visitor: testenv.Visitor{Legacy: legacy}, password: wrong},
		{name: "wrong, old parameters", old: true, password: wrong},
		{name: "right, switched off", deed: `update public.customer_users set is_active = false where id = $1`, password: testenv.Password},
		{name: "right, deleted", deed: `update public.customer_users set deleted_at = now() where id = $1`, password: testenv.Password},
		{name: "right, hash beyond the bounds", deed: `update portalgate.credentials set phc = regexp_replace(phc, 'm=[0-9]+', 'm=1073741824') where user_id = $1`, password: testenv.Password},
	}
	rested = []state{
		{name: "resting, unknown address", nobody: true, resting: true, password: wrong},
		{name: "resting, wrong password", resting: true, password: wrong},
		{name: "resting, right password", resting: true, password: testenv.Password},
	}
	return answered, rested
}

// crowd makes n accounts of a state at a tenant, each with a purse of its own, and returns the address of the i-th.
func crowd(t *testing.T, h, old *testenv.House, tenant portal.Tenant, s state, k, n int) func(i int) string {
	t.Helper()
	address := func(i int) string { return fmt.Sprintf("p%d.%d@buyer.example", k, i) }
	if s.nobody {
		return address
	}
	maker := h
	if s.old {
		maker = old
	}
	s.visitor.Email = address(0)
	id := maker.Person(t, tenant, s.visitor)
	if s.deed != "" {
		h.DB.Exec(t, s.deed, id)
	}
	const copies = `with made as (
			insert into public.customer_users (id, customer_id, tenant_id, email, password_hash, first_name, last_name, role, is_active, is_email_verified, deleted_at)
			select gen_random_uuid(), customer_id, tenant_id, replace(email, '.0@', '.' || i || '@'), password_hash, first_name, last_name, role, is_active, is_email_verified, deleted_at
			from public.customer_users, generate_series(1, $2::int) i where id = $1 returning id)
		insert into portalgate.credentials (user_id, tenant_id, phc, key_id, legacy_digest, version, must_change, changed_at)
			select m.id, k.tenant_id, k.phc, k.key_id, k.legacy_digest, k.version, k.must_change, k.changed_at from made m, portalgate.credentials k where k.user_id = $1`
	h.DB.Exec(t, copies, id, n-1)
	if s.second {
		s.visitor.Customer = "SECOND"
		h.DB.Exec(t, copies, h.Person(t, tenant, s.visitor), n-1)
	}
	return address
}

// TIM-01: the time of an answer, until the moment it is released, does not tell the state of an account.
func TestTheTimeOfAnAnswerTellsNothing(t *testing.T) {
	m := everyday
	if os.Getenv("PORTALGATE_TIMING") == "full" {
		m = released
	}
	legacy, err := bcrypt.GenerateFromPassword([]byte(testenv.Password), m.bcrypt)
	if err != nil {
		t.Fatal(err)
	}
	answered, rested := states(string(legacy))
	// Each company's row is hashed, so this one costs two.
	answered = append(answered, state{name: "wrong, two companies", second: true, password: "not the password"})
	for round := range 2 { // once more, should the machine have been busy with something else
		told := ""
		for _, group := range [][]state{answered, rested} {
			classes := m.run(t, group)
			pairs := timing.Compare(classes)
			t.Logf("round %d\n%s", round+1, timing.Report(classes, pairs))
			for _, p := range pairs {
				if !p.Within(m.bounds) {
					told += "\n" + p.String()
				}
			}
		}
		if told == "" {
			return
		}
		if round == 1 {
			t.Errorf("these can be told apart by their time:%s", told)
		}
	}
}

// The same measurement of answers that are not held sees the difference between a hash and none: what passes above
// passes because nothing is to be seen.
func TestTheTimeOfAnAnswerThatIsNotHeldTells(t *testing.T) {
	m := everyday
	m.samples, m.after, m.workers = 60, 0, 1
	m.hashing = password.Config{Memory: 8192, Passes: 2}
	answered, rested := states("")
	classes := m.run(t, []state{answered[0], rested[0]})
	if p := timing.Compare(classes)[0]; p.Within(m.bounds) {
		t.Errorf("the instrument is blind: %s", p)
	}
}

// run takes the samples of all states interleaved, on one gateway, and returns them by state.
func (m measurement) run(t *testing.T, group []state) []timing.Class {
	t.Helper()
	policy := portal.DefaultPolicy()
	policy.Limits.Tenant, policy.Limits.Global, policy.Limits.SignInsTenant = 1_000_000, 1_000_000, 1_000_000
	hashing := m.hashing
	h := testenv.NewHouse(t, testenv.Plan{Policy: &policy, Hashing: &hashing, AnswerAfter: m.after, Exempt: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}})
	h.Auth.Now = time.Now
	weak := hashing
	if weak.Memory == 0 {
		weak.Memory = password.DefaultMemory
	}
	weak.Memory /= 2
	old := testenv.NewHouse(t, testenv.Plan{Keys: h.Keys, Hashing: &weak})
	tenant := testenv.Tenant(t)

	classes := make([]timing.Class, len(group))
	address := make([]func(int) string, len(group))
	var order []int
	for k, s := range group {
		classes[k] = timing.Class{Name: s.name, Samples: make([]time.Duration, 0, m.samples)}
		n := m.samples
		if s.resting {
			n = 1 // a rest is not touched by who knocks meanwhile
		}
		address[k] = crowd(t, h, old, tenant, s, k, n)
		for range m.samples {
			order = append(order, k)
		}
	}
	ask := func(email, typed string) time.Duration {
		c := h.Client("203.0.113.7")
		c.At = time.Now()
		out, err := h.Auth.SignIn(context.Background(), &tenant, c, session.Cookies{}, auth.Credentials{Email: email, Password: typed})
		var held *auth.Held
		switch {
		case err == nil:
			t.Errorf("%s gets in: %s", email, out.Step)
		case errors.As(err, &held): // the wait that the pages keep before they answer
			if wait := time.Until(held.Release); wait > 0 {
				timer := time.NewTimer(wait)
				defer timer.Stop()
				<-timer.C
			}
		default:
			t.Errorf("%s: not held: %v", email, err)
		}
		return time.Since(c.At)
	}
	for k, s := range group {
		if !s.resting {
			continue
		}
		unheld := h.Auth.AnswerAfter
		h.Auth.AnswerAfter = 0
		for range 5 {
			ask(address[k](0), "not the password")
		}
		h.Auth.AnswerAfter = unheld
	}
	for i := range 20 { // connections, caches, the first pages of memory
		ask(fmt.Sprintf("warm%d@buyer.example", i), "not the password")
	}
	r := rand.New(rand.NewPCG(uint64(len(group)), uint64(m.samples)))
	r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	var mu sync.Mutex
	next, taken := 0, make([]int, len(group))
	var all sync.WaitGroup
	for range m.workers {
		all.Go(func() {
			for {
				mu.Lock()
				if next == len(order) || t.Failed() {
					mu.Unlock()
					return
				}
				k := order[next]
				i := taken[k]
				next++
				taken[k]++
				mu.Unlock()
				if group[k].resting {
					i = 0
				}
				took := ask(address[k](i), group[k].password)
				mu.Lock()
				classes[k].Samples = append(classes[k].Samples, took)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return classes
}
