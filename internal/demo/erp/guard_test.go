package erp

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/demo/servers"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/testenv"
)

// gate is the part of a gate that an upstream has to do with: its keys, over HTTP.
type gate struct {
	keys   atomic.Pointer[secret.Keyring]
	signer *ecdsa.PrivateKey // of the first keys, to sign what no gate would
	clock  time.Time
	asked  atomic.Int32
	origin string
}

func newGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{clock: testenv.NewClock().Now().Truncate(time.Second)}
	first, signer := ring(t, g.clock)
	g.keys.Store(first)
	g.signer = signer
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/auth/jwks.json" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		g.asked.Add(1)
		_, _ = w.Write(g.keys.Load().JWKS(g.clock))
	}))
	t.Cleanup(server.Close)
	g.origin = server.URL
	return g
}

func ring(t *testing.T, now time.Time) (k *secret.Keyring, signer *ecdsa.PrivateKey) {
	t.Helper()
	b, err := secret.Generate(now.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if k, err = secret.Parse(b); err != nil {
		t.Fatal(err)
	}
	var file struct {
		Keys []struct {
			Purpose secret.Purpose
			Secret  []byte
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	for _, key := range file.Keys {
		if key.Purpose == secret.PurposeAssertion {
			if signer, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), key.Secret); err != nil {
				t.Fatal(err)
			}
		}
	}
	return k, signer
}

const (
	ann      = "0190aaaa-0000-7000-8000-000000000001"
	somebody = "0190aaaa-0000-7000-8000-000000000002"
	acme     = "0190aaaa-0000-7000-8000-00000000000a"
	device   = "0190aaaa-0000-7000-8000-000000000003"
)

func (g *gate) assert(t *testing.T, k *secret.Keyring, at time.Time, change func(a *secret.Assertion)) string {
	t.Helper()
	a := secret.Assertion{Issuer: g.origin, Audience: "portal-upstream", User: ann, Tenant: acme, TenantSlug: "acme", Session: device, Email: "ann@buyer.example", Name: "Ann Buyer", Roles: []string{"CUSTOMER_USER"}, AMR: []string{"pwd"}, AuthTime: 1700000000}
	if change != nil {
		change(&a)
	}
	s, err := k.SignAssertion(a, at)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// request is what an upstream is asked with, at a moment.
type request struct {
	Name    string            `json:"-"`
	Headers map[string]string `json:"headers"`
	Now     int64             `json:"now"` // milliseconds
	taken   bool
	before  func() // what the gate does before it comes
}

func (g *gate) request(name, assertion string, taken bool) request {
	return request{Name: name, Now: g.clock.UnixMilli(), taken: taken,
		Headers: map[string]string{"x-portal-assertion": assertion, "x-portal-user-id": ann, "x-portal-tenant-id": acme, "x-portal-session-id": device}}
}

func encoded(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// requests are true ones and every kind of false one, in their order.
func (g *gate) requests(t *testing.T) []request {
	t.Helper()
	mine := g.keys.Load()
	other, stranger := ring(t, g.clock)
	good := g.assert(t, mine, g.clock, nil)
	parts := strings.Split(good, ".")
	var head map[string]string
	b, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err == nil {
		err = json.Unmarshal(b, &head)
	}
	if err != nil {
		t.Fatal(err)
	}
	headed := func(alg string) string {
		return encoded(map[string]string{"alg": alg, "typ": head["typ"], "kid": head["kid"]}) + "." + parts[1]
	}
	signed := func(by *ecdsa.PrivateKey, text string) string {
		sum := sha256.Sum256([]byte(text))
		r, s, err := ecdsa.Sign(rand.Reader, by, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		raw := make([]byte, 64)
		r.FillBytes(raw[:32])
		s.FillBytes(raw[32:])
		return text + "." + base64.RawURLEncoding.EncodeToString(raw)
	}
	mac := hmac.New(sha256.New, mine.JWKS(g.clock))
	mac.Write([]byte(headed("HS256")))
	var claims map[string]any
	if b, err = base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
		err = json.Unmarshal(b, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	claims["sub"] = somebody
	out := []request{
		g.request("a true one", good, true),
		g.request("none", "", false),
		g.request("no token at all", "ann", false),
		g.request("a cut one", good[:len(good)-4], false),
		g.request("two in one", good+", "+good, false),
		g.request("other claims under the same signature", parts[0]+"."+encoded(claims)+"."+parts[2], false),
		g.request("signed by a stranger in the gate's name", signed(stranger, headed("ES256")), false),
		g.request("signed with the public key as a password", headed("HS256")+"."+base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), false),
		g.request("not signed", headed("none")+".", false),
		g.request("its algorithm written otherwise", signed(g.signer, headed("es256")), false),
		g.request("its algorithm called none", signed(g.signer, headed("none")), false),
		g.request("by the gate's key, as a gate would", signed(g.signer, headed("ES256")), true),
		g.request("expired", g.assert(t, mine, g.clock.Add(-2*time.Minute), nil), false),
		g.request("of its last second", g.assert(t, mine, g.clock.Add(-secret.AssertionLife+time.Second), nil), true),
		g.request("for another audience", g.assert(t, mine, g.clock, func(a *secret.Assertion) { a.Audience = "customers" }), false),
		g.request("of another tenant's origin", g.assert(t, mine, g.clock, func(a *secret.Assertion) { a.Issuer = "https://globex.portal.example" }), false),
		g.request("of another gate", g.assert(t, other, g.clock, nil), false),
		g.request("of another person", g.assert(t, mine, g.clock, func(a *secret.Assertion) { a.User = somebody }), false),
		g.request("of another company", g.assert(t, mine, g.clock, func(a *secret.Assertion) { a.Tenant = somebody }), false),
		g.request("of another session", g.assert(t, mine, g.clock, func(a *secret.Assertion) { a.Session = somebody }), false),
		g.request("a true one again", good, true),
	}
	// Nothing above is a reason to ask twice within the second; a key that is new then is found, and the old one forgotten.
	later := g.clock.Add(2 * time.Second)
	rotated := g.request("after a rotation", g.assert(t, other, later, nil), true)
	rotated.before = func() {
		if n := g.asked.Load(); n != 1 {
			t.Errorf("the keys were asked for %d times within a second", n)
		}
		g.keys.Store(other)
	}
	leaked := g.request("with a key that was taken out", g.assert(t, mine, later, nil), false)
	rotated.Now, leaked.Now = later.UnixMilli(), later.UnixMilli()
	// A key may be taken out without another one that makes itself known.
	last, _ := ring(t, g.clock)
	long := later.Add(6 * time.Minute)
	withdrawn := g.request("long after a withdrawal", g.assert(t, other, long, nil), false)
	withdrawn.before = func() { g.keys.Store(last) }
	withdrawn.Now = long.UnixMilli()
	return append(out, rotated, leaked, withdrawn)
}

// tried asks an upstream one by one.
func tried(t *testing.T, g *gate, judge func(q request) (taken bool, said string)) {
	t.Helper()
	for _, q := range g.requests(t) {
		if q.before != nil {
			q.before()
		}
		if taken, said := judge(q); taken != q.taken {
			t.Errorf("%s: taken is %v: %s", q.Name, taken, said)
		}
	}
}

func TestTheERPBelievesTheGateAndNobodyElse(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	now := g.clock
	v := newVerifier(Options{Audience: "portal-upstream", Now: func() time.Time { return now }, Keys: func(ctx context.Context, origin string) ([]byte, error) {
		if origin != g.origin {
			return nil, fmt.Errorf("asked at %s", origin)
		}
		r, err := http.Get(origin + "/auth/jwks.json")
		if err != nil {
			return nil, err
		}
		defer r.Body.Close()
		return io.ReadAll(r.Body)
	}})
	tried(t, g, func(q request) (bool, string) {
		now = time.UnixMilli(q.Now)
		r := httptest.NewRequest(http.MethodGet, g.origin+"/orders", nil)
		for name, value := range q.Headers {
			r.Header.Set(name, value)
		}
		claims, err := v.verify(r)
		return err == nil && claims["sub"] == ann, fmt.Sprint(claims, err)
	})
}

// asking reads a request a line, at its moment, and says who asks.
const asking = `
import { createInterface } from "node:readline";
import { whoAsks } from "./sample.mjs";

for await (const line of createInterface({ input: process.stdin })) {
	const { headers, now } = JSON.parse(line);
	Date.now = () => now;
	let said;
	try {
		said = { sub: (await whoAsks(headers, process.argv[2])).sub };
	} catch (err) {
		said = { error: String(err) };
	}
	console.log(JSON.stringify(said));
}
`

// What somebody copies out of docs/upstream.md does what the page promises.
func TestTheNodeSampleBelievesTheGateAndNobodyElse(t *testing.T) {
	t.Parallel()
	node, found := servers.Find(servers.Node)
	if !found {
		testenv.Missing(t, "node is not installed; this installs it: "+servers.Advice(servers.Node))
	}
	dir := t.TempDir()
	var samples []string
	for _, d := range testenv.Documents(t) {
		if d.Name == "docs/upstream.md" {
			samples = d.Blocks("js")
		}
	}
	if len(samples) != 1 {
		t.Fatalf("docs/upstream.md has %d samples in JavaScript", len(samples))
	}
	for name, text := range map[string]string{"sample.mjs": samples[0], "asking.mjs": asking} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := newGate(t)
	cmd := exec.CommandContext(t.Context(), node, "asking.mjs", g.origin)
	cmd.Dir = dir
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	answers := json.NewDecoder(out)
	tried(t, g, func(q request) (bool, string) {
		if err := json.NewEncoder(in).Encode(q); err != nil {
			t.Fatalf("%v: %s", err, complaints.String())
		}
		var said struct{ Sub, Error string }
		if err := answers.Decode(&said); err != nil {
			t.Fatalf("%v: %s", err, complaints.String())
		}
		return said.Sub == ann, said.Error
	})
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, complaints.String())
	}
}
