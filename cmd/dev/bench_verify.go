package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// verification runs the benchmark of package session: what is measured cannot be seen from outside.
func verification(ctx context.Context, b *bench) (series, string, error) {
	text, err := b.benchmark(ctx, "session", "BenchmarkWarm")
	if err != nil {
		return nil, "", err
	}
	return readBenchmark(text)
}

// benchmark runs a benchmark of a package on the measured core, once for each round.
func (b *bench) benchmark(ctx context.Context, pkg, name string) (string, error) {
	program := filepath.Join(b.dir, pkg+".test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, "./internal/"+pkg)
	build.Dir = b.r.root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the benchmark: %w\n%s", err, out)
	}
	length := "300ms"
	if b.brief {
		length = "10x"
	}
	var out bytes.Buffer
	cmd := exec.Command(program, "-test.run", "^$", "-test.bench", "^"+name+"$", "-test.benchmem", "-test.benchtime", length, "-test.count", strconv.Itoa(b.rounds))
	cmd.Dir = filepath.Join(b.r.root, "internal", pkg)
	cmd.Stdout, cmd.Stderr = &out, &out
	ended, err := launch(cmd, b.measured)
	if err != nil {
		return "", fmt.Errorf("running the benchmark: %w", err)
	}
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = cmd.Process.Kill() // or it has ended meanwhile
		<-ended
		err = ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("running the benchmark: %w\n%s", err, out.Bytes())
	}
	return out.String(), nil
}

// benchmarked are the figures of one run of one benchmark, by unit.
type benchmarked struct {
	name    string // without what comes before the slash, and without the number of processors
	figures map[string]float64
}

func readBenchmarks(text, name string) (all []benchmarked, err error) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || !strings.HasPrefix(words[0], name+"/") {
			continue
		}
		one := benchmarked{figures: map[string]float64{}}
		one.name, _, _ = strings.Cut(strings.TrimPrefix(words[0], name+"/"), "-")
		for i := 2; i+1 < len(words); i += 2 {
			if one.figures[words[i+1]], err = strconv.ParseFloat(words[i], 64); err != nil {
				return nil, fmt.Errorf("reading a benchmark: %q: %w", line, err)
			}
		}
		all = append(all, one)
	}
	return all, nil
}

// readBenchmark reads `BenchmarkWarm/verify` and the road around it, `BenchmarkWarm/resume`. An allocation is an error
// of the row, however fast.
func readBenchmark(text string) (s series, note string, err error) {
	whole := series{}
	all, err := readBenchmarks(text, "BenchmarkWarm")
	if err != nil {
		return nil, "", err
	}
	for _, one := range all {
		ns, ok1 := one.figures["cpu-ns/op"]
		allocations, ok2 := one.figures["allocs/op"]
		if !ok1 || !ok2 {
			return nil, "", fmt.Errorf("reading a benchmark: %s says %v", one.name, one.figures)
		}
		if allocations != 0 {
			return nil, "", fmt.Errorf("%s allocates %g times", one.name, allocations)
		}
		if one.name == "verify" {
			s = append(s, ns)
		} else {
			whole = append(whole, ns)
		}
	}
	if len(s) == 0 || len(whole) == 0 {
		return nil, "", fmt.Errorf("the benchmark said nothing that can be read:\n%s", text)
	}
	return s, fmt.Sprintf("with the session's facts and what has been revoked %.0f ns", whole.median()), nil
}
