package caddymodule

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// neighbour is what is said of a server that the gateway depends on.
type neighbour struct {
	Name  string     `json:"name"`
	Up    bool       `json:"up"`
	Since *time.Time `json:"since,omitempty"` // when it came to be as it is, as far as this process has seen
	Says  string     `json:"says,omitempty"`
	Works string     `json:"still_works,omitempty"`
	must  bool       // without it nobody new can be served
}

// readiness is the answer to "may traffic be sent here?".
type readiness struct {
	Ready      bool        `json:"ready"`
	Draining   bool        `json:"draining,omitempty"`
	Neighbours []neighbour `json:"neighbours"`
}

// watch remembers since when each neighbour has been as it is.
type watch struct {
	mu    sync.Mutex
	state map[string]bool
	since map[string]time.Time
}

func (w *watch) saw(n *neighbour, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if was, known := w.state[n.Name]; !known || was != n.Up {
		if w.state == nil {
			w.state, w.since = map[string]bool{}, map[string]time.Time{}
		}
		w.state[n.Name], w.since[n.Name] = n.Up, now
	}
	at := w.since[n.Name].UTC()
	n.Since = &at
}

// states is what was seen last, by name.
func (w *watch) states() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.state)
}

// healthWait bounds each question to a neighbour; a probe that hangs is a probe that fails.
const healthWait = time.Second

// clockTolerance is how far this machine's clock may be from PostgreSQL's (contract 11).
const clockTolerance = 2 * time.Second

// ready asks every neighbour. It is false while the program drains, before it stops to listen: a balancer then sends
// nobody who would be cut off.
func (x *world) ready(ctx context.Context) readiness {
	ctx, cancel := context.WithTimeout(ctx, healthWait)
	defer cancel()
	out := readiness{Ready: true, Draining: caddy.Exiting()}
	out.Neighbours = append(out.Neighbours, x.askPostgres(ctx))
	if x.redis != nil {
		n := neighbour{Name: "redis", Up: x.redis.Ping(ctx).Err() == nil}
		if !n.Up {
			n.Says, n.Works = "does not answer", "everything; limits by network are kept by this process, at half their numbers"
		}
		out.Neighbours = append(out.Neighbours, n)
	}
	for i := range out.Neighbours {
		n := &out.Neighbours[i]
		x.watch.saw(n, x.now())
		out.Ready = out.Ready && (n.Up || !n.must)
	}
	out.Ready = out.Ready && !out.Draining
	return out
}

func (x *world) askPostgres(ctx context.Context) neighbour {
	n := neighbour{Name: "postgresql", must: true}
	if !x.fit.Load() {
		n.Says, n.Works = "not judged fit yet", "nothing: the gate is shut"
		if why := x.why.Load(); why != nil {
			n.Says = (*why).Error()
		}
		return n
	}
	before := x.now()
	at, err := x.store.Clock(ctx)
	if err != nil {
		n.Says, n.Works = "does not answer", "signed-in people go on until their access token ends"
		return n
	}
	skew := at.Sub(before.Add(x.now().Sub(before) / 2)).Abs()
	if skew > clockTolerance {
		n.Says, n.Works = fmt.Sprintf("its clock and ours are %s apart; mend the clock that is wrong", skew.Round(time.Millisecond)), "everything, with wrong times"
		return n
	}
	n.Up = true
	return n
}
