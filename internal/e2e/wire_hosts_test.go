package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/testenv"
)

// hosts of appendix D, in the plain form and in the one with a port; % stands for the port.
var hostnames = map[string]bool{ // whether it is Acme
	"acme.localhost": true, "ACME.LOCALHOST": true, "acme.localhost.": true, "acme.localhost:%": true, "acme.localhost:": true, "Acme.Localhost.:%": true,
	"acme.localhost..": false, "acme.localhost:99999": false, "acme.localhost:-1": false, "acme.localhost:x": false,
	"acme.localhost%00": false, "acme.localhost/": false, "acme.localhost@globex.localhost": false, "globex.localhost#acme.localhost": false, "acme.localhost,globex.localhost": false, "acme.localhost globex.localhost": false,
	"[::1]": false, "127.0.0.1": false, "localhost": false, "evil.test": false, "acme.localhost.evil.test": false, "evilacme.localhost": false, "xn--acme-.localhost": false, "xn--80ak6aa92e.localhost": false, "\u0430cme.localhost": false, "acme\u3002localhost": false,
	"": false, ".": false, "...": false, "*.localhost": false, "acme.localhost\\x": false, "[acme.localhost]": false, "acme_localhost": false,
}

// TEN-01, appendix D: a host leads to exactly one tenant, or to none; what belongs to another tenant never comes along.
func TestAHostLeadsToOneTenantOrToNone(t *testing.T) {
	f := wire(t)
	for host, acme := range hostnames {
		host = strings.ReplaceAll(host, "%0", "\x00")
		host = strings.ReplaceAll(strings.ReplaceAll(host, "%", f.plain), "\x00", "%0")
		for _, in := range []bool{true, false} {
			f.raw.Forget()
			f.errors.Forget()
			text := "GET /orders HTTP/1.1\r\nHost: " + host + "\r\n"
			if in {
				text += f.cookie(false)
			}
			a := f.say(t, "", text+"\r\n")
			got := f.arrived("")
			if len(f.errors.Requests()) > 0 {
				a.status = 400 // Caddy's own refusal, by way of the error page
			}
			switch {
			case acme && in:
				if a.status != 200 || len(got) != 1 {
					t.Errorf("%q: answered %d, the upstream received %d", host, a.status, len(got))
					continue
				}
				for _, w := range f.pure(got[0], true) {
					t.Errorf("%q: %s", host, w)
				}
			case acme:
				if a.status != 401 || len(got) != 0 {
					t.Errorf("%q, signed out: answered %d, the upstream received %d", host, a.status, len(got))
				}
			default:
				if a.status != 400 && a.status != 404 && a.status != 421 && a.status != 0 || len(got) != 0 {
					t.Errorf("%q: answered %d, the upstream received %q", host, a.status, got)
				}
			}
		}
	}
}

// TEN-03 at the gate: a session opens its own tenant's hosts and no other's, in either cookie.
func TestASessionOpensNoOtherTenant(t *testing.T) {
	f := wire(t)
	for name, cookie := range map[string]string{
		"Ann of Acme at Globex": f.cookie(false), "the access token alone": "Cookie: portalgate=" + f.access + "\r\n", "the refresh token alone": "Cookie: portalgate-refresh=" + f.refresh + "\r\n",
	} {
		a := f.say(t, "", "GET /orders HTTP/1.1\r\nHost: globex.localhost:"+f.plain+"\r\n"+cookie+"\r\n")
		if a.status != 401 || len(f.arrived("")) != 0 {
			t.Errorf("%s: %d, %q", name, a.status, f.arrived(""))
		}
	}
	a := f.say(t, "", "GET /orders HTTP/1.1\r\nHost: globex.localhost:"+f.plain+"\r\nCookie: portalgate="+f.foreign+"\r\n\r\n")
	got := f.arrived("")
	if a.status != 200 || len(got) != 1 || testenv.Heads(got[0], "X-Portal-Tenant-Id")[0] != string(f.globex.ID) {
		t.Errorf("Ann of Globex at Globex: %d, %q", a.status, got)
	}
	// and hers at Acme is still good: a foreign token ends nobody's session (REF-06)
	if a := f.say(t, "", "GET /orders HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n"+f.cookie(false)+"\r\n"); a.status != 200 {
		t.Errorf("Ann of Acme at Acme: %d", a.status)
	}
}

// TEN-02: SNI, Host, :authority and the target agree, or the request is misdirected.
func TestTheNamesOfARequestAgree(t *testing.T) {
	f := wire(t)
	for _, c := range []struct {
		sni, host string
		ok        bool
	}{
		{"acme.localhost", "acme.localhost", true}, {"acme.portal.test", "acme.portal.test", true}, {"acme.portal.test", "ACME.portal.test.", true},
		{"acme.localhost", "globex.localhost", false}, {"globex.localhost", "acme.localhost", false}, {"acme.portal.test", "acme.localhost", false}, {"globex.portal.test", "acme.portal.test", false}, {"acme.portal.test", "evil.test", false},
	} {
		for _, in := range []bool{true, false} {
			for _, proto := range []string{"HTTP/1.1", "HTTP/2"} {
				f.raw.Forget()
				var status int
				if proto == "HTTP/1.1" {
					text := "GET /orders HTTP/1.1\r\nHost: " + c.host + ":" + f.secure + "\r\n"
					if in {
						text += f.cookie(true)
					}
					status = f.sayTLS(t, c.sni, text+"\r\n").status
				} else {
					fields := f.get2("/orders", in)
					fields[5] = c.host + ":" + f.secure
					status = f.h2(t, c.sni).ask(fields...).status
				}
				got := f.arrived("")
				what := fmt.Sprintf("%s, SNI %s, host %s, signed in %v: answered %d, the upstream received %d", proto, c.sni, c.host, in, status, len(got))
				switch {
				case !c.ok && (status != 421 || len(got) != 0), c.ok && in && (status != 200 || len(got) != 1), c.ok && !in && (status != 401 || len(got) != 0):
					t.Error(what)
				case c.ok && in:
					for _, w := range f.pure(got[0], true) {
						t.Errorf("%s: %s", what, w)
					}
				}
			}
		}
	}
}

// Contract 5: a host that is not localhost is reached over https only, and says so whatever a client claims.
func TestPlainHTTPIsMisdirectedButForLocalhost(t *testing.T) {
	f := wire(t)
	for _, more := range []string{"", "X-Forwarded-Proto: https\r\n", "Forwarded: proto=https\r\n", "X-Forwarded-Ssl: on\r\n", "Front-End-Https: on\r\n"} {
		a := f.say(t, "", "GET /auth/login HTTP/1.1\r\nHost: acme.portal.test:"+f.plain+"\r\n"+more+f.cookie(true)+"\r\n")
		if a.status != 421 || len(f.arrived("")) != 0 {
			t.Errorf("%q: %d", more, a.status)
		}
	}
}
