package e2e

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/portalgate/portalgate/internal/testenv"
)

// SES-06: what the upstream answers reaches the browser without a word in our name, by every road and status.
func TestTheUpstreamsAnswerSpeaksForItselfOnly(t *testing.T) {
	f := wire(t)
	const bad = "Set-Cookie: portalgate=f0rged; Path=/\r\nSet-Cookie: __Host-portalgate=f0rged; Path=/; Secure\r\nSet-Cookie: portalgate-refresh=; Max-Age=0\r\nSet-Cookie:  Portalgate-Device =f0rged\r\nSet-Cookie: =portalgate=f0rged\r\nSet-Cookie: \"portalgate\"=f0rged\r\n" +
		"Set-Cookie: ..Host-portalgate=f0rged\r\nset-cookie: __host-portalgate-attempt=f0rged; Domain=localhost\r\nSet-Cookie: portalgate\r\nSet-Cookie: theirs=2; Path=/\r\nSet-Cookie: lang=en\r\n" +
		"Clear-Site-Data: \"cookies\"\r\nclear-site-data: \"*\"\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\nAccess-Control-Allow-Headers: x\r\nAccess-Control-Expose-Headers: x\r\n" +
		"X-Portal-User-Id: f0rged\r\nx-portal-assertion: f0rged\r\nX_Portal_User: f0rged\r\nX.Portal.User: f0rged\r\nConnection: X-Kept\r\nX-Kept: no\r\nX-Theirs: yes\r\n"
	wrong := func(h http.Header) (out []string) {
		for name, values := range h {
			if strings.HasPrefix(folded(name), "xportal") || strings.HasPrefix(name, "Access-Control-") || name == "Clear-Site-Data" || strings.Contains(strings.Join(values, "\n"), forged) {
				out = append(out, name)
			}
		}
		for _, c := range h["Set-Cookie"] {
			if c != "theirs=2; Path=/" && c != "lang=en" {
				out = append(out, "Set-Cookie: "+c)
			}
		}
		return out
	}
	for _, method := range []string{"GET", "HEAD", "POST"} {
		for _, status := range []int{200, 201, 204, 301, 304, 404, 500} {
			for _, path := range []string{"/orders", "/public/x"} {
				f.raw.Answer(func([]byte) []byte {
					if status == 204 || status == 304 || method == "HEAD" {
						return []byte("HTTP/1.1 " + strconv.Itoa(status) + " Answer\r\nContent-Length: 0\r\n" + bad + "\r\n")
					}
					return testenv.Answered(status, bad, "hello")
				})
				a := f.say(t, "", method+" "+path+" HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\nOrigin: http://acme.localhost:"+f.plain+"\r\n"+f.cookie(false)+"\r\n")
				if a.status != status || a.header.Get("X-Theirs") != "yes" || !slices.Equal(a.header["Set-Cookie"], []string{"theirs=2; Path=/", "lang=en"}) {
					t.Errorf("%s %s: %d %v", method, path, a.status, a.header)
				}
				for _, w := range wrong(a.header) {
					t.Errorf("%s %s %d: %s", method, path, status, w)
				}
			}
		}
	}
	f.raw.Answer(func([]byte) []byte {
		return []byte("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n" + bad + "\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Portal-User-Id, Set-Cookie\r\n" + bad + "\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Portal-User-Id: f0rged\r\nSet-Cookie: portalgate=f0rged\r\nAccess-Control-Allow-Origin: f0rged\r\nX-Portal-Late: f0rged\r\n\r\n")
	})
	c := f.dial(t, "")
	defer c.Close()
	if _, err := io.WriteString(c, "GET /orders HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\nTE: trailers\r\n"+f.cookie(false)+"\r\n"); err != nil {
		t.Fatal(err)
	}
	var seen bytes.Buffer
	r := bufio.NewReader(io.TeeReader(c, &seen))
	for _, status := range []int{103, 200} {
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.StatusCode != status {
			t.Fatalf("%v, %v; want %d", res, err, status)
		}
		for _, w := range wrong(res.Header) {
			t.Errorf("%d: %s", status, w)
		}
		if status != 200 {
			if res.Header.Get("Link") == "" {
				t.Error("the hint is lost")
			}
			continue
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		for _, w := range wrong(res.Trailer) {
			t.Errorf("a trailer: %s", w)
		}
		if res.Trailer.Get("X-Sum") != "1" {
			t.Errorf("trailers: %v", res.Trailer)
		}
	}
	if strings.Contains(seen.String(), forged) {
		t.Errorf("on the wire: %q", seen.String())
	}
}

// Contract 2: the rest of Caddy, and the access log, know who asked; without a session they know nobody.
func TestTheRestOfCaddyKnowsWhoAsks(t *testing.T) {
	f := wire(t)
	a := f.say(t, "", "GET /whoami?signed=in HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n"+f.cookie(false)+"\r\n")
	words := strings.Fields(a.body)
	if a.status != 200 || len(words) != 7 || words[0] != string(f.user) || words[1] != string(f.acme.ID) || words[2] != "ann@buyer.example" || len(words[3]) != 36 || words[4] != "pwd" || words[5] != "false" || words[6] != f.acme.Slug {
		t.Errorf("%d %q", a.status, a.body)
	}
	f.say(t, "", "GET /public/x?signed=out HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n"+f.cookie(false)+"\r\n")
	f.say(t, "", "GET /auth/login?token=s3cret&x=logged HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n\r\n")
	f.say(t, "", "GET /public/last HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n\r\n")
	for uri, user := range map[string]string{"/whoami?signed=in": string(f.user), "/public/x?signed=out": "", "/public/last": ""} {
		line := f.logged(t, uri)
		if line.User != user {
			t.Errorf("%s: the access log says user_id %q", uri, line.User)
		}
	}
	b, err := os.ReadFile(f.log)
	if err != nil {
		t.Fatal(err)
	}
	for what, secret := range map[string]string{"a query with a token": "s3cret", "an access token": f.access, "a refresh token": f.refresh, "a password": testenv.Password} { // AUD-01, contract 4
		if bytes.Contains(b, []byte(secret)) {
			t.Errorf("the access log has %s", what)
		}
	}
}

type logLine struct {
	User    string `json:"user_id"`
	Request struct {
		URI      string `json:"uri"`
		ClientIP string `json:"client_ip"`
	} `json:"request"`
}

// logged waits for the line of a request in the access log.
func (f *front) logged(t testing.TB, uri string) logLine {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for {
		b, err := os.ReadFile(f.log)
		if err != nil {
			t.Fatal(err)
		}
		for l := range bytes.Lines(b) {
			var line logLine
			if json.Unmarshal(l, &line) == nil && line.Request.URI == uri {
				return line
			}
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s is not in the access log", uri)
		}
	}
}

// Contract 6, HDR-08: the assertion says the same as the headers, can be checked by anybody with the keys that we
// publish, is short-lived, and opens nothing here.
func TestTheAssertionIsSignedWithThePublishedKeys(t *testing.T) {
	f := wire(t)
	f.say(t, "", "GET /orders HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n"+f.cookie(false)+"\r\n")
	r := f.raw.Await(t, 0)
	one := func(name string) string { return strings.Join(testenv.Heads(r, name), "|") }
	keys := f.say(t, "", "GET /auth/jwks.json HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n\r\n")
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.Unmarshal([]byte(keys.body), &set); err != nil || len(set.Keys) == 0 {
		t.Fatalf("%s: %v", keys.body, err)
	}
	for _, k := range set.Keys {
		if k["d"] != "" || k["k"] != "" || k["kty"] != "EC" {
			t.Errorf("published: %v", k)
		}
	}
	claims := jwt.MapClaims{}
	token, err := jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}), jwt.WithAudience("portal-upstream"), jwt.WithIssuer("http://acme.localhost:"+f.plain), jwt.WithExpirationRequired(), jwt.WithIssuedAt()).
		ParseWithClaims(one("X-Portal-Assertion"), claims, func(t *jwt.Token) (any, error) { return publicKey(set.Keys, t.Header["kid"]) })
	if err != nil || !token.Valid {
		t.Fatal(err)
	}
	for claim, header := range map[string]string{"sub": "X-Portal-User-Id", "tid": "X-Portal-Tenant-Id", "tenant_slug": "X-Portal-Tenant-Slug", "sid": "X-Portal-Session-Id", "email": "X-Portal-User-Email"} {
		if claims[claim] != one(header) {
			t.Errorf("%s is %v, and %s %q", claim, claims[claim], header, one(header))
		}
	}
	iat, _ := claims["iat"].(float64)
	exp, _ := claims["exp"].(float64)
	if exp-iat > 60 || exp <= iat || claims["jti"] == nil {
		t.Errorf("%v", claims)
	}
	f.raw.Forget()
	for _, cookie := range []string{"portalgate=" + one("X-Portal-Assertion"), "portalgate-refresh=" + one("X-Portal-Assertion")} {
		if a := f.say(t, "", "GET /orders HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\nCookie: "+cookie+"\r\n\r\n"); a.status != 401 || len(f.arrived("")) != 0 {
			t.Errorf("the assertion as a session: %d", a.status)
		}
	}
}

// publicKey is the key of an id in a JWK set, built from its coordinates by hand.
func publicKey(set []map[string]string, id any) (*ecdsa.PublicKey, error) {
	for _, k := range set {
		if k["kid"] != id {
			continue
		}
		x, err := base64.RawURLEncoding.DecodeString(k["x"])
		if err != nil {
			return nil, err
		}
		y, err := base64.RawURLEncoding.DecodeString(k["y"])
		if err != nil {
			return nil, err
		}
		return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	}
	return nil, errors.New("no such key")
}
