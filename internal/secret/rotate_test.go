package secret

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func madeKeyring(t *testing.T, at time.Time) (path string) {
	t.Helper()
	b, err := Generate(at)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "keyring.json")
	if err := WriteNew(path, b); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestARotatedKeyIsUsedTenMinutesLaterAndTheOldOneVerifiesOn(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Second)
	path := madeKeyring(t, now.Add(-time.Hour))
	ring, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(at time.Time) string {
		token, err := ring.SignAccess(Access{Issuer: Issuer, Audience: "customers", User: "u", Tenant: "t", Session: "s", AMR: []string{"pwd"}, AuthTime: at.Unix(), IssuedAt: at.Unix(), NotBefore: at.Unix(), Expires: at.Add(30 * time.Minute).Unix(), ID: "j"}, at)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	old := ring.set.Load().current(PurposeAccess, now).ID
	made, err := RotateFile(path, Rotation{}, now)
	if err != nil || len(made) != len(purposes) {
		t.Fatalf("made %v: %v", made, err)
	}
	if err := ring.Reload(); err != nil {
		t.Fatal(err)
	}
	if id := ring.set.Load().current(PurposeAccess, now.Add(UseDelay-time.Second)).ID; id != old {
		t.Errorf("%s is used before other gateways have read it", id)
	}
	last := sign(now.Add(UseDelay - time.Second))
	if id := ring.set.Load().current(PurposeAccess, now.Add(UseDelay)).ID; id == old {
		t.Error("the new key is not used when its time has come")
	}
	// The last token of the old key is good to its end.
	if _, err := ring.VerifyAccess(last, "customers", "t", now.Add(UseDelay+29*time.Minute)); err != nil {
		t.Errorf("a token of the old key: %v", err)
	}
	for _, p := range []Purpose{PurposePassword, PurposeSeal} {
		if n := len(ring.set.Load().live(p, now.AddDate(10, 0, 0))); n != 2 {
			t.Errorf("%s: %d keys verify in ten years; what they made stands in the database", p, n)
		}
	}
}

func TestALeakedKeyIsWorthNothingAtOnceAndNobodyIsSignedOut(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Second)
	path := madeKeyring(t, now.Add(-time.Hour))
	ring, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	stolen, err := ring.SignAccess(Access{Issuer: Issuer, Audience: "customers", User: "u", Tenant: "t", Session: "s", AMR: []string{"pwd"}, AuthTime: 1, IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: now.Add(time.Hour).Unix(), ID: "j"}, now)
	if err != nil {
		t.Fatal(err)
	}
	published := string(ring.JWKS(now))
	refresh := NewRefresh()
	cookie, err := ring.RevealRefresh(refresh, "t", now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := RotateFile(path, Rotation{Leak: true}, now); err != nil {
		t.Fatal(err)
	}
	if err := ring.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := ring.VerifyAccess(stolen, "customers", "t", now); err == nil {
		t.Error("a token made with the leaked key opens the door")
	}
	if both := string(ring.JWKS(now)); strings.Count(both, `"kid"`) != 2 {
		t.Errorf("what was asserted a moment ago cannot be verified any more: %s", both)
	}
	if left := string(ring.JWKS(now.Add(AssertionLife))); strings.Count(left, `"kid"`) != 1 || left == published {
		t.Errorf("upstreams are told to believe the leaked key: %s", left)
	}
	if _, err := ring.ParseRefresh(cookie, "t", now.Add(14*24*time.Hour)); err != nil {
		t.Errorf("the refresh token of somebody signed in: %v", err)
	}
}

func TestARotationIsRefusedWhileOneHasNotComeIntoUse(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	path := madeKeyring(t, now.Add(-time.Hour))
	if _, err := RotateFile(path, Rotation{}, now); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	_, err := RotateFile(path, Rotation{}, now.Add(time.Minute))
	if err == nil || !strings.Contains(err.Error(), "comes into use") || !strings.Contains(err.Error(), path) {
		t.Errorf("the second rotation: %v", err)
	}
	after, _ := os.ReadFile(path)
	if string(before) != string(after) {
		t.Error("a refused rotation has changed the file")
	}
	if _, err := os.Stat(path + ".new"); err == nil {
		t.Error("a refused rotation left its file")
	}
}

func TestParallelRotationsLoseNoKey(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	path := madeKeyring(t, now.Add(-time.Hour))
	var wg sync.WaitGroup
	var mu sync.Mutex
	var made []string
	for range 20 {
		wg.Go(func() {
			ids, err := RotateFile(path, Rotation{Purposes: []Purpose{PurposeAccess}, Leak: true}, now)
			if err != nil && !strings.Contains(err.Error(), "somebody else") {
				t.Error(err)
			}
			mu.Lock()
			made = append(made, ids...)
			mu.Unlock()
		})
	}
	wg.Wait()
	ring, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range made {
		if ring.set.Load().byID[id] == nil {
			t.Errorf("key %s was made and is lost", id)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v: %v", info.Mode(), err)
	}
}

// What waits for its turn when the file leaks has leaked with it.
func TestAfterALeakNoOlderKeyComesIntoUseAgain(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Second)
	for _, after := range []time.Duration{0, time.Second, 5 * time.Minute, UseDelay} {
		path := madeKeyring(t, now.Add(-time.Hour))
		waiting, err := RotateFile(path, Rotation{}, now)
		if err != nil {
			t.Fatal(err)
		}
		ring, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		at := now.Add(UseDelay) // a clock that is ahead has used it
		sealed, err := ring.Seal([]byte("kept"), Place{Tenant: "t", Table: "x", Column: "y", Row: "z"}, at)
		if err != nil {
			t.Fatal(err)
		}
		leak := now.Add(after)
		made, err := RotateFile(path, Rotation{Leak: true}, leak)
		if err != nil {
			t.Fatal(err)
		}
		if err := ring.Reload(); err != nil {
			t.Fatal(err)
		}
		for _, later := range []time.Duration{0, time.Second, UseDelay, UseDelay + time.Minute, 100 * 24 * time.Hour} {
			for i, p := range purposes {
				if got := ring.set.Load().current(p, leak.Add(later)).ID; got != made[i] {
					t.Errorf("%s after a rotation and %s after the leak %s is used, not %s", after, later, got, made[i])
				}
			}
		}
		for _, id := range waiting {
			if ring.set.Load().byID[id] == nil {
				t.Errorf("%s is gone, and the database may know it", id)
			}
		}
		if b, err := ring.Unseal(sealed, Place{Tenant: "t", Table: "x", Column: "y", Row: "z"}, leak); err != nil || string(b) != "kept" {
			t.Errorf("what was sealed with a key that lost its turn: %q, %v", b, err)
		}
	}
}
