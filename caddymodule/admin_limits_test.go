package caddymodule

import (
	"testing"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/ratelimit"
	"github.com/portalgate/portalgate/internal/revocation"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
	"github.com/portalgate/portalgate/internal/upstream"
)

// Each gateway counts for itself where Redis does not. What an operator has cleared at one of them the others forget,
// when they read what has changed: that network, at that tenant, and nothing else.
func TestWhatIsClearedAtOneGatewayIsForgottenAtAll(t *testing.T) {
	h := testenv.NewHouse(t, testenv.Plan{})
	other := h.Neighbour(t)
	acme, globex := testenv.Tenant(t), testenv.Tenant(t)
	w := &world{store: other.Store, ended: other.Ended, streams: upstream.NewStreams(), limits: other.Limits}
	now := h.Clock.Now
	w.clock.Store(&now)
	mark, err := w.changes(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	type at struct {
		tenant  portal.TenantID
		network string
	}
	kept := []at{{globex.ID, "203.0.113.7"}, {acme.ID, "203.0.113.8"}, {acme.ID, "2001:db8:1::/64"}}
	cleared := []at{{acme.ID, "203.0.113.7"}, {acme.ID, "2001:db8::/64"}}
	failed := func(h *testenv.House, a at) int { return h.Limits.Look(t.Context(), now(), a.tenant, a.network).Failed }
	for _, a := range append(kept, cleared...) {
		for _, g := range []*testenv.House{h, other} {
			p := g.Limits.Pay(t.Context(), now(), ratelimit.Guess{Tenant: a.tenant, Network: a.network, Account: "ann@buyer.example", Stranger: true})
			p.Settle(t.Context(), now(), ratelimit.Wrong)
			if failed(g, a) != 1 {
				t.Fatalf("nothing is counted for %v", a)
			}
		}
	}
	k := &clerk{store: h.Store, now: now, limits: h.Limits}
	for _, a := range cleared {
		network, err := networkOf(a.network)
		if err == nil {
			err = k.clear(t.Context(), a.tenant, network, store.Deed{Operator: "olga"})
		}
		if err != nil || failed(h, a) != 0 {
			t.Errorf("%v: %d, %v", a, failed(h, a), err)
		}
	}
	news, err := w.changes(t.Context(), mark.Watermark)
	if err != nil {
		t.Fatal(err)
	}
	epoch := w.ended.Epoch()
	w.apply(append([]revocation.Change{{Tenant: acme.ID, Kind: revocation.KindLimits, Subject: "nothing of the kind"}}, news.Changes...))
	for _, a := range cleared {
		if n := failed(other, a); n != 0 {
			t.Errorf("at the other gateway %d still count for %v", n, a)
		}
	}
	for _, a := range kept {
		if failed(h, a) != 1 || failed(other, a) != 1 {
			t.Errorf("%v is forgotten too: %d, %d", a, failed(h, a), failed(other, a))
		}
	}
	for _, c := range news.Changes {
		if c.Tenant == acme.ID && c.Kind != revocation.KindLimits {
			t.Errorf("%+v", c)
		}
	}
	if w.ended.Epoch() != epoch && len(news.Changes) == len(cleared) {
		t.Error("facts about sessions are stale by it")
	}
}
