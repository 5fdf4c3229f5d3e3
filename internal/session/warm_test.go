package session

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/revocation"
	"github.com/portalgate/portalgate/internal/secret"
)

// warm is a keeper that holds a number of verified tokens, and the cookies of some of their sessions with facts. It has
// no database: whatever would ask one fails.
func warm(tb testing.TB, tokens, sessions int) (k *Keeper, t *portal.Tenant, cookies []Cookies, who portal.Client) {
	tb.Helper()
	now := time.Now()
	ring, err := secret.Generate(now.Add(-time.Hour))
	if err != nil {
		tb.Fatal(err)
	}
	keys, err := secret.Parse(ring)
	if err != nil {
		tb.Fatal(err)
	}
	k = New(Options{Keys: keys, Ended: revocation.NewSet(2 * FactsLife), Policy: portal.DefaultPolicy(), Realm: "customers", Now: time.Now})
	t = &portal.Tenant{ID: newID[portal.TenantID](), Slug: "acme", Mode: portal.ModeOn}
	who = portal.Client{Agent: "Mozilla/5.0", At: now}
	user := portal.User{ID: newID[portal.UserID](), Email: "ann@buyer.example", FirstName: "Ann", LastName: "Buyer", Role: portal.RoleUser, Active: true, Verified: true}
	for range sessions {
		s := portal.Session{ID: newID[portal.SessionID](), Tenant: t.ID, User: user.ID, AMR: []portal.AMR{portal.AMRPassword},
			AuthTime: now, CreatedAt: now, LastActive: now, IdleEnd: now.Add(10 * time.Hour), End: now.Add(14 * time.Hour)}
		g, err := k.grant(t, s, secret.NewRefresh(), 0, now)
		if err != nil {
			tb.Fatal(err)
		}
		k.hold(t, s, user, k.o.Ended.Epoch(), now)
		cookies = append(cookies, Cookies{Access: g.Access, Refresh: g.Refresh})
	}
	for range tokens - sessions {
		var d secret.Fingerprint
		rand.Read(d[:])
		var v verified
		rand.Read(v.session[:])
		v.expires = now.Add(30 * time.Minute).Unix()
		k.tokens.put(d, v, now)
	}
	return k, t, cookies, who
}

func newID[T ~string]() T { return T(portal.FormatID(secret.NewID())) }

// P7: a warm request allocates nothing between its cookie and its facts.
func TestAWarmSessionIsFoundWithoutAllocating(t *testing.T) {
	k, tenant, cookies, who := warm(t, 2000, 200)
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		i++
		r, err := k.Resume(t.Context(), tenant, cookies[i%len(cookies)], who, true)
		if err != nil || r.Facts == nil || r.Grant != nil {
			t.Fatalf("resumed as %+v, %v", r, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for each request", n)
	}
}
