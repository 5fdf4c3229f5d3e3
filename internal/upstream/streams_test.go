package upstream

import (
	"context"
	"sync"
	"testing"

	"github.com/portalgate/portalgate/internal/portal"
)

// REV-02: a stream ends with its session, its person or its tenant, and with nobody else's.
func TestAStreamEndsWithWhatItBelongsTo(t *testing.T) {
	s := NewStreams()
	open := func(session, user, tenant string) context.Context {
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(s.Hold(portal.Identity{Session: portal.SessionID(session), User: portal.UserID(user), Tenant: portal.TenantID(tenant)}, cancel))
		return ctx
	}
	a, again, b, c := open("1", "ann", "acme"), open("1", "ann", "acme"), open("2", "ann", "acme"), open("3", "bob", "globex")
	ended := func() (out [4]bool) {
		for i, ctx := range []context.Context{a, again, b, c} {
			out[i] = ctx.Err() != nil
		}
		return out
	}
	if n := s.End("session", "9"); n != 0 || ended() != [4]bool{} {
		t.Errorf("nobody's session ended %d: %v", n, ended())
	}
	if n := s.End("session", "1"); n != 2 || ended() != [4]bool{true, true, false, false} {
		t.Errorf("ended %d: %v", n, ended())
	}
	if s.End("user", "ann"); ended() != [4]bool{true, true, true, false} {
		t.Error(ended())
	}
	if s.End("tenant", "globex"); ended() != [4]bool{true, true, true, true} {
		t.Error(ended())
	}
}

func TestAReleasedStreamIsForgotten(t *testing.T) {
	s := NewStreams()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			_, cancel := context.WithCancel(t.Context())
			release := s.Hold(portal.Identity{Session: "1", User: "ann", Tenant: "acme"}, cancel)
			s.End("user", "ann")
			release()
		})
	}
	all.Wait()
	if s.Len() != 0 || len(s.by) != 0 {
		t.Errorf("%d left", s.Len())
	}
}
