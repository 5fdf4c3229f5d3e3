package auth_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

func bcrypted(t testing.TB, text string) string {
	t.Helper()
	b, err := bcrypt.GenerateFromPassword([]byte(text), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// LOG-01, RL-09, LOG-07: whatever state an account is in, or whether there is one, the answers are the same, one after
// the other, into the rest and after it.
func TestEveryStateOfAnAccountGetsTheSameAnswers(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	const wrong, email = "not the password", "ann@buyer.example"
	set := func(sql string) func(*testing.T, portal.UserID) {
		return func(t *testing.T, id portal.UserID) { h.DB.Exec(t, sql, id) }
	}
	type state struct {
		name     string
		visitor  testenv.Visitor
		arrange  func(*testing.T, portal.UserID)
		password string
		nobody   bool // for the trail this is nobody's failure
	}
	states := []state{
		{name: "unknown", visitor: testenv.Visitor{Email: "somebody.else@buyer.example"}, password: wrong, nobody: true},
		{name: "wrong password", password: wrong},
		{name: "wrong password of an unverified address", visitor: testenv.Visitor{Unverified: true}, password: wrong},
		{name: "wrong password where a temporary one waits", visitor: testenv.Visitor{MustChange: true}, password: wrong},
		{name: "wrong password of bcrypt only", visitor: testenv.Visitor{Legacy: bcrypted(t, testenv.Password)}, password: wrong},
		{name: "right password, switched off", arrange: set(`update customer_users set is_active = false where id = $1`), password: testenv.Password},
		{name: "right password, deleted", arrange: set(`update customer_users set deleted_at = now() where id = $1`), password: testenv.Password, nobody: true},
		{name: "right password, company closed", arrange: set(`update customers set is_active = false where id = (select customer_id from customer_users where id = $1)`), password: testenv.Password},
		{name: "right password, portal closed", arrange: set(`update customers set portal_enabled = false where id = (select customer_id from customer_users where id = $1)`), password: testenv.Password},
		{name: "right password, tenant suspended", arrange: set(`update tenants set status = 'SUSPENDED' where id = (select tenant_id from customer_users where id = $1)`), password: testenv.Password},
		{name: "right password, hash beyond the bounds", arrange: set(`update portalgate.credentials set phc = replace(phc, 'm=64', 'm=1073741824') where user_id = $1`), password: testenv.Password},
		{name: "right password, hash no hash", arrange: set(`update portalgate.credentials set phc = 'x' where user_id = $1`), password: testenv.Password},
		{name: "right password, bcrypt beyond the bounds", visitor: testenv.Visitor{Legacy: "$2b$31$" + bcrypted(t, testenv.Password)[7:]}, password: testenv.Password},
		{name: "the constant of rows without a password", visitor: testenv.Visitor{Legacy: "!portalgate"}, password: "!portalgate"},
		{name: "single sign-on, no password", visitor: testenv.Visitor{Legacy: "x"}, arrange: set(`update customer_users set password_hash = null, sso_provider = 'x' where id = $1`), password: wrong},
	}
	answers := map[string][]said{}
	var mu sync.Mutex
	t.Run("states", func(t *testing.T) {
		for i, s := range states {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				// A clock of its own: the rests of all states are walked through.
				n := testenv.NewHouse(t, testenv.Plan{Keys: h.Keys})
				tenant := testenv.Tenant(t)
				id := n.Person(t, tenant, s.visitor)
				if s.arrange != nil {
					s.arrange(t, id)
				}
				addr := fmt.Sprintf("203.0.113.%d", i+1)
				b := open(n, &tenant, addr)
				var got []said
				try := func() {
					out, err := b.signIn(email, s.password)
					if err == nil {
						t.Fatalf("gets in: %+v", out)
					}
					got = append(got, refusal(t, err))
				}
				for range 7 { // four answers, the fifth that begins the rest, two refused by it
					try()
				}
				n.Clock.Advance(30 * time.Minute)
				try() // the sixth failure
				try()
				n.Clock.Advance(59 * time.Minute)
				try()
				n.Clock.Advance(time.Minute)
				try()
				mu.Lock()
				answers[s.name] = got
				mu.Unlock()
				if s.nobody {
					trailed(t, n, tenant,
						"LOGIN_FAILED refused "+addr+" unknown_address=5 rest=2 (nobody)", "LOGIN_FAILED refused "+addr+" unknown_address=1 rest=1 (nobody)",
						"LOGIN_FAILED refused "+addr+" rest=1 (nobody)", "LOGIN_FAILED refused "+addr+" unknown_address=1 (nobody)")
				} else {
					trailed(t, n, tenant, "7 × LOGIN_FAILED refused "+addr, "3 × ACCOUNT_LOCKED refused "+addr+" suspicious",
						"LOGIN_FAILED refused "+addr+" rest=2 (nobody)", "LOGIN_FAILED refused "+addr+" rest=1 (nobody)", "LOGIN_FAILED refused "+addr+" rest=1 (nobody)")
				}
			})
		}
	})
	want := answers["unknown"]
	if len(want) != 11 || want[0].Kind != portal.ProblemCredentials || want[0] != want[2] || want[3].Public != want[0].Public+" One more that is wrong pauses it." || !want[0].Held ||
		want[4].Kind != portal.ProblemLimit || want[4].After != 30*time.Minute || want[4] != want[6] || !want[4].Held ||
		want[7].After != time.Hour || want[9].After != time.Minute || want[10].After != 2*time.Hour {
		t.Fatalf("an unknown address is answered %+v", want)
	}
	for _, s := range states {
		if got := answers[s.name]; !slices.Equal(got, want) {
			t.Errorf("%s is answered\n%+v\nand an unknown address\n%+v", s.name, got, want)
		}
	}
}

// RL-02, REG-06: spellings of an address are one account and one purse.
func TestSpellingsOfAnAddressShareOnePurse(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{true, false} {
		h := testenv.NewHouse(t, testenv.Plan{})
		tenant := testenv.Tenant(t)
		if known {
			h.Person(t, tenant, testenv.Visitor{})
		}
		b := open(h, &tenant, "203.0.113.7")
		for i, spelling := range []string{"ann@buyer.example", "ANN@BUYER.EXAMPLE", " Ann@Buyer.Example\t", "aNn@ｂｕｙｅｒ.example"} {
			if _, err := b.signIn(spelling, "wrong"); kind(t, err) != portal.ProblemCredentials {
				t.Errorf("known %v, guess %d: %v", known, i+1, err)
			}
		}
		if _, err := b.signIn("ann@buyer。example", "wrong"); kind(t, err) != portal.ProblemLimit {
			t.Errorf("known %v: five spellings are not one purse: %v", known, err)
		}
		if _, err := b.signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemLimit {
			t.Errorf("known %v: %v", known, err)
		}
		// Another tenant's twin shares nothing (TEN-08).
		other := testenv.Tenant(t)
		h.Person(t, other, testenv.Visitor{})
		open(h, &other, "203.0.113.7").in(t, "ann@buyer.example", testenv.Password)
	}
}

// What is no address and no password is told so before anything is asked or counted.
func TestInputThatCannotBeRightCostsNothing(t *testing.T) {
	t.Parallel()
	proxy, address := testenv.ProxyPostgres(t, testenv.Database(t).AppURL)
	h := testenv.NewHouse(t, testenv.Plan{DatabaseURL: address})
	tenant := testenv.Tenant(t)
	proxy.Cut() // whoever asks the database now is answered otherwise
	for _, c := range []struct{ email, password, field string }{
		{"", "x", "email"}, {"ann", "x", "email"}, {"a@b@c.example", "x", "email"}, {"ann@buyer.example, bob@buyer.example", "x", "email"}, {"al\u0131ce@buyer.example", "x", "email"},
		{"ann@buyer.example", "", "password"}, {"ann@buyer.example", string(make([]byte, 1<<20)), "password"}, {"ann@buyer.example", "\xff", "password"},
	} {
		_, err := open(h, &tenant, "203.0.113.7").signIn(c.email, c.password)
		if got := refusal(t, err); got.Kind != portal.ProblemInput || got.Field != c.field || got.Held {
			t.Errorf("%q: %+v", c.email, got)
		}
	}
	if s := h.Hasher.Stats(); s.Done != 0 {
		t.Errorf("%d hashes were computed", s.Done)
	}
}

// M04: the rest holds for the right password too, ends by itself, and a good sign-in empties the purse; the ERP's
// columns tell the truth all along and never reach the number at which its old trigger strikes.
func TestTheRightPasswordDuringARestIsRefusedAndAfterItEmptiesThePurse(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	id := h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "203.0.113.7")
	says := func(want int, until time.Time) {
		t.Helper()
		if n, at := mirror(t, h, id); n != want || !at.Equal(until) {
			t.Errorf("the ERP's columns say %d failures, locked until %s; want %d, %s", n, at, want, until)
		}
	}
	for i := range 4 {
		if _, err := b.signIn("ann@buyer.example", "wrong"); kind(t, err) != portal.ProblemCredentials {
			t.Fatal(err)
		}
		says(i+1, time.Time{})
	}
	if _, err := b.signIn("ann@buyer.example", "wrong"); kind(t, err) != portal.ProblemLimit {
		t.Fatal(err)
	}
	until := h.Clock.Now().Add(30 * time.Minute)
	says(5, until)
	h.Clock.Advance(30*time.Minute - time.Second)
	if _, err := b.signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemLimit || refusal(t, err).After != time.Second {
		t.Fatalf("a second before its end: %v", err)
	}
	says(5, until)
	h.Clock.Advance(time.Second)
	b.in(t, "ann@buyer.example", testenv.Password)
	says(0, time.Time{})
	fresh := open(h, &tenant, "203.0.113.8")
	for range 4 {
		if _, err := fresh.signIn("ann@buyer.example", "wrong"); kind(t, err) != portal.ProblemCredentials {
			t.Fatalf("the purse was not emptied: %v", err)
		}
	}
	says(4, time.Time{})
	fresh.in(t, "ann@buyer.example", testenv.Password)
	says(0, time.Time{})
	trailed(t, h, tenant, "5 × LOGIN_FAILED refused 203.0.113.7", "ACCOUNT_LOCKED refused 203.0.113.7 suspicious", "LOGIN_FAILED refused 203.0.113.7 rest=1 (nobody)",
		"LOGIN ok 203.0.113.7", "4 × LOGIN_FAILED refused 203.0.113.8", "LOGIN ok 203.0.113.8")
}

// RL-05: a stranger who trips the limit stops neither the owner's sessions nor a browser the owner is known on; that
// browser has a purse of its own, which its success empties and no stranger's does.
func TestAKnownDeviceHasAPurseOfItsOwn(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	id := h.Person(t, tenant, testenv.Visitor{})
	h.Person(t, tenant, testenv.Visitor{Email: "bob@buyer.example"})
	ann, stranger := open(h, &tenant, "203.0.113.7"), open(h, &tenant, "198.51.100.9")
	ann.in(t, "ann@buyer.example", testenv.Password)
	for range 20 {
		_, _ = stranger.signIn("ann@buyer.example", "wrong")
	}
	resting := func() {
		t.Helper()
		if _, err := open(h, &tenant, "198.51.100.10").signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemLimit {
			t.Errorf("strangers do not rest: %v", err)
		}
		if n, until := mirror(t, h, id); n != 5 || !until.After(h.Clock.Now()) {
			t.Errorf("the ERP's columns say %d failures, until %s", n, until)
		}
	}
	resting()
	if _, ok := ann.session(t); !ok {
		t.Error("the open session was stopped")
	}
	ann.in(t, "ann@buyer.example", testenv.Password)
	resting()
	// The device of somebody else, and one that nobody has, are strangers.
	bob := open(h, &tenant, "198.51.100.11")
	bob.in(t, "bob@buyer.example", testenv.Password)
	if _, err := bob.signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemLimit {
		t.Errorf("with Bob's device: %v", err)
	}
	forged := open(h, &tenant, "198.51.100.12")
	forged.device = portal.DeviceToken(make([]byte, 32))
	if _, err := forged.signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemLimit {
		t.Errorf("with a forged device: %v", err)
	}
	// The known device may fail as often as anybody, and no more.
	for range 4 {
		if _, err := ann.signIn("ann@buyer.example", "wrong"); kind(t, err) != portal.ProblemCredentials {
			t.Fatal(err)
		}
	}
	if _, err := ann.signIn("ann@buyer.example", "wrong"); kind(t, err) != portal.ProblemLimit {
		t.Errorf("a fifth failure on the known device: %v", err)
	}
	if _, err := ann.signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemLimit {
		t.Errorf("the right password while the known device rests: %v", err)
	}
	resting()
	h.Clock.Advance(31 * time.Minute)
	ann.in(t, "ann@buyer.example", testenv.Password)
	if n, _ := mirror(t, h, id); n != 5 {
		t.Errorf("a known device's success wiped out what strangers did: %d failures", n)
	}
	trailed(t, h, tenant, "3 × LOGIN ok 203.0.113.7", "LOGIN ok 198.51.100.11", "5 × LOGIN_FAILED refused 198.51.100.9", "ACCOUNT_LOCKED refused 198.51.100.9 suspicious",
		"LOGIN_FAILED refused 198.51.100.9 rest=15 (nobody)", "LOGIN_FAILED refused 198.51.100.10 rest=3 (nobody)", "LOGIN_FAILED refused 198.51.100.11 rest=1 (nobody)",
		"LOGIN_FAILED refused 198.51.100.12 rest=1 (nobody)", "5 × LOGIN_FAILED refused 203.0.113.7", "ACCOUNT_LOCKED refused 203.0.113.7 suspicious", "LOGIN_FAILED refused 203.0.113.7 rest=1 (nobody)")
}

// RL-04: guesses released at once at two gateways are never checked more often than the purse allows.
func TestTwoHundredParallelGuessesAreFiveChecks(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	gates := []*testenv.House{h, h.Neighbour(t)}
	before := gates[0].Hasher.Stats().Done + gates[1].Hasher.Stats().Done
	var all sync.WaitGroup
	var mu sync.Mutex
	kinds := map[portal.ProblemKind]int{}
	gate := make(chan struct{})
	for i := range 200 {
		b := open(gates[i%2], &tenant, "203.0.113.7")
		all.Go(func() {
			<-gate
			_, err := b.signIn("ann@buyer.example", fmt.Sprintf("guess %d", i))
			mu.Lock()
			defer mu.Unlock()
			kinds[kind(t, err)]++
		})
	}
	close(gate)
	all.Wait()
	done := gates[0].Hasher.Stats().Done + gates[1].Hasher.Stats().Done - before
	if done > 5 || kinds[portal.ProblemCredentials] > 5 || kinds[portal.ProblemLimit] == 0 || kinds[""] != 0 {
		t.Errorf("%d checks; answers %v", done, kinds)
	}
	if _, err := open(h, &tenant, "203.0.113.8").signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemLimit {
		t.Errorf("after them: %v", err)
	}
}

// While every place is taken the limits for strangers are not drawn on: who was told to come again in a few seconds gets
// in then.
func TestWhoFoundNoPlaceIsNotKeptOutAfterwards(t *testing.T) {
	t.Parallel()
	policy := portal.DefaultPolicy()
	policy.Limits.SignInsTenant, policy.Limits.SignInsNetwork = 5, 5
	h := testenv.NewHouse(t, testenv.Plan{Policy: &policy})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "203.0.113.7")
	var taken []func()
	for {
		leave, err := h.Hasher.Enter()
		if err != nil {
			break
		}
		taken = append(taken, leave)
	}
	for range 20 {
		if _, err := b.signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemBusy {
			t.Fatalf("%v", err)
		}
	}
	for _, leave := range taken {
		leave()
	}
	b.in(t, "ann@buyer.example", testenv.Password)
	for range 4 { // what is answered counts as ever
		_, _ = open(h, &tenant, "203.0.113.7").signIn("ann@buyer.example", testenv.Password)
	}
	if _, err := open(h, &tenant, "203.0.113.7").signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemLimit {
		t.Errorf("the sixth: %v", err)
	}
}

// A check that could not be made costs nobody a try (DOS-01).
func TestABusyPoolCostsNobodyATry(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	id := h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "203.0.113.7")
	quiet := h.Auth.Hasher
	busy, err := password.New(password.Config{Memory: 64 * 1024, Passes: 8, Slots: 1, Queue: 1, Wait: time.Nanosecond, Pepper: h.Keys.Pepper(h.Clock.Now)})
	if err != nil {
		t.Fatal(err)
	}
	typed, err := password.Prepare("x")
	if err != nil {
		t.Fatal(err)
	}
	h.Auth.Hasher = busy
	refused, entered := 0, 0
	for refused < 8 && entered < 40 { // more often than the purse would bear
		done := make(chan error, 1)
		go func() { done <- busy.Decoy(context.Background(), typed) }()
		for busy.Stats().Running == 0 && len(done) == 0 {
			runtime.Gosched()
		}
		_, err := b.signIn("ann@buyer.example", testenv.Password)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if err == nil { // the pool was free again before it was asked
			entered++
			continue
		}
		refused++
		if got := refusal(t, err); got.Kind != portal.ProblemBusy || got.After == 0 {
			t.Fatalf("%+v", got)
		}
	}
	if refused < 8 {
		t.Fatalf("the pool was busy %d times only", refused)
	}
	h.Auth.Hasher = quiet
	var failures int
	h.DB.Row(t, `select coalesce(max(failures), 0) from portalgate.lockouts where tenant_id = $1`, []any{tenant.ID}, &failures)
	if n, until := mirror(t, h, id); failures != 0 || n != 0 || !until.IsZero() {
		t.Errorf("%d failures were paid, the ERP's columns say %d", failures, n)
	}
	b.in(t, "ann@buyer.example", testenv.Password)
	trailed(t, h, tenant, fmt.Sprintf("%d × LOGIN ok 203.0.113.7", entered+1))
}

// hook is a keyed step that lets a test act in the middle of a check.
type hook struct {
	password.Pepper
	act func()
}

func (k hook) Mac(id string, b []byte) ([]byte, error) {
	k.act()
	return k.Pepper.Mac(id, b)
}

// A password that was changed, or a person switched off, while the old password was being checked: nobody gets in.
func TestAPasswordChangedDuringTheSignInIsRefused(t *testing.T) {
	t.Parallel()
	for name, deed := range map[string]string{
		"our hash":     `update portalgate.credentials set version = version + 1 where user_id = $1`,
		"the ERP's":    `update customer_users set password_hash = '$2b$04$N2RRL3IPeqmRGuXSRz1EhOSlBBmcFwsLu7oQiAM82wZN53hVwdscq' where id = $1`,
		"switched off": `update customer_users set is_active = false where id = $1`,
	} {
		h := testenv.NewHouse(t, testenv.Plan{})
		tenant := testenv.Tenant(t)
		id := h.Person(t, tenant, testenv.Visitor{})
		once := sync.OnceFunc(func() { h.DB.Exec(t, deed, id) })
		var err error
		h.Auth.Hasher, err = password.New(password.Config{Memory: 64, Passes: 1, Pepper: hook{h.Keys.Pepper(h.Clock.Now), once}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := open(h, &tenant, "203.0.113.7").signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemCredentials {
			t.Errorf("%s: %v", name, err)
		}
		trailed(t, h, tenant, "LOGIN_FAILED refused 203.0.113.7")
		var sessions int
		h.DB.Row(t, `select count(*) from portalgate.sessions where tenant_id = $1`, []any{tenant.ID}, &sessions)
		if sessions != 0 {
			t.Errorf("%s: a session began", name)
		}
	}
}

// With PostgreSQL away nobody is told anything but that, and when to come again.
func TestWithoutTheDatabaseNobodySignsIn(t *testing.T) {
	t.Parallel()
	proxy, address := testenv.ProxyPostgres(t, testenv.Database(t).AppURL)
	h := testenv.NewHouse(t, testenv.Plan{DatabaseURL: address})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "203.0.113.7")
	ses := b.in(t, "ann@buyer.example", testenv.Password)
	for name, fault := range map[string]func(){"cut": proxy.Cut, "stalled": proxy.Stall} {
		fault()
		began := time.Now()
		var all sync.WaitGroup
		for what, ask := range map[string]func() error{
			"signing in":       func() error { _, err := b.signIn("ann@buyer.example", testenv.Password); return err },
			"a wrong password": func() error { _, err := b.signIn("ann@buyer.example", "wrong"); return err },
			"an unknown one":   func() error { _, err := b.signIn("nobody@buyer.example", "wrong"); return err },
			"changing": func() error {
				_, err := h.Auth.ChangePassword(t.Context(), &tenant, b.client(), ses, testenv.Password, "A new phrase")
				return err
			},
			"ending a session": func() error { return h.Auth.EndSession(t.Context(), &tenant, b.client(), ses, ses.ID) },
			"signing out":      func() error { return h.Auth.SignOut(t.Context(), &tenant, b.client(), b.cookies, false) },
		} {
			all.Go(func() {
				var p *portal.Problem
				if err := ask(); !errors.As(err, &p) || p.Kind != portal.ProblemUnavailable || p.RetryAfter == 0 {
					t.Errorf("%s, %s: %v", name, what, err)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took > 6*time.Second { // two seconds are promised for each question to the database
			t.Errorf("%s: the answers took %s", name, took)
		}
		proxy.Heal()
	}
	b.in(t, "ann@buyer.example", testenv.Password)
}

// AUD-02, DOS-04: however many refusals and unknown addresses there are, the trail grows by one row per network, tenant
// and minute, and only when the minute is written.
func TestRefusalsAreOneCountedRowPerNetworkTenantAndMinute(t *testing.T) {
	t.Parallel()
	proxy, address := testenv.ProxyPostgres(t, testenv.Database(t).AppURL)
	h := testenv.NewHouse(t, testenv.Plan{DatabaseURL: address})
	h.Clock.Set(h.Clock.Now().Truncate(time.Minute))
	one, two := testenv.Tenant(t), testenv.Tenant(t)
	guess := func(tenant *portal.Tenant, addr, email string, n int) {
		t.Helper()
		for range n {
			if _, err := open(h, tenant, addr).signIn(email, "wrong"); err == nil {
				t.Fatal("gets in")
			}
		}
	}
	guess(&one, "203.0.113.7", "a@nobody.example", 40)
	guess(&one, "203.0.113.8", "b@nobody.example", 3)
	guess(&one, "2001:db8:1:2::1", "c@nobody.example", 2)
	guess(&one, "2001:db8:1:2:ffff::9", "c@nobody.example", 2)
	guess(&two, "203.0.113.7", "a@nobody.example", 2)
	trail1 := []string{"LOGIN_FAILED refused 203.0.113.7 unknown_address=5 rest=35 (nobody)", "LOGIN_FAILED refused 203.0.113.8 unknown_address=3 (nobody)",
		"LOGIN_FAILED refused 2001:db8:1:2::1 unknown_address=4 (nobody)"}
	if got := trail(t, h, one); len(got) != 0 {
		t.Errorf("within the minute the trail has %d rows", len(got))
	}
	// While the database is away the counts are kept.
	proxy.Cut()
	if err := h.Auth.Settle(t.Context()); err == nil {
		t.Error("written without a database")
	}
	proxy.Heal()
	trailed(t, h, one, trail1...)
	trailed(t, h, two, "LOGIN_FAILED refused 203.0.113.7 unknown_address=2 (nobody)")
	h.Clock.Advance(time.Minute)
	guess(&one, "203.0.113.7", "a@nobody.example", 6)
	trailed(t, h, one, append(trail1, "LOGIN_FAILED refused 203.0.113.7 rest=6 (nobody)")...)
	// A limit's refusals are counted like a rest's, and ask no database at all.
	var last error
	for i := 0; i < 400; i++ {
		if _, last = open(h, &two, "192.0.2.1").signIn(fmt.Sprintf("%d@nobody.example", i), "wrong"); kind(t, last) == portal.ProblemLimit {
			break
		}
	}
	if kind(t, last) != portal.ProblemLimit || refusal(t, last).Public == "Please try again later." {
		t.Fatalf("no limit of the network: %v", last)
	}
	trips := h.Store.Trips()
	guess(&two, "192.0.2.1", "x@nobody.example", 50)
	if n := h.Store.Trips() - trips; n != 0 {
		t.Errorf("50 refusals by a limit asked the database %d times", n)
	}
	if err := h.Auth.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	var rows, limited int
	h.DB.Row(t, `select count(*), max((facts ->> 'limit')::int) from portalgate.events where tenant_id = $1 and host(address) = '192.0.2.1'`, []any{two.ID}, &rows, &limited)
	if rows != 1 || limited != 51 {
		t.Errorf("%d rows, %d refusals by a limit", rows, limited)
	}
}

// TIM-01: whatever the answer, it is held until the same moment; when the work took longer, until the next.
func TestEveryAnswerToAGuessIsHeldUntilTheSameMoment(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{AnswerAfter: 250 * time.Millisecond})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	for _, took := range []struct{ work, release time.Duration }{{0, 250}, {249, 250}, {250, 500}, {499, 500}, {700, 750}, {1000, 1250}} {
		at := h.Clock.Now()
		h.Auth.Now = func() time.Time { return at.Add(took.work * time.Millisecond) }
		want := at.Add(took.release * time.Millisecond)
		b := open(h, &tenant, "203.0.113.7")
		out, err := b.signIn("ann@buyer.example", testenv.Password)
		if err != nil || !out.Release.Equal(want) {
			t.Errorf("after %d ms of work the right password is released %s after its arrival: %v", took.work, out.Release.Sub(at), err)
		}
		for _, email := range []string{"ann@buyer.example", "nobody@buyer.example"} {
			_, err := open(h, &tenant, "203.0.113.7").signIn(email, "wrong")
			var held *auth.Held
			if !errors.As(err, &held) || !held.Release.Equal(want) {
				t.Errorf("after %d ms of work %s is not released at that moment: %v", took.work, email, err)
			}
		}
		if _, err := h.Auth.ChangePassword(t.Context(), &tenant, b.client(), portal.Session{User: out.Grant.Session.User, Choices: out.Grant.Session.Choices}, "wrong", "A new phrase"); !errors.As(err, new(*auth.Held)) {
			t.Errorf("a wrong current password is not held: %v", err)
		}
		h.Clock.Advance(25 * time.Hour)
	}
}
