package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Issuer is the `iss` of access tokens.
const Issuer = "portalgate"

// ClockSkew is how far two gateways' clocks may differ before one refuses what the other has just made. ASVS 9.2.1
// and KEY-02 allow up to 60 seconds; our own `ready` already complains at 2.
const ClockSkew = 5 * time.Second

// MaxAccessLife is the longest life of an access token that the configuration allows. A token that says it lives longer
// was not made by us as we are.
const MaxAccessLife = time.Hour

// MaxAccessLen bounds what is parsed at all (CVE-2025-30204 was a parser fed with a million dots).
const MaxAccessLen = 2048

const (
	typeAccess    = "at+jwt" // RFC 9068 section 2.1
	typeAssertion = "portal-assertion+jwt"
)

// Access is what an access token says. It holds no personal data, only ids (SES-01).
type Access struct {
	Issuer     string   `json:"iss"`
	Audience   string   `json:"aud"` // the realm
	User       string   `json:"sub"`
	Tenant     string   `json:"tid"`
	Session    string   `json:"sid"`
	AMR        []string `json:"amr"`
	AuthTime   int64    `json:"auth_time"`
	IssuedAt   int64    `json:"iat"`
	NotBefore  int64    `json:"nbf"`
	Expires    int64    `json:"exp"`
	ID         string   `json:"jti"`
	Generation int      `json:"gen"` // of the refresh token it was made with
	Millis     int      `json:"ms"`  // of IssuedAt: a revocation and a new token may fall into one second
	MFAAt      int64    `json:"mfa_at,omitempty"`
}

// Issued is when the token was made, to the millisecond.
func (a *Access) Issued() time.Time { return time.UnixMilli(a.IssuedAt*1000 + int64(a.Millis)) }

// Errors of checking a token. ErrExpired is returned together with the claims: an expired token still says which
// session it was.
var (
	ErrInvalid = errors.New("token is not valid")
	ErrExpired = errors.New("token has expired")
	ErrForeign = fmt.Errorf("%w here: it is another tenant's", ErrInvalid)
)

// SignAccess makes an access token.
func (k *Keyring) SignAccess(a Access, now time.Time) (string, error) {
	key := k.set.Load().current(PurposeAccess, now)
	if key == nil {
		return "", fmt.Errorf("signing an access token: %w", ErrKey)
	}
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, &accessClaims{a})
	t.Header["typ"], t.Header["kid"] = typeAccess, key.ID
	s, err := t.SignedString(key.raw())
	if err != nil {
		return "", fmt.Errorf("signing an access token: %w", err)
	}
	return s, nil
}

// accessHead is the first segment of the tokens that a key signs, which is the same for all of them.
func accessHead(kid string) string {
	b, err := json.Marshal(map[string]any{"alg": "HS256", "typ": typeAccess, "kid": kid})
	if err != nil {
		panic(err) // three strings
	}
	return strictURL.EncodeToString(b)
}

// accessKey finds the key of a token by its first segment, which must be what the key writes to the letter: `jwk`,
// `jku`, `x5u`, `crit` and `b64` are ways to bring one's own key or to change what is signed (KEY-01).
func (k *Keyring) accessKey(head string, now time.Time) *Key {
	for _, key := range k.set.Load().all {
		if key.head == head {
			return k.find(key.ID, PurposeAccess, now)
		}
	}
	var h struct {
		Kid string `json:"kid"`
	}
	b, err := strictURL.DecodeString(head)
	if err != nil || json.Unmarshal(b, &h) != nil || accessHead(h.Kid) != head {
		return nil
	}
	return k.find(h.Kid, PurposeAccess, now)
}

// VerifyAccess checks a token of a realm and tenant at a moment. Every doubt is ErrInvalid, also ErrForeign. A forged token costs a
// signature's check and no more: nothing that it says is read before.
func (k *Keyring) VerifyAccess(token, realm, tenant string, now time.Time) (Access, error) {
	if len(token) > MaxAccessLen || strings.Count(token, ".") != 2 || strings.Contains(token, "\r") || strings.Contains(token, "\n") { // line ends, which the decoder skips
		return Access{}, ErrInvalid
	}
	head, rest, _ := strings.Cut(token, ".")
	body, signature, _ := strings.Cut(rest, ".")
	key := k.accessKey(head, now)
	sum, err := strictURL.DecodeString(signature)
	if key == nil || err != nil {
		return Access{}, ErrInvalid
	}
	if own := key.macs.sum(token[:len(head)+1+len(body)]); !Equal(own[:], sum) || !once(body) {
		return Access{}, ErrInvalid
	}
	var c accessClaims
	t, err := accessParser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return key.raw(), nil })
	if err != nil || !t.Valid {
		return Access{}, ErrInvalid
	}
	a := c.Access
	switch {
	case a.Issuer == Issuer && a.Audience == realm && a.Tenant != tenant:
		return Access{}, ErrForeign
	case a.Issuer != Issuer, a.Audience != realm,
		a.User == "", a.Session == "", a.ID == "", len(a.AMR) == 0, a.AuthTime <= 0, a.IssuedAt <= 0, a.NotBefore <= 0, a.Expires <= 0,
		a.Millis < 0 || a.Millis > 999, a.Generation < 0, a.Expires < a.IssuedAt, a.Expires-a.IssuedAt > int64(MaxAccessLife/time.Second):
		return Access{}, ErrInvalid
	case now.Unix() < a.NotBefore-int64(ClockSkew/time.Second), now.Unix() < a.IssuedAt-int64(ClockSkew/time.Second):
		return Access{}, ErrInvalid
	case now.Unix() >= a.Expires:
		return a, ErrExpired
	}
	return a, nil
}

// once says whether a segment of a token is one JSON object that names each of its members once, in lower case. A parser
// takes the last of two, and another program may take the first; Go's matches names without regard to case.
func once(segment string) bool {
	b, err := strictURL.DecodeString(segment)
	if err != nil {
		return false
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return false
	}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		name, ok := token.(string)
		if err != nil || !ok || seen[name] || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return false
		}
		seen[name] = true
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return false
		}
	}
	if _, err := dec.Token(); err != nil {
		return false
	}
	_, err = dec.Token()
	return errors.Is(err, io.EOF)
}

// The claims are judged by VerifyAccess itself, which must tell an expired token from a bad one.
var accessParser = jwt.NewParser(
	jwt.WithValidMethods([]string{"HS256"}),
	jwt.WithStrictDecoding(),
	jwt.WithoutClaimsValidation(),
)

type accessClaims struct{ Access }

func (c *accessClaims) GetExpirationTime() (*jwt.NumericDate, error) { return date(c.Expires), nil }
func (c *accessClaims) GetIssuedAt() (*jwt.NumericDate, error)       { return date(c.IssuedAt), nil }
func (c *accessClaims) GetNotBefore() (*jwt.NumericDate, error)      { return date(c.NotBefore), nil }
func (c *accessClaims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c *accessClaims) GetSubject() (string, error)                  { return c.User, nil }
func (c *accessClaims) GetAudience() (jwt.ClaimStrings, error) {
	return jwt.ClaimStrings{c.Audience}, nil
}

func date(sec int64) *jwt.NumericDate { return jwt.NewNumericDate(time.Unix(sec, 0)) }

// Assertion is what the upstream may verify: the facts of the identity headers, signed (contract 6).
type Assertion struct {
	Issuer     string   `json:"iss"` // the tenant's origin
	Audience   string   `json:"aud"`
	User       string   `json:"sub"`
	Tenant     string   `json:"tid"`
	TenantSlug string   `json:"tenant_slug"`
	Session    string   `json:"sid"`
	Email      string   `json:"email"`
	Name       string   `json:"name"`
	Roles      []string `json:"roles"`
	Customer   string   `json:"customer_id,omitempty"`
	AMR        []string `json:"amr"`
	AuthTime   int64    `json:"auth_time"`
	IssuedAt   int64    `json:"iat"`
	Expires    int64    `json:"exp"`
	ID         string   `json:"jti"`
}

// AssertionLife is how long an upstream may accept an assertion after it was made (HDR-08).
const AssertionLife = 60 * time.Second

// SignAssertion signs with ES256. It fills in the times and the token's id.
func (k *Keyring) SignAssertion(a Assertion, now time.Time) (string, error) {
	key := k.set.Load().current(PurposeAssertion, now)
	if key == nil {
		return "", fmt.Errorf("signing an assertion: %w", ErrKey)
	}
	a.IssuedAt = now.Unix()
	a.Expires = now.Add(AssertionLife).Unix()
	id := NewID()
	a.ID = fmt.Sprintf("%x", id[:])
	t := jwt.NewWithClaims(jwt.SigningMethodES256, &assertionClaims{a})
	t.Header = map[string]any{"alg": "ES256", "typ": typeAssertion, "kid": key.ID}
	s, err := t.SignedString(key.signer)
	if err != nil {
		return "", fmt.Errorf("signing an assertion: %w", err)
	}
	return s, nil
}

type assertionClaims struct{ Assertion }

func (c *assertionClaims) GetExpirationTime() (*jwt.NumericDate, error) { return date(c.Expires), nil }
func (c *assertionClaims) GetIssuedAt() (*jwt.NumericDate, error)       { return date(c.IssuedAt), nil }
func (c *assertionClaims) GetNotBefore() (*jwt.NumericDate, error)      { return nil, nil }
func (c *assertionClaims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c *assertionClaims) GetSubject() (string, error)                  { return c.User, nil }
func (c *assertionClaims) GetAudience() (jwt.ClaimStrings, error) {
	return jwt.ClaimStrings{c.Audience}, nil
}

// Bearer signs the token that an unchanged backend already accepts: HS256 with its own secret and its claims (M28).
// The backend's clock has no tolerance, so there is an expiry and never a `nbf`.
type Bearer struct {
	key veiled
}

// Format does not reveal the secret, whatever the verb.
func (Bearer) Format(f fmt.State, _ rune) { io.WriteString(f, "[backend's secret]") }

// publishedDefaults are secrets that stand in public example configurations; a token made with one can be made by
// anybody.
var publishedDefaults = []string{"secret", "changeme", "change-me", "your-secret-key", "your_jwt_secret", "jwt-secret", "jwtsecret",
	"customer-jwt-secret", "customer_jwt_secret", "supersecret", "super-secret", "default", "development", "dev-secret",
	"customer-secret-key-change-in-production", "your-customer-jwt-secret", "change-me-in-production", "secretkey", "password"}

// NewBearer takes the backend's secret. Published defaults are refused, and so is anything under 16 bytes.
func NewBearer(key string) (*Bearer, error) {
	low := strings.ToLower(strings.TrimSpace(key))
	if slices.Contains(publishedDefaults, low) || strings.Contains(strings.NewReplacer("-", "", "_", "", " ", "").Replace(low), "changeme") || strings.Contains(low, "change-in-production") {
		return nil, errors.New("the backend's secret is a published default, which anybody can sign with; give the backend a random one")
	}
	distinct := map[byte]bool{}
	for i := range len(key) {
		distinct[key[i]] = true
	}
	if len(key) < 16 || len(distinct) < 8 {
		return nil, errors.New("the backend's secret is too short or too regular; give the backend a random one of at least 32 characters")
	}
	return &Bearer{veil([]byte(key))}, nil
}

// Same says whether two sign with the same secret; nil is none.
func (b *Bearer) Same(other *Bearer) bool {
	if b == nil || other == nil {
		return b == other
	}
	return Equal(b.key(), other.key())
}

// BearerClaims are the old backend's claims (legacy 3).
type BearerClaims struct {
	User     string   `json:"sub"`
	Type     string   `json:"type"`
	Customer string   `json:"customerId,omitempty"`
	Tenant   string   `json:"tenantId"`
	Email    string   `json:"email"`
	Roles    []string `json:"roles"`
	IssuedAt int64    `json:"iat"`
	Expires  int64    `json:"exp"`
}

// Sign makes the token, alive for a number of minutes from now.
func (b *Bearer) Sign(c BearerClaims, now time.Time, life time.Duration) (string, error) {
	c.Type = "access"
	// A backend whose clock is slightly behind must not see a token from its future.
	c.IssuedAt = now.Add(-ClockSkew).Unix()
	c.Expires = now.Add(life).Unix()
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": c.User, "type": c.Type, "customerId": c.Customer, "tenantId": c.Tenant, "email": c.Email,
		"roles": c.Roles, "iat": c.IssuedAt, "exp": c.Expires,
	})
	s, err := t.SignedString(b.key())
	if err != nil {
		return "", fmt.Errorf("signing the backend's token: %w", err)
	}
	return s, nil
}
