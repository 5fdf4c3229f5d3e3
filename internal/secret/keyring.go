package secret

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Purpose says what a key is for. A key has exactly one (KEY-04).
type Purpose string

// The purposes.
const (
	PurposeAccess     Purpose = "access"      // signs access tokens, HS256
	PurposeRefresh    Purpose = "refresh"     // derives the successor of a refresh token
	PurposeRefreshMAC Purpose = "refresh-mac" // lets a forged refresh token be refused without asking a server
	PurposeAssertion  Purpose = "assertion"   // signs what the upstream is told, ES256
	PurposePassword   Purpose = "password"    // the keyed step of password hashing
	PurposeSeal       Purpose = "seal"        // AES-256-GCM of what must be kept
	PurposeForm       Purpose = "form"        // form tokens on the pages opened from a mail
)

var purposes = []Purpose{PurposeAccess, PurposeRefresh, PurposeRefreshMAC, PurposeAssertion, PurposePassword, PurposeSeal, PurposeForm}

// Key is one versioned key. Its secret never prints.
type Key struct {
	ID          string
	Purpose     Purpose
	UseFrom     time.Time
	VerifyUntil time.Time // zero: no end
	raw         veiled    // 32 bytes; for PurposeAssertion the P-256 scalar
	signer      *ecdsa.PrivateKey
	head        string // of PurposeAccess: the first segment of each token it signs
	macs        *macs  // of PurposeAccess and PurposeRefreshMAC
}

// Fingerprint identifies a key without revealing it: the first 16 bytes of SHA-256 over purpose, id and secret.
func (k *Key) Fingerprint() []byte {
	h := sha256.New()
	fmt.Fprintf(h, "portalgate key %s\x00%s\x00", k.Purpose, k.ID)
	h.Write(k.raw())
	return h.Sum(nil)[:16]
}

// Format does not reveal the key, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "[key %s %s]", k.Purpose, k.ID) }

// MarshalJSON does not reveal the key.
func (k Key) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprint(k)) }

// Rotation numbers: a new key is used ten minutes after it was made, so that every gateway has read it by then, and
// an old one verifies for as long as the longest thing it signed may live.
const (
	UseDelay     = 10 * time.Minute
	maxKeyringMB = 1 << 20
)

// Keyring holds the versioned keys. It may be used by many goroutines; a new reading of the file replaces all keys at
// once.
type Keyring struct {
	path string
	set  atomic.Pointer[keyset]
	read [sha256.Size]byte // digest of the file as last read; under mu
	turn atomic.Uint64

	bound atomic.Bool // a database is written with these keys

	mu       sync.Mutex  // one reading at a time
	seen     os.FileInfo // the file when it was last looked into
	looked   time.Time   // when a forgery last had that done
	lastRead time.Time
}

type keyset struct {
	all  []*Key
	byID map[string]*Key
}

// KeyringError names the file, the key and the mend.
type KeyringError struct {
	Path, Key, Problem string
}

// Error is a sentence for the operator.
func (e *KeyringError) Error() string {
	where := e.Path
	if where == "" {
		where = "keyring"
	}
	if e.Key != "" {
		where += ": key " + e.Key
	}
	return where + ": " + e.Problem
}

// Open reads a keyring file. The error names the file and what to do.
func Open(path string) (*Keyring, error) {
	k := &Keyring{path: path}
	if err := k.Reload(); err != nil {
		return nil, err
	}
	return k, nil
}

// Reload reads the file again. On an error the keys already loaded stay.
func (k *Keyring) Reload() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.reload()
}

func (k *Keyring) reload() error {
	info, err := os.Stat(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return &KeyringError{k.path, "", "no such file; make one with `portalgate keys generate --out " + k.path + "`"}
	}
	if err != nil {
		return &KeyringError{k.path, "", "cannot be read: " + err.Error()}
	}
	k.seen = info
	if info.IsDir() || info.Size() > maxKeyringMB {
		return &KeyringError{k.path, "", "is not a keyring file; " + remake}
	}
	b, err := os.ReadFile(k.path)
	if err != nil {
		return &KeyringError{k.path, "", "cannot be read: " + err.Error()}
	}
	set, err := parse(b)
	if err != nil {
		var ke *KeyringError
		if errors.As(err, &ke) {
			ke.Path = k.path
		}
		return err
	}
	if sum := sha256.Sum256(b); sum != k.read {
		if err := k.continues(set, time.Now()); err != nil {
			return err
		}
		k.read = sum
		k.set.Store(set)
		k.turn.Add(1)
	}
	return nil
}

// Turn grows each time the file was found to say something else. What was verified with the keys before it may have
// been signed with a key that is trusted no longer.
func (k *Keyring) Turn() uint64 { return k.turn.Load() }

// Path is where the keyring was read from.
func (k *Keyring) Path() string { return k.path }

// file is the keyring as JSON.
type file struct {
	Version int       `json:"version"`
	Keys    []fileKey `json:"keys"`
}

type fileKey struct {
	ID          string     `json:"id"`
	Purpose     Purpose    `json:"purpose"`
	UseFrom     time.Time  `json:"use_from"`
	VerifyUntil *time.Time `json:"verify_until,omitempty"`
	Secret      string     `json:"secret"`
}

// Parse reads a keyring from memory.
func Parse(b []byte) (*Keyring, error) {
	set, err := parse(b)
	if err != nil {
		return nil, err
	}
	k := &Keyring{}
	k.set.Store(set)
	return k, nil
}

// remake is the mend of what no hand should repair.
const remake = "make keys with `portalgate keys generate`"

func known() string {
	var names []string
	for _, p := range purposes {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

func parse(b []byte) (*keyset, error) {
	bad := func(id, problem string) error { return &KeyringError{"", id, problem} }
	var f file
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, bad("", "is not a keyring: "+strings.TrimPrefix(err.Error(), "json: ")+"; "+remake)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, bad("", "has text after its end; take out what follows the last brace")
	}
	if f.Version != 1 {
		return nil, bad("", fmt.Sprintf("has version %d, this program reads version 1; run the release that wrote it, or a newer one", f.Version))
	}
	set := &keyset{byID: make(map[string]*Key, len(f.Keys))}
	seen := map[string]string{}
	for _, fk := range f.Keys {
		switch {
		case fk.ID == "" || len(fk.ID) > 64 || strings.Trim(fk.ID, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
			return nil, bad(fk.ID, "needs an id of at most 64 lower-case letters, digits and dashes; "+remake)
		case set.byID[fk.ID] != nil:
			return nil, bad(fk.ID, "stands in the file twice; take one of the two out")
		case !slices.Contains(purposes, fk.Purpose):
			return nil, bad(fk.ID, fmt.Sprintf("has the unknown purpose %q; this release knows %s", fk.Purpose, known()))
		}
		raw, err := base64.StdEncoding.Strict().DecodeString(fk.Secret)
		switch {
		case err != nil:
			return nil, bad(fk.ID, "its secret is not base64; it was altered, so take it from a copy of the file")
		case len(raw) < 32:
			return nil, bad(fk.ID, fmt.Sprintf("is too short: %d bytes, 32 are needed; %s", len(raw), remake))
		case len(raw) > 32:
			return nil, bad(fk.ID, fmt.Sprintf("is too long: %d bytes, 32 are needed; %s", len(raw), remake))
		case example(raw):
			return nil, bad(fk.ID, "is an example, not a random key; "+remake)
		}
		if other, ok := seen[string(raw)]; ok {
			return nil, bad(fk.ID, "has the same secret as key "+other+", and each needs its own; "+remake)
		}
		seen[string(raw)] = fk.ID
		key := &Key{ID: fk.ID, Purpose: fk.Purpose, UseFrom: fk.UseFrom, raw: veil(raw)}
		if fk.VerifyUntil != nil {
			key.VerifyUntil = *fk.VerifyUntil
		}
		if key.Purpose == PurposeAssertion {
			if key.signer, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), raw); err != nil {
				return nil, bad(fk.ID, "is not a P-256 key; it was altered, so take it from a copy of the file")
			}
		}
		if key.Purpose == PurposeAccess || key.Purpose == PurposeRefreshMAC {
			key.macs = newMacs(key.raw)
		}
		if key.Purpose == PurposeAccess {
			key.head = accessHead(key.ID)
		}
		set.all = append(set.all, key)
		set.byID[key.ID] = key
	}
	for _, p := range purposes {
		if p == PurposePassword {
			continue // the keyed step is optional by law and by NIST; an operator may run without it
		}
		if !slices.ContainsFunc(set.all, func(k *Key) bool { return k.Purpose == p }) {
			return nil, bad("", fmt.Sprintf("has no key for %q; %s", p, remake))
		}
	}
	sort.SliceStable(set.all, func(i, j int) bool { return set.all[i].UseFrom.Before(set.all[j].UseFrom) })
	return set, nil
}

// example catches keys that nobody drew at random: few different bytes, printable text from a page, a counted run.
func example(raw []byte) bool {
	var count [256]int
	distinct, text, run := 0, 0, 0
	for i, b := range raw {
		if count[b]++; count[b] == 1 {
			distinct++
		}
		if b >= 0x20 && b < 0x7f {
			text++
		}
		if i > 0 && (b == raw[i-1] || b == raw[i-1]+1 || b+1 == raw[i-1]) {
			run++
		}
	}
	// For 32 random bytes each of these is rarer than one in 10^12.
	return distinct < 16 || text == len(raw) || run > 12
}

// current is the newest key of a purpose whose time has come; before that, the oldest.
func (s *keyset) current(p Purpose, now time.Time) *Key {
	var best *Key
	for _, k := range s.all {
		if k.Purpose != p || !k.VerifyUntil.IsZero() && !now.Before(k.VerifyUntil) {
			continue
		}
		if best == nil || !k.UseFrom.After(now) {
			best = k
		}
	}
	return best
}

// live lists the keys of a purpose that still verify, newest first.
func (s *keyset) live(p Purpose, now time.Time) []*Key {
	var out []*Key
	for i := len(s.all) - 1; i >= 0; i-- {
		if k := s.all[i]; k.Purpose == p && (k.VerifyUntil.IsZero() || now.Before(k.VerifyUntil)) {
			out = append(out, k)
		}
	}
	return out
}

// find returns a key by id. An id that is not known makes the file be read once more, because another gateway may have
// rotated (contract 9).
func (k *Keyring) find(id string, p Purpose, now time.Time) *Key {
	look := func() *Key {
		key := k.set.Load().byID[id]
		if key == nil || key.Purpose != p || !key.VerifyUntil.IsZero() && !now.Before(key.VerifyUntil) {
			return nil
		}
		return key
	}
	if key := look(); key != nil || k.path == "" || k.set.Load().byID[id] != nil || len(id) > 64 {
		return key
	}
	k.again()
	return look()
}

// lookEvery is how soon the file is looked into again. No browser carries a token from the gateway that was the first to
// have a key to another one in less.
const lookEvery = 200 * time.Microsecond

// again reads the file at once where it is another than before, so that the second of two rotations is not missed, and
// at most once a second where it looks the same: what does not fit our keys may be a forgery, and a flood of forgeries
// must become neither a flood of readings nor one of looks.
func (k *Keyring) again() {
	k.mu.Lock() // who comes while it is read waits for what was read
	defer k.mu.Unlock()
	if time.Since(k.looked) < lookEvery {
		return
	}
	k.looked = time.Now()
	info, err := os.Stat(k.path)
	changed := err == nil && (k.seen == nil || !os.SameFile(info, k.seen) || info.Size() != k.seen.Size() || !info.ModTime().Equal(k.seen.ModTime()))
	if changed || time.Since(k.lastRead) > time.Second {
		k.lastRead = time.Now()
		_ = k.reload() // unreadable now: the keys already loaded decide
	}
}

// Keys lists the keys, oldest first.
func (k *Keyring) Keys() []*Key { return slices.Clone(k.set.Load().all) }

// Has says whether there is a key for a purpose.
func (k *Keyring) Has(p Purpose) bool {
	return slices.ContainsFunc(k.set.Load().all, func(x *Key) bool { return x.Purpose == p })
}

// JWKS is the document at /auth/jwks.json: the public halves of the assertion keys that verify now or will. A key whose end
// has come is not in it, so that an upstream forgets one that has leaked.
func (k *Keyring) JWKS(now time.Time) []byte {
	type jwk struct {
		Kty string `json:"kty"`
		Crv string `json:"crv"`
		Alg string `json:"alg"`
		Use string `json:"use"`
		Kid string `json:"kid"`
		X   string `json:"x"`
		Y   string `json:"y"`
	}
	out := struct {
		Keys []jwk `json:"keys"`
	}{Keys: []jwk{}}
	for _, k := range k.set.Load().live(PurposeAssertion, now) {
		pub, err := k.signer.PublicKey.Bytes() // 0x04, X, Y
		if err != nil {
			continue // parse made the key on its curve; there is no other way for this to fail
		}
		out.Keys = append(out.Keys, jwk{"EC", "P-256", "ES256", "sig", k.ID,
			base64.RawURLEncoding.EncodeToString(pub[1:33]), base64.RawURLEncoding.EncodeToString(pub[33:])})
	}
	b, err := json.Marshal(out)
	if err != nil {
		return []byte(`{"keys":[]}`)
	}
	return b
}
