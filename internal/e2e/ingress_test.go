package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/testenv"
)

// ingress is a gateway that runs the operators' example for a place behind a balancer that ends TLS. The balancer comes
// from 127.0.0.2.
type ingress struct {
	*gateway
	host    string // of the tenant, as a browser writes it
	observe string
}

// behindIngress starts the example with addresses of this machine and the times given.
func behindIngress(t *testing.T, upstream http.Handler, delay, grace string) *ingress {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("127.0.0.2 is an address of this machine on Linux only")
	}
	s := newSite(t)
	erp := httptest.NewServer(upstream)
	t.Cleanup(func() {
		erp.CloseClientConnections()
		erp.Close()
	})
	s.upstream = erp.Listener.Addr().String()
	x := &ingress{host: s.tenant.Slug + ".portal.example", observe: "127.0.0.1:" + freePort(t)}
	s.operate(t, "", "tenant", "host", "add", s.tenant.Slug, x.host)
	dir, err := os.MkdirTemp("/tmp", "portalgate-gw-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	text, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs/examples/behind-ingress.Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{site: s, port: freePort(t), file: filepath.Join(dir, "Caddyfile")}
	config := string(text)
	for from, to := range map[string]string{
		"unix//run/portalgate/admin.sock": "unix/" + filepath.Join(dir, "admin.sock"), "shutdown_delay 10s": "shutdown_delay " + delay, "grace_period 30s": "grace_period " + grace,
		"10.20.0.0/16": "127.0.0.2/32", "observe :9180": "observe " + x.observe, "http://:8080": "http://:" + g.port,
	} {
		if strings.Count(config, from+"\n") != 1 && strings.Count(config, from+" ") != 1 {
			t.Fatalf("the example has no %q", from)
		}
		config = strings.ReplaceAll(config, from, to)
	}
	if err := os.WriteFile(g.file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.redis = testenv.Redis(t)
	g.process = run(t, []string{"PORTALGATE_DATABASE_URL=" + s.database, "PORTALGATE_KEYRING=" + s.keyring, "PORTALGATE_REDIS_URL=" + s.redis, "PORTALGATE_UPSTREAM=" + s.upstream}, "run", "--config", g.file)
	x.gateway = g
	g.until(t, "a gateway that is ready", func() bool { code, _ := x.probe("/ready"); return code == http.StatusOK })
	return x
}

// probe asks the observe listener by its plain address, as an orchestrator does.
func (x *ingress) probe(path string) (status int, body map[string]any) {
	c := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Get("http://" + x.observe + path)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	if json.NewDecoder(res.Body).Decode(&body) != nil {
		body = nil // not JSON, as the metrics are not
	}
	return res.StatusCode, body
}

// from is a browser behind a balancer at an address, which passes the host on and says what it likes of the rest.
func (x *ingress) from(t testing.TB, source string, headers ...string) *http.Client {
	t.Helper()
	c := client(t)
	tr := c.Transport.(*http.Transport)
	tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}).DialContext(ctx, network, "127.0.0.1:"+x.port)
	}
	jar := c.Jar
	c.Jar = nil
	c.Transport = balancer{tr, jar, headers}
	return c
}

// balancer is what stands between a browser that speaks https and the gateway: the browser's side of cookies is https.
type balancer struct {
	to      http.RoundTripper
	jar     http.CookieJar
	headers []string
}

func (b balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for i := 0; i < len(b.headers); i += 2 {
		r.Header.Add(b.headers[i], b.headers[i+1])
	}
	browser := *r.URL
	browser.Scheme = "https"
	for _, k := range b.jar.Cookies(&browser) {
		r.AddCookie(k)
	}
	if r.Method == http.MethodPost {
		r.Header.Set("Origin", "https://"+r.Host)
	}
	res, err := b.to.RoundTrip(r)
	if err == nil {
		b.jar.SetCookies(&browser, res.Cookies())
	}
	return res, err
}

func (x *ingress) at(path string) string { return "http://" + x.host + path }

// Where it will run: TLS ends at an ingress, which is believed, and nobody else is.
func TestBehindAnIngressThatEndsTLSEverythingIsAsOverHTTPS(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 100)
	x := behindIngress(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Clone()
		fmt.Fprint(w, "orders")
	}), "1s", "2s")
	ann := x.from(t, "127.0.0.2", "X-Forwarded-Proto", "https", "X-Forwarded-For", "198.51.100.7")

	req, err := http.NewRequest(http.MethodGet, x.at("/orders?open=1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	res, err := ann.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	onward, err := url.Parse("https://" + x.host + "/orders")
	if err != nil {
		t.Fatal(err)
	}
	to, err := onward.Parse(res.Header.Get("Location"))
	if res.StatusCode != http.StatusSeeOther || err != nil || to.Scheme != "https" || to.Host != x.host || to.Path != "/auth/login" || to.Query().Get("return_to") != "/orders?open=1" {
		t.Errorf("without a session: %s to %v, %v", res.Status, to, err)
	}
	if res.Header.Get("Strict-Transport-Security") == "" {
		t.Error("an answer of ours has no Strict-Transport-Security")
	}
	res = post(t, ann, x.at("/auth/login"), url.Values{"email": {"ann@buyer.example"}, "password": {testenv.Password}, "return_to": {"/orders"}})
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/orders" || len(res.Header["Set-Cookie"]) < 3 {
		t.Fatalf("signing in: %s, %v", res.Status, res.Header)
	}
	for _, line := range res.Header["Set-Cookie"] {
		if !strings.HasPrefix(line, "__Host-portalgate") || !strings.Contains(line, "; Secure") || !strings.Contains(line, "; HttpOnly") || strings.Contains(line, "Domain") {
			t.Errorf("set: %s", line)
		}
	}
	if got := status(t, ann, x.at("/orders")); got != http.StatusOK {
		t.Fatalf("signed in: %d", got)
	}
	h := <-seen
	if h.Get("X-Forwarded-Proto") != "https" || h.Get("X-Forwarded-For") != "198.51.100.7, 127.0.0.2" || h.Get("X-Portal-User-Email") != "ann@buyer.example" {
		t.Errorf("the upstream is told %v", h)
	}
	var stored string
	x.site.house.DB.Row(t, `select host(address) from portalgate.sessions where ended_at is null`, nil, &stored)
	if stored != "198.51.100.7" {
		t.Errorf("the session is of %s", stored)
	}

	// Somebody who reaches the gateway past the ingress says the same and is not believed, with Ann's cookies or without.
	cookies := ann.Transport.(balancer).jar
	for _, c := range []struct {
		source  string
		headers []string
	}{
		{"127.0.0.1", []string{"X-Forwarded-Proto", "https", "X-Forwarded-For", "127.0.0.2"}},
		{"127.0.0.3", []string{"X-Forwarded-Proto", "https"}},
		{"127.0.0.1", []string{"Forwarded", "proto=https", "X-Forwarded-Ssl", "on", "Front-End-Https", "on"}},
		{"127.0.0.2", nil},
		{"127.0.0.2", []string{"X-Forwarded-Proto", "http"}},
	} {
		stranger := x.from(t, c.source, c.headers...)
		b := stranger.Transport.(balancer)
		b.jar = cookies
		stranger.Transport = b
		for _, path := range []string{"/orders", "/assets/a", "/auth/login", "/graphql"} {
			res := get(t, stranger, x.at(path))
			if res.StatusCode != http.StatusMisdirectedRequest || len(res.Header["Set-Cookie"]) > 0 {
				t.Errorf("from %s with %v: %s is answered %s", c.source, c.headers, path, res.Status)
			}
		}
	}
	if n := len(seen); n > 0 {
		t.Errorf("%d of them reached the upstream", n)
	}
	if got := status(t, ann, x.at("/orders")); got != http.StatusOK {
		t.Errorf("afterwards Ann is answered %d", got)
	}

	// A probe knows no host and no cookie.
	for path, want := range map[string]int{"/health": 200, "/ready": 200, "/metrics": 200, "/version": 200, "/": 404, "/config/": 404, "/portalgate/limits": 404, "/debug/pprof/": 404} {
		if got, _ := x.probe(path); got != want {
			t.Errorf("observe answers %s with %d", path, got)
		}
	}
	_, said := x.probe("/ready")
	var names []string
	if list, ok := said["neighbours"].([]any); ok {
		for _, n := range list {
			names = append(names, fmt.Sprint(n.(map[string]any)["name"]))
		}
	}
	if slices.Sort(names); !slices.Equal(names, []string{"postgresql", "redis"}) {
		t.Errorf("/ready says %v", said)
	}
}

// SIGTERM: a balancer is told first, requests under way finish, open streams end within the grace period, and the
// program ends well.
func TestToldToEndAGatewayIsNotReadyFirstAndFinishesWhatItHasBegun(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan struct{}, 1), make(chan struct{})
	x := behindIngress(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			begun <- struct{}{}
			select {
			case <-finish:
			case <-r.Context().Done(): // a failed test ends as well
			}
			fmt.Fprint(w, "the whole report")
		case "/feed":
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: hello\n\n")
			_ = http.NewResponseController(w).Flush() // the test sees that it has arrived
			<-r.Context().Done()
		}
	}), "2s", "3s")
	ann := x.from(t, "127.0.0.2", "X-Forwarded-Proto", "https", "X-Forwarded-For", "198.51.100.7")
	if res := post(t, ann, x.at("/auth/login"), url.Values{"email": {"ann@buyer.example"}, "password": {testenv.Password}}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("signing in: %s", res.Status)
	}
	feed := get(t, ann, x.at("/feed"))
	if _, err := io.ReadFull(feed.Body, make([]byte, len("data: hello\n\n"))); err != nil {
		t.Fatal(err)
	}
	report := make(chan string, 1)
	go func() {
		res, err := ann.Get(x.at("/slow"))
		if err != nil {
			report <- err.Error()
			return
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		report <- fmt.Sprint(res.StatusCode, " ", string(b), " ", err)
	}()
	<-begun
	told := time.Now()
	if err := x.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var said map[string]any
	x.until(t, "a probe that is told so", func() bool {
		var code int
		code, said = x.probe("/ready")
		return code == http.StatusServiceUnavailable
	})
	if took := time.Since(told); said["draining"] != true || said["ready"] != false || took > 1500*time.Millisecond {
		t.Errorf("/ready says %v after %s", said, took.Round(time.Millisecond))
	}
	if code, _ := x.probe("/health"); code != http.StatusOK {
		t.Errorf("/health says %d while it drains", code)
	}
	if got := status(t, ann, x.at("/auth/account")); got != http.StatusOK {
		t.Errorf("until the balancer has noticed, a request is answered %d", got)
	}
	x.until(t, "a closed door", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+x.port)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if took := time.Since(told); took < 1900*time.Millisecond {
		t.Errorf("the door was closed after %s", took.Round(time.Millisecond))
	}
	close(finish)
	if got := <-report; got != "200 the whole report <nil>" {
		t.Errorf("the request under way: %s", got)
	}
	if b, err := io.ReadAll(feed.Body); err == nil && len(b) > 0 {
		t.Errorf("the stream said %q", b)
	}
	if took := time.Since(told); took > 8*time.Second {
		t.Errorf("the stream ended after %s", took.Round(time.Millisecond))
	}
	select {
	case <-x.done:
	case <-time.After(10 * time.Second):
		t.Fatalf("it goes on:\n%s", x.said())
	}
	if code := x.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// SIGINT once is the same; whoever is impatient sends it again.
func TestASecondInterruptEndsAGatewayAtOnce(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 1)
	x := behindIngress(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-r.Context().Done()
	}), "1s", "5m")
	ann := x.from(t, "127.0.0.2", "X-Forwarded-Proto", "https", "X-Forwarded-For", "198.51.100.7")
	if res := post(t, ann, x.at("/auth/login"), url.Values{"email": {"ann@buyer.example"}, "password": {testenv.Password}}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("signing in: %s", res.Status)
	}
	go func() {
		if res, err := ann.Get(x.at("/slow")); err == nil {
			res.Body.Close()
		}
	}()
	<-begun
	interrupt := func() {
		if err := x.cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	interrupt()
	x.until(t, "a closed door", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+x.port)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	select {
	case <-x.done:
		t.Fatal("the first interrupt cut a request off")
	default:
	}
	interrupt()
	select {
	case <-x.done:
	case <-time.After(5 * time.Second):
		t.Fatalf("it goes on:\n%s", x.said())
	}
	if code := x.cmd.ProcessState.ExitCode(); code == 0 {
		t.Error("whoever forces an end is told that all is well")
	}
}
