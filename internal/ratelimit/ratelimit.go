// Package ratelimit owns the limits that count by network, by tenant and over everything: their names, their numbers,
// their keys, and the answer to "may this go on?". What counts per account is not here but in PostgreSQL, where an
// outage of Redis changes nothing (RL-08).
//
// With Redis each limit is one atomic script there, shared by all gateways. Without Redis, or while Redis does not
// answer within its time, the same limits are kept by this process alone, at half the numbers: stricter, and never
// open. It refuses to know an address in clear: keys are digests.
package ratelimit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
)

// Limit is a rule, declared once.
type Limit struct {
	Name   string
	Tries  int
	Period time.Duration
	Public string // what a person is told; when to try again is added to it
}

// The limits. Their numbers leave an office of several hundred people behind one address alone; guessing at one
// account is stopped much earlier, by that account's own purse in PostgreSQL.
var (
	SignInNetwork = Limit{"sign_in_network", 300, 15 * time.Minute,
		"There have been many sign-ins from your network."}
	SignInTenant = Limit{"sign_in_tenant", 6000, time.Minute,
		"Many people are signing in."}
)

// Charge is one draw on a limit.
type Charge struct {
	Limit Limit
	Key   []string // what it is counted by, the tenant first
}

// Decision is the answer.
type Decision struct {
	Allowed    bool
	Limit      Limit
	RetryAfter time.Duration
	Degraded   bool // Redis did not answer; this process decided
}

// Limiter decides. It may be used by many goroutines.
type Limiter struct {
	redis   *redis_rate.Limiter
	local   *local
	wait    time.Duration
	mu      sync.Mutex
	downFor time.Time // Redis is not asked again before

	degraded atomic.Int64
}

// New makes a limiter; client may be nil.
func New(client redis.UniversalClient) *Limiter {
	l := &Limiter{local: newLocal(100_000), wait: 250 * time.Millisecond}
	if client != nil {
		l.redis = redis_rate.NewLimiter(client)
	}
	return l
}

// Spend draws on each charge in turn and stops at the first that refuses.
func (l *Limiter) Spend(ctx context.Context, now time.Time, charges ...Charge) Decision {
	var degraded bool
	for _, c := range charges {
		d, err := l.shared(ctx, now, c)
		if err != nil {
			degraded = l.redis != nil
			d = l.local.spend(now, c, degraded)
		}
		if degraded {
			l.degraded.Add(1)
		}
		if d.Degraded = degraded; !d.Allowed {
			return d
		}
	}
	return Decision{Allowed: true, Degraded: degraded}
}

// Degraded counts the decisions that this process took alone because Redis did not answer.
func (l *Limiter) Degraded() int64 { return l.degraded.Load() }

var errNoRedis = errors.New("no Redis")

func (l *Limiter) shared(ctx context.Context, now time.Time, c Charge) (Decision, error) {
	if l.redis == nil {
		return Decision{}, errNoRedis
	}
	l.mu.Lock()
	down := now.Before(l.downFor)
	l.mu.Unlock()
	if down {
		return Decision{}, errNoRedis
	}
	ctx, cancel := context.WithTimeout(ctx, l.wait)
	defer cancel()
	r, err := l.redis.Allow(ctx, "portalgate:"+c.digest(), redis_rate.Limit{Rate: c.Limit.Tries, Burst: c.Limit.Tries, Period: c.Limit.Period})
	if err != nil {
		// A Redis that hangs must not cost every sign-in its waiting time.
		l.mu.Lock()
		l.downFor = now.Add(time.Second)
		l.mu.Unlock()
		return Decision{}, fmt.Errorf("asking Redis for %s: %w", c.Limit.Name, err)
	}
	return Decision{Allowed: r.Allowed > 0, Limit: c.Limit, RetryAfter: max(r.RetryAfter, time.Second)}, nil
}

// digest is the key: the limit's name and what it is counted by, not to be read back. The hash tag keeps a key on one
// node of a cluster.
func (c Charge) digest() string {
	h := sha256.New()
	for _, k := range c.Key {
		fmt.Fprintf(h, "%d:%s", len(k), k)
	}
	return c.Limit.Name + ":{" + hex.EncodeToString(h.Sum(nil)[:16]) + "}"
}

// local is the limit of one process: GCRA, as redis_rate does it.
type local struct {
	mu    sync.Mutex
	until map[string]time.Time // theoretical arrival time of the next try
	size  int
}

func newLocal(size int) *local { return &local{until: map[string]time.Time{}, size: size} }

func (l *local) spend(now time.Time, c Charge, strict bool) Decision {
	tries := c.Limit.Tries
	if strict {
		tries = max(1, tries/2)
	}
	each := c.Limit.Period / time.Duration(tries)
	l.mu.Lock()
	defer l.mu.Unlock()
	key := c.digest()
	at, known := l.until[key]
	if at.Before(now) {
		at = now
	}
	next := at.Add(each)
	if wait := next.Add(-each * time.Duration(tries)).Sub(now); wait > 0 {
		return Decision{Limit: c.Limit, RetryAfter: max(wait.Round(time.Second), time.Second)}
	}
	if !known && len(l.until) >= l.size {
		for k, t := range l.until { // forget some that are over, else any: a flood of networks bounds itself
			if delete(l.until, k); len(l.until) < l.size && !t.Before(now) {
				break
			}
		}
	}
	l.until[key] = next
	return Decision{Allowed: true, Limit: c.Limit}
}
