package secret

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Signer signs what is handed to a receiver of the operator's own, with a secret that both know.
type Signer struct {
	key veiled
}

// Format does not reveal the secret, whatever the verb.
func (Signer) Format(f fmt.State, _ rune) { io.WriteString(f, "[receiver's secret]") }

// NewSigner takes the secret. What anybody could guess is refused.
func NewSigner(key string) (*Signer, error) {
	distinct := map[byte]bool{}
	for i := range len(key) {
		distinct[key[i]] = true
	}
	if _, err := NewBearer(key); err != nil || len(key) < 24 || len(distinct) < 12 {
		return nil, errors.New("the secret is a published default, too short or too regular; make a random one of at least 32 characters, as with `openssl rand -base64 32`")
	}
	return &Signer{veil([]byte(key))}, nil
}

// Sign is the header's value for a body: t=, the moment in Unix seconds, and v1=, the HMAC-SHA256 in hexadecimal of that
// number, a full stop and the body. The moment is under the signature, so that the receiver can refuse an old one.
func (s *Signer) Sign(body []byte, at time.Time) string {
	t := strconv.FormatInt(at.Unix(), 10)
	m := hmac.New(sha256.New, s.key())
	m.Write([]byte(t + "."))
	m.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(m.Sum(nil))
}
