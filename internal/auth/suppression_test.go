package auth_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// An address that mail comes back from gets no more; whoever asks at the page hears the same as everybody, and an
// operator can let mail go there again. Nobody's address is stopped by a report about another's letter.
func TestNoMailLeavesForADeadAddressAndThePageDoesNotSaySo(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	for _, email := range []string{"ann@buyer.example", "bob@buyer.example"} {
		h.Person(t, tenant, testenv.Visitor{Email: email})
	}
	b := open(h, &tenant, "203.0.113.7")
	b.askReset(t, "ann@buyer.example")
	m := one(t, h.Courier(t, tenant.ID), portal.LetterRecover)
	id, _, _ := strings.Cut(m.ID, "@")
	letter := portal.LetterID(id)
	h.AsOperator(t, tenant.ID, func(x *store.Tx) error {
		for who, want := range map[portal.Email]bool{"ann@buyer.example": true, "bob@buyer.example": false} {
			if ok, err := x.Recipient(t.Context(), letter, who); err != nil || ok != want {
				t.Errorf("the letter was for %s: %t, %v", who, ok, err)
			}
		}
		for _, fresh := range []bool{true, false} { // a report that comes twice changes nothing
			ok, err := auth.Suppress(t.Context(), x, h.Keys, tenant.ID, "ann@buyer.example", store.Suppression{Cause: "bounce", Detail: "5.1.1", Letter: letter}, store.Deed{Operator: "pipe"})
			if err != nil || ok != fresh {
				t.Errorf("suppressed: %t, %v", ok, err)
			}
		}
		list, err := x.Suppressions(t.Context(), 10)
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		if e, err := auth.OpenSuppression(h.Keys, tenant.ID, list[0], x.Now()); e != "ann@buyer.example" || err != nil || strings.Contains(list[0].Address, "ann") {
			t.Errorf("the list has %s, %v", e, err)
		}
		return nil
	})
	h.Clock.Advance(time.Hour)
	ask := func(email string) any {
		out, err := h.Auth.AskReset(t.Context(), &tenant, b.client(), email)
		return []any{out, err}
	}
	if dead, alive := ask("ann@buyer.example"), ask("bob@buyer.example"); !reflect.DeepEqual(dead, alive) {
		t.Errorf("the page says %+v, and %+v to others", dead, alive)
	}
	if m := one(t, h.Courier(t, tenant.ID), portal.LetterRecover); m.To != "bob@buyer.example" {
		t.Errorf("a mail leaves for %s", m.To)
	}
	var why string
	h.DB.Row(t, `select last_error from portalgate.outbox where tenant_id = $1 and state = 'dropped'`, []any{tenant.ID}, &why)
	if why != "suppressed" {
		t.Errorf("the letter was dropped because: %s", why)
	}
	h.AsOperator(t, tenant.ID, func(x *store.Tx) error {
		ok, err := x.Unsuppress(t.Context(), "ann@buyer.example", store.Deed{Operator: "olga"})
		if !ok {
			t.Error("it was not on the list")
		}
		return err
	})
	h.Clock.Advance(time.Hour)
	b.askReset(t, "ann@buyer.example")
	one(t, h.Courier(t, tenant.ID), portal.LetterRecover)
}
