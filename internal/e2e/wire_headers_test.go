package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/testenv"
)

// lies of appendix B, as lines of a request of HTTP/1.1. What a client makes up is marked.
var lies = []string{
	"X-Portal-User: f0rged", "x-portal-user: f0rged", "X-PORTAL-USER: f0rged", "X_Portal_User: f0rged", "X-Portal_User: f0rged", "X_PORTAL-USER: f0rged",
	"X.Portal.User: f0rged", "X-Portal.User: f0rged", "X-Portal-User: f0rged\r\nX-Portal-User: f0rged", "X-Portal-User: a, f0rged", "X-Portal-User : f0rged", "X-Portal-User\t: f0rged",
	"X-Portal-User-Id: f0rged", "X-Portal-Assertion: f0rged", "X-Portal-Tenant-Id: f0rged\r\nx-portal-tenant-id: f0rged", "XPortalUserId: f0rged", "X--Portal--User-Id: f0rged", "-X-Portal-User-Id: f0rged", "X!Portal#User: f0rged", "X-Portal-User-Id:f0rged", "X-Portal-User-Id:\tf0rged",
	"X-Portal: f0rged", "X-Portal-: f0rged", "X-Portal-Customer-Id: f0rged", "X-Portal-User-Id:\r\n f0rged", "X-Portal-User-Id: \r\n\tf0rged",
	"Connection: close, X-Portal-User-Id, X-Portal-Tenant-Id, X-Portal-Assertion", "connection: x-portal-user-id", "Connection: X-Portal-User-Id\r\nConnection: X-Portal-Assertion", "Connection: X_Portal_User_Id, x.portal.assertion",
	"Connection: Cookie", "Connection: Authorization", "Connection: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host", "Connection: Host", "Connection: close\r\nConnection: keep-alive, Via", "Connection: \"X-Portal-User-Id\"", "Connection:X-Portal-User-Id;q=1",
	"Keep-Alive: f0rged", "Proxy-Connection: f0rged", "TE: trailers, f0rged", "TE: f0rged",
	"Forwarded: for=127.0.0.1;host=f0rged;proto=http", "X-Forwarded-For: f0rged", "X-Forwarded-For: f0rged, 127.0.0.1\r\nX-Forwarded-For: f0rged", "X-Forwarded-Host: f0rged", "X-Forwarded-Proto: f0rged", "X-Forwarded-Port: f0rged", "X-Forwarded-Prefix: f0rged", "X-Forwarded-Uri: f0rged",
	"X-Forwarded-Method: f0rged", "X-Forwarded-Server: f0rged", "X-Forwarded-User: f0rged", "X-Forwarded-Email: f0rged", "X-Forwarded-Groups: f0rged", "X_Forwarded_Proto: f0rged", "X.Forwarded.For: f0rged", "X-Forwarded_Host: f0rged",
	"X-Real-IP: f0rged", "True-Client-IP: f0rged", "CF-Connecting-IP: f0rged", "X-Client-IP: f0rged", "X-Original-URL: /f0rged", "X-Rewrite-URL: /f0rged", "X-HTTP-Method-Override: f0rged", "X-Method-Override: f0rged", "Remote-User: f0rged", "X-Auth-Request-User: f0rged", "X-Authentik-Username: f0rged",
	"Authorization: Bearer f0rged", "authorization: Basic f0rged\r\nAuthorization: f0rged", "Proxy-Authorization: f0rged", "Proxy: f0rged", "HTTP2-Settings: f0rged",
	"X-Tenant-ID: globex", "User-Agent: kube-probe/1.0", "User-Agent: GoogleHC/1.0", // TEN-04; CVE-2026-34457
	"Cookie: portalgate=f0rged", "Cookie: __Host-portalgate=f0rged; __Host-portalgate-refresh=f0rged", "Cookie: PORTALGATE=f0rged", "Cookie: portalgate-refresh=f0rged; portalgate-device=f0rged; portalgate-attempt=f0rged",
}

// roads are the kinds of way through the gate.
var roads = []struct {
	name, path string
	known      bool // an identity goes with the request, when somebody is signed in
	socket     bool
	errors     bool // it ends at the error page's server
}{
	{"protected", "/orders", true, false, false},
	{"public", "/public/x", false, false, false},
	{"graphql", "/graphql?query=%7B__typename%7D", true, false, false},
	{"error", "/down/x", false, false, true},
	{"socket", "/feed", true, true, false},
}

// HDR-01, HDR-02, HDR-04, HDR-07, TEN-04: by every road, signed in and not, the upstream receives our word and nobody
// else's.
func TestNothingAClientMakesUpReachesTheUpstream(t *testing.T) {
	f := wire(t)
	for _, lie := range lies {
		for _, road := range roads {
			for _, in := range []bool{true, false} {
				f.errors.Forget()
				f.raw.Forget()
				text := "GET " + road.path + " HTTP/1.1\r\nHost: acme.localhost:" + f.plain + "\r\n"
				ours := strings.HasPrefix(lie, "Cookie")
				if in && !ours {
					text += f.cookie(false)
				}
				if road.socket {
					text += "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nOrigin: http://acme.localhost:" + f.plain + "\r\n"
					if !strings.HasPrefix(strings.ToLower(lie), "connection") {
						text += "Connection: Upgrade\r\n"
					}
				}
				a := f.say(t, "", text+lie+"\r\n\r\n")
				got, wrong := f.arrived(""), f.errors.Requests()
				what := fmt.Sprintf("%q on a %s path, signed in %v, answered %d", lie, road.name, in && !ours, a.status)
				switch known := road.known && in && !ours; {
				case a.status == 400 && len(got)+len(wrong) == 0:
					// the server's own refusal of what is no message
				case road.errors:
					if a.status != 200 && a.status != 401 || len(got) != 0 || len(wrong) != b2i(a.status == 200) {
						t.Errorf("%s: the upstream received %d, the error page's server %d", what, len(got), len(wrong))
					}
					for _, r := range wrong {
						for _, w := range f.pure(r, false) {
							t.Errorf("%s: the error page's server received %s", what, w)
						}
						if c := testenv.Heads(r, "Cookie"); len(c) > 0 { // HDR-11
							t.Errorf("%s: the error page's server received cookies: %q", what, c)
						}
					}
				case known || road.name == "public":
					if a.status != 200 || len(got) != 1 || len(wrong) != 0 {
						t.Errorf("%s: the upstream received %d, the error page's server %d", what, len(got), len(wrong))
						continue
					}
					for _, w := range f.pure(got[0], known) {
						t.Errorf("%s: the upstream received %s", what, w)
					}
					if in && !ours && !bytes.Contains(got[0], []byte("theirs=1")) {
						t.Errorf("%s: the portal's own cookie is lost", what)
					}
				default:
					if a.status != 401 && !(ours && road.socket && a.status == 403) || len(got)+len(wrong) != 0 {
						t.Errorf("%s: the upstream received %d, the error page's server %d", what, len(got), len(wrong))
					}
				}
			}
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
