package factor_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/factor"
	"github.com/portalgate/portalgate/internal/testenv"
)

// born is a passkey that is being made, before it is written down. The statement is `none`, so that nothing but the
// fields themselves speaks for them.
type born struct {
	kind, id, rawID string
	client          map[string]any
	host            [32]byte
	flags           byte
	credential      []byte
	key             []byte // COSE
	object          []byte // CBOR; nil: written from the above
}

const (
	present, verified, able, synced, attested = 1 << 0, 1 << 2, 1 << 3, 1 << 4, 1 << 6
)

// es256 is a COSE key on P-256 that says it is for an algorithm, which is given as CBOR.
func es256(t testing.TB, algorithm ...byte) []byte {
	t.Helper()
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point := private.PublicKey().Bytes()
	key := append([]byte{0xa5, 1, 2, 3}, algorithm...)
	key = append(append(key, 0x20, 1, 0x21, 0x58, 32), point[1:33]...)
	return append(append(key, 0x22, 0x58, 32), point[33:]...)
}

func birth(t testing.TB, s factor.Scene, c factor.Challenge, change func(*born)) string {
	t.Helper()
	b := born{kind: "public-key", client: map[string]any{"type": "webauthn.create", "challenge": read(t, c).Challenge, "origin": s.Origin},
		host: sha256.Sum256([]byte(s.Host)), flags: present | attested, credential: bytes.Repeat([]byte("id"), 16), key: es256(t, 0x26)}
	b.id = base64.RawURLEncoding.EncodeToString(b.credential)
	b.rawID = b.id
	change(&b)
	data := append(append([]byte{}, b.host[:]...), b.flags, 0, 0, 0, 0)
	if b.flags&attested != 0 {
		data = append(data, make([]byte, 16)...)
		data = append(binary.BigEndian.AppendUint16(data, uint16(len(b.credential))), b.credential...)
		data = append(data, b.key...)
	}
	if b.object == nil {
		b.object = append([]byte("\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59"), byte(len(data)>>8), byte(len(data)))
		b.object = append(b.object, data...)
	}
	client, err := json.Marshal(b.client)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := json.Marshal(map[string]any{"type": b.kind, "id": b.id, "rawId": b.rawID, "response": map[string]any{
		"clientDataJSON": base64.RawURLEncoding.EncodeToString(client), "attestationObject": base64.RawURLEncoding.EncodeToString(b.object)}})
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// named gives a credential an id in all three places where it stands.
func named(id []byte) func(*born) {
	return func(b *born) {
		b.credential = id
		b.id = base64.RawURLEncoding.EncodeToString(id)
		b.rawID = b.id
	}
}

// WA-06, and WA-04 for the set-up.
func TestAPasskeyWithOneFieldFalsifiedIsNotMade(t *testing.T) {
	t.Parallel()
	s := scene()
	client := func(name string, value any) func(*born) {
		return func(b *born) { b.client[name] = value }
	}
	for name, change := range map[string]func(*born){
		"the type of the credential":  func(b *born) { b.kind = "password" },
		"the id":                      func(b *born) { b.id = "AAAA" },
		"the raw id":                  func(b *born) { b.rawID = "AAAA" },
		"an id that was not attested": func(b *born) { b.id, b.rawID = "AAAA", "AAAA" },
		"no id":                       named(nil),
		"an id of 1024 bytes":         named(make([]byte, 1024)),
		"the ceremony":                client("type", "webauthn.get"),
		"the challenge":               client("challenge", base64.RawURLEncoding.EncodeToString(make([]byte, 32))),
		"another host's page":         client("origin", "https://globex.portal.test:8443"),
		"another port":                client("origin", "https://acme.portal.test"),
		"another spelling":            client("origin", "https://ACME.portal.test:8443"),
		"in a frame of another's":     client("crossOrigin", true),
		"below a page":                client("topOrigin", s.Origin),
		"the host's digest":           func(b *born) { b.host = sha256.Sum256([]byte("portal.test")) },
		"nobody was present":          func(b *born) { b.flags &^= present },
		"no credential":               func(b *born) { b.flags &^= attested },
		"synced without able":         func(b *born) { b.flags |= synced },
		"more than its length":        func(b *born) { b.key = append(b.key, 0) },
		"an algorithm not offered":    func(b *born) { b.key = es256(t, 0x38, 0x22) },       // ES384
		"a broken algorithm":          func(b *born) { b.key = es256(t, 0x39, 0xff, 0xfe) }, // RS1
		"an algorithm of other keys":  func(b *born) { b.key = es256(t, 0x39, 0x01, 0x00) }, // RS256
		"a point that is on no curve": func(b *born) { b.key[len(b.key)-1] ^= 1 },
		"no key":                      func(b *born) { b.key = nil },
		"a key that is no map":        func(b *born) { b.key = []byte{0x01} },
		"a key without an end":        func(b *born) { b.key = b.key[:20] },
		"no statement":                func(b *born) { b.object = []byte{} },
		"a statement of nothing":      func(b *born) { b.object = []byte{0xa0} },
		"nested arrays":               func(b *born) { b.object = bytes.Repeat([]byte{0x81}, 40_000) },
		"nested maps in the key":      func(b *born) { b.key = bytes.Repeat([]byte{0xa1, 1}, 20_000) },
		"a huge array":                func(b *born) { b.object = []byte{0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff} },
		"a huge text":                 func(b *born) { b.object = []byte{0xa1, 0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff} },
		"a mebibyte":                  func(b *born) { b.object = bytes.Repeat([]byte{0x81}, 1<<20) },
		"an unknown statement":        func(b *born) { b.object = []byte("\xa3\x63fmt\x64evil\x67attStmt\xa0\x68authData\x40") },
	} {
		c, err := factor.WebAuthn{}.Setup(t.Context(), s, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		e, err := factor.WebAuthn{}.Confirm(t.Context(), s, c.State, birth(t, s, c, change))
		if !errors.Is(err, factor.ErrWrong) && !errors.Is(err, factor.ErrInput) || e.State != nil {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
	for name, change := range map[string]func(*born){"nothing": func(*born) {}, "verified": func(b *born) { b.flags |= verified }, "synced": func(b *born) { b.flags |= able | synced },
		"an id of 1023 bytes": named(make([]byte, 1023)), "an id of a byte": named([]byte{1})} {
		c, err := factor.WebAuthn{}.Setup(t.Context(), s, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (factor.WebAuthn{}).Confirm(t.Context(), s, c.State, birth(t, s, c, change)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAPasskeyIsMadeInItsOwnCeremonyOnly(t *testing.T) { // WA-01
	t.Parallel()
	s := scene()
	c, err := factor.WebAuthn{}.Setup(t.Context(), s, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	key, held, _ := made(t, s, testenv.Passkey{})
	login, answer := ask(t, s, held), birth(t, s, c, func(*born) {})
	for name, change := range map[string]func(*factor.Scene){
		"another's row": func(s *factor.Scene) { s.User = "bob" }, "another tenant": func(s *factor.Scene) { s.Tenant = "globex" }, "another host": func(s *factor.Scene) { s.Host = "globex.portal.test" },
		"five minutes later": func(s *factor.Scene) { s.Now = s.Now.Add(5 * time.Minute) },
	} {
		other := s
		change(&other)
		if e, err := (factor.WebAuthn{}).Confirm(t.Context(), other, c.State, answer); !errors.Is(err, factor.ErrWrong) {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
	if e, err := (factor.WebAuthn{}).Confirm(t.Context(), s, login.State, birth(t, s, login, func(*born) {})); !errors.Is(err, factor.ErrWrong) {
		t.Errorf("a sign-in's challenge makes one: %+v, %v", e, err)
	}
	if e, err := (factor.WebAuthn{}).Confirm(t.Context(), s, c.State, key.Answer(t, s.Origin, login.Show)); !errors.Is(err, factor.ErrInput) {
		t.Errorf("a sign-in's answer makes one: %+v, %v", e, err)
	}
	if _, err := (factor.WebAuthn{}).Confirm(t.Context(), s, c.State, answer); err != nil {
		t.Error(err)
	}
}

// Whatever a browser sends, it is refused in words that a page has.
func FuzzPasskeyAnswers(f *testing.F) {
	s := scene()
	key, held, _ := made(f, s, testenv.Passkey{Synced: true})
	login := ask(f, s, held)
	setUp, err := factor.WebAuthn{}.Setup(f.Context(), s, nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	good := key.Answer(f, s.Origin, login.Show)
	f.Add(good)
	f.Add(birth(f, s, setUp, func(*born) {}))
	f.Add(birth(f, s, setUp, func(b *born) { b.object = bytes.Repeat([]byte{0x81}, 1000) }))
	f.Add(strings.ReplaceAll(good, `"userHandle"`, `"clientExtensionResults":{"appid":true},"userHandle"`))
	f.Add(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AA","signature":null}}`)
	f.Add("null")
	f.Fuzz(func(t *testing.T, answer string) {
		refused := func(err error) bool { return errors.Is(err, factor.ErrWrong) || errors.Is(err, factor.ErrInput) }
		if got, err := (factor.WebAuthn{}).Check(t.Context(), s, []factor.Held{held}, login.State, answer); err == nil && got.ID != held.ID || err != nil && !refused(err) {
			t.Errorf("%q: %+v, %v", answer, got, err)
		}
		if _, err := (factor.WebAuthn{}).Confirm(t.Context(), s, setUp.State, answer); err != nil && !refused(err) {
			t.Errorf("%q confirms: %v", answer, err)
		}
		if lookup, err := (factor.WebAuthn{}).Claimed(answer); (err == nil) != (len(lookup) == 32) || err != nil && !refused(err) {
			t.Errorf("%q claims %x: %v", answer, lookup, err)
		}
	})
}
