package auth_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/factor"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/testenv"
)

// OOB-01 to OOB-05: a code by mail is off until the tenant turns it on; works in the browser that asked and nowhere else,
// five tries and ten minutes; counts for nothing where a second step is required; and is nothing to whoever set the
// password by mail.
func TestACodeByMailIsBoundToWhoAskedAndProvesNoMoreThanTheMailbox(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	b, a, _ := withApp(t, h, &tenant, "ann@buyer.example")
	b.start(t, "ann@buyer.example", testenv.Password)
	if _, err := b.answer(t, portal.FactorTOTP, a.at(h.Clock.Now())); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Auth.Begin(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorEmail, ""); kind(t, err) != portal.ProblemInput {
		t.Errorf("a tenant that has not turned it on: %v", err)
	}
	tenant.MFA.EmailCodes = true
	h.Clock.Advance(2 * time.Minute)
	if _, err := h.Auth.Begin(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorEmail, ""); err != nil {
		t.Fatal(err)
	}
	if added, err := h.Auth.Confirm(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorEmail, b.code(t), ""); err != nil {
		t.Fatal(err)
	} else {
		b.took(added.Outcome, nil)
	}
	h.Clock.Advance(2 * time.Hour)
	one, two := open(h, &tenant, "203.0.113.21"), open(h, &tenant, "203.0.113.22")
	for _, x := range []*browser{one, two} {
		x.start(t, "ann@buyer.example", testenv.Password)
	}
	send := func(x *browser) error {
		return h.Auth.Send(t.Context(), &tenant, x.client(), x.holder(t), portal.FactorEmail, false)
	}
	if err := send(one); err != nil {
		t.Fatal(err)
	}
	first := one.code(t)
	if err := send(one); kind(t, err) != portal.ProblemLimit {
		t.Errorf("a second one at once: %v", err)
	}
	if _, err := two.answer(t, portal.FactorEmail, first); err == nil {
		t.Error("a code works in another browser than the one that asked")
	}
	h.Clock.Advance(time.Minute)
	if err := send(one); err != nil {
		t.Fatal(err)
	}
	second := one.code(t)
	for _, text := range []string{first, first, first} {
		if _, err := one.answer(t, portal.FactorEmail, text); kind(t, err) != portal.ProblemCredentials {
			t.Errorf("the code from before: %v", err)
		}
	}
	out, err := one.answer(t, portal.FactorEmail, second)
	if err != nil || out.Grant == nil {
		t.Fatal(err)
	}
	if ses, _ := one.session(t); portal.JoinAMR(ses.AMR) != "pwd,email" || !ses.MFAAt.IsZero() {
		t.Errorf("a session with a code by mail is %s, with a second proof at %s", portal.JoinAMR(ses.AMR), ses.MFAAt)
	}
	if _, err := h.Auth.Begin(t.Context(), &tenant, one.client(), one.holder(t), portal.FactorWebAuthn, ""); kind(t, err) != portal.ProblemMFARequired {
		t.Errorf("who has shown a code by mail and has an app adds another: %v", err)
	}

	h.Clock.Advance(time.Hour)
	two.start(t, "ann@buyer.example", testenv.Password)
	if err := send(two); err != nil {
		t.Fatal(err)
	}
	code := two.code(t)
	h.Clock.Advance(10 * time.Minute)
	if _, err := two.answer(t, portal.FactorEmail, code); err == nil {
		t.Error("a code works after ten minutes")
	}

	two.askReset(t, "ann@buyer.example")
	for _, m := range h.Courier(t, tenant.ID) {
		if m.Kind == portal.LetterRecover {
			if err := h.Auth.Reset(t.Context(), &tenant, two.client(), testenv.TokenIn(t, m, "/auth/reset-password"), fresh); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.Clock.Advance(2 * time.Hour)
	two.start(t, "ann@buyer.example", fresh)
	q, err := h.Auth.Second(t.Context(), &tenant, two.client(), two.holder(t), portal.FactorEmail, false)
	if err != nil || q.Kind != portal.FactorTOTP {
		t.Errorf("after a reset by mail the page asks for %q: %v", q.Kind, err)
	}
	for _, w := range q.Others {
		if w.Kind == portal.FactorEmail {
			t.Error("after a reset by mail a code by mail is offered")
		}
	}
	if err := send(two); err == nil {
		t.Error("after a reset by mail a code by mail is sent")
	}
	if _, err := two.answer(t, portal.FactorTOTP, a.at(h.Clock.Now())); err != nil {
		t.Error(err)
	}
	two.start(t, "ann@buyer.example", fresh)
	if err := send(two); err != nil {
		t.Errorf("once the app was shown: %v", err)
	}
}

// OOB-02, RL-04: of fifty who send one code of one sign-in at the same moment, to two gateways, one gets in, whichever way
// the code has come.
func TestOfFiftyWithOneCodeThatTravelledOneGetsIn(t *testing.T) {
	t.Parallel()
	rule := portal.DefaultPolicy()
	rule.Lockout.Free, rule.Lockout.Close = 90, 100
	h := testenv.NewHouse(t, testenv.Plan{Policy: &rule})
	gates := []*testenv.House{h, h.Neighbour(t)}
	tenant := testenv.Tenant(t)
	tenant.MFA.EmailCodes, tenant.MFA.SMSCodes = true, true
	h.Person(t, tenant, testenv.Visitor{})
	b, a, _ := withApp(t, h, &tenant, "ann@buyer.example")
	text := func() string {
		h.Courier(t, tenant.ID)
		sent := h.Text.Sent(tenant.ID)
		return sent[len(sent)-1].Text[:6]
	}
	for k, code := range map[portal.FactorKind]func() string{portal.FactorEmail: func() string { return b.code(t) }, portal.FactorSMS: text} {
		h.Clock.Advance(2 * time.Minute)
		b.start(t, "ann@buyer.example", testenv.Password)
		if _, err := b.answer(t, portal.FactorTOTP, a.at(h.Clock.Now())); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Auth.Begin(t.Context(), &tenant, b.client(), b.holder(t), k, "+4915112345678"); err != nil {
			t.Fatal(k, err)
		}
		added, err := h.Auth.Confirm(t.Context(), &tenant, b.client(), b.holder(t), k, code(), "")
		if err != nil {
			t.Fatal(k, err)
		}
		b.took(added.Outcome, nil)
		h.Clock.Advance(2 * time.Hour)
		b.start(t, "ann@buyer.example", testenv.Password)
		if err := h.Auth.Send(t.Context(), &tenant, b.client(), b.holder(t), k, false); err != nil {
			t.Fatal(k, err)
		}
		said, who := code(), b.holder(t)
		var (
			all sync.WaitGroup
			got atomic.Int64
		)
		gate := make(chan struct{})
		for i := range 50 {
			all.Go(func() {
				<-gate
				out, err := gates[i%2].Auth.Answer(context.Background(), &tenant, b.client(), session.Cookies{}, who, auth.Answer{Kind: k, Text: said})
				if err == nil && out.Grant != nil {
					got.Add(1)
				}
			})
		}
		close(gate)
		all.Wait()
		if got.Load() != 1 {
			t.Errorf("%s: %d of fifty got in", k, got.Load())
		}
		h.Clock.Advance(2 * time.Hour)
	}
}

// OOB-02: after five tries a code is void, however often another one is sent.
func TestAfterFiveTriesNoCodeOfThatSignInWorks(t *testing.T) {
	t.Parallel()
	rule := portal.DefaultPolicy()
	rule.Lockout.Free = 50 // the person's purse is another matter
	h := testenv.NewHouse(t, testenv.Plan{Policy: &rule})
	tenant := testenv.Tenant(t)
	tenant.MFA.EmailCodes = true
	h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "203.0.113.7")
	b.in(t, "ann@buyer.example", testenv.Password)
	b.prove(t)
	h.Clock.Advance(2 * time.Minute)
	if _, err := h.Auth.Begin(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorEmail, ""); err != nil {
		t.Fatal(err)
	}
	added, err := h.Auth.Confirm(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorEmail, b.code(t), "")
	if err != nil {
		t.Fatal(err)
	}
	b.took(added.Outcome, nil)
	h.Clock.Advance(2 * time.Hour)
	other := open(h, &tenant, "203.0.113.8")
	other.start(t, "ann@buyer.example", testenv.Password) // the code is sent with it: there is nothing stronger
	code := other.code(t)
	not := map[bool]string{true: "000000", false: "000001"}[code != "000000"]
	for i := range 4 {
		if _, err := other.answer(t, portal.FactorEmail, not); kind(t, err) != portal.ProblemCredentials {
			t.Errorf("try %d: %v", i, err)
		}
	}
	h.Clock.Advance(2 * time.Minute)
	if err := h.Auth.Send(t.Context(), &tenant, other.client(), other.holder(t), portal.FactorEmail, false); err != nil {
		t.Fatal(err)
	}
	if q, err := h.Auth.Second(t.Context(), &tenant, other.client(), other.holder(t), "", false); err != nil || q.Tries != 1 {
		t.Errorf("the page says that %d tries are left: %v", q.Tries, err)
	}
	if _, err := other.answer(t, portal.FactorEmail, not); kind(t, err) != portal.ProblemCredentials {
		t.Errorf("the fifth: %v", err)
	}
	if _, err := other.answer(t, portal.FactorEmail, other.code(t)); err == nil {
		t.Error("a sixth try opens the door, with the right code that was sent again")
	}
}

// OOB-05: codes by text message are off until the tenant turns them on and somebody carries them, never the only second
// step, and go to a number that was verified.
func TestACodeByTextMessageStandsBesideAnotherAndGoesToAVerifiedNumber(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	begin := func(b *browser, number string) error {
		_, err := h.Auth.Begin(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorSMS, number)
		return err
	}
	alone := open(h, &tenant, "203.0.113.6")
	alone.in(t, "ann@buyer.example", testenv.Password)
	alone.prove(t)
	tenant.MFA.SMSCodes = true
	if err := begin(alone, "+4915112345678"); kind(t, err) != portal.ProblemInput {
		t.Errorf("as the only second step: %v", err)
	}
	tenant.MFA.SMSCodes = false
	h.Clock.Advance(2 * time.Minute) // a person gets a code a minute
	b, _, _ := withApp(t, h, &tenant, "ann@buyer.example")
	if err := begin(b, "+4915112345678"); kind(t, err) != portal.ProblemInput {
		t.Errorf("a tenant that has not turned it on: %v", err)
	}
	tenant.MFA.SMSCodes, h.Text.None = true, true
	if err := begin(b, "+4915112345678"); kind(t, err) != portal.ProblemInput {
		t.Errorf("where nobody carries messages: %v", err)
	}
	h.Text.None = false
	if err := begin(b, "0151 12345678"); refusal(t, err).Field != "contact" {
		t.Errorf("a number without its country: %v", err)
	}
	if err := begin(b, "+49 151 1234-5678"); err != nil {
		t.Fatal(err)
	}
	code := func() string {
		t.Helper()
		h.Courier(t, tenant.ID)
		sent := h.Text.Sent(tenant.ID)
		if len(sent) == 0 || sent[len(sent)-1].To != "+4915112345678" {
			t.Fatalf("%d messages, and none to the number", len(sent))
		}
		return sent[len(sent)-1].Text[:6]
	}
	first := code()
	var n int
	h.DB.Row(t, `select count(*) from portalgate.factors where tenant_id = $1 and kind = 'sms'`, []any{tenant.ID}, &n)
	if n != 0 {
		t.Error("a number counts before its code was typed")
	}
	added, err := h.Auth.Confirm(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorSMS, first, "")
	if err != nil {
		t.Fatal(err)
	}
	b.took(added.Outcome, nil)
	h.Clock.Advance(2 * time.Hour)
	other := open(h, &tenant, "203.0.113.9")
	other.start(t, "ann@buyer.example", testenv.Password)
	if q, err := h.Auth.Second(t.Context(), &tenant, other.client(), other.holder(t), "", false); err != nil || q.Kind != portal.FactorTOTP {
		t.Errorf("asked first is %q: %v", q.Kind, err)
	}
	if err := h.Auth.Send(t.Context(), &tenant, other.client(), other.holder(t), portal.FactorSMS, false); err != nil {
		t.Fatal(err)
	}
	if _, err := other.answer(t, portal.FactorSMS, code()); err != nil {
		t.Fatal(err)
	}
	if ses, _ := other.session(t); portal.JoinAMR(ses.AMR) != "pwd,sms,mfa" {
		t.Errorf("the session says %s", portal.JoinAMR(ses.AMR))
	}
}

// A thousand wrong codes from a hundred addresses, by somebody who knows the password: a handful is looked at, nobody
// gets in, and the owner's browser works all the while.
func TestAThousandWrongCodesFromAHundredAddressesGetNowhere(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	next := h.Neighbour(t)
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	owner, a, _ := withApp(t, h, &tenant, "ann@buyer.example")
	wrong := a.wrong(h.Clock.Now())
	checked, rested := 0, 0
	for i := range 100 {
		b := open([]*testenv.House{h, next}[i%2], &tenant, fmt.Sprintf("198.51.100.%d", i+1))
		b.start(t, "ann@buyer.example", testenv.Password)
		for range 10 {
			switch _, err := b.answer(t, portal.FactorTOTP, wrong); kind(t, err) {
			case portal.ProblemCredentials:
				checked++
			case portal.ProblemLimit:
				rested++
			default:
				t.Fatal(err)
			}
		}
	}
	if checked != 4 || rested != 996 {
		t.Errorf("%d were answered as wrong, %d were not taken", checked, rested)
	}
	owner.start(t, "ann@buyer.example", testenv.Password)
	if out, err := owner.say(t, auth.Answer{Kind: portal.FactorTOTP, Text: a.at(h.Clock.Now())}); err != nil || out.Grant == nil {
		t.Errorf("the owner: %v", err)
	}
}

// Whoever has codes by mail and moves to another address is not kept out by a mailbox that they have left.
func TestACodeByMailIsNotAskedForOnceTheAddressIsAnother(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	tenant.MFA.EmailCodes = true
	id := h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "203.0.113.7")
	b.in(t, "ann@buyer.example", testenv.Password)
	b.prove(t)
	h.Clock.Advance(2 * time.Minute)
	if _, err := h.Auth.Begin(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorEmail, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Auth.Confirm(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorEmail, b.code(t), ""); err != nil {
		t.Fatal(err)
	}
	if out := b.start(t, "ann@buyer.example", testenv.Password); out.Step != portal.StepSecond {
		t.Fatalf("before: %q", out.Step)
	}
	h.DB.Exec(t, `update public.customer_users set email = 'amy@buyer.example' where id = $1`, id)
	if out := b.start(t, "amy@buyer.example", testenv.Password); out.Step != portal.StepDone {
		t.Errorf("after: %q", out.Step)
	}
	tenant.MFA.Default = portal.MFARequired
	if out := b.start(t, "amy@buyer.example", testenv.Password); out.Step != portal.StepEnrol {
		t.Errorf("where one is required: %q", out.Step)
	}
}

// Backup codes come along with codes by mail, and count for more. Whoever has these two is asked for the code that they
// use every day, and not for a backup code at every change.
func TestWhoHasCodesByMailAloneShowsOneAndIsNotAskedForABackupCodeAsWell(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	tenant.MFA.EmailCodes, tenant.MFA.Remember = true, true
	b := open(h, &tenant, "203.0.113.6")
	b.in(t, "ann@buyer.example", testenv.Password)
	b.prove(t)
	h.Clock.Advance(2 * time.Minute)
	if _, err := h.Auth.Begin(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorEmail, ""); err != nil {
		t.Fatal(err)
	}
	added, err := h.Auth.Confirm(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorEmail, b.code(t), "")
	if err != nil {
		t.Fatal(err)
	}
	b.took(added.Outcome, nil)
	ready := func(when string, want bool) {
		t.Helper()
		if err := h.Auth.Ready(t.Context(), &tenant, b.client(), b.holder(t)); (err == nil) != want {
			t.Errorf("%s: %v", when, err)
		}
	}
	ready("right after the set-up", true)
	h.Clock.Advance(11 * time.Minute)
	ready("eleven minutes later", false)
	if err := h.Auth.Send(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorEmail, false); err != nil {
		t.Fatal(err)
	}
	if _, err := b.answer(t, portal.FactorEmail, b.code(t)); err != nil {
		t.Fatal(err)
	}
	ready("after a code by mail", true)
}

// A code that is sent again brings no new tries. When there are none it is not sent: it would be typed in vain.
func TestNoCodeIsSentThatWouldNotBeTaken(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	tenant.MFA.EmailCodes = true
	b := open(h, &tenant, "203.0.113.6")
	b.in(t, "ann@buyer.example", testenv.Password)
	h.Clock.Advance(portal.KnownFor) // a browser that was known for a week sets it up without proving the mailbox
	b.in(t, "ann@buyer.example", testenv.Password)
	begin := func() error {
		_, err := h.Auth.Begin(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorEmail, "")
		return err
	}
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	code := b.code(t)
	not := map[bool]string{true: "000000", false: "000001"}[code != "000000"]
	for range 5 {
		if _, err := h.Auth.Confirm(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorEmail, not, ""); kind(t, err) != portal.ProblemInput {
			t.Fatal(err)
		}
	}
	h.Clock.Advance(2 * time.Minute)
	var p *portal.Problem
	if err := begin(); !errors.As(err, &p) || p.Rule != auth.RuleCodes || p.RetryAfter != 8*time.Minute {
		t.Errorf("another code after five wrong ones: %v", err)
	}
	if up, err := h.Auth.Under(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorEmail); err != nil || up.Tries != 0 || !up.Expires.Equal(h.Clock.Now().Add(8*time.Minute)) {
		t.Errorf("the page says %+v, %v", up, err)
	}
}

// Nobody guesses at a secret that they see: ten wrong codes of a device whose clock is off are no dead end.
func TestAnAppIsSetUpAnewAfterTooManyWrongCodes(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "203.0.113.6")
	b.in(t, "ann@buyer.example", testenv.Password)
	b.prove(t)
	begin := func() string {
		t.Helper()
		up, err := h.Auth.Begin(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorTOTP, "")
		if err != nil {
			t.Fatal(err)
		}
		return up.Show.(factor.Sheet).Key
	}
	confirm := func(code string) error {
		_, err := h.Auth.Confirm(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorTOTP, code, "")
		return err
	}
	key := begin()
	right := testenv.AppCode(t, key, h.Clock.Now())
	not := map[bool]string{true: "000000", false: "000001"}[right != "000000"]
	for range 10 {
		if err := confirm(not); kind(t, err) != portal.ProblemInput {
			t.Fatal(err)
		}
	}
	if err := confirm(right); kind(t, err) != portal.ProblemInput {
		t.Errorf("an eleventh: %v", err)
	}
	if _, err := h.Auth.Under(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorTOTP); !errors.Is(err, auth.ErrNothing) {
		t.Errorf("the page shows what takes no code: %v", err)
	}
	if again := begin(); again != key {
		t.Error("it begins with another key than the app has by now")
	}
	if err := confirm(right); err != nil {
		t.Errorf("anew: %v", err)
	}
}
