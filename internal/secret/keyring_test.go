package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// altered writes a keyring whose JSON was changed in one place, and opens it.
func altered(t *testing.T, change func(f *file) string) (path string, err error) {
	t.Helper()
	b, err := Generate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	text := change(&f)
	if text == "" {
		if b, err = encode(f); err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	path = filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(path)
	return path, err
}

func of(f *file, p Purpose) *fileKey {
	return &f.Keys[slices.IndexFunc(f.Keys, func(k fileKey) bool { return k.Purpose == p })]
}

// CFG-01, KEY-04: each fault of a keyring is refused, and the refusal names the file, the key and the mend.
func TestAKeyringWithAFaultIsRefusedByFileKeyAndMend(t *testing.T) {
	t.Parallel()
	b64 := func(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
	counted := make([]byte, 32)
	for i := range counted {
		counted[i] = byte(i)
	}
	without := func(p Purpose) func(*file) string {
		return func(f *file) string {
			f.Keys = slices.DeleteFunc(f.Keys, func(k fileKey) bool { return k.Purpose == p })
			return ""
		}
	}
	secret := func(p Purpose, s string) func(*file) string {
		return func(f *file) string { of(f, p).Secret = s; return "" }
	}
	raw := func(change func(string) string) func(*file) string {
		return func(f *file) string {
			b, _ := encode(*f)
			return change(string(b))
		}
	}
	for name, c := range map[string]struct {
		change  func(*file) string
		key     Purpose // whose id is named; empty: none's
		problem string
		mend    string
	}{
		"no access key":        {without(PurposeAccess), "", `no key for "access"`, "keys generate"},
		"no refresh key":       {without(PurposeRefresh), "", `no key for "refresh"`, "keys generate"},
		"no MAC key":           {without(PurposeRefreshMAC), "", `no key for "refresh-mac"`, "keys generate"},
		"no assertion key":     {without(PurposeAssertion), "", `no key for "assertion"`, "keys generate"},
		"no seal key":          {without(PurposeSeal), "", `no key for "seal"`, "keys generate"},
		"no form key":          {without(PurposeForm), "", `no key for "form"`, "keys generate"},
		"no keys":              {func(f *file) string { f.Keys = nil; return "" }, "", "no key for", "keys generate"},
		"short":                {secret(PurposeSeal, b64(bytes.Repeat([]byte("7#kQ"), 4))), PurposeSeal, "too short: 16 bytes", "keys generate"},
		"31 bytes":             {secret(PurposeAccess, b64(counted[:31])), PurposeAccess, "too short: 31 bytes", "keys generate"},
		"empty":                {secret(PurposeAccess, ""), PurposeAccess, "too short: 0 bytes", "keys generate"},
		"long":                 {secret(PurposeAccess, b64(append(counted, 1))), PurposeAccess, "too long: 33 bytes", "keys generate"},
		"zeros":                {secret(PurposeForm, b64(make([]byte, 32))), PurposeForm, "is an example", "keys generate"},
		"one byte repeated":    {secret(PurposeForm, b64(bytes.Repeat([]byte{0xa5}, 32))), PurposeForm, "is an example", "keys generate"},
		"counted up":           {secret(PurposeForm, b64(counted)), PurposeForm, "is an example", "keys generate"},
		"text from a page":     {secret(PurposeForm, b64([]byte("0123456789abcdef0123456789abcdef"))), PurposeForm, "is an example", "keys generate"},
		"a sentence":           {secret(PurposePassword, b64([]byte("Change me, I am only an example!"))), PurposePassword, "is an example", "keys generate"},
		"not base64":           {secret(PurposeAccess, "!!!"), PurposeAccess, "not base64", "from a copy"},
		"base64url":            {secret(PurposeAccess, "-_"+strings.Repeat("A", 41)+"="), PurposeAccess, "not base64", "from a copy"},
		"beyond the curve":     {secret(PurposeAssertion, b64([]byte("\xff\xff\xff\xff\x10\x32\x54\x76\x98\xba\xdc\xfe\x6a\x41\x93\x07\xc5\x2e\x88\x1d\xf0\x73\xb6\x4c\xe9\x25\x5f\xa2\x37\xd8\x0b\x81"))), PurposeAssertion, "not a P-256 key", "from a copy"},
		"unknown purpose":      {func(f *file) string { of(f, PurposeForm).Purpose = "forms"; return "" }, PurposeForm, `unknown purpose "forms"`, "this release knows access"},
		"no purpose":           {func(f *file) string { of(f, PurposeForm).Purpose = ""; return "" }, PurposeForm, `unknown purpose ""`, "this release knows access"},
		"id twice":             {func(f *file) string { of(f, PurposeForm).ID = of(f, PurposeSeal).ID; return "" }, PurposeForm, "twice", "take one of the two out"},
		"secret twice":         {func(f *file) string { of(f, PurposeForm).Secret = of(f, PurposeSeal).Secret; return "" }, PurposeForm, "same secret as key seal-", "keys generate"},
		"no id":                {func(f *file) string { of(f, PurposeForm).ID = ""; return "" }, "", "needs an id", "keys generate"},
		"id with a slash":      {func(f *file) string { of(f, PurposeForm).ID = "../../etc/passwd"; return "" }, PurposeForm, "needs an id", "keys generate"},
		"id of 65 characters":  {func(f *file) string { of(f, PurposeForm).ID = strings.Repeat("a", 65); return "" }, PurposeForm, "needs an id", "keys generate"},
		"another version":      {func(f *file) string { f.Version = 2; return "" }, "", "version 2", "newer one"},
		"no version":           {func(f *file) string { f.Version = 0; return "" }, "", "version 0", "newer one"},
		"unknown field":        {raw(func(s string) string { return strings.Replace(s, `"purpose"`, `"note": "x", "purpose"`, 1) }), "", `unknown field "note"`, "keys generate"},
		"unknown field at top": {raw(func(s string) string { return strings.Replace(s, `"version"`, `"comment": "x", "version"`, 1) }), "", `unknown field "comment"`, "keys generate"},
		"text after the end":   {raw(func(s string) string { return s + "x" }), "", "text after its end", "take out"},
		"a brace after it":     {raw(func(s string) string { return s + "}" }), "", "text after its end", "take out"},
		"a second keyring":     {raw(func(s string) string { return s + s }), "", "text after its end", "take out"},
		"cut off":              {raw(func(s string) string { return s[:len(s)/2] }), "", "is not a keyring", "keys generate"},
		"not JSON":             {raw(func(string) string { return "PORTALGATE_KEY=abc" }), "", "is not a keyring", "keys generate"},
		"an array":             {raw(func(string) string { return "[]" }), "", "is not a keyring", "keys generate"},
		"a date in words":      {raw(func(s string) string { return strings.Replace(s, `"use_from": "2`, `"use_from": "yesterday 2`, 1) }), "", "is not a keyring", "keys generate"},
	} {
		var id string
		path, err := altered(t, func(f *file) string {
			text := c.change(f)
			if c.key != "" {
				id = f.Keys[slices.Index(purposes, c.key)].ID
			}
			return text
		})
		var ke *KeyringError
		if !errors.As(err, &ke) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if ke.Path != path || ke.Key != id || !strings.Contains(ke.Problem, c.problem) || !strings.Contains(ke.Problem, c.mend) {
			t.Errorf("%s: file %q, key %q (want %q): %s", name, ke.Path, ke.Key, id, ke.Problem)
		}
		if s := err.Error(); !strings.Contains(s, path) || !strings.Contains(s, id) {
			t.Errorf("%s: the sentence leaves out the place: %s", name, s)
		}
	}
	dir := t.TempDir()
	for name, path := range map[string]string{"no such file": filepath.Join(dir, "none.json"), "not a keyring file": dir} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	big := filepath.Join(dir, "big.json")
	if err := os.WriteFile(big, make([]byte, maxKeyringMB+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(big); err == nil || !strings.Contains(err.Error(), big) {
		t.Errorf("a huge file: %v", err)
	}
	// The keyed step of passwords is a choice: without it the keyring is good.
	if _, err := altered(t, without(PurposePassword)); err != nil {
		t.Errorf("without a password key: %v", err)
	}
}

func TestAKeyringIsWrittenForItsOwnerAloneAndNeverOverwritten(t *testing.T) {
	t.Parallel()
	path := madeKeyring(t, time.Now())
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	before, _ := os.ReadFile(path)
	var ke *KeyringError
	if err := WriteNew(path, []byte("other")); !errors.As(err, &ke) || ke.Path != path {
		t.Errorf("overwriting: %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file was overwritten")
	}
}

// KEY-03: the key is chosen by its times, and only by them.
func TestTheKeyIsChosenByItsTimes(t *testing.T) {
	t.Parallel()
	base := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	type span struct{ from, until int } // minutes from base; until 0: no end
	for _, c := range []struct {
		name    string
		keys    []span
		at      int
		current int // index, -1: none
		live    []int
	}{
		{"one in use", []span{{-60, 0}}, 0, 0, []int{0}},
		{"one to come is better than none", []span{{10, 0}}, 0, 0, []int{0}},
		{"the newer one is not used before its time", []span{{-60, 0}, {10, 0}}, 9, 0, []int{1, 0}},
		{"and is used from it on", []span{{-60, 0}, {10, 0}}, 10, 1, []int{1, 0}},
		{"the order in the file does not count", []span{{10, 0}, {-60, 0}}, 10, 0, []int{0, 1}},
		{"the old one verifies until its end", []span{{-60, 40}, {10, 0}}, 39, 1, []int{1, 0}},
		{"and not in that moment", []span{{-60, 40}, {10, 0}}, 40, 1, []int{1}},
		{"an ended key is not used though its successor is not due", []span{{-60, 5}, {10, 0}}, 6, 1, []int{1}},
		{"none is left", []span{{-60, 5}}, 6, -1, nil},
		{"of two to come the first", []span{{20, 0}, {10, 0}}, 0, 1, []int{0, 1}},
	} {
		f := file{Version: 1}
		for _, p := range purposes[1:] {
			fk, err := draw(p, base, base)
			if err != nil {
				t.Fatal(err)
			}
			f.Keys = append(f.Keys, fk)
		}
		for i, s := range c.keys {
			fk, err := draw(PurposeAccess, base, base.Add(time.Duration(s.from)*time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			fk.ID = fmt.Sprintf("key-%d", i)
			if s.until != 0 {
				end := base.Add(time.Duration(s.until) * time.Minute)
				fk.VerifyUntil = &end
			}
			f.Keys = append(f.Keys, fk)
		}
		b, err := encode(f)
		if err != nil {
			t.Fatal(err)
		}
		k, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		now := base.Add(time.Duration(c.at) * time.Minute)
		got := -1
		if key := k.set.Load().current(PurposeAccess, now); key != nil {
			fmt.Sscanf(key.ID, "key-%d", &got)
		}
		var live []int
		for _, key := range k.set.Load().live(PurposeAccess, now) {
			i := -1
			fmt.Sscanf(key.ID, "key-%d", &i)
			live = append(live, i)
		}
		if got != c.current || !slices.Equal(live, c.live) {
			t.Errorf("%s: uses %d, verifies with %v", c.name, got, live)
		}
		if _, err := k.SignAccess(Access{}, now); (err == nil) != (c.current >= 0) {
			t.Errorf("%s: signing: %v", c.name, err)
		}
	}
}

// later lets the keyring look into its file again.
func later(k *Keyring) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.looked = time.Time{}
}

// Contract 9: an unknown key id has the file read again, once.
func TestAnUnknownKeyIDHasTheFileReadOnce(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	path := madeKeyring(t, now.Add(-time.Hour))
	late, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	sign := func() string {
		t.Helper()
		if _, err := RotateFile(path, Rotation{Purposes: []Purpose{PurposeAccess}, Leak: true}, now); err != nil {
			t.Fatal(err)
		}
		k, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return signed(t, k, good(now), now)
	}
	first := sign()
	if _, err := late.VerifyAccess(first, "customers", "t", now); err != nil {
		t.Fatalf("a token of a key rotated in by another gateway: %v", err)
	}
	// The file is another one again, in the same second: it is read at once, or people of the gateway that was asked to
	// rotate twice would be refused by its neighbour.
	second := sign()
	later(late)
	if _, err := late.VerifyAccess(second, "customers", "t", now); err != nil {
		t.Errorf("a token of the second of two rotations: %v", err)
	}
	retouch(t, path)
	turn := late.Turn()
	unknown := signed(t, ring(t, now), good(now), now)
	for range 100 {
		if _, err := late.VerifyAccess(unknown, "customers", "t", now); err == nil {
			t.Fatal("a token of nobody's key is accepted")
		}
	}
	late.mu.Lock()
	recent := time.Since(late.lastRead) < time.Second
	late.mu.Unlock()
	if recent && late.Turn() != turn {
		t.Error("unknown ids have a file that looks the same read more than once a second")
	}
	// A file that cannot be read leaves the keys that are loaded.
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	late.mu.Lock()
	late.lastRead = time.Time{}
	late.mu.Unlock()
	if _, err := late.VerifyAccess(signed(t, ring(t, now), good(now), now), "customers", "t", now); err == nil {
		t.Error("a token of nobody's key is accepted")
	}
	if err := late.Reload(); err == nil {
		t.Error("a broken file is read")
	}
	if _, err := late.VerifyAccess(second, "customers", "t", now); err != nil {
		t.Errorf("a broken file takes the loaded keys away: %v", err)
	}
}

// retouch changes a file so that it looks as before: its size, its time and its place are the same.
func retouch(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(b), ",\n", " ,", 1) // means the same
	if changed == string(b) || len(changed) != len(b) {
		t.Fatal("the file cannot be retouched")
	}
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
}

// CFG-01, M28: a secret that stands in published examples signs nothing.
func TestABackendsPublishedDefaultSecretIsRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range append(slices.Clone(publishedDefaults), "", "short", "CHANGE_ME_CHANGE_ME_CHANGE_ME", "  Secret  ", "customer-secret-key-Change-In-Production-2",
		"change me now please, change me now", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "abababababababababababababababab", "k3J9x-short") {
		if _, err := NewBearer(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	now := time.Now()
	b, err := NewBearer("Kq7wPz1xVd93mTyB5rLhN0aEsGfUcJ2o")
	if err != nil {
		t.Fatal(err)
	}
	token, err := b.Sign(BearerClaims{User: "u", Tenant: "t"}, now, 5*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(token, ".")
	body, _, _ = strings.Cut(body, ".")
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	if _, has := claims["nbf"]; has || claims["type"] != "access" || claims["sub"] != "u" || claims["exp"] != float64(now.Add(5*time.Minute).Unix()) {
		t.Errorf("claims %v", claims)
	}
	if s := fmt.Sprintf("%v %+v %#v %s", b, b, b, b); strings.Contains(s, "Kq7w") || strings.Contains(s, "75 113 55") {
		t.Error("the backend's secret prints")
	}
}

func FuzzKeyring(f *testing.F) {
	b, err := Generate(time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add(append(bytes.Clone(b), '}'))
	f.Add(bytes.Replace(b, []byte("access"), []byte("refresh"), 1))
	f.Add(bytes.Replace(b, []byte(`"version": 1`), []byte(`"version": 1, "version": 2`), 1))
	for _, s := range []string{"", "{}", "[]", "null", `{"version":1}`, `{"version":1,"keys":null}`, `{"version":1,"keys":[{}]}`, "{\"version\":1e999}", "\xff\xfe"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := Parse(b)
		if err != nil {
			var ke *KeyringError
			if !errors.As(err, &ke) || ke.Problem == "" {
				t.Fatalf("an error that names no problem: %v", err)
			}
			return
		}
		seen := map[string]bool{}
		for _, key := range k.Keys() {
			if len(key.raw()) != 32 || seen[string(key.raw())] || !slices.Contains(purposes, key.Purpose) {
				t.Fatalf("key %s is accepted", key.ID)
			}
			seen[string(key.raw())] = true
		}
		for _, p := range purposes {
			if p != PurposePassword && !k.Has(p) {
				t.Fatalf("a keyring without a key for %s is accepted", p)
			}
		}
	})
}
