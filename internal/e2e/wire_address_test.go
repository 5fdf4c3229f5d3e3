package e2e

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/portalgate/portalgate/internal/testenv"
)

const trusting = "trusted_proxies static 127.0.0.1/32 10.0.0.0/8\n\t\ttrusted_proxies_strict"

// IP-01, IP-02: the client's address is the peer's, unless the peer is trusted; then it is the right-most that is not.
// What is logged, stored and passed on is the same one address.
func TestTheClientsAddressIsWhatTrustedProxiesSay(t *testing.T) {
	like := wire(t)
	behind := newFront(t, frontOptions{servers: trusting, like: like})
	for i, c := range []struct {
		lines        []string
		bare, proxed string // the address when the peer is nobody, and when it is a trusted proxy
	}{
		{nil, "127.0.0.1", "127.0.0.1"},
		{[]string{"198.51.100.4"}, "127.0.0.1", "198.51.100.4"},
		{[]string{"9.9.9.9, 198.51.100.4"}, "127.0.0.1", "198.51.100.4"},
		{[]string{"9.9.9.9", "198.51.100.4"}, "127.0.0.1", "198.51.100.4"},
		{[]string{"9.9.9.9, 198.51.100.4, 10.1.2.3"}, "127.0.0.1", "198.51.100.4"},
		{[]string{"127.0.0.1, 198.51.100.4"}, "127.0.0.1", "198.51.100.4"},
		{[]string{"junk, 198.51.100.4"}, "127.0.0.1", "198.51.100.4"},
		{[]string{"198.51.100.4:99"}, "127.0.0.1", "198.51.100.4"},
		{[]string{"::ffff:198.51.100.4"}, "127.0.0.1", "198.51.100.4"},
		{[]string{"2001:db8::4"}, "127.0.0.1", "2001:db8::4"},
		{[]string{"[2001:db8::4]:99"}, "127.0.0.1", "2001:db8::4"},
		{[]string{"fe80::1%eth0"}, "127.0.0.1", "fe80::1"},
		{[]string{"a"}, "127.0.0.1", "127.0.0.1"},
		{[]string{""}, "127.0.0.1", "127.0.0.1"},
		{[]string{"9.9.9.9, a"}, "127.0.0.1", "127.0.0.1"}, // Caddy steps over what it cannot read; we do not
		{[]string{"9.9.9.9", ""}, "127.0.0.1", "127.0.0.1"},
		{[]string{"10.0.0.1, 10.0.0.2"}, "127.0.0.1", "127.0.0.1"},
	} {
		for name, f := range map[string]*front{"nobody": like, "trusted": behind} {
			want := map[string]string{"nobody": c.bare, "trusted": c.proxed}[name]
			f.raw.Forget()
			var text strings.Builder
			for _, l := range c.lines {
				text.WriteString("X-Forwarded-For: " + l + "\r\n")
			}
			uri := "/orders?address=" + strconv.Itoa(i)
			a := f.say(t, "", "GET "+uri+" HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\nX-Real-Ip: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nCF-Connecting-IP: 6.6.6.6\r\n"+text.String()+f.cookie(false)+"\r\n")
			got := f.arrived("")
			if a.status != 200 || len(got) != 1 {
				t.Errorf("%s %q: %d, %d requests", name, c.lines, a.status, len(got))
				continue
			}
			passed := []string{want + ", 127.0.0.1"}
			if name == "nobody" || c.lines == nil {
				passed = []string{"127.0.0.1"}
			}
			if fors := testenv.Heads(got[0], "X-Forwarded-For"); !slices.Equal(fors, passed) {
				t.Errorf("%s %q: the upstream is told %q, want %q", name, c.lines, fors, passed)
			}
			if bytes.Contains(got[0], []byte("6.6.6.6")) || bytes.Contains(got[0], []byte("9.9.9.9")) {
				t.Errorf("%s %q: the upstream received %q", name, c.lines, got[0])
			}
		}
	}
	// what is stored of a sign-in
	for name, c := range map[string]struct {
		f    *front
		want string
	}{"nobody": {like, "127.0.0.1"}, "trusted": {behind, "198.51.100.77"}} {
		body := url.Values{"email": {"ann@buyer.example"}, "password": {testenv.Password}}.Encode()
		a := c.f.say(t, "", "POST /auth/login HTTP/1.1\r\nHost: acme.localhost:"+c.f.plain+"\r\n"+c.f.ownOrigin()+"X-Forwarded-For: 9.9.9.9, 198.51.100.77\r\nUser-Agent: "+name+"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
		if a.status != 303 {
			t.Fatalf("%s: signing in: %d", name, a.status)
		}
		var stored string
		c.f.house.DB.Row(t, `select host(address) from portalgate.sessions where tenant_id = $1 and agent = $2`, []any{c.f.acme.ID, name}, &stored)
		if stored != c.want {
			t.Errorf("%s: stored as %s, want %s", name, stored, c.want)
		}
	}
}

// Contract 5: a trusted proxy that has taken the TLS off says so, and everything is as over HTTPS.
func TestBehindATrustedProxyPlainHTTPIsHTTPS(t *testing.T) {
	like := wire(t)
	f := newFront(t, frontOptions{servers: trusting, like: like})
	body := url.Values{"email": {"ann@buyer.example"}, "password": {testenv.Password}}.Encode()
	form := "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n"
	a := f.say(t, "", "POST /auth/login HTTP/1.1\r\nHost: acme.portal.test\r\nX-Forwarded-Proto: https\r\nOrigin: https://acme.portal.test\r\n"+form+"\r\n"+body)
	set := a.header["Set-Cookie"]
	if a.status != 303 || len(set) < 2 || a.header.Get("Strict-Transport-Security") == "" {
		t.Fatalf("signing in: %d %v", a.status, a.header)
	}
	var cookies []string
	for _, c := range set {
		if !strings.HasPrefix(c, "__Host-") || !strings.Contains(c, "; Secure") {
			t.Errorf("set: %s", c)
		}
		pair, _, _ := strings.Cut(c, ";")
		cookies = append(cookies, pair)
	}
	f.raw.Forget()
	a = f.say(t, "", "GET /orders HTTP/1.1\r\nHost: acme.portal.test\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\nCookie: "+strings.Join(cookies, "; ")+"\r\n\r\n")
	got := f.arrived("")
	if a.status != 200 || len(got) != 1 || !slices.Equal(testenv.Heads(got[0], "X-Forwarded-Proto"), []string{"https"}) || !slices.Equal(testenv.Heads(got[0], "X-Forwarded-Host"), []string{"acme.portal.test"}) {
		t.Errorf("%d, %q", a.status, got)
	}
	f.raw.Forget()
	for _, lines := range []string{"", "X-Forwarded-Proto: http\r\n", "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n", "X-Forwarded-Proto: https,http\r\n", "Forwarded: proto=https\r\n"} {
		if a := f.say(t, "", "GET /orders HTTP/1.1\r\nHost: acme.portal.test\r\n"+lines+"Cookie: "+strings.Join(cookies, "; ")+"\r\n\r\n"); a.status != 421 || len(f.arrived("")) != 0 {
			t.Errorf("%q: %d", lines, a.status)
		}
	}
}

// HDR-03 and contract 6: an operator may write the prefix as they like, and an unchanged backend gets a bearer token
// that it knows, which no client ever sees or replaces.
func TestAnUnchangedBackendGetsATokenOfItsOwn(t *testing.T) {
	like := wire(t)
	f := newFront(t, frontOptions{like: like, global: "header_prefix x-portal-", gate: "upstream_token jwt {\n\t\t\t\tsecret {env.PORTALGATE_BACKEND_SECRET}\n\t\t\t}"})
	a := f.say(t, "", "GET /orders HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\nAuthorization: Bearer f0rged\r\nX-PORTAL-USER-ID: f0rged\r\nx-portal-user-id: f0rged\r\n"+f.cookie(false)+"\r\n")
	got := f.raw.Await(t, 0)
	bearer := testenv.Heads(got, "Authorization")
	if a.status != 200 || len(bearer) != 1 || bytes.Contains(got, []byte(forged)) || len(testenv.Heads(got, "X-Portal-User-Id")) != 1 {
		t.Fatalf("%d, %q", a.status, got)
	}
	claims := jwt.MapClaims{}
	if _, err := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired()).ParseWithClaims(strings.TrimPrefix(bearer[0], "Bearer "), claims, func(*jwt.Token) (any, error) { return []byte(backendSecret), nil }); err != nil {
		t.Errorf("%v: %s", err, bearer[0])
	}
	exp, _ := claims["exp"].(float64)
	if left := time.Until(time.Unix(int64(exp), 0)); left <= 0 || left > 5*time.Minute+time.Second {
		t.Errorf("it lives %s: %v", left, claims)
	}
	for _, path := range []string{"/public/x", "/down/x"} {
		f.raw.Forget()
		f.errors.Forget()
		f.say(t, "", "GET "+path+" HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n"+f.cookie(false)+"\r\n")
		for _, r := range slices.Concat(f.arrived(""), f.errors.Requests()) {
			if len(testenv.Heads(r, "Authorization")) != 0 || bytes.Contains(r, []byte(bearer[0])) { // HDR-11
				t.Errorf("%s: %q", path, r)
			}
		}
	}
}

// HDR-10: when an identity cannot be signed, the answer is an error of ours, and nothing is forwarded.
func TestWhatCannotBeSignedIsNotForwarded(t *testing.T) {
	like := wire(t)
	b, err := os.ReadFile(like.keyring)
	if err != nil {
		t.Fatal(err)
	}
	var ring map[string]any
	if err := json.Unmarshal(b, &ring); err != nil {
		t.Fatal(err)
	}
	for _, k := range ring["keys"].([]any) {
		if key := k.(map[string]any); key["purpose"] == "assertion" {
			key["verify_until"] = time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
		}
	}
	if b, err = json.Marshal(ring); err != nil {
		t.Fatal(err)
	}
	spoilt := *like.site
	spoilt.keyring = filepath.Join(t.TempDir(), "keyring.json")
	if err := os.WriteFile(spoilt.keyring, b, 0o600); err != nil {
		t.Fatal(err)
	}
	with := *like
	with.site = &spoilt
	f := newFront(t, frontOptions{like: &with})
	for _, c := range []struct {
		line, lines string
		status      int
		arrives     int
	}{
		{"GET /orders", "", 500, 0}, {"GET /orders", "Accept: text/html\r\n", 500, 0}, {"GET /graphql?query=%7Bme%7D", "", 500, 0},
		{"GET /feed", f.ownOrigin() + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", 500, 0},
		{"GET /public/x", "", 200, 1},
	} {
		f.raw.Forget()
		a := f.say(t, "", c.line+" HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n"+c.lines+f.cookie(false)+"\r\n")
		if a.status != c.status || len(f.arrived("")) != c.arrives || strings.Contains(a.body, "key") {
			t.Errorf("%s: %d, %d requests, %s", c.line, a.status, len(f.arrived("")), a.body)
		}
	}
}
