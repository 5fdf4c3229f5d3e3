package pages_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

const week = 7 * 24 * time.Hour

// known is somebody who signed in a while ago, in a browser that has kept its device cookie, and is signed out.
func (f *front) known(t testing.TB, email string, ago time.Duration) *guest {
	t.Helper()
	g := f.guest(t)
	g.signIn(email, testenv.Password)
	g.post("/auth/logout", nil).sees(t, 303)
	f.Clock.Advance(ago)
	return g
}

const offered = "/auth/account/mfa?offer=1&return_to=%2Forders"

// ux 40: the offer is made once in a person's life, in whichever browser, and takes nobody off their way.
func TestAPasskeyIsOfferedOnceAndNeverAgain(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	g, other := f.guest(t), f.guest(t)
	for _, x := range []*guest{g, other} {
		if a := x.signIn("ann@buyer.example", testenv.Password, "return_to", "/orders", "makes", "1"); a.where != "/orders" {
			t.Fatalf("in a browser nobody knows it is offered: %q", a.where)
		}
		x.post("/auth/logout", nil).sees(t, 303)
	}
	f.Clock.Advance(week)
	for what, more := range map[string][]string{
		"a browser without scripts": nil, "one that can make none": {"makes", ""}, "one that says something else": {"makes", "yes"},
		"a page of the account": {"makes", "1", "return_to", "/auth/account/sessions"}, "the way to second steps": {"makes", "1", "return_to", "/auth/account/mfa?needed=1"},
	} {
		want := "/"
		if len(more) > 2 {
			want = more[3]
		}
		if a := g.signIn("ann@buyer.example", testenv.Password, more...); a.where != want {
			t.Errorf("%s is led to %q", what, a.where)
		}
		g.post("/auth/logout", nil).sees(t, 303)
	}
	a := g.signIn("ann@buyer.example", testenv.Password, "return_to", "/orders", "makes", "1")
	if a.where != offered {
		t.Fatalf("it leads to %q", a.where)
	}
	page := g.get(a.where).sees(t, 200)
	doc := page.doc(t)
	if way := one(t, doc, "main a.button"); attr(way, "href") != "/orders" || text(way) != "Not now" {
		t.Errorf("it cannot be put aside:\n%s", page.body)
	}
	if b := one(t, doc, "button[data-passkey=register]"); !has(b, "hidden") {
		t.Error("without scripts a dead button is shown")
	}
	if a := g.get("/orders"); a.status != 200 {
		t.Errorf("whoever does not answer is not signed in: %d", a.status)
	}
	for what, x := range map[string]*guest{"here": g, "in another browser": other} {
		x.post("/auth/logout", nil)
		if a := x.signIn("ann@buyer.example", testenv.Password, "return_to", "/orders", "makes", "1"); a.where != "/orders" {
			t.Errorf("%s it is offered again: %q", what, a.where)
		}
	}
}

func TestWhatTheOfferMakesSignsIn(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	g := f.known(t, "ann@buyer.example", week)
	page := g.get(g.signIn("ann@buyer.example", testenv.Password, "makes", "1").where).sees(t, 200)
	form := one(t, page.doc(t), "main form")
	fields := url.Values{}
	for _, in := range find(form, "input") {
		fields.Set(attr(in, "name"), attr(in, "value"))
	}
	device := &testenv.Passkey{Synced: true}
	fields.Set("credential", device.Answer(t, g.origin(), g.options("register")))
	codes := g.post(attr(form, "action"), fields).sees(t, 200)
	if n := len(strings.Fields(text(one(t, codes.doc(t), "#codes")))); n != 8 {
		t.Errorf("%d backup codes", n)
	}
	if to := attr(one(t, codes.doc(t), "main form input[name=return_to]"), "value"); to != "/" {
		t.Errorf("after that it goes on to %q", to)
	}
	if page := g.get("/auth/account/mfa?offer=1&return_to=/orders"); page.status != 303 || page.where != "/orders" {
		t.Errorf("who has one is offered one: %d, to %q", page.status, page.where)
	}
	g.post("/auth/logout", nil)
	if a := g.post("/auth/login", url.Values{"credential": {device.Answer(t, g.origin(), g.options("login"))}, "makes": {"1"}}); a.status != 303 || a.where != "/" {
		t.Errorf("it is answered %d, to %q", a.status, a.where)
	}
	// Whoever has removed theirs has known what it is.
	id := attr(find(g.get("/auth/account/mfa").sees(t, 200).doc(t), "input[name=id]")[0], "value")
	g.post("/auth/account/mfa", url.Values{"action": {"remove"}, "id": {id}}).sees(t, 303)
	g.post("/auth/logout", nil)
	if a := g.signIn("ann@buyer.example", testenv.Password, "makes", "1"); a.where != "/" {
		t.Errorf("after it was removed one is offered: %q", a.where)
	}
}

// The whole way: the second step comes first, and the choice of a company after it.
func TestTheOfferComesWhenASignInIsComplete(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	g, key, codes := stepped(t, f)
	code := func(more ...string) answer {
		t.Helper()
		g.post("/auth/logout", nil)
		f.Clock.Advance(time.Minute)
		if a := g.signIn("ann@buyer.example", testenv.Password, "return_to", "/orders", "makes", "1"); a.where != "/auth/mfa?return_to=%2Forders" {
			t.Fatalf("the password leads to %q", a.where)
		}
		if in := one(t, g.get("/auth/mfa").doc(t), "input[name=makes]"); attr(in, "value") != "" {
			t.Error("the page says by itself that a browser can make one")
		}
		return g.code(key, append(more, "return_to", "/orders")...).sees(t, 303)
	}
	if a := code(); a.where != "/orders" {
		t.Errorf("where the second page has no scripts it leads to %q", a.where)
	}
	g.post("/auth/logout", nil)
	g.signIn("ann@buyer.example", testenv.Password)
	if a := g.post("/auth/mfa", url.Values{"method": {"backup"}, "code": {codes[0]}, "makes": {"1"}}); strings.Contains(a.where, "offer") {
		t.Errorf("a backup code leads to %q", a.where)
	}
	if a := code("makes", "1"); a.where != offered {
		t.Fatalf("the code leads to %q", a.where)
	}
	f.Clock.Advance(11 * time.Minute) // at lunch: it is asked anew who this is, and the page leads there
	if b := one(t, g.get(offered).sees(t, 200).doc(t), "main form button"); !has(b, "data-scripted") {
		t.Error("it offers what will be refused")
	}
	if a := g.post("/auth/account/mfa", url.Values{"action": {"begin"}, "method": {"webauthn"}, "return_to": {"/orders"}}); a.status != 303 || !strings.HasPrefix(a.where, "/auth/mfa?for=setup") {
		t.Errorf("it is answered %d, to %q", a.status, a.where)
	}
	if a := code("makes", "1"); a.where != "/orders" {
		t.Errorf("again it leads to %q", a.where)
	}

	for _, company := range []string{"C-1", "C-2"} {
		f.Person(t, *f.tenant, testenv.Visitor{Email: "two@buyer.example", Customer: company})
	}
	maria := f.known(t, "two@buyer.example", week)
	a := maria.signIn("two@buyer.example", testenv.Password, "return_to", "/orders", "makes", "1")
	to, err := url.Parse(a.where)
	if err != nil || to.Query().Get("offer") != "1" || to.Query().Get("return_to") != "/auth/account/company?return_to=%2Forders" {
		t.Fatalf("with two companies it leads to %q", a.where)
	}
	if way := one(t, maria.get(a.where).sees(t, 200).doc(t), "main a.button"); attr(way, "href") != "/auth/account/company?return_to=%2Forders" {
		t.Errorf("putting it aside leads to %q", attr(way, "href"))
	}
}

func TestNoOfferStandsBesideWhatAPersonMustDo(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	g := f.known(t, "ann@buyer.example", week)
	for what, p := range map[string]portal.MFAPolicy{
		"switched off": {Default: portal.MFAOff}, "required": {Default: portal.MFARequired},
		"required soon": {Default: portal.MFARequired, GraceDays: 14, Since: f.Clock.Now()},
	} {
		f.tenant.MFA = p
		if a := g.signIn("ann@buyer.example", testenv.Password, "makes", "1"); strings.Contains(a.where, "offer") {
			t.Errorf("%s: it leads to %q", what, a.where)
		}
		if a := g.get("/auth/account/mfa?offer=1&return_to=/orders"); p.Default == portal.MFAOff && a.where != "/orders" {
			t.Errorf("%s: the page itself is answered %d, to %q", what, a.status, a.where)
		}
		g.post("/auth/logout", nil)
	}
	if a := f.guest(t).get(offered); a.status != 303 || !strings.HasPrefix(a.where, "/auth/login") {
		t.Errorf("somebody who is not signed in is answered %d, to %q", a.status, a.where)
	}
}

// told is what a page has its script tell the browser.
func (a answer) told(t testing.TB) (list []map[string]any) {
	t.Helper()
	for _, n := range find(a.doc(t), "[data-accepted]") {
		if err := json.Unmarshal([]byte(attr(n, "data-accepted")), &list); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// ux 38: the browser hears which passkeys are left, also when none is; the list is told to its owner alone.
func TestTheBrowserIsToldWhichPasskeysStillCount(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	g := f.guest(t)
	g.signIn("ann@buyer.example", testenv.Password)
	if told := g.get("/auth/account/mfa").sees(t, 200).told(t); told != nil {
		t.Errorf("who never had one tells %v", told)
	}
	g.enrols()
	f.Clock.Advance(time.Second)
	says := func(what string, handle []byte, ids ...[]byte) {
		t.Helper()
		list := g.get("/auth/account/mfa?done=step-removed").sees(t, 200).told(t)
		want := []string{}
		for _, id := range ids {
			want = append(want, base64.RawURLEncoding.EncodeToString(id))
		}
		if len(list) != 1 {
			t.Fatalf("%s: %v is told", what, list)
		}
		got := []string{}
		for _, id := range list[0]["allAcceptedCredentialIds"].([]any) { // an empty list, and never none
			got = append(got, id.(string))
		}
		if list[0]["rpId"] != g.tenant.Hosts[0] || list[0]["userId"] != base64.RawURLEncoding.EncodeToString(handle) || !slices.Equal(got, want) || len(list[0]) != 3 {
			t.Errorf("%s: %v is told, not %v of %x", what, list[0], want, handle)
		}
	}
	add := func() *testenv.Passkey {
		t.Helper()
		k := &testenv.Passkey{Synced: true}
		made := k.Answer(t, g.origin(), g.options("register"))
		g.post("/auth/account/mfa", url.Values{"action": {"confirm"}, "method": {"webauthn"}, "credential": {made}, "name": {"Key"}}).sees(t, 303)
		f.Clock.Advance(time.Second)
		return k
	}
	remove := func(n int) {
		t.Helper()
		id := attr(find(g.get("/auth/account/mfa").doc(t), "input[name=id]")[n], "value")
		g.post("/auth/account/mfa", url.Values{"action": {"remove"}, "id": {id}}).sees(t, 303)
	}
	first := add()
	says("one", first.Handle, first.ID)
	second := add()
	says("two", first.Handle, first.ID, second.ID)
	remove(1) // the app is the first of the list
	says("the first is removed", first.Handle, second.ID)
	remove(1)
	says("none is left", first.Handle)
	third := add()
	if string(third.Handle) != string(first.Handle) {
		t.Error("a later one has another handle: an authenticator keeps it beside the one that was removed")
	}
	says("another", first.Handle, third.ID)

	f.tenant.MFA = portal.MFAPolicy{Default: portal.MFARequired}
	f.Person(t, *f.tenant, testenv.Visitor{Email: "ole@buyer.example"})
	ole := f.guest(t)
	ole.signIn("ole@buyer.example", testenv.Password)
	f.Clock.Advance(2 * time.Minute) // a code was sent with the sign-in
	ole.proves("/")
	if page := ole.get("/auth/account/mfa").sees(t, 200); page.told(t) != nil || strings.Contains(page.body, "allAccepted") {
		t.Error("somebody in the middle of signing in is told")
	}
}
