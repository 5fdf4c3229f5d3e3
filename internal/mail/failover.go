package mail

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Failover tries its senders in their order: after a temporary failure the next one, after a rejection none. A sender
// that is broken rests for a while, and is tried again after it, and when all the others have failed.
type Failover struct {
	senders []Sender
	now     func() time.Time

	mu    sync.Mutex
	rests []rest
}

type rest struct {
	until time.Time
	times int
}

// How long a broken sender rests: this at first, twice as long each time, and this at most.
const (
	firstRest   = 15 * time.Second
	longestRest = 5 * time.Minute
)

// NewFailover makes one; now may be nil.
func NewFailover(now func() time.Time, senders ...Sender) *Failover {
	if now == nil {
		now = time.Now
	}
	return &Failover{senders: senders, now: now, rests: make([]rest, len(senders))}
}

// Send tries until one takes the mail. Its error has what each of them said.
func (f *Failover) Send(ctx context.Context, m Message) error {
	var all []error
	for _, i := range f.order() {
		err := f.senders[i].Send(ctx, m)
		if ctx.Err() != nil && err != nil {
			return errors.Join(append(all, err)...) // nobody waits any more, which is not the sender's fault
		}
		f.learn(i, err)
		if err == nil || errors.Is(err, ErrRejected) {
			return err
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

// order is who is tried: those that do not rest, and then those that do.
func (f *Failover) order() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	var first, last []int
	for i := range f.senders {
		if now.Before(f.rests[i].until) {
			last = append(last, i)
		} else {
			first = append(first, i)
		}
	}
	return append(first, last...)
}

func (f *Failover) learn(i int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &f.rests[i]
	switch {
	case !Broken(err):
		*r = rest{}
	case !f.now().Before(r.until): // not those who were on their way when it began to rest
		r.until = f.now().Add(min(firstRest<<min(r.times, 10), longestRest))
		r.times++
	}
}
