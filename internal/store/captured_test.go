package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

func TestCapturedMailsAreFewAndKeptForDays(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p := newPlace(t, db)
	keep := func() (id string) {
		id = newID[string]()
		p.in(t, func(x *store.Tx) error {
			return x.Capture(t.Context(), store.Captured{ID: id, Kind: portal.LetterRecover, Message: "v1:k:sealed", KeyID: "k"})
		})
		return id
	}
	kept := func() (all []store.Captured) {
		t.Helper()
		p.asOperator(t, func(x *store.Tx) (err error) { all, err = x.CapturedMails(t.Context(), 2000); return err })
		return all
	}
	there := func(id string) (c store.Captured, err error) {
		err = p.operator.Within(t.Context(), p.tenant.ID, p.clock.Now(), func(x *store.Tx) (err error) { c, err = x.CapturedMail(t.Context(), id); return err })
		return c, err
	}
	first := keep()
	if c, err := there(first); err != nil || c.Kind != portal.LetterRecover || c.Message != "v1:k:sealed" || c.KeyID != "k" || !c.CreatedAt.Equal(p.clock.Now()) {
		t.Errorf("%+v, %v", c, err)
	}
	p.clock.Advance(time.Minute)
	second := keep()
	if all := kept(); len(all) != 2 || all[0].ID != second || all[1].ID != first {
		t.Errorf("not the newest first: %+v", all)
	}
	// What is too many pushes the oldest out, of its own tenant only.
	other := newPlace(t, db)
	other.in(t, func(x *store.Tx) error {
		return x.Capture(t.Context(), store.Captured{ID: newID[string](), Kind: portal.LetterTest, Message: "m", KeyID: "k"})
	})
	db.Exec(t, `insert into portalgate.captured (id, tenant_id, kind, message, key_id, created_at)
		select gen_random_uuid(), $1, 'recover', 'm', 'k', $2 from generate_series(1, $3)`, p.tenant.ID, p.clock.Now().Add(time.Second), store.CapturedMost-2)
	p.clock.Advance(time.Minute)
	keep()
	if _, err := there(first); !errors.Is(err, store.ErrNone) {
		t.Errorf("the oldest of too many: %v", err)
	}
	if _, err := there(second); err != nil {
		t.Error(err)
	}
	if n := len(kept()); n != store.CapturedMost {
		t.Errorf("%d are kept", n)
	}
	// What is old is shown no more, and swept.
	p.clock.Advance(store.CapturedFor)
	if n := len(kept()); n != 0 {
		t.Errorf("%d are shown after a week", n)
	}
	for _, want := range []int64{600, 400, 0} {
		if n, err := p.gateway.SweepCaptured(t.Context(), p.tenant.ID, p.clock.Now(), 600); err != nil || n != want {
			t.Errorf("swept %d, not %d: %v", n, want, err)
		}
	}
	other.in(t, func(x *store.Tx) error {
		if all, err := x.CapturedMails(t.Context(), 10); err != nil || len(all) != 1 {
			t.Errorf("the other tenant has %d, %v", len(all), err)
		}
		return nil
	})
}
