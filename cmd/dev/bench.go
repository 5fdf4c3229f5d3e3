package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// benchRow is a promise about speed, and how it is measured. Where one promise has several bounds it has several rows
// of one number, which are measured together.
type benchRow struct {
	name, what string
	bound, aim float64 // what must be reached, and what we should like to reach
	atLeast    bool    // the figure must reach the bound; else stay below it
	judged     bool    // false: measured, and no part of the verdict
	at         float64 // which quantile of the series is the figure; 0: the median
	form       string
	measure    func(context.Context, *bench) (series, string, error)
}

// benchRows are the rows, in the order in which they are measured. B is a bare reverse_proxy of the same binary with
// the same collector settings.
func benchRows() []benchRow {
	return []benchRow{
		{"P1", "signed-in throughput / B, 1 KB answers", 0.93, 0.97, true, true, 0, "%.3f", throughputSmall},
		{"P2", "CPU of a signed-in request / B", 1.10, 1.05, false, true, 0, "%.3f", cpuSmall},
		{"P3", "signed-in throughput / B, 64 KB answers", 0.93, 0.98, true, false, 0, "%.3f", throughputLarge},
		{"P4", "p99 / B at half of what B can answer, open loop", 1.15, 1.05, false, false, 0, "%.3f", lateness},
		{"P5", "signed-in throughput as shipped / bare Caddy with Go's own collector settings", 1.00, 1.03, true, false, 0, "%.3f", shipped},
		{"P6", "calls to PostgreSQL and Redis, per warm request", 0, 0, false, true, 0, "%.4g", serverCalls},
		{"P7", "verifying a token, 1 M held: ns of CPU, no allocation", 500, 300, false, true, 0, "%.0f", verification},
		{"P8", "signed-in throughput with 1 M sessions and users / with 1 k", 0.95, 0.99, true, false, 0, "%.3f", crowdThroughput},
		{"P8 p99", "p99 with 1 M sessions and users / with 1 k", 1.2, 1.05, false, false, 0, "%.3f", crowdLateness},
		{"P9", "live heap of 100 k verified tokens, MiB", 30, 20, false, false, 0, "%.1f", heldTokens},
		{"P9 Redis", "Redis's memory for 100 k who signed in, MiB", 30, 20, false, false, 0, "%.1f", heldInRedis},
		{"P10", "an ending is refused at another gateway, p99, ms", 10, 2, false, true, 0.99, "%.1f", endings},
		{"P10 cut", "the same after Redis has gone, p99, ms", 2000, 1000, false, true, 0.99, "%.1f", endingsCut},
		{"P11", "sign-ins per second / bare argon2.IDKey", 0.90, 0.95, true, true, 0, "%.3f", signIns},
		{"P12", "p99 of signed-in requests while more sign in than can be checked / in quiet", 1.5, 1.25, false, false, 0, "%.2f", storm},
		{"P13", "memory of 500 sign-ins at once beyond 500 who ask for a mail / slots × 19 MiB", 1, 1, false, true, 1, "%.2f", siege},
		{"P14", "a read of one tenant / a plain read, 32 clients, 1 M rows: time", 1.25, 1.15, false, false, 0, "%.3f", scopedReads},
		{"P15", "a limit's decision in this process, ns", 500, 200, false, false, 0, "%.0f", decision},
		{"P16", "guesses checked / guesses that may be, in parallel at two gateways", 1.00, 1.00, false, true, 1, "%.2f", guesses},
		{"P17", "requests lost over reloads / B's", 1, 1, false, true, 0, "%.2f", reloadLost},
		{"P17 wrong", "wrong answers over reloads", 0, 0, false, true, 1, "%.0f", reloadWrong},
		{"P17 new", "connections opened to PostgreSQL and Redis over reloads", 0, 0, false, true, 0, "%.1f", reloadConnections},
		{"P17 p99", "p99 over reloads / B's, when other settings change", 1.25, 1.1, false, true, 0, "%.2f", reloadLate},
		{"P17 anew", "p99 over reloads / B's, when the gate's settings change", 1.25, 1.1, false, true, 0, "%.2f", reloadLateAnew},
		{"P18", "start to the first answer / bare Caddy", 1.3, 1.1, false, false, 0, "%.2f", firstAnswer},
		{"P18 idle", "idle memory beyond bare Caddy, MiB", 15, 8, false, false, 0, "%.1f", idleMemory},
		{"P19", "CPU of a forged cookie / a signed-in request, no server call", 0.5, 0.4, false, true, 0, "%.3f", forgeries},
		{"P20", "a refused POST: µs of CPU before limits and checks of a password", 50, 20, false, false, 0, "%.1f", refusals},
	}
}

// bench is one run.
type bench struct {
	*benchWorld
	r      *run
	brief  bool
	rounds int
	round  time.Duration
	many   int            // people in the big database of P8 and P14
	small  []pair         // the rounds that P1 and P2 share
	begun  [][2]beginning // those of P18, with the gate and without it
	sieges int            // of P13, so far
	crowd  *crowd         // the second world of P8 and P14
	turned []upheaval     // the rounds of P17
	asked  int            // how often Redis was asked for them
}

// figure is a row that was measured.
type figure struct {
	benchRow
	series series
	note   string
}

func (f figure) value() float64 {
	if f.at == 0 {
		return f.series.median()
	}
	return f.series.quantile(f.at)
}

func (f figure) met() bool {
	if f.atLeast {
		return f.value() >= f.bound
	}
	return f.value() <= f.bound
}

func (f figure) cells() []string {
	relation, verdict := "≤ ", "meets"
	if f.atLeast {
		relation = "≥ "
	}
	switch {
	case !f.judged && f.met():
		verdict = "meets (no target yet)"
	case !f.judged:
		verdict = "misses (no target yet)"
	case !f.met():
		verdict = "MISSES"
	}
	return []string{f.name, f.what, relation + fmt.Sprintf("%g", f.bound), fmt.Sprintf("%g", f.aim), fmt.Sprintf(f.form, f.value()),
		fmt.Sprintf(f.form+" to "+f.form, f.series.quantile(0.25), f.series.quantile(0.75)), verdict}
}

var benchColumns = []string{"row", "what", "target", "aim", "figure", "quartiles", "verdict"}

func benchVerb(ctx context.Context, r *run, args []string) error {
	if len(args) > 0 && args[0] == hashingWorker {
		return hashAway(os.Stdin, r.out)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(r.err)
	brief := flags.Bool("brief", false, "each row once and briefly, to see that it works; its figures mean nothing")
	write := flags.Bool("write", false, "put the table into README.md")
	crowd := flags.Int("crowd", manyPeople, "how many users with a session each P8 and P14 have in their big database")
	rounds := flags.Int("rounds", 15, "how often each target has its turn")
	round := flags.Duration("round", time.Second, "how long a turn is")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	b := &bench{r: r, brief: *brief, rounds: *rounds, round: *round, many: *crowd}
	if b.brief {
		b.rounds, b.round, b.many = 1, 150*time.Millisecond, briefPeople
	}
	if b.rounds < 1 || b.round <= 0 || b.many < 2*fewPeople {
		return fmt.Errorf("--rounds must be at least 1, --round longer than nothing, --crowd at least %d", 2*fewPeople)
	}
	figures, err := b.measure(ctx, flags.Args())
	if err != nil {
		return err
	}
	command := "go run ./cmd/dev " + strings.Join(append([]string{"bench"}, args...), " ")
	printFigures(r.out, figures)
	var missed []string
	for _, f := range figures {
		if f.judged && !f.met() {
			missed = append(missed, f.name)
		}
	}
	if *write {
		if err := writeFigures(filepath.Join(r.root, "README.md"), figures, time.Now(), machine(), command); err != nil {
			return err
		}
		r.say("README.md has the table")
	}
	if len(missed) > 0 && !b.brief {
		return errors.New("missed: " + strings.Join(missed, ", "))
	}
	return nil
}

// measure brings the world up and measures the named rows; all when none is named.
func (b *bench) measure(ctx context.Context, names []string) ([]figure, error) {
	rows := benchRows()
	if len(names) > 0 {
		known := rows
		rows = nil
		for _, n := range names {
			before := len(rows)
			for _, r := range known {
				if number, _, _ := strings.Cut(r.name, " "); strings.EqualFold(number, n) {
					rows = append(rows, r)
				}
			}
			if len(rows) == before {
				return nil, fmt.Errorf("there is no row %q; flags come before the rows", n)
			}
		}
	}
	people := 400
	if b.brief {
		people = connections + 8
	}
	b.r.say("%s", machine())
	var err error
	if b.benchWorld, err = openBench(ctx, b.r, people); err != nil {
		return nil, err
	}
	defer b.close()
	defer func() { b.crowd.close() }()
	b.r.say("core %d: gateway, PostgreSQL, Redis; core %d: load, upstream; %d rounds of %s", b.measured, b.load, b.rounds, b.round)
	var figures []figure
	for _, row := range rows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		began := time.Now()
		s, note, err := row.measure(ctx, b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", row.name, err)
		}
		f := figure{row, s, note}
		b.r.say("%-4s "+row.form+"  %s (%.1f s)", row.name, f.value(), note, time.Since(began).Seconds())
		figures = append(figures, f)
	}
	return figures, nil
}

// series are the figures of all rounds.
type series []float64

func (s series) median() float64 { return s.quantile(0.5) }

// quantile interpolates between the two nearest figures.
func (s series) quantile(q float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low+1 == len(sorted) {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

func printFigures(w io.Writer, figures []figure) {
	table := [][]string{benchColumns}
	for _, f := range figures {
		table = append(table, f.cells())
	}
	widths := make([]int, len(benchColumns))
	for _, line := range table {
		for i, cell := range line {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	fmt.Fprintln(w)
	for i, line := range table {
		for j, cell := range line {
			fmt.Fprintf(w, "%s%s  ", cell, strings.Repeat(" ", widths[j]-len([]rune(cell))))
		}
		fmt.Fprintln(w)
		if i > 0 {
			fmt.Fprintln(w, "    "+figures[i-1].note)
		}
	}
}

const (
	benchBegin = "<!-- bench -->"
	benchEnd   = "<!-- /bench -->"
)

// writeFigures replaces what stands between the marks of a file. A file without them is left as it is.
func writeFigures(path string, figures []figure, at time.Time, machine, command string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("nothing was written: %w", err)
	}
	before, rest, ok1 := strings.Cut(string(old), benchBegin)
	_, after, ok2 := strings.Cut(rest, benchEnd)
	if !ok1 || !ok2 {
		return fmt.Errorf("nothing was written: %s has no %s with a %s below it", path, benchBegin, benchEnd)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\nMeasured on %s with `%s` (%s).\n\n", before, benchBegin, at.Format("2 January 2006"), command, machine)
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(benchColumns, " | "), strings.Repeat(" --- |", len(benchColumns)))
	for _, f := range figures {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(f.cells(), " | "))
	}
	fmt.Fprintf(&b, "%s%s", benchEnd, after)
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}
