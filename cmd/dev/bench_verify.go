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

// verification runs the benchmark of package session on the measured core: what is measured cannot be seen from
// outside.
func verification(ctx context.Context, b *bench) (series, string, error) {
	program := filepath.Join(b.dir, "session.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, "./internal/session")
	build.Dir = b.r.root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("building the benchmark: %w\n%s", err, out)
	}
	length := "300ms"
	if b.brief {
		length = "10x"
	}
	var out bytes.Buffer
	cmd := exec.Command(program, "-test.run", "^$", "-test.bench", "^BenchmarkWarm$", "-test.benchmem", "-test.benchtime", length, "-test.count", strconv.Itoa(b.rounds))
	cmd.Dir = filepath.Join(b.r.root, "internal", "session")
	cmd.Stdout, cmd.Stderr = &out, &out
	ended, err := launch(cmd, b.measured)
	if err != nil {
		return nil, "", fmt.Errorf("running the benchmark: %w", err)
	}
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = cmd.Process.Kill() // or it has ended meanwhile
		<-ended
		err = ctx.Err()
	}
	if err != nil {
		return nil, "", fmt.Errorf("running the benchmark: %w\n%s", err, out.Bytes())
	}
	return readBenchmark(out.String())
}

// readBenchmark reads `BenchmarkWarm/verify` and the road around it, `BenchmarkWarm/resume`. An allocation is an error
// of the row, however fast.
func readBenchmark(text string) (s series, note string, err error) {
	whole := series{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || !strings.HasPrefix(words[0], "BenchmarkWarm/") {
			continue
		}
		figures := map[string]float64{}
		for i := 2; i+1 < len(words); i += 2 {
			if figures[words[i+1]], err = strconv.ParseFloat(words[i], 64); err != nil {
				return nil, "", fmt.Errorf("reading a benchmark: %q: %w", line, err)
			}
		}
		ns, ok1 := figures["cpu-ns/op"]
		allocations, ok2 := figures["allocs/op"]
		if !ok1 || !ok2 {
			return nil, "", fmt.Errorf("reading a benchmark: %q", line)
		}
		if allocations != 0 {
			return nil, "", fmt.Errorf("%s allocates %g times", words[0], allocations)
		}
		if strings.HasPrefix(words[0], "BenchmarkWarm/verify") {
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
