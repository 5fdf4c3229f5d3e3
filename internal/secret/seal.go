package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Place is where a sealed value stands. It is authenticated with the value, so that a ciphertext copied into another
// row, column or tenant does not open (TOTP-06).
type Place struct {
	Tenant, Table, Column, Row string
}

func (p Place) bytes() []byte {
	return []byte("portalgate seal\x00" + p.Tenant + "\x00" + p.Table + "\x00" + p.Column + "\x00" + p.Row)
}

// ErrSealed means that a sealed value does not open: moved, altered, or sealed with a key that is gone.
var ErrSealed = errors.New("sealed value does not open")

// Seal encrypts with AES-256-GCM and a random nonce. The result names its key: `v1:KEY:BASE64`.
func (k *Keyring) Seal(plain []byte, at Place, now time.Time) (string, error) {
	key := k.set.Load().current(PurposeSeal, now)
	if key == nil {
		return "", fmt.Errorf("sealing: %w", ErrKey)
	}
	gcm, err := aead(key)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, gcm.NonceSize(), gcm.NonceSize()+len(plain)+gcm.Overhead())
	rand.Read(nonce)
	return "v1:" + key.ID + ":" + base64.RawStdEncoding.EncodeToString(gcm.Seal(nonce, nonce, plain, at.bytes())), nil
}

// SealedWith is the id of the key that a value was sealed with.
func SealedWith(sealed string) string {
	_, rest, _ := strings.Cut(sealed, ":")
	id, _, _ := strings.Cut(rest, ":")
	return id
}

// Unseal opens what Seal made at the same place.
func (k *Keyring) Unseal(sealed string, at Place, now time.Time) ([]byte, error) {
	rest, ok := strings.CutPrefix(sealed, "v1:")
	id, text, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 {
		return nil, ErrSealed
	}
	key := k.find(id, PurposeSeal, now)
	if key == nil {
		return nil, fmt.Errorf("%w: %w", ErrSealed, ErrKey)
	}
	b, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return nil, ErrSealed
	}
	gcm, err := aead(key)
	if err != nil {
		return nil, err
	}
	if len(b) < gcm.NonceSize() {
		return nil, ErrSealed
	}
	plain, err := gcm.Open(nil, b[:gcm.NonceSize()], b[gcm.NonceSize():], at.bytes())
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

func aead(key *Key) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key.raw())
	if err != nil {
		return nil, fmt.Errorf("opening key %s: %w", key.ID, err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("opening key %s: %w", key.ID, err)
	}
	return gcm, nil
}

// Pepper is the keyed step of password hashing: HMAC-SHA-256 with a key that is not in the database, so that a dump
// of the database alone cannot verify a guess (NIST SP 800-63B-4 section 3.1.1.2).
type Pepper struct {
	ring *Keyring
	now  func() time.Time
}

// Pepper returns the keyed step, or nil where the keyring has no key for it.
func (k *Keyring) Pepper(now func() time.Time) *Pepper {
	if !k.Has(PurposePassword) {
		return nil
	}
	return &Pepper{k, now}
}

// Current is the id of the key that new hashes use.
func (p *Pepper) Current() (string, bool) {
	key := p.ring.set.Load().current(PurposePassword, p.now())
	if key == nil {
		return "", false
	}
	return key.ID, true
}

// Mac computes the keyed step with the key of that id.
func (p *Pepper) Mac(keyID string, b []byte) ([]byte, error) {
	key := p.ring.find(keyID, PurposePassword, p.now())
	if key == nil {
		return nil, fmt.Errorf("password key %s: %w", keyID, ErrKey)
	}
	m := hmac.New(sha256.New, key.raw())
	io.WriteString(m, "portalgate password\x00")
	m.Write(b)
	return m.Sum(nil), nil
}

// FormToken binds a form to what its page was opened with, for the two pages that send no Origin (contract 4).
func (k *Keyring) FormToken(page, bound string, now time.Time) (string, error) {
	key := k.set.Load().current(PurposeForm, now)
	if key == nil {
		return "", fmt.Errorf("making a form token: %w", ErrKey)
	}
	return base64.RawURLEncoding.EncodeToString(formMAC(key, page, bound)), nil
}

// CheckFormToken says whether a form token belongs to the page and what it was opened with.
func (k *Keyring) CheckFormToken(token, page, bound string, now time.Time) bool {
	got, err := strictURL.DecodeString(token)
	if err != nil {
		return false
	}
	for _, key := range k.set.Load().live(PurposeForm, now) {
		if hmac.Equal(got, formMAC(key, page, bound)) {
			return true
		}
	}
	return false
}

func formMAC(key *Key, page, bound string) []byte {
	m := hmac.New(sha256.New, key.raw())
	io.WriteString(m, "portalgate form\x00"+page+"\x00"+bound)
	return m.Sum(nil)
}
