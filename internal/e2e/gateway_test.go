package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/testenv"
)

// site is what several gateways share: a database, a keyring, an upstream, and a Redis where the test wants one. The
// servers may be proxies that break on command.
type site struct {
	house    *testenv.House
	tenant   portal.Tenant
	keyring  string
	database string
	redis    string
	raw      *testenv.Raw
	upstream string // its address
	global   string // further lines of the global option
	caddy    string // further global options of Caddy's own
	block    string // further lines of the directive
}

// newSite makes a site with one tenant, and Ann and Bob in it, on a database of its own.
func newSite(t testing.TB) *site {
	t.Helper()
	return siteOn(t, testenv.FreshDatabase(t))
}

// siteOn is the same on a database that a test has made.
func siteOn(t testing.TB, db testenv.DB) *site {
	t.Helper()
	b, err := secret.Generate(time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s := &site{keyring: filepath.Join(t.TempDir(), "keyring.json"), database: db.AppURL}
	if err := secret.WriteNew(s.keyring, b); err != nil {
		t.Fatal(err)
	}
	keys, err := secret.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	s.house = testenv.NewHouse(t, testenv.Plan{DB: &db, Keys: keys})
	s.tenant = db.Tenant(t)
	s.house.Person(t, s.tenant, testenv.Visitor{})
	s.house.Person(t, s.tenant, testenv.Visitor{Email: "bob@buyer.example", Name: "Bob Buyer"})
	s.raw = testenv.NewRaw(t)
	s.upstream = s.raw.Addr()
	return s
}

// gateway is one running program in front of a site.
type gateway struct {
	*process
	site *site
	port string
	file string
}

// start runs a gateway and waits until it serves.
func (s *site) start(t testing.TB) *gateway {
	t.Helper()
	g := s.launch(t)
	g.ready(t)
	return g
}

// launch runs a gateway and does not wait.
func (s *site) launch(t testing.TB) *gateway {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{site: s}
	_, g.port, _ = net.SplitHostPort(l.Addr().String())
	l.Close()
	dir, err := os.MkdirTemp("/tmp", "portalgate-gw-") // short: a socket's path has 108 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	g.file = filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(g.file, []byte(s.caddyfile(g.port, dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"PORTALGATE_DATABASE_URL=" + s.database, "PORTALGATE_KEYRING=" + s.keyring, "PORTALGATE_REDIS_URL=" + s.redis}
	g.process = run(t, env, "run", "--config", g.file)
	return g
}

func (s *site) caddyfile(port, dir string) string {
	redis := ""
	if s.redis != "" {
		redis = "redis {env.PORTALGATE_REDIS_URL}"
	}
	return fmt.Sprintf(`{
	admin unix/%s/admin.sock
	persist_config off
	auto_https off
	%s
	portalgate {
		database {env.PORTALGATE_DATABASE_URL}
		%s
		keyring {env.PORTALGATE_KEYRING}
		%s
	}
}

http://:%s {
	bind 127.0.0.1
	portalgate {
		public /assets/*
		graphql /graphql
		%s
	}
	reverse_proxy %s {
		stream_close_delay 5m
	}
}
`, dir, s.caddy, redis, s.global, port, s.block, s.upstream)
}

func (g *gateway) url(path string) string {
	return "http://" + g.site.tenant.Hosts[0] + ":" + g.port + path
}

// ready waits until the sign-in page is there.
func (g *gateway) ready(t testing.TB) {
	t.Helper()
	c := client(t)
	g.until(t, "the sign-in page", func() bool {
		res, err := c.Get(g.url("/auth/login"))
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// until asks again and again until something holds.
func (g *gateway) until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for {
		if holds() {
			return
		}
		select {
		case <-tick.C:
		case <-g.done:
			t.Fatalf("the gateway ended while waiting for %s:\n%s", what, g.said())
		case <-late:
			t.Fatalf("no %s after 30 s:\n%s", what, g.said())
		}
	}
}

// signedIn is Ann, signed in at a gateway.
func (g *gateway) signedIn(t testing.TB) *http.Client {
	t.Helper()
	c := client(t)
	res := post(t, c, g.url("/auth/login"), url.Values{"email": {"ann@buyer.example"}, "password": {testenv.Password}})
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/" {
		t.Fatalf("signing in: %s to %q", res.Status, res.Header.Get("Location"))
	}
	return c
}

// status is how a request of a program (not a navigation) is answered.
func status(t testing.TB, c *http.Client, to string) int {
	t.Helper()
	res := get(t, c, to)
	return res.StatusCode
}

func get(t testing.TB, c *http.Client, to string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

func readAll(t testing.TB, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}
