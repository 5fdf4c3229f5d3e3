package auth_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// M06: a thousand bots, each at an address of its own, on ten thousand accounts, for a week; the owners sign in every
// working day in the browser they always use, and mistype. No owner is ever refused.
//
// It is played at one to a hundred: ten bots, a hundred accounts, a tenant's limit of ten accounts instead of a
// thousand, of everything a hundred instead of ten thousand. What a bot meets (its network's limit, each account's
// purse) and what an account meets (as many bots for each account) is what they meet at full size, and so is the time
// at which each limit of a tenant is reached. The bots are as clever as they can be: each waits exactly as long as it
// was told, and takes the account at which a try was longest ago.
func TestAWeekUnderSiegeRefusesNoOwner(t *testing.T) {
	t.Parallel()
	play.Lock()
	defer play.Unlock()
	const (
		bots, accounts = 10, 100
		days           = 7
		mistyping      = 0.08
	)
	policy := portal.DefaultPolicy()
	policy.Limits.Tenant, policy.Limits.Global = policy.Limits.Tenant/100, policy.Limits.Global/100
	r := rand.New(rand.NewPCG(1000, 10_000))
	h := testenv.NewHouse(t, testenv.Plan{Policy: &policy})
	tenant := testenv.Tenant(t)
	email := func(i int) string { return fmt.Sprintf("owner%d@buyer.example", i) }
	owners := make([]*seat, accounts)
	for i := range owners {
		h.Person(t, tenant, testenv.Visitor{Email: email(i)})
		owners[i] = newSeat(h, &tenant, fmt.Sprintf("203.0.113.%d", i))
		if a := owners[i].try(t, email(i), testenv.Password); a.status != 303 { // the browser is known from here on
			t.Fatalf("owner %d: %+v", i, a)
		}
	}
	type bot struct {
		*seat
		next time.Time // when it may try again
	}
	begin := h.Clock.Now()
	army := make([]*bot, bots)
	for i := range army {
		army[i] = &bot{newSeat(h, &tenant, fmt.Sprintf("198.51.100.%d", i)), begin.Add(time.Duration(r.IntN(600)) * time.Second)}
	}
	// when each account may be tried at again, as the bots know it
	free := make([]time.Time, accounts)

	type visit struct {
		at  time.Time
		who int
	}
	var visits []visit
	for day := range days {
		if day%7 < 5 {
			for i := range accounts {
				visits = append(visits, visit{begin.Add(time.Duration(day)*24*time.Hour + time.Duration(r.IntN(10*3600))*time.Second), i})
			}
		}
	}
	slices.SortFunc(visits, func(a, b visit) int { return a.at.Compare(b.at) })

	end := begin.Add(days * 24 * time.Hour)
	checked, perAccount, stopped, slowed, mistyped := 0, make([]int, accounts), 0, 0, 0
	for {
		first := slices.MinFunc(army, func(a, b *bot) int { return a.next.Compare(b.next) })
		if len(visits) > 0 && !visits[0].at.After(first.next) {
			v := visits[0]
			visits = visits[1:]
			h.Clock.Set(v.at)
			for r.Float64() < mistyping {
				mistyped++
				if a := owners[v.who].try(t, email(v.who), "blue pallet trucks at down"); a.status != 401 || a.later != 0 {
					t.Fatalf("owner %d, who mistyped, is answered %+v", v.who, a)
				}
			}
			if a := owners[v.who].try(t, email(v.who), testenv.Password); a.status != 303 || a.later != 0 {
				t.Fatalf("owner %d with the right password is answered %+v", v.who, a)
			}
			continue
		}
		if first.next.After(end) {
			break
		}
		h.Clock.Set(first.next)
		target := 0
		for i := range free {
			if free[i].Before(free[target]) {
				target = i
			}
		}
		if free[target].After(first.next) { // every account rests; a try now would be wasted
			first.next = free[target]
			continue
		}
		before := h.Hasher.Stats().Done
		a := first.try(t, email(target), fmt.Sprint("guess ", checked))
		if h.Hasher.Stats().Done > before {
			checked++
			perAccount[target]++
		}
		if a.later > 0 {
			slowed++
		}
		switch {
		case a.status == 401:
			free[target] = h.Clock.Now() // and on to the next
			first.next = h.Clock.Now().Add(time.Second)
		case a.rule == "lockout":
			free[target] = h.Clock.Now().Add(a.wait)
			first.next = h.Clock.Now().Add(time.Second)
		case a.status == 429:
			stopped++
			first.next = h.Clock.Now().Add(a.wait)
		default:
			t.Fatalf("a bot is answered %+v", a)
		}
	}

	// What the purse alone leaves to strangers in a week: the free tries, and one after each rest.
	most := policy.Lockout.Free
	for at, n := time.Duration(0), most; at <= days*24*time.Hour; n++ {
		most++
		at += policy.Lockout.Rest(n + 1)
	}
	worst := slices.Max(perAccount)
	t.Logf("the bots had %d passwords checked, at most %d at one account (the purse leaves %d), were stopped %d times by their network's limit and slowed down %d times; the owners mistyped %d times",
		checked, worst, most, stopped, slowed, mistyped)
	if worst > most {
		t.Errorf("%d passwords were checked at one account, more than its purse has: %d", worst, most)
	}
	if perBot := 10 * (24*days/2 + 8); checked > bots*perBot {
		t.Errorf("%d passwords were checked, more than %d bots' networks allow: %d each", checked, bots, perBot)
	}
	if checked < accounts*10 || stopped < bots*days || slowed == 0 || mistyped < 20 {
		t.Error("that is no siege: nothing is shown")
	}
}
