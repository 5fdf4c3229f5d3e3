package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// DOS-04: whoever knows a password begins as many sign-ins as they like, and the newest ten are kept.
func TestOfAPersonsSignInsUnderWayTheNewestTenAreKept(t *testing.T) {
	t.Parallel()
	p := newPlace(t, testenv.Database(t))
	bob := p.person(t, "bob@buyer.example")
	put := func(name string, users ...portal.UserID) {
		t.Helper()
		at := portal.Attempt{ID: newID[portal.AttemptID](), Tenant: p.tenant.ID, Users: users, Shown: []portal.AMR{portal.AMRPassword}, ReturnTo: "/", CreatedAt: p.clock.Now(), ExpiresAt: p.clock.Now().Add(10 * time.Minute)}
		p.in(t, func(x *store.Tx) error { return x.PutAttempt(t.Context(), at, digestOf(name)) })
		p.clock.Advance(time.Second)
	}
	stands := func(name string) bool {
		t.Helper()
		err := p.gateway.Within(t.Context(), p.tenant.ID, p.clock.Now(), func(x *store.Tx) error {
			_, err := x.Attempt(t.Context(), digestOf(name))
			return err
		})
		return err == nil
	}
	put("bob's", bob)
	names := []string{}
	for i := range 25 {
		names = append(names, string(rune('a'+i)))
		put(names[i], p.ann)
	}
	var n int
	p.db.Row(t, `select count(*) from portalgate.attempts where tenant_id = $1`, []any{p.tenant.ID}, &n)
	if n != 11 || !stands("bob's") {
		t.Errorf("%d are kept, somebody else's: %v", n, stands("bob's"))
	}
	kept := slices.DeleteFunc(slices.Clone(names), func(s string) bool { return !stands(s) })
	if !slices.Equal(kept, names[15:]) {
		t.Errorf("kept are %v", kept)
	}
	put("of both", p.ann, bob) // one person, in two companies: all of theirs count together
	if !stands("of both") || stands("bob's") || stands(names[15]) || !stands(names[16]) {
		t.Error("one of two companies' rows does not count for both")
	}
}

// REV-03: everybody of a tenant is signed out, and nobody of another; who comes meanwhile stays, and each ending is
// announced.
func TestEverySessionOfATenantIsEndedByACommand(t *testing.T) {
	t.Parallel()
	p := newPlace(t, testenv.Database(t))
	there := newPlace(t, p.db)
	bob := p.person(t, "bob@buyer.example")
	for _, u := range []portal.UserID{p.ann, p.ann, bob} {
		p.begin(t, u)
	}
	there.begin(t, there.ann)
	p.clock.Advance(time.Second)
	began := p.clock.Now()
	late := p.begin(t, bob)
	n := 0
	p.asOperator(t, func(x *store.Tx) (err error) {
		n, err = x.RevokeEverybody(t.Context(), began, store.Deed{Operator: "ops", Reason: "stolen backup"})
		return err
	})
	var living, others, told, noted int
	var id portal.SessionID
	p.db.Row(t, `select count(*), min(id::text) from portalgate.sessions where tenant_id = $1 and ended_at is null`, []any{p.tenant.ID}, &living, &id)
	p.db.Row(t, `select count(*) from portalgate.sessions where tenant_id = $1 and ended_at is null`, []any{there.tenant.ID}, &others)
	p.db.Row(t, `select count(*) from portalgate.revocations where tenant_id = $1 and kind = 'session'`, []any{p.tenant.ID}, &told)
	p.db.Row(t, `select count(*) from portalgate.events where tenant_id = $1 and verb = 'SESSIONS_REVOKED' and operator = 'ops' and note = 'stolen backup' and facts ->> 'sessions_ended' = '3'`, []any{p.tenant.ID}, &noted)
	if n != 3 || living != 1 || id != late.ID || others != 1 || told != 3 || noted != 1 {
		t.Errorf("%d ended, %d left (%s), %d of another tenant left, %d announced, %d rows of the trail", n, living, id, others, told, noted)
	}
}
