package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Parameters of new hashes: OWASP's second choice for argon2id (Password Storage Cheat Sheet), 19 MiB and two passes.
const (
	DefaultMemory = 19456 // KiB
	DefaultPasses = 2
	DefaultLanes  = 1
	saltBytes     = 16
	keyBytes      = 32
)

// Pepper is the keyed step: its key is not in the database. It is a seam to the keyring.
type Pepper interface {
	Current() (keyID string, ok bool)
	Mac(keyID string, b []byte) ([]byte, error)
}

// Config sizes a Hasher; zero values take the defaults.
type Config struct {
	Memory uint32 // KiB
	Passes uint32
	Lanes  uint8
	Slots  int           // hashes at the same time; default: the number of cores
	Queue  int           // how many may wait; default: 16 per slot
	Wait   time.Duration // for how long; default 2 s
	Pepper Pepper        // nil: no keyed step, which the law and NIST allow
}

// ErrBusy means that there is no room for another hash now.
var ErrBusy = errors.New("password checks are at their limit")

// Stored is what the database holds for a password.
type Stored struct {
	PHC    string // argon2id
	KeyID  string // of the keyed step; empty: none
	Legacy string // the ERP's bcrypt; it counts when it is set
}

// Verdict is the answer of a check.
type Verdict struct {
	Match  bool
	Rehash bool // the stored form is not what would be made today
}

// Hasher makes and checks hashes. It may be used by many goroutines.
type Hasher struct {
	c       Config
	slots   chan struct{}
	waiting atomic.Int64
	running atomic.Int64
	peak    atomic.Int64
	done    atomic.Int64
	refused atomic.Int64
	inside  atomic.Int64
	memory  workspaces
}

// New makes a Hasher.
func New(c Config) (*Hasher, error) {
	if c.Memory == 0 {
		c.Memory = DefaultMemory
	}
	if c.Passes == 0 {
		c.Passes = DefaultPasses
	}
	if c.Lanes == 0 {
		c.Lanes = DefaultLanes
	}
	if c.Slots == 0 {
		c.Slots = processors()
	}
	if c.Queue == 0 {
		c.Queue = 16 * c.Slots
	}
	if c.Wait == 0 {
		c.Wait = 2 * time.Second
	}
	if c.Memory > maxMemory || c.Passes > maxPasses || c.Lanes > maxLanes {
		return nil, fmt.Errorf("hashing parameters m=%d t=%d p=%d: %w", c.Memory, c.Passes, c.Lanes, ErrStoredParameters)
	}
	return &Hasher{c: c, slots: make(chan struct{}, c.Slots)}, nil
}

// Enter takes a place for one guess, before anything is asked of a database for it: as many may be under way as there
// are slots and places in the queue, and who comes on top is told ErrBusy at once (DOS-01). leave gives the place back.
func (h *Hasher) Enter() (leave func(), err error) {
	if h.inside.Add(1) > int64(h.c.Slots+h.c.Queue) {
		h.inside.Add(-1)
		h.refused.Add(1)
		return nil, ErrBusy
	}
	return func() { h.inside.Add(-1) }, nil
}

// breath is after how many hashes in each slot the collector runs: some three times a second, where every slot is busy.
const breath = 16

// do runs one piece of hashing in a slot, and counts it. The collector is set for few collections, which suits a gateway
// at its daily work; while a storm of sign-ins has the processors, what its answers leave behind would grow the heap to
// several times of what lives, beyond slots times the parameters' memory (DOS-01).
func (h *Hasher) do(ctx context.Context, work func()) error {
	return h.take(ctx, func() {
		defer func() {
			if h.done.Add(1)%int64(breath*h.c.Slots) == 0 {
				runtime.GC()
			}
		}()
		work()
	})
}

// take runs work in a slot. The queue is short: who would wait longer is told at once.
func (h *Hasher) take(ctx context.Context, work func()) error {
	select {
	case h.slots <- struct{}{}:
	default:
		if h.waiting.Add(1) > int64(h.c.Queue) {
			h.waiting.Add(-1)
			h.refused.Add(1)
			return ErrBusy
		}
		t := time.NewTimer(h.c.Wait)
		defer t.Stop()
		select {
		case h.slots <- struct{}{}:
			h.waiting.Add(-1)
		case <-t.C:
			h.waiting.Add(-1)
			h.refused.Add(1)
			return ErrBusy
		case <-ctx.Done():
			h.waiting.Add(-1)
			return fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
		}
	}
	n := h.running.Add(1)
	for p := h.peak.Load(); n > p && !h.peak.CompareAndSwap(p, n); p = h.peak.Load() {
	}
	narrow := widen()
	defer func() {
		narrow()
		h.running.Add(-1)
		<-h.slots
	}()
	work()
	return nil
}

// Stats are the pool's counters.
type Stats struct{ Running, Waiting, Peak, Done, Refused int64 }

// Stats reads the pool's counters.
func (h *Hasher) Stats() Stats {
	return Stats{h.running.Load(), h.waiting.Load(), h.peak.Load(), h.done.Load(), h.refused.Load()}
}

func (h *Hasher) peppered(p Prepared, keyID string) ([]byte, error) {
	if keyID == "" {
		return []byte(p.text()), nil
	}
	if h.c.Pepper == nil {
		return nil, fmt.Errorf("the hash was made with password key %s, and the keyring has none", keyID)
	}
	return h.c.Pepper.Mac(keyID, []byte(p.text()))
}

// Hash makes the stored form of a password.
func (h *Hasher) Hash(ctx context.Context, p Prepared) (Stored, error) {
	var s Stored
	if h.c.Pepper != nil {
		s.KeyID, _ = h.c.Pepper.Current()
	}
	in, err := h.peppered(p, s.KeyID)
	if err != nil {
		return Stored{}, err
	}
	out := phc{memory: h.c.Memory, passes: h.c.Passes, lanes: h.c.Lanes, salt: make([]byte, saltBytes)}
	rand.Read(out.salt)
	if err := h.do(ctx, func() {
		out.key = derived()(&h.memory, in, out.salt, out.passes, out.memory, out.lanes, keyBytes)
	}); err != nil {
		return Stored{}, err
	}
	s.PHC = out.String()
	return s, nil
}

// Check says whether a password is the stored one. It never executes a row beyond the documented bounds.
func (h *Hasher) Check(ctx context.Context, p Prepared, s Stored) (Verdict, error) {
	if s.Legacy != "" {
		return h.checkBcrypt(ctx, p, s.Legacy)
	}
	stored, err := parsePHC(s.PHC)
	if err != nil {
		return Verdict{}, err
	}
	in, err := h.peppered(p, s.KeyID)
	if err != nil {
		return Verdict{}, err
	}
	var v Verdict
	err = h.do(ctx, func() {
		got := derived()(&h.memory, in, stored.salt, stored.passes, stored.memory, stored.lanes, uint32(len(stored.key)))
		v.Match = subtle.ConstantTimeCompare(got, stored.key) == 1
	})
	if v.Match {
		current := ""
		if h.c.Pepper != nil {
			current, _ = h.c.Pepper.Current()
		}
		v.Rehash = stored.memory < h.c.Memory || stored.passes < h.c.Passes || stored.lanes != h.c.Lanes || len(stored.key) < keyBytes || s.KeyID != current
	}
	return v, err
}

// checkBcrypt checks the ERP's hash the way the ERP does: the first 72 bytes of what was typed.
func (h *Hasher) checkBcrypt(ctx context.Context, p Prepared, stored string) (Verdict, error) {
	if _, err := bcryptCost(stored); err != nil {
		return Verdict{}, err
	}
	var match bool
	err := h.do(ctx, func() {
		match = bcrypt.CompareHashAndPassword([]byte(stored), cut72(p.raw())) == nil
		if !match && p.text() != p.raw() {
			match = bcrypt.CompareHashAndPassword([]byte(stored), cut72(p.text())) == nil
		}
	})
	return Verdict{Match: match, Rehash: match}, err
}

func cut72(s string) []byte { return []byte(s[:min(len(s), 72)]) }

// Decoy works as hard as a check of a hash made today: the answer for an address without an account.
func (h *Hasher) Decoy(ctx context.Context, p Prepared) error {
	var salt [saltBytes]byte
	return h.do(ctx, func() {
		key := derived()(&h.memory, []byte(p.text()), salt[:], h.c.Passes, h.c.Memory, h.c.Lanes, keyBytes)
		subtle.ConstantTimeCompare(key, make([]byte, keyBytes))
	})
}
