package pages_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

var reference = regexp.MustCompile(`(<code>|"reference":")[0-9A-Z]{8}`)

// whole is everything of an answer that somebody outside can compare.
func whole(a answer) string {
	var lines []string
	for name, values := range a.header {
		if name != "Date" {
			lines = append(lines, fmt.Sprint(name, values))
		}
	}
	sort.Strings(lines)
	return fmt.Sprint(a.status, "\n", strings.Join(lines, "\n"), "\n", reference.ReplaceAllString(a.body, "${1}REFERENCE"))
}

// LOG-01: whoever guesses learns nothing about an account, whatever state it is in, and whatever kind of answer is
// asked for. The last of the tries is the one that begins a rest.
func TestEveryWrongGuessIsAnsweredAlike(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	hash, err := bcrypt.GenerateFromPassword([]byte(testenv.Password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]func(n *portal.Tenant){
		"unknown":    func(*portal.Tenant) {},
		"wrong":      func(n *portal.Tenant) { f.Person(t, *n, testenv.Visitor{}) },
		"unverified": func(n *portal.Tenant) { f.Person(t, *n, testenv.Visitor{Unverified: true}) },
		"temporary":  func(n *portal.Tenant) { f.Person(t, *n, testenv.Visitor{MustChange: true}) },
		"old hash":   func(n *portal.Tenant) { f.Person(t, *n, testenv.Visitor{Legacy: string(hash)}) },
		"two accounts": func(n *portal.Tenant) {
			f.Person(t, *n, testenv.Visitor{Customer: "A"})
			f.Person(t, *n, testenv.Visitor{Customer: "B"})
		},
		"disabled": func(n *portal.Tenant) {
			f.DB.Exec(t, `update public.customer_users set is_active = false where id = $1`, f.Person(t, *n, testenv.Visitor{}))
		},
		"deleted": func(n *portal.Tenant) {
			f.DB.Exec(t, `update public.customer_users set deleted_at = now() where id = $1`, f.Person(t, *n, testenv.Visitor{}))
		},
		"no password": func(n *portal.Tenant) {
			f.DB.Exec(t, `delete from portalgate.credentials where user_id = $1`, f.Person(t, *n, testenv.Visitor{}))
		},
	}
	const tries = 6 // the fifth begins a rest, the sixth is within it
	got := map[string][]string{}
	for name, arrange := range states {
		for _, kind := range []string{"form", "JSON"} {
			n := f.open(t, "Acme Packaging", portal.Brand{})
			arrange(n)
			g := f.guest(t)
			g.tenant = n
			for range tries {
				var a answer
				if kind == "form" {
					a = g.post("/auth/login", url.Values{"email": {"ann@buyer.example"}, "password": {wrongPassword}, "return_to": {"/orders"}, "remember": {"1"}})
				} else {
					a = g.json(http.MethodPost, "/auth/login", `{"email":"ann@buyer.example","password":"`+wrongPassword+`","return_to":"/orders","remember":true}`)
				}
				got[kind+" "+name] = append(got[kind+" "+name], whole(a))
			}
			// In the rest the right password is answered like every other (M04).
			a := g.post("/auth/login", url.Values{"email": {"ann@buyer.example"}, "password": {testenv.Password}, "return_to": {"/orders"}, "remember": {"1"}})
			got["right "+name] = append(got["right "+name], whole(a))
		}
	}
	for name := range states {
		for _, kind := range []string{"form", "JSON", "right"} {
			mine, unknown := got[kind+" "+name], got[kind+" unknown"]
			for i := range mine {
				if mine[i] != unknown[i] {
					t.Errorf("try %d, %s: %s is answered\n%s\nand an unknown address\n%s", i+1, kind, name, mine[i], unknown[i])
				}
			}
		}
	}
	for kind, want := range map[string][]string{"form": {"401", "401", "401", "401", "429", "429"}, "JSON": {"401", "401", "401", "401", "429", "429"}, "right": {"429", "429"}} {
		for i, w := range want {
			if a := got[kind+" wrong"][i]; !strings.HasPrefix(a, w) || strings.Contains(a, "Set-Cookie") {
				t.Errorf("try %d, %s, should be %s:\n%s", i+1, kind, w, a)
			}
		}
	}
}

// LOG-05: a password comes in the body of a POST, once, as text, or not at all.
func TestCredentialsAreReadFromOnePlaceOnly(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	const form, data = "application/x-www-form-urlencoded", "application/json"
	right := url.Values{"email": {"ann@buyer.example"}, "password": {testenv.Password}}.Encode()
	pw := url.QueryEscape(testenv.Password)
	object := `{"email":"ann@buyer.example","password":"` + testenv.Password + `"}`
	for name, c := range map[string]struct {
		method, query, kind, body string
		status                    int
	}{
		"a form":                            {"POST", "", form, right, 303},
		"a form, its charset said":          {"POST", "", form + "; charset=utf-8", right, 303},
		"an object":                         {"POST", "", data, object, 303},
		"an object, its charset said":       {"POST", "", data + "; charset=utf-8", object, 303},
		"an object with a truth":            {"POST", "", data, `{"email":"ann@buyer.example","password":"` + testenv.Password + `","remember":true}`, 303},
		"a query with everything":           {"POST", "?" + right, "", "", 400},
		"a query beside a wrong form":       {"POST", "?password=" + pw, form, "email=ann%40buyer.example&password=x", 400},
		"a query beside the right form":     {"POST", "?password=" + pw, form, right, 400},
		"a query beside the right object":   {"POST", "?email=ann%40buyer.example", data, object, 400},
		"a query in a GET":                  {"GET", "?" + right, "", "", 200},
		"a body in a GET":                   {"GET", "", form, right, 200},
		"a password twice":                  {"POST", "", form, right + "&password=x", 400},
		"an address twice":                  {"POST", "", form, "email=x%40y.example&" + right, 400},
		"brackets":                          {"POST", "", form, "email=ann%40buyer.example&password[]=" + pw, 422},
		"semicolons":                        {"POST", "", form, strings.ReplaceAll(right, "&", ";"), 400},
		"bytes that are no text":            {"POST", "", form, "email=ann%40buyer.example&password=%ff%fe", 400},
		"a bad escape":                      {"POST", "", form, "email=ann%40buyer.example&password=%zz", 400},
		"a list":                            {"POST", "", data, `{"email":"ann@buyer.example","password":["` + testenv.Password + `"]}`, 400},
		"an object for a password":          {"POST", "", data, `{"email":"ann@buyer.example","password":{"$ne":1}}`, 400},
		"a number":                          {"POST", "", data, `{"email":"ann@buyer.example","password":1}`, 400},
		"nothing":                           {"POST", "", data, `{"email":"ann@buyer.example","password":null}`, 400},
		"an object's name twice":            {"POST", "", data, `{"email":"ann@buyer.example","password":"x","password":"` + testenv.Password + `"}`, 400},
		"a name twice, once in disguise":    {"POST", "", data, `{"email":"ann@buyer.example","password":"x","pass\u0077ord":"` + testenv.Password + `"}`, 400},
		"two objects":                       {"POST", "", data, object + object, 400},
		"an object in a list":               {"POST", "", data, "[" + object + "]", 400},
		"an object that does not end":       {"POST", "", data, object[:len(object)-1], 400},
		"a text":                            {"POST", "", data, `"ann@buyer.example"`, 400},
		"an empty object":                   {"POST", "", data, `{}`, 422},
		"another type":                      {"POST", "", "text/plain", right, 400},
		"no type":                           {"POST", "", "", right, 400},
		"parts":                             {"POST", "", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\nann@buyer.example\r\n--x--\r\n", 400},
		"a type twice over":                 {"POST", "", data + "," + form, object, 400},
		"more than a form has":              {"POST", "", form, right + "&more=" + strings.Repeat("x", 70_000), 413},
		"an empty form":                     {"POST", "", form, "", 422},
		"other capitals":                    {"POST", "", form, "Email=ann%40buyer.example&PASSWORD=" + pw, 422},
		"a hundred fields":                  {"POST", "", form, right + strings.Repeat("&x=1", 1) + fields100(), 400},
		"a password after a form's own end": {"POST", "", form, right + "#&x=1", 401},
	} {
		g := f.guest(t)
		a := g.do(c.method, "/auth/login"+c.query, c.kind, c.body)
		if a.status != c.status {
			t.Errorf("%s: answered %d, not %d:\n%s", name, a.status, c.status, a.body)
		}
		if in := a.status == 303; in != (g.cookies()["portalgate"] != "") {
			t.Errorf("%s: answered %d, with the cookies %v", name, a.status, g.cookies())
		}
		if strings.Contains(a.body, testenv.Password) || strings.Contains(a.body, pw) {
			t.Errorf("%s: the password comes back", name)
		}
		f.Clock.Advance(time.Hour) // no try of one row counts in another
	}
}

func fields100() string {
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, "&f%d=x", i)
	}
	return b.String()
}

func TestWhereSomebodyWasGoingOutlivesEveryMistake(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	f.Person(t, *f.tenant, testenv.Visitor{Email: "first@buyer.example", MustChange: true})
	f.Person(t, *f.tenant, testenv.Visitor{Email: "two@buyer.example", Customer: "A"})
	f.Person(t, *f.tenant, testenv.Visitor{Email: "two@buyer.example", Customer: "B"})
	const to = "/orders/42?x=1&y=a%2Fb"
	field := func(a answer) string { return attr(one(t, a.doc(t), "input[name=return_to]"), "value") }
	g := f.guest(t)
	first := g.get(g.get(to).where)
	if got := field(first); got != to {
		t.Errorf("the form holds %q", got)
	}
	for name, form := range map[string]url.Values{
		"no address":       {"email": {""}, "password": {"x"}},
		"a wrong password": {"email": {"ann@buyer.example"}, "password": {wrongPassword}},
		"no password":      {"email": {"ann@buyer.example"}},
		"a long password":  {"email": {"ann@buyer.example"}, "password": {strings.Repeat("x", 1000)}},
	} {
		form.Set("return_to", to)
		form.Set("remember", "1")
		a := g.post("/auth/login", form)
		n := a.doc(t)
		if got := field(a); got != to {
			t.Errorf("after %s the form holds %q", name, got)
		}
		if got := attr(one(t, n, "#email"), "value"); got != form.Get("email") {
			t.Errorf("after %s the address is %q", name, got)
		}
		if has(one(t, n, "#password"), "value") || !has(one(t, n, "#remember"), "checked") {
			t.Errorf("after %s the password is back, or the tick is gone", name)
		}
	}
	if a := g.signIn("ann@buyer.example", testenv.Password, "return_to", to); a.where != to {
		t.Errorf("signed in, to %q", a.where)
	}
	// Who is signed in goes straight on.
	if a := g.get("/auth/login?return_to=" + url.QueryEscape(to)); a.status != 303 || a.where != to {
		t.Errorf("the sign-in page again: %d to %q", a.status, a.where)
	}
	// Through a pause.
	p := f.guest(t)
	var a answer
	for range 5 {
		a = p.post("/auth/login", url.Values{"email": {"nobody@buyer.example"}, "password": {"x"}, "return_to": {to}})
	}
	if link := attr(one(t, a.doc(t), "main a.button"), "href"); a.status != 429 || field(p.get(link)) != to {
		t.Errorf("after a pause (%d) the way leads to %q", a.status, link)
	}
	// Past a temporary password and the choice of a company.
	p = f.guest(t)
	if a := p.signIn("first@buyer.example", testenv.Password, "return_to", to); a.where != "/auth/account/password" {
		t.Errorf("a temporary password leads to %q", a.where)
	}
	if a := p.post("/auth/account/password", url.Values{"password": {"short"}}); a.status != 422 {
		t.Errorf("a short password is answered %d", a.status)
	}
	if a := p.post("/auth/account/password", url.Values{"password": {"four crates of lids, please"}}); a.status != 303 || a.where != to {
		t.Errorf("a new password leads to %q (%d)", a.where, a.status)
	}
	p = f.guest(t)
	a = p.get(p.signIn("two@buyer.example", testenv.Password, "return_to", to).where)
	if got := field(a); got != to {
		t.Errorf("the choice of a company holds %q", got)
	}
	id := attr(find(a.doc(t), "button[name=id]")[1], "value")
	if a := p.post("/auth/account/company", url.Values{"id": {"x"}, "return_to": {to}}); a.status != 422 || field(a) != to {
		t.Errorf("a company that is none: %d", a.status)
	}
	if a := p.post("/auth/account/company", url.Values{"id": {id}, "return_to": {to}}); a.status != 303 || a.where != to {
		t.Errorf("a company leads to %q (%d)", a.where, a.status)
	}
}

func TestNobodyIsSentToAnotherSiteOrInACircle(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	for _, to := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "/%5cevil.example", "/%2f/evil.example", "javascript:alert(1)", "/a\r\nLocation: https://evil.example", "/\t/evil.example", "orders", "",
		"/auth/login", "/auth/login?return_to=/x", "/auth/logout", "/auth/signed-out?all=1", "/auth/verify-email", "/..//evil.example", strings.Repeat("/x", 2000)} {
		g := f.guest(t)
		if got := attr(one(t, g.get("/auth/login?return_to="+url.QueryEscape(to)).doc(t), "input[name=return_to]"), "value"); got != "/" {
			t.Errorf("%q stands in the form as %q", to, got)
		}
		if a := g.signIn("ann@buyer.example", testenv.Password, "return_to", to); a.where != "/" {
			t.Errorf("%q leads to %q", to, a.where)
		}
		if a := g.get("/auth/login?return_to=" + url.QueryEscape(to)); a.where != "/" {
			t.Errorf("%q leads somebody signed in to %q", to, a.where)
		}
	}
	g := f.guest(t)
	if got := attr(one(t, g.get("/auth/login?return_to=/a&return_to=/b").doc(t), "input[name=return_to]"), "value"); got != "/" {
		t.Errorf("two ways back make %q", got)
	}
}

func TestTheSameFormSentTwiceAtOnceSignsInOnceInEffect(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	g := f.guest(t)
	form := url.Values{"email": {"ann@buyer.example"}, "password": {testenv.Password}, "return_to": {"/orders"}}
	var both sync.WaitGroup
	answers := make([]answer, 2)
	for i := range answers {
		both.Go(func() { answers[i] = g.post("/auth/login", form) })
	}
	both.Wait()
	for i, a := range answers {
		if a.status != 303 || a.where != "/orders" {
			t.Errorf("form %d: %d to %q", i, a.status, a.where)
		}
	}
	if a := g.get("/orders"); a.status != 200 || !strings.Contains(a.body, "Ann Buyer") {
		t.Errorf("after both: %d", a.status)
	}
	// Sent again by hand, from a page that was left open: still one session in this browser.
	if a := g.post("/auth/login", form); a.status != 303 {
		t.Errorf("sent again: %d", a.status)
	}
	if a := g.get("/orders"); a.status != 200 {
		t.Errorf("after it was sent again: %d", a.status)
	}
}

// SES-07: signing out is a POST, ends the session on the server, and leaves nothing in the browser.
func TestSigningOutIsAPostAndEndsTheSession(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	ann, phone, thief := f.guest(t), f.guest(t), f.guest(t)
	ann.signIn("ann@buyer.example", testenv.Password)
	phone.signIn("ann@buyer.example", testenv.Password)
	for name, value := range ann.cookies() {
		thief.header.Add("Cookie", name+"="+value)
	}
	if a := thief.get("/orders"); a.status != 200 {
		t.Fatalf("the copied cookies are answered %d", a.status)
	}
	for _, path := range []string{"/auth/logout", "/auth/logout?all=1"} {
		a := ann.get(path)
		if a.status != 200 || len(a.header["Set-Cookie"]) != 0 || len(find(a.doc(t), "form[action=/auth/logout]")) == 0 {
			t.Errorf("GET %s: %d, cookies %v", path, a.status, a.header["Set-Cookie"])
		}
		if a := ann.get("/orders"); a.status != 200 {
			t.Fatalf("GET %s has signed out", path)
		}
	}
	a := ann.post("/auth/logout", nil)
	if a.status != 303 || a.where != "/auth/signed-out" || !strings.Contains(a.header.Get("Clear-Site-Data"), `"cache"`) || len(a.header["Set-Cookie"]) != 2 {
		t.Errorf("POST: %d to %q, %v", a.status, a.where, a.header)
	}
	if c := ann.cookies(); c["portalgate"] != "" || c["portalgate-refresh"] != "" || c["portalgate-device"] == "" {
		t.Errorf("the browser keeps %v", c)
	}
	if a := thief.get("/auth/api/session"); a.status != 401 {
		t.Errorf("the copied cookies are answered %d afterwards", a.status)
	}
	if a := ann.get(a.where); a.status != 200 || text(one(t, a.doc(t), "h1")) != "You are signed out" {
		t.Errorf("the page after it: %d", a.status)
	}
	if a := phone.get("/orders"); a.status != 200 {
		t.Errorf("the other device is answered %d", a.status)
	}
	// Once more, with nothing to end, is no error.
	if a := ann.post("/auth/logout", nil); a.status != 303 {
		t.Errorf("again: %d", a.status)
	}
	// Everywhere.
	ann.signIn("ann@buyer.example", testenv.Password)
	if a := ann.post("/auth/logout", url.Values{"all": {"1"}}); a.status != 303 || a.where != "/auth/signed-out?all=1" {
		t.Errorf("everywhere: %d to %q", a.status, a.where)
	}
	if a := phone.get("/auth/api/session"); a.status != 401 {
		t.Errorf("everywhere: the other device is answered %d", a.status)
	}
	// Signing out stands on every account page.
	phone.signIn("ann@buyer.example", testenv.Password)
	for _, path := range []string{"/auth/account", "/auth/account/sessions", "/auth/account/activity", "/auth/account/data", "/auth/account/password", "/auth/account/company"} {
		if a := phone.get(path); len(find(a.doc(t), "header form[action=/auth/logout][method=post] button")) != 1 {
			t.Errorf("%s (%d) has no sign-out", path, a.status)
		}
	}
}

func TestASessionThatEndedSaysSoOnceAndComesBack(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	g := f.guest(t)
	g.signIn("ann@buyer.example", testenv.Password)
	f.Clock.Advance(f.Policy.AccessLife + time.Minute)
	if a := g.get("/orders"); a.status != 200 || len(a.header["Set-Cookie"]) == 0 {
		t.Errorf("past the access token's end: %d, %v", a.status, a.header["Set-Cookie"])
	}
	f.Clock.Advance(f.Policy.Idle + time.Minute)
	a := g.get("/orders/7?x=1")
	if a.status != 303 || a.where != "/auth/login?ended=1&return_to=%2Forders%2F7%3Fx%3D1" || len(g.cookies()) != 1 {
		t.Fatalf("past the idle end: %d to %q, with %v", a.status, a.where, g.cookies())
	}
	page := g.get(a.where)
	if words := text(one(t, page.doc(t), "main .note")); !strings.Contains(words, "signed out") {
		t.Errorf("the page says %q", words)
	}
	if a := g.get("/orders"); strings.Contains(a.where, "ended") {
		t.Errorf("it says so twice: %q", a.where)
	}
	if a := g.signIn("ann@buyer.example", testenv.Password, "return_to", "/orders/7?x=1"); a.where != "/orders/7?x=1" {
		t.Errorf("signed in again, to %q", a.where)
	}
	f.Clock.Advance(f.Policy.Idle + time.Minute)
	if a := g.json(http.MethodGet, "/orders", ""); a.status != 401 || a.json(t)["code"] != "session_expired" {
		t.Errorf("data past the idle end: %d %s", a.status, a.body)
	}
}

// A page that asks for data now and then hears of the end before its person does. The person is told all the same, once.
func TestAnEndThatABackgroundRequestHeardOfFirstIsToldToo(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(f *front, g *guest){
		"away for long": func(f *front, _ *guest) { f.Clock.Advance(f.Policy.Idle + time.Minute) },
		"signed out somewhere else": func(f *front, g *guest) {
			f.DB.Exec(t, `update portalgate.sessions set ended_at = '`+f.Clock.Now().UTC().Format(time.RFC3339)+`', end_reason = 'revoked' where tenant_id = '`+string(f.tenant.ID)+`'`)
			f.Ended.All()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFront(t, testenv.Plan{})
			f.Person(t, *f.tenant, testenv.Visitor{})
			g := f.guest(t)
			g.signIn("ann@buyer.example", testenv.Password)
			away(f, g)
			for i := range 3 {
				if a := g.json(http.MethodGet, "/orders", ""); a.status != 401 || a.json(t)["code"] != "session_expired" {
					t.Errorf("data, %d: %d %s", i, a.status, a.body)
				}
				if left := fmt.Sprint(g.cookies()); strings.Contains(left, "refresh") || !strings.Contains(left, "portalgate") {
					t.Errorf("it is left with %s", left)
				}
				f.Clock.Advance(f.Policy.AccessLife)
			}
			if a := g.get("/orders"); a.status != 303 || a.where != "/auth/login?ended=1&return_to=%2Forders" || len(g.cookies()) != 1 {
				t.Errorf("the page then: %d to %q, with %v", a.status, a.where, g.cookies())
			}
			if a := g.get("/orders"); strings.Contains(a.where, "ended") {
				t.Errorf("it says so twice: %q", a.where)
			}
			g.signIn("ann@buyer.example", testenv.Password)
			away(f, g)
			g.json(http.MethodGet, "/orders", "")
			for _, want := range []int{1, 0} { // where the page's script goes to the sign-in page by itself
				if n := len(find(g.get("/auth/login").doc(t), "main .note")); n != want {
					t.Errorf("the sign-in page says so %d times, want %d", n, want)
				}
			}
			if a := g.json(http.MethodGet, "/orders", ""); a.status != 401 || a.json(t)["code"] != "session_required" {
				t.Errorf("data then: %d %s", a.status, a.body)
			}
		})
	}
}
