package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// heldTokens runs the benchmark of package session: the table is its own. Maps grow by leaps, so that it is asked at
// two sizes; the worse counts.
func heldTokens(ctx context.Context, b *bench) (series, string, error) {
	text, err := b.benchmark(ctx, "session", "BenchmarkHeld")
	if err != nil {
		return nil, "", err
	}
	s, note, err := readHeld(text)
	if err == nil && b.crowd != nil && b.crowd.facts > 0 {
		note += fmt.Sprintf("; with what is known of a session and its header values, a table of 100,000 at most, %.0f MiB", b.crowd.facts)
	}
	return s, note, err
}

func readHeld(text string) (s series, note string, err error) {
	all, err := readBenchmarks(text, "BenchmarkHeld")
	if err != nil {
		return nil, "", err
	}
	var few, many series
	for _, one := range all {
		held, ok := one.figures["MiB/100k"]
		if !ok {
			return nil, "", fmt.Errorf("reading a benchmark: %s says %v", one.name, one.figures)
		}
		if one.name == "100k" {
			few = append(few, held)
		} else {
			many = append(many, held)
		}
	}
	if len(few) == 0 || len(few) != len(many) {
		return nil, "", fmt.Errorf("the benchmark said nothing that can be read:\n%s", text)
	}
	for i := range few {
		s = append(s, max(few[i], many[i]))
	}
	return s, fmt.Sprintf("%.1f of 100 k, %.1f of 1 M", few.median(), many.median()), nil
}

// heldInRedis is what sign-ins have left in Redis just then, each from a network that is new there: limits, which are
// gone as soon as they would let the next one pass. A session leaves nothing.
func heldInRedis(_ context.Context, b *bench) (series, string, error) {
	if b.world.Redis == nil {
		return series{0}, "there is no Redis", nil
	}
	people := slices.Clone(b.people)
	for i := range people {
		people[i].network = 60_000 + i
	}
	warm := connections // scripts, connections and their buffers are there
	if b.brief {
		warm = connections / 2
	}
	if err := b.signInAt(b.gate, people[:warm]); err != nil {
		return nil, "", err
	}
	people = people[warm:]
	var held [2]int
	for i := range held {
		if i == 1 {
			if err := b.signInAt(b.gate, people); err != nil {
				return nil, "", err
			}
		}
		all, err1 := b.redisSays("memory", "used_memory")
		buffers, err2 := b.redisSays("memory", "mem_clients_normal")
		if err := errors.Join(err1, err2); err != nil {
			return nil, "", err
		}
		held[i] = all - buffers
	}
	each := float64(held[1]-held[0]) / float64(len(people))
	return series{each * 100_000 / (1 << 20)}, fmt.Sprintf("%.0f bytes for each of %d sign-ins, gone within seconds", each, len(people)), nil
}
