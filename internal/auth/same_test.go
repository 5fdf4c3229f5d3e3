package auth_test

import (
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// Whoever says that it was somebody else does not choose the password again that somebody else knows: neither ours nor one
// that the ERP had, and not after saying it twice. It opens nothing meanwhile.
func TestAPasswordThatWasShutIsNotChosenAgain(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	for _, v := range []testenv.Visitor{{Email: "ours@buyer.example"}} {
		h.Person(t, tenant, v)
		b := open(h, &tenant, "203.0.113.7")
		disown := func() string {
			var link string
			for _, m := range h.Courier(t, tenant.ID) {
				switch m.Kind {
				case portal.LetterNewDevice, portal.LetterAfterFailures:
					link = testenv.TokenIn(t, m, "/auth/not-me")
				}
			}
			if _, err := h.Auth.Disown(t.Context(), &tenant, b.client(), link); err != nil {
				t.Fatal(v.Email, err)
			}
			m := h.Courier(t, tenant.ID)
			return testenv.TokenIn(t, m[len(m)-1], "/auth/reset-password")
		}
		b.in(t, v.Email, testenv.Password)
		open(h, &tenant, "198.51.100.8").in(t, v.Email, testenv.Password)
		token := disown()
		if _, err := b.signIn(v.Email, testenv.Password); kind(t, err) != portal.ProblemCredentials {
			t.Errorf("%s: the password that was shut: %v", v.Email, err)
		}
		if err := h.Auth.Reset(t.Context(), &tenant, b.client(), token, testenv.Password); kind(t, err) != portal.ProblemInput {
			t.Errorf("%s: the password that was shut is chosen again: %v", v.Email, err)
		}
		if err := h.Auth.Reset(t.Context(), &tenant, b.client(), token, fresh); err != nil {
			t.Fatal(v.Email, err)
		}
		b.in(t, v.Email, fresh)
	}
}

// A change is one: whoever types the password that they have as the new one hears so, and pays for no wrong guess.
func TestAChangedPasswordIsAnother(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "203.0.113.7")
	b.in(t, "ann@buyer.example", testenv.Password)
	ses, _ := b.session(t)
	for range 7 {
		if _, err := h.Auth.ChangePassword(t.Context(), &tenant, b.client(), ses, testenv.Password, testenv.Password); kind(t, err) != portal.ProblemInput {
			t.Fatalf("the same one: %v", err)
		}
	}
	if _, err := h.Auth.ChangePassword(t.Context(), &tenant, b.client(), ses, testenv.Password, fresh); err != nil {
		t.Error(err)
	}
}

// What takes something away is said at once and by itself, however much was said in that hour; only the same waits.
func TestANoticeOfARemovalWaitsBehindNoOther(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	b, _, codes := withApp(t, h, &tenant, "ann@buyer.example")
	said := func(want string) {
		t.Helper()
		m := h.Courier(t, tenant.ID)
		for _, n := range m {
			if n.Kind == portal.LetterFactor && strings.Contains(n.Subject, want) {
				return
			}
		}
		t.Errorf("no mail says %q: %v", want, m)
	}
	said("authenticator app was added")
	for i, want := range []string{"7 are left", "6 are left"} {
		b.start(t, "ann@buyer.example", testenv.Password)
		if _, err := b.answer(t, portal.FactorBackup, codes[i]); err != nil {
			t.Fatal(err)
		}
		said(want)
	}
	ses, _ := b.session(t)
	var id portal.FactorID
	h.DB.Row(t, `select id::text from portalgate.factors where tenant_id = $1 and kind = 'totp'`, []any{tenant.ID}, &id)
	if err := h.Auth.Remove(t.Context(), &tenant, b.client(), ses, id); err != nil {
		t.Fatal(err)
	}
	said("turned off")
}
