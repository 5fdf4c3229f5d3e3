package erp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"github.com/golang-jwt/jwt/v5"
)

// verifier checks assertions the way an upstream should: one algorithm, the gate's published keys, every claim.
type verifier struct {
	o    Options
	mu   sync.Mutex
	keys map[string]map[string]*ecdsa.PublicKey // by origin and key id

	asked, read map[string]time.Time // by origin: when the keys were asked for, and when they came
}

// keysLive is how long keys are believed before they are asked for again: one that has leaked is in the set no more.
const keysLive = 5 * time.Minute

func newVerifier(o Options) *verifier {
	return &verifier{o: o, keys: map[string]map[string]*ecdsa.PublicKey{}, asked: map[string]time.Time{}, read: map[string]time.Time{}}
}

// origin is the tenant's own, as the gate forwards it.
func origin(r *http.Request) string {
	proto := r.Header.Get("X-Forwarded-Proto")
	if proto == "" {
		proto = "http"
	}
	return proto + "://" + r.Host
}

func (v *verifier) verify(r *http.Request) (jwt.MapClaims, error) {
	lines := r.Header["X-Portal-Assertion"]
	if len(lines) != 1 {
		return nil, errors.New("no assertion")
	}
	from := origin(r)
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(lines[0], claims, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		return v.key(r.Context(), from, kid)
	}, jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(from), jwt.WithAudience(v.o.Audience), jwt.WithExpirationRequired(), jwt.WithTimeFunc(v.o.Now))
	if err != nil {
		return nil, err
	}
	for claim, header := range map[string]string{"sub": "X-Portal-User-Id", "tid": "X-Portal-Tenant-Id", "sid": "X-Portal-Session-Id"} {
		if values := r.Header[header]; len(values) != 1 || values[0] != claims[claim] {
			return nil, fmt.Errorf("the header %s does not say what the assertion says", header)
		}
	}
	return claims, nil
}

func (v *verifier) key(ctx context.Context, from, kid string) (*ecdsa.PublicKey, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.o.Now()
	if k := v.keys[from][kid]; k != nil && now.Sub(v.read[from]) <= keysLive {
		return k, nil
	}
	// They are asked for at most once a second: a flood of forged assertions is no flood on the gate.
	if v.o.Keys == nil || now.Sub(v.asked[from]) <= time.Second {
		return nil, errors.New("unknown key")
	}
	v.asked[from] = now
	b, err := v.o.Keys(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("fetching the gate's keys: %w", err)
	}
	var set struct {
		Keys []struct{ Kty, Crv, Kid, X, Y string }
	}
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, fmt.Errorf("reading the gate's keys: %w", err)
	}
	found := map[string]*ecdsa.PublicKey{}
	for _, k := range set.Keys {
		x, err1 := base64.RawURLEncoding.DecodeString(k.X)
		y, err2 := base64.RawURLEncoding.DecodeString(k.Y)
		if k.Kty != "EC" || k.Crv != "P-256" || err1 != nil || err2 != nil {
			continue
		}
		if pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...)); err == nil {
			found[k.Kid] = pub
		}
	}
	v.keys[from], v.read[from] = found, now
	if k := found[kid]; k != nil {
		return k, nil
	}
	return nil, errors.New("unknown key")
}

// who is the person of a request: by assertion, or in old-guard mode by bearer token.
func (e *ERP) who(r *http.Request) (person, error) {
	if e.o.OldGuard != nil {
		u, err := e.o.OldGuard.check(r, e.o.Now())
		if err != nil {
			return person{}, err
		}
		return person{Tenant: u.Tenant, User: u.ID, Email: u.Email, Name: strings.TrimSpace(u.FirstName + " " + u.LastName), Role: u.Role}, nil
	}
	if _, err := e.verifier.verify(r); err != nil {
		return person{}, err
	}
	h := func(name string) string {
		s, err := url.PathUnescape(r.Header.Get("X-Portal-" + name))
		if err != nil {
			return ""
		}
		return s
	}
	return person{h("Tenant-Id"), h("Tenant-Slug"), h("User-Id"), h("User-Email"), h("User-Name"), h("User-Roles")}, nil
}

// OldGuard is the unchanged backend's own check: a bearer token with its secret, and the user's row on each request.
type OldGuard struct {
	Secret string
	Lookup func(ctx context.Context, id string) (OldUser, bool, error)
}

// OldUser is a row of customer_users as the old backend sees it.
type OldUser struct {
	ID, Tenant, Customer, Email, FirstName, LastName, Role string
	Active, Verified, Deleted                              bool
}

// said is what the old backend says, in its words and its capitals.
type said string

// Error is the sentence.
func (s said) Error() string { return string(s) }

const (
	errUnauthorized said = "Unauthorized"
	errTokenType    said = "Invalid token type"
	errInactive     said = "User account is inactive"
	errUnverified   said = "Email not verified"
)

// cors is the header with which the old backend names a foreign origin; the gate takes it off.
func (g *OldGuard) cors(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "https://portal.old-erp.example")
	h.Set("Access-Control-Allow-Credentials", "true")
}

func (g *OldGuard) check(r *http.Request, now time.Time) (OldUser, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return OldUser{}, errUnauthorized
	}
	claims := jwt.MapClaims{}
	// No tolerance, an optional expiry, and any of the three HMACs: that is how it is.
	_, err := jwt.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return []byte(g.Secret), nil },
		jwt.WithValidMethods([]string{"HS256", "HS384", "HS512"}), jwt.WithTimeFunc(func() time.Time { return now }))
	if err != nil {
		return OldUser{}, errUnauthorized
	}
	if claims["type"] != "access" {
		return OldUser{}, errTokenType
	}
	sub, _ := claims["sub"].(string)
	u, found, err := g.Lookup(r.Context(), sub)
	switch {
	case err != nil:
		return OldUser{}, err
	case !found || u.Deleted:
		return OldUser{}, errUnauthorized
	case !u.Active:
		return OldUser{}, errInactive
	case !u.Verified:
		return OldUser{}, errUnverified
	}
	return u, nil
}
