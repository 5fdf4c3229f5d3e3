package pages_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

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
	f.DB.Row(t, `select coalesce(string_agg(concat_ws(' ', u.email, u.id, u.tenant_id, u.customer_id, u.role, u.is_email_verified, u.is_active, u.mfa_enabled, coalesce(u.mfa_secret, '-'), u.account_locked_until, u.failed_login_attempts,
			u.first_name, u.last_name, u.deleted_at, u.created_by, coalesce(k.must_change, false), coalesce(k.version, 0)), e'\n' order by u.email, u.id), '')
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
	before := f.accounts(t, elsewhere)
	valid := map[string]map[string]string{ // of what a form does offer, so that it is carried out where that changes no account
		"/auth/login":            {"email": "bob@buyer.example", "password": testenv.Password, "return_to": "/orders"},
		"/auth/forgot-password":  {"email": "ann@buyer.example"},
		"/auth/account/sessions": {"action": "revoke_others"},
		"/auth/account/company":  {"id": string(id)},
		"/auth/account/mfa":      {"action": "begin", "method": "totp"},
		"/auth/account/email":    {"email": "ann2@buyer.example", "current_password": testenv.Password},
		"/auth/webauthn/options": {"purpose": "login"},
	}
	tried := 0
	for path, methods := range routes {
		for _, method := range []string{http.MethodPost, http.MethodDelete} {
			if !strings.Contains(methods, method) || path == "/auth/logout" || path == "/auth/register" {
				continue
			}
			tried++
			ann.signIn("ann@buyer.example", testenv.Password)
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
}

// REG-07 at the one door that makes an account: a registration is of a person without rights, not confirmed, of this
// tenant.
func TestARegistrationIsOfAPersonWithoutRights(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.tenant.Registration = portal.RegistrationOpen
	f.DB.Exec(t, `insert into portalgate.settings (tenant_id, key, value, changed_at) values ($1, 'registration', '"open"', now())`, f.tenant.ID)
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
		f.DB.Row(t, `select coalesce(string_agg(concat_ws(' ', u.tenant_id, u.role, u.is_email_verified, u.is_active, u.mfa_enabled, coalesce(u.mfa_secret, '-'), u.failed_login_attempts, u.first_name, u.last_name, c.customer_code), ';'), 'nobody')
			from public.customer_users u join public.customers c on c.id = u.customer_id where u.email = $1 and u.tenant_id in ($2, $3)`, []any{email, f.tenant.ID, elsewhere.ID}, &row)
		if want := fmt.Sprintf("%s CUSTOMER_USER f t f - 0 Noor New C-1", f.tenant.ID); row != want {
			t.Errorf("registered is %q, want %q", row, want)
		}
	}
}

// gives says whether an answer hands over a session.
func (a answer) gives() bool {
	for _, line := range a.header["Set-Cookie"] {
		for _, name := range []string{"portalgate=", "portalgate-refresh="} {
			if value, ok := strings.CutPrefix(line, name); ok && !strings.HasPrefix(value, ";") {
				return true
			}
		}
	}
	return false
}

// LOG-03: no route gives a session to somebody with a second step who has not shown it, by whatever method and with
// whatever fields, while the password was right.
func TestNoRouteGivesASessionBeforeTheSecondStep(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	g, key, _ := stepped(t, f)
	g.signIn("ann@buyer.example", testenv.Password)
	if a := g.code(key).sees(t, 303); !a.gives() {
		t.Fatal("the second step gives no session either: nothing is shown")
	}
	thief := f.guest(t)
	thief.header.Set("Test-Address", "198.51.100.3")
	for path, methods := range routes {
		for _, action := range []string{"", "begin", "confirm", "saved", "remove", "regenerate", "send", "revoke_all"} {
			if a := thief.signIn("ann@buyer.example", testenv.Password); a.gives() {
				t.Fatal("the password alone gives a session")
			}
			form := map[string]string{"email": "ann@buyer.example", "password": testenv.Password, "current_password": testenv.Password, "remember": "1", "code": "000000", "method": "totp", "action": action,
				"for": "setup", "purpose": "login", "id": "00000000-0000-7000-8000-000000000001", "token": "x"}
			if path == "/auth/login" {
				form["code"] = testenv.AppCode(t, key, f.Clock.Now().Add(30*time.Second)) // where only a password is read
			}
			values := url.Values{}
			for name, value := range form {
				values.Set(name, value)
			}
			b, err := json.Marshal(form)
			if err != nil {
				t.Fatal(err)
			}
			var got []answer
			if strings.Contains(methods, "POST") {
				got = append(got, thief.post(path, values), thief.json(http.MethodPost, path, string(b)))
			}
			if strings.Contains(methods, "DELETE") {
				got = append(got, thief.do(http.MethodDelete, path, "", ""))
			}
			if strings.Contains(methods, "GET") {
				got = append(got, thief.get(path))
			}
			for _, a := range got {
				if a.gives() {
					t.Errorf("%s, %q (%d, to %q) gives a session", path, action, a.status, a.where)
				}
			}
			if !strings.Contains(methods, "POST") {
				break
			}
		}
	}
	if a := thief.json(http.MethodGet, "/auth/api/session", ""); a.status != 401 {
		t.Errorf("the thief's session is answered %d", a.status)
	}
}

// LOG-03, REC-04: nor does the link of any mail, in a browser that has typed the password as well.
func TestNoLinkOfAMailGivesASessionBeforeTheSecondStep(t *testing.T) {
	t.Parallel()
	const next = "Nine purple lanterns, far away"
	for _, path := range []string{"/auth/reset-password", "/auth/verify-email", "/auth/try-now", "/auth/not-me"} {
		f := newFront(t, testenv.Plan{})
		g, key, _ := stepped(t, f)
		reader := f.guest(t)
		reader.header.Set("Test-Address", "198.51.100.3")
		switch path {
		case "/auth/reset-password":
			reader.post("/auth/forgot-password", url.Values{"email": {"ann@buyer.example"}}).sees(t, 303)
		case "/auth/verify-email":
			g.signIn("ann@buyer.example", testenv.Password)
			g.code(key).sees(t, 303)
			g.post("/auth/account/email", url.Values{"email": {"ann2@buyer.example"}, "current_password": {testenv.Password}})
		case "/auth/try-now":
			for range 5 {
				reader.post("/auth/login", url.Values{"email": {"ann@buyer.example"}, "password": {wrongPassword}})
			}
		}
		token := ""
		f.Courier(t, f.tenant.ID)
		for _, m := range f.Mail.Sent(f.tenant.ID) {
			if _, after, ok := strings.Cut(m.Text, path+"?token="); ok {
				token = strings.Fields(after)[0]
			}
		}
		if token == "" {
			t.Errorf("no mail has a link to %s", path)
			continue
		}
		opened := []answer{reader.get(path + "?token=" + token), reader.post(path, url.Values{"token": {token}, "password": {next}, "email": {"ann@buyer.example"}, "remember": {"1"}})}
		if opened[1].status != 303 {
			t.Errorf("%s is answered %d: nothing is shown", path, opened[1].status)
		}
		opened = append(opened, reader.get(opened[1].where))
		if path != "/auth/not-me" { // which takes the second step away that its mail was about
			for _, email := range []string{"ann@buyer.example", "ann2@buyer.example"} {
				for _, password := range []string{testenv.Password, next} {
					opened = append(opened, reader.post("/auth/login", url.Values{"email": {email}, "password": {password}}))
				}
			}
			if n := len(opened); opened[n-4].where != "/auth/mfa" && opened[n-3].where != "/auth/mfa" && opened[n-2].where != "/auth/mfa" {
				t.Errorf("%s: no password leads to the second step: %d, %d, %d", path, opened[n-4].status, opened[n-3].status, opened[n-2].status)
			}
		}
		for i, a := range opened {
			if a.gives() {
				t.Errorf("%s, %d. (%d, to %q) gives a session", path, i+1, a.status, a.where)
			}
		}
	}
}
