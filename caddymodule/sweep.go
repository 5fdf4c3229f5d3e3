package caddymodule

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/whereabouts"
)

const (
	sweepEvery = 10 * time.Minute
	sweepBatch = 5000 // rows in one transaction
)

// sweepNowAndThen forgets what has been kept for as long as it may be: what strangers have left behind, letters that are
// done, sessions that are over, and what people did long ago. What one round has no time for is left to the next.
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

// broom takes some of what is old of a tenant, at most most, and says how much it was.
type broom func(ctx context.Context, t portal.TenantID, now time.Time, most int) (int64, error)

// brooms are in the order in which they pass: what is forgotten need not be made coarse before.
func (w *world) brooms() []broom {
	forget := func(what store.Forgettable, kept time.Duration) broom {
		return func(ctx context.Context, t portal.TenantID, now time.Time, most int) (int64, error) {
			return w.store.Forget(ctx, t, now, what, now.Add(-kept), most)
		}
	}
	kept := w.settings.policy.Retention
	coarsen := func(what store.Forgettable) broom {
		return func(ctx context.Context, t portal.TenantID, now time.Time, most int) (int64, error) {
			return w.store.Coarsen(ctx, t, now, what, now.Add(-kept.Coarse), most, whereabouts.Device)
		}
	}
	devices := func(ctx context.Context, t portal.TenantID, now time.Time, most int) (int64, error) {
		return w.store.SweepDevices(ctx, t, now, now.Add(-kept.Coarse), most)
	}
	return []broom{
		w.store.SweepLockouts, w.store.SweepLetters, w.store.SweepCaptured, w.store.SweepUnused, devices,
		forget(store.ForgetActivity, kept.Activity), forget(store.ForgetEvents, kept.Activity), forget(store.ForgetRecoveries, kept.Activity),
		forget(store.ForgetSessions, portal.SessionsKept), forget(store.ForgetRevocations, portal.RevocationsKept),
		coarsen(store.ForgetActivity), coarsen(store.ForgetEvents),
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
		for _, sweep := range w.brooms() {
			for n := int64(sweepBatch); n >= sweepBatch; {
				if n, err = sweep(ctx, e.Tenant, w.now(), sweepBatch); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
