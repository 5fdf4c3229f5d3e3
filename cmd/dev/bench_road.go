package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// target is one thing that takes turns with others.
type target struct {
	g    *gateway
	load load
}

// turn is what one target did in one round.
type turn struct {
	rate float64
	cpu  float64 // microseconds of the gateway for each request
}

// pair is one round of the gate and of the bare gateway beside it, and of another one that sets the gate's headers by hand
// where there is one.
type pair struct{ gate, bare, byHand turn }

// alternate goes round: each target gets its turn in each round, in an order that is turned around every time.
func (b *bench) alternate(ctx context.Context, targets []*target) ([][]turn, error) {
	// Connections, pools and caches are warm before anything counts.
	for _, t := range targets {
		if got := t.load.run(0, max(b.round/2, 100*time.Millisecond)); got.wrong > 0 {
			return nil, fmt.Errorf("%d wrong answers while warming up, the first: %s", got.wrong, got.first)
		}
	}
	rounds := make([][]turn, b.rounds)
	order := make([]int, len(targets))
	for i := range order {
		order[i] = i
	}
	for i := range rounds {
		rounds[i] = make([]turn, len(targets))
		for _, at := range order {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			t := targets[at]
			before, err := cpu(t.g.pid())
			if err != nil {
				return nil, err
			}
			got := t.load.run(0, b.round)
			after, err := cpu(t.g.pid())
			if err != nil {
				return nil, err
			}
			if got.wrong > 0 || got.answers == 0 {
				return nil, fmt.Errorf("%s: %d right and %d wrong answers in the timed part, the first: %s", t.g.name, got.answers, got.wrong, got.first)
			}
			rounds[i][at] = turn{got.rate(), float64((after - before).Nanoseconds()) / 1e3 / float64(got.answers)}
		}
		slices.Reverse(order)
	}
	return rounds, nil
}

// reads asks for a page of one's own, each caller with a session of its own.
func (b *bench) reads(g *gateway, size string) *target {
	want := b.upstream.small
	if size == "large" {
		want = b.upstream.large
	}
	requests := make([][]byte, connections)
	for i := range requests {
		p := b.people[i]
		requests[i] = ask("/"+size+"/"+string(p.id), p.cookie, p.network)
	}
	return &target{g, load{
		callers: callers(connections, g.addr),
		ask:     func(i, _ int) []byte { return requests[i] },
		right:   func(_ int, a answer) bool { return a.status == 200 && bytes.Equal(a.body, want) },
	}}
}

// right checks, before anything is timed, that both gateways do what they are compared for.
func (b *bench) right(behind, beside *gateway, size string) error {
	gate, bare := caller{addr: behind.addr}, caller{addr: beside.addr}
	defer gate.close()
	defer bare.close()
	b.upstream.counts()
	var all error
	expect := func(what string, c *caller, request []byte, status, named, unnamed int) {
		a, err := c.ask(request)
		n, u, wrong := b.upstream.counts()
		if err != nil || a.status != status || n != named || u != unnamed || wrong != 0 {
			all = errors.Join(all, fmt.Errorf("%s: status %d (wanted %d), at the upstream %d with the person's identity, %d without, %d with another: %w",
				what, a.status, status, n, u, wrong, errors.Join(err)))
		}
	}
	for i := range connections {
		p := b.people[i]
		path := "/" + size + "/" + string(p.id)
		expect("with a session", &gate, ask(path, p.cookie, p.network), 200, 1, 0)
		expect("without a session", &gate, ask(path, "", p.network), 401, 0, 0)
		expect("the bare gateway", &bare, ask(path, p.cookie, p.network), 200, 0, 1)
	}
	return all
}

// road compares the gate with a bare gateway, and with others.
func (b *bench) road(ctx context.Context, bare *gateway, size string, others ...*target) ([]pair, error) {
	if err := b.signIn(b.gate, connections); err != nil {
		return nil, err
	}
	if err := b.right(b.gate, bare, size); err != nil {
		return nil, err
	}
	targets := append([]*target{b.reads(b.gate, size), b.reads(bare, size)}, others...)
	defer hangUp(targets)
	rounds, err := b.alternate(ctx, targets)
	if err != nil {
		return nil, err
	}
	if _, _, wrong := b.upstream.counts(); wrong > 0 {
		return nil, fmt.Errorf("the upstream got %d requests with a wrong identity", wrong)
	}
	pairs := make([]pair, len(rounds))
	for i, r := range rounds {
		pairs[i] = pair{gate: r[0], bare: r[1]}
		if len(r) > 2 {
			pairs[i].byHand = r[2]
		}
	}
	return pairs, nil
}

func hangUp(targets []*target) {
	for _, t := range targets {
		t.load.hangUp()
	}
}

func (b *bench) smallRoad(ctx context.Context) (err error) {
	if b.small != nil {
		return nil
	}
	byHand, err := b.start(ctx, "by-hand", site{answers: b.sameHeaders()})
	if err != nil {
		return err
	}
	defer byHand.stop()
	t := b.reads(byHand, "small")
	request := t.load.ask(0, 0)
	t.load.ask = func(int, int) []byte { return request } // everybody is the one whose name is written down
	b.small, err = b.road(ctx, b.bare, "small", t)
	return err
}

// sameHeaders is a bare gateway that checks nothing and writes down for everybody who the first one is, in as many headers
// and as long ones as the gate does: what of the gate's figures is the headers' and no check's.
func (b *bench) sameHeaders() string {
	x := func(n int) string { return strings.Repeat("x", n) }
	lines := []string{"route {", "request_header -Cookie"}
	for _, h := range [][2]string{
		{"Tenant-Id", x(36)}, {"Tenant-Slug", x(11)}, {"User-Id", string(b.people[0].id)}, {"User-Email", x(17)}, {"User-Name", x(11)}, {"User-Roles", x(13)},
		{"Session-Id", x(36)}, {"Auth-Methods", x(3)}, {"Auth-Time", x(10)}, {"Assertion", x(734)},
	} {
		lines = append(lines, "request_header X-Portal-"+h[0]+" "+h[1])
	}
	return strings.Join(append(lines, "request_header Authorization "+x(376), "reverse_proxy "+b.upstream.addr(), "}"), "\n\t")
}

func throughputSmall(ctx context.Context, b *bench) (series, string, error) {
	if err := b.smallRoad(ctx); err != nil {
		return nil, "", err
	}
	s, note := throughput(b.small)
	var byHand series
	for _, p := range b.small {
		byHand = append(byHand, p.byHand.rate/p.bare.rate)
	}
	return s, note + fmt.Sprintf("; bare Caddy that sets the same headers and checks nothing: %.3f", byHand.median()), nil
}

func throughputLarge(ctx context.Context, b *bench) (series, string, error) {
	pairs, err := b.road(ctx, b.bare, "large")
	if err != nil {
		return nil, "", err
	}
	s, note := throughput(pairs)
	return s, note, nil
}

// shipped compares what we ship with a bare gateway as Go's runtime sets it: collector settings are part of the product.
func shipped(ctx context.Context, b *bench) (series, string, error) {
	plain, err := b.start(ctx, "plain", site{env: map[string]string{"GOGC": "100", "GOMEMLIMIT": "off"}})
	if err != nil {
		return nil, "", err
	}
	defer plain.stop()
	pairs, err := b.road(ctx, plain, "small")
	if err != nil {
		return nil, "", err
	}
	s, note := throughput(pairs)
	return s, note, nil
}

func throughput(pairs []pair) (s series, note string) {
	var gate, bare series
	for _, p := range pairs {
		s = append(s, p.gate.rate/p.bare.rate)
		gate, bare = append(gate, p.gate.rate), append(bare, p.bare.rate)
	}
	return s, fmt.Sprintf("%.0f against %.0f requests a second", gate.median(), bare.median())
}

func cpuSmall(ctx context.Context, b *bench) (s series, note string, err error) {
	if err := b.smallRoad(ctx); err != nil {
		return nil, "", err
	}
	var gate, bare, byHand series
	for _, p := range b.small {
		s = append(s, p.gate.cpu/p.bare.cpu)
		gate, bare, byHand = append(gate, p.gate.cpu), append(bare, p.bare.cpu), append(byHand, p.byHand.cpu/p.bare.cpu)
	}
	return s, fmt.Sprintf("%.1f against %.1f µs; bare Caddy that sets the same headers and checks nothing: %.3f", gate.median(), bare.median(), byHand.median()), nil
}

// forged are cookies that somebody made up, as near to real ones as can be.
func (b *bench) forged(i int) (access, refresh string) {
	p := b.people[i]
	wrong := func(s string) string { // another letter in the middle of the signature
		at := len(s) - 20
		c := byte('A')
		if s[at] == c {
			c = 'B'
		}
		return s[:at] + string(c) + s[at+1:]
	}
	return "__Host-portalgate=" + wrong(p.access), "__Host-portalgate-refresh=" + wrong(p.refresh)
}

func (b *bench) forgers(g *gateway, cookie func(i int) string) *target {
	requests := make([][]byte, connections)
	for i := range requests {
		requests[i] = ask("/small/"+string(b.people[i].id), cookie(i), b.people[i].network)
	}
	return &target{g, load{
		callers: callers(connections, g.addr),
		ask:     func(i, _ int) []byte { return requests[i] },
		right:   func(_ int, a answer) bool { return a.status == 401 && bytes.Contains(a.body, []byte(`"session_`)) },
	}}
}

// forgeries compares a request with a forged cookie with one that is signed in, and holds that it asks no server.
func forgeries(ctx context.Context, b *bench) (s series, note string, err error) {
	if err := b.signIn(b.gate, connections); err != nil {
		return nil, "", err
	}
	if err := b.right(b.gate, b.bare, "small"); err != nil {
		return nil, "", err
	}
	kinds := []struct {
		name   string
		cookie func(i int) string
	}{
		{"access", func(i int) string { a, _ := b.forged(i); return a }},
		{"refresh", func(i int) string { _, r := b.forged(i); return r }},
		{"both", func(i int) string { a, r := b.forged(i); return a + "; " + r }},
	}
	targets := []*target{b.reads(b.gate, "small")}
	for _, k := range kinds {
		targets = append(targets, b.forgers(b.gate, k.cookie))
	}
	defer hangUp(targets)
	rounds, err := b.alternate(ctx, targets)
	if err != nil {
		return nil, "", err
	}
	b.upstream.counts()
	each := make([]series, len(targets))
	for _, r := range rounds {
		worst := 0.0
		for i, t := range r {
			each[i] = append(each[i], t.cpu)
			if i > 0 {
				worst = max(worst, t.cpu/r[0].cpu)
			}
		}
		s = append(s, worst)
	}
	var notes []string
	for i, k := range kinds {
		notes = append(notes, fmt.Sprintf("%s %.1f", k.name, each[i+1].median()))
	}
	calls, err := b.calls(ctx, func(g *gateway) []*target {
		var out []*target
		for _, k := range kinds {
			out = append(out, b.forgers(g, k.cookie))
		}
		return out
	})
	if err != nil {
		return nil, "", err
	}
	if calls.total() > 0 {
		return nil, "", fmt.Errorf("forged cookies made %s", calls)
	}
	return s, fmt.Sprintf("%s against %.1f µs; %s", strings.Join(notes, ", "), each[0].median(), calls), nil
}
