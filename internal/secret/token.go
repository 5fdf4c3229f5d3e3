package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

// TokenBytes is the length of a random token: 256 bits, twice what ASVS 11.5.1 asks for.
const TokenBytes = 32

// ErrToken means that a text is not a token of ours.
var ErrToken = errors.New("malformed token")

// Token is a random secret that somebody carries. It has no printable form; Reveal is the one way out.
// Two tokens are compared by their digests; == does not compile.
type Token struct{ raw veiled }

// veiled holds bytes where fmt cannot reach them. It calls no method on a private field, and some verbs follow
// pointers; a function prints as an address at most.
type veiled func() []byte

func veil(b []byte) veiled { return func() []byte { return b } }

func tokenOf(b [TokenBytes]byte) Token { return Token{veil(b[:])} }

var noToken [TokenBytes]byte

func (t Token) bytes() []byte {
	if t.raw == nil {
		return noToken[:]
	}
	return t.raw()
}

// NewToken draws a token from the operating system's generator.
func NewToken() Token {
	var b [TokenBytes]byte
	rand.Read(b[:]) // never fails: the runtime aborts the process rather than return weak bytes
	return tokenOf(b)
}

// ParseToken reads the text form: 43 characters of unpadded base64url, in the one canonical spelling.
func ParseToken(s string) (Token, error) {
	var b [TokenBytes]byte
	if len(s) != base64.RawURLEncoding.EncodedLen(TokenBytes) {
		return Token{}, ErrToken
	}
	if n, err := strictURL.Decode(b[:], []byte(s)); err != nil || n != TokenBytes {
		return Token{}, ErrToken
	}
	return tokenOf(b), nil
}

// strictURL still skips line ends: whoever decodes with it counts what came out, or looks for them.
var strictURL = base64.RawURLEncoding.Strict()

// Reveal returns the text to be put into a cookie or a link.
func (t Token) Reveal() string { return base64.RawURLEncoding.EncodeToString(t.bytes()) }

// Kind separates the digests of tokens that are stored in different places, so that a token of one kind is useless
// at the door of another (TOK-02).
type Kind string

// The kinds of token.
const (
	KindRefresh Kind = "refresh"
	KindDevice  Kind = "device"
	KindAttempt Kind = "attempt"
	KindTicket  Kind = "ticket"
)

// Digest is what is stored of a token: SHA-256 over its kind, its tenant and its bytes. The tokens are 256 bits of
// randomness, so a plain hash cannot be searched (ASVS 6.5.2).
type Digest [sha256.Size]byte

// Digest computes what is stored of the token.
func (t Token) Digest(kind Kind, tenant string) Digest {
	return digest(kind, tenant, t.bytes())
}

func digest(kind Kind, tenant string, raw []byte) Digest {
	var room [128]byte // on the stack: this stands on the hot road
	b := append(room[:0], "portalgate "...)
	b = append(append(b, kind...), 0)
	b = append(append(b, tenant...), 0)
	return sha256.Sum256(append(b, raw...))
}

// String does not reveal the token.
func (Token) String() string { return "[token]" }

// GoString does not reveal the token.
func (Token) GoString() string { return "[token]" }

// Format does not reveal the token, whatever the verb.
func (Token) Format(f fmt.State, _ rune) { io.WriteString(f, "[token]") }

// MarshalJSON does not reveal the token.
func (Token) MarshalJSON() ([]byte, error) { return []byte(`"[token]"`), nil }

// MarshalText does not reveal the token.
func (Token) MarshalText() ([]byte, error) { return []byte("[token]"), nil }

// Equal compares two secrets without telling by its time how much of them agrees.
func Equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// NewID draws a random UUID (RFC 9562 version 4).
func NewID() [16]byte {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return b
}

// Reference is the short word under an error page by which an operator finds its log line: 8 letters and digits
// that cannot be mistaken for one another when read over the telephone.
func Reference() string {
	const alphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ" // 32 letters, so that no value is likelier than another
	var b [8]byte
	rand.Read(b[:])
	for i := range b {
		b[i] = alphabet[b[i]&31]
	}
	return string(b[:])
}
