package testenv

import (
	"sync"
	"time"
)

// Clock is moved by hand. Its Now is what the code under test takes as its clock.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock returns a clock that stands at the present second: the real one, because a database that is asked without a
// time of ours answers with its own.
func NewClock() *Clock { return &Clock{at: time.Now().UTC().Truncate(time.Second)} }

// ClockAt returns a clock that stands at a moment.
func ClockAt(at time.Time) *Clock { return &Clock{at: at} }

// Now is the moment at which the clock stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Advance moves the clock, backwards with a negative duration, and returns where it stands then.
func (c *Clock) Advance(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
	return c.at
}

// Set puts the clock to a moment.
func (c *Clock) Set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}
