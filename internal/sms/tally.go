package sms

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// Tally counts by provider what became of messages. It outlives the senders it counts for.
type Tally struct {
	mu sync.Mutex
	by map[string]*Count
}

// Count is what became of a provider's messages.
type Count struct {
	Provider                 string
	Sent, Deferred, Rejected uint64
	Seconds                  float64 // that all tries took together
	Err                      error   // of the last try; nil: it was taken
}

// Counts are the counts of all providers that were tried, by name.
func (t *Tally) Counts() (out []Count) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(t.by)) {
		out = append(out, *t.by[name])
	}
	return out
}

// Of is a sender whose messages are counted under a provider's name.
func (t *Tally) Of(provider string, s Sender) *Counted { return &Counted{s, provider, t} }

// Counted is a sender whose messages are counted.
type Counted struct {
	Sender   // who carries them
	provider string
	tally    *Tally
}

// Send sends and counts.
func (c *Counted) Send(ctx context.Context, m Message) error {
	began := time.Now()
	err := c.Sender.Send(ctx, m)
	c.tally.note(c.provider, err, time.Since(began))
	return err
}

func (t *Tally) note(provider string, err error, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = map[string]*Count{}
	}
	c := t.by[provider]
	if c == nil {
		c = &Count{Provider: provider}
		t.by[provider] = c
	}
	switch {
	case err == nil:
		c.Sent++
	case errors.Is(err, ErrRejected):
		c.Rejected++
	default:
		c.Deferred++
	}
	c.Seconds += took.Seconds()
	c.Err = err
}
