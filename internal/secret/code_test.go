package secret

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"
	"time"
)

// OOB-04: of a code nothing is stored that its million siblings could be tried against.
func TestACodesHashIsGoodInOnePlaceAndWithItsKeyOnly(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := ring(t, now).Codes(func() time.Time { return now })
	mac, key, err := c.Mac("", "acme\x00ann\x00email", "123456")
	if err != nil || key == "" || len(mac) != sha256.Size {
		t.Fatalf("%x with the key %q: %v", mac, key, err)
	}
	again, same, err := c.Mac(key, "acme\x00ann\x00email", "123456")
	if err != nil || same != key || !Equal(mac, again) {
		t.Errorf("asked again with the key %q: %x, %q, %v", key, again, same, err)
	}
	for name, other := range map[string][2]string{
		"another code": {"acme\x00ann\x00email", "123457"}, "another person": {"acme\x00bob\x00email", "123456"}, "no place": {"", "123456"},
		"a place that runs over": {"acme\x00ann\x00email1", "23456"}, "a code that runs over": {"acme\x00ann\x00emai", "l123456"},
	} {
		if got, _, err := c.Mac(key, other[0], other[1]); err != nil || Equal(got, mac) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	foreign := ring(t, now).Codes(func() time.Time { return now })
	if got, _, err := foreign.Mac("", "acme\x00ann\x00email", "123456"); err != nil || Equal(got, mac) {
		t.Errorf("another keyring: %x, %v", got, err)
	}
	for _, id := range []string{key + "x", ring(t, now).set.Load().current(PurposeSeal, now).ID} {
		if got, _, err := c.Mac(id, "p", "1"); !errors.Is(err, ErrKey) || got != nil {
			t.Errorf("with the key %s: %x, %v", id, got, err)
		}
	}
	pepper, err := c.ring.Pepper(c.now).Mac(key, []byte("123456"))
	if bare, _, _ := c.Mac(key, "", "123456"); err != nil || Equal(pepper, bare) || Equal(pepper, mac) {
		t.Errorf("a code's hash is a password's: %v", err)
	}
}

// KEY-03: a code that was printed before a rotation is good after it, on gateways that have not read the new file too.
func TestACodeOutlivesItsKeysRotation(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Second)
	path := madeKeyring(t, now.Add(-time.Hour))
	k, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	clock := now
	c := k.Codes(func() time.Time { return clock })
	mac, old, err := c.Mac("", "p", "7K3M9")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Rotation{{}, {Leak: true}} {
		if _, err := RotateFile(path, r, clock); err != nil {
			t.Fatal(err)
		}
		if err := k.Reload(); err != nil {
			t.Fatal(err)
		}
		clock = clock.AddDate(5, 0, 0)
		_, key, err := c.Mac("", "p", "7K3M9")
		if err != nil || key == old {
			t.Errorf("the rotated key is %q, and was %q: %v", key, old, err)
		}
		if got, _, err := c.Mac(old, "p", "7K3M9"); err != nil || !Equal(got, mac) {
			t.Errorf("the old key: %x, %v", got, err)
		}
	}
}

func TestWithoutAKeyNoCodeIsKept(t *testing.T) {
	t.Parallel()
	path, err := altered(t, func(f *file) string {
		f.Keys = slices.DeleteFunc(f.Keys, func(k fileKey) bool { return k.Purpose == PurposePassword })
		return ""
	})
	if err != nil {
		t.Fatal(err)
	}
	k, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if mac, key, err := k.Codes(time.Now).Mac("", "p", "123456"); !errors.Is(err, ErrKey) || mac != nil || key != "" {
		t.Errorf("%x, %q, %v", mac, key, err)
	}
}

// OOB-02: 10,000 codes of six digits, each digit of each place as often as the others. The limits are exceeded by chance
// less than once in a million runs.
func TestDrawnLettersAreAllAsLikely(t *testing.T) {
	t.Parallel()
	for alphabet, limit := range map[string]float64{"0123456789": 50, "0123456789ABCDEFGHJKMNPQRSTVWXYZ": 90, "abc": 33} {
		const codes, places = 10_000, 6
		var seen [places]map[byte]int
		for i := range seen {
			seen[i] = map[byte]int{}
		}
		distinct := map[string]bool{}
		for range codes {
			code := Draw(places, alphabet)
			if len(code) != places {
				t.Fatalf("%q is no code of %d letters", code, places)
			}
			distinct[code] = true
			for i := range places {
				seen[i][code[i]]++
			}
		}
		for i := range places {
			chi, want := 0.0, float64(codes)/float64(len(alphabet))
			for _, letter := range []byte(alphabet) {
				d := float64(seen[i][letter]) - want
				chi += d * d / want
			}
			if chi > limit {
				t.Errorf("%q: chi square at place %d is %.1f", alphabet, i, chi)
			}
		}
		if len(alphabet) > 9 && len(distinct) < codes*98/100 {
			t.Errorf("%q: of %d codes %d are different", alphabet, codes, len(distinct))
		}
	}
	if a, b := Bytes(20), Bytes(20); len(a) != 20 || bytes.Equal(a, b) || bytes.Equal(a, make([]byte, 20)) {
		t.Errorf("drew %x and %x", a, b)
	}
}
