package pages_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// says fails the test unless the page has these words, and none of those behind "not".
func (a answer) says(t *testing.T, words ...string) answer {
	t.Helper()
	page, want := strings.Join(strings.Fields(text(one(t, a.doc(t), "main"))), " "), true
	for _, w := range words {
		if w == "not" {
			want = false
		} else if strings.Contains(page, w) != want {
			t.Errorf("%q is there: %v, in %s", w, !want, page)
		}
	}
	return a
}

// A page that was opened with a link has lost it from its address; loaded again it says what to do, and not that a link is
// dead which is good.
func TestALinksPageThatIsLoadedAgainSaysWhatToDo(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	g := f.guest(t)
	for _, page := range []string{"reset-password", "verify-email", "register", "undo", "not-me", "try-now", "stop-recovery"} {
		g.get("/auth/"+page+"?opened=1").sees(t, 404).says(t, "Open the link in the mail once more.", "not", "does not work any more")
	}
}

// The last free try is said to be one, of an address that nobody has as of any; the pause has a way out, and who is signed in
// hears that they still are.
func TestAPauseIsAnnouncedAndHasAWayOut(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	var said []string
	for _, email := range []string{"ann@buyer.example", "nobody@buyer.example"} {
		g, form := f.guest(t), url.Values{"email": {email}, "password": {wrongPassword}}
		for range 3 {
			g.post("/auth/login", form).sees(t, 401).says(t, "not", "One more")
		}
		last := g.post("/auth/login", form).sees(t, 401).says(t, "One more that is wrong pauses it.")
		said = append(said, text(one(t, last.doc(t), ".problems")))
		pause := g.post("/auth/login", form).sees(t, 429).says(t, "Sign-in is paused", "in 30 minutes", "Forgotten your password?")
		said = append(said, text(one(t, pause.doc(t), "h1")))
	}
	if said[0] != said[2] || said[1] != said[3] {
		t.Errorf("the two read %q", said)
	}

	f.Person(t, *f.tenant, testenv.Visitor{Email: "bob@buyer.example"})
	bob := f.guest(t)
	bob.signIn("bob@buyer.example", testenv.Password)
	form := url.Values{"current_password": {wrongPassword}, "password": {"four crates of lids, please"}}
	for range 4 {
		bob.post("/auth/account/password", form).sees(t, 401)
	}
	bob.post("/auth/account/password", form).sees(t, 429).says(t, "You stay signed in.", "Back to your account", "not", "To the sign-in page", "Sign-in")
}

// While codes rest no kind of code is offered, and the last try before is said to be one.
func TestWhileCodesRestNoneIsOffered(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	g, _, codes := stepped(t, f)
	where := g.signIn("ann@buyer.example", testenv.Password).where
	wrong := url.Values{"method": {"totp"}, "code": {"000000"}}
	g.post("/auth/mfa", url.Values{"method": {"totp"}, "code": {" "}}).sees(t, 422).says(t, "Enter the 6 digits.")
	for range 3 {
		g.post("/auth/mfa", wrong).sees(t, 401).says(t, "not", "once more")
	}
	g.post("/auth/mfa", wrong).sees(t, 401).says(t, "You can try once more", "Try another way")
	g.post("/auth/mfa", wrong).sees(t, 429)
	g.get(where).sees(t, 200).says(t, "codes are not taken until", "not", "Try another way")

	f.Clock.Advance(time.Hour)
	g.signIn("ann@buyer.example", testenv.Password)
	g.post("/auth/mfa", url.Values{"method": {"backup"}, "code": {codes[0]}}).sees(t, 303)
	g.get("/auth/account/activity").says(t, "Signed in with a backup code")
	g.post("/auth/logout", nil)
	g.signIn("ann@buyer.example", testenv.Password)
	g.post("/auth/mfa", url.Values{"method": {"backup"}, "code": {codes[0]}}).sees(t, 401).says(t, "You have used this code already. Take the next one on your list.")
}

// New backup codes are made once by one form, however often a browser sends it.
func TestAFormThatIsSentAgainMakesNoOtherBackupCodes(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	g := f.guest(t)
	g.signIn("ann@buyer.example", testenv.Password)
	g.enrols()
	g.get("/auth/account/activity").says(t, "A second step was added")
	if n := strings.Count(g.get("/auth/account/activity").body, "A second step was added"); n != 1 {
		t.Errorf("adding an app is %d lines", n)
	}
	ask := g.get("/auth/account/mfa?regenerate=1").sees(t, 200)
	form := url.Values{"action": {"regenerate"}, "id": {attr(one(t, ask.doc(t), "input[name=id]"), "value")}}
	codes := strings.Fields(text(one(t, g.post("/auth/account/mfa", form).sees(t, 200).doc(t), "#codes")))
	g.post("/auth/account/mfa", form).sees(t, 422).says(t, "You have made new codes already.")
	g.get("/auth/account/activity").says(t, "Backup codes were made anew")
	g.post("/auth/logout", nil)
	g.signIn("ann@buyer.example", testenv.Password)
	g.post("/auth/mfa", url.Values{"method": {"backup"}, "code": {codes[0]}}).sees(t, 303)
}

// A sign-in that ran out says so, also when the browser comes back after the ten minutes.
func TestASignInThatRanOutSaysSo(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	g, key, _ := stepped(t, f)
	a := g.signIn("ann@buyer.example", testenv.Password, "return_to", "/orders")
	for _, c := range a.header["Set-Cookie"] {
		if strings.HasPrefix(c, "portalgate-attempt=") && !strings.Contains(c, "Max-Age=4200") {
			t.Errorf("the cookie goes with the sign-in: %s", strings.Join(strings.Split(c, ";")[1:], ";"))
		}
	}
	f.Clock.Advance(11 * time.Minute)
	for _, late := range []answer{g.get(a.where), g.code(key, "return_to", "/orders")} {
		if late.status != 303 || !strings.HasPrefix(late.where, "/auth/login?") {
			t.Fatalf("%d, to %q", late.status, late.where)
		}
	}
	g.signIn("ann@buyer.example", testenv.Password)
	f.Clock.Advance(11 * time.Minute)
	g.get(g.get("/auth/mfa").sees(t, 303).where).sees(t, 200).says(t, "That took longer than 10 minutes", "please enter your password again")
}

// Whoever is signed in is not told that they are not, and every field that must not be empty is named at once.
func TestPagesKnowWhoIsSignedInAndNameEveryEmptyField(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.tenant.Registration = portal.RegistrationOpen
	f.Person(t, *f.tenant, testenv.Visitor{})
	g := f.guest(t)
	g.post("/auth/login", nil).sees(t, 422).says(t, "Enter your e-mail address", "Enter your password.")
	g.post("/auth/register", nil).sees(t, 422).says(t, "Enter your name.", "Enter your e-mail address", "Enter a new password.")
	g.signIn("ann@buyer.example", testenv.Password)
	g.post("/auth/account/password", nil).sees(t, 422).says(t, "Enter your current password.", "Enter a new password.")
	g.post("/auth/account/password", url.Values{"current_password": {testenv.Password}, "password": {testenv.Password}}).sees(t, 422).says(t, "Choose a password other than the one you had.")
	g.post("/auth/account/email", nil).sees(t, 422).says(t, "Enter the new e-mail address", "Enter your current password.")
	if a := g.get("/auth/signed-out"); a.status != 303 || a.where != "/" {
		t.Errorf("%d, to %q", a.status, a.where)
	}
}

// A customer number is the same in capitals and in small letters.
func TestACustomerNumberIsReadInAnyLetters(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.tenant.Registration = portal.RegistrationOpen
	f.Person(t, *f.tenant, testenv.Visitor{Customer: "K-77A"})
	for number, status := range map[string]int{"k-77a": 303, "K-77A": 303, "K-77B": 422} {
		f.guest(t).post("/auth/register", url.Values{"email": {"noor@buyer.example"}, "name": {"Noor"}, "password": {"four crates of lids, please"}, "customer": {number}}).sees(t, status)
	}
}
