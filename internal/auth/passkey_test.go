package auth_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/testenv"
)

// addPasskey adds a passkey on a device.
func (b *browser) addPasskey(t testing.TB, k *testenv.Passkey) auth.Added {
	t.Helper()
	h := b.holder(t)
	set, err := b.house.Auth.Begin(t.Context(), b.tenant, b.client(), h, portal.FactorWebAuthn, "")
	if err != nil {
		t.Fatal("beginning: ", err)
	}
	added, err := b.house.Auth.Confirm(t.Context(), b.tenant, b.client(), h, portal.FactorWebAuthn, k.Answer(t, h.Origin, set.Show), "")
	if err != nil {
		t.Fatal("confirming: ", err)
	}
	b.took(added.Outcome, nil)
	return added
}

// options asks for a sign-in by passkey.
func (b *browser) options(t testing.TB) any {
	t.Helper()
	show, given, err := b.house.Auth.EnterOptions(context.Background(), b.tenant, b.client(), auth.Holder{Attempt: b.attempt, Origin: "https://" + b.tenant.Canonical()})
	if err != nil {
		t.Fatal("asking for options: ", err)
	}
	if given != nil {
		b.attempt = given.Reveal()
	}
	return show
}

// enter signs in with what a device has answered.
func (b *browser) enter(credential string) (auth.Outcome, error) {
	out, err := b.house.Auth.Enter(context.Background(), b.tenant, b.client(), b.cookies, auth.Holder{Attempt: b.attempt, Origin: "https://" + b.tenant.Canonical()}, credential, auth.Credentials{})
	b.took(out, err)
	return out, err
}

// withPasskey signs somebody in who adds a passkey.
func withPasskey(t testing.TB, h *testenv.House, tenant *portal.Tenant, email string) (*browser, *testenv.Passkey) {
	t.Helper()
	b, k := open(h, tenant, "203.0.113.7"), &testenv.Passkey{}
	b.in(t, email, testenv.Password)
	b.prove(t)
	b.addPasskey(t, k)
	return b, k
}

// WA-01, WA-03, LOG-07: a passkey that has verified its owner is a sign-in by itself, with two proofs; each question is
// answered once, in the browser and at the tenant that asked, and within five minutes.
func TestAPasskeyIsAWayInByItself(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant, elsewhere := testenv.Tenant(t), testenv.Tenant(t)
	id := h.Person(t, tenant, testenv.Visitor{})
	h.Person(t, elsewhere, testenv.Visitor{})
	_, k := withPasskey(t, h, &tenant, "ann@buyer.example")
	origin := "https://" + tenant.Canonical()

	b := open(h, &tenant, "203.0.113.8")
	answer := k.Answer(t, origin, b.options(t))
	cookie := b.attempt
	if out, err := b.enter(answer); err != nil || out.Step != portal.StepDone {
		t.Fatalf("%q, %v", out.Step, err)
	}
	if ses, ok := b.session(t); !ok || portal.JoinAMR(ses.AMR) != "webauthn,mfa" || ses.MFAAt.IsZero() {
		t.Errorf("the session is %+v", ses)
	}
	refused := func(what string, x *browser, credential string) {
		t.Helper()
		if _, err := x.enter(credential); kind(t, err) != portal.ProblemCredentials {
			t.Errorf("%s: %v", what, err)
		}
	}
	again := open(h, &tenant, "203.0.113.9")
	again.attempt = cookie
	refused("the same answer again", again, answer)

	one, two := open(h, &tenant, "203.0.113.10"), open(h, &tenant, "203.0.113.11")
	first := k.Answer(t, origin, one.options(t))
	two.options(t)
	refused("the answer to another browser's question", two, first)
	refused("a question whose browser has lost its cookie", open(h, &tenant, "203.0.113.12"), first)
	there := open(h, &elsewhere, "203.0.113.13")
	there.options(t)
	refused("at another tenant", there, first)
	refused("what was not even asked right", one, "{}")
	late := open(h, &tenant, "203.0.113.14")
	slow := k.Answer(t, origin, late.options(t))
	h.Clock.Advance(5 * time.Minute)
	refused("after five minutes", late, slow)

	k.Unverified = true
	unsure := open(h, &tenant, "203.0.113.15")
	refused("a device that has not verified its owner", unsure, k.Answer(t, origin, unsure.options(t)))
	k.Unverified = false
	h.DB.Exec(t, `update public.customer_users set is_active = false where id = $1`, id)
	blocked := open(h, &tenant, "203.0.113.16")
	refused("somebody who may not be here any more", blocked, k.Answer(t, origin, blocked.options(t)))
	h.DB.Exec(t, `update public.customer_users set is_active = true where id = $1`, id)

	var rows int
	h.DB.Row(t, `select count(*) from portalgate.challenges where tenant_id = $1 and purpose = 'enter' and tries > 0 and expires_at > $2`, []any{tenant.ID, h.Clock.Now()}, &rows)
	if rows != 0 { // each was spent, or is too old
		t.Errorf("%d questions can still be answered", rows)
	}
}

// RL-05, CVE class of locked-out owners: while passwords and codes rest, the owner's passkey works.
func TestAPasskeyWorksWhilePasswordsAndCodesRest(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	owner, k := withPasskey(t, h, &tenant, "ann@buyer.example")
	a, _ := owner.addApp(t)
	h.Clock.Advance(step)
	for i := range 5 { // who knows the password guesses codes, and who does not guesses passwords
		thief := open(h, &tenant, fmt.Sprintf("198.51.100.%d", i+1))
		thief.start(t, "ann@buyer.example", testenv.Password)
		_, _ = thief.answer(t, portal.FactorTOTP, a.wrong(h.Clock.Now()))
	}
	for i := range 6 {
		_, _ = open(h, &tenant, fmt.Sprintf("198.51.100.%d", i+50)).signIn("ann@buyer.example", "not the password")
	}
	b := open(h, &tenant, "192.0.2.44")
	if _, err := b.signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemLimit {
		t.Fatalf("passwords do not rest: %v", err)
	}
	if out, err := b.enter(k.Answer(t, "https://"+tenant.Canonical(), b.options(t))); err != nil || out.Grant == nil {
		t.Errorf("the passkey: %v", err)
	}
	var rests int
	h.DB.Row(t, `select count(*) from portalgate.lockouts where tenant_id = $1 and rests_until > $2`, []any{tenant.ID, h.Clock.Now()}, &rests)
	if rests != 2 {
		t.Errorf("%d purses rest: the passkey's success is nobody else's", rests)
	}
}

// As the second step a passkey is asked for first, holding it is enough, and one answer is good for one sign-in, however
// many come with it.
func TestAPasskeyIsTheSecondStepOnce(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	_, k := withPasskey(t, h, &tenant, "ann@buyer.example")
	k.Unverified = true
	gates := []*testenv.House{h, h.Neighbour(t)}
	b := open(h, &tenant, "203.0.113.8")
	if out := b.start(t, "ann@buyer.example", testenv.Password); out.Step != portal.StepSecond {
		t.Fatal(out.Step)
	}
	if q, err := h.Auth.Second(t.Context(), &tenant, b.client(), b.holder(t), "", false); err != nil || q.Kind != portal.FactorWebAuthn || !q.Script || len(q.Others) != 1 {
		t.Errorf("asked is %+v: %v", q, err)
	}
	show, err := h.Auth.Options(t.Context(), &tenant, b.client(), b.holder(t))
	if err != nil {
		t.Fatal(err)
	}
	answer := k.Answer(t, "https://"+tenant.Canonical(), show)
	var (
		all sync.WaitGroup
		got atomic.Int64
	)
	gate := make(chan struct{})
	who := b.holder(t)
	for i := range 20 {
		all.Go(func() {
			<-gate
			g := gates[i%2]
			out, err := g.Auth.Answer(context.Background(), &tenant, b.client(), session.Cookies{}, who, auth.Answer{Kind: portal.FactorWebAuthn, Text: answer})
			if err == nil && out.Grant != nil {
				got.Add(1)
			}
		})
	}
	close(gate)
	all.Wait()
	if got.Load() != 1 || alive(t, h, tenant) != 2 {
		t.Errorf("%d of twenty got in, %d sessions", got.Load(), alive(t, h, tenant))
	}
}

// WA-05: a counter that goes back is a copy. It opens nothing, the trail says so, and the owner hears of it.
func TestACopiedPasskeyOpensNothingAndIsTold(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	b, k := open(h, &tenant, "203.0.113.7"), &testenv.Passkey{Counts: true}
	b.in(t, "ann@buyer.example", testenv.Password)
	b.prove(t)
	b.addPasskey(t, k)
	origin := "https://" + tenant.Canonical()
	copied := *k
	for range 3 {
		if _, err := b.enter(k.Answer(t, origin, b.options(t))); err != nil {
			t.Fatal(err)
		}
	}
	h.Courier(t, tenant.ID)
	thief := open(h, &tenant, "198.51.100.1")
	if _, err := thief.enter(copied.Answer(t, origin, thief.options(t))); kind(t, err) != portal.ProblemCredentials || !strings.Contains(err.Error(), "copied") {
		t.Errorf("the copy: %v", err)
	}
	var trail, told int
	h.DB.Row(t, `select count(*) from public.customer_activity_log where tenant_id = $1 and activity_type = 'MFA_ALARM' and is_suspicious`, []any{tenant.ID}, &trail)
	for _, m := range h.Courier(t, tenant.ID) {
		if m.Kind == portal.LetterWrongFactor {
			told++
		}
	}
	if trail != 1 || told != 1 {
		t.Errorf("%d rows of the trail, %d mails", trail, told)
	}
}

// WA-06: a passkey that somebody in the tenant has is not taken for another, in the database and not by a look before.
func TestAPasskeyIsOnePersons(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	h.Person(t, tenant, testenv.Visitor{Email: "bob@buyer.example"})
	_, k := withPasskey(t, h, &tenant, "ann@buyer.example")
	bob := open(h, &tenant, "203.0.113.9")
	bob.in(t, "bob@buyer.example", testenv.Password)
	bob.prove(t)
	who := bob.holder(t)
	set, err := h.Auth.Begin(t.Context(), &tenant, bob.client(), who, portal.FactorWebAuthn, "")
	if err != nil {
		t.Fatal(err)
	}
	same := &testenv.Passkey{ID: k.ID}
	if _, err := h.Auth.Confirm(t.Context(), &tenant, bob.client(), who, portal.FactorWebAuthn, same.Answer(t, who.Origin, set.Show), ""); kind(t, err) != portal.ProblemInput {
		t.Errorf("Ann's passkey becomes Bob's: %v", err)
	}
	var n int
	h.DB.Row(t, `select count(*) from portalgate.factors where tenant_id = $1 and kind = 'webauthn'`, []any{tenant.ID}, &n)
	if n != 1 {
		t.Errorf("%d passkeys", n)
	}
}

// The sign-in page asks for a passkey whenever somebody looks at it: of a browser there is one question, of a network so
// many in a quarter of an hour, and nothing that grows (DOS-04).
func TestLookingAtTheSignInPageFillsNoTable(t *testing.T) {
	t.Parallel()
	rule := portal.DefaultPolicy()
	rule.Limits.PasskeysNetwork = 20
	h := testenv.NewHouse(t, testenv.Plan{Policy: &rule})
	tenant := testenv.Tenant(t)
	b := open(h, &tenant, "203.0.113.7")
	for range 10 {
		b.options(t)
	}
	count := func() (n int) {
		h.DB.Row(t, `select count(*) from portalgate.challenges where tenant_id = $1`, []any{tenant.ID}, &n)
		return n
	}
	if n := count(); n != 1 {
		t.Errorf("%d questions of one browser", n)
	}
	refused := 0
	for range 30 {
		_, _, err := h.Auth.EnterOptions(t.Context(), &tenant, b.client(), auth.Holder{Origin: "https://" + tenant.Canonical()})
		if kind(t, err) == portal.ProblemLimit {
			refused++
		}
	}
	if n := count(); n != 11 || refused != 20 {
		t.Errorf("%d questions, %d refused", n, refused)
	}
	h.Clock.Advance(6 * time.Minute)
	open(h, &tenant, "203.0.113.8").options(t)
	if n := count(); n != 1 {
		t.Errorf("%d questions after those of before are too old", n)
	}
}
