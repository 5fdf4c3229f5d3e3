package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// pace runs an open loop: questions come at a rate, at moments that are drawn and the same for everybody with the same
// seed, whether or not the one before is answered. Each time is from the moment at which a question was due, so that
// whoever had to wait for another's answer counts as having waited.
func (l *load) pace(rate float64, d time.Duration, seed uint64) (t tally, times series) {
	var (
		mu  sync.Mutex
		all sync.WaitGroup
	)
	mean := float64(len(l.callers)) / rate
	began := time.Now()
	for i, c := range l.callers {
		if c.conn != nil {
			_ = c.conn.SetDeadline(began.Add(d + 20*time.Second)) // a connection that is closed says so at the next question
		}
		all.Go(func() {
			gaps := dice(seed<<32 + uint64(i))
			var mine series
			var bad, gone int
			var first string
			due := 0.0
			for n := 0; ; n++ {
				if due += mean * -math.Log(gaps.roll()); due > d.Seconds() {
					break
				}
				at := began.Add(time.Duration(due * 1e9))
				time.Sleep(time.Until(at))
				if i < l.fresh {
					c.close()
				}
				kept := c.conn != nil
				a, err := c.ask(l.ask(i, n))
				if l.lossy && kept && err != nil && c.heard == 0 {
					a, err = c.ask(l.ask(i, n)) // as a browser does: the server had ended the connection meanwhile
				}
				if l.lossy && err != nil {
					gone++
					continue
				}
				if err == nil && l.right(i, a) {
					mine = append(mine, float64(time.Since(at).Microseconds()))
					continue
				}
				if bad++; bad == 1 {
					if first = fmt.Sprintf("status %d, %.200q", a.status, a.body); err != nil {
						first = err.Error()
					}
				}
				if err != nil {
					break
				}
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, mine...)
			t.lost += gone
			if t.wrong += bad; t.first == "" {
				t.first = first
			}
		})
	}
	all.Wait()
	t.answers, t.took = len(times), time.Since(began)
	return t, times
}

// dice fall the same way for everybody who begins with the same number: SplitMix64 (Steele, Lea, Flood 2014).
type dice uint64

// roll is above 0, and 1 at most.
func (d *dice) roll() float64 {
	*d += 0x9e3779b97f4a7c15
	x := uint64(*d)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return (float64((x^x>>31)>>11) + 1) / (1 << 53)
}

// saturation is what a target answers a second when it is asked as fast as it can.
func (b *bench) saturation(t *target) (float64, error) {
	got := t.load.run(b.round/4, b.round)
	if got.wrong > 0 || got.answers == 0 {
		return 0, fmt.Errorf("%s: %d right and %d wrong answers, the first: %s", t.g.name, got.answers, got.wrong, got.first)
	}
	return got.rate(), nil
}

// late is the 99th percentile of a target's times in one turn, in microseconds.
func (b *bench) late(t *target, rate float64, seed int) (float64, error) {
	// On a machine that is busy with something else a short turn at a small rate might have nobody ask.
	got, times := t.load.pace(rate, max(b.round, time.Duration(20/rate*float64(time.Second))), uint64(seed))
	if got.wrong > 0 || got.answers == 0 {
		return 0, fmt.Errorf("%s: %d right and %d wrong answers in the timed part, the first: %s", t.g.name, got.answers, got.wrong, got.first)
	}
	return times.quantile(0.99), nil
}

// paced lets targets take turns at a rate, and returns the 99th percentiles of each turn.
func (b *bench) paced(ctx context.Context, targets []*target, rate float64) ([][]float64, error) {
	rounds := make([][]float64, b.rounds)
	order := make([]int, len(targets))
	for i := range order {
		order[i] = i
	}
	for i := range rounds {
		rounds[i] = make([]float64, len(targets))
		for _, at := range order {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			var err error
			if rounds[i][at], err = b.late(targets[at], rate, i); err != nil {
				return nil, err
			}
		}
		slices.Reverse(order)
	}
	return rounds, nil
}

// lateness compares the 99th percentiles behind the gate and beside it, when as much is asked as half of what the bare
// gateway could answer.
func lateness(ctx context.Context, b *bench) (series, string, error) {
	if err := b.signIn(b.gate, connections); err != nil {
		return nil, "", err
	}
	if err := b.right(b.gate, b.bare, "small"); err != nil {
		return nil, "", err
	}
	targets := []*target{b.reads(b.gate, "small"), b.reads(b.bare, "small")}
	defer hangUp(targets)
	if _, err := b.saturation(targets[0]); err != nil { // warm
		return nil, "", err
	}
	most, err := b.saturation(targets[1])
	if err != nil {
		return nil, "", err
	}
	rounds, err := b.paced(ctx, targets, most/2)
	if err != nil {
		return nil, "", err
	}
	s, gate, bare := ratios(rounds)
	return s, fmt.Sprintf("%.0f against %.0f µs at %.0f requests a second", gate.median(), bare.median(), most/2), nil
}

// ratios are those of the first two of each round.
func ratios(rounds [][]float64) (s, one, other series) {
	for _, r := range rounds {
		s, one, other = append(s, r[0]/r[1]), append(one, r[0]), append(other, r[1])
	}
	return s, one, other
}

// storm compares the 99th percentile of people who are signed in, at a quarter of what the gate could answer, while
// more people sign in than can be checked, with the same in quiet.
func storm(ctx context.Context, b *bench) (s series, note string, err error) {
	if err := b.signIn(b.gate, connections); err != nil {
		return nil, "", err
	}
	t := b.reads(b.gate, "small")
	defer t.load.hangUp()
	most, err := b.saturation(t)
	if err != nil {
		return nil, "", err
	}
	var quiet, loud, rates series
	for i := range b.rounds {
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
		calm, err := b.late(t, most/4, i)
		if err != nil {
			return nil, "", err
		}
		crowd, _ := b.door(b.gate, 24)
		done := make(chan tally)
		warm := answerAfter + 300*time.Millisecond
		go func() { done <- crowd.run(warm, max(b.round, 4*answerAfter)) }()
		time.Sleep(warm)
		busy, err := b.late(t, most/4, i)
		signedIn := <-done
		crowd.hangUp()
		if err != nil {
			return nil, "", err
		}
		if signedIn.wrong > 0 || signedIn.answers == 0 {
			return nil, "", fmt.Errorf("%d right and %d wrong answers at the door, the first: %s", signedIn.answers, signedIn.wrong, signedIn.first)
		}
		s = append(s, busy/calm)
		quiet, loud, rates = append(quiet, calm), append(loud, busy), append(rates, signedIn.rate())
	}
	return s, fmt.Sprintf("%.1f against %.1f ms at %.0f requests a second, %.0f sign-ins a second beside them", loud.median()/1e3, quiet.median()/1e3, most/4, rates.median()), nil
}
