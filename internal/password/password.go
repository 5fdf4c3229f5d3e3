// Package password owns the question whether a text may be a password and whether it is somebody's: preparation,
// the rules, hashing with argon2id, the ERP's bcrypt, and the bounded pool that all hashing goes through.
//
// It refuses what is too long or no text before any hash is computed, stored hashes whose parameters are beyond the
// documented bounds, and more work at a time than its slots allow: the excess gets ErrBusy, quickly. It has no
// neighbour; the keyed step's key comes from the keyring, and a hash made with a key that is gone opens nothing.
package password

import (
	"errors"
	"fmt"
	"io"
	"strings"
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

// Policy says what may become a password.
type Policy struct {
	Min, Max int      // code points
	Context  []string // words of the person and the tenant that are no secret
}

// RuleError says which rule a password breaks, in words for its owner.
type RuleError struct{ Public string }

// Error is the sentence.
func (e *RuleError) Error() string { return e.Public }

// Check says whether a password may be set. There are no composition rules (NIST SP 800-63B-4 section 3.1.1.2).
func (r Policy) Check(p Prepared) error {
	n := p.Len()
	switch {
	case n < r.Min:
		return &RuleError{fmt.Sprintf("Use at least %d characters.", r.Min)}
	case n > r.Max:
		return &RuleError{fmt.Sprintf("Use at most %d characters.", r.Max)}
	}
	typed := plain(p.text())
	if first, _ := utf8.DecodeRuneInString(p.text()); strings.Trim(p.text(), string(first)) == "" {
		return &RuleError{"This is one character over and over. Use a phrase that only you know."}
	}
	for _, word := range r.Context {
		for _, w := range append(strings.Split(word, "@"), word) {
			w = plain(w)
			if len(w) < 3 {
				continue
			}
			// The word alone, or the word repeated or with a few characters around it, is the first thing guessed.
			if rest := strings.ReplaceAll(typed, w, ""); len(rest) < len(typed) && utf8.RuneCountInString(rest) < 4 {
				return &RuleError{"This is mostly your name, your address or the company's. Use a phrase that only you know."}
			}
		}
	}
	return nil
}

// Reason is the sentence for the person.
func Reason(err error) string {
	var r *RuleError
	if errors.As(err, &r) {
		return r.Public
	}
	return "Choose another password."
}

func plain(s string) string { return strings.ToLower(strings.TrimSpace(s)) }
