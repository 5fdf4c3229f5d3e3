package upstream

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
)

var prefix = NewPrefix("X-Portal-")

// spellings of one name, as programs on the way may read them (HDR-02).
var spellings = []string{
	"X-Portal-User", "x-portal-user", "X-PORTAL-USER", "X_Portal_User", "X-Portal_User", "X_PORTAL-USER", "X.Portal.User", "X-Portal.User", "x.portal_user",
	"XPortalUser", "xportaluser", "Xportal", "X-Portal", "X--Portal--User", "-X-Portal-User", "_x_portal_user", "X-Portal-", "X!Portal#User", "X-Por-Tal-User", "X~Portal|User", "'X-Portal-User",
	"X-Portal-Anything-At-All", "X-Portalgate",
}

var harmless = []string{"X-Porta", "X-Porter-User", "Portal-User", "XX-Portal-User", "X-1Portal", "User", "Accept", "", "-", "X"}

func TestEverySpellingOfThePrefixIsOurs(t *testing.T) {
	for _, s := range spellings {
		if !prefix.Ours(s) {
			t.Errorf("%q is not seen as ours", s)
		}
	}
	for _, s := range harmless {
		if prefix.Ours(s) {
			t.Errorf("%q is seen as ours", s)
		}
	}
	for _, own := range []string{"x-portal-", "X-PORTAL-", "X-Portal-"} { // HDR-03: however the operator writes it
		p := NewPrefix(own)
		for _, s := range spellings {
			if !p.Ours(s) {
				t.Errorf("with prefix %q, %q is not seen as ours", own, s)
			}
		}
	}
	if p := NewPrefix("Acme-Id-"); !p.Ours("acme_id_user") || p.Ours("X-Portal-User") {
		t.Error("another prefix is not followed")
	}
}

// HDR-01: none of them survives, whatever else stands beside them.
func TestForgedHeadersAreRemoved(t *testing.T) {
	r := &http.Request{Header: http.Header{}}
	for _, s := range spellings {
		r.Header[s] = []string{"admin", "admin"}
	}
	for _, s := range harmless {
		r.Header[s] = []string{"kept"}
	}
	prefix.Scrub(r)
	if len(r.Header) != len(harmless) {
		t.Errorf("left: %v", r.Header)
	}
}

// HDR-04: what Connection names is taken out by the proxy after we have set it.
func TestConnectionCannotNameOurHeaders(t *testing.T) {
	for _, c := range []struct {
		lines       []string
		want, clean string // after Scrub, and after Clean
	}{
		{[]string{"close, X-Portal-User, x-portal-tenant, X_Portal_Assertion"}, "close", "close"},
		{[]string{"x-portal-user"}, "", ""},
		{[]string{"keep-alive", "X-Portal-User"}, "keep-alive", "keep-alive"},
		{[]string{"X-Portal-User", "Upgrade, X.Portal.Id"}, "Upgrade", "Upgrade"},
		{[]string{"Cookie"}, "Cookie", ""},
		{[]string{"Authorization, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host"}, "Authorization, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host", ""},
		{[]string{"close", "keep-alive", "upgrade"}, "close|keep-alive|upgrade", "close|keep-alive|upgrade"},
		{[]string{"\tclose ,, Te"}, "close, Te", "close"},
		{[]string{"Host"}, "Host", ""},
	} {
		r := &http.Request{Header: http.Header{"Connection": c.lines}}
		prefix.Scrub(r)
		if got := strings.Join(r.Header["Connection"], "|"); got != c.want {
			t.Errorf("%q scrubbed: %q, want %q", c.lines, got, c.want)
		}
		Clean(r, Arrival{})
		if got := strings.Join(r.Header["Connection"], "|"); got != c.clean {
			t.Errorf("%q cleaned: %q, want %q", c.lines, got, c.clean)
		}
	}
}

// trailed reads a chunked request from bytes, as the server does.
func trailed(t testing.TB, declared, sent string) *http.Request {
	t.Helper()
	head := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
	if declared != "" {
		head += "Trailer: " + declared + "\r\n"
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head + "\r\n2\r\nok\r\n0\r\n" + sent + "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	// Caddy hands a copy of the server's request on, which shares the map of declared trailers.
	return r.WithContext(t.Context())
}

// HDR-05: only what was declared arrives, and nothing of ours or of those who route.
func TestNoTrailerCarriesAnIdentity(t *testing.T) {
	for _, c := range []struct{ declared, sent, want string }{
		{"X-Sum", "X-Sum: 1\r\n", "X-Sum=1"},
		{"X-Sum, X-Portal-User", "X-Sum: 1\r\nX-Portal-User: admin\r\n", "X-Sum=1"},
		{"X-Portal-User", "X-Portal-User: admin\r\n", ""},
		{"x_portal_user", "x_portal_user: admin\r\n", ""},
		{"", "X-Portal-User: admin\r\n", ""},
		{"X-Sum", "X-Sum: 1\r\nX-Portal-User: admin\r\nX-Other: 2\r\n", "X-Sum=1"},
		{"X-Sum, X-Forwarded-For, Authorization, Cookie, Connection, X-Real-Ip, Forwarded, Host", "X-Sum: 1\r\nX-Forwarded-For: 127.0.0.1\r\nAuthorization: x\r\nCookie: a=b\r\nX-Real-Ip: 1\r\nForwarded: for=x\r\n", "X-Sum=1"},
	} {
		r := trailed(t, c.declared, c.sent)
		prefix.Scrub(r)
		Clean(r, Arrival{})
		if len(r.Header["Trailer"]) > 0 {
			t.Errorf("%+v: a Trailer header is left: %v", c, r.Header)
		}
		if b, err := io.ReadAll(r.Body); err != nil || string(b) != "ok" {
			t.Fatalf("%+v: body %q, %v", c, b, err)
		}
		got := ""
		for name, values := range r.Trailer {
			got += name + "=" + strings.Join(values, ",")
		}
		if got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// FuzzScrub: whatever the name, it is gone when its letters and digits begin with ours, and stays otherwise.
func FuzzScrub(f *testing.F) {
	for _, s := range append(append([]string{}, spellings...), harmless...) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		var letters strings.Builder
		for _, r := range name { // another way to the same end
			if strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", r) {
				letters.WriteRune(r)
			}
		}
		ours := strings.HasPrefix(strings.ToLower(letters.String()), "xportal")
		r := &http.Request{Header: http.Header{name: {"x"}, "Connection": {"close, " + strings.NewReplacer(",", "", "\t", "", " ", "").Replace(name)}}}
		prefix.Scrub(r)
		if _, left := r.Header[name]; left == ours && name != "Connection" {
			t.Fatalf("%q: left %v, ours %v", name, left, ours)
		}
		for _, token := range strings.Split(strings.Join(r.Header["Connection"], ","), ",") {
			if prefix.Ours(strings.TrimSpace(token)) {
				t.Fatalf("%q is still nominated: %q", name, r.Header["Connection"])
			}
		}
		Clean(r, Arrival{})
		for left := range r.Header {
			if claim(left) {
				t.Fatalf("%q is left", left)
			}
		}
	})
}
