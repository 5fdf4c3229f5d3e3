package auth_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
	"github.com/portalgate/portalgate/internal/testenv/timing"
)

// TIM-02: the time of an answer to somebody who asks for a mail does not tell whether anybody has the address, while the
// courier beside it meets a provider that is slow, or refuses.
func TestTheTimeOfAskingForAMailTellsNothing(t *testing.T) {
	const samples = 200
	for name, provider := range map[string]func(mail.Message) error{
		"a provider that is quick": nil,
		"a provider that is slow": func(mail.Message) error {
			<-time.After(200 * time.Millisecond)
			return nil
		},
		"a provider that refuses": func(mail.Message) error { return mail.ErrRejected },
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 2 {
				told := ""
				for _, register := range []bool{false, true} {
					classes := askedFor(t, provider, register, samples)
					pairs := timing.Compare(classes)
					t.Logf("round %d, registering %v\n%s", round+1, register, timing.Report(classes, pairs))
					for _, p := range pairs {
						if !p.Within(timing.Everyday) {
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
		})
	}
}

func askedFor(t *testing.T, provider func(mail.Message) error, register bool, samples int) []timing.Class {
	t.Helper()
	policy := portal.DefaultPolicy()
	policy.Limits.AsksTenant, policy.Limits.AsksNetwork = 1_000_000, 1_000_000
	db := testenv.FreshDatabase(t)
	h := testenv.NewHouse(t, testenv.Plan{DB: &db, Policy: &policy, Hashing: &password.Config{Memory: 1024, Passes: 2}, AnswerAfter: 60 * time.Millisecond,
		Exempt: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}})
	h.Auth.Now = time.Now
	h.Mail.Fails = provider
	tenant := db.Tenant(t)
	h.DB.Exec(t, `insert into portalgate.settings (tenant_id, key, value, changed_at) values ($1, 'registration', '"open"', now())`, tenant.ID)
	tenant.Registration = portal.RegistrationOpen
	group := []state{
		{name: "an address that nobody has", nobody: true},
		{name: "a person's"},
		{name: "unverified", visitor: testenv.Visitor{Unverified: true}},
		{name: "switched off", deed: `update public.customer_users set is_active = false where id = $1`},
	}
	h.Person(t, tenant, testenv.Visitor{Email: "own@buyer.example"})
	classes := make([]timing.Class, len(group))
	address := make([]func(int) string, len(group))
	var order []int
	for k, s := range group {
		classes[k].Name = s.name
		address[k] = crowd(t, h, h, tenant, s, k, samples)
		for range samples {
			order = append(order, k)
		}
	}
	running, stop := context.WithCancel(t.Context())
	var courier sync.WaitGroup
	courier.Go(func() {
		for running.Err() == nil {
			if n, err := h.Auth.Deliver(running, 20, func(error) {}); n == 0 || err != nil {
				select {
				case <-running.Done():
				case <-time.After(20 * time.Millisecond):
				}
			}
		}
	})
	defer courier.Wait()
	defer stop()
	ask := func(email string) time.Duration {
		c := h.Client("203.0.113.7")
		c.At = time.Now()
		var (
			out auth.Outcome
			err error
		)
		if register {
			out, err = h.Auth.Register(context.Background(), &tenant, c, auth.Registration{Email: email, Name: "Noor", Password: fresh})
		} else {
			out, err = h.Auth.AskReset(context.Background(), &tenant, c, email)
		}
		if err != nil {
			t.Errorf("%s: %v", email, err)
		}
		if wait := time.Until(out.Release); wait > 0 {
			<-time.After(wait)
		}
		return time.Since(c.At)
	}
	for i := range 10 {
		ask(fmt.Sprintf("warm%d@buyer.example", i))
	}
	r := rand.New(rand.NewPCG(uint64(samples), uint64(strings.Count(t.Name(), ""))))
	r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	var (
		mu    sync.Mutex
		all   sync.WaitGroup
		next  int
		taken = make([]int, len(group))
	)
	for range 8 {
		all.Go(func() {
			for {
				mu.Lock()
				if next == len(order) || t.Failed() {
					mu.Unlock()
					return
				}
				k := order[next]
				i := taken[k]
				next, taken[k] = next+1, taken[k]+1
				mu.Unlock()
				took := ask(address[k](i))
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
