package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/testenv"
)

// besieged is a gateway under a flood, and Ann, who is signed in at it and goes on working.
type besieged struct {
	*gateway
	redis   string
	base    int // MiB that it held before
	stop    chan struct{}
	all     sync.WaitGroup
	asked   atomic.Int64
	slowest atomic.Int64
	wrong   atomic.Value
}

func besiege(t *testing.T, global, caddy string) *besieged {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("memory is read from /proc")
	}
	s := newSite(t)
	s.redis = testenv.LoneRedis(t).URL()
	s.global, s.caddy = "hashing_slots 2\n\t\t"+global, caddy
	b := &besieged{gateway: s.start(t), redis: s.redis, stop: make(chan struct{})}
	ann := b.signedIn(t)
	b.base, _ = memory(t, b.cmd.Process.Pid)
	b.all.Go(func() {
		for {
			select {
			case <-b.stop:
				return
			default:
			}
			began := time.Now()
			req, err := http.NewRequest(http.MethodGet, b.url("/orders"), nil)
			if err != nil {
				b.wrong.CompareAndSwap(nil, err.Error())
				return
			}
			res, err := ann.Do(req)
			if err != nil {
				b.wrong.CompareAndSwap(nil, err.Error())
				continue
			}
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				b.wrong.CompareAndSwap(nil, res.Status)
			}
			b.asked.Add(1)
			b.slowest.Store(max(b.slowest.Load(), int64(time.Since(began))))
		}
	})
	return b
}

// over ends the siege: Ann noticed nothing, the memory stayed within what the slots and so many connections take.
func (b *besieged) over(t *testing.T, room int) {
	t.Helper()
	close(b.stop)
	b.all.Wait()
	_, peak := memory(t, b.cmd.Process.Pid)
	t.Logf("signed in: %d requests, the slowest %s; %d MiB before, %d MiB at most", b.asked.Load(), time.Duration(b.slowest.Load()).Round(time.Millisecond), b.base, peak)
	if wrong := b.wrong.Load(); wrong != nil {
		t.Errorf("somebody signed in was answered %v", wrong)
	}
	if b.asked.Load() < 20 {
		t.Error("somebody signed in was hardly answered")
	}
	if limit := b.base + 2*19 + room; peak > limit {
		t.Errorf("%d MiB at most, more than %d", peak, limit)
	}
}

// hashed is how many passwords were checked so far.
func (b *besieged) hashed(t testing.TB) float64 {
	return b.metric(t, `portalgate_hashed_total\{result="done"\}`)
}

// volley sends so many requests, sixteen at a time, and counts the answers; 0 is a connection that ended.
func (b *besieged) volley(t testing.TB, n int, make func(i int) *http.Request) (answers map[int]int, slowest time.Duration) {
	t.Helper()
	answers = map[int]int{}
	var (
		mu   sync.Mutex
		next atomic.Int64
		all  sync.WaitGroup
	)
	for range 16 {
		all.Go(func() {
			c := client(t)
			c.Jar = nil
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				began, got := time.Now(), 0
				if res, err := c.Do(make(i)); err == nil {
					_, _ = io.Copy(io.Discard, res.Body) // the answer is its status
					res.Body.Close()
					got = res.StatusCode
				} else if !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "broken pipe") {
					t.Error(err)
				}
				mu.Lock()
				answers[got]++
				slowest = max(slowest, time.Since(began))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return answers, slowest
}

func (b *besieged) request(method, path, body string, headers ...string) *http.Request {
	req, err := http.NewRequestWithContext(context.Background(), method, b.url(path), strings.NewReader(body))
	if err != nil {
		panic(err) // an address of ours
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req
}

// DOS-01, DOS-02: what is too much, or makes no sense, is refused quickly, before any password is checked, and leaves
// nothing behind.
func TestNonsenseIsRefusedBeforeItCostsAnything(t *testing.T) {
	b := besiege(t, "", "")
	before := b.hashed(t)
	form := func(fields string) func(int) *http.Request {
		return func(int) *http.Request { return b.request("POST", "/auth/login", fields) }
	}
	cookie := func(value string) func(int) *http.Request {
		return func(int) *http.Request { return b.request("GET", "/orders", "", "Cookie", value) }
	}
	forged := strings.Repeat("Zm9yZ2Vk", 8)
	for _, c := range []struct {
		name  string
		n     int
		make  func(i int) *http.Request
		among []int
	}{
		{"passwords of 1 MiB", 200, form("email=ann%40buyer.example&password=" + strings.Repeat("a", 1<<20)), []int{413, 0}},
		{"passwords of 60,000 characters", 200, form("email=ann%40buyer.example&password=" + strings.Repeat("a", 60_000)), []int{413}},
		{"passwords of 15,000 characters", 200, form("email=ann%40buyer.example&password=" + strings.Repeat("a", 15_000)), []int{422}},
		{"passwords of 1 MiB in JSON", 100, func(int) *http.Request {
			return b.request("POST", "/auth/login", `{"email":"ann@buyer.example","password":"`+strings.Repeat("a", 1<<20)+`"}`, "Content-Type", "application/json")
		}, []int{413, 0}},
		{"a hundred thousand form keys", 200, form(strings.Repeat("a&", 100_000)), []int{413, 0}},
		{"as many form keys as fit", 200, func(int) *http.Request {
			var f strings.Builder
			for i := 0; f.Len() < 16_000; i++ {
				fmt.Fprintf(&f, "k%d&", i)
			}
			return b.request("POST", "/auth/login", f.String())
		}, []int{400}},
		{"five thousand cookies", 200, cookie(strings.TrimSuffix(strings.Repeat("a=b; ", 5000), "; ")), []int{400, 431}},
		{"five thousand cookies at our own pages", 200, func(int) *http.Request {
			return b.request("GET", "/auth/login", "", "Cookie", strings.TrimSuffix(strings.Repeat("a=b; ", 5000), "; "))
		}, []int{400, 431}},
		{"a token of a million dots", 50, cookie("portalgate=" + strings.Repeat(".", 1_000_000)), []int{400, 431, 0}},
		{"a token of ten thousand dots", 1000, cookie("portalgate=" + strings.Repeat(".", 10_000)), []int{401}},
		{"forged tokens, each another", 4000, func(i int) *http.Request {
			return b.request("GET", "/orders", "", "Cookie", fmt.Sprintf("portalgate=eyJhbGciOiJIUzI1NiIsImtpZCI6ImFjY2Vzcy0%d9.e30.c2ln; portalgate-refresh=%s%06d; portalgate-device=%06d", i, forged[6:], i, i))
		}, []int{401}},
		{"forged sign-ins under way", 1000, func(i int) *http.Request {
			return b.request("GET", "/auth/login", "", "Cookie", fmt.Sprintf("portalgate-attempt=%043d", i))
		}, []int{200}},
	} {
		trips := b.metric(t, "portalgate_database_acquires_total")
		answers, slowest := b.volley(t, c.n, c.make)
		t.Logf("%d × %s: %v, slowest %s", c.n, c.name, answers, slowest.Round(time.Millisecond))
		for got := range answers {
			if !slices.Contains(c.among, got) {
				t.Errorf("%s: %d answers %d", c.name, answers[got], got)
			}
		}
		if slowest > 2*time.Second {
			t.Errorf("%s: the slowest answer took %s", c.name, slowest.Round(time.Millisecond))
		}
		// The feed asks now and then, and Ann's last request is noted.
		if more := b.metric(t, "portalgate_database_acquires_total") - trips; more > 20 {
			t.Errorf("%s: the database was asked %v times", c.name, more)
		}
	}
	if more := b.hashed(t) - before; more != 0 {
		t.Errorf("%v passwords were checked", more)
	}
	b.over(t, 120) // the collector lets the heap become five times what lives
}

// DOS-02: a header and a body of ours that do not come to an end are cut off, and so is the body of what is refused.
func TestWhoSendsSlowlyIsCutOffAndHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	b := besiege(t, "", "")
	host := b.site.tenant.Hosts[0] + ":" + b.port
	before := b.hashed(t)
	kinds := map[string]string{
		"a header":                            "GET /orders HTTP/1.1\r\nHost: " + host + "\r\nX-Slow: ",
		"a sign-in":                           "POST /auth/login HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\nemail=ann%40buyer.example&password=",
		"a sign-in in chunks":                 "POST /auth/login HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nemail=ann%40buyer.example&password=",
		"a body to a page that takes none":    "POST /auth/signed-out HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 60000\r\n\r\na",
		"a body without a session":            "POST /orders HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 60000\r\n\r\na",
		"a body to a host that is nobody's":   "POST /orders HTTP/1.1\r\nHost: nobody.localhost\r\nContent-Length: 60000\r\n\r\na",
		"a body from another site":            "POST /orders HTTP/1.1\r\nHost: " + host + "\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 60000\r\n\r\na",
		"a sign-in whose body does not begin": "POST /auth/login HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\n",
	}
	const each = 40
	var all sync.WaitGroup
	for name, text := range kinds {
		for range each {
			all.Go(func() {
				conn, err := net.Dial("tcp", "127.0.0.1:"+b.port)
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				began := time.Now()
				if _, err := io.WriteString(conn, text); err != nil {
					t.Error(err)
					return
				}
				done := make(chan struct{})
				go func() { // a byte a second
					tick := time.NewTicker(time.Second)
					defer tick.Stop()
					for {
						select {
						case <-done:
							return
						case <-tick.C:
							if _, err := io.WriteString(conn, "a"); err != nil {
								return
							}
						}
					}
				}()
				defer close(done)
				if err := conn.SetReadDeadline(began.Add(25 * time.Second)); err != nil {
					t.Error(err)
				}
				said, err := io.ReadAll(conn)
				if ne, ok := err.(net.Error); ok && ne.Timeout() {
					t.Errorf("%s: open after %s, it said %.80q", name, time.Since(began).Round(time.Second), said)
				}
			})
		}
	}
	all.Wait()
	if more := b.hashed(t) - before; more != 0 {
		t.Errorf("%v passwords were checked", more)
	}
	b.over(t, 120) // as above
}

// rows counts what stands in all tables of ours and of the ERP's.
func (s *site) rows(t testing.TB) map[string]int {
	t.Helper()
	var names string
	s.house.DB.Row(t, `select string_agg(schemaname || '.' || tablename, ' ') from pg_tables where schemaname in ('portalgate', 'public')`, nil, &names)
	out := map[string]int{}
	for name := range strings.FieldsSeq(names) {
		var n int
		s.house.DB.Row(t, `select count(*) from `+name, nil, &n)
		out[name] = n
	}
	return out
}

// keyspace is how many keys a Redis holds, and how many of them have an end.
func keyspace(t testing.TB, address string) (keys, ending int) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	network, at := "tcp", u.Host
	if u.Scheme == "unix" {
		network, at = "unix", u.Path
	}
	conn, err := net.Dial(network, at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "INFO keyspace\r\nQUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, os.ErrClosed) {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`db0:keys=(\d+),expires=(\d+)`).FindSubmatch(said)
	if m == nil {
		return 0, 0
	}
	keys, _ = strconv.Atoi(string(m[1])) // digits
	ending, _ = strconv.Atoi(string(m[2]))
	return keys, ending
}

// DOS-04: whoever is nobody leaves no row and no key that stays, whatever they ask and however often.
func TestAnonymousTrafficLeavesNothingThatGrows(t *testing.T) {
	b := besiege(t, "", "servers {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t\ttrusted_proxies_strict\n\t}")
	rows := b.site.rows(t)
	series := b.reckon(t).series
	grew := func(what string, allowed map[string]int) {
		t.Helper()
		for name, n := range b.site.rows(t) {
			if more := n - rows[name]; more > allowed[name] {
				t.Errorf("%s: %s has %d rows more", what, name, more)
			} else if more > 0 {
				t.Logf("%s: %s has %d rows more", what, name, more)
			}
		}
		keys, ending := keyspace(t, b.redis)
		t.Logf("%s: %d keys in Redis, %d of them end", what, keys, ending)
		if keys != ending {
			t.Errorf("%s: %d keys of Redis never end", what, keys-ending)
		}
	}
	paths := []string{"/auth/login?return_to=%%2Forders%%2F%d", "/orders/%d", "/auth/verify-email?x=%d", "/auth/account?%d", "/auth/jwks.json?%d", "/auth/no-such-page-%d", "/assets/%d", "/.well-known/change-password?%d", "/auth/api/session?%d", "/graphql?%d"}
	answers, _ := b.volley(t, 10_000, func(i int) *http.Request {
		return b.request("GET", fmt.Sprintf(paths[i%len(paths)], i), "", "X-Forwarded-For", fmt.Sprintf("198.51.%d.%d", i>>8&255, i&255), "Cookie", fmt.Sprintf("portalgate-device=%043d; portalgate-attempt=%043d", i, i))
	})
	t.Logf("GET: %v", answers)
	grew("10,000 GETs", nil)
	if keys, _ := keyspace(t, b.redis); keys > 20 { // of Ann's own sign-in
		t.Errorf("10,000 GETs: %d keys in Redis", keys)
	}

	answers, _ = b.volley(t, 10_000, func(i int) *http.Request {
		return b.request("POST", "/auth/login", fmt.Sprintf("email=nobody%d%%40buyer.example&password=Spring2026!", i), "X-Forwarded-For", "198.51.100.7")
	})
	t.Logf("POST from one network: %v", answers)
	if answers[http.StatusUnauthorized] != 10 {
		t.Errorf("%d guesses of one network were checked", answers[http.StatusUnauthorized])
	}
	// Ten guesses at ten addresses have a purse each; what was refused is one line of the trail for each minute.
	few := map[string]int{"portalgate.lockouts": 10, "public.customer_activity_log": 5, "portalgate.events": 5}
	grew("10,000 sign-ins from one network", few)
	if keys, _ := keyspace(t, b.redis); keys > 40 {
		t.Errorf("10,000 sign-ins from one network: %d keys in Redis", keys)
	}

	others := []string{"/auth/logout", "/auth/account/password", "/auth/account/sessions", "/auth/account/company", "/auth/verify-email", "/auth/forgot-password", "/auth/register", "/orders", "/graphql"}
	answers, _ = b.volley(t, 5000, func(i int) *http.Request {
		return b.request("POST", others[i%len(others)], fmt.Sprintf("email=nobody%d%%40buyer.example&password=Spring2026!&current_password=x&id=%d", i, i), "X-Forwarded-For", fmt.Sprintf("203.0.%d.%d", i>>8&255, i&255))
	})
	t.Logf("other POSTs: %v", answers)
	few["portalgate.outbox"] = 600 // what a tenant's visitors may ask for in a minute
	grew("5,000 other posts", few)
	if more := b.reckon(t).series - series; more > 30 {
		t.Errorf("there are %d metrics more", more)
	}
	refused := func(rule string) float64 { return b.metric(t, `portalgate_refused_total\{rule="`+rule+`"\}`) }
	if by := refused("failures_network") + refused("failures_network_refusal") + refused("sign_in_network") + refused("sign_in_flood"); by != 9990 || refused("lockout") != 0 {
		t.Errorf("%v are counted as refused by the limits of the network, %v by the lock-out", by, refused("lockout"))
	}
	if n := refused("not_found"); n < 1000 {
		t.Errorf("%v are counted as not found", n)
	}
	became := func(what string) float64 { return b.metric(t, `portalgate_sign_ins_total\{result="`+what+`"\}`) }
	if wrong, rest := became("wrong"), became("limited")+became("busy"); wrong != 10 || rest != 9990 {
		t.Errorf("%v sign-ins are counted as wrong, %v as limited or told to wait", wrong, rest)
	}
	res, err := b.adminClient(t).Get("http://127.0.0.1/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for line := range strings.Lines(readAll(t, res)) {
		for _, who := range []string{b.site.tenant.Slug, string(b.site.tenant.ID), "buyer.example", "198.51", "203.0", "127.0.0"} {
			if strings.HasPrefix(line, "portalgate_") && strings.Contains(line, who) {
				t.Errorf("a metric names somebody: %s", line)
			}
		}
	}
	b.over(t, 160) // the collector lets the heap become five times what lives, and 20,000 refusals are remembered
}
