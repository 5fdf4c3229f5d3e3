// Package ratelimit owns the limits that count by network, by tenant and over everything: their names, their numbers,
// their keys, and the answer to "may this go on?". What counts per account is not here but in PostgreSQL, where an
// outage of Redis changes nothing (RL-08).
//
// It refuses to stop people for what their neighbours do: a browser in which the account has been signed in before is
// never refused by the limits that hold for strangers, an account that mistypes counts once and not at all after it
// succeeded, and the limits of a whole tenant slow strangers down and refuse nobody. It refuses to know an address in
// clear: keys are digests.
//
// With Redis every gateway draws on the same limits, each by one atomic script. Without Redis, or while Redis does not
// answer within its time, the same limits are kept by this process alone, in the second case at half the numbers:
// stricter, and never open.
//
// # Why a script of our own for failures
//
// redis_rate carries the plain rates. Failures it cannot carry: its buckets leak, so that the sixth of five in 15
// minutes passes after three; it counts events and not accounts; and a single charge cannot be handed back.
package ratelimit

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/portalgate/portalgate/internal/portal"
)

// Charge is one draw on a rate.
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
	Busy       bool // nobody failed: as many guesses are under way as may fail
}

// Limiter decides. It may be used by many goroutines.
type Limiter struct {
	*buckets
	limits         Limits
	normal, strict rule
	patience       time.Duration
}

// buckets are what a reload keeps.
type buckets struct {
	shared   *shared // nil: no Redis
	local    *local
	down     atomic.Int64 // Redis is not asked again before, but by one who looks; nanoseconds of the real time; 0: it answers
	degraded atomic.Int64
	told     atomic.Pointer[func(error)]
	lines    lines
}

// rule is what the kinds need to know of the limits of failures.
type rule struct {
	guesses, refusal, tenant, all Limit
	byTry                         bool
}

// kind is one of the two places where limits are kept. Times are microseconds.
type kind interface {
	rate(ctx context.Context, now int64, l Limit, key []string) (Decision, error)
	handBack(ctx context.Context, now int64, l Limit, key []string) error
	pay(ctx context.Context, now int64, r *rule, at place, m member, stranger bool) (standing, error)
	settle(ctx context.Context, now int64, r *rule, at place, h hold, v Verdict) error
	look(ctx context.Context, now int64, r *rule, at place) (standing, error)
	clear(ctx context.Context, at place, rates []Limit) error
	tally(ctx context.Context, now int64, r *rule, tenant string) ([2]int, error)
	note(ctx context.Context, now int64, r *rule, tenant, account string, v Verdict) error
}

const (
	answerWithin = 700 * time.Millisecond // how long Redis may take for one question; a busy machine is no outage
	askAgain     = time.Second            // a Redis that hangs must not cost every sign-in its waiting time
	places       = 100_000                // how many networks a process remembers
)

// New makes a limiter; client may be nil.
func New(client redis.UniversalClient, p portal.Limits) *Limiter {
	b := &buckets{local: newLocal(places)}
	if client != nil {
		b.shared = newShared(client)
	}
	return (&Limiter{buckets: b}).With(p)
}

// With is a limiter with other numbers over the same buckets: what was counted stays counted.
func (l *Limiter) With(p portal.Limits) *Limiter {
	out := &Limiter{buckets: l.buckets, limits: Declare(p), patience: patience}
	out.normal = rule{out.limits.Guesses, out.limits.Refusal, out.limits.TenantGuesses, out.limits.AllGuesses, p.ByTry}
	out.strict = out.normal
	for _, one := range []*Limit{&out.strict.guesses, &out.strict.refusal, &out.strict.tenant, &out.strict.all} {
		*one = one.halved()
	}
	return out
}

// Limits are the limits with the numbers of this gateway.
func (l *Limiter) Limits() Limits { return l.limits }

// Spend draws on each rate in turn and stops at the first that refuses.
func (l *Limiter) Spend(ctx context.Context, now time.Time, charges ...Charge) Decision {
	out := Decision{Allowed: true}
	for _, c := range charges {
		var d Decision
		alone := l.ask(ctx, func(ctx context.Context, k kind, r *rule) (err error) {
			d, err = k.rate(ctx, now.UnixMicro(), l.under(r, c.Limit), c.Key)
			return err
		})
		d.Limit = c.Limit
		if d.Degraded = alone && l.shared != nil; !d.Allowed {
			return d
		}
		out.Degraded = out.Degraded || d.Degraded
	}
	return out
}

// under is a limit as a rule has it.
func (l *Limiter) under(r *rule, limit Limit) Limit {
	if r == &l.strict {
		return limit.halved()
	}
	return limit
}

// Ask draws on the limits of mails that anybody may ask for, in any name: by the address they would go to, whether or not
// somebody has it, by the network that asks, unless it is exempt, and by the tenant.
func (l *Limiter) Ask(ctx context.Context, now time.Time, g Guess) Decision {
	tenant := string(g.Tenant)
	charges := []Charge{{l.limits.AsksAddress, []string{tenant, string(g.Account)}}}
	if !g.Exempt {
		charges = append(charges, Charge{l.limits.AsksNetwork, []string{tenant, g.Network}})
	}
	return l.Spend(ctx, now, append(charges, Charge{l.limits.AsksTenant, []string{tenant}})...)
}

// Passkey draws on the limits of sign-ins by passkey, by network unless it is exempt, and by tenant.
func (l *Limiter) Passkey(ctx context.Context, now time.Time, g Guess) Decision {
	tenant := string(g.Tenant)
	charges := []Charge{{l.limits.PasskeysTenant, []string{tenant}}}
	if !g.Exempt {
		charges = append([]Charge{{l.limits.PasskeysNetwork, []string{tenant, g.Network}}}, charges...)
	}
	return l.Spend(ctx, now, charges...)
}

// Code draws on the limits of codes that are sent (OOB-05), by network unless it is exempt, and by tenant. Text messages
// have limits of their own that know no browsers: who sends them to numbers that pay by the message (toll fraud) does it
// from accounts and browsers of their own, and only the number of them bounds the bill.
func (l *Limiter) Code(ctx context.Context, now time.Time, g Guess, text bool) Decision {
	network, tenant := l.limits.CodesNetwork, l.limits.CodesTenant
	if text {
		network, tenant = l.limits.TextsNetwork, l.limits.TextsTenant
	} else if !g.Stranger {
		return Decision{Allowed: true}
	}
	charges := []Charge{{tenant, []string{string(g.Tenant)}}}
	if !g.Exempt {
		charges = append([]Charge{{network, []string{string(g.Tenant), g.Network}}}, charges...)
	}
	return l.Spend(ctx, now, charges...)
}

// Degraded counts the decisions that this process took alone because Redis did not answer.
func (l *Limiter) Degraded() int64 { return l.degraded.Load() }

// Tell sets who is told when Redis stops answering, with the reason, and when it answers again, with nil.
func (l *Limiter) Tell(f func(error)) { l.told.Store(&f) }

// ask puts a question to Redis, or to this process where there is none or it does not answer.
func (l *Limiter) ask(ctx context.Context, question func(context.Context, kind, *rule) error) (alone bool) {
	if l.shared == nil {
		l.here(ctx, question)
		return true
	}
	now := time.Now().UnixNano()
	// While Redis does not answer one request a second looks whether it does again, and no other waits for it.
	if d := l.down.Load(); d == 0 || now >= d && l.down.CompareAndSwap(d, now+askAgain.Nanoseconds()) {
		// Whoever hangs up does not get a guess back, and does not make this gateway believe that Redis is down.
		asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerWithin)
		err := question(asking, l.shared, &l.normal)
		cancel()
		if err == nil {
			if d != 0 && l.down.Swap(0) != 0 {
				l.tell(nil)
			}
			return false
		}
		if l.down.Swap(time.Now().Add(askAgain).UnixNano()) == 0 {
			l.tell(err)
		}
	}
	l.here(ctx, question)
	return true
}

func (l *Limiter) tell(err error) {
	if f := l.told.Load(); f != nil {
		(*f)(err)
	}
}

// here puts a question to this process.
func (l *Limiter) here(ctx context.Context, question func(context.Context, kind, *rule) error) {
	r := &l.normal
	if l.shared != nil {
		r = &l.strict
		l.degraded.Add(1)
	}
	_ = question(ctx, l.local, r) // the local kind has no errors
}

// Standing is how things are for one network at one tenant.
type Standing struct {
	Failed    int       // accounts, or by the review's rule tries
	Strangers time.Time // until when they wait; zero: they do not
	Everybody time.Time
	Waits     int // how often the limit was reached, each time within a day of the time before
}

// Look says how things are for a network, and changes nothing.
func (l *Limiter) Look(ctx context.Context, now time.Time, tenant portal.TenantID, network string) (out Standing) {
	var s standing
	l.ask(ctx, func(ctx context.Context, k kind, r *rule) (err error) {
		s, err = k.look(ctx, now.UnixMicro(), r, place{string(tenant), network})
		return err
	})
	out.Failed = s.failed
	if at := now.UnixMicro(); s.strangers > at {
		out.Strangers, out.Waits = time.UnixMicro(s.strangers), s.level+1
	} else if s.strangers > 0 {
		out.Waits = s.level + 1
	}
	if s.everybody > now.UnixMicro() {
		out.Everybody = time.UnixMicro(s.everybody)
	}
	return out
}

// Clear forgets what was counted for a network at a tenant, in Redis and in this process.
func (l *Limiter) Clear(ctx context.Context, tenant portal.TenantID, network string) error {
	l.Forget(tenant, network)
	if l.shared == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*answerWithin)
	defer cancel()
	return l.shared.clear(ctx, place{string(tenant), network}, l.byNetwork())
}

// Forget forgets what this process has counted for a network at a tenant: another gateway has cleared it.
func (l *Limiter) Forget(tenant portal.TenantID, network string) {
	_ = l.local.clear(context.Background(), place{string(tenant), network}, l.byNetwork()) // the local kind has no errors
}

func (l *Limiter) byNetwork() []Limit {
	return []Limit{l.limits.Flood, l.limits.Network, l.limits.AsksNetwork, l.limits.PasskeysNetwork, l.limits.CodesNetwork, l.limits.TextsNetwork}
}
