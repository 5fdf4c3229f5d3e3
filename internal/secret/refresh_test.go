package secret

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

func TestARefreshTokenIsReadWithTheKeyringAndForTheTenantItWasMadeFor(t *testing.T) {
	t.Parallel()
	now := time.Now()
	k, other := ring(t, now), ring(t, now)
	r := NewRefresh()
	text, err := k.RevealRefresh(r, "a", now)
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.ParseRefresh(text, "a", now)
	if err != nil || got.Digest("a") != r.Digest("a") {
		t.Fatalf("not read back: %v", err)
	}
	for name, parse := range map[string]func() error{
		"another tenant":  func() error { _, err := k.ParseRefresh(text, "b", now); return err },
		"another keyring": func() error { _, err := other.ParseRefresh(text, "a", now); return err },
		"no tenant":       func() error { _, err := k.ParseRefresh(text, "", now); return err },
	} {
		if parse() == nil {
			t.Errorf("%s reads it", name)
		}
	}
	raw, _ := base64.RawURLEncoding.DecodeString(text)
	for i := range raw { // every byte counts, of the token and of the MAC
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if _, err := k.ParseRefresh(base64.RawURLEncoding.EncodeToString(bad), "a", now); err == nil {
			t.Errorf("a forged byte %d is not noticed", i)
		}
	}
	for _, bad := range []string{"", text[:63], text + "A", text + "=", strings.Repeat("A", RefreshTextLen), r.token.Reveal(), text[:63] + "\x00", text[:63] + "+"} {
		if _, err := k.ParseRefresh(bad, "a", now); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

// REF-03, REF-04: every gateway derives the same successor, and nobody without the key.
func TestTheSuccessorIsTheSameOnEveryGateway(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	path := madeKeyring(t, now.Add(-time.Hour))
	one, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	r := NewRefresh()
	a, err := one.Successor(r, one.RefreshKey(now), "family", now)
	if err != nil {
		t.Fatal(err)
	}
	b, err := two.Successor(r, one.RefreshKey(now), "family", now.Add(time.Hour))
	if err != nil || a.Digest("t") != b.Digest("t") {
		t.Errorf("two gateways derive different successors: %v", err)
	}
	if c, _ := one.Successor(r, one.RefreshKey(now), "another family", now); c.Digest("t") == a.Digest("t") {
		t.Error("the family does not count")
	}
	if c, _ := one.Successor(NewRefresh(), one.RefreshKey(now), "family", now); c.Digest("t") == a.Digest("t") {
		t.Error("the token presented does not count")
	}
	foreign := ring(t, now)
	if c, _ := foreign.Successor(r, foreign.RefreshKey(now), "family", now); c.Digest("t") == a.Digest("t") {
		t.Error("the key does not count")
	}
	if _, err := one.Successor(r, foreign.RefreshKey(now), "family", now); err == nil {
		t.Error("a key that is not in the keyring derives a successor")
	}
	// The version stands in the row: a rotation between two parallel requests does not part them.
	was := one.RefreshKey(now)
	if _, err := RotateFile(path, Rotation{Leak: true}, now); err != nil {
		t.Fatal(err)
	}
	if err := one.Reload(); err != nil {
		t.Fatal(err)
	}
	if one.RefreshKey(now) == was {
		t.Fatal("the key was not rotated")
	}
	if c, err := one.Successor(r, was, "family", now); err != nil || c.Digest("t") != a.Digest("t") {
		t.Errorf("after a rotation the successor is another: %v", err)
	}
}

func TestARefreshTokenBoundWithAKeyJustRotatedInIsReadByAGatewayThatHasNotHeard(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	path := madeKeyring(t, now.Add(-time.Hour))
	late, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := RotateFile(path, Rotation{Leak: true}, now); err != nil {
		t.Fatal(err)
	}
	early, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := early.RevealRefresh(NewRefresh(), "t", now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late.ParseRefresh(text, "t", now); err != nil {
		t.Errorf("the file is not read again: %v", err)
	}
	// A flood of forgeries is no flood of looks into the file: in the moment after one, there is none.
	if _, err := RotateFile(path, Rotation{Leak: true}, now); err != nil {
		t.Fatal(err)
	}
	if early, err = Open(path); err != nil {
		t.Fatal(err)
	}
	if text, err = early.RevealRefresh(NewRefresh(), "t", now); err != nil {
		t.Fatal(err)
	}
	late.mu.Lock()
	late.looked = time.Now().Add(time.Hour)
	late.mu.Unlock()
	if _, err := late.ParseRefresh(text, "t", now); err == nil {
		t.Error("the file is looked into for each token that does not fit")
	}
	later(late)
	if _, err := late.ParseRefresh(text, "t", now); err != nil {
		t.Errorf("the file is not looked into again: %v", err)
	}
	// A forgery has a file that looks the same read at most once a second: what it says now is not seen for one.
	forged := "A" + text[1:]
	if forged == text {
		forged = "B" + text[1:]
	}
	retouch(t, path)
	turn := late.Turn()
	for range 1000 {
		if _, err := late.ParseRefresh(forged, "t", now); err == nil {
			t.Fatal("a forgery is read")
		}
	}
	late.mu.Lock()
	recent := time.Since(late.lastRead) < time.Second
	late.mu.Unlock()
	if recent && late.Turn() != turn {
		t.Error("forgeries have the file read as often as they come")
	}
}

func FuzzRefreshToken(f *testing.F) {
	now := time.Now()
	k := ring(f, now)
	made := map[string]bool{}
	for range 3 {
		text, err := k.RevealRefresh(NewRefresh(), "t", now)
		if err != nil {
			f.Fatal(err)
		}
		made[text] = true
		f.Add(text)
		f.Add(text[:63])
		f.Add(text[:62] + "==")
	}
	for _, s := range []string{"", "=", strings.Repeat("_", RefreshTextLen), strings.Repeat("\xff", RefreshTextLen), strings.Repeat("A\n", 32)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := k.ParseRefresh(s, "t", now); err == nil && !made[s] {
			t.Fatalf("%q was never made and is read", s)
		}
	})
}
