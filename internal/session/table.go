package session

import (
	"sync"
	"time"

	"github.com/portalgate/portalgate/internal/secret"
)

// verified is what is known of an access token whose signature was right. It holds no pointer, so that a million of
// them cost the garbage collector nothing.
type verified struct {
	session, user, tenant [16]byte
	expires               int64 // Unix seconds
	generation            int32
}

// table finds verified access tokens by fingerprint. The signature of a token is checked once per process and life.
type table struct {
	shards [64]shard
	limit  int // entries per shard
}

type shard struct {
	mu sync.RWMutex
	m  map[secret.Fingerprint]verified
	_  [32]byte // shards on cache lines of their own
}

func newTable(limit int) *table {
	t := &table{limit: max(1, limit/64)}
	for i := range t.shards {
		t.shards[i].m = map[secret.Fingerprint]verified{}
	}
	return t
}

func (t *table) get(d secret.Fingerprint) (verified, bool) {
	s := &t.shards[d[0]&63]
	s.mu.RLock()
	v, ok := s.m[d]
	s.mu.RUnlock()
	return v, ok
}

// put keeps an entry. Each call also looks at a few others and drops those that have expired, so that the table
// shrinks by being used; a full shard gives up any entry, which costs its owner one signature check.
func (t *table) put(d secret.Fingerprint, v verified, now time.Time) {
	s := &t.shards[d[0]&63]
	s.mu.Lock()
	defer s.mu.Unlock()
	looked := 0
	for k, old := range s.m {
		if looked++; looked > 4 {
			break
		}
		if old.expires <= now.Unix() || len(s.m) >= t.limit {
			delete(s.m, k)
		}
	}
	s.m[d] = v
}

// drop forgets one token: its next use checks the signature again.
func (t *table) drop(d secret.Fingerprint) {
	s := &t.shards[d[0]&63]
	s.mu.Lock()
	delete(s.m, d)
	s.mu.Unlock()
}

// clear forgets everything.
func (t *table) clear() {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		clear(s.m)
		s.mu.Unlock()
	}
}
