package upstream

import (
	"context"
	"sync"

	"github.com/portalgate/portalgate/internal/portal"
)

// Streams knows the open sockets and event streams by whose they are, so that they end with their session (REV-02).
type Streams struct {
	mu sync.Mutex
	by map[string]map[*stream]struct{}
}

type stream struct {
	cancel context.CancelFunc
	keys   [3]string
}

// NewStreams makes an empty register.
func NewStreams() *Streams {
	return &Streams{by: map[string]map[*stream]struct{}{}}
}

// Hold registers a stream; release takes it out again.
func (s *Streams) Hold(id portal.Identity, cancel context.CancelFunc) (release func()) {
	st := &stream{cancel, [3]string{"session" + string(id.Session), "user" + string(id.User), "tenant" + string(id.Tenant)}}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range st.keys {
		if s.by[k] == nil {
			s.by[k] = map[*stream]struct{}{}
		}
		s.by[k][st] = struct{}{}
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, k := range st.keys {
			if delete(s.by[k], st); len(s.by[k]) == 0 {
				delete(s.by, k)
			}
		}
	}
}

// End cancels the streams of a session, a user or a tenant.
func (s *Streams) End(kind, subject string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for st := range s.by[kind+subject] {
		st.cancel()
		n++
	}
	return n
}

// Len is how many streams are open.
func (s *Streams) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for k, m := range s.by {
		if len(k) > 7 && k[:7] == "session" {
			n += len(m)
		}
	}
	return n
}
