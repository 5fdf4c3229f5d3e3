package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// front is a gateway as the wire sees it: plain HTTP on localhost, TLS on every host of its tenants, and behind it an
// upstream that keeps every byte. What the tests of the wire share is one of these, so they do not run side by side.
type front struct {
	*process
	*site
	plain, secure string // ports
	log           string // the access log
	errors        *testenv.Raw
	acme, globex  portal.Tenant
	off, observe  portal.Tenant
	closed        portal.Tenant // suspended
	access        string        // Ann's access token at acme
	refresh       string
	foreign       string // Ines's access token at globex
	user          portal.UserID
}

var theFront struct {
	sync.Once
	*front
}

// wire returns the gateway that the tests of the wire share, with nothing received so far and the upstream answering
// as it does at first.
func wire(t *testing.T) *front {
	t.Helper()
	theFront.Do(func() {
		f := newFront(last(t), frontOptions{})
		theFront.front = f
	})
	if theFront.front == nil {
		t.Fatal("the gateway of these tests did not come up")
	}
	f := theFront.front
	before := len(f.said())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the gateway said:\n%s", f.said()[before:])
		}
	})
	f.reset()
	return f
}

func (f *front) reset() {
	f.raw.Answer(func([]byte) []byte { return testenv.Answered(200, "Content-Type: text/plain\r\n", "ok") })
	f.raw.Forget()
	f.errors.Forget()
}

// arrived are the requests that the upstream has received of a marked row, and those that bear no mark: the beginning of
// a message that broke off may arrive when its row is long over, and belongs to nobody else's.
func (f *front) arrived(mark string) [][]byte {
	return slices.DeleteFunc(f.raw.Requests(), func(r []byte) bool {
		marks := testenv.Heads(r, "X-Row")
		return len(marks) > 0 && marks[0] != mark
	})
}

// frontOptions are what a front differs in.
type frontOptions struct {
	env     []string
	servers string // lines of `servers { … }`
	global  string // lines of the global option
	gate    string // lines of the directive
	like    *front // whose site and tenants it shares
}

func newFront(t testing.TB, o frontOptions) *front {
	t.Helper()
	f := &front{}
	if l := o.like; l != nil {
		f.site, f.errors, f.user = l.site, l.errors, l.user
		f.acme, f.globex, f.off, f.observe, f.closed = l.acme, l.globex, l.off, l.observe, l.closed
	} else {
		f.site, f.errors = newSite(t), testenv.NewRaw(t)
		f.redis = testenv.Redis(t)
		f.people(t)
	}
	dir, err := os.MkdirTemp("/tmp", "portalgate-wire-") // short: a socket's path has 108 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f.plain, f.secure, f.log = freePort(t), freePort(t), filepath.Join(dir, "access.log")
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(f.caddyfile(dir, o)), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"PORTALGATE_DATABASE_URL=" + f.database, "PORTALGATE_KEYRING=" + f.keyring, "PORTALGATE_REDIS_URL=" + f.redis, "PORTALGATE_BACKEND_SECRET=" + backendSecret}
	f.process = run(t, append(env, o.env...), "run", "--config", file)
	f.awake(t)
	if f.access, f.refresh = f.enter(t, f.acme); f.access == "" {
		t.Fatalf("signing in brought no cookie:\n%s", f.said())
	}
	f.foreign, _ = f.enter(t, f.globex)
	f.reset()
	return f
}

// backendSecret is what an unchanged backend would check its bearer tokens with.
const backendSecret = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// people furnishes the tenants: two that are on, with the same woman in both, and one in each other state.
func (f *front) people(t testing.TB) {
	t.Helper()
	db := f.house.DB
	hosts := func(n portal.Tenant, names ...string) {
		for _, h := range names {
			db.Exec(t, `insert into portalgate.hosts (host, tenant_id) values ($1, $2) on conflict do nothing`, h, n.ID)
		}
	}
	mode := func(n portal.Tenant, m string) {
		db.Exec(t, `update portalgate.settings set value = to_jsonb($2::text) where tenant_id = $1 and key = 'mode'`, n.ID, m)
	}
	f.acme, f.globex, f.off, f.observe, f.closed = f.tenant, db.Tenant(t), db.Tenant(t), db.Tenant(t), db.Tenant(t)
	f.acme.Hosts, f.globex.Hosts = []string{"acme.localhost", "acme.portal.test"}, []string{"globex.localhost", "globex.portal.test"}
	hosts(f.acme, f.acme.Hosts...)
	hosts(f.globex, f.globex.Hosts...)
	f.house.Person(t, f.globex, testenv.Visitor{})
	mode(f.off, "off")
	mode(f.observe, "observe")
	db.Exec(t, `update public.tenants set status = 'SUSPENDED' where id = $1`, f.closed.ID)
	db.Row(t, `select id from public.customer_users where tenant_id = $1 and email = 'ann@buyer.example'`, []any{f.acme.ID}, &f.user)
}

func (f *front) caddyfile(dir string, o frontOptions) string {
	return fmt.Sprintf(`{
	admin unix/%[1]s/admin.sock
	persist_config off
	skip_install_trust
	auto_https disable_redirects
	grace_period 1s
	on_demand_tls {
		permission portalgate
	}
	servers {
		protocols h1 h2
		%[2]s
	}
	portalgate {
		database {env.PORTALGATE_DATABASE_URL}
		redis {env.PORTALGATE_REDIS_URL}
		keyring {env.PORTALGATE_KEYRING}
		answer_after 20ms
		sessions_per_user 1000
		%[3]s
	}
}

(portal) {
	bind 127.0.0.1
	log {
		output file %[4]s
	}
	route {
		portalgate {
			public /public/*
			require mfa /billing/*
			require mfa 1m /vault/*
			graphql /graphql
			cross_site POST /payment/return
			%[5]s
		}
		respond /whoami "{http.auth.user.id} {http.auth.user.tenant_id} {http.auth.user.email} {http.auth.user.session} {http.auth.user.amr} {http.auth.user.mfa} {portalgate.tenant.slug}"
		reverse_proxy /down/* 127.0.0.1:9
		reverse_proxy %[6]s
	}
	handle_errors {
		portalgate
		reverse_proxy %[7]s
	}
}

http://:%[8]s {
	import portal
}

https://:%[9]s {
	tls {
		on_demand
		issuer internal
	}
	import portal
}
`, dir, o.servers, o.global, f.log, o.gate, f.raw.Addr(), f.errors.Addr(), f.plain, f.secure)
}

// awake waits until the sign-in page is there.
func (f *front) awake(t testing.TB) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for {
		if c, err := net.Dial("tcp", "127.0.0.1:"+f.plain); err == nil {
			c.Close()
			if a := f.say(t, f.acme.Hosts[0], "GET /auth/login HTTP/1.1\r\nHost: "+f.acme.Hosts[0]+"\r\n\r\n"); a.status == 200 {
				return
			}
		}
		select {
		case <-tick.C:
		case <-f.done:
			t.Fatalf("the gateway ended:\n%s", f.said())
		case <-late:
			t.Fatalf("the gateway does not serve:\n%s", f.said())
		}
	}
}

// enter signs Ann in at a tenant's plain host, and returns the two tokens.
func (f *front) enter(t testing.TB, n portal.Tenant) (access, refresh string) {
	t.Helper()
	res := post(t, client(t), "http://"+n.Hosts[0]+":"+f.plain+"/auth/login", url.Values{"email": {"ann@buyer.example"}, "password": {testenv.Password}})
	for _, c := range res.Cookies() {
		switch c.Name {
		case "portalgate":
			access = c.Value
		case "portalgate-refresh":
			refresh = c.Value
		}
	}
	return access, refresh
}

// cookie is the header line of somebody signed in, by the scheme.
func (f *front) cookie(secure bool) string {
	if secure {
		return "Cookie: theirs=1; __Host-portalgate=" + f.access + "; __Host-portalgate-refresh=" + f.refresh + "\r\n"
	}
	return "Cookie: theirs=1; portalgate=" + f.access + "; portalgate-refresh=" + f.refresh + "\r\n"
}

// answer is what came back; status 0 means that the connection was ended without one.
type answer struct {
	status int
	header http.Header
	body   string
	more   string // bytes after the answer
}

// dial opens a connection to a host: plain, or with TLS when a name to ask for is given.
func (f *front) dial(t testing.TB, sni string, protocols ...string) net.Conn {
	t.Helper()
	port := f.plain
	if sni != "" {
		port = f.secure
	}
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if sni == "" {
		return c
	}
	if len(protocols) == 0 {
		protocols = []string{"http/1.1"}
	}
	tc := tls.Client(c, &tls.Config{ServerName: sni, InsecureSkipVerify: true, NextProtos: protocols}) // the certificate is of an authority made a moment ago
	if err := tc.Handshake(); err != nil {
		c.Close()
		t.Fatalf("TLS handshake for %s: %v", sni, err)
	}
	return tc
}

// say sends bytes over plain HTTP and reads one answer.
func (f *front) say(t testing.TB, host, text string) answer {
	t.Helper()
	return exchange(t, f.dial(t, ""), text)
}

// sayTLS does the same over TLS, asking for a name.
func (f *front) sayTLS(t testing.TB, sni, text string) answer {
	t.Helper()
	return exchange(t, f.dial(t, sni), text)
}

func exchange(t testing.TB, c net.Conn, text string) answer {
	t.Helper()
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		return answer{}
	}
	method, _, _ := strings.Cut(text, " ")
	return receive(c, method)
}

func receive(c io.Reader, method string) answer {
	r := bufio.NewReader(c)
	var res *http.Response
	for {
		var err error
		if res, err = http.ReadResponse(r, &http.Request{Method: method}); err != nil {
			return answer{}
		}
		if res.StatusCode >= 200 || res.StatusCode == 101 {
			break
		}
	}
	a := answer{status: res.StatusCode, header: res.Header}
	if res.StatusCode != 101 {
		b, _ := io.ReadAll(res.Body) // what came before the connection broke is what there is
		a.body = string(b)
	}
	if n := r.Buffered(); n > 0 {
		b, _ := r.Peek(n)
		a.more = string(b)
	}
	return a
}

// names of the identity headers, in the order of contract 6, without the company's: Ann is of the tenant's own.
var identity = []string{"X-Portal-Tenant-Id", "X-Portal-Tenant-Slug", "X-Portal-User-Id", "X-Portal-User-Email", "X-Portal-User-Name", "X-Portal-User-Roles", "X-Portal-Session-Id", "X-Portal-Auth-Methods", "X-Portal-Auth-Time", "X-Portal-Assertion"}

// forged marks what a client made up: it may never reach the upstream.
const forged = "f0rged"

// lines are the header lines of a request, as they came.
func lines(request []byte) (out [][2]string) {
	head, _, _ := bytes.Cut(request, []byte("\r\n\r\n"))
	for _, l := range strings.Split(string(head), "\r\n")[1:] {
		name, value, _ := strings.Cut(l, ":")
		out = append(out, [2]string{name, strings.TrimSpace(value)})
	}
	return out
}

// folded reduces a name to its letters and digits.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, name)
}

// pure holds what is true of every request that reaches an upstream from a tenant that is on, whatever the client sent:
// it returns what is wrong with the bytes.
func (f *front) pure(request []byte, known bool) (wrong []string) {
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	count := map[string]int{}
	for _, l := range lines(request) {
		name, value := l[0], l[1]
		fold := folded(name)
		if strings.HasPrefix(fold, "xportal") {
			if !slices.Contains(identity, name) {
				complain("a header %q", name)
			}
			count[name]++
			continue
		}
		switch fold {
		case "authorization", "proxyauthorization", "forwarded", "xrealip", "trueclientip", "cfconnectingip", "xclientip", "xoriginalurl", "xrewriteurl", "xhttpmethodoverride", "xmethodoverride", "remoteuser", "http2settings",
			"xforwardedport", "xforwardedprefix", "xforwardeduri", "xforwardedmethod", "xforwardedserver", "xforwardeduser", "xforwardedemail", "xforwardedgroups", "xauthrequestuser", "xauthentikusername":
			complain("a header %q", name)
		case "xforwardedfor", "xforwardedproto", "xforwardedhost", "host", "transferencoding", "contentlength":
			if count[fold]++; count[fold] > 1 {
				complain("%s twice", name)
			}
			if fold == "xforwardedfor" && value != "127.0.0.1" {
				complain("%s: %s", name, value)
			}
		case "cookie":
			if strings.Contains(strings.ToLower(value), "portalgate") || f.access != "" && strings.Contains(value, f.access) {
				complain("our cookies: %s", value)
			}
		case "connection":
			if low := strings.ToLower(value); low != "upgrade" && low != "close" && low != "keep-alive" {
				complain("Connection: %s", value)
			}
		}
	}
	for _, name := range identity {
		want := 0
		if known {
			want = 1
		}
		if count[name] != want {
			complain("%s %d times, want %d", name, count[name], want)
		}
	}
	if known {
		if got := testenv.Heads(request, "X-Portal-User-Id"); len(got) == 1 && got[0] != string(f.user) {
			complain("the user is %s", got[0])
		}
		if got := testenv.Heads(request, "X-Portal-Tenant-Id"); len(got) == 1 && got[0] != string(f.acme.ID) {
			complain("the tenant is %s", got[0])
		}
	}
	if bytes.Contains(request, []byte(forged)) {
		complain("what the client made up")
	}
	for name, token := range map[string]string{"access": f.access, "refresh": f.refresh} {
		if bytes.Contains(request, []byte(token)) {
			complain("the %s token", name)
		}
	}
	return wrong
}
