package pages_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// shape says what an object is made of: its names in order, each with the kind of its value.
func shape(v any) string {
	switch x := v.(type) {
	case map[string]any:
		var parts []string
		for name, value := range x {
			parts = append(parts, name+":"+shape(value))
		}
		sort.Strings(parts)
		return "{" + strings.Join(parts, " ") + "}"
	case []any:
		if len(x) == 0 {
			return "[]"
		}
		return "[" + shape(x[0]) + "]"
	case string:
		switch {
		case regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(x):
			return "id"
		case regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`).MatchString(x):
			return "time"
		}
		return "text"
	case nil:
		return "null"
	}
	return fmt.Sprintf("%T", v)
}

func list(t *testing.T, a answer) []map[string]any {
	t.Helper()
	var out []map[string]any
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		t.Fatalf("%d %q: %v", a.status, a.body, err)
	}
	return out
}

// Contract 8, name by name.
func TestTheSessionAPIIsThatOfTheContract(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	f.Person(t, *f.tenant, testenv.Visitor{Email: "maria@buyer.example", Customer: "C-7", Role: portal.RoleApprover})
	ann, phone, maria := f.guest(t), f.guest(t), f.guest(t)
	ann.signIn("ann@buyer.example", testenv.Password)
	phone.header.Set("Test-Address", "2001:db8::7")
	phone.signIn("ann@buyer.example", testenv.Password)
	maria.signIn("maria@buyer.example", testenv.Password)

	a := ann.json(http.MethodGet, "/auth/api/session", "")
	if a.status != 200 || a.header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Fatalf("%d %v", a.status, a.header)
	}
	m := a.json(t)
	const want = "{session:{amr:[text] created_at:time expires_at:time id:id idle_expires_at:time mfa_at:null} tenant:{id:id name:text slug:text} user:{customer_id:%s email:text id:id name:text roles:[text]}}"
	if got := shape(m); got != fmt.Sprintf(want, "null") {
		t.Errorf("the session is %s", got)
	}
	if got := shape(maria.json(http.MethodGet, "/auth/api/session", "").json(t)); got != fmt.Sprintf(want, "id") {
		t.Errorf("the session of somebody with a company is %s", got)
	}
	user, ses := m["user"].(map[string]any), m["session"].(map[string]any)
	if user["email"] != "ann@buyer.example" || user["name"] != "Ann Buyer" || fmt.Sprint(user["roles"]) != "[CUSTOMER_USER]" || fmt.Sprint(ses["amr"]) != "[pwd]" || m["tenant"].(map[string]any)["slug"] != f.tenant.Slug {
		t.Errorf("the session says %s", a.body)
	}
	now := f.Clock.Now()
	for name, at := range map[string]time.Time{"created_at": now, "idle_expires_at": now.Add(f.Policy.Idle), "expires_at": now.Add(f.Policy.Absolute)} {
		if ses[name] != at.UTC().Format(time.RFC3339) {
			t.Errorf("%s is %v, not %s", name, ses[name], at)
		}
	}

	rows := list(t, ann.json(http.MethodGet, "/auth/api/sessions", ""))
	if len(rows) != 2 || rows[0]["current"] != true || rows[1]["current"] != false || rows[0]["id"] != ses["id"] {
		t.Fatalf("the sessions are %v", rows)
	}
	if got := shape(any(rows[1])); got != "{address:text amr:[text] created_at:time current:bool device:text id:id last_active_at:time place:null}" {
		t.Errorf("one of the sessions is %s", got)
	}
	if rows[1]["device"] != "Firefox on Windows" || rows[1]["address"] != "2001:db8::7" {
		t.Errorf("the other session is %v", rows[1])
	}
	// Somebody else's session is not found, nor one that is no id.
	other := list(t, maria.json(http.MethodGet, "/auth/api/sessions", ""))[0]["id"].(string)
	for _, id := range []string{other, "00000000-0000-4000-8000-000000000000", "x", "..", "%27"} {
		a := ann.json(http.MethodDelete, "/auth/api/sessions/"+id, "")
		if m := a.json(t); a.status != 404 || a.header.Get("Content-Type") != "application/problem+json" || m["code"] != "not_found" {
			t.Errorf("ending %q: %d %s", id, a.status, a.body)
		}
	}
	if a := maria.get("/orders"); a.status != 200 {
		t.Error("a stranger has ended a session")
	}
	if a := ann.json(http.MethodDelete, "/auth/api/sessions/"+rows[1]["id"].(string), ""); a.status != 204 || a.body != "" {
		t.Errorf("ending the other: %d %q", a.status, a.body)
	}
	if a := phone.json(http.MethodGet, "/auth/api/session", ""); a.status != 401 || a.json(t)["code"] != "session_expired" {
		t.Errorf("the other is answered %d %s", a.status, a.body)
	}
	if a := ann.json(http.MethodGet, "/auth/api/session", ""); a.status != 200 {
		t.Errorf("this one is answered %d", a.status)
	}
	// All but this one; then this one too.
	phone.signIn("ann@buyer.example", testenv.Password)
	if a := ann.json(http.MethodDelete, "/auth/api/sessions", ""); a.status != 204 || len(a.header["Set-Cookie"]) != 0 {
		t.Errorf("ending the others: %d %v", a.status, a.header)
	}
	if a, b := phone.get("/auth/api/session"), ann.get("/auth/api/session"); a.status != 401 || b.status != 200 {
		t.Errorf("afterwards the other is answered %d, this one %d", a.status, b.status)
	}
	phone.signIn("ann@buyer.example", testenv.Password)
	if a := ann.json(http.MethodDelete, "/auth/api/sessions?all=1", ""); a.status != 204 || len(a.header["Set-Cookie"]) != 2 || a.header.Get("Clear-Site-Data") == "" {
		t.Errorf("ending all: %d %v", a.status, a.header)
	}
	if a, b := phone.get("/auth/api/session"), ann.get("/auth/api/session"); a.status != 401 || b.status != 401 {
		t.Errorf("afterwards the other is answered %d, this one %d", a.status, b.status)
	}
	// This one by its id.
	ann.signIn("ann@buyer.example", testenv.Password)
	id := ann.json(http.MethodGet, "/auth/api/session", "").json(t)["session"].(map[string]any)["id"].(string)
	if a := ann.json(http.MethodDelete, "/auth/api/sessions/"+id, ""); a.status != 204 || len(ann.cookies()) != 1 {
		t.Errorf("ending this one: %d, and the browser keeps %v", a.status, ann.cookies())
	}

	ann.signIn("ann@buyer.example", testenv.Password)
	trail := list(t, ann.json(http.MethodGet, "/auth/api/activity?limit=3", ""))
	if len(trail) != 3 {
		t.Fatalf("three rows of activity are %d", len(trail))
	}
	if got := shape(any(trail[0])); got != "{address:text at:time device:text result:text session:id suspicious:bool what:text}" {
		t.Errorf("activity is %s", got)
	}
	for _, q := range []string{"?limit=0", "?limit=1000", "?limit=x", "?limit=-1", ""} {
		if got := list(t, ann.json(http.MethodGet, "/auth/api/activity"+q, "")); len(got) < 4 || len(got) > 30 {
			t.Errorf("%q lists %d rows", q, len(got))
		}
	}
	if a := ann.json(http.MethodGet, "/auth/api/activity?before=yesterday", ""); a.status != 400 || a.json(t)["code"] != "bad_request" {
		t.Errorf("a moment that is none: %d %s", a.status, a.body)
	}
}

func TestTheDevicesPageEndsWhatItSays(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	ann, phone := f.guest(t), f.guest(t)
	ann.signIn("ann@buyer.example", testenv.Password)
	phone.header.Set("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1")
	phone.signIn("ann@buyer.example", testenv.Password)
	rows := func(g *guest) []string {
		var out []string
		for _, li := range find(g.get("/auth/account/sessions").doc(t), "ul.rows li") {
			out = append(out, text(one(t, li, "strong"))+" "+strings.Join(strings.Fields(text(li)), " ")[:0]+fmt.Sprint(len(find(li, ".tag"))))
		}
		return out
	}
	if got := fmt.Sprint(rows(ann)); got != "[Firefox on Windows 1 Safari on iOS 0]" {
		t.Errorf("the devices are %s", got)
	}
	button := func(action string, id string) url.Values { return url.Values{"action": {action}, "id": {id}} }
	id := attr(find(ann.get("/auth/account/sessions").doc(t), "input[name=id]")[1], "value")
	if a := ann.post("/auth/account/sessions", button("revoke", id)); a.status != 303 || a.where != "/auth/account/sessions?done=device" {
		t.Errorf("one is ended: %d to %q", a.status, a.where)
	}
	if n := one(t, ann.get("/auth/account/sessions?done=device").doc(t), "main .note"); text(n) != "That device is signed out." || attr(n, "role") != "status" {
		t.Errorf("the page says %q", text(n))
	}
	if a := phone.get("/orders"); a.status != 303 || !strings.Contains(a.where, "ended=1") {
		t.Errorf("the other device: %d to %q", a.status, a.where)
	}
	if a := ann.post("/auth/account/sessions", button("revoke", id)); a.status != 303 && a.status != 404 {
		t.Errorf("again: %d", a.status)
	}
	phone.signIn("ann@buyer.example", testenv.Password)
	if a := ann.post("/auth/account/sessions", button("revoke_others", "")); a.status != 303 {
		t.Errorf("the others are ended: %d", a.status)
	}
	if a := phone.get("/auth/api/session"); a.status != 401 {
		t.Errorf("afterwards the other is answered %d", a.status)
	}
	for _, form := range []url.Values{{}, {"action": {"everything"}}, button("revoke", "x"), button("revoke", "")} {
		if a := ann.post("/auth/account/sessions", form); a.status != 422 && a.status != 404 {
			t.Errorf("%v is answered %d", form, a.status)
		}
	}
	mine := attr(one(t, ann.get("/auth/account/sessions").doc(t), "input[name=id]"), "value")
	if a := ann.post("/auth/account/sessions", button("revoke", mine)); a.status != 303 || a.where != "/auth/signed-out" || len(ann.cookies()) != 1 {
		t.Errorf("this one is ended: %d to %q, and the browser keeps %v", a.status, a.where, ann.cookies())
	}
	ann.signIn("ann@buyer.example", testenv.Password)
	phone.signIn("ann@buyer.example", testenv.Password)
	if a := ann.post("/auth/account/sessions", button("revoke_all", "")); a.status != 303 || a.where != "/auth/signed-out?all=1" {
		t.Errorf("all are ended: %d to %q", a.status, a.where)
	}
	if a, b := ann.get("/auth/api/session"), phone.get("/auth/api/session"); a.status != 401 || b.status != 401 {
		t.Errorf("afterwards: %d and %d", a.status, b.status)
	}
}

func TestTheActivityPageIsFilteredAndPaged(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	g := f.guest(t)
	for range 20 {
		g.signIn("ann@buyer.example", testenv.Password)
		f.Clock.Advance(time.Second)
		g.post("/auth/logout", nil)
		f.Clock.Advance(time.Minute)
	}
	other := f.guest(t)
	other.signIn("ann@buyer.example", testenv.Password)
	f.Clock.Advance(time.Second)
	g.post("/auth/login", url.Values{"email": {"ann@buyer.example"}, "password": {wrongPassword}})
	f.Clock.Advance(time.Second)
	g.signIn("ann@buyer.example", testenv.Password)
	f.Clock.Advance(time.Second)
	g.post("/auth/account/sessions", url.Values{"action": {"revoke_others"}})
	whats := func(path string) (out []string, older string) {
		n := g.get(path).doc(t)
		for _, s := range find(n, "ul.rows strong") {
			out = append(out, text(s))
		}
		for _, a := range find(n, "main a") {
			if text(a) == "Older activity" {
				older = attr(a, "href")
			}
		}
		return out, older
	}
	first, older := whats("/auth/account/activity")
	if len(first) != 30 || older == "" || fmt.Sprint(first[:4]) != "[Other devices were signed out Signed in Wrong password Signed in]" {
		t.Errorf("the first page has %d rows, then %q: %v", len(first), older, first)
	}
	rest, end := whats(older)
	if len(first)+len(rest) != 44 || end != "" {
		t.Errorf("the second page has %d rows, then %q", len(rest), end)
	}
	changes, _ := whats("/auth/account/activity?show=changes")
	if fmt.Sprint(changes) != "[Other devices were signed out]" {
		t.Errorf("the changes are %v", changes)
	}
	ins, more := whats("/auth/account/activity?show=sign-ins")
	if len(ins) != 30 || !strings.Contains(more, "show=sign-ins") {
		t.Errorf("the sign-ins are %d, then %q", len(ins), more)
	}
	if rest, _ := whats(more); len(rest) != 13 {
		t.Errorf("the other sign-ins are %d", len(rest))
	}
}

func TestAChangedPasswordSaysWhatItEnded(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	ann, phone := f.guest(t), f.guest(t)
	ann.signIn("ann@buyer.example", testenv.Password)
	phone.signIn("ann@buyer.example", testenv.Password)
	for want, form := range map[string]url.Values{
		"Enter your current password.":             {"password": {"four crates of lids, please"}},
		"The current password is not correct.":     {"current_password": {wrongPassword}, "password": {"four crates of lids, please"}},
		"Enter a new password.":                    {"current_password": {testenv.Password}},
		"Use at least 8 characters.":               {"current_password": {testenv.Password}, "password": {"short"}},
		"Use at most 128 characters.":              {"current_password": {testenv.Password}, "password": {strings.Repeat("long ", 100)}},
		"A password has at most 128 characters. C": {"current_password": {strings.Repeat("long ", 300)}, "password": {"four crates of lids, please"}},
	} {
		a := ann.post("/auth/account/password", form)
		if a.status != 422 && a.status != 401 || !strings.Contains(text(one(t, a.doc(t), ".problems")), want) {
			t.Errorf("%v is answered %d, %q, not %q", form, a.status, text(one(t, a.doc(t), ".problems")), want)
		}
		sound(t, a.doc(t))
	}
	a := ann.post("/auth/account/password", url.Values{"current_password": {testenv.Password}, "password": {"four crates of lids, please"}})
	if a.status != 303 || a.where != "/auth/account?done=password" {
		t.Fatalf("the change is answered %d to %q", a.status, a.where)
	}
	if words := text(one(t, ann.get(a.where).doc(t), "main .note")); !strings.Contains(words, "On every other device you have been signed out") {
		t.Errorf("the page says %q", words)
	}
	if a := phone.get("/auth/api/session"); a.status != 401 {
		t.Errorf("the other device is answered %d", a.status)
	}
	ann.post("/auth/logout", nil)
	ann.signIn("ann@buyer.example", "four crates of lids, please")
}
