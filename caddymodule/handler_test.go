package caddymodule

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/portalgate/portalgate/internal/admission"
	"github.com/portalgate/portalgate/internal/pages"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/upstream"
)

// broken is a handler whose world lacks the keeper of sessions: whoever asks for it panics.
func broken(t *testing.T) (*Handler, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	site, err := pages.New(pages.Options{Prefix: "/auth", Policy: portal.DefaultPolicy(), Now: time.Now, Log: func() *zap.Logger { return zap.New(core) }})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{fit: new(atomic.Bool), site: site, hosts: new(admission.Hosts), prefix: upstream.NewPrefix("X-Portal-")}
	w.hosts.Set(map[string]*portal.Tenant{"acme.localhost": {ID: "0190aaaa-0000-7000-8000-00000000000a", Slug: "acme", Name: "Acme", Mode: portal.ModeOn}})
	w.fit.Store(true)
	public, err := admission.ParsePattern("/public/*")
	if err != nil {
		t.Fatal(err)
	}
	return &Handler{w: w, rules: admission.Rules{Prefix: "/auth", Public: []admission.Pattern{public}}}, logs
}

func serve(t *testing.T, h *Handler, path string, next caddyhttp.HandlerFunc) (*httptest.ResponseRecorder, error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "acme.localhost"
	r.Header.Set("Cookie", "portalgate=x")
	w := httptest.NewRecorder()
	return w, h.ServeHTTP(w, caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil), next)
}

// DOS-03, HDR-10: a panic in the gate is a 500 with a reference, nothing is forwarded, and the next request works.
func TestAPanicInTheGateIsAnswered(t *testing.T) {
	h, logs := broken(t)
	passed := 0
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		passed++
		w.WriteHeader(http.StatusOK)
		return nil
	})
	w, err := serve(t, h, "/orders", next)
	if err != nil || w.Code != http.StatusInternalServerError || passed != 0 || !strings.Contains(w.Body.String(), `"reference"`) || strings.Contains(w.Body.String(), "nil pointer") {
		t.Errorf("%d %s, %v, forwarded %d times", w.Code, w.Body, err, passed)
	}
	if logs.FilterMessage("a request could not be answered").Len() != 1 {
		t.Errorf("logged: %v", logs.All())
	}
	if w, err = serve(t, h, "/public/x", next); err != nil || w.Code != http.StatusOK || passed != 1 {
		t.Errorf("the next request: %d, %v, forwarded %d times", w.Code, err, passed)
	}
}

// What breaks behind the gate is Caddy's to answer, and a connection that is aborted on purpose stays so.
func TestAPanicBehindTheGateIsNotOurs(t *testing.T) {
	h, _ := broken(t)
	for _, what := range []any{http.ErrAbortHandler, "something else"} {
		func() {
			defer func() {
				if got := recover(); got != what {
					t.Errorf("recovered %v, want %v", got, what)
				}
			}()
			_, _ = serve(t, h, "/public/x", func(http.ResponseWriter, *http.Request) error { panic(what) })
		}()
	}
}

// HDR-11: when the next handler fails, Caddy goes on to its error routes with the same request.
func TestAFailureTakesBackWhatWasSaidOfThePerson(t *testing.T) {
	h, _ := broken(t)
	failure := errors.New("no upstream")
	var handed *http.Request
	_, err := serve(t, h, "/public/x", func(_ http.ResponseWriter, r *http.Request) error {
		r.Header.Set("X-Portal-User-Id", "1")
		r.Header.Set("Authorization", "Bearer x")
		r.Header.Set("Cookie", "theirs=1")
		handed = r
		return failure
	})
	if !errors.Is(err, failure) || len(handed.Header) != 0 {
		t.Errorf("%v, left %v", err, handed.Header)
	}
}
