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
		if again := thief.get("/auth/mfa?method=totp").sees(t, 200); attr(one(t, again.doc(t), "main .note"), "role") != "status" {
			t.Error("the page that is only looked at alarms")
		}
		for what, page := range map[string]answer{"the last wrong code": a, "another": thief.post("/auth/mfa", url.Values{"method": {"totp"}, "code": {"000000"}})} {
			page.sees(t, 429)
			if n := strings.Count(text(page.doc(t)), "several wrong codes"); n != 1 || len(find(page.doc(t), ".problems")) != 0 {
				t.Errorf("%s: it is told %d times:\n%s", what, n, page.body)
			}
			note := one(t, page.doc(t), "main .note")
			if attr(note, "role") != "alert" || !has(note, "data-focus") || len(find(note, "time")) != 1 {
				t.Errorf("%s: it is not told at once, or not until when:\n%s", what, page.body)
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
