package auth_test

import (
	"encoding/base32"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// The first second step of an account needs more than its password: a code from the mailbox, or a browser that the
// account has known for a week. Its owner hears of it, and can take it back for a week (mission, decisions).
func TestTheFirstSecondStepNeedsTheMailboxOrABrowserKnownForAWeek(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	owner, thief := open(h, &tenant, "203.0.113.7"), open(h, &tenant, "198.51.100.1")
	owner.in(t, "ann@buyer.example", testenv.Password)
	thief.in(t, "ann@buyer.example", testenv.Password)
	h.Courier(t, tenant.ID) // the notice about the new browser
	if _, err := h.Auth.Begin(t.Context(), &tenant, thief.client(), thief.holder(t), portal.FactorTOTP, ""); kind(t, err) != portal.ProblemMFARequired {
		t.Errorf("a password alone adds a second step: %v", err)
	}
	if q, err := h.Auth.Second(t.Context(), &tenant, thief.client(), thief.holder(t), "", true); err != nil || q.Kind != auth.KindMailbox {
		t.Errorf("asked is %q: %v", q.Kind, err)
	}
	thief.prove(t) // somebody who reads the mail as well
	thief.addApp(t)
	var notice string
	for _, m := range h.Courier(t, tenant.ID) {
		if m.Kind == portal.LetterFactor {
			notice = testenv.TokenIn(t, m, "/auth/not-me")
		}
	}
	owner.start(t, "ann@buyer.example", testenv.Password)
	h.Clock.Advance(6*24*time.Hour + 23*time.Hour)
	if _, err := h.Auth.Disown(t.Context(), &tenant, owner.client(), notice); err != nil {
		t.Fatal("taking it back: ", err)
	}
	var left int
	h.DB.Row(t, `select count(*) from portalgate.factors where tenant_id = $1`, []any{tenant.ID}, &left)
	if left != 0 || alive(t, h, tenant) != 0 {
		t.Errorf("%d second steps and %d sessions are left", left, alive(t, h, tenant))
	}

	known := open(h, &tenant, "203.0.113.9")
	h.Person(t, tenant, testenv.Visitor{Email: "bob@buyer.example"})
	known.in(t, "bob@buyer.example", testenv.Password)
	h.Clock.Advance(7*24*time.Hour - time.Second)
	known.in(t, "bob@buyer.example", testenv.Password)
	if _, err := h.Auth.Begin(t.Context(), &tenant, known.client(), known.holder(t), portal.FactorTOTP, ""); kind(t, err) != portal.ProblemMFARequired {
		t.Errorf("from a browser known for a second less than a week: %v", err)
	}
	h.Clock.Advance(time.Second)
	known.addApp(t)
}

// The same for whoever swaps: an app, with it a passkey, and the app away again; and who sees to it that another notice of the
// kind waits, or has just left, so that theirs would be counted into it.
func TestTakingBackTheFirstSecondStepTakesWhatCameWithIt(t *testing.T) {
	t.Parallel()
	for name, busy := range map[string]bool{"with nothing told before": false, "after another notice of the kind": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := testenv.NewHouse(t, testenv.Plan{})
			tenant := testenv.Tenant(t)
			h.Person(t, tenant, testenv.Visitor{})
			thief, k := open(h, &tenant, "198.51.100.1"), &testenv.Passkey{}
			thief.in(t, "ann@buyer.example", testenv.Password)
			thief.prove(t)
			swap := func() {
				t.Helper()
				thief.addApp(t)
				h.Clock.Advance(time.Second)
				thief.addPasskey(t, k)
				ses, _ := thief.session(t)
				var id portal.FactorID
				h.DB.Row(t, `select id::text from portalgate.factors where tenant_id = $1 and kind = 'totp'`, []any{tenant.ID}, &id)
				if err := h.Auth.Remove(t.Context(), &tenant, thief.client(), ses, id); err != nil {
					t.Fatal(err)
				}
			}
			notices := func() (links []string) {
				for _, m := range h.Courier(t, tenant.ID) {
					if m.Kind == portal.LetterFactor && m.To == "ann@buyer.example" {
						links = append(links, testenv.TokenIn(t, m, "/auth/not-me"))
					}
				}
				return links
			}
			if busy { // the account had one, and the notice that it is gone waits
				thief.addApp(t)
				if len(notices()) != 1 {
					t.Fatal("the owner does not hear of the first")
				}
				ses, _ := thief.session(t)
				var id portal.FactorID
				h.DB.Row(t, `select id::text from portalgate.factors where tenant_id = $1 and kind = 'totp'`, []any{tenant.ID}, &id)
				if err := h.Auth.Remove(t.Context(), &tenant, thief.client(), ses, id); err != nil {
					t.Fatal(err)
				}
				h.DB.Exec(t, `update portalgate.tickets set spent_at = created_at where tenant_id = $1`, tenant.ID) // of the first time nothing is left
				h.Clock.Advance(2 * time.Minute)
				thief.prove(t)
			}
			swap()
			var links []string
			for range 5 {
				links = append(links, notices()...)
				h.Clock.Advance(30 * time.Minute)
			}
			for _, link := range links {
				if _, err := h.Auth.Disown(t.Context(), &tenant, open(h, &tenant, "203.0.113.7").client(), link); err != nil {
					t.Fatal(err)
				}
			}
			var factors, handles int
			h.DB.Row(t, `select (select count(*) from portalgate.factors where tenant_id = $1), (select count(*) from portalgate.second_steps where tenant_id = $1 and handle is not null)`, []any{tenant.ID}, &factors, &handles)
			if factors != 0 || handles != 0 {
				t.Errorf("after %d notices were answered %d second steps are left, and %d handles", len(links), factors, handles)
			}
			again := open(h, &tenant, "198.51.100.9")
			if _, err := again.enter(k.Answer(t, "https://"+tenant.Canonical(), again.options(t))); kind(t, err) != portal.ProblemCredentials {
				t.Errorf("the thief's passkey: %v", err)
			}
		})
	}
}

// A later second step needs the one that is there, and taking back is for the first alone: whoever reads the mail must
// not take away what an account has had for long.
func TestANoticeOfALaterSecondStepTakesNothingAway(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	tenant.MFA.EmailCodes = true
	h.Person(t, tenant, testenv.Visitor{})
	b, _, _ := withApp(t, h, &tenant, "ann@buyer.example")
	h.Courier(t, tenant.ID)
	h.Clock.Advance(2 * time.Hour)
	if _, err := h.Auth.Begin(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorEmail, ""); kind(t, err) != portal.ProblemMFARequired {
		t.Errorf("a session that has shown nothing for two hours adds one: %v", err)
	}
	var notice []string
	for _, m := range h.Mail.Sent(tenant.ID) {
		if m.Kind == portal.LetterFactor {
			notice = append(notice, testenv.TokenIn(t, m, "/auth/not-me"))
		}
	}
	h.Clock.Advance(portal.KnownFor)
	if _, err := h.Auth.Disown(t.Context(), &tenant, b.client(), notice[0]); kind(t, err) != portal.ProblemNotFound {
		t.Errorf("after a week the first can be taken back: %v", err)
	}
	var left int
	h.DB.Row(t, `select count(*) from portalgate.factors where tenant_id = $1`, []any{tenant.ID}, &left)
	if left != 2 {
		t.Errorf("%d are left", left)
	}
}

// M12: a tenant that requires a second step leads everybody through adding one, locks nobody out, and gives each person
// the days it promises from their own next sign-in on.
func TestARequiredSecondStepLeadsThroughAddingOne(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	h.Person(t, tenant, testenv.Visitor{Email: "eve@buyer.example", Role: portal.RoleAdmin})
	tenant.MFA = portal.MFAPolicy{Default: portal.MFAOptional, Roles: map[portal.Role]portal.MFA{portal.RoleAdmin: portal.MFARequired}, GraceDays: 14, Since: h.Clock.Now()}
	h.Clock.Advance(100 * 24 * time.Hour)
	b := open(h, &tenant, "203.0.113.7")
	if out := b.start(t, "ann@buyer.example", testenv.Password); out.Step != portal.StepDone || !out.Grace.IsZero() {
		t.Errorf("whom it does not hold for: %q until %s", out.Step, out.Grace)
	}
	began := h.Clock.Now()
	if out := b.start(t, "eve@buyer.example", testenv.Password); out.Grant == nil || !out.Grace.Equal(began.Add(14*24*time.Hour)) {
		t.Fatalf("the first sign-in leads to %q, put off until %s", out.Step, out.Grace)
	}
	h.Clock.Advance(14*24*time.Hour - time.Second)
	if out := b.start(t, "eve@buyer.example", testenv.Password); out.Grant == nil || !out.Grace.Equal(began.Add(14*24*time.Hour)) {
		t.Errorf("the last second: %q until %s", out.Step, out.Grace)
	}
	h.Clock.Advance(time.Second)
	tenant.MFA.Paused = true
	if out := b.start(t, "eve@buyer.example", testenv.Password); out.Grant == nil {
		t.Errorf("while it is paused: %q", out.Step)
	}
	tenant.MFA.Paused = false
	stranger := open(h, &tenant, "198.51.100.1")
	if out := stranger.start(t, "eve@buyer.example", testenv.Password); out.Step != portal.StepEnrol || out.Grant != nil {
		t.Fatalf("when the days are over: %q", out.Step)
	}
	if steps, err := h.Auth.Steps(t.Context(), &tenant, stranger.client(), stranger.holder(t)); err != nil || !steps.Required || !steps.First || steps.SignedIn || len(steps.Offers) == 0 {
		t.Errorf("the page shows %+v: %v", steps, err)
	}
	if _, err := h.Auth.Begin(t.Context(), &tenant, stranger.client(), stranger.holder(t), portal.FactorTOTP, ""); kind(t, err) != portal.ProblemMFARequired {
		t.Errorf("without the mailbox: %v", err)
	}
	// The code was sent with the sign-in.
	if _, err := stranger.say(t, auth.Answer{Kind: auth.KindMailbox, Text: stranger.code(t), Enrol: true}); err != nil {
		t.Fatal(err)
	}
	a, codes := stranger.addApp(t)
	if ses, ok := stranger.session(t); !ok || portal.JoinAMR(ses.AMR) != "pwd,otp,mfa" || len(codes) != 8 {
		t.Errorf("after the app was added: %+v, %d codes", ses, len(codes))
	}
	h.Clock.Advance(step)
	if out := b.start(t, "eve@buyer.example", testenv.Password); out.Step != portal.StepSecond {
		t.Errorf("the next sign-in: %q", out.Step)
	}
	if _, err := b.answer(t, portal.FactorTOTP, a.at(h.Clock.Now())); err != nil {
		t.Error(err)
	}
}

// BKP-02, BKP-04: a backup code works once, for its own person; the owner hears how many are left; new ones void the old.
func TestABackupCodeWorksOnceAndForItsOwnPerson(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	h.Person(t, tenant, testenv.Visitor{Email: "bob@buyer.example"})
	_, _, codes := withApp(t, h, &tenant, "ann@buyer.example")
	_, _, bobs := withApp(t, h, &tenant, "bob@buyer.example")
	b := open(h, &tenant, "203.0.113.9")
	h.Courier(t, tenant.ID)
	h.Clock.Advance(2 * time.Hour)
	for name, text := range map[string]string{"nothing": "", "Bob's": bobs[0], "blanks": "   "} {
		b.start(t, "ann@buyer.example", testenv.Password)
		if _, err := b.answer(t, portal.FactorBackup, text); err == nil {
			t.Errorf("%s opens Ann's account", name)
		}
	}
	b.start(t, "ann@buyer.example", testenv.Password)
	out, err := b.answer(t, portal.FactorBackup, strings.ToLower(strings.ReplaceAll(codes[3], "-", " ")))
	if err != nil || out.Left != 7 {
		t.Fatalf("%d are left: %v", out.Left, err)
	}
	ses, _ := b.session(t)
	if portal.JoinAMR(ses.AMR) != "pwd,backup,mfa" {
		t.Errorf("the session was begun with %s", portal.JoinAMR(ses.AMR))
	}
	told := false
	for _, m := range h.Courier(t, tenant.ID) {
		told = told || m.Kind == portal.LetterFactor
	}
	if !told {
		t.Error("the owner did not hear of it")
	}
	other := open(h, &tenant, "203.0.113.10")
	other.start(t, "ann@buyer.example", testenv.Password)
	if _, err := other.answer(t, portal.FactorBackup, codes[3]); kind(t, err) != portal.ProblemCredentials {
		t.Errorf("a second time: %v", err)
	}
	made, err := h.Auth.RenewCodes(t.Context(), &tenant, b.client(), ses, "")
	if err != nil || len(made) != 8 {
		t.Fatal(len(made), err)
	}
	for text, want := range map[string]portal.ProblemKind{codes[0]: portal.ProblemCredentials, made[0]: ""} {
		other.start(t, "ann@buyer.example", testenv.Password)
		if _, err := other.answer(t, portal.FactorBackup, text); kind(t, err) != want {
			t.Errorf("%v, want %q", err, want)
		}
	}
	h.Clock.Advance(portal.FreshFor + step)
	if _, err := h.Auth.RenewCodes(t.Context(), &tenant, b.client(), ses, ""); kind(t, err) != portal.ProblemMFARequired {
		t.Errorf("new codes for a session that has shown nothing for ten minutes: %v", err)
	}
}

// A device that its owner trusts is not asked for thirty days, if the tenant lets people choose so; and is asked again
// when they say so, change the password or take a second step away.
func TestATrustedDeviceIsNotAskedForThirtyDays(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	b, a, _ := withApp(t, h, &tenant, "ann@buyer.example")
	trust := func() portal.Session {
		t.Helper()
		h.Clock.Advance(step)
		if out := b.start(t, "ann@buyer.example", testenv.Password); out.Step != portal.StepSecond {
			t.Fatalf("it is not asked: %q", out.Step)
		}
		if _, err := b.say(t, auth.Answer{Kind: portal.FactorTOTP, Text: a.at(h.Clock.Now()), Trust: true}); err != nil {
			t.Fatal(err)
		}
		ses, _ := b.session(t)
		return ses
	}
	trust()
	if out := b.start(t, "ann@buyer.example", testenv.Password); out.Step != portal.StepSecond {
		t.Error("a tenant that does not let people choose so has a device that is not asked")
	}
	tenant.MFA.Remember = true
	trust()
	h.Clock.Advance(portal.RememberDevice - time.Second)
	if out := b.start(t, "ann@buyer.example", testenv.Password); out.Grant == nil {
		t.Errorf("within thirty days: %q", out.Step)
	} else if ses := out.Grant.Session; !ses.MFAAt.IsZero() || portal.JoinAMR(ses.AMR) != "pwd" {
		t.Errorf("a session that was not asked says %s", portal.JoinAMR(ses.AMR))
	}
	other := open(h, &tenant, "203.0.113.77")
	if out := other.start(t, "ann@buyer.example", testenv.Password); out.Step != portal.StepSecond {
		t.Errorf("another browser: %q", out.Step)
	}
	h.Clock.Advance(time.Second)
	ses := trust()
	if err := h.Auth.Distrust(t.Context(), &tenant, b.client(), ses); err != nil {
		t.Fatal(err)
	}
	trust()
	var id portal.FactorID
	h.DB.Row(t, `select id::text from portalgate.factors where tenant_id = $1 and kind = 'totp'`, []any{tenant.ID}, &id)
	ses, _ = b.session(t)
	if err := h.Auth.Remove(t.Context(), &tenant, b.client(), ses, id); err != nil {
		t.Fatal(err)
	}
	var trusted int
	h.DB.Row(t, `select count(*) from portalgate.devices where tenant_id = $1 and trusted_until is not null`, []any{tenant.ID}, &trusted)
	if trusted != 0 {
		t.Error("a device stays trusted though what it was trusted with is gone")
	}
}

// TOTP-07, WA-06: the last second step stays where one is required; taking one away ends the other sessions, takes the
// backup codes with it, and is told to the owner.
func TestTheLastSecondStepStaysWhereOneIsRequired(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	h.Person(t, tenant, testenv.Visitor{Email: "bob@buyer.example"})
	b, a, _ := withApp(t, h, &tenant, "ann@buyer.example")
	other := open(h, &tenant, "203.0.113.9")
	other.start(t, "ann@buyer.example", testenv.Password)
	if _, err := other.answer(t, portal.FactorTOTP, a.at(h.Clock.Now())); err != nil {
		t.Fatal(err)
	}
	h.Courier(t, tenant.ID)
	var id portal.FactorID
	h.DB.Row(t, `select id::text from portalgate.factors where tenant_id = $1 and kind = 'totp'`, []any{tenant.ID}, &id)
	bob := open(h, &tenant, "203.0.113.10")
	if err := h.Auth.Remove(t.Context(), &tenant, bob.client(), bob.in(t, "bob@buyer.example", testenv.Password), id); kind(t, err) != portal.ProblemNotFound {
		t.Errorf("Bob takes Ann's away: %v", err)
	}
	ses, _ := b.session(t)
	tenant.MFA.Default = portal.MFARequired
	if err := h.Auth.Remove(t.Context(), &tenant, b.client(), ses, id); kind(t, err) != portal.ProblemInput {
		t.Errorf("the last one, where one is required: %v", err)
	}
	tenant.MFA.Default = ""
	h.Clock.Advance(2 * time.Hour)
	if err := h.Auth.Remove(t.Context(), &tenant, b.client(), ses, id); kind(t, err) != portal.ProblemMFARequired {
		t.Errorf("without showing it: %v", err)
	}
	if _, err := b.answer(t, portal.FactorTOTP, a.at(h.Clock.Now())); err != nil {
		t.Fatal(err)
	}
	ses, _ = b.session(t)
	if err := h.Auth.Remove(t.Context(), &tenant, b.client(), ses, id); err != nil {
		t.Fatal(err)
	}
	if _, ok := other.session(t); ok {
		t.Error("the other session goes on")
	}
	if _, ok := b.session(t); !ok {
		t.Error("the session that did it is over")
	}
	told := false
	for _, m := range h.Courier(t, tenant.ID) {
		told = told || m.Kind == portal.LetterFactor && strings.Contains(m.Subject, "turned off")
	}
	if !told {
		t.Error("the owner did not hear of it")
	}
	var left int
	h.DB.Row(t, `select count(*) from portalgate.factors where tenant_id = $1`, []any{tenant.ID}, &left)
	if left != 0 {
		t.Errorf("%d are left", left)
	}
	if out := other.start(t, "ann@buyer.example", testenv.Password); out.Grant == nil {
		t.Errorf("she is asked for what she has not: %q", out.Step)
	}
}

// SES-09, LOG-04: what matters needs the strongest that somebody has within ten minutes; showing it begins a session that
// ends no later than the one before, which is over.
func TestWhatMattersNeedsTheStrongestWithinTenMinutes(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	h.Person(t, tenant, testenv.Visitor{Email: "bob@buyer.example"})
	b, a, _ := withApp(t, h, &tenant, "ann@buyer.example")
	nobodys := portal.SessionID(portal.FormatID(secret.NewID()))
	guarded := func(x *browser) map[string]error {
		ses, _ := x.session(t)
		_, password := h.Auth.ChangePassword(t.Context(), &tenant, x.client(), ses, "not the password", "Green pallet trucks at dusk")
		_, address := h.Auth.AskAddress(t.Context(), &tenant, x.client(), ses, "ann2@buyer.example", "not the password")
		_, others := h.Auth.EndOthers(t.Context(), &tenant, x.client(), ses)
		renaming := h.Auth.Rename(t.Context(), &tenant, x.client(), ses, portal.FactorID(nobodys), "Telephone")
		return map[string]error{"another name of a second step": renaming, "another password": password, "another address": address, "ending the others": others,
			"ending one": h.Auth.EndSession(t.Context(), &tenant, x.client(), ses, nobodys)}
	}
	h.Clock.Advance(portal.FreshFor)
	for what, err := range guarded(b) {
		if kind(t, err) != portal.ProblemMFARequired {
			t.Errorf("%s without showing the app again: %v", what, err)
		}
	}
	before, _ := b.session(t)
	old := *b
	for _, password := range []string{testenv.Password, "not the password"} { // and nothing tells which it is
		if _, err := b.answer(t, auth.KindPassword, password); kind(t, err) != portal.ProblemMFARequired {
			t.Errorf("a password of somebody who has an app: %v", err)
		}
	}
	if _, err := b.answer(t, portal.FactorTOTP, a.at(h.Clock.Now())); err != nil {
		t.Fatal(err)
	}
	after, _ := b.session(t)
	if after.ID == before.ID || !after.End.Equal(before.End) || !after.MFAAt.Equal(h.Clock.Now()) {
		t.Errorf("from %+v to %+v", before, after)
	}
	if _, ok := old.session(t); ok {
		t.Error("the session before goes on")
	}
	for what, err := range guarded(b) {
		if kind(t, err) == portal.ProblemMFARequired {
			t.Errorf("%s just after showing the app: %v", what, err)
		}
	}
	// Who has nothing but a password shows that.
	bob := open(h, &tenant, "203.0.113.9")
	bob.in(t, "bob@buyer.example", testenv.Password)
	h.Clock.Advance(portal.FreshFor)
	ses, _ := bob.session(t)
	if _, err := h.Auth.EndOthers(t.Context(), &tenant, bob.client(), ses); kind(t, err) != portal.ProblemMFARequired {
		t.Errorf("ten minutes after the password: %v", err)
	}
	if _, err := bob.answer(t, auth.KindPassword, "not the password"); kind(t, err) != portal.ProblemCredentials {
		t.Errorf("a wrong password: %v", err)
	}
	if _, err := bob.answer(t, auth.KindPassword, testenv.Password); err != nil {
		t.Fatal(err)
	}
	ses, _ = bob.session(t)
	if _, err := h.Auth.EndOthers(t.Context(), &tenant, bob.client(), ses); err != nil {
		t.Error(err)
	}
	if _, err := h.Auth.Second(t.Context(), &tenant, bob.client(), bob.holder(t), "", false); !errors.Is(err, auth.ErrNothing) {
		t.Errorf("he is asked again at once: %v", err)
	}
}

// legacy.md: a second step that the old portal claims and never had is not asked for, and adding a real one is; a real
// secret of its is asked for, and becomes ours with its first code. Nobody is locked out, and the ERP's row stays as it is.
func TestWhatTheOldPortalClaimsIsAskedForOnlyWhereItIsReal(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	claimed, real := h.Person(t, tenant, testenv.Visitor{}), h.Person(t, tenant, testenv.Visitor{Email: "bob@buyer.example"})
	key := base32.StdEncoding.EncodeToString([]byte("twenty bytes of seed"))
	h.DB.Exec(t, `update public.customer_users set mfa_enabled = true, mfa_secret = case id when $1 then 'PLACEHOLDER_SECRET' else $3 end where id in ($1, $2)`, claimed, real, key)
	b := open(h, &tenant, "203.0.113.7")
	if out := b.start(t, "ann@buyer.example", testenv.Password); out.Step != portal.StepEnrol {
		t.Fatalf("a claim that was never real leads to %q", out.Step)
	}
	if _, err := b.say(t, auth.Answer{Kind: auth.KindMailbox, Text: b.code(t), Enrol: true}); err != nil {
		t.Fatal(err)
	}
	b.addApp(t)
	h.Clock.Advance(step)
	if out := b.start(t, "ann@buyer.example", testenv.Password); out.Step != portal.StepSecond {
		t.Errorf("after one was added: %q", out.Step)
	}
	bobs := app{[]byte("twenty bytes of seed")}
	bob := open(h, &tenant, "203.0.113.8")
	if out := bob.start(t, "bob@buyer.example", testenv.Password); out.Step != portal.StepSecond {
		t.Fatalf("a real one leads to %q", out.Step)
	}
	if _, err := bob.answer(t, portal.FactorTOTP, bobs.wrong(h.Clock.Now())); kind(t, err) != portal.ProblemCredentials {
		t.Errorf("a wrong code: %v", err)
	}
	if _, err := bob.answer(t, portal.FactorTOTP, bobs.at(h.Clock.Now())); err != nil {
		t.Fatal("the right code: ", err)
	}
	again := open(h, &tenant, "203.0.113.9")
	again.start(t, "bob@buyer.example", testenv.Password)
	if _, err := again.answer(t, portal.FactorTOTP, bobs.at(h.Clock.Now())); kind(t, err) != portal.ProblemCredentials {
		t.Errorf("the same code again: %v", err)
	}
	var rows int
	h.DB.Row(t, `select count(*) from public.customer_users where mfa_enabled and mfa_secret is not null and tenant_id = $1`, []any{tenant.ID}, &rows)
	if rows != 2 {
		t.Error("the ERP's rows were written")
	}
	operate(t, h, tenant, func(x *store.Tx) error {
		_, err := x.ResetFactors(t.Context(), real, "bob@buyer.example", store.Deed{Operator: "olga", Reason: "he called"})
		return err
	})
	if out := bob.start(t, "bob@buyer.example", testenv.Password); out.Step != portal.StepDone {
		t.Errorf("after an operator has taken it away: %q", out.Step)
	}
}

// One address is one person: an app that was added from one company's row guards the other rows too.
func TestAnAppGuardsEveryCompanyOfItsPerson(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{Customer: "C-1"})
	b, a, _ := withApp(t, h, &tenant, "ann@buyer.example")
	h.Person(t, tenant, testenv.Visitor{Customer: "C-2", Password: "Quite another phrase 91"})
	for name, password := range map[string]string{"the row it was added from": testenv.Password, "the other row": "Quite another phrase 91"} {
		if out := b.start(t, "ann@buyer.example", password); out.Step != portal.StepSecond {
			t.Errorf("%s: a password leads to %q", name, out.Step)
		}
		if _, err := b.answer(t, portal.FactorTOTP, a.at(h.Clock.Now())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		h.Clock.Advance(step)
	}
	// The same address at another tenant is another person.
	elsewhere := testenv.Tenant(t)
	h.Person(t, elsewhere, testenv.Visitor{})
	if out := open(h, &elsewhere, "203.0.113.7").start(t, "ann@buyer.example", testenv.Password); out.Step != portal.StepDone {
		t.Errorf("at another tenant: %q", out.Step)
	}
}
