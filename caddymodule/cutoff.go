package caddymodule

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// cutOffAfter is for how long both servers may be silent before nothing passes (architecture 7): what is revoked in
// the meantime cannot reach us, and it may be us alone who is cut off.
const cutOffAfter = 5 * time.Second

// watchBoth shuts the gate while neither PostgreSQL nor Redis answers. Redis is asked only while PostgreSQL is silent;
// without Redis there is one gateway, and nobody else could revoke anything.
func (w *world) watchBoth(ctx context.Context) {
	if w.redis == nil {
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var silentSince time.Time // Redis
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !w.fit.Load() || w.feed.Stale(time.Now()) < 2*time.Second {
			silentSince = time.Time{}
			w.cut(false)
			continue
		}
		ask, cancel := context.WithTimeout(ctx, healthWait)
		err := w.redis.Ping(ask).Err()
		cancel()
		switch {
		case err == nil:
			silentSince = time.Time{}
		case silentSince.IsZero():
			silentSince = time.Now()
		}
		w.cut(!silentSince.IsZero() && time.Since(silentSince) >= cutOffAfter-time.Second && w.feed.Stale(time.Now()) >= cutOffAfter)
	}
}

func (w *world) cut(off bool) {
	if w.isCut.Swap(off) == off {
		return
	}
	if off {
		w.log.Load().Error("neither PostgreSQL nor Redis has answered for more than 5 seconds; the gate is shut until one does", zap.Duration("since", w.feed.Stale(time.Now()).Round(time.Second)))
		return
	}
	w.log.Load().Info("a server answers again; the gate is open")
}
