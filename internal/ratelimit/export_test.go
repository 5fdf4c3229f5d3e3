package ratelimit

import (
	"context"
	"time"
)

// Impatient makes a limiter say at once that it is busy.
func (l *Limiter) Impatient() *Limiter {
	l.patience = 0
	return l
}

// Small makes a limiter's process remember only so many networks.
func (l *Limiter) Small(networks int) *Limiter {
	l.local = newLocal(networks)
	return l
}

// Held is how many networks and rates a limiter's process remembers.
func (l *Limiter) Held() (networks, rates int) {
	l.local.mu.Lock()
	defer l.local.mu.Unlock()
	return len(l.local.networks), len(l.local.rates)
}

// Keys are the names under which the failures of a network stand in Redis.
func Keys(tenant, network string) []string { return place{tenant, network}.keys() }

// Decide is the decision of the failures of a network alone.
func (l *Limiter) Decide(ctx context.Context, now time.Time, g Guess) bool {
	p := &Paid{limiter: l, guess: g, strangers: Decision{Allowed: true}, everybody: Decision{Allowed: true}}
	p.hold(ctx, now, g.Stranger)
	return p.Decision(false).Allowed
}
