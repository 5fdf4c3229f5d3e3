package portal

import (
	"encoding/hex"
	"errors"
)

// Identifiers are canonical lower-case UUIDs. They are distinct types so that a session can never be looked up by a
// user's id; the only way from outside text to one of them is its parser.
type (
	// TenantID names a company that runs its own portal.
	TenantID string
	// UserID names one row of customer_users: a person acting for one customer company.
	UserID string
	// CustomerID names a buyer company in the ERP.
	CustomerID string
	// SessionID names one sign-in on one device: a family of refresh tokens.
	SessionID string
	// DeviceID names a browser we know again.
	DeviceID string
	// AttemptID names a sign-in under way.
	AttemptID string
	// LetterID names a letter in the outbox.
	LetterID string
	// TicketID names a mailed secret that can be used once.
	TicketID string
	// RecoveryID names an account that an operator opens anew.
	RecoveryID string
	// FactorID names a confirmed second proof.
	FactorID string
	// ChallengeID names a question that waits for its answer.
	ChallengeID string
)

// NilTenant is the tenant of nobody. The database roles have it as their default, so that a policy that casts the
// setting shows no rows rather than failing.
const NilTenant TenantID = "00000000-0000-0000-0000-000000000000"

// ErrID means that a text is not a UUID in the canonical form of RFC 9562.
var ErrID = errors.New("not a UUID")

// ParseID reads a UUID of 36 characters, in either case, and returns it as the wanted kind of identifier.
func ParseID[T ~string](s string) (T, error) {
	raw, ok := IDBytes(s)
	if !ok {
		return "", ErrID
	}
	return T(FormatID(raw)), nil
}

// FormatID writes 16 bytes as a canonical UUID.
func FormatID(raw [16]byte) string {
	var b [36]byte
	hex.Encode(b[0:8], raw[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], raw[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], raw[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], raw[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], raw[10:16])
	return string(b[:])
}

// IDBytes returns the 16 bytes of a UUID text without allocating; ok is false for any other text.
func IDBytes[T ~string](s T) (raw [16]byte, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return raw, false
	}
	j := 0
	for i := 0; i < 36; {
		if i == 8 || i == 13 || i == 18 || i == 23 { // and nowhere else
			i++
			continue
		}
		hi, lo := nibble(s[i]), nibble(s[i+1])
		if hi > 15 || lo > 15 {
			return [16]byte{}, false
		}
		raw[j] = hi<<4 | lo
		j++
		i += 2
	}
	return raw, true
}

func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}
