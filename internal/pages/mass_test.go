package pages_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// extras are fields that no form offers: what an account is, and whose.
func extras(elsewhere *portal.Tenant) map[string]string {
	return map[string]string{
		"role": "CUSTOMER_ADMIN", "roles": "CUSTOMER_ADMIN", "tenant_id": string(elsewhere.ID), "tenant": elsewhere.Slug, "customer_id": "00000000-0000-7000-8000-000000000001",
		"user_id": "00000000-0000-7000-8000-000000000002", "user": "bob@buyer.example", "sub": "00000000-0000-7000-8000-000000000002", "verified": "true", "email_verified": "true", "is_email_verified": "true",
		"mfa_enabled": "false", "mfa_secret": "JBSWY3DPEHPK3PXP", "mfa_at": "2026-01-01T00:00:00Z", "locked_until": "2099-01-01T00:00:00Z", "account_locked_until": "2099-01-01T00:00:00Z", "failed_login_attempts": "99",
		"is_active": "false", "active": "false", "deleted_at": "2026-01-01T00:00:00Z", "must_change": "false", "password_hash": "$argon2id$x", "first_name": "Eve", "last_name": "Evil", "amr": "pwd,mfa", "step": "done",
		"operator": "1", "created_by": "00000000-0000-7000-8000-000000000002",
	}
}

// accounts are what a form must not change, of everybody at two tenants.
func (f *front) accounts(t *testing.T, elsewhere *portal.Tenant) string {
	t.Helper()
	var all string
	f.DB.Row(t, `select coalesce(string_agg(concat_ws(' ', email, id, tenant_id, customer_id, role, is_email_verified, is_active, mfa_enabled, coalesce(mfa_secret, '-'), account_locked_until, failed_login_attempts,
			first_name, last_name, deleted_at, created_by, coalesce(k.must_change, false), coalesce(k.version, 0)), e'\n' order by email, id), '')
		from public.customer_users u left join portalgate.credentials k on k.user_id = u.id where u.tenant_id in ($1, $2)`, []any{f.tenant.ID, elsewhere.ID}, &all)
	return all
}

// REG-07: fields that a form does not offer change no account, at any route, as a form or as JSON, signed in or not.
func TestFieldsThatNoFormOffersChangeNoAccount(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.tenant.Registration = portal.RegistrationOpen
	elsewhere := f.open(t, "Globex", portal.Brand{})
	id := f.Person(t, *f.tenant, testenv.Visitor{Customer: "C-1"})
	f.Person(t, *f.tenant, testenv.Visitor{Email: "bob@buyer.example"})
	f.Person(t, *elsewhere, testenv.Visitor{})
	ann, nobody := f.guest(t), f.guest(t)
	ann.signIn("ann@buyer.example", testenv.Password)
	before := f.accounts(t, elsewhere)
	valid := map[string]map[string]string{ // of what a form does offer, so that it is carried out where that changes no account
		"/auth/login":            {"email": "ann@buyer.example", "password": testenv.Password, "return_to": "/orders"},
		"/auth/forgot-password":  {"email": "ann@buyer.example"},
		"/auth/account/sessions": {"action": "revoke_others"},
		"/auth/account/company":  {"id": string(id)},
		"/auth/account/mfa":      {"action": "begin", "method": "totp"},
		"/auth/account/email":    {"email": "ann2@buyer.example", "current_password": testenv.Password},
		"/auth/account/password": {"current_password": wrongPassword, "password": "Nine purple lanterns, far away"},
		"/auth/webauthn/options": {"purpose": "login"},
	}
	tried := 0
	for path, methods := range routes {
		for _, method := range []string{http.MethodPost, http.MethodDelete} {
			if !strings.Contains(methods, method) || path == "/auth/logout" || path == "/auth/register" {
				continue
			}
			tried++
			for _, g := range []*guest{ann, nobody} {
				form := url.Values{}
				flat := map[string]string{}
				for _, from := range []map[string]string{extras(elsewhere), valid[path]} {
					for name, value := range from {
						form.Set(name, value)
						flat[name] = value
					}
				}
				b, err := json.Marshal(flat)
				if err != nil {
					t.Fatal(err)
				}
				answers := []answer{g.do(method, path, "application/x-www-form-urlencoded", form.Encode()), g.json(method, path, string(b)), g.do(method, path+"?"+form.Encode(), "", "")}
				for _, a := range answers {
					if a.status >= 500 {
						t.Errorf("%s %s is answered %d", method, path, a.status)
					}
				}
				if after := f.accounts(t, elsewhere); after != before {
					t.Fatalf("%s %s has changed\n%s\nto\n%s", method, path, before, after)
				}
			}
		}
	}
	if tried < 15 {
		t.Errorf("only %d routes were tried", tried)
	}
	if a := ann.get("/orders"); a.status != 200 {
		t.Errorf("the session is answered %d", a.status)
	}
}

// REG-07 at the one door that makes an account: a registration is of a person without rights, not confirmed, of this
// tenant.
func TestARegistrationIsOfAPersonWithoutRights(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.tenant.Registration = portal.RegistrationOpen
	elsewhere := f.open(t, "Globex", portal.Brand{})
	f.Person(t, *f.tenant, testenv.Visitor{Customer: "C-1"})
	for i, send := range []func(g *guest, form url.Values) answer{
		func(g *guest, form url.Values) answer { return g.post("/auth/register", form) },
		func(g *guest, form url.Values) answer {
			flat := map[string]string{}
			for name := range form {
				flat[name] = form.Get(name)
			}
			b, err := json.Marshal(flat)
			if err != nil {
				t.Fatal(err)
			}
			return g.json(http.MethodPost, "/auth/register", string(b))
		},
	} {
		email := fmt.Sprintf("new%d@buyer.example", i)
		form := url.Values{"email": {email}, "name": {"Noor New"}, "password": {"four crates of lids, please"}, "customer": {"C-1"}}
		for name, value := range extras(elsewhere) {
			form.Set(name, value)
		}
		send(f.guest(t), form).sees(t, 303)
		f.Courier(t, f.tenant.ID)
		var row string
		f.DB.Row(t, `select coalesce(string_agg(concat_ws(' ', u.tenant_id, role, is_email_verified, is_active, mfa_enabled, coalesce(mfa_secret, '-'), failed_login_attempts, first_name, last_name, c.customer_code), ';'), 'nobody')
			from public.customer_users u join public.customers c on c.id = u.customer_id where u.email = $1 and u.tenant_id in ($2, $3)`, []any{email, f.tenant.ID, elsewhere.ID}, &row)
		if want := fmt.Sprintf("%s CUSTOMER_USER f t f - 0 Noor New C-1", f.tenant.ID); row != want {
			t.Errorf("registered is %q, want %q", row, want)
		}
	}
}

// LOG-03: no route gives a session to somebody with a second step who has not shown it, whatever they bring: the
// password, another's code, or the links of every mail that there is.
func TestNoRouteGivesASessionBeforeTheSecondStep(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	g, key, _ := stepped(t, f)
	g.signIn("ann@buyer.example", testenv.Password)
	g.code(key).sees(t, 303)
	if g.cookies()["portalgate"] == "" {
		t.Fatal("the second step gives no session either: nothing is shown")
	}
	g.post("/auth/account/email", url.Values{"email": {"ann2@buyer.example"}, "current_password": {testenv.Password}}).sees(t, 303)
	thief := f.guest(t)
	thief.header.Set("Test-Address", "198.51.100.3")
	thief.post("/auth/forgot-password", url.Values{"email": {"ann@buyer.example"}}).sees(t, 303)
	for range 5 {
		thief.post("/auth/login", url.Values{"email": {"ann@buyer.example"}, "password": {wrongPassword}})
	}
	tokens := map[string]string{} // by the path they open
	f.Courier(t, f.tenant.ID)
	for _, m := range f.Mail.Sent(f.tenant.ID) {
		for _, path := range []string{"/auth/verify-email", "/auth/reset-password", "/auth/undo", "/auth/not-me", "/auth/try-now"} {
			if _, after, ok := strings.Cut(m.Text, path+"?token="); ok {
				token, _, _ := strings.Cut(strings.Fields(after)[0], "&")
				tokens[path] = token
			}
		}
	}
	for _, path := range []string{"/auth/verify-email", "/auth/reset-password", "/auth/not-me", "/auth/try-now"} {
		if tokens[path] == "" {
			t.Errorf("no mail has a link to %s: %v", path, tokens)
		}
	}
	given := func(what string, a answer) {
		t.Helper()
		for _, line := range a.header["Set-Cookie"] {
			for _, name := range []string{"portalgate=", "portalgate-refresh="} {
				if value, ok := strings.CutPrefix(line, name); ok && !strings.HasPrefix(value, ";") {
					t.Errorf("%s (%d, to %q) gives a session: %s", what, a.status, a.where, name)
				}
			}
		}
	}
	// The link lets the thief's browser try at once; from here on it holds a right password's attempt.
	try := func(path string, form map[string]string) {
		t.Helper()
		values := url.Values{}
		for name, value := range form {
			values.Set(name, value)
		}
		b, err := json.Marshal(form)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(routes[path], "POST") {
			given("POST "+path, thief.post(path, values))
			given("JSON "+path, thief.json(http.MethodPost, path, string(b)))
		}
		if strings.Contains(routes[path], "DELETE") {
			given("DELETE "+path, thief.do(http.MethodDelete, path, "", ""))
		}
		if strings.Contains(routes[path], "GET") {
			given("GET "+path, thief.get(path))
			if token := form["token"]; token != "" {
				given("GET of the link "+path, thief.get(path+"?token="+token))
			}
		}
	}
	try("/auth/try-now", map[string]string{"token": tokens["/auth/try-now"]})
	f.Clock.Advance(5 * 60 * 1e9) // nothing rests any more, or it does: neither opens anything
	all := func(password string) {
		t.Helper()
		given("the password", thief.post("/auth/login", url.Values{"email": {"ann@buyer.example"}, "password": {password}}))
		for path := range routes {
			if path == "/auth/reset-password" {
				continue
			}
			for _, action := range []string{"begin", "confirm", "saved", "remove", "regenerate", "send", "revoke_all"} {
				form := map[string]string{"email": "ann@buyer.example", "password": password, "current_password": password, "remember": "1", "code": "000000", "method": "totp", "action": action, "credential": "", "for": "setup",
					"purpose": "login", "id": "00000000-0000-7000-8000-000000000001"}
				if path == "/auth/login" {
					form["code"] = testenv.AppCode(t, key, f.Clock.Now()) // where only a password is read
				}
				if token := tokens[path]; token != "" {
					form["token"] = token
				}
				try(path, form)
				if tokens[path] == "" && path != "/auth/account/mfa" && path != "/auth/mfa" {
					break
				}
			}
		}
	}
	all(testenv.Password)
	try("/auth/reset-password", map[string]string{"token": tokens["/auth/reset-password"], "password": "Nine purple lanterns, far away"})
	all("Nine purple lanterns, far away")
	if a := thief.json(http.MethodGet, "/auth/api/session", ""); a.status != 401 {
		t.Errorf("the thief's session is answered %d", a.status)
	}
}
