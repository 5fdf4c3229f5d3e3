package auth_test

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/testenv"
)

// seat is a browser at an address, with the cookies it got.
type seat struct {
	house   *testenv.House
	tenant  *portal.Tenant
	addr    string
	device  portal.DeviceToken
	cookies session.Cookies
}

func newSeat(h *testenv.House, t *portal.Tenant, addr string) *seat {
	return &seat{house: h, tenant: t, addr: addr}
}

// answer is what a sign-in came to: a status, and for a refusal the rule and the wait.
type answer struct {
	status int
	rule   string
	wait   time.Duration
	later  time.Duration // the answer is given that much after the request came
}

// try signs in, or fails to. A good sign-in leaves its cookies here.
func (s *seat) try(t testing.TB, email, password string) answer {
	t.Helper()
	c := s.house.Client(s.addr)
	c.Device = s.device
	out, err := s.house.Auth.SignIn(context.Background(), s.tenant, c, session.Cookies{}, auth.Credentials{Email: email, Password: password})
	if err == nil {
		if out.Grant == nil {
			t.Fatalf("%s: step %s", email, out.Step)
		}
		s.cookies = session.Cookies{Access: out.Grant.Access, Refresh: out.Grant.Refresh}
		if out.Grant.Device != nil {
			d := out.Grant.Device.Digest(secret.KindDevice, string(s.tenant.ID))
			s.device = portal.DeviceToken(d[:])
		}
		return answer{status: 303, later: out.Release.Sub(c.At)}
	}
	a := answer{status: 500}
	var held *auth.Held
	if errors.As(err, &held) {
		a.later = held.Release.Sub(c.At)
	}
	var p *portal.Problem
	if !errors.As(err, &p) {
		t.Fatalf("%s: %v", email, err)
	}
	a.status, a.rule, a.wait = p.Kind.Status(), p.Rule, p.RetryAfter
	return a
}

// forget is a browser whose cookies were cleared.
func (s *seat) forget() { s.device, s.cookies = "", session.Cookies{} }

// signedIn says whether the session still stands.
func (s *seat) signedIn(t testing.TB) bool {
	t.Helper()
	_, err := s.house.Sessions.Resume(context.Background(), s.tenant, s.cookies, s.house.Client(s.addr), false)
	return err == nil
}

// kinds runs a test with the limits kept in the process and in Redis.
func kinds(t *testing.T, test func(t *testing.T, p testenv.Plan)) {
	t.Parallel()
	t.Run("in the process", func(t *testing.T) {
		t.Parallel()
		test(t, testenv.Plan{})
	})
	t.Run("in Redis", func(t *testing.T) {
		t.Parallel()
		test(t, testenv.Plan{Redis: testenv.Redis(t)})
	})
}

func prefixes(in ...string) (out []netip.Prefix) {
	for _, s := range in {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// play is held by a test that plays days or weeks: one at a time, since each keeps a core and the database busy.
var play sync.Mutex
