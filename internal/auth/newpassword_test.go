package auth_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

const fresh = "Green forklifts after lunch"

// REG-02: the right password on an unproved address yields the attempt and nothing else, and that opens nothing.
func TestAnUnverifiedPersonGetsAnAttemptAndNothingElse(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant, other := testenv.Tenant(t), testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{Unverified: true})
	b := open(h, &tenant, "203.0.113.7")
	out, err := b.signIn("ann@buyer.example", testenv.Password)
	if err != nil || out.Step != portal.StepConfirmAddress || out.Grant != nil || out.Attempt == nil {
		t.Fatalf("step %q, a grant: %v, %v", out.Step, out.Grant != nil, err)
	}
	attempt := out.Attempt.Reveal()
	w, err := h.Auth.Waiting(t.Context(), &tenant, b.client(), attempt)
	if err != nil || w.Step != portal.StepConfirmAddress || w.Masked != "a•••@buyer.example" {
		t.Errorf("%+v, %v", w, err)
	}
	// LOG-02, TEN-03: at every other door it is worth nothing.
	for name, c := range map[string]session.Cookies{"access": {Access: attempt}, "refresh": {Refresh: attempt}, "both": {Access: attempt, Refresh: attempt}} {
		if _, err := h.Sessions.Resume(t.Context(), &tenant, c, b.client(), true); kind(t, err) != portal.ProblemSessionRequired {
			t.Errorf("as %s: %v", name, err)
		}
	}
	if _, err := h.Auth.Waiting(t.Context(), &other, b.client(), attempt); kind(t, err) != portal.ProblemSessionRequired {
		t.Errorf("at another tenant: %v", err)
	}
	if _, err := h.Auth.FinishPassword(t.Context(), &tenant, b.client(), attempt, fresh); kind(t, err) != portal.ProblemSessionRequired {
		t.Errorf("at the door of new passwords: %v", err)
	}
	for _, bad := range []string{"", "x", strings.Repeat("A", 43)} {
		if _, err := h.Auth.Waiting(t.Context(), &tenant, b.client(), bad); kind(t, err) != portal.ProblemSessionRequired {
			t.Errorf("attempt %q: %v", bad, err)
		}
	}
	h.Clock.Advance(h.Policy.AttemptLife)
	if _, err := h.Auth.Waiting(t.Context(), &tenant, b.client(), attempt); kind(t, err) != portal.ProblemSessionRequired {
		t.Errorf("after its life: %v", err)
	}
	trailed(t, h, tenant, "LOGIN_FAILED confirm_address 203.0.113.7")
	var sessions int
	h.DB.Row(t, `select count(*) from portalgate.sessions where tenant_id = $1`, []any{tenant.ID}, &sessions)
	if sessions != 0 {
		t.Errorf("%d sessions", sessions)
	}
}

func TestATemporaryPasswordMustBeReplacedBeforeThereIsASession(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant, other := testenv.Tenant(t), testenv.Tenant(t)
	id := h.Person(t, tenant, testenv.Visitor{MustChange: true})
	b := open(h, &tenant, "203.0.113.7")
	out, err := b.signIn("ann@buyer.example", testenv.Password)
	if err != nil || out.Step != portal.StepNewPassword || out.Grant != nil || out.Attempt == nil {
		t.Fatalf("step %q, %v", out.Step, err)
	}
	attempt := out.Attempt.Reveal()
	for name, c := range map[string]struct {
		tenant *portal.Tenant
		next   string
		want   portal.ProblemKind
	}{
		"the temporary one again": {&tenant, testenv.Password, portal.ProblemInput}, "too short": {&tenant, "short", portal.ProblemInput}, "empty": {&tenant, "", portal.ProblemInput},
		"the address": {&tenant, "ann@buyer.example", portal.ProblemInput}, "too long": {&tenant, strings.Repeat("ab", 65), portal.ProblemInput}, "another tenant": {&other, fresh, portal.ProblemSessionRequired},
	} {
		if _, err := h.Auth.FinishPassword(t.Context(), c.tenant, b.client(), attempt, c.next); kind(t, err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	done, err := h.Auth.FinishPassword(t.Context(), &tenant, b.client(), attempt, fresh)
	if err != nil || done.Step != portal.StepDone || done.Grant == nil || done.Grant.Session.User != id {
		t.Fatalf("step %q, %v", done.Step, err)
	}
	b.take(*done.Grant)
	if _, ok := b.session(t); !ok {
		t.Error("the session does not stand")
	}
	if _, err := h.Auth.FinishPassword(t.Context(), &tenant, b.client(), attempt, "Another phrase of mine"); kind(t, err) != portal.ProblemSessionRequired {
		t.Errorf("the attempt is spent: %v", err)
	}
	if _, err := open(h, &tenant, "203.0.113.8").signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemCredentials {
		t.Errorf("the temporary password: %v", err)
	}
	open(h, &tenant, "203.0.113.8").in(t, "ann@buyer.example", fresh)
	trailed(t, h, tenant, "LOGIN_FAILED new_password 203.0.113.7", "PASSWORD_CHANGE ok 203.0.113.7", "LOGIN ok 203.0.113.7", "LOGIN_FAILED refused 203.0.113.8", "LOGIN ok 203.0.113.8")
}

// Single use: of twenty at once on two gateways one sets the password, and one session begins.
func TestOfTwentyParallelUsesOfAnAttemptOneSucceeds(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{MustChange: true})
	gates := []*testenv.House{h, h.Neighbour(t)}
	out, err := open(h, &tenant, "203.0.113.7").signIn("ann@buyer.example", testenv.Password)
	if err != nil {
		t.Fatal(err)
	}
	var won atomic.Int64
	var all sync.WaitGroup
	gate := make(chan struct{})
	for i := range 20 {
		g := gates[i%2]
		all.Go(func() {
			<-gate
			done, err := g.Auth.FinishPassword(context.Background(), &tenant, g.Client("203.0.113.7"), out.Attempt.Reveal(), fresh)
			switch {
			case err == nil && done.Grant != nil:
				won.Add(1)
			case kind(t, err) != portal.ProblemSessionRequired && kind(t, err) != portal.ProblemInput: // spent; or the phrase stands already
				t.Error(err)
			}
		})
	}
	close(gate)
	all.Wait()
	var sessions int
	h.DB.Row(t, `select count(*) from portalgate.sessions where tenant_id = $1`, []any{tenant.ID}, &sessions)
	if won.Load() != 1 || sessions != 1 {
		t.Errorf("%d succeeded, %d sessions", won.Load(), sessions)
	}
	trailed(t, h, tenant, "LOGIN_FAILED new_password 203.0.113.7", "PASSWORD_CHANGE ok 203.0.113.7", "LOGIN ok 203.0.113.7")
}

// A sign-in under way is over when the password that began it was replaced, by whomever.
func TestAnAttemptEndsWithThePasswordThatBeganIt(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	id := h.Person(t, tenant, testenv.Visitor{MustChange: true})
	b := open(h, &tenant, "203.0.113.7")
	out, err := b.signIn("ann@buyer.example", testenv.Password)
	if err != nil {
		t.Fatal(err)
	}
	h.Clock.Advance(time.Second)
	s, err := store.Open(h.DB.OperatorURL, store.Options{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	typed, err := password.Prepare("Handed over by telephone")
	if err != nil {
		t.Fatal(err)
	}
	made, err := h.Hasher.Hash(t.Context(), typed)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Within(t.Context(), tenant.ID, h.Clock.Now(), func(x *store.Tx) error {
		a, err := x.Person(t.Context(), id)
		if err != nil {
			return err
		}
		_, err = x.SetPassword(t.Context(), a, "ann@buyer.example", made.PHC, made.KeyID, store.Deed{Operator: "test"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Auth.Waiting(t.Context(), &tenant, b.client(), out.Attempt.Reveal()); kind(t, err) != portal.ProblemSessionRequired {
		t.Errorf("its page: %v", err)
	}
	if _, err := h.Auth.FinishPassword(t.Context(), &tenant, b.client(), out.Attempt.Reveal(), fresh); kind(t, err) != portal.ProblemSessionRequired {
		t.Errorf("its end: %v", err)
	}
	if out, err := b.signIn("ann@buyer.example", "Handed over by telephone"); err != nil || out.Step != portal.StepNewPassword {
		t.Errorf("the new temporary password: %q, %v", out.Step, err)
	}
}

// REC-05, LOG-04, PWD-06: a change of password ends every session, every sign-in under way and every other known
// device before it is answered; this browser goes on with a new session.
func TestAChangeOfPasswordEndsAllThatHungOnTheOldOne(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	next := h.Neighbour(t)
	tenant := testenv.Tenant(t)
	id := h.Person(t, tenant, testenv.Visitor{})
	ann, phone, elsewhere := open(h, &tenant, "203.0.113.7"), open(h, &tenant, "203.0.113.8"), open(next, &tenant, "203.0.113.9")
	was := ann.in(t, "ann@buyer.example", testenv.Password)
	phone.in(t, "ann@buyer.example", testenv.Password)
	elsewhere.in(t, "ann@buyer.example", testenv.Password)
	old := *ann
	h.Clock.Advance(time.Minute)
	grant, err := h.Auth.ChangePassword(t.Context(), &tenant, ann.client(), was, testenv.Password, fresh)
	if err != nil {
		t.Fatal(err)
	}
	ann.take(grant)
	next.Hear(t)
	if now, ok := ann.session(t); !ok || now.ID == was.ID || now.Device != was.Device {
		t.Errorf("this browser: %+v, %v", now, ok)
	}
	for name, b := range map[string]*browser{"this browser's old cookies": &old, "the phone": phone, "the one at the other gateway": elsewhere} {
		if _, ok := b.session(t); ok {
			t.Errorf("%s go on", name)
		}
		if _, err := b.house.Sessions.Resume(t.Context(), &tenant, session.Cookies{Refresh: b.cookies.Refresh}, b.client(), true); kind(t, err) != portal.ProblemSessionExpired {
			t.Errorf("%s, the refresh cookie: %v", name, err)
		}
	}
	var devices int
	h.DB.Row(t, `select count(*) from portalgate.devices where user_id = $1`, []any{id}, &devices)
	if devices != 1 {
		t.Errorf("%d devices are known", devices)
	}
	if _, err := open(h, &tenant, "203.0.113.10").signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemCredentials {
		t.Errorf("the old password: %v", err)
	}
	phone.in(t, "ann@buyer.example", fresh)
	trailed(t, h, tenant, "LOGIN ok 203.0.113.7", "LOGIN ok 203.0.113.8", "LOGIN ok 203.0.113.9", "PASSWORD_CHANGE ok 203.0.113.7", "LOGIN ok 203.0.113.7",
		"LOGIN_FAILED refused 203.0.113.10", "LOGIN ok 203.0.113.8")
}

// RL-07: the current password is asked for, and a guess at it is a guess from the same purse as at the door.
func TestTheCurrentPasswordIsGuessedFromTheSamePurse(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	id := h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "203.0.113.7")
	ses := b.in(t, "ann@buyer.example", testenv.Password)
	before := stored(t, h, id)
	change := func(current, next string) error {
		_, err := h.Auth.ChangePassword(t.Context(), &tenant, b.client(), ses, current, next)
		return err
	}
	// What cannot be right is no guess.
	for name, c := range map[string][2]string{"no current one": {"", fresh}, "no new one": {testenv.Password, ""}, "a short one": {testenv.Password, "short"}, "an endless one": {strings.Repeat("x", 2000), fresh}} {
		if err := change(c[0], c[1]); kind(t, err) != portal.ProblemInput {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range 4 {
		if i%2 == 0 {
			if err := change("wrong", fresh); kind(t, err) != portal.ProblemCredentials || refusal(t, err).Field != "current_password" || !refusal(t, err).Held {
				t.Fatalf("guess %d: %v", i+1, err)
			}
		} else if _, err := b.signIn("ann@buyer.example", "wrong"); kind(t, err) != portal.ProblemCredentials {
			t.Fatalf("guess %d: %v", i+1, err)
		}
	}
	if err := change("wrong", fresh); kind(t, err) != portal.ProblemLimit {
		t.Errorf("the fifth: %v", err)
	}
	if err := change(testenv.Password, fresh); kind(t, err) != portal.ProblemLimit {
		t.Errorf("the right one during the rest: %v", err)
	}
	if _, err := b.signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemLimit {
		t.Errorf("at the door: %v", err)
	}
	if s := stored(t, h, id); s != before {
		t.Errorf("the password was changed: %+v", s)
	}
	if _, ok := b.session(t); !ok {
		t.Error("guesses have ended the session")
	}
	h.Clock.Advance(31 * time.Minute)
	if err := change(testenv.Password, fresh); err != nil {
		t.Errorf("after the rest: %v", err)
	}
	trailed(t, h, tenant, "LOGIN ok 203.0.113.7", "5 × LOGIN_FAILED refused 203.0.113.7", "ACCOUNT_LOCKED refused 203.0.113.7 suspicious",
		"LOGIN_FAILED refused 203.0.113.7 rest=2 (nobody)", "PASSWORD_CHANGE ok 203.0.113.7", "LOGIN ok 203.0.113.7")
}

// twoCompanies adds one person for two companies, the one of Alpha used last.
func twoCompanies(t testing.TB, h *testenv.House, tenant portal.Tenant, v testenv.Visitor) (alpha, beta portal.UserID) {
	t.Helper()
	v.Customer = "ALPHA"
	alpha = h.Person(t, tenant, v)
	v.Customer = "BETA"
	beta = h.Person(t, tenant, v)
	h.DB.Exec(t, `update public.customer_users set last_login_at = now() - interval '1 day' where id = $1`, alpha)
	return alpha, beta
}

// Legacy 1: one buyer of two customers signs in once, chooses, and changes without signing in again. One address is
// one person: a new password is new for both.
func TestAPersonOfTwoCompaniesChoosesAndHasOnePassword(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	alpha, beta := twoCompanies(t, h, tenant, testenv.Visitor{})
	foreign := h.Person(t, tenant, testenv.Visitor{Email: "bob@buyer.example", Customer: "ALPHA"})
	b := open(h, &tenant, "203.0.113.7")
	out, err := b.signIn("ann@buyer.example", testenv.Password)
	if err != nil || out.Step != portal.StepChoose || out.Grant == nil || out.Grant.Session.User != alpha {
		t.Fatalf("step %q, %v", out.Step, err)
	}
	ses := out.Grant.Session
	rows, err := h.Auth.Companies(t.Context(), &tenant, b.client(), ses)
	if err != nil || len(rows) != 2 || rows[0].CustomerCode != "ALPHA" || rows[1].CustomerCode != "BETA" {
		t.Fatalf("%+v, %v", rows, err)
	}
	for _, id := range []portal.UserID{foreign, "", portal.UserID(tenant.ID)} {
		if _, err := h.Auth.ChooseCompany(t.Context(), &tenant, b.client(), b.cookies, ses, id); err == nil {
			t.Errorf("%q may be chosen", id)
		}
	}
	old := *b
	grant, err := h.Auth.ChooseCompany(t.Context(), &tenant, b.client(), b.cookies, ses, beta)
	if err != nil || grant.Session.ID != ses.ID || grant.Session.User != beta {
		t.Fatalf("%+v, %v", grant.Session, err)
	}
	b.take(grant)
	// The access token of the company before says somebody else; it is renewed and never taken for the other.
	res, err := h.Sessions.Resume(t.Context(), &tenant, old.cookies, old.client(), true)
	if err != nil || res.Facts.Identity.User != beta || res.Grant == nil {
		t.Errorf("with the cookies from before: %+v, %v", res, err)
	}
	if now, ok := b.session(t); !ok || now.User != beta {
		t.Errorf("%+v, %v", now, ok)
	}
	// A company that was closed since may not be chosen.
	h.DB.Exec(t, `update public.customers set portal_enabled = false where tenant_id = $1 and customer_code = 'ALPHA'`, tenant.ID)
	h.Hear(t)
	if _, err := h.Auth.ChooseCompany(t.Context(), &tenant, b.client(), b.cookies, grant.Session, alpha); kind(t, err) != portal.ProblemInput {
		t.Errorf("a closed company: %v", err)
	}
	h.DB.Exec(t, `update public.customers set portal_enabled = true where tenant_id = $1`, tenant.ID)
	h.Hear(t)
	now, _ := b.session(t)
	changed, err := h.Auth.ChangePassword(t.Context(), &tenant, b.client(), now, testenv.Password, fresh)
	if err != nil || changed.Session.User != beta || len(changed.Session.Choices) != 2 {
		t.Fatalf("%+v, %v", changed.Session, err)
	}
	if stored(t, h, alpha).phc == stored(t, h, beta).phc {
		t.Error("two rows have one salt")
	}
	if out, err := open(h, &tenant, "203.0.113.8").signIn("ann@buyer.example", fresh); err != nil || out.Step != portal.StepChoose {
		t.Errorf("with the new password: %q, %v", out.Step, err)
	}
	if _, err := open(h, &tenant, "203.0.113.9").signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemCredentials {
		t.Errorf("the old password opens one of them: %v", err)
	}
	trailed(t, h, tenant, "LOGIN ok 203.0.113.7", "COMPANY_CHOSEN ok 203.0.113.7", "PASSWORD_CHANGE ok 203.0.113.7", "LOGIN ok 203.0.113.7", "LOGIN ok 203.0.113.8", "LOGIN_FAILED refused 203.0.113.9")
}

// SES-09, REF-05: a change of password shows nothing but the password, so the session that goes on from it is no fresher
// than the one before, and ends no later.
func TestAChangeOfPasswordShowsNoSecondStep(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	b, _, _ := withApp(t, h, &tenant, "ann@buyer.example")
	before, _ := b.session(t)
	h.Clock.Advance(portal.FreshFor - time.Minute)
	grant, err := h.Auth.ChangePassword(t.Context(), &tenant, b.client(), before, testenv.Password, fresh)
	if err != nil {
		t.Fatal(err)
	}
	b.take(grant)
	after, ok := b.session(t)
	if !ok || after.ID == before.ID || !after.MFAAt.Equal(before.MFAAt) || !after.End.Equal(before.End) || portal.JoinAMR(after.AMR) != portal.JoinAMR(before.AMR) {
		t.Errorf("from %+v it goes on as %+v", before, after)
	}
	h.Clock.Advance(2 * time.Minute)
	if _, err := h.Auth.ChangePassword(t.Context(), &tenant, b.client(), after, fresh, testenv.Password); kind(t, err) != portal.ProblemMFARequired {
		t.Errorf("with an app that was shown eleven minutes ago: %v", err)
	}
}

// Rows are joined only when the password opens each; a temporary password among them must go first.
func TestRowsOfOneAddressAreJoinedByThePasswordThatOpensThem(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{Customer: "ALPHA"})
	other := h.Person(t, tenant, testenv.Visitor{Customer: "BETA", Password: fresh})
	b := open(h, &tenant, "203.0.113.7")
	if out, err := b.signIn("ann@buyer.example", fresh); err != nil || out.Step != portal.StepDone || out.Grant.Session.User != other || len(out.Grant.Session.Choices) != 1 {
		t.Errorf("%q, %v", out.Step, err)
	}
	for name, v := range map[string]testenv.Visitor{"verified": {Customer: "GAMMA"}, "unverified": {Customer: "DELTA", Unverified: true}} {
		id := h.Person(t, tenant, v)
		out, err := b.signIn("ann@buyer.example", testenv.Password)
		if err != nil || out.Grant == nil {
			t.Fatalf("%s: %v", name, err)
		}
		joined := false
		for _, c := range out.Grant.Session.Choices {
			joined = joined || c == id
		}
		if joined == v.Unverified {
			t.Errorf("a row that is %s: joined %v", name, joined)
		}
	}
	one := testenv.Tenant(t)
	alpha, beta := twoCompanies(t, h, one, testenv.Visitor{})
	h.DB.Exec(t, `update portalgate.credentials set must_change = true where user_id = $1`, beta)
	out, err := open(h, &one, "203.0.113.7").signIn("ann@buyer.example", testenv.Password)
	if err != nil || out.Step != portal.StepNewPassword {
		t.Fatalf("%q, %v", out.Step, err)
	}
	done, err := h.Auth.FinishPassword(t.Context(), &one, h.Client("203.0.113.7"), out.Attempt.Reveal(), fresh)
	if err != nil || done.Step != portal.StepChoose {
		t.Fatalf("%q, %v", done.Step, err)
	}
	for _, id := range []portal.UserID{alpha, beta} {
		var must bool
		h.DB.Row(t, `select must_change from portalgate.credentials where user_id = $1`, []any{id}, &must)
		if must {
			t.Error("a row keeps its temporary password")
		}
	}
	if _, err := open(h, &one, "203.0.113.8").signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemCredentials {
		t.Errorf("the temporary password opens one of them: %v", err)
	}
}
