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

const wrongPassword = "not the password"

// everyPage visits every page there is, in every state that changes what it shows.
func everyPage(t testing.TB, f *front) []seen {
	t.Helper()
	f.Person(t, *f.tenant, testenv.Visitor{})
	f.Person(t, *f.tenant, testenv.Visitor{Email: "two@buyer.example", Name: "Maria Jensen", Role: portal.RoleAdmin, Customer: "C-1"})
	f.Clock.Advance(time.Second)
	f.Person(t, *f.tenant, testenv.Visitor{Email: "two@buyer.example", Name: "Maria Jensen", Role: portal.RoleApprover, Customer: "C-2"})
	f.Person(t, *f.tenant, testenv.Visitor{Email: "new@buyer.example", Unverified: true})
	f.Person(t, *f.tenant, testenv.Visitor{Email: "first@buyer.example", MustChange: true})
	var all []seen
	add := func(name string, status int, a answer) {
		t.Helper()
		if a.status != status {
			t.Fatalf("page %s was answered %d, not %d:\n%s", name, a.status, status, a.body)
		}
		all = append(all, seen{name, status, a})
		f.Clock.Advance(time.Second) // what is listed by time has an order
	}

	nobody := f.guest(t)
	add("login", 200, nobody.get("/auth/login?return_to=/orders/42%3Fx=1"))
	add("login-ended", 200, nobody.get("/auth/login?ended=1&return_to=/orders"))
	add("login-wrong", 401, nobody.post("/auth/login", url.Values{"email": {"ann@buyer.example"}, "password": {wrongPassword}, "return_to": {"/orders/42?x=1"}, "remember": {"1"}}))
	add("login-no-address", 422, nobody.post("/auth/login", url.Values{"email": {"ann"}, "password": {wrongPassword}}))
	add("login-no-password", 422, nobody.post("/auth/login", url.Values{"email": {"ann@buyer.example"}}))
	add("signout", 200, nobody.get("/auth/logout"))
	add("signedout", 200, nobody.get("/auth/signed-out"))
	add("signedout-all", 200, nobody.get("/auth/signed-out?all=1"))
	add("not-found", 404, nobody.get("/auth/nothing"))
	add("method", 405, nobody.post("/auth/signed-out", nil))
	add("unreadable", 400, nobody.post("/auth/login", url.Values{"email": {"a@b.example", "c@d.example"}}))

	unverified := f.guest(t)
	unverified.signIn("new@buyer.example", testenv.Password)
	add("confirm", 200, unverified.get("/auth/verify-email"))

	temporary := f.guest(t)
	temporary.signIn("first@buyer.example", testenv.Password)
	add("new-password", 200, temporary.get("/auth/account/password"))
	add("new-password-short", 422, temporary.post("/auth/account/password", url.Values{"password": {"short"}}))

	ann, elsewhere := f.guest(t), f.guest(t)
	ann.signIn("ann@buyer.example", testenv.Password)
	f.Clock.Advance(time.Second)
	elsewhere.header.Set("User-Agent", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15")
	elsewhere.signIn("ann@buyer.example", testenv.Password)
	f.Clock.Advance(time.Second)
	add("account", 200, ann.get("/auth/account"))
	add("account-done", 200, ann.get("/auth/account?done=password"))
	add("sessions", 200, ann.get("/auth/account/sessions"))
	add("activity", 200, ann.get("/auth/account/activity"))
	add("activity-changes", 200, ann.get("/auth/account/activity?show=changes"))
	add("password", 200, ann.get("/auth/account/password"))
	add("password-wrong", 401, ann.post("/auth/account/password", url.Values{"current_password": {wrongPassword}, "password": {"four crates of lids, please"}}))

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
		"second-step":    {Kind: portal.ProblemMFARequired, Public: "This page needs a second step at sign-in, and your account has none yet."},
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
	stranger := f.guest(t)
	stranger.tenant = &portal.Tenant{Hosts: []string{"nobody.localhost"}}
	add("unknown-host", http.StatusMisdirectedRequest, stranger.get("/"))
	return all
}
