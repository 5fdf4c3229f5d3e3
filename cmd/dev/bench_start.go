package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/portalgate/portalgate/internal/password"
)

// beginning is what one start was like.
type beginning struct {
	took float64 // milliseconds to the first right answer
	idle float64 // MiB, a while after it
}

// starts starts gateways behind and without the gate in turns; the rows of P18 share them.
func (b *bench) starts(ctx context.Context) error {
	if b.begun != nil {
		return nil
	}
	settle := time.Second
	if b.brief {
		settle = 200 * time.Millisecond
	}
	one := func(s site) (x beginning, err error) {
		began := time.Now()
		g, err := b.run("starting", s)
		if err != nil {
			return x, err
		}
		defer g.stop()
		if err := g.await(ctx, time.Millisecond); err != nil {
			return x, err
		}
		x.took = since(began)
		time.Sleep(settle)
		x.idle, err = memory(g.pid(), "VmRSS")
		x.idle /= 1 << 20
		return x, err
	}
	if _, err := one(site{}); err != nil { // the program's file is in memory
		return err
	}
	for range b.rounds {
		if err := ctx.Err(); err != nil {
			return err
		}
		gate, err1 := one(site{gated: true})
		bare, err2 := one(site{})
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		b.begun = append(b.begun, [2]beginning{gate, bare})
	}
	return nil
}

func firstAnswer(ctx context.Context, b *bench) (s series, note string, err error) {
	if err := b.starts(ctx); err != nil {
		return nil, "", err
	}
	var gate, bare series
	for _, x := range b.begun {
		s = append(s, x[0].took/x[1].took)
		gate, bare = append(gate, x[0].took), append(bare, x[1].took)
	}
	return s, fmt.Sprintf("%.0f against %.0f ms", gate.median(), bare.median()), nil
}

func idleMemory(ctx context.Context, b *bench) (s series, note string, err error) {
	if err := b.starts(ctx); err != nil {
		return nil, "", err
	}
	var gate, bare series
	for _, x := range b.begun {
		s = append(s, x[0].idle-x[1].idle)
		gate, bare = append(gate, x[0].idle), append(bare, x[1].idle)
	}
	return s, fmt.Sprintf("%.1f against %.1f MiB resident", gate.median(), bare.median()), nil
}

// crowded is how many sign in at the same moment in P13.
const crowded = 500

func (b *bench) besiegers() int {
	if b.brief {
		return crowded / 5
	}
	return crowded
}

// siege is what five hundred who sign in at the same moment cost in memory beyond what the same five hundred cost who
// do all of it but the hash: they look at the page and ask for a mail by the form for a new password, which counts them,
// asks the database and holds its answer as a sign-in does. The unit is what the slots need: one slot, as there is one
// core, and four, which share it; the worse counts.
func siege(ctx context.Context, b *bench) (s series, note string, err error) {
	rounds := min(b.rounds, 5) // each is two gateways of their own, with five hundred hashes each
	slots := []int{1, 4}
	beyond, below, checked := make([]series, len(slots)), make([]series, len(slots)), 0
	for range rounds {
		worst := 0.0
		for i, n := range slots {
			if err := ctx.Err(); err != nil {
				return nil, "", err
			}
			base, peak, statuses, err := b.besiege(ctx, n)
			if err != nil {
				return nil, "", fmt.Errorf("%d slots: %w", n, err)
			}
			worst = max(worst, (peak-base)/float64(n*password.DefaultMemory<<10))
			beyond[i], below[i] = append(beyond[i], (peak-base)/(1<<20)), append(below[i], base/(1<<20))
			checked += statuses[401]
		}
		s = append(s, worst)
	}
	for i, n := range slots {
		note += fmt.Sprintf("%d × 19 MiB: %.0f beyond %.0f MiB; ", n, beyond[i].quantile(1), below[i].median())
	}
	return s, fmt.Sprintf("%s%d of %d were checked", note, checked, rounds*len(slots)*b.besiegers()), nil
}

func (b *bench) besiege(ctx context.Context, slots int) (base, peak float64, statuses map[int]int, err error) {
	// Who comes again every half a second would be refused by the limit of the tenant before the memory is tried.
	g, err := b.start(ctx, "besieged", site{gated: true, app: fmt.Sprintf("mail {\n\t\t\tfrom gate@bench.example\n\t\t\tcapture trial\n\t\t}\n\t\thashing_slots %d\n\t\tlimits {\n\t\t\tsign_ins_tenant 1000000\n\t\t\tasks_tenant 1000000\n\t\t}", slots)})
	if err != nil {
		return 0, 0, nil, err
	}
	defer g.stop()
	b.sieges++ // nobody comes twice: accounts and networks would rest
	people := callers(b.besiegers(), g.addr)
	defer (&load{callers: people}).hangUp()
	times := 25
	if b.brief {
		times = 2
	}
	network := func(i int) int { return 40_000 + b.sieges*crowded + i }
	if _, err := everyone(people, func(i int, c *caller) (int, error) {
		for n := range times {
			if a, err := c.ask(ask("/auth/login", "", i)); err != nil || a.status != 200 {
				return a.status, fmt.Errorf("looking at the page: status %d, %w", a.status, errors.Join(err))
			}
			mail := fmt.Sprintf(`{"email":"nobody%d-%d-%d@bench.example"}`, b.sieges, i, n)
			if a, err := c.ask(post(network(i), "/auth/forgot-password", "same-origin", mail)); err != nil || a.status != 303 {
				return a.status, fmt.Errorf("asking for a mail: status %d, %w", a.status, errors.Join(err))
			}
		}
		return 200, nil
	}); err != nil {
		return 0, 0, nil, err
	}
	if base, err = memory(g.pid(), "VmHWM"); err != nil {
		return 0, 0, nil, err
	}
	statuses, err = everyone(people, func(i int, c *caller) (int, error) {
		request := post(network(i), "/auth/login", "same-origin", fmt.Sprintf(`{"email":"nobody%d-%d@bench.example","password":"not the right one"}`, b.sieges, i))
		for began := time.Now(); ; time.Sleep(500 * time.Millisecond) {
			a, err := c.ask(request)
			if err == nil && a.status == 503 && !b.brief && ctx.Err() == nil && time.Since(began) < time.Minute {
				continue // as the page asks
			}
			if err == nil && a.status != 401 && a.status != 503 {
				err = fmt.Errorf("a sign-in was answered %d: %.200s", a.status, a.body)
			}
			return a.status, err
		}
	})
	if err == nil && statuses[401] == 0 {
		err = fmt.Errorf("nothing was checked: %v", statuses)
	}
	if err != nil {
		return 0, 0, nil, err
	}
	peak, err = memory(g.pid(), "VmHWM")
	return base, peak, statuses, err
}

// everyone does something with every caller at the same time, and counts what they return.
func everyone(people []*caller, do func(i int, c *caller) (int, error)) (map[int]int, error) {
	var (
		running sync.WaitGroup
		errs    = make([]error, len(people))
		got     = make([]int, len(people))
	)
	for i, c := range people {
		running.Go(func() { got[i], errs[i] = do(i, c) })
	}
	running.Wait()
	out := map[int]int{}
	for _, n := range got {
		out[n]++
	}
	return out, errors.Join(errs...)
}
