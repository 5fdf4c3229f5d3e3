// Package revocation owns the knowledge that something about a session, a person or a tenant has changed, and brings
// it to this gateway: a note from PostgreSQL wakes the reading, a reading every second makes sure that a lost note
// costs a second and not a stolen session.
//
// A change never says what is true now. It says "ask again": whoever keeps facts about a session must read them anew
// before the next request is let through. So a note that comes twice, late or out of order does no harm, clocks do
// not matter, and there is one rule instead of one per deed.
//
// It refuses to guess when it is cut off: Stale says for how long nothing could be read, and the session keeper
// decides what that means. The source of every change is a row written in the deed's own transaction.
//
// # Why a watermark and not a sequence
//
// Sequences commit out of order: a reader that remembers the highest id it saw skips the row of a transaction that
// took its id earlier and committed later, and a skipped row is a live stolen session. Each reading therefore starts
// at the oldest transaction that was still running at the one before, and applying a row twice is harmless.
package revocation

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
)

// Kind says what a change is about.
type Kind string

// The kinds.
const (
	KindSession   Kind = "session"
	KindUser      Kind = "user"
	KindTenant    Kind = "tenant"
	KindDirectory Kind = "directory"
	KindLimits    Kind = "limits" // what was counted for a network is forgotten; its subject is the network's first address
)

// Change is one row of portalgate.revocations.
type Change struct {
	ID      int64
	Tenant  portal.TenantID
	Kind    Kind
	Subject string // a UUID, or what has sixteen bytes as well
	At      time.Time
}

// Set remembers, for a while, what has changed. Facts that were read before a change are stale.
type Set struct {
	epoch atomic.Uint64 // counts changes; facts read at an epoch are good while it stands

	mu    sync.RWMutex
	last  map[[17]byte]mark
	floor uint64 // everything read at or before this epoch is stale
	swept time.Time
	keep  time.Duration
}

type mark struct {
	epoch uint64
	at    time.Time
}

// NewSet makes a set that forgets a change after keep; nobody may trust facts for longer than that.
func NewSet(keep time.Duration) *Set {
	s := &Set{last: map[[17]byte]mark{}, keep: keep}
	s.epoch.Store(1)
	return s
}

// Epoch is a number that grows with every change. Read it before reading facts, and keep it with them.
func (s *Set) Epoch() uint64 { return s.epoch.Load() }

// Apply notes a change. One of a kind that this release does not know may be about anybody.
func (s *Set) Apply(kind Kind, subject string, now time.Time) {
	switch kind {
	case KindSession, KindUser, KindTenant:
	case KindDirectory, KindLimits:
		return // no facts of a session
	default:
		s.All()
		return
	}
	key, ok := key(kind, subject)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last[key] = mark{s.epoch.Add(1), now}
	if now.Sub(s.swept) > s.keep/4 {
		for k, m := range s.last {
			if now.Sub(m.at) > s.keep {
				delete(s.last, k)
			}
		}
		s.swept = now
	}
}

// All makes everything stale that was read until now: after a gap in the readings that cannot be closed.
func (s *Set) All() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.floor = s.epoch.Load()
	s.epoch.Add(1)
}

// Since says whether anything about these three has changed after an epoch.
func (s *Set) Since(epoch uint64, session, user, tenant [16]byte) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return epoch <= s.floor || s.last[join('s', session)].epoch > epoch || s.last[join('u', user)].epoch > epoch || s.last[join('t', tenant)].epoch > epoch
}

func key(kind Kind, subject string) ([17]byte, bool) {
	raw, ok := portal.IDBytes(subject)
	if !ok {
		return [17]byte{}, false
	}
	return join(kind[0], raw), true
}

func join(c byte, id [16]byte) (k [17]byte) {
	k[0] = c
	copy(k[1:], id[:])
	return k
}

// Reading is one answer of the database: the changes since a watermark, and the next one.
type Reading struct {
	Changes   []Change
	Watermark uint64
}

// Source is the database as the feed sees it. It is a seam: revocation may not import the store.
type Source struct {
	Changes func(ctx context.Context, since uint64) (Reading, error)
	Listen  func(ctx context.Context, wake func()) error
}

// PollEvery is how often the database is asked although no note came. Contract 12 promises two seconds; half of it
// leaves room for one reading that fails.
const PollEvery = time.Second

// Feed follows the source and tells what has changed.
type Feed struct {
	Source Source
	Apply  func([]Change)
	First  func()      // the first reading is done: what was read before it may be stale
	Failed func(error) // told once when readings begin to fail, and with nil when they work again

	// From is how far the set was brought that this feed tells, by whichever feed; nil: this one is the first.
	From *Position

	lastGood atomic.Int64
}

// Position is a watermark that the feeds of one set share. A feed that takes over from another begins where that one
// was, whatever has been committed meanwhile, and so nothing need be taken for stale.
type Position struct {
	mu    sync.Mutex
	since uint64
	at    time.Time
}

// positionLife is how long ago the last reading may be at which another feed goes on: what has changed since then must
// still be in the database.
const positionLife = time.Minute

func (p *Position) get(now time.Time) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.at) > positionLife {
		return 0
	}
	return p.since
}

// put moves the position forward; readings that overtake each other never move it back past what was applied. The one
// that is behind has applied less, and the one in front everything.
func (p *Position) put(since uint64, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since, p.at = max(p.since, since), now
}

// Stale is how long ago the last good reading was.
func (f *Feed) Stale(now time.Time) time.Duration {
	return now.Sub(time.Unix(0, f.lastGood.Load()))
}

// Run follows the source until the context ends.
func (f *Feed) Run(ctx context.Context) {
	wake := make(chan struct{}, 1)
	poke := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	var listening sync.WaitGroup
	listening.Go(func() {
		for ctx.Err() == nil {
			_ = f.Source.Listen(ctx, poke) // its end is no news: the readings below tell whether the database answers
			pause(ctx, PollEvery)
		}
	})
	defer listening.Wait()

	tick := time.NewTicker(PollEvery)
	defer tick.Stop()
	if f.From == nil {
		f.From = new(Position)
	}
	since := f.From.get(time.Now())
	seen := map[int64]struct{}{}
	broken := false
	for {
		r, err := f.read(ctx, since)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			f.lastGood.Store(time.Now().UnixNano())
			fresh := r.Changes[:0]
			next := make(map[int64]struct{}, len(r.Changes))
			for _, c := range r.Changes {
				next[c.ID] = struct{}{}
				if _, again := seen[c.ID]; !again {
					fresh = append(fresh, c)
				}
			}
			first := since == 0
			seen, since = next, r.Watermark
			if first {
				f.First()
			} else if len(fresh) > 0 {
				f.Apply(fresh)
			}
			f.From.put(since, time.Now())
		}
		if (err != nil) != broken {
			broken = err != nil
			f.Failed(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-tick.C:
		}
	}
}

// read is let finish when the feed is stopped: to break off a question costs the connection it was asked on, at every
// reload one.
func (f *Feed) read(ctx context.Context, since uint64) (Reading, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	return f.Source.Changes(ctx, since)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
