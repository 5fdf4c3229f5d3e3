package e2e

import (
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/testenv"
)

// patience is how long an answer may take while a neighbour is in trouble: the two seconds that are promised, one
// moment at which answers are released, and what a busy machine adds.
const patience = 3500 * time.Millisecond

// broken is a site whose servers are behind proxies that break on command, and a person signed in at it.
type broken struct {
	*gateway
	postgres, redis *testenv.Proxy
	ann             *http.Client
}

func newBroken(t *testing.T) *broken {
	t.Helper()
	s := newSite(t)
	b := &broken{}
	b.postgres, s.database = testenv.ProxyPostgres(t, s.database)
	b.redis, s.redis = testenv.ProxyRedis(t, testenv.LoneRedis(t).URL())
	b.gateway = s.start(t)
	b.ann = b.signedIn(t)
	if got := status(t, b.ann, b.url("/orders")); got != http.StatusOK {
		t.Fatalf("signed in, and answered %d", got)
	}
	return b
}

// within fails when an answer takes longer than is promised.
func within(t *testing.T, what string, ask func() *http.Response) *http.Response {
	t.Helper()
	began := time.Now()
	res := ask()
	if took := time.Since(began); took > patience {
		t.Errorf("%s took %s", what, took.Round(time.Millisecond))
	}
	return res
}

// signIn is Bob at the door, so that Ann's sessions are not crowded out.
func (b *broken) signIn(t *testing.T) *http.Response {
	t.Helper()
	return within(t, "signing in", func() *http.Response {
		return post(t, client(t), b.url("/auth/login"), url.Values{"email": {"bob@buyer.example"}, "password": {testenv.Password}})
	})
}

// The table of neighbours and promises; the same rows stand in the package comment of caddymodule and in the
// operators' documentation.
func TestANeighbourInTroubleKeepsItsPromise(t *testing.T) {
	t.Parallel()
	type fault struct {
		name  string
		begin func(*testenv.Proxy)
	}
	faults := []fault{
		{"gone", (*testenv.Proxy).Cut},
		{"silent", (*testenv.Proxy).Stall},
		{"slow", func(p *testenv.Proxy) { p.Slow(30 * time.Millisecond) }},
		{"reset", (*testenv.Proxy).Reset},
	}
	t.Run("Redis", func(t *testing.T) {
		t.Parallel()
		b := newBroken(t)
		for _, f := range faults {
			f.begin(b.redis)
			if res := within(t, "a page", func() *http.Response { return get(t, b.ann, b.url("/orders")) }); res.StatusCode != http.StatusOK {
				t.Errorf("Redis %s: signed in, and answered %s", f.name, res.Status)
			}
			if res := b.signIn(t); res.StatusCode != http.StatusSeeOther {
				t.Errorf("Redis %s: signing in is answered %s", f.name, res.Status)
			}
			b.redis.Heal()
		}
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		b := newBroken(t)
		for _, f := range faults {
			f.begin(b.postgres)
			if res := within(t, "a page", func() *http.Response { return get(t, b.ann, b.url("/orders")) }); res.StatusCode != http.StatusOK || len(res.Header["Set-Cookie"]) > 0 {
				t.Errorf("PostgreSQL %s: signed in, and answered %s with cookies %v", f.name, res.Status, res.Header["Set-Cookie"])
			}
			res := b.signIn(t)
			switch f.name {
			case "reset": // the connections are gone and the server is there: nobody notices
				if res.StatusCode != http.StatusSeeOther {
					t.Errorf("PostgreSQL %s: signing in is answered %s", f.name, res.Status)
				}
			case "slow":
				if res.StatusCode != http.StatusSeeOther && res.StatusCode != http.StatusServiceUnavailable {
					t.Errorf("PostgreSQL %s: signing in is answered %s", f.name, res.Status)
				}
			default:
				after, err := strconv.Atoi(res.Header.Get("Retry-After"))
				if res.StatusCode != http.StatusServiceUnavailable || err != nil || after < 1 {
					t.Errorf("PostgreSQL %s: signing in is answered %s, Retry-After %q", f.name, res.Status, res.Header.Get("Retry-After"))
				}
				// What needs the database says so, and takes nobody's cookies away.
				res = within(t, "an account page", func() *http.Response { return get(t, b.ann, b.url("/auth/account/sessions")) })
				if res.StatusCode != http.StatusServiceUnavailable || len(res.Header["Set-Cookie"]) > 0 {
					t.Errorf("PostgreSQL %s: the account page is answered %s with cookies %v", f.name, res.Status, res.Header["Set-Cookie"])
				}
			}
			b.postgres.Heal()
			b.until(t, "sign-in that works again by itself", func() bool { return b.signIn(t).StatusCode == http.StatusSeeOther })
			if got := status(t, b.ann, b.url("/orders")); got != http.StatusOK {
				t.Errorf("after PostgreSQL was %s: signed in, and answered %d", f.name, got)
			}
		}
	})
	t.Run("both", func(t *testing.T) {
		t.Parallel()
		b := newBroken(t)
		b.postgres.Cut()
		b.redis.Cut()
		if got := status(t, b.ann, b.url("/orders")); got != http.StatusOK {
			t.Errorf("in the first moment: %d", got)
		}
		began := time.Now()
		b.until(t, "shut gate", func() bool { return status(t, b.ann, b.url("/orders")) == http.StatusServiceUnavailable })
		if took := time.Since(began); took < 4*time.Second || took > 12*time.Second {
			t.Errorf("shut after %s", took.Round(time.Millisecond))
		}
		res := get(t, b.ann, b.url("/orders"))
		if res.Header.Get("Retry-After") == "" || len(res.Header["Set-Cookie"]) > 0 {
			t.Errorf("Retry-After %q, cookies %v", res.Header.Get("Retry-After"), res.Header["Set-Cookie"])
		}
		b.redis.Heal()
		b.until(t, "open gate with Redis alone", func() bool { return status(t, b.ann, b.url("/orders")) == http.StatusOK })
		b.postgres.Heal()
		b.until(t, "sign-in", func() bool { return b.signIn(t).StatusCode == http.StatusSeeOther })
	})
	t.Run("upstream", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		proxy := testenv.NewProxy(t, s.upstream)
		s.upstream = proxy.Addr()
		g := s.start(t)
		ann := g.signedIn(t)
		proxy.Cut()
		if got := status(t, ann, g.url("/orders")); got != http.StatusBadGateway {
			t.Errorf("the upstream gone: %d", got)
		}
		if got := status(t, ann, g.url("/auth/account")); got != http.StatusOK {
			t.Errorf("our own pages with the upstream gone: %d", got)
		}
		proxy.Heal()
		g.until(t, "upstream", func() bool { return status(t, ann, g.url("/orders")) == http.StatusOK })
	})
}

func TestAGatewayThatStartsWithoutItsDatabaseOpensWhenItComes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	proxy, address := testenv.ProxyPostgres(t, s.database)
	s.database = address
	proxy.Cut()
	g := s.launch(t)
	c := client(t)
	g.until(t, "shut gate", func() bool {
		res, err := c.Get(g.url("/auth/login"))
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") != ""
	})
	proxy.Heal()
	g.ready(t)
	g.signedIn(t)
}
