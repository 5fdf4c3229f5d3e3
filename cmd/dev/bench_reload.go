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

// upheaval is one round of P17: what reloads did to the requests at a gateway behind the gate and at a bare one. Where
// something else is changed the gate goes on as it was; where its own settings are it begins anew, with the
// connections, the limits and the sessions that it had.
type upheaval struct {
	kept, anew, bare shaken
	connections      [2]int // that the gate opened to PostgreSQL, beyond those by which its pool grew, and to Redis
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
		if _, err := b.shake(ctx, t, most/4, b.rounds, true); err != nil { // pools are as they will be
			return err
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
		if u.kept, err = b.shake(ctx, targets[0], most/4, i, false); err != nil {
			return err
		}
		if u.anew, err = b.shake(ctx, targets[0], most/4, i, true); err != nil {
			return err
		}
		after, err := b.established(ctx, counted)
		if err != nil {
			return err
		}
		u.connections = [2]int{after.postgres - before.postgres - max(0, after.open-before.open), after.redis - before.redis}
		if u.bare, err = b.shake(ctx, targets[1], most/4, i, false); err != nil {
			return err
		}
		b.turned = append(b.turned, u)
	}
	return nil
}

// shake asks a gateway at a rate, and gives it another configuration four times a second, or as often as it can take it.
func (b *bench) shake(ctx context.Context, t *target, rate float64, seed int, anew bool) (s shaken, err error) {
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
		err = b.reload(ctx, t.g, anew)
	}
	got := <-done
	s.tally, s.late = got.tally, got.times.quantile(0.99)
	if err == nil && got.tally.answers == 0 {
		err = fmt.Errorf("%s: nothing was answered, %d lost, %d wrong, the first: %s", t.g.name, got.tally.lost, got.tally.wrong, got.tally.first)
	}
	return s, err
}

// reload gives a gateway a configuration that differs from the last one; anew: in the gate's own settings.
func (b *bench) reload(ctx context.Context, g *gateway, anew bool) error {
	g.turn = 1 - g.turn
	if g.gated && anew {
		g.app = fmt.Sprintf("answer_after %dms", 250+g.turn)
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

// reckoning is how many connections there ever were, and how many are open to PostgreSQL.
type reckoning struct{ postgres, open, redis int }

// established reckons, without our own questions to Redis.
func (b *bench) established(ctx context.Context, conn *pgx.Conn) (n reckoning, err error) {
	if err := conn.QueryRow(ctx, `select sessions, numbackends from pg_stat_database where datname = current_database()`).Scan(&n.postgres, &n.open); err != nil {
		return n, fmt.Errorf("counting connections to PostgreSQL: %w", err)
	}
	if b.world.Redis == nil {
		return n, nil
	}
	n.redis, err = b.redisSays("stats", "total_connections_received")
	b.asked++
	n.redis -= b.asked
	return n, err
}

// overReloads picks a figure of each round, and sums up what happened in all.
func (b *bench) overReloads(ctx context.Context, figure func(upheaval) float64) (s series, gate, bare shaken, err error) {
	if err := b.upheavals(ctx); err != nil {
		return nil, gate, bare, err
	}
	for _, u := range b.turned {
		s = append(s, figure(u))
		gate.add(u.kept)
		gate.add(u.anew)
		bare.add(u.bare)
	}
	return s, gate, bare, nil
}

func (s *shaken) add(x shaken) {
	s.answers, s.lost, s.wrong, s.reloads = s.answers+x.answers, s.lost+x.lost, s.wrong+x.wrong, s.reloads+x.reloads
	if s.first == "" {
		s.first = x.first
	}
}

// reloadLost: chance decides whether a connection is accepted in the very moment in which a server ends, so the rounds
// are counted together; each figure leaves one of them out. Where the bare gateway has lost none, one of the gate's is
// as many.
func reloadLost(ctx context.Context, b *bench) (s series, note string, err error) {
	_, gate, bare, err := b.overReloads(ctx, func(upheaval) float64 { return 0 })
	for _, u := range b.turned {
		lost, others := gate, bare
		if len(b.turned) > 1 {
			lost.lost, others.lost = gate.lost-u.kept.lost-u.anew.lost, bare.lost-u.bare.lost
		}
		s = append(s, float64(lost.lost)/2/max(1, float64(others.lost))) // the gate has two turns in each round
	}
	return s, fmt.Sprintf("%d of %d in %d reloads, bare %d of %d in %d", gate.lost, gate.answers, gate.reloads, bare.lost, bare.answers, bare.reloads), err
}

func reloadWrong(ctx context.Context, b *bench) (series, string, error) {
	s, gate, bare, err := b.overReloads(ctx, func(u upheaval) float64 { return float64(u.kept.wrong + u.anew.wrong) })
	note := fmt.Sprintf("%d of %d, bare %d of %d", gate.wrong, gate.answers, bare.wrong, bare.answers)
	if gate.wrong > 0 {
		note += "; the first: " + gate.first
	}
	return s, note, err
}

func reloadConnections(ctx context.Context, b *bench) (series, string, error) {
	var all [2]int
	s, gate, _, err := b.overReloads(ctx, func(u upheaval) float64 {
		all[0], all[1] = all[0]+u.connections[0], all[1]+u.connections[1]
		return float64(u.connections[0] + u.connections[1])
	})
	return s, fmt.Sprintf("%d to PostgreSQL and %d to Redis in %d reloads", all[0], all[1], gate.reloads), err
}

func reloadLate(ctx context.Context, b *bench) (series, string, error) {
	return b.lateOverReloads(ctx, func(u upheaval) float64 { return u.kept.late })
}

func reloadLateAnew(ctx context.Context, b *bench) (series, string, error) {
	return b.lateOverReloads(ctx, func(u upheaval) float64 { return u.anew.late })
}

func (b *bench) lateOverReloads(ctx context.Context, late func(upheaval) float64) (series, string, error) {
	var gate, bare series
	s, _, _, err := b.overReloads(ctx, func(u upheaval) float64 {
		gate, bare = append(gate, late(u)/1e3), append(bare, u.bare.late/1e3)
		return late(u) / u.bare.late
	})
	return s, fmt.Sprintf("%.1f against %.1f ms", gate.median(), bare.median()), err
}
