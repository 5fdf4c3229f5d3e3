package mail

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// Tally counts by provider what became of mails. It outlives the senders it counts for.
type Tally struct {
	mu sync.Mutex
	by map[string]*Count
}

// Count is what became of a provider's mails.
type Count struct {
	Provider                 string
	Sent, Deferred, Rejected uint64
	Seconds                  float64 // that all tries took together
	Last                     time.Time
	Err                      error // of the last try; nil: it was taken
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

// Of is a sender whose mails are counted under a provider's name.
func (t *Tally) Of(provider string, s Sender) Sender { return &counted{t, provider, s} }

type counted struct {
	tally    *Tally
	provider string
	sender   Sender
}

// Send sends and counts.
func (c *counted) Send(ctx context.Context, m Message) error {
	began := time.Now()
	err := c.sender.Send(ctx, m)
	c.tally.note(c.provider, err, began, time.Now())
	return err
}

func (t *Tally) note(provider string, err error, began, ended time.Time) {
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
	c.Seconds += ended.Sub(began).Seconds()
	c.Last, c.Err = ended, err
}
