package pages_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// textedCode is the code of the newest text message.
func (f *front) textedCode(t testing.TB) string {
	t.Helper()
	f.Courier(t, f.tenant.ID)
	all := f.Text.Sent(f.tenant.ID)
	if len(all) == 0 {
		t.Fatal("no code was sent")
	}
	return all[len(all)-1].Text[:6]
}

// codePages visits every page about codes that are sent: how they are added, and what they are at sign-in.
func codePages(t testing.TB, f *front, add func(name string, status int, a answer)) {
	t.Helper()
	f.Person(t, *f.tenant, testenv.Visitor{Email: "kim@buyer.example", Name: "Kim Buyer"})
	f.tenant.MFA = portal.MFAPolicy{EmailCodes: true, SMSCodes: true}
	kim := f.guest(t)
	kim.signIn("kim@buyer.example", testenv.Password)
	f.Clock.Advance(portal.KnownFor) // a browser that was known for a week need not prove the mailbox
	kim.signIn("kim@buyer.example", testenv.Password)
	add("steps-codes-none", 200, kim.get("/auth/account/mfa"))
	begin := url.Values{"action": {"begin"}, "method": {"email"}}
	confirm := url.Values{"action": {"confirm"}, "method": {"email"}, "code": {"000000"}}
	add("setup-mail-begin", 200, kim.get("/auth/account/mfa?add=email"))
	add("setup-mail", 200, kim.get(kim.post("/auth/account/mfa", begin).sees(t, 303).where))
	add("setup-mail-soon", 429, kim.post("/auth/account/mfa", begin))
	add("setup-mail-short", 422, kim.post("/auth/account/mfa", url.Values{"action": {"confirm"}, "method": {"email"}, "code": {"123"}}))
	add("setup-mail-wrong", 422, kim.post("/auth/account/mfa", confirm))
	add("setup-mail-few", 422, kim.post("/auth/account/mfa", confirm))
	for range 2 {
		kim.post("/auth/account/mfa", confirm).sees(t, 422)
	}
	add("setup-mail-over", 422, kim.post("/auth/account/mfa", confirm))
	f.Clock.Advance(2 * time.Minute)
	add("setup-mail-waits", 429, kim.post("/auth/account/mfa", begin))
	add("setup-mail-pauses", 200, kim.get("/auth/account/mfa?setup=email"))
	f.Clock.Advance(2 * time.Hour)
	kim.post("/auth/logout", nil)
	kim.signIn("kim@buyer.example", testenv.Password)
	kim.post("/auth/account/mfa", begin).sees(t, 303)
	confirm.Set("code", f.mailedCode(t))
	kim.post("/auth/account/mfa", confirm).sees(t, 200)

	begin.Set("method", "sms")
	confirm = url.Values{"action": {"confirm"}, "method": {"sms"}, "code": {"000000"}}
	add("setup-text-begin", 200, kim.get("/auth/account/mfa?add=sms"))
	begin.Set("contact", "0151 23456789")
	add("setup-text-refused", 422, kim.post("/auth/account/mfa", begin))
	begin.Set("contact", "+49 151 23456789")
	add("setup-text", 200, kim.get(kim.post("/auth/account/mfa", begin).sees(t, 303).where))
	add("setup-text-wrong", 422, kim.post("/auth/account/mfa", confirm))
	f.Clock.Advance(2 * time.Minute)
	begin.Del("contact") // another code, to the same number
	add("setup-text-again", 200, kim.get(kim.post("/auth/account/mfa", begin).sees(t, 303).where))
	for range 3 {
		kim.post("/auth/account/mfa", confirm).sees(t, 422)
	}
	add("setup-text-over", 422, kim.post("/auth/account/mfa", confirm))
	f.Clock.Advance(2 * time.Hour)
	kim.post("/auth/logout", nil)
	kim.signIn("kim@buyer.example", testenv.Password)
	kim.post("/auth/mfa", url.Values{"method": {"email"}, "code": {f.mailedCode(t)}}).sees(t, 303)
	begin.Set("contact", "+49 151 23456789")
	kim.post("/auth/account/mfa", begin).sees(t, 303)
	confirm.Set("code", f.textedCode(t))
	f.Clock.Advance(time.Second) // what is newest is not left to chance
	kim.post("/auth/account/mfa", confirm).sees(t, 303)
	add("steps-codes", 200, kim.get("/auth/account/mfa"))
	add("account-codes", 200, kim.get("/auth/account"))

	f.Clock.Advance(2 * time.Hour)
	f.tenant.MFA.Remember = true
	late := f.guest(t)
	where := late.signIn("kim@buyer.example", testenv.Password, "return_to", "/orders").where
	add("second-text", 200, late.get(where))
	answer := url.Values{"method": {"sms"}, "code": {"000000"}, "return_to": {"/orders"}}
	add("second-text-soon", 429, late.post("/auth/mfa", url.Values{"method": {"sms"}, "action": {"send"}, "return_to": {"/orders"}}))
	add("second-text-wrong", 401, late.post("/auth/mfa", answer))
	late.post("/auth/mfa", answer).sees(t, 401)
	late.post("/auth/mfa", answer).sees(t, 401)
	add("second-text-few", 401, late.post("/auth/mfa", answer))
	add("second-mail", 200, late.get(where+"&method=email"))
	late.post("/auth/mfa", url.Values{"method": {"email"}, "action": {"send"}, "return_to": {"/orders"}}).sees(t, 303)
	add("second-mail-sent", 200, late.get(where+"&method=email"))
	other := f.guest(t)
	other.signIn("kim@buyer.example", testenv.Password)
	add("second-mail-elsewhere", 200, other.get(where+"&method=email"))
	late.post("/auth/mfa", url.Values{"method": {"email"}, "code": {f.mailedCode(t)}, "return_to": {"/orders"}}).sees(t, 303)
	f.tenant.MFA = portal.MFAPolicy{}
}

// A number is not typed twice because its code was lost, and another one may be tried.
func TestACodeIsSentAgainToTheNumberThatWasTyped(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.tenant.MFA.SMSCodes = true
	g, key, _ := stepped(t, f)
	g.signIn("ann@buyer.example", testenv.Password)
	g.code(key).sees(t, 303)
	begin := url.Values{"action": {"begin"}, "method": {"sms"}, "contact": {"+49 151 23456789"}}
	g.post("/auth/account/mfa", begin).sees(t, 303)
	f.Courier(t, f.tenant.ID)
	f.Clock.Advance(time.Minute)
	begin.Del("contact")
	g.post("/auth/account/mfa", begin).sees(t, 303)
	f.Courier(t, f.tenant.ID)
	f.Clock.Advance(time.Minute)
	begin.Set("contact", "+49 151 98765432")
	g.post("/auth/account/mfa", begin).sees(t, 303)
	f.Courier(t, f.tenant.ID)
	var to string
	for _, m := range f.Text.Sent(f.tenant.ID) {
		to += m.To + " "
	}
	if to != "+4915123456789 +4915123456789 +4915198765432 " {
		t.Errorf("codes went to %s", to)
	}
}
