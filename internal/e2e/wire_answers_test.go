package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// Contract 7: what is answered without a session, by the kind of request.
func TestARequestWithoutASessionIsAnsweredAsItCanUse(t *testing.T) {
	f := wire(t)
	const handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	for _, c := range []struct {
		line, lines string
		status      int
		location    string // of a redirect
		kind        string // of the body
		code        string
	}{
		{"GET /orders?x=1&y=a%20b", "Sec-Fetch-Mode: navigate\r\n", 303, "/auth/login?return_to=%2Forders%3Fx%3D1%26y%3Da%2520b", "", ""},
		{"GET /orders", "Accept: text/html\r\n", 303, "/auth/login?return_to=%2Forders", "", ""},
		{"HEAD /orders", "Accept: text/html\r\n", 303, "/auth/login?return_to=%2Forders", "", ""},
		{"GET /", "Accept: text/html\r\n", 303, "/auth/login", "", ""},
		{"GET //evil.test", "Accept: text/html\r\n", 303, "/auth/login", "", ""},
		{"GET /%2fevil.test", "Accept: text/html\r\n", 303, "/auth/login", "", ""},
		{"GET /orders", "", 401, "", "application/problem+json", "session_required"},
		{"GET /orders", "Accept: application/json\r\n", 401, "", "application/problem+json", "session_required"},
		{"GET /orders", "Accept: text/html\r\nSec-Fetch-Mode: cors\r\n", 401, "", "application/problem+json", "session_required"},
		{"POST /orders", "Accept: text/html\r\n", 401, "", "application/problem+json", "session_required"},
		{"POST /orders", "Content-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\n", 401, "", "application/problem+json", "session_required"},
		{"POST /orders", "Content-Type: application/x-www-form-urlencoded\r\nAccept: application/json\r\n", 401, "", "application/problem+json", "session_required"},
		{"POST /orders", "Content-Type: application/x-www-form-urlencoded\r\n", 401, "", "application/problem+json", "session_required"},
		{"POST /orders", "Content-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\n", 401, "", "text/html; charset=utf-8", ""},
		{"GET /.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200", "Accept: text/html\r\n", 404, "", "text/html; charset=utf-8", ""},
		{"GET /.well-known/openid-configuration", "", 404, "", "application/problem+json", "not_found"},
		{"DELETE /orders", "", 401, "", "application/problem+json", "session_required"},
		{"GET /orders", "Cookie: portalgate=x.y.z\r\n", 401, "", "application/problem+json", "session_required"},
		{"GET /orders", "Cookie: portalgate=a; portalgate=b\r\n", 401, "", "application/problem+json", "session_required"},
		{"POST /graphql", "Content-Type: application/json\r\n", 401, "", "graphql", "UNAUTHENTICATED"},
		{"GET /graphql?query={me}", "Accept: text/html\r\n", 401, "", "graphql", "UNAUTHENTICATED"},
		{"POST /GraphQL/batch", "", 401, "", "graphql", "UNAUTHENTICATED"},
		{"POST /graphql/", "Content-Type: multipart/form-data; boundary=x\r\n", 401, "", "graphql", "UNAUTHENTICATED"},
		{"POST /%67raphql", "Content-Type: application/graphql\r\n", 401, "", "graphql", "UNAUTHENTICATED"},
		{"GET /feed", handshake, 401, "", "application/problem+json", "session_required"},
		{"GET /graphql", handshake + "Sec-WebSocket-Protocol: graphql-transport-ws\r\n", 401, "", "application/problem+json", "session_required"},
		{"POST /orders", "Origin: https://evil.test\r\n", 403, "", "application/problem+json", "cross_site"},
		{"POST /graphql", "Sec-Fetch-Site: cross-site\r\nContent-Type: text/plain\r\n", 403, "", "graphql", "FORBIDDEN"},
		{"POST /orders", "Early-Data: 1\r\n", 425, "", "application/problem+json", "early_data"},
	} {
		a := f.say(t, "", c.line+" HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n"+c.lines+"\r\n")
		what := fmt.Sprintf("%s %q: %d %v %s", c.line, c.lines, a.status, a.header, a.body)
		if a.status != c.status || a.header.Get("Location") != c.location || len(f.arrived("")) != 0 || a.header.Get("Cache-Control") != "no-store" {
			t.Error(what)
			continue
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Access-Control-Allow-Origin": ""} { // FE-01, FE-02
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %s is %q", what, name, got)
			}
		}
		if c.kind == "" {
			continue
		}
		var body struct {
			Code     string `json:"code"`
			LoginURL string `json:"login_url"`
			Errors   []struct {
				Message    string `json:"message"`
				Extensions struct {
					Code, LoginURL string
				} `json:"extensions"`
			} `json:"errors"`
		}
		if strings.HasPrefix(c.kind, "text/html") {
			if a.header.Get("Content-Type") != c.kind || !strings.Contains(a.body, "<h1>") {
				t.Error(what)
			}
			continue
		}
		if err := json.Unmarshal([]byte(a.body), &body); err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		login := ""
		if c.status == 401 {
			login = "/auth/login"
		}
		if c.kind == "graphql" {
			if len(body.Errors) != 1 || body.Errors[0].Message == "" || body.Errors[0].Extensions.Code != c.code || body.Errors[0].Extensions.LoginURL != login || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
				t.Error(what)
			}
		} else if body.Code != c.code || body.LoginURL != login || a.header.Get("Content-Type") != c.kind {
			t.Error(what)
		}
	}
	// a host that nobody has: from the table in memory, without a tenant's page
	a := f.say(t, "", "GET / HTTP/1.1\r\nHost: nobody.localhost:"+f.plain+"\r\nAccept: text/html\r\n\r\n")
	if a.status != 421 || len(f.arrived("")) != 0 {
		t.Errorf("an unknown host: %d", a.status)
	}
}

// Contract 7: a second factor that is due is asked for, and of an ended session the cookies go, the last of
// them with the answer that a person sees.
func TestASessionThatIsNotEnoughSaysWhatIsMissing(t *testing.T) {
	f := wire(t)
	a := f.say(t, "", "GET /Billing/x HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n"+f.cookie(false)+"\r\n")
	if a.status != 401 || !strings.Contains(a.body, `"mfa_required"`) || len(f.arrived("")) != 0 {
		t.Errorf("step-up: %d %s", a.status, a.body)
	}
	access, refresh := f.enter(t, f.acme)
	cookie := "Cookie: portalgate=" + access + "; portalgate-refresh=" + refresh + "\r\n"
	out := f.say(t, "", "POST /auth/logout HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\nOrigin: http://acme.localhost:"+f.plain+"\r\n"+cookie+"Content-Length: 0\r\n\r\n")
	if out.status != 303 {
		t.Fatalf("signing out: %d", out.status)
	}
	a = f.say(t, "", "GET /orders HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n"+cookie+"\r\n")
	if a.status != 401 || !strings.Contains(a.body, `"session_expired"`) || len(f.arrived("")) != 0 || len(a.header["Set-Cookie"]) != 1 {
		t.Errorf("after signing out: %d %v %s", a.status, a.header, a.body)
	}
	a = f.say(t, "", "GET /orders HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\nSec-Fetch-Mode: navigate\r\n"+cookie+"\r\n")
	if a.status != 303 || a.header.Get("Location") != "/auth/login?ended=1&return_to=%2Forders" || len(a.header["Set-Cookie"]) != 2 {
		t.Errorf("a navigation after signing out: %d %q", a.status, a.header.Get("Location"))
	}
}

// CSRF-03, CSRF-01: a form of another site reaches the upstream with nobody's identity, and signs nobody in or out.
func TestAnotherSitesFormReachesNothing(t *testing.T) {
	f := wire(t)
	for _, path := range []string{"/orders", "/graphql", "/auth/login", "/auth/logout", "/public/x"} {
		for _, kind := range []string{"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"} {
			for _, lines := range []string{"Origin: https://evil.test\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\nOrigin: http://globex.localhost:" + f.plain + "\r\n", "Origin: http://acme.localhost\r\n", "Origin: https://acme.localhost:" + f.plain + "\r\n"} {
				a := f.say(t, "", "POST "+path+" HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n"+lines+f.cookie(false)+"Content-Type: "+kind+"\r\nContent-Length: 3\r\n\r\na=b")
				if a.status != 403 || len(f.arrived("")) != 0 || len(a.header["Set-Cookie"]) != 0 {
					t.Errorf("%s %s %q: %d", path, kind, lines, a.status)
				}
			}
		}
	}
	if a := f.say(t, "", "GET /orders HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n"+f.cookie(false)+"\r\n"); a.status != 200 {
		t.Errorf("she is no longer signed in: %d", a.status)
	}
	f.raw.Forget()
	// where an exception is named, the request goes on, with nobody's identity and without our cookies
	a := f.say(t, "", "POST /payment/return HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\nOrigin: https://pay.test\r\nSec-Fetch-Site: cross-site\r\nX-Portal-User-Id: f0rged\r\n"+f.cookie(false)+"Content-Length: 3\r\n\r\na=b")
	got := f.arrived("")
	if a.status != 200 || len(got) != 1 {
		t.Fatalf("the exception: %d, %q", a.status, got)
	}
	for _, w := range f.pure(got[0], false) {
		t.Errorf("the exception: %s", w)
	}
}

// Off and observe (contract 6): byte for byte, but for what could pose as ours; no session is read and nothing refused.
func TestATenantThatIsNotOnIsPassedByteForByte(t *testing.T) {
	f := wire(t)
	for _, n := range []portal.Tenant{f.off, f.observe} {
		host := n.Hosts[0] + ":" + f.plain
		for _, target := range []string{"/orders", "/graphql", "/auth/login", "/a%2fb;c//d?x=1", "/public/%2e%2e/x", "/billing/x", "/.well-known/change-password"} {
			f.raw.Forget()
			a := f.say(t, "", "POST "+target+" HTTP/1.1\r\nHost: "+host+"\r\nAuthorization: Bearer theirs\r\nCookie: portalgate="+f.access+"; theirs=1\r\nOrigin: https://evil.test\r\nSec-Fetch-Site: cross-site\r\n"+
				"X-Portal-User-Id: f0rged\r\nx.portal_user: f0rged\r\nX-Custom: kept\r\nX-Real-Ip: 9.9.9.9\r\nConnection: X-Portal-Assertion\r\nContent-Length: 4\r\n\r\nbody")
			got := f.arrived("")
			if a.status != 200 || len(got) != 1 {
				t.Errorf("%s %s: %d, %d requests", n.Mode, target, a.status, len(got))
				continue
			}
			r := got[0]
			if !bytes.HasPrefix(r, []byte("POST "+target+" HTTP/1.1\r\n")) || !bytes.HasSuffix(r, []byte("\r\n\r\nbody")) || bytes.Contains(r, []byte(forged)) {
				t.Errorf("%s: %q", target, r)
			}
			for name, want := range map[string]string{"Authorization": "Bearer theirs", "Cookie": "portalgate=" + f.access + "; theirs=1", "X-Custom": "kept", "X-Real-Ip": "9.9.9.9", "Origin": "https://evil.test", "Host": host} {
				if got := testenv.Heads(r, name); !slices.Equal(got, []string{want}) {
					t.Errorf("%s: %s is %q", target, name, got)
				}
			}
			for _, l := range lines(r) {
				if strings.HasPrefix(folded(l[0]), "xportal") {
					t.Errorf("%s: a header %q", target, l[0])
				}
			}
		}
	}
	// the answer is theirs as well
	f.raw.Answer(func([]byte) []byte {
		return testenv.Answered(200, "Set-Cookie: portalgate=theirs\r\nAccess-Control-Allow-Origin: *\r\nCache-Control: max-age=9\r\n", "ok")
	})
	a := f.say(t, "", "GET / HTTP/1.1\r\nHost: "+f.off.Hosts[0]+":"+f.plain+"\r\n\r\n")
	if a.header.Get("Set-Cookie") != "portalgate=theirs" || a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Cache-Control") != "max-age=9" {
		t.Errorf("the answer: %v", a.header)
	}
	// and an error page of theirs gets what they sent
	f.errors.Forget()
	f.say(t, "", "GET /down/x HTTP/1.1\r\nHost: "+f.off.Hosts[0]+":"+f.plain+"\r\nAuthorization: Bearer theirs\r\nX-Portal-User-Id: f0rged\r\n\r\n")
	if got := f.errors.Requests(); len(got) != 1 || len(testenv.Heads(got[0], "Authorization")) != 1 || bytes.Contains(got[0], []byte(forged)) {
		t.Errorf("the error page's server received %q", got)
	}
}

// The ERP says that a tenant is suspended: nobody passes.
func TestASuspendedTenantIsClosed(t *testing.T) {
	f := wire(t)
	for _, path := range []string{"/orders", "/public/x", "/graphql"} {
		a := f.say(t, "", "GET "+path+" HTTP/1.1\r\nHost: "+f.closed.Hosts[0]+":"+f.plain+"\r\n\r\n")
		if a.status != 503 || len(f.arrived("")) != 0 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

// OR-01, OR-02, appendix A: every place that a person is sent to is on the tenant's own origin, by a browser's own
// reading, whatever was asked for and whatever the headers say.
func TestNobodyIsSentAway(t *testing.T) {
	f := wire(t)
	bad := []string{
		"https://evil.test", "//evil.test", "///evil.test", "////evil.test", "/\\evil.test", "\\/evil.test", "\\\\evil.test", "/\\/evil.test", "/%09/evil.test", "/\t/evil.test", " //evil.test", "%20//evil.test", "/%0d/evil.test", "/%0a/evil.test", "/%00/evil.test", "%01https://evil.test",
		"/%2f/evil.test", "/%5cevil.test", "/%2f%2fevil.test", "/%252f/evil.test", "https:evil.test", "https:/evil.test", "https:///evil.test", "http:\\\\evil.test", "//acme.localhost@evil.test", "//acme.localhost:x@evil.test", "//evil.test#acme.localhost", "//evil.test?.acme.localhost",
		"//acme.localhost.evil.test", "//evilacme.localhost", "//evil.test\\.acme.localhost", "//evil%E3%80%82test", "javascript:alert(1)", "JaVaScRiPt:alert(1)//", "data:text/html,x", "vbscript:x", "/%0d%0aSet-Cookie:a=b", "/ok%0d%0aLocation:%20//evil.test", "", "/" + strings.Repeat("a", 3000), ".evil.test", "@evil.test", ";//evil.test",
		"/ok", "/auth/logout", "/auth/login?return_to=//evil.test",
	}
	var places []string
	for _, p := range bad {
		for _, form := range []string{url.QueryEscape(p), url.QueryEscape(url.QueryEscape(p)), url.QueryEscape(url.QueryEscape(url.QueryEscape(p)))} {
			a := f.say(t, "", "GET /auth/login?return_to="+form+" HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n"+f.cookie(false)+"X-Forwarded-Host: evil.test\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Prefix: //evil.test\r\n\r\n")
			to := a.header["Location"]
			if a.status != 303 || len(to) != 1 || to[0] == "" || strings.HasPrefix(to[0], "/auth/log") || len(a.header["Set-Cookie"]) > 0 {
				t.Errorf("%q: %d, %q", p, a.status, to)
				continue
			}
			places = append(places, to[0])
		}
	}
	for _, double := range []string{"return_to=/ok&return_to=//evil.test", "return_to=//evil.test&return_to=/ok"} {
		a := f.say(t, "", "GET /auth/login?"+double+" HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n"+f.cookie(false)+"\r\n")
		if a.header.Get("Location") != "/" {
			t.Errorf("%s: %q", double, a.header.Get("Location"))
		}
	}
	// and by the form itself, where it is used
	for _, p := range []string{"//evil.test", "/\\evil.test", "/%2f/evil.test", "javascript:alert(1)", "/ok?x=1"} {
		res := post(t, client(t), "http://acme.localhost:"+f.plain+"/auth/login", url.Values{"email": {"ann@buyer.example"}, "password": {testenv.Password}, "return_to": {p}})
		if want := map[bool]string{true: p, false: "/"}[p == "/ok?x=1"]; res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != want {
			t.Errorf("signing in with %q leads to %q", p, res.Header.Get("Location"))
		}
	}
	ctx := testenv.Browser(t)
	list, err := json.Marshal(places)
	if err != nil {
		t.Fatal(err)
	}
	var away []string
	if err := chromedp.Run(ctx, chromedp.Evaluate(string(list)+`.filter(p => new URL(p, "https://acme.portal.test/auth/login").origin !== "https://acme.portal.test")`, &away)); err != nil {
		t.Fatal(err)
	}
	for _, p := range away {
		t.Errorf("a browser would go elsewhere for %q", p)
	}
}
