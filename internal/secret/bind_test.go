package secret

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func putKeys(t *testing.T, path string, change func(*file)) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	change(&f)
	if b, err = encode(f); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAKeyringThatIsInUseIsNotReplacedByAnother(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Second)
	path := madeKeyring(t, now.Add(-60*24*time.Hour))
	mine, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(madeKeyring(t, now))
	if err != nil {
		t.Fatal(err)
	}
	ids := func() (out []string) {
		for _, k := range ring.Keys() {
			out = append(out, k.ID)
		}
		return out
	}
	before := ids()

	ring.Bind()
	if err := os.WriteFile(path, foreign, 0o600); err != nil {
		t.Fatal(err)
	}
	turn := ring.Turn()
	if err := ring.Reload(); err == nil || !strings.Contains(err.Error(), "it lacks 7 of the 7 keys that are in use") || strings.Contains(err.Error(), "\n") {
		t.Errorf("a foreign keyring: %v", err)
	}
	ring.find("access-unknown", PurposeAccess, now) // a token of it has the file read at once
	if !slices.Equal(ids(), before) || ring.Turn() != turn {
		t.Error("the keys in use are gone")
	}
	if err := os.WriteFile(path, mine, 0o600); err != nil {
		t.Fatal(err)
	}
	putKeys(t, path, func(f *file) { f.Keys[0].Secret = strings.Repeat("qL3v", 10) + "qL0=" })
	if err := ring.Reload(); err == nil {
		t.Error("a key of the same name with another secret is read")
	}

	// A rotation adds; a key whose end has come may be taken out, one that still verifies may not.
	if err := os.WriteFile(path, mine, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := RotateFile(path, Rotation{}, now.Add(-50*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := ring.Reload(); err != nil {
		t.Fatalf("a rotation: %v", err)
	}
	expired := func(k fileKey) bool { return k.VerifyUntil != nil && k.VerifyUntil.Before(now) }
	putKeys(t, path, func(f *file) { f.Keys = slices.DeleteFunc(f.Keys, expired) })
	if err := ring.Reload(); err != nil || len(ring.Keys()) != 9 {
		t.Errorf("without the keys whose end has come there are %d: %v", len(ring.Keys()), err)
	}
	putKeys(t, path, func(f *file) {
		f.Keys = slices.DeleteFunc(f.Keys, func(k fileKey) bool { return k.ID == before[slices.Index(purposes, PurposeSeal)] })
	})
	if err := ring.Reload(); err == nil || !strings.Contains(err.Error(), "it lacks 1 of the 9 keys") {
		t.Errorf("without a key that has sealed things: %v", err)
	}
}

// Before a database has been met nobody knows which keyring is the right one.
func TestAKeyringThatNoDatabaseKnowsMayBeReplaced(t *testing.T) {
	t.Parallel()
	path, other := madeKeyring(t, time.Now()), madeKeyring(t, time.Now())
	ring, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, filepath.Clean(path)); err != nil {
		t.Fatal(err)
	}
	if err := ring.Reload(); err != nil {
		t.Error(err)
	}
}
