package secret

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"hash"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"
)

// good is an access token's claims of realm customers and tenant t.
func good(now time.Time) Access {
	return Access{Issuer: Issuer, Audience: "customers", User: "u", Tenant: "t", Session: "s", AMR: []string{"pwd"}, AuthTime: now.Unix(),
		IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: now.Add(30 * time.Minute).Unix(), ID: "j", Generation: 3}
}

func signed(t testing.TB, k *Keyring, a Access, now time.Time) string {
	t.Helper()
	s, err := k.SignAccess(a, now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func segment(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// forge signs any header and payload with any key, as somebody would who has the key and not our code.
func forge(header, payload string, key []byte, h func() hash.Hash) string {
	text := segment([]byte(header)) + "." + segment([]byte(payload))
	m := hmac.New(h, key)
	m.Write([]byte(text))
	return text + "." + segment(m.Sum(nil))
}

// KEY-01, KEY-02: every way to pose as an access token, one at a time. What is not said to be signed with our own key
// is signed with it, so that only the item itself can be the reason for the refusal.
func TestEveryForgedAccessTokenIsRefused(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	k := ring(t, now)
	access := k.set.Load().current(PurposeAccess, now)
	assertion := k.set.Load().current(PurposeAssertion, now)
	key := access.raw()
	claims := func(change func(map[string]any)) string {
		b, err := json.Marshal(good(now))
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]any{}
		dec := json.NewDecoder(strings.NewReader(string(b)))
		dec.UseNumber()
		if err := dec.Decode(&m); err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(m)
		}
		if b, err = json.Marshal(m); err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	header := func(change func(map[string]any)) string {
		m := map[string]any{"alg": "HS256", "typ": typeAccess, "kid": access.ID}
		if change != nil {
			change(m)
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	with := func(name string, value any) func(map[string]any) {
		return func(m map[string]any) { m[name] = value }
	}
	lacking := func(name string) func(map[string]any) {
		return func(m map[string]any) { delete(m, name) }
	}
	sign := func(h, p string) string { return forge(h, p, key, sha256.New) }

	valid := sign(header(nil), claims(nil))
	if a, err := k.VerifyAccess(valid, "customers", "t", now); err != nil || a.User != "u" || a.Generation != 3 {
		t.Fatalf("the forger's tools make no valid token: %v", err)
	}
	part := strings.Split(valid, ".")
	forged := map[string]string{
		"empty": "", "one segment": part[0], "two segments": part[0] + "." + part[1], "empty signature": part[0] + "." + part[1] + ".",
		"four segments": valid + "." + part[2], "trailing dot": valid + ".", "trailing text": valid + "A", "trailing space": valid + " ",
		"trailing line end": valid + "\n", "line end within": part[0] + "." + part[1][:5] + "\n" + part[1][5:] + "." + part[2], "leading space": " " + valid,
		"padding": valid + "=", "NUL": valid + "\x00", "short signature": valid[:len(valid)-2], "encrypted form": "a.b.c.d.e",
		"a million dots": strings.Repeat(".", 1_000_000), "2,049 bytes": strings.Repeat("A", 1000) + "." + strings.Repeat("A", 1000) + "." + strings.Repeat("A", 47),
		"signature of another": part[0] + "." + part[1] + "." + strings.Split(sign(header(nil), claims(with("sub", "v"))), ".")[2],
		"payload of another":   part[0] + "." + segment([]byte(claims(with("sub", "v")))) + "." + part[2],
		"header of another":    segment([]byte(header(with("kid", "other")))) + "." + part[1] + "." + part[2],
		"non-canonical bits":   valid[:len(valid)-1] + string(sibling(valid[len(valid)-1])),

		"HS384":                           forge(header(with("alg", "HS384")), claims(nil), key, sha512.New384),
		"HS512":                           forge(header(with("alg", "HS512")), claims(nil), key, sha512.New),
		"ES256 by name":                   sign(header(with("alg", "ES256")), claims(nil)),
		"RS256 by name":                   sign(header(with("alg", "RS256")), claims(nil)),
		"no alg":                          sign(header(lacking("alg")), claims(nil)),
		"alg of a number":                 sign(header(with("alg", 256)), claims(nil)),
		"alg of lower case":               sign(header(with("alg", "hs256")), claims(nil)),
		"jwk":                             sign(header(with("jwk", map[string]any{"kty": "oct", "k": segment(key)})), claims(nil)),
		"jku":                             sign(header(with("jku", "https://evil.example/keys")), claims(nil)),
		"x5u":                             sign(header(with("x5u", "https://evil.example/cert")), claims(nil)),
		"x5c":                             sign(header(with("x5c", []string{"MIIB"})), claims(nil)),
		"crit":                            sign(header(with("crit", []string{"x"})), claims(nil)),
		"crit of exp":                     sign(header(with("crit", []string{"exp"})), claims(nil)),
		"b64 false":                       sign(header(with("b64", false)), claims(nil)),
		"zip":                             sign(header(with("zip", "DEF")), claims(nil)),
		"kid unknown":                     sign(header(with("kid", "access-20990101-00000000")), claims(nil)),
		"kid absent":                      sign(header(lacking("kid")), claims(nil)),
		"kid empty":                       sign(header(with("kid", "")), claims(nil)),
		"kid of a path":                   forge(header(with("kid", "../../../../dev/null")), claims(nil), nil, sha256.New),
		"kid of SQL":                      sign(header(with("kid", "x' union select '"+access.ID)), claims(nil)),
		"kid of a number":                 sign(header(with("kid", 1)), claims(nil)),
		"kid of a list":                   sign(header(with("kid", []string{access.ID})), claims(nil)),
		"kid of another purpose":          forge(header(with("kid", k.set.Load().current(PurposeForm, now).ID)), claims(nil), k.set.Load().current(PurposeForm, now).raw(), sha256.New),
		"kid of the assertion key":        forge(header(with("kid", assertion.ID)), claims(nil), assertion.raw(), sha256.New),
		"type absent":                     sign(header(lacking("typ")), claims(nil)),
		"type JWT":                        sign(header(with("typ", "JWT")), claims(nil)),
		"type of assertions":              sign(header(with("typ", typeAssertion)), claims(nil)),
		"type of other case":              sign(header(with("typ", "AT+JWT")), claims(nil)),
		"header twice":                    sign(header(nil)+header(nil), claims(nil)),
		"header of a list":                sign("["+header(nil)+"]", claims(nil)),
		"header null":                     sign("null", claims(nil)),
		"header with alg twice":           sign(strings.Replace(header(nil), "{", `{"alg":"none",`, 1), claims(nil)),
		"header with Alg":                 sign(strings.Replace(header(nil), "{", `{"Alg":"none",`, 1), claims(nil)),
		"payload twice":                   sign(header(nil), claims(nil)+claims(nil)),
		"payload and text":                sign(header(nil), claims(nil)+"x"),
		"payload of a list":               sign(header(nil), "["+claims(nil)+"]"),
		"payload null":                    sign(header(nil), "null"),
		"payload empty":                   sign(header(nil), "{}"),
		"payload no JSON":                 sign(header(nil), "exp=1"),
		"payload invalid UTF-8 in a name": sign(header(nil), strings.Replace(claims(nil), "{", "{\"\xff\":1,", 1)),

		"exp string":       sign(header(nil), claims(with("exp", "9999999999"))),
		"exp negative":     sign(header(nil), claims(with("exp", -1))),
		"exp zero":         sign(header(nil), claims(with("exp", 0))),
		"exp huge":         sign(header(nil), strings.Replace(claims(nil), `"exp":`, `"exp":1e300,"old":`, 1)),
		"exp in 292 years": sign(header(nil), claims(with("exp", int64(1)<<62))),
		"exp in a year":    sign(header(nil), claims(with("exp", now.AddDate(1, 0, 0).Unix()))),
		"exp of a float":   sign(header(nil), claims(with("exp", float64(now.Add(time.Minute).Unix())+0.5))),
		"exp null":         sign(header(nil), claims(with("exp", nil))),
		"exp before iat":   sign(header(nil), claims(with("exp", now.Add(-time.Minute).Unix()))),
		"nbf in future":    sign(header(nil), claims(with("nbf", now.Add(6*time.Second).Unix()))),
		"iat in future":    sign(header(nil), claims(with("iat", now.Add(6*time.Second).Unix()))),
		"iss other":        sign(header(nil), claims(with("iss", "evil"))),
		"iss of an array":  sign(header(nil), claims(with("iss", []string{Issuer}))),
		"aud other realm":  sign(header(nil), claims(with("aud", "staff"))),
		"aud of an array":  sign(header(nil), claims(with("aud", []string{"customers", "staff"}))),
		"tid other":        sign(header(nil), claims(with("tid", "u"))),
		"ms negative":      sign(header(nil), claims(with("ms", -1))),
		"ms beyond":        sign(header(nil), claims(with("ms", 1000))),
		"gen negative":     sign(header(nil), claims(with("gen", -1))),
		"amr empty":        sign(header(nil), claims(with("amr", []string{}))),
	}
	for _, none := range []string{"none", "None", "NONE", "nOnE", "noNe", "none ", ""} {
		h := segment([]byte(header(with("alg", none))))
		forged["alg "+none] = h + "." + part[1] + "."
		forged["alg "+none+" with its signature"] = h + "." + part[1] + "." + part[2]
		forged["alg "+none+" signed"] = sign(header(with("alg", none)), claims(nil))
	}
	for _, claim := range []string{"iss", "aud", "sub", "tid", "sid", "amr", "auth_time", "iat", "nbf", "exp", "jti"} {
		forged["without "+claim] = sign(header(nil), claims(lacking(claim)))
		forged[claim+" twice"] = sign(header(nil), strings.Replace(claims(nil), "{", `{"`+claim+`":`+string(value(t, claims(nil), claim))+",", 1))
		forged[claim+" twice, in capitals"] = sign(header(nil), strings.Replace(claims(nil), "{", `{"`+strings.ToUpper(claim)+`":`+string(value(t, claims(nil), claim))+",", 1))
		forged[claim+" of an object"] = sign(header(nil), claims(with(claim, map[string]any{"a": 1})))
	}
	forged["a claim in letters that fold"] = sign(header(nil), strings.Replace(claims(nil), "{", `{"ſid":"x",`, 1))

	// The public half of the key that signs assertions is known to everybody; as an HMAC key it must be worth nothing.
	der, err := x509.MarshalPKIXPublicKey(&assertion.signer.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := map[string][]byte{
		"PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "DER": der, "JWKS": k.JWKS(now),
	}
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(k.JWKS(now), &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("%d public keys, %v", len(set.Keys), err)
	}
	public["JWK"] = set.Keys[0]
	for name, pub := range public {
		for _, kid := range []string{assertion.ID, access.ID} {
			forged["HMAC with the public key as "+name+", kid "+kid] = forge(header(with("kid", kid)), claims(nil), pub, sha256.New)
		}
	}
	// A token truly signed with the assertion key, and an assertion itself, are no access tokens (HDR-08).
	forged["ES256 with our assertion key"] = es256(t, assertion.signer, header(func(m map[string]any) { m["alg"], m["kid"] = "ES256", assertion.ID }), claims(nil))
	forged["ES256 with our assertion key and the access key's id"] = es256(t, assertion.signer, header(with("alg", "ES256")), claims(nil))
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forged["ES256 with a key of one's own"] = es256(t, own, header(with("alg", "ES256")), claims(nil))
	if forged["an assertion"], err = k.SignAssertion(Assertion{User: "u", Tenant: "t", Session: "s"}, now); err != nil {
		t.Fatal(err)
	}

	for name, token := range forged {
		if a, err := k.VerifyAccess(token, "customers", "t", now); !errors.Is(err, ErrInvalid) || a.User != "" {
			t.Errorf("%s: %v, claims of user %q", name, err, a.User)
		}
	}
	// The same token is refused in another realm, tenant and keyring.
	for name, verify := range map[string]func() (Access, error){
		"realm":     func() (Access, error) { return k.VerifyAccess(valid, "staff", "t", now) },
		"tenant":    func() (Access, error) { return k.VerifyAccess(valid, "customers", "u", now) },
		"no tenant": func() (Access, error) { return k.VerifyAccess(valid, "customers", "", now) },
		"keyring":   func() (Access, error) { return ring(t, now).VerifyAccess(valid, "customers", "t", now) },
	} {
		if _, err := verify(); !errors.Is(err, ErrInvalid) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	// What a later release may add is no reason for a refusal while two releases run side by side.
	if _, err := k.VerifyAccess(sign(header(nil), claims(with("new", "x"))), "customers", "t", now); err != nil {
		t.Errorf("a claim of a later release: %v", err)
	}
}

// sibling is a character that differs in the last bit of its six.
func sibling(c byte) byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[strings.IndexByte(alphabet, c)^1]
}

func value(t *testing.T, object, name string) json.RawMessage {
	t.Helper()
	m := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(object), &m); err != nil {
		t.Fatal(err)
	}
	return m[name]
}

func es256(t *testing.T, key *ecdsa.PrivateKey, header, payload string) string {
	t.Helper()
	text := segment([]byte(header)) + "." + segment([]byte(payload))
	d := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, d[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return text + "." + segment(sig)
}

// KEY-02: the moments at which a token begins and ceases to be good.
func TestAnAccessTokenIsGoodFromItsBeginningToItsEnd(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	k := ring(t, now)
	token := signed(t, k, good(now), now)
	for _, c := range []struct {
		after time.Duration
		want  error
	}{
		{-time.Hour, ErrInvalid}, {-ClockSkew - time.Second, ErrInvalid}, {-ClockSkew, nil}, {0, nil}, {30*time.Minute - time.Second, nil},
		{30 * time.Minute, ErrExpired}, {31 * time.Minute, ErrExpired}, {24 * 365 * time.Hour, ErrExpired},
	} {
		a, err := k.VerifyAccess(token, "customers", "t", now.Add(c.after))
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s after it was made: %v", c.after, err)
		}
		if (err == nil || errors.Is(err, ErrExpired)) != (a.Session == "s") {
			t.Errorf("%s after it was made it says session %q", c.after, a.Session)
		}
	}
}

// HDR-08: what the upstream verifies with the public keys alone.
func TestAnAssertionIsVerifiedWithThePublicKeys(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	k := ring(t, now)
	token, err := k.SignAssertion(Assertion{Issuer: "https://a.example", Audience: "portal-upstream", User: "u", Tenant: "t", Session: "s", Name: "Ann"}, now)
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Keys []struct{ Kty, Crv, Alg, Use, Kid, X, Y, D string }
	}
	if err := json.Unmarshal(k.JWKS(now), &set); err != nil || len(set.Keys) != 1 || set.Keys[0].D != "" {
		t.Fatalf("%+v, %v", set, err)
	}
	part := strings.Split(token, ".")
	point := []byte{4}
	for _, s := range []string{set.Keys[0].X, set.Keys[0].Y} {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || len(b) != 32 {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		point = append(point, b...)
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := base64.RawURLEncoding.DecodeString(part[2])
	if err != nil || len(sig) != 64 {
		t.Fatalf("a signature of %d bytes, %v", len(sig), err)
	}
	d := sha256.Sum256([]byte(part[0] + "." + part[1]))
	if !ecdsa.Verify(pub, d[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		t.Error("the signature does not verify")
	}
	var header, claims map[string]any
	for s, into := range map[string]*map[string]any{part[0]: &header, part[1]: &claims} {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatal(err)
		}
	}
	if !maps.Equal(header, map[string]any{"alg": "ES256", "typ": typeAssertion, "kid": set.Keys[0].Kid}) {
		t.Errorf("header %v", header)
	}
	if claims["exp"].(float64)-claims["iat"].(float64) != 60 || claims["jti"] == "" || claims["iss"] != "https://a.example" || claims["aud"] != "portal-upstream" {
		t.Errorf("claims %v", claims)
	}
}

func FuzzAccessToken(f *testing.F) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	k := ring(f, now)
	valid := signed(f, k, good(now), now)
	part := strings.Split(valid, ".")
	for _, s := range []string{valid, "", ".", "..", "...", part[0] + "." + part[1] + ".", valid + ".", valid + "=", valid[1:], part[0] + ".." + part[2],
		segment([]byte(`{"alg":"none"}`)) + "." + part[1] + ".", strings.Repeat("A", MaxAccessLen+1), "\xff.\xff.\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := k.VerifyAccess(s, "customers", "t", now)
		if s != valid && err == nil {
			t.Fatalf("%q was never made and is accepted", s)
		}
		if err != nil && !errors.Is(err, ErrExpired) && a.User != "" {
			t.Fatalf("%q is refused and its claims are handed on", s)
		}
	})
}
