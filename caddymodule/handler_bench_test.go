package caddymodule

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/portalgate/portalgate/internal/admission"
	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/testenv"
	"github.com/portalgate/portalgate/internal/upstream"
)

// warmGate is a handler with one signed-in person, and that person's next request as a browser sends it.
func warmGate(t testing.TB) (h *Handler, request func() *http.Request) {
	t.Helper()
	house := testenv.NewHouse(t, testenv.Plan{})
	tenant := house.DB.Tenant(t)
	house.Person(t, tenant, testenv.Visitor{})
	who := house.Client("203.0.113.9")
	out, err := house.Auth.SignIn(t.Context(), &tenant, who, session.Cookies{}, auth.Credentials{Email: "ann@buyer.example", Password: testenv.Password})
	if err != nil {
		t.Fatal(err)
	}
	bearer, err := secret.NewBearer("w3Rk8sPq0ZxLmN5vT7yBc2dF")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{fit: new(atomic.Bool), keys: house.Keys, keeper: house.Sessions, hosts: &admission.Hosts{}, streams: upstream.NewStreams(), prefix: upstream.NewPrefix("X-Portal-")}
	now := func() time.Time { return house.Clock.Now() }
	w.clock.Store(&now)
	w.fit.Store(true)
	w.stamper = upstream.NewStamper(w.keys, w.prefix, "portal-upstream", bearer)
	w.hosts.Set(map[string]*portal.Tenant{"acme.localhost": &tenant})
	h = &Handler{w: w, stamper: w.stamper, rules: admission.Rules{Prefix: "/auth"}}
	for _, p := range []string{"/assets/*", "/favicon.ico"} {
		pattern, err := admission.ParsePattern(p)
		if err != nil {
			t.Fatal(err)
		}
		h.rules.Public = append(h.rules.Public, pattern)
	}
	graphql, err := admission.ParsePattern("/graphql")
	if err != nil {
		t.Fatal(err)
	}
	h.rules.GraphQL = admission.Guarding([]admission.Pattern{graphql})
	cookie := "theme=dark"
	for _, l := range (session.Jar{Secure: true}).Lines(*out.Grant, who.At) {
		c, err := http.ParseSetCookie(l)
		if err != nil {
			t.Fatal(err)
		}
		cookie += "; " + c.Name + "=" + c.Value
	}
	return h, func() *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/orders/4711?page=2", nil)
		r.Host, r.TLS = "acme.localhost", nil
		r.Header = http.Header{
			"User-Agent": {who.Agent}, "Accept": {"application/json"}, "Accept-Encoding": {"gzip, deflate, br"}, "Accept-Language": {"en-GB,en;q=0.8"},
			"Sec-Fetch-Dest": {"empty"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Site": {"same-origin"}, "X-Forwarded-Proto": {"https"},
			"X-Forwarded-For": {"203.0.113.9"}, "Referer": {"https://acme.localhost/orders"}, "Cookie": {cookie},
		}
		ctx := context.WithValue(r.Context(), caddy.ReplacerCtxKey, caddyhttp.NewTestReplacer(r))
		ctx = context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{caddyhttp.ClientIPVarKey: "203.0.113.9", caddyhttp.TrustedProxyVarKey: true})
		return r.WithContext(ctx)
	}
}

type quiet struct{ header http.Header }

func (q *quiet) Header() http.Header         { return q.header }
func (q *quiet) Write(b []byte) (int, error) { return len(b), nil }
func (q *quiet) WriteHeader(int)             {}

// BenchmarkGate is the gate alone on a warm request: what it adds to a bare proxy, without the network.
func BenchmarkGate(b *testing.B) {
	h, request := warmGate(b)
	r := request()
	header := r.Header
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if r.Header.Get("X-Portal-User-Id") == "" {
			b.Fatal("no identity")
		}
		w.Header()["Content-Type"] = header["Accept"]
		w.WriteHeader(http.StatusOK)
		return nil
	})
	w := &quiet{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		again := make(http.Header, len(header))
		for k, v := range header {
			again[k] = v
		}
		again["Cookie"] = []string{header["Cookie"][0]} // which is written to
		r.Header = again
		if err := h.ServeHTTP(w, r, next); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNoGate is what BenchmarkGate costs without the gate.
func BenchmarkNoGate(b *testing.B) {
	_, request := warmGate(b)
	r := request()
	header := r.Header
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		w.Header()["Content-Type"] = header["Accept"]
		w.WriteHeader(http.StatusOK)
		return nil
	})
	w := &quiet{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		again := make(http.Header, len(header))
		for k, v := range header {
			again[k] = v
		}
		again["Cookie"] = []string{header["Cookie"][0]} // which is written to
		r.Header = again
		if err := next.ServeHTTP(w, r); err != nil {
			b.Fatal(err)
		}
	}
}
