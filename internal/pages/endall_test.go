package pages_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/testenv"
)

// SES-08: whoever ends every session shows first that it is them, at the page and in the API as for the others; the page
// goes on where they were. Signing out everywhere at the sign-out page asks for nothing.
func TestEndingEverySessionAsksWhoItIs(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	ann, other := f.guest(t), f.guest(t)
	for _, g := range []*guest{ann, other} {
		g.signIn("ann@buyer.example", testenv.Password)
	}
	f.Clock.Advance(11 * time.Minute)
	back := "/auth/account/sessions?end=all"
	all := url.Values{"action": {"revoke_all"}}
	if a := ann.post("/auth/account/sessions", all); a.status != 303 || a.where != "/auth/mfa?return_to="+url.QueryEscape(back) {
		t.Fatalf("answered %d, to %q", a.status, a.where)
	}
	if a := ann.json(http.MethodDelete, "/auth/api/sessions?all=1", ""); a.status != 401 || a.json(t)["code"] != "mfa_required" {
		t.Errorf("as data it is answered %d %s", a.status, a.body)
	}
	if a := other.json(http.MethodGet, "/auth/api/session", ""); a.status != 200 {
		t.Fatalf("the other device is answered %d", a.status)
	}
	if a := ann.post("/auth/mfa", url.Values{"method": {"password"}, "password": {testenv.Password}, "return_to": {back}}); a.status != 303 || a.where != back {
		t.Fatalf("the password leads to %q, with %d", a.where, a.status)
	}
	form := one(t, ann.get(back).sees(t, 200).doc(t), "main form")
	if attr(form, "action") != "/auth/account/sessions" || attr(one(t, form, "input[name=action]"), "value") != "revoke_all" {
		t.Errorf("the page asks for something else")
	}
	if a := ann.post("/auth/account/sessions", all); a.status != 303 || a.where != "/auth/signed-out?all=1" {
		t.Errorf("all are ended: %d to %q", a.status, a.where)
	}
	for _, g := range []*guest{ann, other} {
		if a := g.json(http.MethodGet, "/auth/api/session", ""); a.status != 401 {
			t.Errorf("afterwards: %d", a.status)
		}
		g.signIn("ann@buyer.example", testenv.Password)
	}
	f.Clock.Advance(11 * time.Minute)
	ann.post("/auth/logout", url.Values{"all": {"1"}}).sees(t, 303)
	if a := other.json(http.MethodGet, "/auth/api/session", ""); a.status != 401 {
		t.Errorf("after signing out everywhere: %d", a.status)
	}
}
