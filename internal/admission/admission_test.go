package admission

import (
	"net/http"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
)

// request is a GET of /orders at the plain-HTTP host, with headers as name, value pairs.
func request(t testing.TB, method, target string, pairs ...string) *http.Request {
	t.Helper()
	r, err := asked(t, method, target)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		r.Header.Add(pairs[i], pairs[i+1])
	}
	return r
}

func admit(t testing.TB, r *http.Request) (Admitted, error) {
	t.Helper()
	a, err := arrive(town(0), r, Wire{})
	if err != nil {
		t.Fatal(err)
	}
	return a, rules(t).Admit(r, &a)
}

// CSRF-01, CSRF-02, CSRF-03, CSRF-05: the three refusals of contract 4, by every method and for handshakes.
func TestARequestFromAnotherSiteIsRefused(t *testing.T) {
	const own, session = "http://acme.localhost", "portalgate=x"
	for _, c := range []struct {
		site, origin, cookie string
		ok                   bool // of an unsafe request
		socket               bool // of a handshake
	}{
		{"", "", "", true, true}, // curl, a webhook, a test
		{"", "", session, false, false},
		{"", "", "portalgate-refresh=x", false, false},
		{"", "", "portalgate-attempt=x", false, false},
		{"", "", "portalgate-device=x", true, true}, // stands for no session
		{"", "", "Portalgate=x", false, false},      // a disguise
		{"", "", "theirs=x", true, true},
		{"", own, "", true, true},
		{"", own, session, true, true},
		{"same-origin", "", session, true, false}, // browsers send Origin with every handshake
		{"same-origin", own, session, true, true},
		{"none", "", session, true, false},
		{"none", own, session, true, true},
		{"cross-site", own, session, false, false},
		{"cross-site", "", "", false, false},
		{"same-site", own, session, false, false}, // a sibling tenant's page
		{"same-site", "http://globex.localhost", session, false, false},
		{"Same-Origin", own, session, false, false},
		{"", "https://acme.localhost", session, false, false}, // the scheme counts
		{"", "http://acme.localhost:8080", session, false, false},
		{"", "http://acme.localhost.evil.test", session, false, false},
		{"", "http://globex.localhost", session, false, false},
		{"", "http://evil.test", "", false, false},
		{"", "null", session, false, false},
		{"", "null", "", false, false},
		{"same-origin", "null", session, false, false},
		{"", "HTTP://ACME.LOCALHOST", session, false, false},
	} {
		var pairs []string
		for name, value := range map[string]string{"Sec-Fetch-Site": c.site, "Origin": c.origin, "Cookie": c.cookie} {
			if value != "" {
				pairs = append(pairs, name, value)
			}
		}
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "PROPFIND", "FOO", "post"} {
			for _, path := range []string{"/orders", "/auth/login", "/graphql", "/public/x"} {
				if _, err := admit(t, request(t, method, path, pairs...)); (err == nil) != c.ok || err != nil && kind(err) != portal.ProblemCrossSite {
					t.Errorf("%s %s %+v: %v", method, path, c, err)
				}
			}
		}
		for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
			if _, err := admit(t, request(t, method, "/orders", pairs...)); err != nil {
				t.Errorf("%s %+v: %v", method, c, err)
			}
		}
		if _, err := admit(t, request(t, "GET", "/feed", append(pairs, "Upgrade", "websocket", "Connection", "Upgrade")...)); (err == nil) != c.socket || err != nil && kind(err) != portal.ProblemCrossSite {
			t.Errorf("handshake %+v: %v", c, err)
		}
	}
	for name, r := range map[string]*http.Request{
		"two origins": request(t, "POST", "/orders", "Origin", own, "Origin", own),
		"two sites":   request(t, "POST", "/orders", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "same-origin"),
	} {
		if _, err := admit(t, r); kind(err) != portal.ProblemCrossSite {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// DOS-02: sizes are judged before anything looks inside.
func TestAnOversizedRequestIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		pairs []string
		ok    bool
	}{
		"50 cookies":           {[]string{"Cookie", strings.TrimSuffix(strings.Repeat("a=b; ", 50), "; ")}, true},
		"51 cookies":           {[]string{"Cookie", strings.TrimSuffix(strings.Repeat("a=b; ", 51), "; ")}, false},
		"5,000 cookies":        {[]string{"Cookie", strings.Repeat("a=b;", 3000)}, false},
		"cookies in two lines": {[]string{"Cookie", strings.Repeat("a=b;", 30), "Cookie", strings.Repeat("a=b;", 30)}, false},
		"nearly 16 KiB":        {[]string{"X-A", strings.Repeat("a", 16<<10-32)}, true},
		"over 16 KiB":          {[]string{"X-A", strings.Repeat("a", 16<<10)}, false},
		"many small ones":      {pairsOf(1200, "X-Abc", "0123456789"), false},
	} {
		if _, err := admit(t, request(t, "GET", "/orders", c.pairs...)); (err == nil) != c.ok || err != nil && kind(err) != portal.ProblemRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func pairsOf(n int, name, value string) (out []string) {
	for range n {
		out = append(out, name, value)
	}
	return out
}

// CFG-05, RFC 8470: what may be a replay does no deed.
func TestEarlyDataDoesNoDeed(t *testing.T) {
	for _, value := range []string{"1", "0", "x", ""} {
		if _, err := admit(t, request(t, "POST", "/orders", "Early-Data", value)); kind(err) != portal.ProblemEarlyData {
			t.Errorf("POST with %q: %v", value, err)
		}
		if _, err := admit(t, request(t, "GET", "/orders", "Early-Data", value)); err != nil {
			t.Errorf("GET with %q: %v", value, err)
		}
	}
	for complete, want := range map[bool]portal.ProblemKind{true: "", false: portal.ProblemEarlyData} {
		r := secured("acme.portal.test", "acme.portal.test")
		r.Method, r.URL, r.RequestURI = "POST", request(t, "GET", "/orders").URL, "/orders"
		r.TLS.HandshakeComplete = complete
		a, err := arrive(town(0), r, Wire{})
		if err != nil {
			t.Fatal(err)
		}
		if err := rules(t).Admit(r, &a); kind(err) != want {
			t.Errorf("handshake complete %v: %v", complete, err)
		}
	}
}

// HDR-11: nothing is tunnelled but a WebSocket.
func TestOnlyWebSocketsAreUpgraded(t *testing.T) {
	for _, c := range []struct {
		method, protocol string
		major            int
		upgrade          []string
		ok               bool
	}{
		{"GET", "", 1, []string{"websocket"}, true},
		{"GET", "", 1, []string{"WebSocket"}, true},
		{"GET", "", 1, []string{"h2c"}, false},
		{"GET", "", 1, []string{"websocket, h2c"}, false},
		{"GET", "", 1, []string{"websocket", "h2c"}, false},
		{"GET", "", 1, []string{"TLS/1.2"}, false},
		{"GET", "", 1, []string{""}, false},
		{"POST", "", 1, []string{"websocket"}, false},
		{"GET", "", 2, []string{"websocket"}, false},
		{"CONNECT", "", 1, nil, false},
		{"CONNECT", "websocket", 1, nil, false},
		{"CONNECT", "websocket", 2, nil, true},
		{"CONNECT", "connect-udp", 2, nil, false},
		{"CONNECT", "", 2, nil, false},
		{"GET /graphql", "", 2, nil, false}, // HTTP/2 carries anything there
		{"GET\r\nX-A: b", "", 2, nil, false},
		{"", "", 2, nil, false},
		{"GÉT", "", 2, nil, false},
		{"TRACE", "", 1, nil, false},
		{"TRACK", "", 1, nil, false},
	} {
		r := request(t, "GET", "/feed", "Origin", "http://acme.localhost")
		r.Method, r.ProtoMajor = c.method, c.major
		if c.upgrade != nil {
			r.Header["Upgrade"] = c.upgrade
		}
		if c.protocol != "" {
			r.Header[":protocol"] = []string{c.protocol}
		}
		a, err := admit(t, r)
		if (err == nil) != c.ok || c.ok && a.Wants != WantsSocket {
			t.Errorf("%+v: wants %v, %v", c, a.Wants, err)
		}
	}
	for proto, ok := range map[string]bool{"websocket": true, "webtransport": false, "HTTP/3.0": false} {
		r := request(t, "GET", "/feed", "Origin", "http://acme.localhost")
		r.Method, r.ProtoMajor, r.Proto = "CONNECT", 3, proto
		if _, err := admit(t, r); (err == nil) != ok {
			t.Errorf("HTTP/3 %s: %v", proto, err)
		}
	}
}

// Contract 7: what kind of answer a request can use.
func TestARequestGetsTheKindOfAnswerItCanUse(t *testing.T) {
	for _, c := range []struct {
		method, path string
		pairs        []string
		want         Wants
	}{
		{"GET", "/orders", []string{"Sec-Fetch-Mode", "navigate"}, WantsPage},
		{"GET", "/orders", []string{"Accept", "text/html,application/xhtml+xml"}, WantsPage},
		{"HEAD", "/orders", []string{"Accept", "text/html"}, WantsPage},
		{"GET", "/orders", []string{"Accept", "text/html", "Sec-Fetch-Mode", "cors"}, WantsData},
		{"GET", "/orders", []string{"Accept", "*/*"}, WantsData},
		{"GET", "/orders", nil, WantsData},
		{"GET", "/orders", []string{"Accept", "application/json"}, WantsData},
		{"POST", "/orders", []string{"Sec-Fetch-Mode", "navigate"}, WantsData},
		{"DELETE", "/orders", []string{"Accept", "text/html"}, WantsData},
		{"GET", "/graphql", []string{"Accept", "text/html"}, WantsGraphQL},
		{"POST", "/GraphQL/batch", nil, WantsGraphQL},
		{"GET", "/graphql", []string{"Upgrade", "websocket"}, WantsSocket},
		{"GET", "/feed", []string{"Upgrade", "websocket", "Accept", "text/html"}, WantsSocket},
	} {
		if a, err := admit(t, request(t, c.method, c.path, c.pairs...)); err != nil || a.Wants != c.want {
			t.Errorf("%+v: %v, %v", c, a.Wants, err)
		}
	}
}

// TEN-04: the host alone says which tenant, and a device is known by its digest under that tenant.
func TestOnlyTheHostSelectsTheTenant(t *testing.T) {
	device := secret.NewToken().Reveal()
	a, err := admit(t, request(t, "GET", "/auth/login?tenant=globex&tenant_id=0190aaaa-0000-7000-8000-00000000000b", "X-Tenant-Id", "globex", "X-Portal-Tenant-Id", "globex", "Tenant", "globex",
		"X-Forwarded-Host", "globex.portal.test", "Forwarded", "host=globex.portal.test", "Cookie", "tenant=globex; portalgate-device="+device))
	if err != nil || a.Tenant.Slug != "acme" || a.Rest != "tenant=globex" {
		t.Errorf("%+v, %v", a, err)
	}
	if a.Client.Device == "" || strings.Contains(string(a.Client.Device), device) {
		t.Errorf("device %q", a.Client.Device)
	}
}

func arrive(hosts *Hosts, r *http.Request, w Wire) (a Admitted, err error) {
	err = Tenant(hosts, r, w, &a)
	return a, err
}
