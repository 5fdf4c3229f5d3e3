package e2e

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/testenv"
)

// openSocket opens a WebSocket as a browser does, with somebody's cookies.
func openSocket(t testing.TB, who *http.Client, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	var cookies []string
	for _, c := range who.Jar.Cookies(u) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	c, err := net.Dial("tcp", "127.0.0.1:"+u.Port())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, "GET "+u.Path+" HTTP/1.1\r\nHost: "+u.Host+"\r\nOrigin: http://"+u.Host+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nCookie: "+strings.Join(cookies, "; ")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the socket at %s: %v, %v", address, res, err)
	}
	return c, r
}

// settled is a gateway that has served for a while: Ann is signed in and has a socket open, and this network has
// guessed too often.
type settled struct {
	*gateway
	ann    *http.Client
	socket net.Conn
	echo   *bufio.Reader
}

func settle(t testing.TB) *settled {
	t.Helper()
	s := newSite(t)
	s.raw.Answer(switching)
	s.global = "assertion_audience first"
	g := &settled{gateway: s.start(t)}
	g.ann = g.signedIn(t)
	g.socket, g.echo = openSocket(t, g.ann, g.url("/feed"))
	for i := range 10 {
		if res := g.try(t, client(t), fmt.Sprintf("nobody%d@buyer.example", i), "Spring2026!"); res.StatusCode != http.StatusUnauthorized {
			t.Fatalf("guess %d: %s", i, res.Status)
		}
	}
	return g
}

// intact fails when anything was lost, or when another configuration than the expected one is in force.
func (g *settled) intact(t testing.TB, audience string) {
	t.Helper()
	res := get(t, g.ann, g.url("/orders"))
	if res.StatusCode != http.StatusOK || len(res.Cookies()) > 0 {
		t.Errorf("Ann's session: %s, with cookies %v", res.Status, res.Cookies())
	}
	if got := g.audience(t); got != audience {
		t.Errorf("the configuration with the audience %q is in force, not %q", got, audience)
	}
	if res := g.try(t, client(t), "bob@buyer.example", testenv.Password); res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the limit is forgotten: %s", res.Status)
	}
	if err := g.socket.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(g.socket, "still\n"); err != nil {
		t.Errorf("the socket: %v", err)
	} else if line, err := g.echo.ReadString('\n'); err != nil || line != "still\n" {
		t.Errorf("the socket says %q, %v", line, err)
	}
}

// audience is what the upstream reads in the assertion of a request of Ann's.
func (g *settled) audience(t testing.TB) string {
	t.Helper()
	g.site.raw.Forget()
	get(t, g.ann, g.url("/orders"))
	told := testenv.Heads(g.site.raw.Await(t, 0), "X-Portal-Assertion")
	if len(told) != 1 {
		t.Fatalf("the upstream was told %q", told)
	}
	var claims struct{ Aud string }
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(told[0], ".")[1])
	if err == nil {
		err = json.Unmarshal(b, &claims)
	}
	if err != nil {
		t.Fatalf("%q: %v", told[0], err)
	}
	return claims.Aud
}

// ways in which an operator gives a running gateway another configuration. Each says what was answered, and whether that
// was yes.
var ways = []struct {
	name string
	give func(t testing.TB, g *settled, text string) (said string, ok bool)
}{
	{"SIGUSR1", func(t testing.TB, g *settled, text string) (string, bool) {
		g.put(t, text)
		before := len(g.said())
		if err := g.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		g.until(t, "answer to SIGUSR1", func() bool {
			after := g.said()[before:]
			return strings.Contains(after, "successfully reloaded config") || strings.Contains(after, "failed to reload config")
		})
		after := g.said()[before:]
		return after, strings.Contains(after, "successfully reloaded config")
	}},
	{"portalgate reload", func(t testing.TB, g *settled, text string) (string, bool) {
		g.put(t, text)
		out, err := command(t, g.site.environment(), "", "reload", "--config", g.file, "--address", g.admin())
		return out, err == nil
	}},
	{"POST /load", func(t testing.TB, g *settled, text string) (string, bool) {
		res, err := g.adminClient(t).Post("http://127.0.0.1/load", "text/caddyfile", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return readAll(t, res), res.StatusCode == http.StatusOK
	}},
}

func (g *settled) put(t testing.TB, text string) {
	t.Helper()
	if err := os.WriteFile(g.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// text is the gateway's Caddyfile with other lines in the global option.
func (g *settled) text(global string) string {
	s := *g.site
	s.global = global
	return s.caddyfile(g.port, filepath.Dir(g.file))
}

// Limits in process, which a new configuration could forget; and everybody's connections.
func TestAChangedOptionIsInForceAndNobodyIsSignedOut(t *testing.T) {
	t.Parallel()
	g := settle(t)
	g.intact(t, "first")
	for i, way := range ways {
		if said, ok := way.give(t, g, g.text(fmt.Sprintf("assertion_audience by-%d\n\t\tsessions_per_user %d\n\t\thashing_slots 2", i, 4+i))); !ok {
			t.Fatalf("%s: %s", way.name, said)
		}
		g.intact(t, fmt.Sprint("by-", i))
	}
	g.ends(t)
}

// A configuration that cannot be served from is refused with its reason, and the one before goes on as if nothing had
// happened.
func TestABadConfigurationIsRefusedAndTheOneBeforeGoesOn(t *testing.T) {
	t.Parallel()
	g := settle(t)
	g.intact(t, "first")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	changed := g.text("assertion_audience bad")
	for _, bad := range []struct{ name, text, says string }{
		{"a misspelt option", g.text("answer_afer 1s"), `did you mean "answer_after"`},
		{"a value out of its bounds", g.text("assertion_audience bad\n\t\thashing_slots 1000"), "hashing_slots: 1000 is not between 1 and 256"},
		{"a role that could cross tenants", strings.Replace(changed, "{env.PORTALGATE_DATABASE_URL}", g.site.house.DB.RootURL, 1), "is a superuser and would see every tenant"},
		{"a database that does not answer", strings.Replace(changed, "{env.PORTALGATE_DATABASE_URL}", "postgres://app@127.0.0.1:1/portalgate", 1), "does not answer, while that of the configuration that runs does"},
		{"somebody else's keyring", strings.Replace(changed, "{env.PORTALGATE_KEYRING}", otherKeys(t, nil), 1), "this database was written with it"},
		{"a port that is taken", changed + "\nhttp://:" + fmt.Sprint(taken.Addr().(*net.TCPAddr).Port) + " {\n\tbind 127.0.0.1\n\trespond ok\n}\n", "address already in use"},
	} {
		for _, way := range ways {
			said, ok := way.give(t, g, bad.text)
			if ok || !strings.Contains(strings.ReplaceAll(said, `\"`, `"`), bad.says) {
				t.Errorf("%s by %s: %t, %s", bad.name, way.name, ok, said)
			}
			// Of these, Caddy alone finds the port taken, when the refused configuration may have a socket at ours.
			g.until(t, "end of the refused configuration's socket", func() bool { return listeners(t, g.port) == 1 })
			g.intact(t, "first")
		}
	}
	g.ends(t)
}

// In an outage a configuration is as good as the one before it, which cannot be served either.
func TestAReloadInAnOutageOfTheDatabaseIsTaken(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	proxy, address := testenv.ProxyPostgres(t, s.database)
	s.database, s.global = address, "assertion_audience first"
	s.raw.Answer(switching)
	g := &settled{gateway: s.start(t)}
	g.ann = g.signedIn(t)
	g.audience(t)
	proxy.Cut()
	for i, text := range []string{g.text("assertion_audience second"), strings.Replace(g.text("assertion_audience third"), "{env.PORTALGATE_DATABASE_URL}", "postgres://app@127.0.0.1:1/portalgate", 1)} {
		if said, ok := ways[1].give(t, g, text); !ok {
			t.Errorf("reload %d: %s", i, said)
		}
	}
	// The last of them is shut and says so, and nothing that contradicts it.
	after := g.said()
	if i := strings.LastIndex(after, "the gate stays shut until it does"); i < 0 || strings.Contains(after[i:], "signed-in people go on") {
		t.Errorf("said %s", after)
	}
}

// listeners is how many sockets of this machine accept connections at a port of 127.0.0.1.
func listeners(t testing.TB, port string) (n int) {
	t.Helper()
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 3 && f[1] == fmt.Sprintf("0100007F:%04X", number) && f[3] == "0A" {
			n++
		}
	}
	return n
}

// A configuration that is refused because of what the database says has opened no socket: a stream of fresh connections
// loses none, and none is answered by it.
func TestAConfigurationThatTheDatabaseRefusesMeetsNobody(t *testing.T) {
	t.Parallel()
	g := settle(t)
	bad := strings.Replace(g.text("assertion_audience bad"), "{env.PORTALGATE_DATABASE_URL}", g.site.house.DB.RootURL, 1)
	stop := make(chan struct{})
	var all sync.WaitGroup
	var asked crowd
	cookies := g.ann.Jar.Cookies(address(t, g.gateway))
	for range 3 {
		asked.ask(stop, &all, g.url("/orders"), cookies, false)
	}
	for range 10 {
		if said, ok := ways[2].give(t, g, bad); ok || !strings.Contains(said, "is a superuser and would see every tenant") {
			t.Errorf("%t, %s", ok, said)
		}
	}
	close(stop)
	all.Wait()
	if asked.right.Load() < 50 {
		t.Errorf("%d answers: that was no load", asked.right.Load())
	}
	if lost, wrong := asked.lost.Load(), asked.wrong.Load(); lost > 0 || wrong > 0 {
		t.Errorf("%d are lost, and %d wrong, the first: %v", lost, wrong, asked.first.Load())
	}
}

// ends fails when an operator's word does not reach the gateway any more, or its ending not Ann's socket.
func (g *settled) ends(t testing.TB) {
	t.Helper()
	g.site.operate(t, "", "user", "revoke-sessions", "--tenant", g.site.tenant.Slug, "--email", "ann@buyer.example")
	g.until(t, "the end of Ann's session", func() bool { return status(t, g.ann, g.url("/orders")) == http.StatusUnauthorized })
	if err := g.socket.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if line, err := g.echo.ReadString('\n'); err == nil {
		t.Errorf("the socket outlives its session: %q", line)
	} else if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Error("the socket outlives its session")
	}
}
