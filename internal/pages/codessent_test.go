package pages_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// withMailCodes is somebody whose second step is a code by mail, and who is signed out.
func withMailCodes(t *testing.T, f *front) *guest {
	t.Helper()
	f.tenant.MFA.EmailCodes = true
	f.Person(t, *f.tenant, testenv.Visitor{})
	g := f.guest(t)
	g.signIn("ann@buyer.example", testenv.Password)
	g.proves("/")
	page := g.post("/auth/account/mfa", url.Values{"action": {"begin"}, "method": {"email"}}).sees(t, 200)
	one(t, page.doc(t), "#codes")
	g.post("/auth/logout", nil).sees(t, 303)
	f.Clock.Advance(2 * time.Minute)
	return g
}

// mails counts what was mailed with a code.
func (f *front) codesMailed(t *testing.T) (n int) {
	t.Helper()
	f.Courier(t, f.tenant.ID)
	for _, m := range f.Mail.Sent(f.tenant.ID) {
		if m.Kind == portal.LetterCode {
			n++
		}
	}
	return n
}

// Whoever has just proved their mailbox has codes by mail at once: a second code to the same mailbox would prove nothing.
func TestAMailboxThatWasProvedIsEnoughForCodesByMail(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	withMailCodes(t, f)
	if n := f.codesMailed(t); n != 1 {
		t.Errorf("%d codes were mailed, not the one that proved the mailbox", n)
	}
}

// A page speaks of a code that was sent, and of no other. Whoever signs in twice within a minute in one browser goes on with
// the code of before; in another browser it does not work, and the page says from when on there is one.
func TestAPageSpeaksOfNoCodeThatWasNotSent(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	g := withMailCodes(t, f)
	where := g.signIn("ann@buyer.example", testenv.Password).where
	if page := text(one(t, g.get(where).sees(t, 200).doc(t), "main")); !strings.Contains(page, "just now") {
		t.Fatalf("the first page says %s", page)
	}
	sent := f.codesMailed(t)
	code := f.mailedCode(t)
	f.Clock.Advance(20 * time.Second)
	elsewhere := f.guest(t)
	elsewhere.signIn("ann@buyer.example", testenv.Password)
	page := text(one(t, elsewhere.get(where).sees(t, 200).doc(t), "main"))
	if strings.Contains(page, "just now") || !strings.Contains(page, "which works where it was asked for") {
		t.Errorf("another browser reads %s", page)
	}
	elsewhere.post("/auth/mfa", url.Values{"method": {"email"}, "code": {code}}).sees(t, 422)

	g.signIn("ann@buyer.example", testenv.Password)
	page = text(one(t, g.get(where).sees(t, 200).doc(t), "main"))
	if strings.Contains(page, "just now") || !strings.Contains(page, "when you signed in before") || !strings.Contains(page, "You can have another one from") {
		t.Errorf("the second page says %s", page)
	}
	if n := f.codesMailed(t); n != sent {
		t.Errorf("%d codes were mailed", n-sent)
	}
	g.post("/auth/mfa", url.Values{"method": {"email"}, "code": {code}}).sees(t, 303)
	if g.get("/auth/account").status != 200 {
		t.Error("the code of before lets nobody in")
	}
}
