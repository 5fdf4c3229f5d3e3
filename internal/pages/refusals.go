package pages

import (
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/whereabouts"
)

// Refusal is what is remembered of a request that was refused, for an operator who is told its reference. It knows the
// network, and neither the person nor anything that was typed.
type Refusal struct {
	Reference string
	At        time.Time
	Code      portal.ProblemKind
	Rule      string          // the limit that refused; empty: something else did
	Tenant    portal.TenantID // empty: no known host
	Slug      string
	Network   string
	Until     time.Time // when to try again; zero: nobody can say
}

// Refusals are the last of a gateway's. It may be used by many goroutines.
type Refusals struct {
	mu          sync.Mutex
	size        int
	counting    sync.RWMutex
	counts      map[string]*atomic.Int64 // by rule, or by code where no rule refused
	byNetwork   map[word][]reference     // oldest first
	byReference map[reference]kept
}

// reference is the word of secret.Reference.
type reference [8]byte

// word is one of the few that refusals are described with, and is in memory once.
type word = unique.Handle[string]

// kept is a Refusal as it is remembered, a third of its size: a flood must not grow the heap (DOS-01).
type kept struct {
	at, until                         int64 // nanoseconds of Unix time; no until: 0
	code, rule, tenant, slug, network word
}

func (f Refusal) keep() kept {
	k := kept{f.At.UnixNano(), 0, unique.Make(string(f.Code)), unique.Make(f.Rule), unique.Make(string(f.Tenant)), unique.Make(f.Slug), unique.Make(f.Network)}
	if !f.Until.IsZero() {
		k.until = f.Until.UnixNano()
	}
	return k
}

func (k kept) refusal(r reference) Refusal {
	f := Refusal{string(r[:]), time.Unix(0, k.at), portal.ProblemKind(k.code.Value()), k.rule.Value(), portal.TenantID(k.tenant.Value()), k.slug.Value(), k.network.Value(), time.Time{}}
	if k.until != 0 {
		f.Until = time.Unix(0, k.until)
	}
	return f
}

// remembered is how many refusals a gateway remembers: two or three megabytes.
const remembered = 20_000

// NewRefusals is an empty memory of refusals, bounded.
func NewRefusals() *Refusals { return newRefusals(remembered) }

func newRefusals(size int) *Refusals {
	return &Refusals{size: size, counts: map[string]*atomic.Int64{}, byNetwork: map[word][]reference{}, byReference: map[reference]kept{}}
}

// maxRules bounds what is counted apart; there are some thirty rules and codes, and none is made from what somebody sent.
const maxRules = 64

// count counts a refusal by its rule.
func (r *Refusals) count(p *portal.Problem) {
	name := p.Rule
	if name == "" {
		name = string(p.Kind)
	}
	r.counting.RLock()
	n := r.counts[name]
	r.counting.RUnlock()
	if n == nil {
		n = r.counter(name)
	}
	n.Add(1)
}

func (r *Refusals) counter(name string) *atomic.Int64 {
	r.counting.Lock()
	defer r.counting.Unlock()
	if r.counts[name] == nil && len(r.counts) >= maxRules {
		name = "other"
	}
	if r.counts[name] == nil {
		r.counts[name] = new(atomic.Int64)
	}
	return r.counts[name]
}

// Counts are the refusals since the program began, by the limit that refused, or by the code where it was none.
func (r *Refusals) Counts() map[string]int64 {
	r.counting.RLock()
	defer r.counting.RUnlock()
	out := make(map[string]int64, len(r.counts))
	for name, n := range r.counts {
		out[name] = n.Load()
	}
	return out
}

// add remembers a refusal. When there are too many the network with the most of them gives one up: a flood from one
// place must not wash away what support is asked about another.
func (r *Refusals) add(f Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.byReference) >= r.size {
		r.forget()
	}
	k, ref := f.keep(), reference([]byte(f.Reference))
	r.byNetwork[k.network] = append(r.byNetwork[k.network], ref)
	r.byReference[ref] = k
}

// forget drops the oldest refusal of the network that has the most, of a few that come to hand.
func (r *Refusals) forget() {
	var most word
	var oldest int64
	seen := 0
	for network, refs := range r.byNetwork {
		at := r.byReference[refs[0]].at
		if n := len(r.byNetwork[most]); seen == 0 || len(refs) > n || len(refs) == n && at < oldest {
			most, oldest = network, at
		}
		if seen++; seen == 16 {
			break
		}
	}
	refs := r.byNetwork[most]
	delete(r.byReference, refs[0])
	if len(refs) == 1 {
		delete(r.byNetwork, most)
		return
	}
	r.byNetwork[most] = refs[1:]
}

// Find is the refusal with a reference.
func (r *Refusals) Find(typed string) (f Refusal, ok bool) {
	if len(typed) != len(reference{}) {
		return f, false
	}
	ref := reference([]byte(typed))
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.byReference[ref]
	if ok {
		f = k.refusal(ref)
	}
	return f, ok
}

// Standing are the limits that still refuse, each once: the newest refusal of a rule in a network at a tenant.
func (r *Refusals) Standing(now time.Time) []Refusal {
	type place struct {
		rule, network string
		tenant        portal.TenantID
	}
	newest := map[place]Refusal{}
	r.mu.Lock()
	limit, at := unique.Make(string(portal.ProblemLimit)), now.UnixNano()
	for ref, k := range r.byReference {
		if k.code != limit || k.until <= at {
			continue
		}
		f := k.refusal(ref)
		p := place{f.Rule, f.Network, f.Tenant}
		if f.At.After(newest[p].At) {
			newest[p] = f
		}
	}
	r.mu.Unlock()
	out := make([]Refusal, 0, len(newest))
	for _, f := range newest {
		out = append(out, f)
	}
	return out
}

// refer gives a refusal the reference under which an operator can ask for it.
func (s *Site) refer(v Visit, p *portal.Problem) string {
	f := Refusal{Reference: secret.Reference(), At: s.Now(), Code: p.Kind, Rule: p.Rule, Network: whereabouts.Network(v.Client.Addr)}
	if v.Tenant != nil {
		f.Tenant, f.Slug = v.Tenant.ID, v.Tenant.Slug
	}
	if p.RetryAfter > 0 {
		f.Until = f.At.Add(p.RetryAfter)
	}
	s.Refusals.add(f)
	return f.Reference
}
