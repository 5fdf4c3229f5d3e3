package pages_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// stepped is somebody with an authenticator app, who is signed out.
func stepped(t *testing.T, f *front) (g *guest, key string, codes []string) {
	t.Helper()
	f.Person(t, *f.tenant, testenv.Visitor{})
	g = f.guest(t)
	g.signIn("ann@buyer.example", testenv.Password)
	key, codes = g.enrols()
	g.post("/auth/logout", nil).sees(t, 303)
	f.Clock.Advance(time.Minute)
	return g, key, codes
}

// code answers the second step with what the app shows.
func (g *guest) code(key string, more ...string) answer {
	g.t.Helper()
	form := url.Values{"method": {"totp"}, "code": {testenv.AppCode(g.t, key, g.f.Clock.Now())}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return g.post("/auth/mfa", form)
}

// LOG-02: the right password of somebody with a second step is worth nothing but the second step.
func TestTheRightPasswordAloneOpensNothingButTheSecondStep(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	g, key, _ := stepped(t, f)
	a := g.signIn("ann@buyer.example", testenv.Password, "return_to", "/orders")
	if a.where != "/auth/mfa?return_to=%2Forders" {
		t.Fatalf("the right password leads to %q", a.where)
	}
	for name := range g.cookies() {
		if name != "portalgate-attempt" && name != "portalgate-device" {
			t.Errorf("it gives a cookie %s", name)
		}
	}
	gone := func(what string, a answer) {
		t.Helper()
		if a.status < 300 || strings.Contains(a.body, "ann@buyer.example") || a.header.Get("Set-Cookie") != "" && !strings.Contains(a.header.Get("Set-Cookie"), "Max-Age=0") {
			t.Errorf("%s is answered %d, with cookies %q:\n%s", what, a.status, a.header["Set-Cookie"], a.body)
		}
	}
	pending := g.cookies()["portalgate-attempt"]
	for path, methods := range routes {
		switch path {
		case "/auth/mfa", "/auth/login", "/auth/logout", "/auth/signed-out", "/auth/register", "/auth/forgot-password", "/auth/webauthn/options":
			continue // open to everybody, or the second step itself
		}
		if strings.Contains(path, "static") || strings.Contains(path, "brand") || strings.Contains(path, "jwks") || strings.Contains(path, "well-known") {
			continue
		}
		for method := range strings.SplitSeq(methods, ", ") {
			h := f.guest(t)
			h.header.Set("Cookie", "portalgate-attempt="+pending)
			form := ""
			if method == http.MethodPost {
				form = "action=begin&method=totp&id=x&password=Three+crates+of+lids&current_password=" + url.QueryEscape(testenv.Password) + "&email=next%40buyer.example"
			}
			gone(method+" "+path, h.do(method, path, "application/x-www-form-urlencoded", form))
		}
	}
	gone("a page of the portal", g.get("/orders"))
	gone("the session as data", g.json(http.MethodGet, "/auth/api/session", ""))
	gone("a query", g.json(http.MethodPost, "/graphql", `{"query":"{me}"}`))
	gone("options for a new passkey", g.json(http.MethodPost, "/auth/webauthn/options", `{"purpose":"register"}`))

	if g.cookies()["portalgate-attempt"] != pending {
		t.Fatal("the attempt was taken away")
	}
	done := g.code(key)
	if done.status != 303 || done.where != "/orders" {
		t.Errorf("after all that the code is answered %d, to %q", done.status, done.where)
	}
	f.Clock.Advance(time.Minute)
	if again := g.code(key); again.status != 303 || !strings.HasPrefix(again.where, "/auth/login") {
		t.Errorf("the attempt lives on: %d, to %q", again.status, again.where)
	}
}

// TOTP-05: whoever knows the password of somebody with a second step cannot set up another beside it.
func TestASignInThatWaitsForItsSecondStepSetsUpNone(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	g, _, _ := stepped(t, f)
	f.tenant.MFA = portal.MFAPolicy{Default: portal.MFARequired}
	g.signIn("ann@buyer.example", testenv.Password)
	before := len(f.Mail.Sent(f.tenant.ID))
	for what, a := range map[string]answer{
		"the page": g.get("/auth/account/mfa"), "a set-up's page": g.get("/auth/account/mfa?setup=totp"), "asking for one": g.get("/auth/account/mfa?add=totp"),
		"beginning":          g.post("/auth/account/mfa", url.Values{"action": {"begin"}, "method": {"totp"}}),
		"confirming":         g.post("/auth/account/mfa", url.Values{"action": {"confirm"}, "method": {"totp"}, "code": {"123456"}}),
		"new codes":          g.post("/auth/account/mfa", url.Values{"action": {"regenerate"}}),
		"removing":           g.post("/auth/account/mfa", url.Values{"action": {"remove"}, "id": {"00000000-0000-4000-8000-000000000000"}}),
		"a code to the mail": g.post("/auth/mfa", url.Values{"action": {"send"}, "method": {"mailbox"}, "for": {"setup"}}),
		"the mailbox":        g.post("/auth/mfa", url.Values{"method": {"mailbox"}, "code": {"123456"}, "for": {"setup"}}),
	} {
		if a.status < 300 || strings.Contains(a.body, "otpauth:") || strings.Contains(a.body, `id="codes"`) || a.status == 303 && !strings.HasPrefix(a.where, "/auth/login") {
			t.Errorf("%s is answered %d, to %q", what, a.status, a.where)
		}
	}
	f.Courier(t, f.tenant.ID)
	for _, m := range f.Mail.Sent(f.tenant.ID)[before:] {
		if m.Kind == portal.LetterCode {
			t.Error("a code was sent")
		}
	}
}

func TestACodeIsAskedForAsAFormAndAsData(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	g, key, codes := stepped(t, f)
	g.signIn("ann@buyer.example", testenv.Password, "return_to", "/orders?x=1")
	for body, want := range map[string]int{
		`{"method":"totp","code":"000000"}`: 401, `{"method":"totp","code":"12"}`: 422, `{"method":"nothing","code":"123456"}`: 422,
		`{"method":"totp","code":123456}`: 400, `{"method":"totp","code":["123456"]}`: 400, `{"method":"totp","code":"1","code":"2"}`: 400,
	} {
		if a := g.json(http.MethodPost, "/auth/mfa", body); a.status != want || a.json(t)["code"] == "" {
			t.Errorf("%s is answered %d %s", body, a.status, a.body)
		}
	}
	if a := g.get("/auth/mfa?code=" + testenv.AppCode(t, key, f.Clock.Now())); a.status != 200 {
		t.Errorf("a code in an address is answered %d", a.status)
	}
	if a := g.post("/auth/mfa?code=123456", url.Values{"method": {"totp"}}); a.status != 400 {
		t.Errorf("a code in the address of a form is answered %d", a.status)
	}
	a := g.json(http.MethodPost, "/auth/mfa", `{"method":"backup","code":"`+strings.ToLower(strings.ReplaceAll(codes[0], "-", " "))+`"}`)
	if a.status != 303 || !strings.Contains(a.where, "used=1") || !strings.Contains(a.where, url.QueryEscape("/orders?x=1")) {
		t.Fatalf("a backup code is answered %d, to %q: %s", a.status, a.where, a.body)
	}
	if page := g.get(a.where); !strings.Contains(page.body, "7 backup codes are left") || attr(one(t, page.doc(t), "main a.button"), "href") != "/orders?x=1" {
		t.Errorf("it does not say how many are left, or leads on elsewhere:\n%s", page.body)
	}
	if page := g.get("/orders"); page.status != 200 {
		t.Errorf("the portal is answered %d", page.status)
	}
}

func TestWhoIsAskedAgainComesBackToWhatTheyWereDoing(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	g, key, _ := stepped(t, f)
	other := f.guest(t)
	for _, x := range []*guest{other, g} {
		x.signIn("ann@buyer.example", testenv.Password)
		x.code(key).sees(t, 303)
		f.Clock.Advance(time.Minute)
	}
	f.Clock.Advance(11 * time.Minute)
	for _, page := range []string{"/auth/account/password", "/auth/account/email"} {
		if a := g.get(page); a.status != 303 || a.where != "/auth/mfa?return_to="+url.QueryEscape(page) {
			t.Errorf("%s is answered %d, to %q", page, a.status, a.where)
		}
	}
	id := ""
	for _, in := range find(g.get("/auth/account/sessions").doc(t), "input[name=id]") {
		id = attr(in, "value") // the last is the other one: this one is listed first
	}
	a := g.post("/auth/account/sessions", url.Values{"action": {"revoke"}, "id": {id}}).sees(t, 303)
	back := "/auth/account/sessions?end=" + id
	if a.where != "/auth/mfa?return_to="+url.QueryEscape(back) {
		t.Fatalf("ending a session leads to %q", a.where)
	}
	if api := g.json(http.MethodDelete, "/auth/api/sessions", ""); api.status != 401 || api.json(t)["code"] != "mfa_required" || api.json(t)["login_url"] != "/auth/mfa" {
		t.Errorf("as data it is answered %d %s", api.status, api.body)
	}
	old := g.cookies()["portalgate"]
	if a := g.code(key, "return_to", back); a.status != 303 || a.where != back {
		t.Fatalf("the code leads to %q, with %d", a.where, a.status)
	}
	if now := g.cookies(); now["portalgate"] == old || now["portalgate-attempt"] != "" {
		t.Error("the session is the one of before (LOG-04)")
	}
	stale := f.guest(t)
	stale.header.Set("Cookie", "portalgate="+old)
	if a := stale.json(http.MethodGet, "/auth/api/session", ""); a.status != 401 {
		t.Errorf("the session of before is answered %d", a.status)
	}
	form := one(t, g.get(back).sees(t, 200).doc(t), "main form")
	again := url.Values{}
	for _, in := range find(form, "input") {
		again.Set(attr(in, "name"), attr(in, "value"))
	}
	if a := g.post(attr(form, "action"), again); a.status != 303 || a.where != "/auth/account/sessions?done=device" {
		t.Errorf("pressing the button is answered %d, to %q", a.status, a.where)
	}
	if a := other.json(http.MethodGet, "/auth/api/session", ""); a.status != 401 {
		t.Errorf("the other session is answered %d", a.status)
	}
}

// SES-09: a second step gets another name from whoever has just shown that it is them; what was typed is there again when
// they come back.
func TestWhoIsAskedAgainComesBackToTheNameThatTheyTyped(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	g, key, _ := stepped(t, f)
	g.signIn("ann@buyer.example", testenv.Password)
	g.code(key).sees(t, 303)
	id := regexp.MustCompile(`remove=([0-9a-f-]{36})`).FindStringSubmatch(g.get("/auth/account/mfa").body)[1]
	f.Clock.Advance(11 * time.Minute)
	rename := url.Values{"action": {"rename"}, "id": {id}, "name": {"Ann's & Bob's"}}
	if empty := g.post("/auth/account/mfa", url.Values{"action": {"rename"}, "id": {id}, "name": {" "}}); empty.status != 422 {
		t.Errorf("no name at all is answered %d", empty.status)
	}
	a := g.post("/auth/account/mfa", rename).sees(t, 303)
	back := "/auth/account/mfa?name=Ann%27s+%26+Bob%27s&rename=" + id
	if a.where != "/auth/mfa?for=setup&return_to="+url.QueryEscape(back) {
		t.Fatalf("it leads to %q", a.where)
	}
	if strings.Contains(g.get("/auth/account/mfa").body, "Bob") {
		t.Error("it has the new name already")
	}
	if api := g.json(http.MethodPost, "/auth/account/mfa", `{"action": "rename", "id": "`+id+`", "name": "Bob's"}`); api.status != 401 || api.json(t)["code"] != "mfa_required" {
		t.Errorf("as data it is answered %d %s", api.status, api.body)
	}
	if a := g.code(key, "return_to", back); a.status != 303 || a.where != back {
		t.Fatalf("the code leads to %q, with %d", a.where, a.status)
	}
	page := g.get(back).sees(t, 200).doc(t)
	if field := one(t, page, "details[open] input[name=name]"); attr(field, "value") != "Ann's & Bob's" {
		t.Errorf("the field has %q", attr(field, "value"))
	}
	if a := g.post("/auth/account/mfa", rename); a.status != 303 || a.where != "/auth/account/mfa?done=step-renamed" {
		t.Errorf("pressing the button is answered %d, to %q", a.status, a.where)
	}
}

func TestAPageThatNeedsASecondStepLeadsThroughSettingOneUp(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	g := f.guest(t)
	g.signIn("ann@buyer.example", testenv.Password)
	f.refuse(&portal.Problem{Kind: portal.ProblemMFARequired, Public: "This page needs a second step at sign-in."})
	a := g.get("/billing?y=2").sees(t, 303)
	if a.where != "/auth/mfa?return_to="+url.QueryEscape("/billing?y=2") {
		t.Fatalf("the page leads to %q", a.where)
	}
	if a := g.json(http.MethodPost, "/billing", `{}`); a.status != 401 || a.json(t)["code"] != "mfa_required" || a.json(t)["login_url"] != "/auth/mfa" {
		t.Errorf("as data it is answered %d %s", a.status, a.body)
	}
	if a := g.post("/billing", url.Values{"x": {"1"}}); a.status != 401 {
		t.Errorf("a form is answered %d", a.status)
	}
	if a := g.json(http.MethodPost, "/graphql", `{"query":"{me}"}`); a.status != 401 || !strings.Contains(a.body, `"loginUrl":"/auth/mfa"`) {
		t.Errorf("as GraphQL it is answered %d %s", a.status, a.body)
	}
	a = g.get(a.where).sees(t, 303) // not back: that would go on for ever
	if !strings.HasPrefix(a.where, "/auth/account/mfa?needed=1&return_to=") {
		t.Fatalf("it leads on to %q", a.where)
	}
	if page := g.get(a.where).sees(t, 200); !strings.Contains(page.body, "The page you were going to needs a second step") {
		t.Error("the page does not say why one is here")
	}
	g.proves("/billing?y=2")
	page := g.confirms(g.begins("/billing?y=2"), "/billing?y=2").sees(t, 200)
	if attr(one(t, page.doc(t), "main form input[name=return_to]"), "value") != "/billing?y=2" {
		t.Error("after the backup codes it does not go on where one was going")
	}
	f.refuse(nil)
	if a := g.get("/billing"); a.status != 200 {
		t.Errorf("after that the page is answered %d", a.status)
	}
	if amr := g.json(http.MethodGet, "/auth/api/session", "").json(t)["session"].(map[string]any); amr["mfa_at"] == nil {
		t.Errorf("the session does not say so: %v", amr)
	}
}

func TestWhoMustHaveASecondStepAddsItBeforeTheyAreSignedIn(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	f.tenant.MFA = portal.MFAPolicy{Default: portal.MFARequired}
	g := f.guest(t)
	a := g.signIn("ann@buyer.example", testenv.Password, "return_to", "/orders")
	if a.where != "/auth/mfa?for=setup&return_to=%2Forders" {
		t.Fatalf("it leads to %q", a.where)
	}
	// Whoever has only learned the password gets no key.
	if a := g.post("/auth/account/mfa", url.Values{"action": {"begin"}, "method": {"totp"}}); a.status != 303 || !strings.HasPrefix(a.where, "/auth/mfa?for=setup") {
		t.Errorf("beginning without the mailbox is answered %d, to %q", a.status, a.where)
	}
	f.Clock.Advance(2 * time.Minute)
	if a := g.proves("/orders"); a.where != "/auth/account/mfa?return_to=%2Forders" {
		t.Errorf("the mailbox leads to %q", a.where)
	}
	key := g.begins("/orders")
	if again := g.begins("/orders"); again != key {
		t.Error("loading the page again shows another key")
	}
	if g.cookies()["portalgate"] != "" {
		t.Error("there is a session already")
	}
	page := g.confirms(key, "/orders").sees(t, 200)
	if codes := strings.Fields(text(one(t, page.doc(t), "#codes"))); len(codes) != 8 {
		t.Errorf("%d backup codes", len(codes))
	}
	if a := g.post("/auth/account/mfa", url.Values{"action": {"saved"}, "saved": {"1"}, "return_to": {attr(one(t, page.doc(t), "input[name=return_to]"), "value")}}); a.where != "/orders" {
		t.Errorf("it goes on to %q", a.where)
	}
	if a := g.get("/orders"); a.status != 200 {
		t.Errorf("the portal is answered %d", a.status)
	}
	if page := g.get("/auth/account/mfa"); strings.Contains(page.body, key) || strings.Contains(page.body, `id="codes"`) {
		t.Error("the key or the codes are shown again")
	}
}

func TestTheDayOfASecondStepIsToldAndCanBePutOff(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	f.tenant.MFA = portal.MFAPolicy{Default: portal.MFARequired, GraceDays: 14, Since: f.Clock.Now().Add(-time.Hour)}
	g := f.guest(t)
	a := g.signIn("ann@buyer.example", testenv.Password, "return_to", "/orders")
	page := g.get(a.where).sees(t, 200)
	day := f.Clock.Now().Add(14 * 24 * time.Hour).UTC().Format("2 January 2006")
	if !strings.Contains(text(page.doc(t)), day) {
		t.Errorf("it does not say %q:\n%s", day, page.body)
	}
	ways := find(page.doc(t), "main a.button")
	if len(ways) != 2 || attr(ways[0], "href") != "/auth/account/mfa?return_to=%2Forders" || attr(ways[1], "href") != "/orders" {
		t.Error("it can be neither done nor put off")
	}
	if a := g.get("/orders"); a.status != 200 {
		t.Errorf("the portal is answered %d meanwhile", a.status)
	}
	f.Clock.Advance(15 * 24 * time.Hour)
	if a := f.guest(t).signIn("ann@buyer.example", testenv.Password); !strings.HasPrefix(a.where, "/auth/mfa?for=setup") {
		t.Errorf("after that day it leads to %q", a.where)
	}
}

func TestADeviceThatIsNotAskedCanBeAskedAgain(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.tenant.MFA.Remember = true
	g, key, _ := stepped(t, f)
	out := func() { g.post("/auth/logout", nil).sees(t, 303); f.Clock.Advance(time.Minute) }
	g.signIn("ann@buyer.example", testenv.Password)
	if has(one(t, g.get("/auth/mfa").doc(t), "#trust"), "checked") {
		t.Error("not asking again is chosen for them")
	}
	g.code(key, "trust", "1").sees(t, 303)
	out()
	if a := g.signIn("ann@buyer.example", testenv.Password); a.where != "/" {
		t.Fatalf("the device is asked: %q", a.where)
	}
	button := one(t, g.get("/auth/account").sees(t, 200).doc(t), "form[action=/auth/account/mfa] button")
	if text(button) != "Ask again everywhere" {
		t.Errorf("the button says %q", text(button))
	}
	g.post("/auth/account/mfa", url.Values{"action": {"distrust"}}).sees(t, 303)
	out()
	if a := g.signIn("ann@buyer.example", testenv.Password); a.where != "/auth/mfa" {
		t.Errorf("the device is not asked: %q", a.where)
	}
}

func TestAPasskeySignsInByItselfAndAsASecondStep(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	g := f.guest(t)
	g.signIn("ann@buyer.example", testenv.Password)
	g.enrols()
	device := &testenv.Passkey{Synced: true}
	made := device.Answer(t, g.origin(), g.options("register"))
	if a := g.post("/auth/account/mfa", url.Values{"action": {"confirm"}, "method": {"webauthn"}, "credential": {made}, "name": {"Telephone"}}); a.status != 303 {
		t.Fatalf("the passkey is answered %d:\n%s", a.status, a.body)
	}
	g.post("/auth/logout", nil).sees(t, 303)
	f.Clock.Advance(time.Minute)

	nobody := f.guest(t)
	options := nobody.options("login")
	if strings.Contains(string(options), "allowCredentials") {
		t.Errorf("the question tells which passkeys there are: %s", options) // WA-07
	}
	answered := device.Answer(t, nobody.origin(), options)
	if a := f.guest(t).post("/auth/login", url.Values{"credential": {answered}}); a.status != 401 {
		t.Errorf("in another browser the answer is answered %d", a.status)
	}
	if a := nobody.post("/auth/login", url.Values{"credential": {answered}, "return_to": {"/orders"}}); a.status != 303 || a.where != "/orders" {
		t.Fatalf("it is answered %d, to %q:\n%s", a.status, a.where, a.body)
	}
	if a := nobody.get("/auth/account/sessions"); !strings.Contains(a.body, "with a passkey") {
		t.Error("the list does not say with what")
	}
	nobody.post("/auth/logout", nil)
	if a := nobody.post("/auth/login", url.Values{"credential": {answered}}); a.status != 401 {
		t.Errorf("a second time it is answered %d", a.status)
	}
	g.signIn("ann@buyer.example", testenv.Password)
	if a := g.post("/auth/mfa", url.Values{"method": {"webauthn"}, "credential": {device.Answer(t, g.origin(), g.options("mfa"))}}); a.status != 303 || a.where != "/" {
		t.Errorf("as a second step it is answered %d, to %q:\n%s", a.status, a.where, a.body)
	}
	for _, purpose := range []string{"", "other", "enter"} {
		if a := g.json(http.MethodPost, "/auth/webauthn/options", `{"purpose":"`+purpose+`"}`); a.status != 400 {
			t.Errorf("options for %q are answered %d", purpose, a.status)
		}
	}
	if a := g.get("/.well-known/passkey-endpoints"); a.json(t)["enroll"] != g.origin()+"/auth/account/mfa" || a.json(t)["manage"] != g.origin()+"/auth/account/mfa" {
		t.Errorf("password managers are told %s", a.body)
	}
}
