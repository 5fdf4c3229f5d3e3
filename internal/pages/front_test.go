package pages_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/net/html"

	"github.com/portalgate/portalgate/internal/pages"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/testenv"
)

// front is a house with its pages, on a listener of its own. It does of the handler's work what pages stand on: the
// tenant by the host, the cookies, and what kind of answer is wanted.
type front struct {
	*testenv.House
	site   *pages.Site
	tenant *portal.Tenant // the one that most tests visit
	log    *observer.ObservedLogs
	server *httptest.Server

	mu      sync.Mutex
	tenants map[string]*portal.Tenant
	fail    error // set: what every request outside the prefix is refused with
	museum  map[string]answer
}

const prefix = "/auth"

func newFront(t testing.TB, p testenv.Plan) *front {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	f := &front{House: testenv.NewHouse(t, p), log: logs, tenants: map[string]*portal.Tenant{}}
	var err error
	f.site, err = pages.New(pages.Options{Auth: f.Auth, Sessions: f.Sessions, Keys: f.Keys, Prefix: prefix, Policy: f.Policy, Now: f.Clock.Now,
		Log: func() *zap.Logger { return zap.New(core) }})
	if err != nil {
		t.Fatal(err)
	}
	f.tenant = f.open(t, "Acme Packaging", portal.Brand{Accent: "#0a6e5c", Contact: "portal@acme.example"})
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	return f
}

// open adds a tenant with a face.
func (f *front) open(t testing.TB, name string, b portal.Brand) *portal.Tenant {
	t.Helper()
	n := f.DB.Tenant(t)
	n.Name, n.Brand = name, b
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tenants[n.Hosts[0]] = &n
	return &n
}

func (f *front) at(n *portal.Tenant, path string) string {
	_, port, _ := net.SplitHostPort(f.server.Listener.Addr().String())
	return "http://" + n.Hosts[0] + ":" + port + path
}

// ServeHTTP is the gate in short.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.Host)
	f.mu.Lock()
	tenant, fail := f.tenants[host], f.fail
	f.mu.Unlock()
	v := pages.Visit{Tenant: tenant, Client: portal.Client{Addr: netip.MustParseAddr("203.0.113.7"), Agent: r.UserAgent(), At: f.Clock.Now()}, Origin: "http://" + r.Host}
	if raw := r.Header.Get("Test-Address"); raw != "" {
		v.Client.Addr = netip.MustParseAddr(raw)
	}
	v.Jar = session.Jar{Secure: r.Header.Get("X-Forwarded-Proto") == "https"}
	v.Cookies, _ = v.Jar.Split(r.Header["Cookie"])
	if tenant != nil {
		if k, err := secret.ParseToken(v.Cookies.Device); err == nil {
			d := k.Digest(secret.KindDevice, string(tenant.ID))
			v.Client.Device = portal.DeviceToken(d[:])
		}
	}
	ours := r.URL.Path == prefix || strings.HasPrefix(r.URL.Path, prefix+"/") || strings.HasPrefix(r.URL.Path, "/.well-known/")
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	mode := r.Header.Get("Sec-Fetch-Mode")
	v.Wants = pages.WantsData
	switch {
	case strings.HasPrefix(r.URL.Path, "/graphql"):
		v.Wants = pages.WantsGraphQL
	case read && (mode == "navigate" || mode == "" && strings.Contains(r.Header.Get("Accept"), "text/html")):
		v.Wants = pages.WantsPage
	}
	f.mu.Lock()
	old, kept := f.museum[r.URL.Path]
	f.mu.Unlock()
	switch {
	case kept:
		for name, values := range old.header {
			w.Header()[name] = values
		}
		w.Header().Del("Set-Cookie")
		w.WriteHeader(old.status)
		_, _ = io.WriteString(w, old.body) // the browser has gone: nobody to tell
	case tenant == nil:
		f.site.Fail(w, r, v, &portal.Problem{Kind: portal.ProblemUnknownHost, Public: "There is no portal at this address. Check it for a typing mistake."})
	case fail != nil && !ours:
		f.site.Fail(w, r, v, fail)
	case ours:
		f.site.Serve(w, r, v)
	default:
		res, err := f.Sessions.Resume(r.Context(), v.Tenant, v.Cookies, v.Client, read)
		if err != nil {
			f.site.Fail(w, r, v, err)
			return
		}
		if res.Grant != nil {
			v.Jar.Give(w.Header(), *res.Grant, v.Client.At)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprintf(w, `<!doctype html><html lang="en"><title>Portal</title><h1>The portal</h1><p id="me">%s</p>`, html.EscapeString(res.Facts.User.Name()))
	}
}

// refuse makes everything outside the prefix fail with an error.
func (f *front) refuse(err error) {
	f.mu.Lock()
	f.fail = err
	f.mu.Unlock()
}

// keep puts an answer on show: a browser that goes to its address gets it again, as it was.
func (f *front) keep(name string, a answer) (path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.museum == nil {
		f.museum = map[string]answer{}
	}
	path = "/museum/" + name
	f.museum[path] = a
	return path
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	where  string // Location, without scheme and host
}

// doc is the page, parsed.
func (a answer) doc(t testing.TB) *html.Node {
	t.Helper()
	n, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// json is the answer's object.
func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("%v in %q", err, a.body)
	}
	return m
}

// guest is a browser without a screen: it keeps cookies, finds every name here, and follows no redirect.
type guest struct {
	t      testing.TB
	f      *front
	tenant *portal.Tenant
	client *http.Client
	header http.Header // added to every request
}

func (f *front) guest(t testing.TB) *guest {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	to := f.server.Listener.Addr().String()
	tr := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, to)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &guest{t: t, f: f, tenant: f.tenant, header: http.Header{},
		client: &http.Client{Jar: jar, Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

const firefox = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"

// do sends a request; kind is the content type of a body.
func (g *guest) do(method, path, kind, body string) answer {
	g.t.Helper()
	req, err := http.NewRequest(method, g.f.at(g.tenant, "/"), strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	// As written: the test's paths are to arrive byte for byte.
	req.URL.Opaque = "//" + req.URL.Host + path
	req.Header.Set("User-Agent", firefox)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if kind == "application/json" {
		req.Header.Set("Accept", "application/json")
	} else {
		req.Header.Set("Accept", "text/html")
	}
	for name, values := range g.header {
		req.Header[name] = values
	}
	res, err := g.client.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b), res.Header.Get("Location")}
}

func (g *guest) get(path string) answer { g.t.Helper(); return g.do(http.MethodGet, path, "", "") }

func (g *guest) post(path string, form url.Values) answer {
	g.t.Helper()
	return g.do(http.MethodPost, path, "application/x-www-form-urlencoded", form.Encode())
}

func (g *guest) json(method, path, body string) answer {
	g.t.Helper()
	return g.do(method, path, "application/json", body)
}

// signIn signs somebody in, and fails the test unless the answer leads on.
func (g *guest) signIn(email, password string, more ...string) answer {
	g.t.Helper()
	form := url.Values{"email": {email}, "password": {password}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	a := g.post(prefix+"/login", form)
	if a.status != http.StatusSeeOther {
		g.t.Fatalf("signing in was answered %d:\n%s", a.status, a.body)
	}
	return a
}

// cookies are those that the browser holds.
func (g *guest) cookies() map[string]string {
	u, err := url.Parse(g.f.at(g.tenant, "/"))
	if err != nil {
		g.t.Fatal(err)
	}
	out := map[string]string{}
	for _, c := range g.client.Jar.Cookies(u) {
		out[c.Name] = c.Value
	}
	return out
}
