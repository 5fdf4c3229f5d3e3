package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// memory is what a process holds of the machine's memory now and at most so far, in MiB.
func memory(t testing.TB, pid int) (now, peak int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) int {
		m := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+) kB`).FindSubmatch(b)
		if m == nil {
			t.Fatalf("no %s", name)
		}
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		return n / 1024
	}
	return read("VmRSS"), read("VmHWM")
}

// Five hundred people sign in at once (DOS-01, P13): the memory is that of the slots, whoever does not fit is told so
// quickly and kindly, and somebody who is signed in notices nothing.
func TestFiveHundredSignInsAtOnceStayWithinTheirMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("memory is read from /proc")
	}
	s := newSite(t)
	s.global = "hashing_slots 2\n\t\tlimit_exempt 127.0.0.1"
	g := s.start(t)
	ann := g.signedIn(t)
	base, _ := memory(t, g.cmd.Process.Pid)
	const slots, each = 2, 19 // MiB, the documented parameters
	var (
		wg              sync.WaitGroup
		mu              sync.Mutex
		statuses        = map[int]int{}
		slowest         time.Duration
		words           string
		c               = client(t)
		signedInSlowest time.Duration
	)
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			began := time.Now()
			if got := status(t, ann, g.url("/orders")); got != http.StatusOK {
				t.Errorf("somebody signed in is answered %d", got)
			}
			signedInSlowest = max(signedInSlowest, time.Since(began))
		}
	})
	var crowd sync.WaitGroup
	for i := range 500 {
		crowd.Go(func() {
			began := time.Now()
			res := post(t, c, g.url("/auth/login"), url.Values{"email": {fmt.Sprintf("nobody%d@buyer.example", i)}, "password": {"wrong"}})
			body := readAll(t, res)
			mu.Lock()
			defer mu.Unlock()
			statuses[res.StatusCode]++
			slowest = max(slowest, time.Since(began))
			if res.StatusCode == http.StatusServiceUnavailable {
				words = body
				if res.Header.Get("Retry-After") == "" {
					t.Error("a full house without Retry-After")
				}
			}
		})
	}
	crowd.Wait()
	close(stop)
	wg.Wait()
	_, peak := memory(t, g.cmd.Process.Pid)
	t.Logf("answers %v, slowest %s, signed-in slowest %s, memory %d MiB before, %d MiB at most", statuses, slowest.Round(time.Millisecond), signedInSlowest.Round(time.Millisecond), base, peak)
	if statuses[http.StatusUnauthorized] == 0 || statuses[http.StatusServiceUnavailable] == 0 || statuses[http.StatusUnauthorized]+statuses[http.StatusServiceUnavailable] != 500 {
		t.Errorf("the answers were %v", statuses)
	}
	if !strings.Contains(words, "Many people are signing in") {
		t.Errorf("a full house says %q", words)
	}
	if limit := base + slots*each + 60; peak > limit { // 60 MiB: 500 connections, their requests and the collector's slack
		t.Errorf("%d MiB at most, more than %d + %d × %d + 60", peak, base, slots, each)
	}
}
