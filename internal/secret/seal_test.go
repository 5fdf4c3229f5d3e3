package secret

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"
)

// TOTP-06: a sealed value opens in the place it was sealed for and nowhere else.
func TestASealedValueMovedToAnotherPlaceDoesNotOpen(t *testing.T) {
	t.Parallel()
	now := time.Now()
	k := ring(t, now)
	at := Place{Tenant: "a", Table: "factors", Column: "state", Row: "1"}
	sealed, err := k.Seal([]byte("a seed"), at, now)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := k.Unseal(sealed, at, now); err != nil || string(plain) != "a seed" {
		t.Fatalf("does not open in its place: %q, %v", plain, err)
	}
	for name, other := range map[string]Place{
		"tenant": {"b", "factors", "state", "1"}, "table": {"a", "outbox", "state", "1"}, "column": {"a", "factors", "secret", "1"},
		"row": {"a", "factors", "state", "2"}, "shifted": {"a", "factors", "state\x001", ""}, "nowhere": {},
	} {
		if plain, err := k.Unseal(sealed, other, now); !errors.Is(err, ErrSealed) || plain != nil {
			t.Errorf("moved to another %s it gives %q, %v", name, plain, err)
		}
	}
	part := strings.SplitN(sealed, ":", 3)
	raw, err := base64.RawStdEncoding.DecodeString(part[2])
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 0x80
		if _, err := k.Unseal("v1:"+part[1]+":"+base64.RawStdEncoding.EncodeToString(bad), at, now); !errors.Is(err, ErrSealed) {
			t.Errorf("with byte %d altered: %v", i, err)
		}
	}
	access := k.set.Load().current(PurposeAccess, now).ID
	for _, bad := range []string{"", "v1", "v1:", "v1::", "v1:" + part[1] + ":", "v2:" + part[1] + ":" + part[2], "v1:unknown:" + part[2], "v1:" + access + ":" + part[2], sealed + "=", sealed + "\n", part[2]} {
		if _, err := k.Unseal(bad, at, now); !errors.Is(err, ErrSealed) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := ring(t, now).Unseal(sealed, at, now); !errors.Is(err, ErrSealed) {
		t.Errorf("another keyring: %v", err)
	}
}

// KEY-03: what was sealed before a rotation opens for ever, and new values are sealed with the new key.
func TestWhatWasSealedBeforeARotationOpens(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	path := madeKeyring(t, now.Add(-time.Hour))
	k, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	at := Place{Tenant: "a", Table: "t", Column: "c", Row: "r"}
	old, err := k.Seal([]byte("kept"), at, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := RotateFile(path, Rotation{}, now); err != nil {
		t.Fatal(err)
	}
	if err := k.Reload(); err != nil {
		t.Fatal(err)
	}
	later := now.AddDate(5, 0, 0)
	fresh, err := k.Seal([]byte("kept"), at, later)
	if err != nil {
		t.Fatal(err)
	}
	if strings.SplitN(old, ":", 3)[1] == strings.SplitN(fresh, ":", 3)[1] {
		t.Error("the new value names the old key")
	}
	for _, sealed := range []string{old, fresh} {
		if plain, err := k.Unseal(sealed, at, later); err != nil || string(plain) != "kept" {
			t.Errorf("%q, %v", plain, err)
		}
	}
}

// KEY-05: no nonce comes twice, and the nonces are spread over all their values. Two to the thirtieth sealed values
// under one key would still leave a collision less likely than one in 2^36.
func TestNoNonceComesTwice(t *testing.T) {
	t.Parallel()
	now := time.Now()
	k := ring(t, now)
	const n = 20_000
	seen := make(map[[12]byte]bool, n)
	var counts [256]int
	for range n {
		sealed, err := k.Seal([]byte("the same"), Place{"a", "t", "c", "r"}, now)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := base64.RawStdEncoding.DecodeString(strings.SplitN(sealed, ":", 3)[2])
		if err != nil {
			t.Fatal(err)
		}
		nonce := [12]byte(raw)
		if seen[nonce] {
			t.Fatalf("nonce %x comes twice", nonce)
		}
		seen[nonce] = true
		for _, b := range nonce {
			counts[b]++
		}
	}
	// Chi-squared over 255 degrees of freedom: mean 255, standard deviation 22.6. Beyond ten of them is no chance.
	want, chi := float64(n*12)/256, 0.0
	for _, c := range counts {
		chi += (float64(c) - want) * (float64(c) - want) / want
	}
	if chi > 255+226 || chi < 255-226 {
		t.Errorf("the bytes of the nonces are not spread evenly: chi-squared %.0f, expected about 255", chi)
	}
}

func TestTheKeyedStepNamesItsKeyAndFailsWithoutIt(t *testing.T) {
	t.Parallel()
	now := time.Now()
	k := ring(t, now)
	p := k.Pepper(func() time.Time { return now })
	id, ok := p.Current()
	if !ok {
		t.Fatal("no key")
	}
	a, err := p.Mac(id, []byte("x"))
	if err != nil || len(a) != 32 {
		t.Fatalf("%d bytes, %v", len(a), err)
	}
	b, err := p.Mac(id, []byte("y"))
	if err != nil || Equal(a, b) {
		t.Errorf("two passwords come to the same: %v", err)
	}
	for _, other := range []string{"", "unknown", k.set.Load().current(PurposeSeal, now).ID} {
		if _, err := p.Mac(other, []byte("x")); !errors.Is(err, ErrKey) {
			t.Errorf("key %q: %v", other, err)
		}
	}
}

func TestAFormTokenIsOfOnePageAndWhatItWasOpenedWith(t *testing.T) {
	t.Parallel()
	now := time.Now()
	k := ring(t, now)
	token, err := k.FormToken("reset", "ticket", now)
	if err != nil {
		t.Fatal(err)
	}
	if !k.CheckFormToken(token, "reset", "ticket", now) {
		t.Error("it is refused where it belongs")
	}
	for name, ok := range map[string]bool{
		"another page":    k.CheckFormToken(token, "verify", "ticket", now),
		"another ticket":  k.CheckFormToken(token, "reset", "other", now),
		"nothing":         k.CheckFormToken("", "reset", "ticket", now),
		"a shorter one":   k.CheckFormToken(token[:len(token)-4], "reset", "ticket", now),
		"another keyring": ring(t, now).CheckFormToken(token, "reset", "ticket", now),
	} {
		if ok {
			t.Errorf("%s is accepted", name)
		}
	}
}
