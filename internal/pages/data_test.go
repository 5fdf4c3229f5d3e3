package pages_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/testenv"
)

// M24: a person reads what is stored, has it, and asks for its end; each act is for somebody who has just shown that it is
// them, and no page that is opened by a link does any.
func TestAPersonHasTheirDataAndAsksForItsErasure(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	g, key, _ := stepped(t, f)
	f.Person(t, *f.tenant, testenv.Visitor{Email: "bob@buyer.example", Name: "Bob Stranger"})
	g.signIn("ann@buyer.example", testenv.Password)
	g.code(key).sees(t, 303)
	export, erase := url.Values{"action": {"export"}}, url.Values{"action": {"erase"}}
	f.Clock.Advance(11 * time.Minute)
	for back, form := range map[string]url.Values{"/auth/account/data": export, "/auth/account/data?ask=erase": erase} {
		a := g.post("/auth/account/data", form).sees(t, 303)
		if want := "return_to=" + url.QueryEscape(back); !strings.HasPrefix(a.where, "/auth/mfa?") || !strings.Contains(a.where, want) {
			t.Errorf("%v leads to %q, without %s", form, a.where, want)
		}
	}
	if page := g.get("/auth/account/data").sees(t, 200); !strings.Contains(page.body, "13 months") || !strings.Contains(page.body, "90 days") || strings.Contains(page.body, "You have asked for this") {
		t.Errorf("before it is asked for: %s", page.body)
	}
	g.code(key, "for", "setup", "return_to", "/auth/account/data").sees(t, 303)

	file := g.post("/auth/account/data", export).sees(t, 200)
	if file.header.Get("Content-Type") != "application/json" || !strings.HasPrefix(file.header.Get("Content-Disposition"), `attachment; filename="my-data-`) || file.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the file has %v", file.header)
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal([]byte(file.body), &parts); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"accounts": "ann@buyer.example", "sessions": `"otp"`, "second_steps": `"totp"`, "activity": "MFA_ENABLED", "mails": "factor_changed"} {
		if !strings.Contains(string(parts[name]), want) {
			t.Errorf("%s has no %s: %s", name, want, parts[name])
		}
	}
	for _, not := range []string{"bob@buyer.example", "argon2", key, strings.ReplaceAll(key, " ", "")} {
		if strings.Contains(file.body, not) {
			t.Errorf("the file has %q", not)
		}
	}

	g.get("/auth/account/data?ask=erase").sees(t, 200)
	if page := g.get("/auth/account/data"); strings.Contains(page.body, "You have asked for this") {
		t.Error("looking at the question was an answer")
	}
	for range 2 { // the second press is the same wish
		if a := g.post("/auth/account/data", erase).sees(t, 303); a.where != "/auth/account/data?done=erase" {
			t.Errorf("it leads to %q", a.where)
		}
	}
	if page := g.get("/auth/account/data?done=erase").sees(t, 200); !strings.Contains(page.body, "You have asked for this") || !strings.Contains(page.body, "answers within a month") {
		t.Errorf("%s", page.body)
	}
	f.Clock.Advance(time.Second)
	g.get("/auth/account/data?ask=keep").sees(t, 200)
	g.post("/auth/account/data", url.Values{"action": {"keep"}}).sees(t, 303)
	if page := g.get("/auth/account/data?done=keep").sees(t, 200); strings.Contains(page.body, "You have asked for this") {
		t.Error("it cannot be taken back")
	}
	trail := g.get("/auth/account/activity").body
	for what, times := range map[string]int{"Your data was downloaded": 1, "Erasure of your data was asked for": 1, "The wish for erasure was taken back": 1} {
		if n := strings.Count(trail, what); n != times {
			t.Errorf("%q stands in the activity %d times", what, n)
		}
	}
	g.post("/auth/account/data", url.Values{"action": {"sell"}}).sees(t, 422)
	if a := f.guest(t).post("/auth/account/data", export); a.status == 200 {
		t.Error("a stranger has it")
	}
}
