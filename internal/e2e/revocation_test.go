package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/testenv"
)

// felt is within what time an ending is refused everywhere, with what a busy machine adds (contract 12: two seconds
// without Redis, which these gateways do not have).
const felt = 2 * time.Second

// Every way in which a session ends, told on one gateway or past both, is felt on the other.
func TestAnEndingIsFeltOnTheOtherGateway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.raw.Answer(func(request []byte) []byte {
		if len(testenv.Heads(request, "Upgrade")) > 0 {
			return []byte(strings.Replace(string(testenv.Upgraded("")), "Upgrade: echo", "Upgrade: websocket", 1))
		}
		return testenv.Answered(http.StatusOK, "", "ok")
	})
	here, there := s.start(t), s.start(t)
	owner := []string{"PORTALGATE_DATABASE_URL=" + s.house.DB.OperatorURL, "PORTALGATE_KEYRING=" + s.keyring}
	tell := func(args ...string) func(*testing.T, *http.Client) {
		return func(t *testing.T, _ *http.Client) {
			if out, err := command(t, owner, "Another long phrase 77", append(args, "--tenant", s.tenant.Slug, "--email", "ann@buyer.example")...); err != nil {
				t.Fatalf("%v: %v\n%s", args, err, out)
			}
		}
	}
	sql := func(statement string) func(*testing.T, *http.Client) {
		return func(t *testing.T, _ *http.Client) { s.house.DB.Exec(t, statement, s.tenant.ID) }
	}
	form := func(path string, fields url.Values) func(*testing.T, *http.Client) {
		return func(t *testing.T, c *http.Client) {
			if res := post(t, c, here.url(path), fields); res.StatusCode != http.StatusSeeOther {
				t.Fatalf("%s: %s", path, res.Status)
			}
		}
	}
	for _, c := range []struct {
		name string
		deed func(*testing.T, *http.Client)
		undo string
	}{
		{"signing out", form("/auth/logout", nil), ""},
		{"signing out everywhere", form("/auth/logout", url.Values{"all": {"1"}}), ""},
		{"the command revoke-sessions", tell("user", "revoke-sessions"), ""},
		{"switching off by SQL", sql(`update customer_users set is_active = false where tenant_id = $1 and email like 'ann%'`), `update customer_users set is_active = true where tenant_id = $1`},
		{"deleting softly by SQL", sql(`update customer_users set deleted_at = now() where tenant_id = $1 and email like 'ann%'`), `update customer_users set deleted_at = null where tenant_id = $1`},
		{"closing the company's portal by SQL", sql(`update customers set portal_enabled = false where tenant_id = $1`), `update customers set portal_enabled = true where tenant_id = $1`},
		{"suspending the tenant by SQL", sql(`update tenants set status = 'SUSPENDED' where id = $1`), `update tenants set status = 'ACTIVE' where id = $1`},
		{"the command set-password", tell("user", "set-password", "--password-stdin"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ann := here.signedIn(t)
			cookies := ann.Jar.Cookies(address(t, here))
			probe := client(t)
			probe.Jar.SetCookies(address(t, there), cookies)
			if got := status(t, probe, there.url("/orders")); got != http.StatusOK {
				t.Fatalf("before: %d on the other gateway", got)
			}
			socket := open(t, there, cookies)
			c.deed(t, ann)
			began := time.Now()
			there.until(t, "refusal on the other gateway", func() bool { return status(t, probe, there.url("/orders")) != http.StatusOK })
			if took := time.Since(began); took > felt {
				t.Errorf("felt after %s", took.Round(time.Millisecond))
			}
			if got := status(t, probe, here.url("/orders")); got == http.StatusOK {
				t.Error("this gateway lets the ended session pass")
			}
			if took := socket.ended(t); took > felt {
				t.Errorf("the open socket ended after %s", took.Round(time.Millisecond))
			}
			if c.undo != "" {
				s.house.DB.Exec(t, c.undo, s.tenant.ID)
				here.until(t, "sign-in after the deed is undone", func() bool {
					return post(t, client(t), here.url("/auth/login"), url.Values{"email": {"bob@buyer.example"}, "password": {testenv.Password}}).StatusCode == http.StatusSeeOther
				})
			}
		})
	}
}

func address(t testing.TB, g *gateway) *url.URL {
	t.Helper()
	u, err := url.Parse(g.url("/"))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// socket is a WebSocket that was opened by hand.
type socket struct {
	conn net.Conn
	r    *bufio.Reader
}

// open upgrades a connection; the upstream echoes whatever comes.
func open(t testing.TB, g *gateway, cookies []*http.Cookie) *socket {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+g.port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	var list []string
	for _, c := range cookies {
		list = append(list, c.Name+"="+c.Value)
	}
	host := g.site.tenant.Hosts[0] + ":" + g.port
	fmt.Fprintf(conn, "GET /feed HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: %s\r\n\r\n", host, host, strings.Join(list, "; "))
	s := &socket{conn, bufio.NewReader(conn)}
	res, err := http.ReadResponse(s.r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("opening a socket: %v, %v", res, err)
	}
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	echo := make([]byte, 5)
	if _, err := io.ReadFull(s.r, echo); err != nil || string(echo) != "hello" {
		t.Fatalf("the socket echoes %q: %v", echo, err)
	}
	return s
}

// ended waits until the socket is closed from the other side, and says how long that took.
func (s *socket) ended(t testing.TB) time.Duration {
	t.Helper()
	began := time.Now()
	if err := s.conn.SetReadDeadline(began.Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := s.r.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Fatal("the socket said something")
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Error("the socket is open still")
	}
	return time.Since(began)
}
