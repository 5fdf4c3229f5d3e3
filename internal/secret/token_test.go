package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// ring makes a keyring that lives in memory, its keys in use from an hour before.
func ring(t testing.TB, now time.Time) *Keyring {
	t.Helper()
	b, err := Generate(now.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	k, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// shapes are the ways in which bytes could stand in a text.
func shapes(raw []byte) map[string]string {
	return map[string]string{
		"hex":       hex.EncodeToString(raw),
		"HEX":       strings.ToUpper(hex.EncodeToString(raw)),
		"base64":    base64.RawStdEncoding.EncodeToString(raw),
		"base64url": base64.RawURLEncoding.EncodeToString(raw),
		"numbers":   strings.Trim(fmt.Sprint(raw), "[]"),
		"listed":    strings.Trim(strings.ReplaceAll(fmt.Sprint(raw), " ", ","), "[]"),
		"hexed":     strings.Trim(fmt.Sprintf("%#v", raw), "[]byte{}"),
		"bytes":     string(raw),
	}
}

// TOK-01, AUD-01: what holds a secret does not print, whatever the verb, and not as a part of something else either.
func TestSecretsDoNotPrintByAnyVerb(t *testing.T) {
	t.Parallel()
	now := time.Now()
	k := ring(t, now)
	token, refresh, key := NewToken(), NewRefresh(), k.Keys()[0]
	type kept struct {
		inside any
		token  Token
		more   struct{ refresh Refresh }
	}
	for _, c := range []struct {
		name  string
		value any
		raw   []byte
	}{
		{"token", token, token.bytes()},
		{"pointer to a token", &token, token.bytes()},
		{"refresh token", refresh, refresh.token.bytes()},
		{"key", key, key.raw()},
		{"key by value", *key, key.raw()},
		{"list of keys", k.Keys(), key.raw()},
		{"keyring", k, key.raw()},
		{"set of keys", k.set.Load(), key.raw()},
		{"exported field", struct{ Token Token }{token}, token.bytes()},
		{"private field", kept{token: token}, token.bytes()},
		{"private field of a private field", kept{more: struct{ refresh Refresh }{refresh}}, refresh.token.bytes()},
		{"pointer to a private field", &kept{token: token}, token.bytes()},
		{"private interface", kept{inside: token}, token.bytes()},
		{"map", map[string]Token{"a": token}, token.bytes()},
		{"slice", []Token{token}, token.bytes()},
	} {
		said := map[string]string{}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%b", "%o", "%c", "%U", "%t", "%T", "%5.3v"} {
			said[verb] = fmt.Sprintf(verb, c.value)
		}
		if b, err := json.Marshal(c.value); err == nil {
			said["JSON"] = string(b)
		}
		for verb, text := range said {
			for shape, part := range shapes(c.raw) {
				if strings.Contains(text, part) {
					t.Errorf("%s by %s shows the secret as %s", c.name, verb, shape)
				}
			}
		}
	}
	if s := fmt.Sprint(token); s != "[token]" {
		t.Errorf("a token prints as %s", s)
	}
}

func TestATokenIsReadInItsOneSpellingOnly(t *testing.T) {
	t.Parallel()
	token := NewToken()
	text := token.Reveal()
	if again, err := ParseToken(text); err != nil || !bytes.Equal(again.bytes(), token.bytes()) {
		t.Fatalf("a token is not read back: %v", err)
	}
	last := text[len(text)-1]
	other := byte('A')
	for ; other == last || base64Of(other)>>2 != base64Of(last)>>2; other++ { // the same 256 bits, other unused ones
	}
	for _, bad := range []string{"", text[:42], text + "A", text + "=", " " + text[1:], text[:42] + "+", text[:42] + "\n", text[:42] + string(other), "[token]"} {
		if _, err := ParseToken(bad); err == nil {
			t.Errorf("%q is read as a token", bad)
		}
	}
}

func base64Of(c byte) int {
	return strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", c)
}

// TOK-02: the digest of a token is of one kind and one tenant.
func TestADigestIsOfOneKindAndOneTenant(t *testing.T) {
	t.Parallel()
	token := NewToken()
	seen := map[Digest]string{}
	for _, kind := range []Kind{KindRefresh, KindDevice, KindAttempt, KindTicket} {
		for _, tenant := range []string{"", "a", "b", "a\x00", "device\x00a"} {
			d := token.Digest(kind, tenant)
			if d != token.Digest(kind, tenant) {
				t.Error("a digest is not the same twice")
			}
			if before, ok := seen[d]; ok {
				t.Errorf("%s of tenant %q has the digest of %s", kind, tenant, before)
			}
			seen[d] = fmt.Sprintf("%s of tenant %q", kind, tenant)
			if bytes.Contains(d[:], token.bytes()[:8]) {
				t.Error("a digest holds a part of its token")
			}
		}
	}
}

// KEY-05: what is drawn comes from the operating system's generator and does not come twice.
func TestWhatIsDrawnDoesNotComeTwice(t *testing.T) {
	t.Parallel()
	tokens, ids, references := map[string]bool{}, map[[16]byte]bool{}, map[string]bool{}
	ones := make([]int, TokenBytes*8)
	const n = 4000
	for range n {
		token := NewToken()
		tokens[token.Reveal()] = true
		for i := range ones {
			ones[i] += int(token.bytes()[i/8] >> (i % 8) & 1)
		}
		id := NewID()
		if id[6]>>4 != 4 || id[8]>>6 != 2 {
			t.Fatalf("%x is not a UUID of version 4", id)
		}
		ids[id] = true
		ref := Reference()
		if len(ref) != 8 || strings.Trim(ref, "23456789ABCDEFGHJKLMNPQRSTUVWXYZ") != "" {
			t.Fatalf("reference %q", ref)
		}
		references[ref] = true
	}
	if len(tokens) != n || len(ids) != n || len(references) != n {
		t.Errorf("of %d draws there are %d tokens, %d ids and %d references", n, len(tokens), len(ids), len(references))
	}
	for i, count := range ones { // each bit is set half the time; seven standard deviations are one failure in 10^9 runs
		if d := float64(count) - n/2; d > 7*31.7 || d < -7*31.7 {
			t.Errorf("bit %d is set %d times in %d", i, count, n)
		}
	}
}
