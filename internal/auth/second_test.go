package auth_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/factor"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// app is an authenticator app: RFC 6238 in ten lines of its own, so that two mistakes would have to be the same one.
type app struct{ key []byte }

func scanned(t testing.TB, grouped string) app {
	t.Helper()
	key, err := base32.StdEncoding.DecodeString(strings.ReplaceAll(grouped, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return app{key}
}

func (a app) at(now time.Time) string {
	m := hmac.New(sha1.New, a.key)
	_ = binary.Write(m, binary.BigEndian, now.Unix()/30)
	sum := m.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[19]&15:]) & 0x7fffffff
	return fmt.Sprintf("%06d", n%1_000_000)
}

// wrong is a code that is right at no time near now.
func (a app) wrong(now time.Time) string {
	for n := 0; ; n++ {
		code, near := fmt.Sprintf("%06d", n), false
		for d := -20; d <= 20; d++ {
			near = near || a.at(now.Add(time.Duration(d)*30*time.Second)) == code
		}
		if !near {
			return code
		}
	}
}

const step = 30 * time.Second

// holder is the browser as the second step knows it.
func (b *browser) holder(t testing.TB) auth.Holder {
	t.Helper()
	h := auth.Holder{Attempt: b.attempt, Origin: "https://" + b.tenant.Canonical()}
	if b.attempt == "" {
		ses, ok := b.session(t)
		if !ok {
			t.Fatal("the browser has neither a session nor a sign-in under way")
		}
		h.Session = &ses
	}
	return h
}

// start types the password; what is left is behind the browser's cookie.
func (b *browser) start(t testing.TB, email, password string) auth.Outcome {
	t.Helper()
	b.cookies, b.attempt = session.Cookies{}, ""
	out, err := b.signIn(email, password)
	if err != nil {
		t.Fatalf("%s: %v", email, err)
	}
	if out.Attempt != nil {
		b.attempt = out.Attempt.Reveal()
	}
	return out
}

// answer sends a second proof.
func (b *browser) answer(t testing.TB, k portal.FactorKind, text string) (auth.Outcome, error) {
	t.Helper()
	return b.say(t, auth.Answer{Kind: k, Text: text})
}

func (b *browser) say(t testing.TB, in auth.Answer) (auth.Outcome, error) {
	t.Helper()
	out, err := b.house.Auth.Answer(context.Background(), b.tenant, b.client(), b.cookies, b.holder(t), in)
	b.took(out, err)
	return out, err
}

func (b *browser) took(out auth.Outcome, err error) {
	if err != nil {
		return
	}
	if out.Attempt != nil {
		b.attempt = out.Attempt.Reveal()
	}
	if out.Grant != nil {
		b.take(*out.Grant)
		b.attempt = ""
	}
}

// code is the newest code that was mailed to somebody.
func (b *browser) code(t testing.TB) string {
	t.Helper()
	b.house.Courier(t, b.tenant.ID)
	sent := b.house.Mail.Sent(b.tenant.ID)
	for i := len(sent) - 1; i >= 0; i-- {
		if code, _, ok := strings.Cut(sent[i].Subject, " is your "); ok {
			return code
		}
	}
	t.Fatal("no code was mailed")
	return ""
}

// prove shows that the browser's person reads their mail.
func (b *browser) prove(t testing.TB) {
	t.Helper()
	if err := b.house.Auth.Send(t.Context(), b.tenant, b.client(), b.holder(t), auth.KindMailbox, true); err != nil && kind(t, err) != portal.ProblemLimit {
		t.Fatal("asking for a code: ", err)
	}
	if _, err := b.say(t, auth.Answer{Kind: auth.KindMailbox, Text: b.code(t), Enrol: true}); err != nil {
		t.Fatal("proving the mailbox: ", err)
	}
}

// addApp adds an authenticator app, and returns it with the backup codes.
func (b *browser) addApp(t testing.TB) (app, []string) {
	t.Helper()
	set, err := b.house.Auth.Begin(t.Context(), b.tenant, b.client(), b.holder(t), portal.FactorTOTP, "")
	if err != nil {
		t.Fatal("beginning: ", err)
	}
	a := scanned(t, set.Show.(factor.Sheet).Key)
	added, err := b.house.Auth.Confirm(t.Context(), b.tenant, b.client(), b.holder(t), portal.FactorTOTP, a.at(b.house.Clock.Now()), "")
	if err != nil {
		t.Fatal("confirming: ", err)
	}
	b.took(added.Outcome, nil)
	return a, added.Codes
}

// withApp signs somebody in who adds an app, from a browser of their own.
func withApp(t testing.TB, h *testenv.House, tenant *portal.Tenant, email string) (*browser, app, []string) {
	t.Helper()
	b := open(h, tenant, "203.0.113.7")
	b.in(t, email, testenv.Password)
	b.prove(t)
	a, codes := b.addApp(t)
	h.Clock.Advance(step)
	return b, a, codes
}

// TOTP-01, LOG-04: a code works once, whatever it was for, and only a newer one after it; each proof begins a session.
func TestACodeOfAnAppWorksOnceWhateverItIsFor(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "203.0.113.7")
	before := b.in(t, "ann@buyer.example", testenv.Password)
	b.prove(t)
	old := *b
	a, codes := b.addApp(t)
	if ses, ok := b.session(t); !ok || ses.ID == before.ID || portal.JoinAMR(ses.AMR) != "pwd,otp,mfa" || ses.MFAAt.IsZero() || !ses.End.Equal(before.End) {
		t.Errorf("the session after an app was added is %+v", ses)
	}
	if _, ok := old.session(t); ok {
		t.Error("the session from before goes on")
	}
	if len(codes) != 8 {
		t.Errorf("%d backup codes", len(codes))
	}

	other := open(h, &tenant, "203.0.113.8")
	if out := other.start(t, "ann@buyer.example", testenv.Password); out.Step != portal.StepSecond || out.Grant != nil {
		t.Fatalf("a password alone leads to %q", out.Step)
	}
	if _, err := other.answer(t, portal.FactorTOTP, a.at(h.Clock.Now())); kind(t, err) != portal.ProblemCredentials {
		t.Errorf("the code that added the app opens the door: %v", err)
	}
	h.Clock.Advance(step)
	code := a.at(h.Clock.Now())
	pending := *other
	if out, err := other.answer(t, portal.FactorTOTP, code[:3]+" "+code[3:]); err != nil || out.Grant == nil {
		t.Fatalf("the right code: %v", err)
	}
	if _, err := pending.answer(t, portal.FactorTOTP, a.at(h.Clock.Now().Add(step))); kind(t, err) != portal.ProblemSessionRequired {
		t.Errorf("the sign-in under way is good for a second session: %v", err)
	}
	for name, when := range map[string]time.Time{"the same": h.Clock.Now(), "the one before": h.Clock.Now().Add(-step)} {
		third := open(h, &tenant, "203.0.113.9")
		third.start(t, "ann@buyer.example", testenv.Password)
		if _, err := third.answer(t, portal.FactorTOTP, a.at(when)); kind(t, err) != portal.ProblemCredentials {
			t.Errorf("%s code opens the door again: %v", name, err)
		}
	}
	if _, err := h.Auth.Answer(t.Context(), &tenant, b.client(), b.cookies, b.holder(t), auth.Answer{Kind: portal.FactorTOTP, Text: code}); err == nil {
		t.Error("a code that opened the door shows in a session that it is the owner")
	}
}

// TOTP-02: of fifty who come with the same code at the same moment, on two gateways and in as many sign-ins as may be under
// way, one gets in.
func TestOfFiftyWithOneCodeOneGetsIn(t *testing.T) {
	t.Parallel()
	rule := portal.DefaultPolicy()
	rule.Lockout.Free, rule.Lockout.Close = 90, 100
	h := testenv.NewHouse(t, testenv.Plan{Policy: &rule})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	_, a, codes := withApp(t, h, &tenant, "ann@buyer.example")
	gates := []*testenv.House{h, h.Neighbour(t)}
	for name, in := range map[string]auth.Answer{"an app's": {Kind: portal.FactorTOTP, Text: a.at(h.Clock.Now())}, "a backup": {Kind: portal.FactorBackup, Text: codes[0]}} {
		t.Run(name+" code", func(t *testing.T) {
			browsers := make([]*browser, 50)
			for i := range browsers {
				if i >= 10 {
					browsers[i] = browsers[i%10]
					continue
				}
				browsers[i] = open(gates[i%2], &tenant, fmt.Sprintf("203.0.113.%d", i+10))
				browsers[i].start(t, "ann@buyer.example", testenv.Password)
			}
			var (
				all sync.WaitGroup
				got atomic.Int64
			)
			gate := make(chan struct{})
			for _, b := range browsers {
				all.Go(func() {
					<-gate
					out, err := b.house.Auth.Answer(context.Background(), b.tenant, b.client(), b.cookies, auth.Holder{Attempt: b.attempt}, in)
					switch {
					case err == nil && out.Grant != nil:
						got.Add(1)
					case kind(t, err) == portal.ProblemSessionRequired: // this sign-in is over
					case kind(t, err) == portal.ProblemUnavailable: // they wait for each other, and on a slow machine some for too long
					case kind(t, err) != portal.ProblemCredentials && kind(t, err) != portal.ProblemLimit:
						t.Errorf("refused with %v", err)
					}
				})
			}
			close(gate)
			all.Wait()
			if got.Load() != 1 {
				t.Errorf("%d got in", got.Load())
			}
		})
	}
}

// LOG-02, TOTP-05: a right password alone is worth nothing but the second step: no page of second steps, nothing added,
// nothing changed (CVE-2026-44460).
func TestAPasswordAloneAddsNoSecondStepBesideTheOwners(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	withApp(t, h, &tenant, "ann@buyer.example")
	b := open(h, &tenant, "203.0.113.66")
	b.start(t, "ann@buyer.example", testenv.Password)
	who := b.holder(t)
	refused := func(what string, err error) {
		t.Helper()
		if err == nil {
			t.Errorf("%s works for somebody who has shown a password alone", what)
		}
	}
	_, err := h.Auth.Steps(t.Context(), &tenant, b.client(), who)
	refused("looking", err)
	for _, k := range []portal.FactorKind{portal.FactorTOTP, portal.FactorWebAuthn, portal.FactorEmail, portal.FactorSMS, portal.FactorBackup, "none"} {
		_, err = h.Auth.Begin(t.Context(), &tenant, b.client(), who, k, "+4915112345678")
		refused("beginning "+string(k), err)
		_, err = h.Auth.Confirm(t.Context(), &tenant, b.client(), who, k, "123456", "")
		refused("confirming "+string(k), err)
	}
	refused("a code to the mailbox", h.Auth.Send(t.Context(), &tenant, b.client(), who, auth.KindMailbox, true))
	_, err = h.Auth.FinishPassword(t.Context(), &tenant, b.client(), b.attempt, "Another long phrase 77")
	refused("another password", err)
	_, err = h.Auth.Resend(t.Context(), &tenant, b.client(), b.attempt)
	refused("another confirmation", err)
	_, err = h.Auth.Answer(t.Context(), &tenant, b.client(), b.cookies, who, auth.Answer{Kind: auth.KindPassword, Text: testenv.Password})
	refused("the password as second step", err)
	if n := alive(t, h, tenant); n != 1 {
		t.Errorf("%d sessions, and only the owner's should be alive", n)
	}
	var n int
	h.DB.Row(t, `select count(*) from portalgate.factors where tenant_id = $1`, []any{tenant.ID}, &n)
	if n != 2 { // the app and the backup codes
		t.Errorf("%d factors", n)
	}
}

// RL-03, RL-06, RL-07, BKP-03: wrong codes are counted apart from wrong passwords, by person: whatever the kind, the door
// and the browser, and however often the right password is typed in between. The owner's known device is not in it.
func TestWrongCodesOfAllKindsAndDoorsShareOnePurse(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	next := h.Neighbour(t)
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	owner, a, codes := withApp(t, h, &tenant, "ann@buyer.example")
	no := map[bool]string{true: "A", false: "B"}[codes[0][0] != 'A'] + codes[0][1:]
	tries := []auth.Answer{{Kind: portal.FactorTOTP, Text: a.wrong(h.Clock.Now())}, {Kind: portal.FactorBackup, Text: no}, {Kind: portal.FactorTOTP, Text: a.wrong(h.Clock.Now())}, {Kind: portal.FactorBackup, Text: no}}
	for i, in := range tries {
		b := open([]*testenv.House{h, next}[i%2], &tenant, fmt.Sprintf("198.51.100.%d", i+1))
		b.start(t, "ann@buyer.example", testenv.Password)
		if _, err := b.say(t, in); kind(t, err) != portal.ProblemCredentials {
			t.Errorf("try %d: %v", i+1, err)
		}
	}
	b := open(h, &tenant, "198.51.100.50")
	b.start(t, "ann@buyer.example", testenv.Password)
	if _, err := b.answer(t, portal.FactorTOTP, a.wrong(h.Clock.Now())); refusal(t, err).After != 30*time.Minute {
		t.Errorf("the fifth wrong code is answered %+v", refusal(t, err))
	}
	for _, in := range []auth.Answer{{Kind: portal.FactorTOTP, Text: a.at(h.Clock.Now())}, {Kind: portal.FactorBackup, Text: codes[0]}} {
		if _, err := b.say(t, in); kind(t, err) != portal.ProblemLimit {
			t.Errorf("while codes rest, a right one of kind %s is answered %v", in.Kind, err)
		}
	}
	if q, err := h.Auth.Second(t.Context(), &tenant, b.client(), b.holder(t), "", false); err != nil || !q.Rests.Equal(h.Clock.Now().Add(30*time.Minute)) {
		t.Errorf("the page says that codes rest until %s: %v", q.Rests, err)
	}
	// The password's purse has nothing of it, and the owner's browser goes on as before.
	var purses string
	h.DB.Row(t, `select string_agg(purse || '=' || failures, ' ' order by purse) from portalgate.lockouts where tenant_id = $1`, []any{tenant.ID}, &purses)
	if purses != "second:=5" {
		t.Errorf("purses: %s", purses)
	}
	owner.start(t, "ann@buyer.example", testenv.Password)
	if out, err := owner.answer(t, portal.FactorTOTP, a.at(h.Clock.Now())); err != nil || out.Grant == nil {
		t.Errorf("the owner's browser: %v", err)
	}
	h.Clock.Advance(31 * time.Minute)
	b.start(t, "ann@buyer.example", testenv.Password)
	if out, err := b.answer(t, portal.FactorTOTP, a.at(h.Clock.Now())); err != nil || out.Grant == nil {
		t.Errorf("after the rest: %v", err)
	}
}

// RL-01: at a hundred wrong codes they are shut for strangers, and nothing but another proof or an operator helps.
func TestAHundredWrongCodesShutThem(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	id := h.Person(t, tenant, testenv.Visitor{})
	_, a, codes := withApp(t, h, &tenant, "ann@buyer.example")
	b := open(h, &tenant, "198.51.100.1")
	checked := 0
	for range 120 {
		h.Clock.Advance(4*time.Hour + time.Minute)
		b.start(t, "ann@buyer.example", testenv.Password)
		if _, err := b.answer(t, portal.FactorTOTP, a.wrong(h.Clock.Now())); kind(t, err) != portal.ProblemLimit && kind(t, err) != portal.ProblemCredentials {
			t.Fatal(err)
		}
	}
	h.DB.Row(t, `select count(*) from public.customer_activity_log where tenant_id = $1 and activity_type = 'MFA_FAILED'`, []any{tenant.ID}, &checked)
	if checked != 100 {
		t.Errorf("%d wrong codes were checked", checked)
	}
	h.Clock.Advance(30 * 24 * time.Hour)
	b.start(t, "ann@buyer.example", testenv.Password)
	for _, in := range []auth.Answer{{Kind: portal.FactorTOTP, Text: a.at(h.Clock.Now())}, {Kind: portal.FactorBackup, Text: codes[0]}} {
		if _, err := b.say(t, in); kind(t, err) != portal.ProblemLimit {
			t.Errorf("a right code of kind %s opens what is shut: %v", in.Kind, err)
		}
	}
	operate(t, h, tenant, func(x *store.Tx) error {
		_, err := x.ResetFactors(t.Context(), id, "ann@buyer.example", store.Deed{Operator: "olga", Reason: "she called"})
		return err
	})
	if out := b.start(t, "ann@buyer.example", testenv.Password); out.Step != portal.StepDone {
		t.Errorf("after an operator has taken the second steps away: %s", out.Step)
	}
}

// operate runs something as an operator's command does.
func operate(t testing.TB, h *testenv.House, tenant portal.Tenant, act func(*store.Tx) error) {
	t.Helper()
	s, err := store.Open(h.DB.OperatorURL, store.Options{MaxConns: 2, Wait: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Within(t.Context(), tenant.ID, h.Clock.Now(), act); err != nil {
		t.Fatal(err)
	}
}

// TOTP-06: what checks a code opens in its own row alone, and a row that does not open is no way in.
func TestAStateCopiedIntoAnotherRowOpensNothing(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	h.Person(t, tenant, testenv.Visitor{Email: "bob@buyer.example"})
	_, a, _ := withApp(t, h, &tenant, "ann@buyer.example")
	withApp(t, h, &tenant, "bob@buyer.example")
	h.DB.Exec(t, `update portalgate.factors f set state = o.state from portalgate.factors o join public.customer_users u on u.id = o.user_id
		where u.email = 'ann@buyer.example' and o.kind = 'totp' and f.kind = 'totp' and f.tenant_id = $1 and o.tenant_id = $1 and f.id <> o.id`, tenant.ID)
	b := open(h, &tenant, "203.0.113.9")
	b.start(t, "bob@buyer.example", testenv.Password)
	out, err := b.answer(t, portal.FactorTOTP, a.at(h.Clock.Now()))
	if err == nil || out.Grant != nil {
		t.Fatal("Ann's app opens Bob's account")
	}
	if !strings.Contains(err.Error(), "sealed value does not open") || !strings.Contains(err.Error(), "factor ") {
		t.Errorf("the log says %v", err)
	}
	var leaks int
	h.DB.Row(t, `select count(*) from portalgate.factors where tenant_id = $1 and (state like '%' || $2 || '%' or facts::text like '%' || $2 || '%')`, []any{tenant.ID, base32.StdEncoding.EncodeToString(a.key)}, &leaks)
	if leaks > 0 {
		t.Error("a seed stands in the database as it is")
	}
}
