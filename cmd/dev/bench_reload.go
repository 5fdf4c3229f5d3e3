package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// upheaval is one round of P17: what reloads did to the requests at a gateway behind the gate and at a bare one.
type upheaval struct {
	gate, bare  shaken
	connections int // that the gate opened to PostgreSQL and Redis
}

// shaken is what came of requests during reloads.
type shaken struct {
	tally
	late    float64 // 99th percentile, microseconds
	reloads int
}

// upheavals gives two gateways another configuration over and over while they are asked, each in its turn; the rows of
// P17 share it. A third of the questions come on connections of their own.
func (b *bench) upheavals(ctx context.Context) (err error) {
	if b.turned != nil {
		return nil
	}
	gate, err := b.start(ctx, "shaken", site{gated: true, admin: true})
	if err != nil {
		return err
	}
	defer gate.stop()
	bare, err := b.start(ctx, "shaken-bare", site{admin: true})
	if err != nil {
		return err
	}
	defer bare.stop()
	if err := b.signIn(gate, connections); err != nil {
		return err
	}
	if err := b.right(gate, bare, "small"); err != nil {
		return err
	}
	targets := []*target{b.reads(gate, "small"), b.reads(bare, "small")}
	defer hangUp(targets)
	most, err := b.saturation(targets[1])
	if err != nil {
		return err
	}
	for _, t := range targets {
		t.load.fresh, t.load.lossy = connections/3, true
		for range 3 { // pools are as they will be
			if err := b.reload(ctx, t.g); err != nil {
				return err
			}
		}
	}
	counted, err := b.counter(ctx)
	if err != nil {
		return err
	}
	defer counted.Close(context.WithoutCancel(ctx))
	for i := range b.rounds {
		var u upheaval
		before, err := b.established(ctx, counted)
		if err != nil {
			return err
		}
		if u.gate, err = b.shake(ctx, targets[0], most/4, i); err != nil {
			return err
		}
		after, err := b.established(ctx, counted)
		if err != nil {
			return err
		}
		u.connections = after - before
		if u.bare, err = b.shake(ctx, targets[1], most/4, i); err != nil {
			return err
		}
		b.turned = append(b.turned, u)
	}
	return nil
}

// shake asks a gateway at a rate, and gives it another configuration four times a second, or as often as it can take it.
func (b *bench) shake(ctx context.Context, t *target, rate float64, seed int) (s shaken, err error) {
	type seen struct {
		tally tally
		times series
	}
	d := max(2*b.round, 600*time.Millisecond)
	done := make(chan seen)
	began := time.Now()
	go func() {
		got, times := t.load.pace(rate, d, uint64(seed))
		done <- seen{got, times}
	}()
	for next := began; err == nil && time.Since(began) < d-200*time.Millisecond; s.reloads++ {
		next = next.Add(250 * time.Millisecond)
		time.Sleep(time.Until(next))
		err = b.reload(ctx, t.g)
	}
	got := <-done
	s.tally, s.late = got.tally, got.times.quantile(0.99)
	if err == nil && got.tally.answers == 0 {
		err = fmt.Errorf("%s: nothing was answered, %d lost, %d wrong, the first: %s", t.g.name, got.tally.lost, got.tally.wrong, got.tally.first)
	}
	return s, err
}

// reload gives a gateway a configuration that differs from the last one, so that it begins anew.
func (b *bench) reload(ctx context.Context, g *gateway) error {
	g.turn = 1 - g.turn
	if g.gated {
		g.app = fmt.Sprintf("assertion_audience by-%d", g.turn)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1/load", strings.NewReader(b.config(g.port, g.socket, g.site)))
	if err != nil {
		return fmt.Errorf("reloading: %w", err)
	}
	req.Header.Set("Content-Type", "text/caddyfile")
	var res *http.Response
	for began := time.Now(); time.Since(began) < 5*time.Second; time.Sleep(5 * time.Millisecond) {
		if res, err = g.client().Do(req); err == nil {
			break
		}
		if req.Body, err = req.GetBody(); err != nil { // the endpoint is replaced by each reload
			break
		}
	}
	if res == nil {
		return fmt.Errorf("reloading the %s gateway: its admin endpoint does not answer: %w", g.name, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10)) // the status says enough without it
		return fmt.Errorf("reloading the %s gateway: %s: %s", g.name, res.Status, said)
	}
	return nil
}

// counter is a connection on which PostgreSQL is asked how many there ever were.
func (b *bench) counter(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, b.world.Postgres.URL("postgres", "postgres"))
	if err != nil {
		return nil, fmt.Errorf("asking PostgreSQL: %w", err)
	}
	return conn, nil
}

// established is how many connections were ever made to PostgreSQL and Redis, but for our own questions.
func (b *bench) established(ctx context.Context, conn *pgx.Conn) (n int, err error) {
	if err := conn.QueryRow(ctx, `select sessions from pg_stat_database where datname = current_database()`).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting connections to PostgreSQL: %w", err)
	}
	if b.world.Redis == nil {
		return n, nil
	}
	made, err := b.redisSays("stats", "total_connections_received")
	b.asked++
	return n + made - b.asked, err
}

// overReloads picks a figure of each round.
func (b *bench) overReloads(ctx context.Context, figure func(upheaval) float64) (s series, all upheaval, err error) {
	if err := b.upheavals(ctx); err != nil {
		return nil, all, err
	}
	for _, u := range b.turned {
		s = append(s, figure(u))
		for _, x := range []struct{ to, from *shaken }{{&all.gate, &u.gate}, {&all.bare, &u.bare}} {
			x.to.answers += x.from.answers
			x.to.lost += x.from.lost
			x.to.wrong += x.from.wrong
			x.to.reloads += x.from.reloads
			if x.to.first == "" {
				x.to.first = x.from.first
			}
		}
		all.connections += u.connections
	}
	return s, all, nil
}

// reloadLost: chance decides whether a connection is accepted in the very moment in which a server ends. Where the bare
// gateway has lost none, one of the gate's is as many.
func reloadLost(ctx context.Context, b *bench) (series, string, error) {
	s, all, err := b.overReloads(ctx, func(u upheaval) float64 { return float64(u.gate.lost) / max(1, float64(u.bare.lost)) })
	return s, fmt.Sprintf("%d of %d in %d reloads, bare %d of %d in %d", all.gate.lost, all.gate.answers, all.gate.reloads, all.bare.lost, all.bare.answers, all.bare.reloads), err
}

func reloadWrong(ctx context.Context, b *bench) (series, string, error) {
	s, all, err := b.overReloads(ctx, func(u upheaval) float64 { return float64(u.gate.wrong) })
	note := fmt.Sprintf("%d of %d, bare %d of %d", all.gate.wrong, all.gate.answers, all.bare.wrong, all.bare.answers)
	if all.gate.wrong > 0 {
		note += "; the first: " + all.gate.first
	}
	return s, note, err
}

func reloadConnections(ctx context.Context, b *bench) (series, string, error) {
	s, all, err := b.overReloads(ctx, func(u upheaval) float64 { return float64(u.connections) })
	return s, fmt.Sprintf("%d in %d reloads", all.connections, all.gate.reloads), err
}

func reloadLate(ctx context.Context, b *bench) (series, string, error) {
	var gate, bare series
	s, _, err := b.overReloads(ctx, func(u upheaval) float64 {
		gate, bare = append(gate, u.gate.late/1e3), append(bare, u.bare.late/1e3)
		return u.gate.late / u.bare.late
	})
	return s, fmt.Sprintf("%.0f against %.0f ms", gate.median(), bare.median()), err
}
