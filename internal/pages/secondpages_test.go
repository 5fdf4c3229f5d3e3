package pages_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

var sixDigits = regexp.MustCompile(`\b[0-9]{6}\b`)

// mailedCode is the code of the newest mail that carries one.
func (f *front) mailedCode(t testing.TB) string {
	t.Helper()
	f.Courier(t, f.tenant.ID)
	all := f.Mail.Sent(f.tenant.ID)
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Kind == portal.LetterCode {
			return sixDigits.FindString(all[i].Subject)
		}
	}
	t.Fatal("no code was mailed")
	return ""
}

// sees fails the test unless an answer has a status.
func (a answer) sees(t testing.TB, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("answered %d, not %d, to %q:\n%s", a.status, status, a.where, a.body)
	}
	return a
}

// longEva shows 42 characters of herself when she is masked.
const longEva = "eva@purchasingdepartmentofthebuyers.b.example"

// proves proves the mailbox of whoever is about to add a first second step.
func (g *guest) proves(returnTo string) answer {
	g.t.Helper()
	form := url.Values{"method": {"mailbox"}, "for": {"setup"}, "return_to": {returnTo}}
	form.Set("action", "send")
	g.post("/auth/mfa", form).sees(g.t, 303)
	form.Del("action")
	form.Set("code", g.f.mailedCode(g.t))
	return g.post("/auth/mfa", form).sees(g.t, 303)
}

// begins begins to add an authenticator app, and returns its key.
func (g *guest) begins(returnTo string) string {
	g.t.Helper()
	a := g.post("/auth/account/mfa", url.Values{"action": {"begin"}, "method": {"totp"}, "return_to": {returnTo}}).sees(g.t, 303)
	page := g.get(a.where).sees(g.t, 200)
	return text(one(g.t, page.doc(g.t), "#key"))
}

// confirms types the code that the app shows now.
func (g *guest) confirms(key, returnTo string) answer {
	g.t.Helper()
	return g.post("/auth/account/mfa", url.Values{"action": {"confirm"}, "method": {"totp"}, "code": {testenv.AppCode(g.t, key, g.f.Clock.Now())}, "return_to": {returnTo}})
}

// enrols gives somebody signed in an authenticator app, and returns its key and the backup codes.
func (g *guest) enrols() (key string, codes []string) {
	g.t.Helper()
	g.proves("/")
	key = g.begins("/")
	page := g.confirms(key, "/").sees(g.t, 200)
	return key, strings.Fields(text(one(g.t, page.doc(g.t), "#codes")))
}

// options asks for the options of a passkey as a page's script does.
func (g *guest) options(purpose string) json.RawMessage {
	g.t.Helper()
	return json.RawMessage(g.json(http.MethodPost, "/auth/webauthn/options", `{"purpose":"`+purpose+`"}`).sees(g.t, 200).body)
}

func (g *guest) origin() string { return strings.TrimSuffix(g.f.at(g.tenant, "/"), "/") }

// secondPages visits every page about second steps, in every state.
func secondPages(t testing.TB, f *front, add func(name string, status int, a answer)) {
	t.Helper()
	f.Person(t, *f.tenant, testenv.Visitor{Email: longEva, Name: "Eva Buyer"})
	f.tenant.MFA.Remember = true
	eva := f.guest(t)
	eva.signIn(longEva, testenv.Password)
	add("steps-none", 200, eva.get("/auth/account/mfa"))
	begin := url.Values{"action": {"begin"}, "method": {"totp"}}
	where := eva.post("/auth/account/mfa", begin).sees(t, 303).where
	add("second-mailbox", 200, eva.get(where))
	mailbox := url.Values{"method": {"mailbox"}, "for": {"setup"}, "action": {"send"}}
	eva.post("/auth/mfa", mailbox).sees(t, 303)
	add("second-mailbox-sent", 200, eva.get(where))
	add("second-mailbox-soon", 429, eva.post("/auth/mfa", mailbox))
	mailbox.Del("action")
	mailbox.Set("code", "12345")
	add("second-mailbox-short", 422, eva.post("/auth/mfa", mailbox))
	mailbox.Set("code", f.mailedCode(t))
	eva.post("/auth/mfa", mailbox).sees(t, 303)
	add("setup-add", 200, eva.get("/auth/account/mfa?add=totp"))
	key := eva.begins("/")
	add("setup-app", 200, eva.get("/auth/account/mfa?setup=totp"))
	add("setup-app-wrong", 422, eva.post("/auth/account/mfa", url.Values{"action": {"confirm"}, "method": {"totp"}, "code": {"12345"}}))
	sheet := eva.confirms(key, "/")
	add("codes", 200, sheet)
	add("steps", 200, eva.get("/auth/account/mfa?done=step-added"))
	id := regexp.MustCompile(`remove=([0-9a-f-]{36})`).FindStringSubmatch(eva.get("/auth/account/mfa").body)[1]
	// What is newest in the trail is one thing: setting up a second step is several, in one moment.
	rename := func() {
		eva.post("/auth/account/mfa", url.Values{"action": {"rename"}, "id": {id}, "name": {"Authenticator app"}}).sees(t, 303)
	}
	rename()
	add("account-steps", 200, eva.get("/auth/account"))
	add("ask-remove", 200, eva.get("/auth/account/mfa?remove="+id))
	add("ask-regenerate", 200, eva.get("/auth/account/mfa?regenerate=1"))
	add("steps-no-name", 422, eva.post("/auth/account/mfa", url.Values{"action": {"rename"}, "id": {id}, "name": {" "}}))
	add("offer", 200, eva.get("/auth/account/mfa?offer=1&return_to=/orders"))
	eva.post("/auth/account/mfa", url.Values{"action": {"begin"}, "method": {"webauthn"}}).sees(t, 303)
	add("setup-passkey", 200, eva.get("/auth/account/mfa?setup=webauthn"))
	device := &testenv.Passkey{Synced: true, Model: "bada5566-a7aa-401f-bd96-45619a55120d"}
	made := device.Answer(t, eva.origin(), eva.options("register"))
	eva.post("/auth/account/mfa", url.Values{"action": {"confirm"}, "method": {"webauthn"}, "credential": {made}, "name": {"Telephone"}}).sees(t, 303)
	add("steps-two", 200, eva.get("/auth/account/mfa"))
	rename()
	add("account-two", 200, eva.get("/auth/account"))
	anew := eva.post("/auth/account/mfa", url.Values{"action": {"regenerate"}})
	add("codes-anew", 200, anew)
	codes := strings.Fields(text(one(t, anew.doc(t), "#codes")))

	f.Clock.Advance(11 * time.Minute)
	add("second-again", 200, eva.get(eva.get("/auth/account/password").sees(t, 303).where))
	eva.post("/auth/logout", nil)
	where = eva.signIn(longEva, testenv.Password, "return_to", "/orders").where
	add("second", 200, eva.get(where))
	add("second-app", 200, eva.get(where+"&method=totp"))
	add("second-app-wrong", 401, eva.post("/auth/mfa", url.Values{"method": {"totp"}, "code": {"000 000"}, "trust": {"1"}, "return_to": {"/orders"}}))
	add("second-codes", 200, eva.get(where+"&method=backup"))
	add("second-passkey-refused", 422, eva.post("/auth/mfa", url.Values{"method": {"webauthn"}, "credential": {"{}"}, "return_to": {"/orders"}}))
	for i := range 6 { // two are left
		if i > 0 {
			eva.post("/auth/logout", nil)
			f.Clock.Advance(time.Second)
			eva.signIn(longEva, testenv.Password)
		}
		a := eva.post("/auth/mfa", url.Values{"method": {"backup"}, "code": {codes[i]}, "trust": {map[bool]string{true: "1"}[i == 5]}}).sees(t, 303)
		if i == 0 || i == 5 {
			add(map[int]string{0: "used", 5: "used-few"}[i], 200, eva.get(a.where))
		}
	}
	add("account-trusted", 200, eva.get("/auth/account"))
	add("steps-trusted", 200, eva.get("/auth/account/mfa"))
	f.Courier(t, f.tenant.ID)

	thief := f.guest(t)
	thief.signIn(longEva, testenv.Password)
	for i := range 5 {
		a := thief.post("/auth/mfa", url.Values{"method": {"totp"}, "code": {"000000"}})
		if i == 4 {
			add("second-rests", 429, a)
		}
	}
	add("login-late", 200, thief.get("/auth/login?late=1"))
	add("login-passkey-refused", 401, thief.post("/auth/login", url.Values{"credential": {"{}"}}))

	f.Person(t, *f.tenant, testenv.Visitor{Email: "ole@buyer.example", Name: "Ole Buyer"})
	ole := f.guest(t)
	f.tenant.MFA = portal.MFAPolicy{Default: portal.MFARequired, GraceDays: 14, Since: f.Clock.Now().Add(-time.Hour)}
	add("later", 200, ole.get(ole.signIn("ole@buyer.example", testenv.Password, "return_to", "/orders").where))
	add("steps-until", 200, ole.get("/auth/account/mfa?return_to=/orders"))
	f.Clock.Advance(11 * time.Minute)
	where = ole.post("/auth/account/sessions", url.Values{"action": {"revoke_others"}}).sees(t, 303).where
	add("second-password", 200, ole.get(where))
	add("second-password-wrong", 401, ole.post("/auth/mfa", url.Values{"method": {"password"}, "password": {wrongPassword}}))
	add("ask-end", 200, ole.get("/auth/account/sessions?end=others"))
	f.tenant.MFA = portal.MFAPolicy{Default: portal.MFARequired}
	late := f.guest(t)
	add("second-first", 200, late.get(late.signIn("ole@buyer.example", testenv.Password, "return_to", "/orders").where))
	f.Clock.Advance(2 * time.Minute)
	add("steps-first", 200, late.get(late.proves("/orders").where))
	late.begins("/orders")
	add("setup-first", 200, late.get("/auth/account/mfa?setup=totp&return_to=/orders"))
	f.tenant.MFA = portal.MFAPolicy{Default: portal.MFAOff}
	add("steps-off", 200, ole.get("/auth/account/mfa?needed=1&return_to=/orders"))
	f.tenant.MFA = portal.MFAPolicy{}
	add("offer-first", 200, ole.get("/auth/account/mfa?offer=1&return_to=/orders"))

	f.Clock.Advance(2 * time.Minute)
	ole.signIn("ole@buyer.example", testenv.Password)
	ole.enrols()
	thief = f.guest(t)
	thief.signIn("ole@buyer.example", testenv.Password)
	for range 5 {
		thief.post("/auth/mfa", url.Values{"method": {"totp"}, "code": {"000000"}})
	}
	add("second-rests-app", 200, thief.get("/auth/mfa"))
}
