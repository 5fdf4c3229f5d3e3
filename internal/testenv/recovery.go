package testenv

import (
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// AsOperator runs an act in a tenant's transaction with the rights of a command.
func (h *House) AsOperator(t testing.TB, tenant portal.TenantID, act func(*store.Tx) error) {
	t.Helper()
	s, err := store.Open(h.DB.OperatorURL, store.Options{MaxConns: 2, Wait: 30 * time.Second})
	if err != nil {
		t.Fatal("opening the store as an operator: ", err)
	}
	defer s.Close()
	if err := s.Within(t.Context(), tenant, h.Clock.Now(), act); err != nil {
		t.Fatal("as an operator: ", err)
	}
}

// Recover begins a recovery as the operator Olga.
func (h *House) Recover(t testing.TB, tenant portal.TenantID, from, to portal.Email) (r portal.Recovery) {
	t.Helper()
	h.AsOperator(t, tenant, func(x *store.Tx) error {
		rows, err := x.Named(t.Context(), from)
		if err != nil || len(rows) == 0 {
			t.Fatalf("nobody has %s: %v", from, err)
		}
		r, err = auth.BeginRecovery(t.Context(), x, h.Keys, tenant, rows[0].User, from, to, store.Deed{Operator: "olga", Reason: "passport shown"})
		return err
	})
	return r
}
