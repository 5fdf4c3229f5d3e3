package store_test

import (
	"testing"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/testenv"
)

// What the ERP's staff do by SQL to a person who is signed in (M29): the session is over, and stays over when the deed
// is undone.
func TestTheERPsHandEndsSessionsForGood(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	for name, deed := range map[string][2]string{
		"a new password":   {`update customer_users set password_hash = '$2b$10$N2RRL3IPeqmRGuXSRz1EhOSlBBmcFwsLu7oQiAM82wZN53hVwdscq' where id = $1`, `update customer_users set password_hash = '!portalgate' where id = $1`},
		"switched off":     {`update customer_users set is_active = false where id = $1`, `update customer_users set is_active = true where id = $1`},
		"deleted softly":   {`update customer_users set deleted_at = now() where id = $1`, `update customer_users set deleted_at = null where id = $1`},
		"address unproven": {`update customer_users set is_email_verified = false where id = $1`, ""},
	} {
		tenant := testenv.Tenant(t)
		id := h.Person(t, tenant, testenv.Visitor{})
		out, err := h.Auth.SignIn(t.Context(), &tenant, h.Client("203.0.113.7"), session.Cookies{}, auth.Credentials{Email: "ann@buyer.example", Password: testenv.Password})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		cookies := session.Cookies{Access: out.Grant.Access, Refresh: out.Grant.Refresh}
		passes := func() bool {
			h.Hear(t)
			_, err := h.Sessions.Resume(t.Context(), &tenant, cookies, h.Client("203.0.113.7"), true)
			return err == nil
		}
		if !passes() {
			t.Fatalf("%s: not signed in to begin with", name)
		}
		h.DB.Exec(t, deed[0], id)
		if passes() {
			t.Errorf("%s: the session goes on", name)
		}
		if deed[1] == "" {
			continue
		}
		h.DB.Exec(t, deed[1], id)
		if passes() {
			t.Errorf("%s, undone: the session has come back", name)
		}
	}
}

// Renaming somebody ends nothing; the upstream hears the new name.
func TestTheERPsHandOnANameEndsNothing(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	id := h.Person(t, tenant, testenv.Visitor{})
	out, err := h.Auth.SignIn(t.Context(), &tenant, h.Client("203.0.113.7"), session.Cookies{}, auth.Credentials{Email: "ann@buyer.example", Password: testenv.Password})
	if err != nil {
		t.Fatal(err)
	}
	h.DB.Exec(t, `update customer_users set first_name = 'Anna' where id = $1`, id)
	h.Hear(t)
	res, err := h.Sessions.Resume(t.Context(), &tenant, session.Cookies{Access: out.Grant.Access, Refresh: out.Grant.Refresh}, h.Client("203.0.113.7"), true)
	if err != nil || res.Facts.Identity.Name != "Anna Buyer" {
		t.Fatalf("%+v: %v", res, err)
	}
}
