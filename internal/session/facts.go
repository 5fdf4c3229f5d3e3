package session

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
)

// Facts are what a gateway knows of a live session, as PostgreSQL said it at an epoch of the revocation set.
type Facts struct {
	Session  portal.Session
	User     portal.User
	Identity portal.Identity

	// Prepared is where the upstream package keeps the header values and the assertion it has made from Identity.
	Prepared atomic.Value

	user    [16]byte      // Session.User
	epoch   atomic.Uint64 // read at, or found unchanged since
	read    time.Time
	touched atomic.Int64 // Unix seconds of the last write of last_active
}

// factsTable holds the facts of recent sessions, bounded by count: each holds pointers and some 3 KiB of header
// values, which a million idle sessions do not need.
type factsTable struct {
	shards [64]factsShard
	limit  int
}

type factsShard struct {
	mu sync.RWMutex
	m  map[[16]byte]*Facts
	_  [32]byte
}

func newFacts(limit int) *factsTable {
	t := &factsTable{limit: max(1, limit/64)}
	for i := range t.shards {
		t.shards[i].m = map[[16]byte]*Facts{}
	}
	return t
}

func (t *factsTable) get(id [16]byte) *Facts {
	s := &t.shards[id[15]&63]
	s.mu.RLock()
	f := s.m[id]
	s.mu.RUnlock()
	return f
}

func (t *factsTable) put(id [16]byte, f *Facts) {
	s := &t.shards[id[15]&63]
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.m[id]; !ok && len(s.m) >= t.limit {
		for k := range s.m {
			delete(s.m, k)
			break
		}
	}
	s.m[id] = f
}

func (t *factsTable) drop(id [16]byte) {
	s := &t.shards[id[15]&63]
	s.mu.Lock()
	delete(s.m, id)
	s.mu.Unlock()
}
