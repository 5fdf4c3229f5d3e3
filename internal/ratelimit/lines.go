package ratelimit

import (
	"context"
	"sync"
)

// lines are where guesses wait for a place, one line for each network: whoever is first asks for it, the others wait
// behind. Two hundred that wait must not ask Redis two hundred times as often.
type lines struct {
	mu sync.Mutex
	at map[place]*line
}

type line struct {
	head chan struct{} // held by whoever is first
	n    int           // who stands in it
}

// stand waits until it is first in a line; ok is false when the context ended before. leave must be called in any case.
func (l *lines) stand(ctx context.Context, at place) (leave func(), ok bool) {
	l.mu.Lock()
	if l.at == nil {
		l.at = map[place]*line{}
	}
	q := l.at[at]
	if q == nil {
		q = &line{head: make(chan struct{}, 1)}
		l.at[at] = q
	}
	q.n++
	l.mu.Unlock()
	select {
	case q.head <- struct{}{}:
		ok = true
	case <-ctx.Done():
	}
	return func() {
		if ok {
			<-q.head
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if q.n--; q.n == 0 {
			delete(l.at, at)
		}
	}, ok
}
