package auth_test

import (
	"testing"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/testenv"
)

// knows says whether somebody is known on a browser that has this device cookie.
func knows(t testing.TB, b *browser, device portal.DeviceToken, email string) (ok bool) {
	t.Helper()
	b.house.DB.Row(t, `select exists (select from portalgate.devices d join public.customer_users u on u.id = d.user_id where d.tenant_id = $1 and d.digest = $2 and u.email = $3)`,
		[]any{b.tenant.ID, []byte(device), email}, &ok)
	return ok
}

// SES-04: a browser is known by what we have given it. Whoever has sat at a shared computer before, and has copied what it
// had then, or has put something of their own there, is nobody whom the next person's account knows.
func TestABrowserIsKnownByWhatItWasGivenForThatPerson(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	h.Person(t, tenant, testenv.Visitor{Email: "eve@buyer.example"})
	shared := open(h, &tenant, "203.0.113.7")
	planted := portal.DeviceToken("0123456789abcdef0123456789abcdef")
	shared.device = planted
	shared.in(t, "eve@buyer.example", testenv.Password)
	copied := shared.device
	if copied == planted || knows(t, shared, planted, "eve@buyer.example") {
		t.Error("what the browser brought along is taken over")
	}
	shared.in(t, "ann@buyer.example", testenv.Password)
	if shared.device == copied || !knows(t, shared, shared.device, "ann@buyer.example") {
		t.Error("Ann's account knows the browser by what Eve has a copy of")
	}
	for _, email := range []string{"ann@buyer.example", "eve@buyer.example"} {
		if knows(t, shared, copied, email) {
			t.Errorf("%s is known by the copy", email)
		}
	}
}

// People who sign in to one browser by turns are known there, and nobody hears of a new device each time.
func TestWhoSignsInByTurnsStaysKnown(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	both := []string{"ann@buyer.example", "bob@buyer.example"}
	for _, email := range both {
		h.Person(t, tenant, testenv.Visitor{Email: email})
		open(h, &tenant, "192.0.2.1").in(t, email, testenv.Password) // elsewhere
	}
	shared := open(h, &tenant, "203.0.113.7")
	shared.agent = "Mozilla/5.0 (iPad)"
	for _, email := range both {
		shared.in(t, email, testenv.Password)
	}
	h.Courier(t, tenant.ID)
	settled := shared.device
	for range 2 {
		for _, email := range both {
			shared.in(t, email, testenv.Password)
			if shared.device != settled || !knows(t, shared, settled, both[0]) || !knows(t, shared, settled, both[1]) {
				t.Fatalf("after %s has signed in again the browser is not known to both", email)
			}
		}
	}
	if got := h.Courier(t, tenant.ID); len(got) != 0 {
		t.Errorf("%d mails about a browser that is known", len(got))
	}
}

// What is not asked any more for thirty days is the browser in which that was ticked, and not a copy from before.
func TestADeviceThatIsNotAskedGetsAnotherIdentifier(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	tenant.MFA.Remember = true
	h.Person(t, tenant, testenv.Visitor{})
	h.Person(t, tenant, testenv.Visitor{Email: "bob@buyer.example"})
	b, a, _ := withApp(t, h, &tenant, "ann@buyer.example")
	b.in(t, "bob@buyer.example", testenv.Password)
	copied := open(h, &tenant, "198.51.100.1")
	copied.device = b.device
	if out := b.start(t, "ann@buyer.example", testenv.Password); out.Step != portal.StepSecond {
		t.Fatal(out.Step)
	}
	if _, err := b.say(t, auth.Answer{Kind: portal.FactorTOTP, Text: a.at(h.Clock.Now()), Trust: true}); err != nil {
		t.Fatal(err)
	}
	if out := copied.start(t, "ann@buyer.example", testenv.Password); out.Step != portal.StepSecond {
		t.Errorf("the copy is not asked: %q", out.Step)
	}
	if out := b.start(t, "ann@buyer.example", testenv.Password); out.Grant == nil {
		t.Errorf("the browser itself is asked: %q", out.Step)
	}
	if !knows(t, b, b.device, "bob@buyer.example") {
		t.Error("Bob is not known there any more")
	}
}

// SES-04: the question for a passkey is bound to a cookie that we have given: of nobody's own making. One behind which
// something waits stays, or a sign-in in another tab would be lost, or a link be taken for a stranger's.
func TestTheCookieOfAPasskeysQuestionIsOurs(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := openDoor(t, h)
	b := open(h, &tenant, "203.0.113.7")
	b.attempt = secret.NewToken().Reveal()
	planted := b.attempt
	b.options(t)
	if b.attempt == planted {
		t.Error("a cookie of the browser's own making is taken over")
	}
	stays := func(what string) {
		t.Helper()
		was := b.attempt
		if b.options(t); b.attempt != was {
			t.Errorf("%s is lost", what)
		}
	}
	stays("a question under way")
	if _, err := b.registers(auth.Registration{Email: "new@buyer.example", Name: "Noor", Password: fresh, Customer: "C-7"}); err != nil {
		t.Fatal(err)
	}
	h.Courier(t, tenant.ID)
	stays("the browser that has registered")
	withApp(t, h, &tenant, "first@buyer.example")
	b.start(t, "first@buyer.example", testenv.Password)
	stays("a sign-in under way")
}
