package caddymodule

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/portalgate/portalgate/internal/portal"
)

const (
	sweepEvery = 10 * time.Minute
	sweepBatch = 5000 // rows in one transaction
)

// sweepNowAndThen forgets what strangers have left behind: the purses of addresses at which somebody guessed a day ago,
// letters that are done, and mails that were captured a week ago.
func (w *world) sweepNowAndThen(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !w.fit.Load() {
			continue
		}
		if err := w.sweep(ctx); err != nil && ctx.Err() == nil {
			w.log.Load().Warn("forgetting what is old; the next round does it", zap.Error(err))
		}
	}
}

func (w *world) sweep(ctx context.Context) error {
	entries, err := w.store.Directory(ctx)
	if err != nil {
		return err
	}
	done := map[portal.TenantID]bool{}
	for _, e := range entries {
		if done[e.Tenant] {
			continue
		}
		done[e.Tenant] = true
		for _, sweep := range []func(context.Context, portal.TenantID, time.Time, int) (int64, error){w.store.SweepLockouts, w.store.SweepLetters, w.store.SweepCaptured} {
			for n := int64(sweepBatch); n == sweepBatch; {
				if n, err = sweep(ctx, e.Tenant, w.now(), sweepBatch); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
