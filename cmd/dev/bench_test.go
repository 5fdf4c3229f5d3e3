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

func TestTheMomentsOfAnOpenLoopAreTheSameForBothAndAsManyAsAskedFor(t *testing.T) {
	t.Parallel()
	one, other, different := dice(7), dice(7), dice(8)
	sum, same := 0.0, 0
	for range 20_000 {
		a, b, c := one.roll(), other.roll(), different.roll()
		if a != b || a <= 0 || a > 1 {
			t.Fatalf("%v and %v of the same dice", a, b)
		}
		if a == c {
			same++
		}
		sum -= math.Log(a)
	}
	if mean := sum / 20_000; mean < 0.97 || mean > 1.03 {
		t.Errorf("the mean gap is %v of what was asked for", mean)
	}
	if same > 0 {
		t.Errorf("%d of the numbers of other dice are the same", same)
	}
}

func TestAnOpenLoopCountsFromTheMomentAQuestionWasDue(t *testing.T) {
	t.Parallel()
	u, err := startUpstream()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.close)
	l := load{
		callers: callers(2, u.addr()),
		ask:     func(int, int) []byte { return ask("/small/47", "", 1) },
		right: func(caller int, a answer) bool {
			if caller == 0 {
				time.Sleep(20 * time.Millisecond) // whoever comes after waits for it
			}
			return a.status == 200
		},
	}
	defer l.hangUp()
	got, times := l.pace(400, 200*time.Millisecond, 1)
	if got.wrong > 0 || got.lost > 0 || got.answers != len(times) || got.answers < 40 {
		t.Fatalf("%+v, %d times", got, len(times))
	}
	if late := times.quantile(0.9); late < 40_000 {
		t.Errorf("whoever waited in line for others is late by %v µs", late)
	}
}

func TestAQuestionWithoutAnAnswerIsLostWhereThatMayBe(t *testing.T) {
	t.Parallel()
	u, err := startUpstream()
	if err != nil {
		t.Fatal(err)
	}
	l := load{callers: callers(4, u.addr()), ask: func(int, int) []byte { return ask("/small/47", "", 1) }, right: func(_ int, a answer) bool { return a.status == 200 }, fresh: 2, lossy: true}
	defer l.hangUp()
	if got, _ := l.pace(400, 100*time.Millisecond, 1); got.lost > 0 || got.wrong > 0 || got.answers == 0 {
		t.Errorf("while it answers: %+v", got)
	}
	u.close()
	if got, _ := l.pace(400, 100*time.Millisecond, 2); got.lost == 0 || got.wrong > 0 || got.answers > 0 {
		t.Errorf("after it has gone: %+v", got)
	}
}

func TestAStatementIsReadFromTheLogWhole(t *testing.T) {
	t.Parallel()
	log := "2026 LOG:  execute a: select set_config('x', $1)\n2026 LOG:  execute b: select s.id::text,\n\ts.agent\n\tfrom s where s.id = $1\n2026 DETAIL:  parameters: $1 = 'y'\n"
	if got, err := logged(log, "select s.id"); err != nil || got != "select s.id::text,\ns.agent\nfrom s where s.id = $1\n" {
		t.Errorf("read %q, %v", got, err)
	}
	if got, err := logged(log, "select t.id"); err == nil {
		t.Errorf("what is not there was read as %q", got)
	}
}

func TestBenchmarksOfOtherPackagesAreRead(t *testing.T) {
	t.Parallel()
	decisions := "BenchmarkDecisionInProcess/rate-2  100  200 ns/op  0 B/op  0 allocs/op\nBenchmarkDecisionInProcess/stranger_refused-2  100  300 ns/op\nBenchmarkDecisionInProcess/whole_guess  100  5000 ns/op\nPASS\n"
	if s, note, err := readDecisions(decisions); err != nil || len(s) != 1 || s[0] != 300 || !strings.Contains(note, "5000") {
		t.Errorf("read %v, %q, %v", s, note, err)
	}
	held := "BenchmarkHeld/100k-2  1  5 ns/op  11.5 MiB/100k\nBenchmarkHeld/1M-2  1  5 ns/op  17.5 MiB/100k\nPASS\n"
	if s, _, err := readHeld(held); err != nil || len(s) != 1 || s[0] != 17.5 {
		t.Errorf("read %v, %v", s, err)
	}
	for _, bad := range []string{"PASS\n", strings.Replace(decisions, "stranger", "other", 1), strings.Replace(decisions, "ns/op", "ms/op", 1)} {
		if s, _, err := readDecisions(bad); err == nil {
			t.Errorf("%q was read as %v", bad, s)
		}
	}
	if s, _, err := readHeld("BenchmarkHeld/100k  1  5 ns/op  11.5 MiB/100k\n"); err == nil {
		t.Errorf("half of it was read as %v", s)
	}
}
