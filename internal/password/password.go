// Package password owns the question whether a text may be a password and whether it is somebody's: preparation,
// the rules, the list of common passwords, hashing with argon2id, the ERP's bcrypt, and the bounded pool that all hashing
// and guessing at strength goes through.
//
// It refuses what is too long or no text before any hash is computed, stored hashes whose parameters are beyond the
// documented bounds, and more work at a time than its slots allow: the excess gets ErrBusy, quickly. The keyed step's
// key comes from the keyring, and a hash made with a key that is gone opens nothing. Its only neighbour is a source of
// stolen passwords (Breaches): when that is down it says so, and the caller takes the password.
package password

import (
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The longest password: 128 code points (the decisions; NIST SP 800-63B-4 section 3.1.1.2 asks for at least 64), in at
// most 1,024 bytes as typed.
const (
	MaxRunes = 128
	MaxBytes = 1024
)

// What Prepare refuses.
var (
	ErrTooLong = errors.New("password is too long")
	ErrNotText = errors.New("password is not text")
)

// Prepared is a password ready to be hashed. It does not print, not even as the private field of a struct, where fmt
// calls no method: hence the functions, which print as addresses at most.
type Prepared struct {
	typed func() string // as typed, which is what the ERP's bcrypt saw
	nfc   func() string // what we hash
}

func veil(s string) func() string { return func() string { return s } }

func (p Prepared) raw() string {
	if p.typed == nil {
		return ""
	}
	return p.typed()
}

func (p Prepared) text() string {
	if p.nfc == nil {
		return ""
	}
	return p.nfc()
}

// Prepare normalises a password to NFC, at setting and at checking alike, and changes nothing else: no trimming, no
// folding, no cutting (PWD-03).
func Prepare(raw string) (Prepared, error) {
	if len(raw) > MaxBytes {
		return Prepared{}, ErrTooLong
	}
	if !utf8.ValidString(raw) {
		return Prepared{}, ErrNotText
	}
	p := Prepared{veil(raw), veil(norm.NFC.String(raw))}
	if p.Len() > MaxRunes {
		return Prepared{}, ErrTooLong
	}
	return p, nil
}

// Len is the length in code points.
func (p Prepared) Len() int { return utf8.RuneCountInString(p.text()) }

// String does not reveal the password.
func (Prepared) String() string { return "[password]" }

// GoString does not reveal the password.
func (Prepared) GoString() string { return "[password]" }

// Format does not reveal the password, whatever the verb.
func (Prepared) Format(f fmt.State, _ rune) { io.WriteString(f, "[password]") }

// MarshalJSON does not reveal the password.
func (Prepared) MarshalJSON() ([]byte, error) { return []byte(`"[password]"`), nil }
