package auth_test

import (
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// ux 48: whoever looks at their account, here or at the ERP, sees when the password was set last. A hash that is made
// anew at a sign-in is no change.
func TestEveryNewPasswordIsDatedWhereTheERPLooks(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	id := h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "203.0.113.7")
	var set time.Time
	dated := func(what string, want time.Time) {
		t.Helper()
		h.DB.Row(t, `select password_changed_at from public.customer_users where id = $1`, []any{id}, &set)
		if !set.Equal(want) {
			t.Errorf("%s: dated %s, not %s", what, set, want)
		}
	}
	made := h.Clock.Now()
	h.Clock.Advance(time.Hour)
	ses := b.in(t, "ann@buyer.example", testenv.Password)
	dated("a sign-in", made)

	now := h.Clock.Advance(time.Hour)
	grant, err := h.Auth.ChangePassword(t.Context(), &tenant, b.client(), ses, testenv.Password, fresh)
	if err != nil {
		t.Fatal(err)
	}
	dated("a change", now)
	if at, err := h.Auth.PasswordChanged(t.Context(), &tenant, b.client(), grant.Session); err != nil || !at.Equal(now) {
		t.Errorf("told is %s: %v", at, err)
	}

	h.Courier(t, tenant.ID)
	h.Clock.Advance(time.Hour)
	b.askReset(t, "ann@buyer.example")
	token := testenv.TokenIn(t, one(t, h.Courier(t, tenant.ID), portal.LetterRecover), "/auth/reset-password")
	now = h.Clock.Advance(time.Minute)
	if err := h.Auth.Reset(t.Context(), &tenant, b.client(), token, testenv.Password); err != nil {
		t.Fatal(err)
	}
	dated("a reset", now)

	now = h.Clock.Advance(time.Hour)
	s, err := store.Open(h.DB.OperatorURL, store.Options{MaxConns: 1, Wait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Within(t.Context(), tenant.ID, now, func(x *store.Tx) error {
		a, err := x.Person(t.Context(), id)
		if err != nil {
			return err
		}
		_, err = x.SetPassword(t.Context(), a, "ann@buyer.example", "$argon2id$nobodys", "k1", store.Deed{Operator: "test"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	dated("an operator's", now)

	// What the ERP knows is what is told; where it knows nothing nothing is.
	again := h.Person(t, tenant, testenv.Visitor{Email: "bob@buyer.example"})
	bob := open(h, &tenant, "203.0.113.8")
	ses = bob.in(t, "bob@buyer.example", testenv.Password)
	long := h.Clock.Now().Add(-1000 * time.Hour)
	h.DB.Exec(t, `update public.customer_users set password_changed_at = $2 where id = $1`, again, long)
	if at, err := h.Auth.PasswordChanged(t.Context(), &tenant, bob.client(), ses); err != nil || !at.Equal(long) {
		t.Errorf("of what the ERP says told is %s: %v", at, err)
	}
	h.DB.Exec(t, `update public.customer_users set password_changed_at = null where id = $1`, again)
	if at, err := h.Auth.PasswordChanged(t.Context(), &tenant, bob.client(), ses); err != nil || !at.IsZero() {
		t.Errorf("of nothing told is %s: %v", at, err)
	}
}
