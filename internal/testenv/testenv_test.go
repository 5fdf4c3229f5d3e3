package testenv

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5"
)

func who(t *testing.T, address string) (role string, super, bypass bool) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if err := c.QueryRow(t.Context(), `select rolname, rolsuper, rolbypassrls from pg_roles where rolname = current_user`).Scan(&role, &super, &bypass); err != nil {
		t.Fatal(err)
	}
	return role, super, bypass
}

func TestTheDatabaseIsReachedAsEachRole(t *testing.T) {
	db := Database(t)
	for name, address := range map[string]string{"owner": db.OwnerURL, "app": db.AppURL, "operator": db.OperatorURL} {
		if role, super, bypass := who(t, address); role != name || super || bypass {
			t.Errorf("%s: connected as %s, superuser %v, bypasses policies %v", name, role, super, bypass)
		}
	}
	if again := Database(t); again.Name != db.Name {
		t.Error("a package has two databases")
	}
}

func TestAFreshDatabaseIsMigratedAndGoneAfterItsTest(t *testing.T) {
	var name string
	t.Run("inside", func(t *testing.T) {
		db := FreshDatabase(t)
		name = db.Name
		var n int
		db.Row(t, `select count(*) from portalgate.hosts`, nil, &n)
		if n != 0 {
			t.Errorf("it has %d hosts already", n)
		}
	})
	var there bool
	Database(t).Row(t, `select exists (select from pg_database where datname = $1)`, []any{name}, &there)
	if there {
		t.Error("it is still there")
	}
}

func TestAnEmptyDatabaseHasNoTable(t *testing.T) {
	db := EmptyDatabase(t)
	var n int
	db.Row(t, `select count(*) from pg_tables where schemaname not in ('pg_catalog', 'information_schema')`, nil, &n)
	if n != 0 {
		t.Errorf("it has %d tables", n)
	}
}

func TestTenantsAreDistinctAndSeenByTheirHost(t *testing.T) {
	a, b := Tenant(t), Tenant(t)
	if a.ID == b.ID || a.Slug == b.Slug || a.Hosts[0] == b.Hosts[0] {
		t.Fatalf("%+v and %+v", a, b)
	}
	c, err := pgx.Connect(t.Context(), Database(t).AppURL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	var id string
	if err := c.QueryRow(t.Context(), `select tenant_id::text from portalgate.directory() where host = $1`, a.Hosts[0]).Scan(&id); err != nil {
		t.Fatal(err)
	}
	if id != string(a.ID) {
		t.Errorf("the directory says %s", id)
	}
}

func TestAServerThatWasThereBeforeIsUsed(t *testing.T) {
	db := Database(t)
	outer, err := external(strings.Replace(db.RootURL, db.Name, "postgres", 1))
	if err != nil {
		t.Fatal(err)
	}
	inner := outer.database(db.Name)
	for name, address := range map[string]string{"postgres": inner.RootURL, "app": inner.AppURL} {
		if role, _, _ := who(t, address); role != name {
			t.Errorf("connected as %s, expected %s", role, name)
		}
	}
	// What an earlier run left behind is removed, what may be in use is not.
	old := databasePrefix + fmt.Sprint(time.Now().Add(-2*time.Hour).Unix()) + "_0"
	if err := outer.exec(t.Context(), "create database "+old); err != nil {
		t.Fatal(err)
	}
	if err := outer.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	var n int
	db.Row(t, `select count(*) from pg_database where datname = any($1)`, []any{[]string{old, db.Name}}, &n)
	if n != 1 {
		t.Errorf("%d databases are left of one old and one young", n)
	}
}

func TestTheClockMovesByHandOnly(t *testing.T) {
	c := NewClock()
	at := c.Now()
	if !c.Now().Equal(at) || at.Nanosecond() != 0 {
		t.Error("it moves by itself, or does not stand at a second")
	}
	if got := c.Advance(-time.Hour); !got.Equal(at.Add(-time.Hour)) || !c.Now().Equal(got) {
		t.Errorf("it stands at %v", c.Now())
	}
}

// echo is a server that sends back each line.
func echo(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func say(c net.Conn, wait time.Duration) (string, error) {
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		return "", err
	}
	_ = c.SetReadDeadline(time.Now().Add(wait))
	return bufio.NewReader(c).ReadString('\n')
}

func TestTheProxyBreaksWhatItIsToldTo(t *testing.T) {
	p := NewProxy(t, echo(t))
	c := dial(t, p.Addr())
	if got, err := say(c, 5*time.Second); got != "hello\n" {
		t.Fatalf("healthy: %q, %v", got, err)
	}

	p.Stall()
	if _, err := say(c, 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("stalled: %v", err)
	}
	p.Heal()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if got, err := bufio.NewReader(c).ReadString('\n'); got != "hello\n" {
		t.Errorf("healed: %q, %v", got, err)
	}

	p.Slow(100 * time.Millisecond)
	began := time.Now()
	if got, err := say(c, 5*time.Second); got != "hello\n" || time.Since(began) < 150*time.Millisecond {
		t.Errorf("slow: %q after %v, %v", got, time.Since(began), err)
	}
	p.Heal()

	p.Reset()
	if _, err := say(c, 5*time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reset: %v", err)
	}
	if got, err := say(dial(t, p.Addr()), 5*time.Second); got != "hello\n" {
		t.Errorf("after the reset: %q, %v", got, err)
	}

	p.Cut()
	if d, err := net.Dial("tcp", p.Addr()); err == nil {
		if _, err := say(d, 5*time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("cut: %v", err)
		}
		_ = d.Close()
	}
	if p.Open() != 0 || p.Served() != 2 {
		t.Errorf("%d open, %d served", p.Open(), p.Served())
	}
}

func TestServersAreReachedThroughTheProxy(t *testing.T) {
	p, address := ProxyPostgres(t, Database(t).AppURL)
	if role, _, _ := who(t, address); role != "app" {
		t.Errorf("connected as %s", role)
	}
	p.Cut()
	if _, err := pgx.Connect(t.Context(), address); err == nil {
		t.Error("connected through a cut")
	}
	_, address = ProxyRedis(t, Redis(t))
	c := dial(t, strings.TrimPrefix(address, "redis://"))
	if _, err := io.WriteString(c, "PING\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); line != "+PONG\r\n" {
		t.Errorf("Redis answered %q, %v", line, err)
	}
}

func TestTheRawUpstreamKeepsEveryByte(t *testing.T) {
	u := NewRaw(t)
	requests := []string{
		"GET /a HTTP/1.1\r\nHost: x\r\nx_portal-User: 1\r\nX-Portal-User: 2\r\n\r\n",
		"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
		"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n5;ext=1\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
		"HEAD /d HTTP/1.1\r\nHost: x\r\n\r\n",
	}
	c := dial(t, u.Addr())
	r := bufio.NewReader(c)
	for i, sent := range requests {
		if _, err := io.WriteString(c, sent); err != nil {
			t.Fatal(err)
		}
		if got := u.Await(t, i); string(got) != sent {
			t.Errorf("sent %q, kept %q", sent, got)
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(res.Body); string(b) != "ok" || err != nil {
			t.Errorf("answer %d: %q, %v", i, b, err)
		}
	}
	if got := Heads(u.Requests()[0], "x-portal-user"); len(got) != 1 || got[0] != "2" {
		t.Errorf("the header is %q", got)
	}

	u.Answer(func([]byte) []byte { return Upgraded("") })
	if _, err := io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", res, err)
	}
	if _, err := io.WriteString(c, "line\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := r.ReadString('\n'); line != "line\n" {
		t.Errorf("the echo is %q, %v", line, err)
	}
}

func TestTheBrowserSeesEveryNameHereAndAxeRunsInIt(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><html lang="en"><title>t</title><main><h1>%s</h1><img src="/x"></main>`, r.Host)
	}))
	t.Cleanup(page.Close)
	source := Axe(t)
	ctx := Browser(t)
	_, port, err := net.SplitHostPort(page.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var title string
	var violations []string
	if err := chromedp.Run(ctx,
		chromedp.Navigate("http://acme.portal.example:"+port+"/"),
		chromedp.Text("h1", &title),
		chromedp.Evaluate(source+"; 0", nil),
		chromedp.Evaluate(`axe.run().then(r => r.violations.map(v => v.id))`, &violations, Awaited),
	); err != nil {
		t.Fatal(err)
	}
	if title != "acme.portal.example:"+port {
		t.Errorf("the page says %q", title)
	}
	if !strings.Contains(strings.Join(violations, " "), "image-alt") {
		t.Errorf("axe found %q in a picture without a text", violations)
	}
	second := Tab(t, ctx)
	if err := chromedp.Run(second, chromedp.Navigate("http://localhost:"+port+"/"), chromedp.Text("h1", &title)); err != nil {
		t.Fatal(err)
	}
	if title != "localhost:"+port {
		t.Errorf("the second tab says %q", title)
	}
}

func TestMissingSkipsHereAndFailsWhereEverythingMustRun(t *testing.T) {
	for value, want := range map[string]string{"": "skipped", "all": "failed"} {
		t.Setenv("PORTALGATE_TEST", value)
		r := &recorder{TB: t}
		Missing(r, "nothing is here")
		if r.was != want {
			t.Errorf("with %q it is %s", value, r.was)
		}
	}
}

type recorder struct {
	testing.TB
	was string
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.first("failed") }
func (r *recorder) Skip(...any)           { r.first("skipped") }
func (r *recorder) Fatalf(string, ...any) { r.first("failed") }

// first keeps what would have ended a real test.
func (r *recorder) first(what string) {
	if r.was == "" {
		r.was = what
	}
}

func TestAGoldenFileIsComparedAndRewritten(t *testing.T) {
	file := t.TempDir() + "/deep/a.golden"
	t.Setenv("PORTALGATE_GOLDEN", "write")
	Golden(t, file, []byte("one\ntwo\n"))
	t.Setenv("PORTALGATE_GOLDEN", "")
	Golden(t, file, []byte("one\ntwo\n"))
	r := &recorder{TB: t}
	Golden(r, file, []byte("one\n2\n"))
	if r.was != "failed" {
		t.Error("a difference went unnoticed")
	}
}
