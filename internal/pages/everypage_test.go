package pages_test

import (
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// seen is a page that somebody looks at.
type seen struct {
	name   string
	status int
	answer
}

// mailed is a link of the newest mail of a kind.
type mailed struct{ page, token string }

func linked(t testing.TB, f *front, kind portal.LetterKind, page string) mailed {
	t.Helper()
	all := f.Mail.Sent(f.tenant.ID)
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Kind == kind {
			return mailed{testenv.LinkIn(t, all[i], page), testenv.TokenIn(t, all[i], page)}
		}
	}
	t.Fatalf("no mail of kind %s left", kind)
	return mailed{}
}

// Addresses of 46 characters that break nowhere by themselves.
const (
	longAnn = "annemariebuyer@purchasingdepartments.b.example"
	longNew = "noorthenewcomer@purchasingdepartment.b.example"
)

const wrongPassword = "not the password"

// everyPage visits every page there is, in every state that changes what it shows.
func everyPage(t testing.TB, f *front) []seen {
	t.Helper()
	f.Person(t, *f.tenant, testenv.Visitor{Email: longAnn})
	f.Person(t, *f.tenant, testenv.Visitor{Email: "two@buyer.example", Name: "Maria Jensen", Role: portal.RoleAdmin, Customer: "C-1"})
	f.Clock.Advance(time.Second)
	f.Person(t, *f.tenant, testenv.Visitor{Email: "two@buyer.example", Name: "Maria Jensen", Role: portal.RoleApprover, Customer: "C-2"})
	f.Person(t, *f.tenant, testenv.Visitor{Email: longNew, Unverified: true})
	f.Person(t, *f.tenant, testenv.Visitor{Email: "first@buyer.example", MustChange: true})
	var all []seen
	add := func(name string, status int, a answer) {
		t.Helper()
		if a.status != status {
			t.Fatalf("page %s was answered %d, not %d, to %q:\n%s", name, a.status, status, a.where, a.body)
		}
		all = append(all, seen{name, status, a})
		f.Clock.Advance(time.Second) // what is listed by time has an order
	}

	nobody := f.guest(t)
	add("login", 200, nobody.get("/auth/login?return_to=/orders/42%3Fx=1"))
	add("login-ended", 200, nobody.get("/auth/login?ended=1&return_to=/orders"))
	add("login-wrong", 401, nobody.post("/auth/login", url.Values{"email": {longAnn}, "password": {wrongPassword}, "return_to": {"/orders/42?x=1"}, "remember": {"1"}}))
	add("login-no-address", 422, nobody.post("/auth/login", url.Values{"email": {"ann"}, "password": {wrongPassword}}))
	add("login-no-password", 422, nobody.post("/auth/login", url.Values{"email": {longAnn}}))
	add("login-empty", 422, nobody.post("/auth/login", nil))
	add("signout", 200, nobody.get("/auth/logout"))
	add("signedout", 200, nobody.get("/auth/signed-out"))
	add("signedout-all", 200, nobody.get("/auth/signed-out?all=1"))
	add("not-found", 404, nobody.get("/auth/nothing"))
	add("method", 405, nobody.post("/auth/signed-out", nil))
	add("unreadable", 400, nobody.post("/auth/login", url.Values{"email": {"a@b.example", "c@d.example"}}))

	unverified := f.guest(t)
	unverified.signIn(longNew, testenv.Password)
	add("confirm", 200, unverified.get("/auth/verify-email"))

	add("confirm-again", 200, unverified.get("/auth/verify-email?again=1"))
	add("forgot", 200, nobody.get("/auth/forgot-password"))
	add("forgot-no-address", 422, nobody.post("/auth/forgot-password", url.Values{"email": {"ann"}}))
	add("forgot-sent", 200, nobody.get(nobody.post("/auth/forgot-password", url.Values{"email": {longAnn}}).where))
	f.Courier(t, f.tenant.ID)
	add("dead-reset", 404, nobody.get("/auth/reset-password?token=nothing"))
	add("opened-again", 404, nobody.get("/auth/reset-password?opened=1"))
	add("dead-try-now", 404, nobody.get("/auth/try-now?token=nothing"))
	add("dead-verify", 404, nobody.get("/auth/verify-email?token=nothing"))
	add("dead-invitation", 404, nobody.get("/auth/register?token=nothing"))
	add("dead-not-me", 404, nobody.get("/auth/not-me?token=nothing"))
	reset := linked(t, f, portal.LetterRecover, "/auth/reset-password")
	add("reset", 200, nobody.get(reset.page))
	add("reset-short", 422, nobody.post("/auth/reset-password", url.Values{"token": {reset.token}, "password": {"short"}}))
	verify := linked(t, f, portal.LetterVerify, "/auth/verify-email")
	add("verify", 200, unverified.get(verify.page))
	add("verify-elsewhere", 200, nobody.get(verify.page))
	add("closed", 403, nobody.get("/auth/register"))
	f.tenant.Registration = portal.RegistrationOpen
	add("login-open", 200, nobody.get("/auth/login"))
	add("login-reset", 200, nobody.get("/auth/login?done=reset"))
	add("register", 200, nobody.get("/auth/register"))
	add("register-refused", 422, nobody.post("/auth/register", url.Values{"email": {"new2@buyer.example"}, "name": {"Noor"}, "password": {"short"}, "customer": {"C-1"}}))
	add("register-sent", 200, nobody.get("/auth/verify-email?sent=1"))
	f.tenant.Registration = portal.RegistrationInvite

	temporary := f.guest(t)
	temporary.signIn("first@buyer.example", testenv.Password)
	add("new-password", 200, temporary.get("/auth/account/password"))
	add("new-password-short", 422, temporary.post("/auth/account/password", url.Values{"password": {"short"}}))

	ann, elsewhere := f.guest(t), f.guest(t)
	ann.signIn(longAnn, testenv.Password)
	f.Clock.Advance(time.Second)
	elsewhere.header.Set("User-Agent", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15")
	elsewhere.signIn(longAnn, testenv.Password)
	f.Clock.Advance(time.Second)
	add("account", 200, ann.get("/auth/account"))
	add("account-done", 200, ann.get("/auth/account?done=password"))
	add("sessions", 200, ann.get("/auth/account/sessions"))
	add("activity", 200, ann.get("/auth/account/activity"))
	add("activity-changes", 200, ann.get("/auth/account/activity?show=changes"))
	add("data", 200, ann.get("/auth/account/data"))
	add("data-ask", 200, ann.get("/auth/account/data?ask=erase"))
	add("password", 200, ann.get("/auth/account/password"))
	add("password-wrong", 401, ann.post("/auth/account/password", url.Values{"current_password": {wrongPassword}, "password": {"four crates of lids, please"}}))

	add("address", 200, ann.get("/auth/account/email"))
	add("address-wrong", 401, ann.post("/auth/account/email", url.Values{"current_password": {wrongPassword}, "email": {"next@buyer.example"}}))
	add("address-sent", 200, ann.get("/auth/account/email?sent=1"))
	add("account-address", 200, ann.get("/auth/account?done=address"))
	f.Courier(t, f.tenant.ID)
	disown := linked(t, f, portal.LetterNewDevice, "/auth/not-me")
	add("not-me", 200, nobody.get(disown.page))
	add("not-me-done", 200, nobody.get("/auth/not-me?done=1"))
	add("not-me-moved", 200, nobody.get("/auth/not-me?done=2"))
	add("undo-done", 200, nobody.get("/auth/undo?done=1"))
	f.Recover(t, f.tenant.ID, "two@buyer.example", "new@elsewhere.example")
	f.Courier(t, f.tenant.ID)
	stop := linked(t, f, portal.LetterRecovery, "/auth/stop-recovery")
	add("stop-recovery", 200, nobody.get(stop.page))
	add("stop-recovery-done", 200, nobody.get("/auth/stop-recovery?done=1"))
	add("stop-recovery-confirmed", 200, nobody.get("/auth/stop-recovery?done=2"))
	add("dead-stop-recovery", 404, nobody.get("/auth/stop-recovery?token=nothing"))

	maria := f.guest(t)
	maria.signIn("two@buyer.example", testenv.Password)
	add("company", 200, maria.get("/auth/account/company?return_to=/orders"))
	add("company-refused", 422, maria.post("/auth/account/company", url.Values{"id": {"nothing"}}))
	add("account-company", 200, maria.get("/auth/account"))

	for i := range 5 {
		a := nobody.post("/auth/login", url.Values{"email": {"nobody@buyer.example"}, "password": {wrongPassword}, "return_to": {"/orders"}})
		if i == 4 {
			add("pause", 429, a)
		}
	}
	for name, p := range map[string]*portal.Problem{
		"cross-site":     {Kind: portal.ProblemCrossSite, Public: "This request came from another site. Go back to the portal and try again there."},
		"unavailable":    {Kind: portal.ProblemUnavailable, Public: "You are still signed in. This page is back soon.", RetryAfter: 5 * time.Second},
		"busy":           {Kind: portal.ProblemBusy, Public: "Many people are signing in. You are next in a few seconds; keep this page open.", RetryAfter: 3 * time.Second},
		"internal-error": nil,
	} {
		var err error = p
		status := 500
		if p == nil {
			err = errors.New("the cupboard is empty, and postgres://app:sesame@db/portal knows it")
		} else {
			status = p.Kind.Status()
		}
		f.refuse(err)
		add(name, status, ann.get("/orders"))
		f.refuse(nil)
	}
	secondPages(t, f, add)
	codePages(t, f, add)
	stranger := f.guest(t)
	stranger.tenant = &portal.Tenant{Hosts: []string{"nobody.localhost"}}
	add("unknown-host", http.StatusMisdirectedRequest, stranger.get("/"))
	return all
}
