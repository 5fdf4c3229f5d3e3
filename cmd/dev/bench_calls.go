package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portalgate/portalgate/internal/demo"
)

// calls are what the servers were asked while a number of requests was answered.
type calls struct {
	requests   int
	statements []string
	commands   map[string]int64
}

func (c calls) total() int {
	n := len(c.statements)
	for _, k := range c.commands {
		n += int(k)
	}
	return n
}

func (c calls) String() string {
	s := fmt.Sprintf("%d calls to PostgreSQL and %d to Redis in %d requests", len(c.statements), c.total()-len(c.statements), c.requests)
	if len(c.statements) > 0 {
		s += ": " + strings.Join(c.statements[:min(3, len(c.statements))], "; ")
	}
	for _, name := range slices.Sorted(maps.Keys(c.commands)) {
		s += fmt.Sprintf("; %s %d", name, c.commands[name])
	}
	return s
}

// serverCalls counts what warm requests ask the servers, by the servers' own account.
func serverCalls(ctx context.Context, b *bench) (series, string, error) {
	c, err := b.calls(ctx, func(g *gateway) []*target { return []*target{b.reads(g, "small")} })
	if err != nil {
		return nil, "", err
	}
	if _, unnamed, wrong := b.upstream.counts(); unnamed+wrong > 0 {
		return nil, "", fmt.Errorf("the upstream got %d requests without and %d with a wrong identity", unnamed, wrong)
	}
	return series{float64(c.total()) / float64(c.requests)}, c.String(), nil
}

// calls runs loads against a gateway of its own, all of whose questions are logged. People sign in first, so that no
// session's "last active" is due, which is written once a minute behind a request.
func (b *bench) calls(ctx context.Context, loads func(*gateway) []*target) (c calls, err error) {
	heard, err := b.world.Listen(ctx)
	if err != nil {
		return c, err
	}
	defer heard.Close()
	g, err := b.start(ctx, "watched", site{gated: true})
	if err != nil {
		return c, err
	}
	defer g.stop()
	if said, err := heard.Next(); err != nil || len(said) == 0 {
		return c, fmt.Errorf("a gateway started without a statement in PostgreSQL's log: nothing can be counted (%v)", err)
	}
	duration := 5 * time.Second
	if b.brief {
		duration = 300 * time.Millisecond
	}
	for range 3 {
		if err := b.signIn(g, connections); err != nil {
			return c, err
		}
		targets := loads(g)
		c, err = b.count(ctx, heard, targets, duration)
		hangUp(targets)
		// Tenants and hosts are read again every half minute, whether or not anybody comes: such a window says nothing.
		clock := slices.ContainsFunc(c.statements, func(s string) bool { return strings.Contains(s, "portalgate.directory()") })
		if err != nil || !clock {
			return c, err
		}
	}
	return c, nil
}

func (b *bench) count(ctx context.Context, heard *demo.Statements, targets []*target, d time.Duration) (c calls, err error) {
	for _, t := range targets {
		if got := t.load.run(0, 100*time.Millisecond); got.wrong > 0 {
			return c, fmt.Errorf("%d wrong answers while warming up, the first: %s", got.wrong, got.first)
		}
	}
	b.upstream.counts()
	if _, err := heard.Next(); err != nil {
		return c, err
	}
	before, err := b.redisCalls(ctx)
	if err != nil {
		return c, err
	}
	for _, t := range targets {
		got := t.load.run(0, d/time.Duration(len(targets)))
		if c.requests += got.answers; got.wrong > 0 {
			return c, fmt.Errorf("%d wrong answers, the first: %s", got.wrong, got.first)
		}
	}
	after, err := b.redisCalls(ctx)
	if err != nil {
		return c, err
	}
	c.commands = map[string]int64{}
	for name, n := range after {
		if n > before[name] {
			c.commands[name] = n - before[name]
		}
	}
	c.statements, err = heard.Next()
	return c, err
}

// redisCalls are Redis's counts, without our own question for them and the sign of life that a gateway asks for by the
// clock.
func (b *bench) redisCalls(ctx context.Context) (map[string]int64, error) {
	if b.world.Redis == nil {
		return nil, nil
	}
	calls, err := b.world.Redis.Calls(ctx)
	delete(calls, "info")
	delete(calls, "ping")
	return calls, err
}

// redisSays reads one number of Redis's own account, on a connection of its own.
func (b *bench) redisSays(section, name string) (int, error) {
	c, err := net.DialTimeout("unix", b.world.Redis.Socket(), 5*time.Second)
	if err != nil {
		return 0, fmt.Errorf("asking Redis: %w", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return 0, fmt.Errorf("asking Redis: %w", err)
	}
	if _, err := fmt.Fprintf(c, "INFO %s\r\n", section); err != nil {
		return 0, fmt.Errorf("asking Redis: %w", err)
	}
	for lines := bufio.NewScanner(c); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+":"); ok {
			return strconv.Atoi(value)
		}
	}
	return 0, fmt.Errorf("asking Redis: it says nothing of %s", name)
}
