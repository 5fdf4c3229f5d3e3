package e2e

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/testenv"
)

// crowd asks for one page over and over, on kept connections and on fresh ones.
type crowd struct {
	right, wrong, lost atomic.Int64
	first              atomic.Value // what was wrong first
}

func (c *crowd) ask(stop <-chan struct{}, all *sync.WaitGroup, address string, cookies []*http.Cookie, kept bool) {
	all.Go(func() {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: !kept, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(addr)
			return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
		}}, Timeout: 10 * time.Second}
		defer client.CloseIdleConnections()
		for {
			select {
			case <-stop:
				return
			default:
			}
			req, err := http.NewRequest(http.MethodGet, address, nil)
			if err != nil {
				c.first.CompareAndSwap(nil, err.Error())
				return
			}
			for _, cookie := range cookies {
				req.AddCookie(cookie)
			}
			res, err := client.Do(req)
			if err != nil {
				c.lost.Add(1)
				continue
			}
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			switch {
			case err != nil:
				c.lost.Add(1)
			case res.StatusCode != http.StatusOK:
				c.wrong.Add(1)
				c.first.CompareAndSwap(nil, res.Status)
			default:
				c.right.Add(1)
			}
		}
	})
}

// reckoning is what a gateway holds of its neighbours and of itself.
type reckoning struct{ goroutines, series, postgres, redis int }

var alike = regexp.MustCompile(`^(\d+) @`)

func (g *gateway) reckon(t testing.TB) (n reckoning) {
	t.Helper()
	read := func(path string) (text string) {
		g.until(t, "answer of the admin endpoint, which each reload replaces", func() bool {
			res, err := g.adminClient(t).Get("http://127.0.0.1" + path)
			if err != nil {
				return false
			}
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			text = string(b)
			return err == nil
		})
		return text
	}
	for _, group := range strings.Split(read("/debug/pprof/goroutine?debug=1"), "\n\n") {
		// Caddy's transports keep connections to the upstream that were in use when their server ended, for two minutes.
		if m := alike.FindStringSubmatch(strings.TrimSpace(group)); m != nil && !strings.Contains(group, "net/http.(*persistConn)") {
			count, _ := strconv.Atoi(m[1])
			n.goroutines += count
		}
	}
	if n.goroutines < 20 {
		t.Fatalf("the profile of goroutines cannot be read: %d", n.goroutines)
	}
	for line := range strings.Lines(read("/metrics")) {
		if !strings.HasPrefix(line, "#") {
			n.series++
		}
	}
	g.site.house.DB.Row(t, `select count(*) from pg_stat_activity where application_name like 'portalgate%' and backend_type = 'client backend' and datname = current_database()`, nil, &n.postgres)
	n.redis = testenv.RedisInfo(t, g.site.redis, "connected_clients")
	return n
}

// established is how many connections were ever made to PostgreSQL and Redis.
func established(t testing.TB, s *site) (pg, rd int) {
	t.Helper()
	s.house.DB.Row(t, `select sessions from pg_stat_database where datname = current_database()`, nil, &pg)
	return pg, testenv.RedisInfo(t, s.redis, "total_connections_received")
}

// A gateway that is given another configuration fifty times while it is busy loses no more requests than a bare proxy in
// the same program, answers none wrongly, keeps its connections to the servers, and leaves nothing behind (P17).
func TestFiftyReloadsUnderLoadLoseNoMoreThanABareProxy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.redis = testenv.Redis(t)
	s.raw.Answer(switching)
	bare := testenv.NewRaw(t)
	port := freePort(t)
	g := s.start(t)
	text := func(i int) string {
		other := *s
		other.global = fmt.Sprintf("assertion_audience by-%d\n\t\tanswer_after %dms", i%2, 20+i%2)
		return other.caddyfile(g.port, filepath.Dir(g.file)) + "\nhttp://:" + port + " {\n\tbind 127.0.0.1\n\treverse_proxy " + bare.Addr() + "\n}\n"
	}
	reload := func(i int) {
		var res *http.Response
		g.until(t, "answer of the admin endpoint", func() (ok bool) {
			var err error
			res, err = g.adminClient(t).Post("http://127.0.0.1/load", "text/caddyfile", strings.NewReader(text(i)))
			return err == nil
		})
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatalf("reload %d: %s: %s", i, res.Status, readAll(t, res))
		}
	}
	ann := g.signedIn(t)
	cookies := ann.Jar.Cookies(address(t, g))
	socket, echo := openSocket(t, ann, g.url("/feed"))
	reload(0)

	stop := make(chan struct{})
	var all sync.WaitGroup
	var gated, plain crowd
	for _, kept := range []bool{true, false, false} {
		gated.ask(stop, &all, g.url("/orders"), cookies, kept)
		plain.ask(stop, &all, "http://127.0.0.1:"+port+"/orders", nil, kept)
	}
	for i := range 5 { // pools and caches are as they will be
		reload(i + 1)
	}
	before := g.reckon(t)
	pg, rd := established(t, s)
	for i := range 50 {
		reload(i)
	}
	pgAfter, rdAfter := established(t, s)
	close(stop)
	all.Wait()
	t.Logf("behind the gate %d right, %d wrong, %d lost; bare %d right, %d wrong, %d lost", gated.right.Load(), gated.wrong.Load(), gated.lost.Load(), plain.right.Load(), plain.wrong.Load(), plain.lost.Load())
	if gated.right.Load() < 200 || plain.right.Load() < 200 {
		t.Error("that was no load")
	}
	if n := gated.wrong.Load(); n > 0 {
		t.Errorf("%d answers are wrong, the first: %v", n, gated.first.Load())
	}
	// Both lose connections that were accepted in the instant in which a server ends; which one hits it is chance. Where
	// the chances are equal the difference strays by the root of the sum; one lost in each reload would be far beyond.
	if lost, other := float64(gated.lost.Load()), float64(plain.lost.Load()); lost-other > 5*math.Sqrt(lost+other) {
		t.Errorf("%.0f are lost, and %.0f of the bare proxy", lost, other)
	}
	// The pool may still grow to its ten; a connection for each reload would be fifty.
	if pgAfter-pg > 10 || rdAfter-rd > 10 {
		t.Errorf("%d new connections to PostgreSQL and %d to Redis", pgAfter-pg, rdAfter-rd)
	}
	var after reckoning
	defer func() { t.Logf("before %+v, after %+v", before, after) }()
	g.until(t, "what was to be let go", func() bool {
		after = g.reckon(t)
		return after.goroutines <= before.goroutines+10 && after.series <= before.series+5 && after.postgres <= before.postgres+10 && after.redis <= before.redis+10
	})
	if _, err := io.WriteString(socket, "still\n"); err != nil {
		t.Errorf("the socket: %v", err)
	} else if line, err := echo.ReadString('\n'); err != nil || line != "still\n" {
		t.Errorf("the socket says %q, %v", line, err)
	}
	g.until(t, "page of Ann's", func() bool {
		res, err := ann.Get(g.url("/orders")) // a kept connection may end with the server it was to
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}
