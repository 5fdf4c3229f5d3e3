package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/portalgate/portalgate/internal/admission"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/migrations"
)

// verdict is what is known of a database and its tenants. A configuration that replaces another one is open from its
// first moment on, and stays so while the database is away.
type verdict struct {
	fit    atomic.Bool
	hosts  admission.Hosts
	public atomic.Pointer[string] // a host of a tenant that is on, when none of them is a name of this machine
	last   atomic.Pointer[fitness]
}

// fitness is when a database was found fit, and with which reading of the keyring.
type fitness struct {
	at   time.Time
	keys uint64
}

// fitFor is how long a database is taken for fit without being looked at again: somebody who tries settings gives a
// gateway one configuration after the other, and all that time people are waiting behind the questions.
const fitFor = time.Minute

// await waits for the first verdict: servers may listen a moment before the database was asked.
func (w *world) await(ctx context.Context) bool {
	if w.fit.Load() {
		return true
	}
	t := time.NewTimer(firstWait)
	defer t.Stop()
	select {
	case <-w.judged:
	case <-ctx.Done():
	case <-t.C:
	}
	return w.fit.Load()
}

// firstWait bounds that: nothing hangs longer than two seconds (RL-08).
const firstWait = 2 * time.Second

// judge decides whether the database may be served from.
func (w *world) judge(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			w.why.Store(&err)
		}
	}()
	turn := w.keys.Turn()
	if last := w.verdict.last.Load(); last != nil && w.fit.Load() && last.keys == turn && time.Since(last.at) < fitFor {
		return nil
	}
	if err := w.store.Inspect(ctx, store.Versions{Oldest: migrations.Oldest(), Latest: migrations.Latest(), Server: migrations.LeastServer}); err != nil {
		return unfit("database", err)
	}
	if err := w.registerKeys(ctx); err != nil {
		return err
	}
	if err := w.directory(ctx); err != nil {
		return err
	}
	w.verdict.last.Store(&fitness{time.Now(), turn})
	w.fit.Store(true)
	return nil
}

// othersAreServed says whether a configuration of this process is served from a database that answers: to replace it by
// one that is shut would help nobody. Where its own is away too, as in an outage, a reload is taken as before.
func (w *world) othersAreServed(ctx context.Context) bool {
	var others []*world
	worlds.Range(func(_, value any) bool {
		if other, ok := value.(*world); ok && other != w && other.fit.Load() {
			others = append(others, other)
		}
		return true
	})
	return slices.ContainsFunc(others, func(other *world) bool { return other.store.Ready(ctx) == nil })
}

// registerKeys has the database know the keys it is written with, and refuses to write it with others.
func (w *world) registerKeys(ctx context.Context) error {
	if err := w.store.RegisterKeys(ctx, prints(w.keys), w.now()); err != nil {
		return unfit("keyring", fmt.Errorf("%s: %w", w.settings.keyring, err))
	}
	w.keys.Bind()
	return nil
}

func (w *world) retry(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for said := ""; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := w.judge(ctx)
		if err == nil {
			w.log.Load().Info("the database answers; the gate is open")
			return
		}
		if text := err.Error(); text != said && !errors.Is(err, store.ErrUnavailable) {
			said = text
			w.log.Load().Error("the database is not fit; the gate stays shut", zap.Error(err))
		}
	}
}

// directory fills the table of hosts.
func (w *world) directory(ctx context.Context) error {
	entries, err := w.store.Directory(ctx)
	if err != nil {
		return err
	}
	table := make(map[string]*portal.Tenant, len(entries))
	tenants := map[portal.TenantID]*portal.Tenant{}
	var on []string
	for _, e := range entries {
		t := tenants[e.Tenant]
		if t == nil {
			read, err := w.store.Tenant(ctx, e.Tenant, w.now())
			if errors.Is(err, store.ErrNone) {
				continue
			}
			if err != nil {
				return err
			}
			t = &read
			tenants[e.Tenant] = t
		}
		if e.Host != "" {
			t.Hosts = append(t.Hosts, e.Host)
			table[e.Host] = t
			if t.Mode == portal.ModeOn {
				on = append(on, e.Host)
			}
		}
	}
	w.hosts.Set(table)
	public := publicHost(on)
	w.verdict.public.Store(&public)
	return nil
}
