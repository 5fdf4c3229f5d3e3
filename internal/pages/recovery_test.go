package pages_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// A mail scanner that opens the link stops nothing; only a browser that the account knows is offered to end the wait,
// and signed in it stays, whichever button is pressed.
func TestTheLinkOfARecoveryDoesNothingUntilAButtonIsPressed(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	id := f.Person(t, *f.tenant, testenv.Visitor{})
	known, stranger := f.guest(t), f.guest(t)
	known.signIn("ann@buyer.example", testenv.Password)
	state := func() (state portal.RecoveryState) {
		f.DB.Row(t, `select state from portalgate.recoveries where user_id = $1 order by begun_at desc limit 1`, []any{id}, &state)
		return state
	}
	begin := func(to portal.Email) mailed {
		t.Helper()
		f.Clock.Advance(time.Second)
		f.Recover(t, f.tenant.ID, "ann@buyer.example", to)
		f.Courier(t, f.tenant.ID)
		for _, m := range f.Mail.Sent(f.tenant.ID) {
			if m.Kind == portal.LetterRecovery && m.To == to {
				return mailed{testenv.LinkIn(t, m, "/auth/stop-recovery"), testenv.TokenIn(t, m, "/auth/stop-recovery")}
			}
		}
		t.Fatal("the new address hears nothing")
		return mailed{}
	}
	const offer = `name="act" value="confirm"`

	link := begin("one@elsewhere.example")
	if a := stranger.get(link.page); a.status != 200 || strings.Contains(a.body, offer) {
		t.Errorf("a stranger: %d, offered it: %t", a.status, strings.Contains(a.body, offer))
	}
	if a := known.get(link.page); a.status != 200 || !strings.Contains(a.body, offer) {
		t.Errorf("a known browser: %d\n%s", a.status, a.body)
	}
	if a := stranger.post("/auth/stop-recovery", url.Values{"token": {link.token}, "act": {"confirm"}}); a.status != 404 || state() != portal.RecoveryWaits {
		t.Errorf("a stranger confirms: %d, %s", a.status, state())
	}
	if a := stranger.post("/auth/stop-recovery", url.Values{"token": {link.token}}); a.status != 303 || a.where != "/auth/stop-recovery?done=1" || state() != portal.RecoveryStopped {
		t.Errorf("stopping: %d to %s, %s", a.status, a.where, state())
	}
	if a := stranger.get(link.page); a.status != 404 {
		t.Errorf("the link of a recovery that was stopped: %d", a.status)
	}

	link = begin("two@elsewhere.example")
	if a := known.post("/auth/stop-recovery", url.Values{"token": {link.token}, "act": {"confirm"}}); a.status != 303 || a.where != "/auth/stop-recovery?done=2" {
		t.Fatalf("confirming: %d to %s", a.status, a.where)
	}
	if a := known.get("/auth/account"); a.status != 200 {
		t.Errorf("the browser that confirms is signed out by that: %d", a.status)
	}
	f.Courier(t, f.tenant.ID)
	if state() != portal.RecoveryDone {
		t.Errorf("it is %s", state())
	}
}
