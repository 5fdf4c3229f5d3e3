package auth_test

import (
	"testing"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/testenv"
)

func TestTheRightPasswordBeginsASession(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	id := h.Person(t, tenant, testenv.Visitor{})
	out, err := h.Auth.SignIn(t.Context(), &tenant, h.Client("203.0.113.7"), session.Cookies{}, auth.Credentials{Email: "Ann@Buyer.example", Password: testenv.Password, ReturnTo: "/orders"})
	if err != nil {
		t.Fatal(err)
	}
	if out.Step != portal.StepDone || out.ReturnTo != "/orders" || out.Grant == nil || out.Grant.Session.User != id {
		t.Fatalf("step %s, return to %q, grant %+v", out.Step, out.ReturnTo, out.Grant)
	}
	res, err := h.Sessions.Resume(t.Context(), &tenant, session.Cookies{Access: out.Grant.Access, Refresh: out.Grant.Refresh}, h.Client("203.0.113.7"), true)
	if err != nil || res.Facts.Identity.User != id {
		t.Fatalf("the session is not resumed: %v", err)
	}
}
