package main

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestQuartilesLieBetweenTheFigures(t *testing.T) {
	t.Parallel()
	s := series{5, 1, 4, 2, 3}
	for q, want := range map[float64]float64{0: 1, 0.25: 2, 0.5: 3, 0.75: 4, 1: 5, 0.875: 4.5} {
		if got := s.quantile(q); got != want {
			t.Errorf("quantile %v of %v is %v, not %v", q, s, got, want)
		}
	}
	if got := (series{}).median(); !math.IsNaN(got) {
		t.Errorf("nothing has the median %v", got)
	}
}

func TestAFigureIsHeldAgainstItsTarget(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		row     benchRow
		s       series
		verdict string
	}{
		{benchRow{bound: 0.93, atLeast: true, judged: true, form: "%.2f"}, series{0.93}, "meets"},
		{benchRow{bound: 0.93, atLeast: true, judged: true, form: "%.2f"}, series{0.92}, "MISSES"},
		{benchRow{bound: 1.10, judged: true, form: "%.2f"}, series{1.2, 1.0, 1.1}, "meets"},
		{benchRow{bound: 1.10, judged: true, form: "%.2f"}, series{1.2, 1.0, 1.11}, "MISSES"},
		{benchRow{bound: 0.93, atLeast: true, form: "%.2f"}, series{0.5}, "misses (no target yet)"},
		{benchRow{bound: 1, judged: true, form: "%.2f"}, series{math.NaN()}, "MISSES"},
		{benchRow{bound: 1, judged: true, at: 1, form: "%.2f"}, series{0, 0, 2}, "MISSES"},
		{benchRow{bound: 1, judged: true, at: 0.5, form: "%.2f"}, series{0, 0, 2}, "meets"},
	} {
		cells := figure{benchRow: c.row, series: c.s}.cells()
		if got := cells[len(cells)-1]; got != c.verdict {
			t.Errorf("%v against %v %s, and not: %s", c.s, c.row.bound, got, c.verdict)
		}
	}
}

func TestTheTableIsWrittenBetweenItsMarksOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "README.md")
	figures := []figure{{benchRow{name: "P1", what: "throughput", bound: 0.93, aim: 0.97, atLeast: true, judged: true, form: "%.2f"}, series{0.94, 0.96, 0.98}, ""}}
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	write := func() error { return writeFigures(path, figures, at, "a machine", "go run ./cmd/dev bench") }

	if err := write(); err == nil {
		t.Error("a table was written although there is no file")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file was made")
	}
	for _, unfit := range []string{"# Title\n", "# Title\n" + benchBegin, benchEnd + "\n" + benchBegin} {
		if err := os.WriteFile(path, []byte(unfit), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := write(); err == nil || !strings.Contains(err.Error(), benchBegin) {
			t.Errorf("without its marks the error is %v", err)
		}
		if b, _ := os.ReadFile(path); string(b) != unfit {
			t.Errorf("%q became %q", unfit, b)
		}
	}
	if err := os.WriteFile(path, []byte("before\n"+benchBegin+"\nold\n"+benchEnd+"\nafter\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second time changes nothing
		if err := write(); err != nil {
			t.Fatal(err)
		}
		want := "before\n" + benchBegin + `
Measured on 24 November 2026 with ` + "`go run ./cmd/dev bench`" + ` (a machine).

| row | what | target | aim | figure | quartiles | verdict |
| --- | --- | --- | --- | --- | --- | --- |
| P1 | throughput | ≥ 0.93 | 0.97 | 0.96 | 0.95 to 0.97 | meets |
` + benchEnd + "\nafter\n"
		if b, _ := os.ReadFile(path); string(b) != want {
			t.Errorf("the file is\n%s\nand should be\n%s", b, want)
		}
	}
}

func TestABenchmarkThatAllocatesIsNoFigure(t *testing.T) {
	t.Parallel()
	good := "BenchmarkWarm/verify-2  100  900 ns/op  410.5 cpu-ns/op  0 B/op  0 allocs/op\nBenchmarkWarm/resume  100  900 ns/op  510 cpu-ns/op  0 B/op  0 allocs/op\nPASS\n"
	s, note, err := readBenchmark(good)
	if err != nil || len(s) != 1 || s[0] != 410.5 || !strings.Contains(note, "510") {
		t.Errorf("read %v, %q, %v", s, note, err)
	}
	for _, bad := range []string{
		strings.Replace(good, "0 allocs/op", "1 allocs/op", 1),
		strings.Replace(good, "cpu-ns/op", "ms/op", 1),
		strings.Replace(good, "410.5", "fast", 1),
		"PASS\n",
	} {
		if s, _, err := readBenchmark(bad); err == nil {
			t.Errorf("%q was read as %v", bad, s)
		}
	}
}

func TestTheUpstreamOfABenchKnowsWhomItIsToldOf(t *testing.T) {
	t.Parallel()
	u := &benchUpstream{}
	for _, c := range []struct {
		header                string
		named, unnamed, wrong int
	}{
		{"GET / HTTP/1.1\r\nHost: a\r\nX-Portal-User-Id: 47\r\n", 1, 0, 0},
		{"GET / HTTP/1.1\r\nHost: a\r\n", 0, 1, 0},
		{"GET / HTTP/1.1\r\nX-Portal-User-Id: 48\r\n", 0, 0, 1},
		{"GET / HTTP/1.1\r\nX-Portal-User-Id: 47\r\nX-Portal-User-Id: 47\r\n", 0, 0, 1},
	} {
		u.judge([]byte(c.header), []byte("47"))
		if n, un, w := u.counts(); n != c.named || un != c.unnamed || w != c.wrong {
			t.Errorf("%q counted as %d, %d, %d", c.header, n, un, w)
		}
	}
}

func TestTheLoadReadsAnswersAndCountsWrongOnes(t *testing.T) {
	t.Parallel()
	u, err := startUpstream()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.close)
	l := load{
		callers: callers(4, u.addr()),
		ask: func(caller, n int) []byte {
			if caller == 3 {
				return ask("/large/47", "", 1)
			}
			return ask("/small/47", "", 1)
		},
		right: func(_ int, a answer) bool { return a.status == 200 && len(a.body) == len(u.small) },
	}
	got := l.run(0, 50*time.Millisecond)
	for _, c := range l.callers {
		c.close()
	}
	_, unnamed, wrong := u.counts()
	if got.answers == 0 || got.wrong == 0 || wrong != 0 {
		t.Fatalf("%d right, %d wrong; the upstream could not read %d", got.answers, got.wrong, wrong)
	}
	if unnamed != got.answers+got.wrong {
		t.Errorf("%d asked and %d answered", unnamed, got.answers+got.wrong)
	}
}

func FuzzAnswerHead(f *testing.F) {
	for _, s := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\n\n", "HTTP/1.1 \r\n\r\n\r\nContent-Length: 1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if status, length, err := head(b); err == nil && (status < 100 || length < 0) {
			t.Errorf("%q has status %d and length %d", b, status, length)
		}
	})
}

func parseRate(t *testing.T, line string) float64 {
	t.Helper()
	rate, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
	if err != nil {
		t.Fatal(err)
	}
	return rate
}
