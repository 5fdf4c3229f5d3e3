package store_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// letters puts letters into the outbox of a tenant, due this long after now, and returns their ids in the order given.
func letters(t *testing.T, p *place, due ...time.Duration) (ids []portal.LetterID) {
	t.Helper()
	p.in(t, func(x *store.Tx) error {
		for _, d := range due {
			id := newID[portal.LetterID]()
			ids = append(ids, id)
			if _, err := x.Exec(t.Context(), `insert into portalgate.outbox (id, tenant_id, kind, address, key_id, next_try_at, created_at) values ($1, $2, 'recover', '\x03', 'k1', $3, $4)`,
				id, p.tenant.ID, x.Now().Add(d), x.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	return ids
}

func claim(t *testing.T, s *store.Store, at time.Time, most int) (ids []portal.LetterID) {
	t.Helper()
	due, err := s.Claim(t.Context(), at, most)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range due {
		ids = append(ids, d.Letter)
	}
	return ids
}

func same(a, b []portal.LetterID) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// Letters of every tenant are claimed when they are due, the longest due first, each for two minutes, and every claim
// counts as a try.
func TestLettersAreClaimedWhenTheyAreDue(t *testing.T) {
	t.Parallel()
	db := testenv.FreshDatabase(t)
	a, b := newPlace(t, db), newPlace(t, db)
	b.clock = a.clock
	of, other := letters(t, a, -3*time.Minute, -time.Minute, time.Hour), letters(t, b, -2*time.Minute, 0)
	now := a.clock.Now()
	for _, most := range []int{0, -1} {
		if got := claim(t, a.gateway, now, most); len(got) != 0 {
			t.Errorf("%d at most: %v", most, got)
		}
	}
	if got := claim(t, a.gateway, now, 2); !same(got, []portal.LetterID{of[0], other[0]}) {
		t.Errorf("the first two: %v", got)
	}
	due, err := a.gateway.Claim(t.Context(), now, 100)
	if err != nil || len(due) != 2 || !slices.Contains(due, store.Due{Tenant: a.tenant.ID, Letter: of[1]}) || !slices.Contains(due, store.Due{Tenant: b.tenant.ID, Letter: other[1]}) {
		t.Errorf("the others: %+v, %v", due, err)
	}
	if got := claim(t, a.gateway, now.Add(2*time.Minute-time.Second), 100); len(got) != 0 {
		t.Errorf("claimed twice: %v", got)
	}
	// Whoever has claimed them has died. What is done or dropped is not claimed again.
	b.in(t, func(x *store.Tx) error {
		_, err := x.Exec(t.Context(), `update portalgate.outbox set state = 'sent', done_at = $2 where id = $1`, other[0], now)
		return err
	})
	if got := claim(t, a.gateway, now.Add(2*time.Minute), 100); !same(got, []portal.LetterID{of[0], of[1], other[1]}) {
		t.Errorf("after two minutes: %v", got)
	}
	var tries []int
	db.Row(t, `select array_agg(tries order by next_try_at) from portalgate.outbox`, nil, &tries)
	if !slices.Equal(tries, []int{2, 1, 2, 2, 0}) {
		t.Errorf("tries %v", tries)
	}
}

func TestTwoCouriersNeverGetTheSameLetter(t *testing.T) {
	t.Parallel()
	db := testenv.FreshDatabase(t)
	p := newPlace(t, db)
	all := letters(t, p, make([]time.Duration, 130)...)
	now := p.clock.Now()

	// What somebody holds is passed over, and what was claimed in vain is there again.
	h := p.hand(t, db.RootURL)
	if _, err := h.Exec(t.Context(), `select from portalgate.outbox where id = $1 for update`, all[0]); err != nil {
		t.Fatal(err)
	}
	if got := claim(t, p.gateway, now, 1000); len(got) != 100 || slices.Contains(got, all[0]) {
		t.Errorf("%d letters are claimed at once", len(got))
	}
	if got := claim(t, p.gateway, now, 1000); len(got) != 29 || slices.Contains(got, all[0]) {
		t.Errorf("%d letters are left", len(got))
	}
	if err := h.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := claim(t, p.gateway, now, 1000); !slices.Equal(got, all[:1]) {
		t.Errorf("let go: %v", got)
	}

	now = now.Add(time.Hour)
	var (
		mu      sync.Mutex
		wg      sync.WaitGroup
		claimed []portal.LetterID
	)
	stores := []*store.Store{p.gateway, open(t, db.AppURL)}
	for i := range 8 {
		wg.Go(func() {
			for {
				due, err := stores[i%2].Claim(t.Context(), now, 7)
				if err != nil {
					t.Error(err)
				}
				if len(due) == 0 {
					return
				}
				mu.Lock()
				for _, d := range due {
					claimed = append(claimed, d.Letter)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if claimed = append(claimed, claim(t, p.gateway, now, 100)...); !same(claimed, all) {
		t.Errorf("%d claims of %d letters", len(claimed), len(all))
	}
}
