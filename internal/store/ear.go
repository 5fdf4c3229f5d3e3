package store

import (
	"context"
	"fmt"
	"sync"
)

// ear is the one connection on which a store hears of changes, whoever listens: a reload, in which the next
// configuration listens before the last one stops, opens none.
type ear struct {
	mu     sync.Mutex
	wakes  map[*func()]struct{}
	hears  bool // the connection stands
	ended  *ending
	cancel context.CancelFunc
}

// ending is how a connection's listening ended.
type ending struct {
	done chan struct{}
	err  error
}

// Listen calls wake once when it listens to the channel of changes, and for each note. It returns when the context ends
// or the connection does.
func (s *Store) Listen(ctx context.Context, wake func()) error {
	e := s.ear
	e.mu.Lock()
	if e.ended == nil {
		run, cancel := context.WithCancel(context.WithoutCancel(ctx))
		e.ended, e.cancel = &ending{done: make(chan struct{})}, cancel
		go s.hear(run, e.ended)
	}
	ended := e.ended
	e.wakes[&wake] = struct{}{}
	if e.hears {
		wake()
	}
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if delete(e.wakes, &wake); len(e.wakes) == 0 {
			e.cancel()
		}
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-ended.done:
		return ended.err
	}
}

// hear listens until the connection or the last listener is gone.
func (s *Store) hear(ctx context.Context, end *ending) {
	e := s.ear
	end.err = s.notes(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.hears = true
		for wake := range e.wakes {
			(*wake)()
		}
	})
	e.mu.Lock()
	e.cancel()
	e.ended, e.hears = nil, false
	e.mu.Unlock()
	close(end.done)
}

// notes calls told when the connection listens, and for each note.
func (s *Store) notes(ctx context.Context, told func()) error {
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	raw := conn.Hijack() // it listens until it dies; the pool must not hand it to anybody
	defer raw.Close(context.WithoutCancel(ctx))
	if _, err := raw.Exec(ctx, `listen portalgate`); err != nil {
		return said(fmt.Errorf("listening: %w", err))
	}
	for {
		told()
		if _, err := raw.WaitForNotification(ctx); err != nil {
			return said(fmt.Errorf("listening: %w", err))
		}
	}
}
