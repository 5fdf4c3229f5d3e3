package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/whereabouts"
)

// What is counted rather than written down one by one: refusals by a limit, failures at addresses without an account and
// with passkeys that nobody has, and sign-ins of other tenants. Anybody can cause as many of them as they like, so they become one row of the trail per network, tenant and
// minute, and cost no trip to the database in between (AUD-02, DOS-04).
type reason int

const (
	failedUnknown reason = iota
	refusedByLimit
	refusedByRest
	refusedAsk     // a mail that was asked for once too often
	refusedCode    // a code
	failedPasskey  // of nobody that is known
	foreignSession // a sign-in of another tenant
	reasons
)

// maxTallies bounds what is remembered between two writings; the networks beyond share one row of their tenant.
const maxTallies = 10_000

// tallyEvery is how often the minutes that are over are written.
const tallyEvery = 15 * time.Second

type tallyKey struct {
	tenant  portal.TenantID
	network string // empty: those beyond the bound
	minute  int64
}

type tally struct {
	counts      [reasons]int
	client      portal.Client // the first of them
	first, last time.Time
}

type tallies struct {
	mu sync.Mutex
	m  map[tallyKey]*tally
}

func (l *tallies) add(t portal.TenantID, c portal.Client, why reason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m == nil {
		l.m = map[tallyKey]*tally{}
	}
	key := tallyKey{t, whereabouts.Network(c.Addr), c.At.Unix() / 60}
	if l.m[key] == nil && len(l.m) >= maxTallies {
		key.network = ""
		c = portal.Client{At: c.At}
	}
	n := l.m[key]
	if n == nil {
		n = &tally{client: c, first: c.At}
		l.m[key] = n
	}
	n.counts[why]++
	n.last = c.At
}

// take removes and returns what belongs to minutes before one.
func (l *tallies) take(before int64) map[portal.TenantID]map[tallyKey]*tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[portal.TenantID]map[tallyKey]*tally{}
	for key, n := range l.m {
		if key.minute >= before {
			continue
		}
		if out[key.tenant] == nil {
			out[key.tenant] = map[tallyKey]*tally{}
		}
		out[key.tenant][key] = n
		delete(l.m, key)
	}
	return out
}

// putBack keeps what could not be written for the next time, as far as there is room.
func (l *tallies) putBack(rows map[tallyKey]*tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, n := range rows {
		have := l.m[key]
		switch {
		case have != nil:
			for i := range n.counts {
				have.counts[i] += n.counts[i]
			}
			have.client, have.first = n.client, n.first
		case len(l.m) < maxTallies:
			l.m[key] = n
		}
	}
}

func (n *tally) activity(network string) portal.Activity {
	total := 0
	for _, c := range n.counts {
		total += c
	}
	a := portal.Activity{Verb: portal.VerbLoginFailed, Addr: n.client.Addr, Agent: n.client.Agent, At: n.first, Result: "refused", Facts: map[string]string{
		"count": fmt.Sprint(total), "network": network, "last": n.last.UTC().Format(time.RFC3339),
	}}
	for i, name := range []string{"unknown_address", "limit", "rest", "mails_asked", "codes_sent", "unknown_passkey", "another_tenants"} {
		if n.counts[i] > 0 {
			a.Facts[name] = fmt.Sprint(n.counts[i])
		}
	}
	return a
}

// Run writes what is counted, and does what was left behind answers, until the context ends; Settle does the rest.
func (s *Service) Run(ctx context.Context, failed func(error)) {
	tick := time.NewTicker(tallyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case deed := <-s.behind:
			if err := deed(context.WithoutCancel(ctx)); err != nil { // it is bounded as every question is
				failed(err)
			}
		case <-tick.C:
			if err := s.write(ctx, s.Now().Unix()/60); err != nil && ctx.Err() == nil {
				failed(err)
			}
		}
	}
}

// Settle writes everything that is counted so far, and does what was left behind answers: a program that stops owes it
// to the trail and to the people.
func (s *Service) Settle(ctx context.Context) error {
	var all []error
	for {
		select {
		case deed := <-s.behind:
			all = append(all, deed(ctx))
		default:
			return errors.Join(append(all, s.write(ctx, 1<<62))...)
		}
	}
}

func (s *Service) write(ctx context.Context, before int64) error {
	var all []error
	for tenant, rows := range s.tallies.take(before) {
		err := s.Store.Within(ctx, tenant, s.Now(), func(x *store.Tx) error {
			for key, n := range rows {
				network := key.network
				if network == "" {
					network = "others"
				}
				if err := x.Record(ctx, n.activity(network)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			s.tallies.putBack(rows)
			all = append(all, fmt.Errorf("writing counted refusals: %w", err))
		}
	}
	return errors.Join(all...)
}
