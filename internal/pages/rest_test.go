package pages_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/testenv"
)

// A rest of the codes is told in one sentence, with the time of its end, and of a passkey hears only who has one.
func TestARestIsToldOnceAndNamesAPasskeyOnlyToWhoHasOne(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	g, key, _ := stepped(t, f)
	rests := func(passkey bool) {
		t.Helper()
		thief := f.guest(t)
		thief.signIn("ann@buyer.example", testenv.Password)
		var a answer
		for range 5 {
			a = thief.post("/auth/mfa", url.Values{"method": {"totp"}, "code": {"000000"}})
		}
		again := text(one(t, thief.get("/auth/mfa?method=totp").sees(t, 200).doc(t), "main .note"))
		if !strings.Contains(again, "several wrong codes") || strings.Contains(again, "passkey") != passkey {
			t.Errorf("who comes back reads %q, there is a passkey: %t", again, passkey)
		}
		for what, page := range map[string]answer{"the last wrong code": a, "another": thief.post("/auth/mfa", url.Values{"method": {"totp"}, "code": {"000000"}})} {
			page.sees(t, 429)
			box, note := text(one(t, page.doc(t), ".problems")), one(t, page.doc(t), "main .note")
			if strings.Count(text(page.doc(t)), "several wrong codes") != 1 || strings.Count(page.body, "all the same") > 1 {
				t.Errorf("%s: it says a thing twice:\n%s", what, page.body)
			}
			if !strings.Contains(box, "several wrong codes") || len(find(note, "time")) != 1 {
				t.Errorf("%s: it does not say what happened, or until when:\n%s", what, page.body)
			}
			if page.header.Get("Retry-After") == "" {
				t.Errorf("%s: the headers say nothing", what)
			}
			if got := strings.Contains(strings.ToLower(page.body), "your passkey"); got != passkey {
				t.Errorf("%s: a passkey is mentioned: %t, there is one: %t:\n%s", what, got, passkey, page.body)
			}
			told, _ := thief.json("POST", "/auth/mfa", `{"method":"totp","code":"000000"}`).sees(t, 429).json(t)["detail"].(string)
			if got := strings.Contains(told, "passkey"); got != passkey || !strings.Contains(told, "several wrong codes") {
				t.Errorf("as data it is told %q, there is one: %t", told, passkey)
			}
		}
	}
	rests(false)

	g.signIn("ann@buyer.example", testenv.Password)
	g.code(key).sees(t, 303)
	device := &testenv.Passkey{}
	made := device.Answer(t, g.origin(), g.options("register"))
	g.post("/auth/account/mfa", url.Values{"action": {"confirm"}, "method": {"webauthn"}, "credential": {made}}).sees(t, 303)
	rests(true)
}
