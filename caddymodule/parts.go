package caddymodule

import (
	"crypto/sha256"
	"fmt"

	"github.com/caddyserver/caddy/v2"
)

// parts are what outlives even a reload to other settings, each under the settings it was made from: connections,
// limits, hashing slots, open streams. A reload that changes how long sessions live opens no new connection, resets no
// limit, and leaves no stream behind that a revocation would no longer reach.
var parts = caddy.NewUsagePool()

// part is a value in the pool and how it ends.
type part[T any] struct {
	value T
	end   func()
}

// Destruct ends the value when nobody uses it any more.
func (p *part[T]) Destruct() error {
	p.end()
	return nil
}

// use takes a part from the pool, or makes it; the world gives it back when it ends.
func use[T any](w *world, kind, settings string, make func() (T, func(), error)) (value T, err error) {
	key := fmt.Sprintf("%s %x", kind, sha256.Sum256([]byte(settings))) // settings may hold a password
	got, _, err := parts.LoadOrNew(key, func() (caddy.Destructor, error) {
		v, end, err := make()
		if err != nil {
			return nil, err
		}
		return &part[T]{v, end}, nil
	})
	if err != nil {
		return value, err
	}
	w.used = append(w.used, key)
	return got.(*part[T]).value, nil
}

// giveBack releases the world's parts.
func (w *world) giveBack() error {
	for _, key := range w.used {
		if _, err := parts.Delete(key); err != nil {
			return fmt.Errorf("ending a part: %w", err)
		}
	}
	w.used = nil
	return nil
}
