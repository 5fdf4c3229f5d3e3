package secret

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// Bytes draws n random bytes: a seed, a handle, an id that nobody can foretell.
func Bytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: the runtime aborts the process rather than return weak bytes
	return b
}

// Draw draws n letters of an alphabet of at most 256, each as likely as every other: what would make the first letters
// of the alphabet likelier is thrown away (OOB-02).
func Draw(n int, alphabet string) string {
	fair := 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	for room := make([]byte, 2*n); len(out) < n; {
		rand.Read(room)
		for _, b := range room {
			if int(b) < fair && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}

// Codes is the keyed hashing of codes that somebody types. Six digits have a million values, so a plain hash of them is
// as good as the code; without the key, which is not in the database, a dump verifies no guess (OOB-04, BKP-01).
//
// The key is that of password hashing, under a label of its own: like a stored hash, a backup code stands in the
// database until it is used, and so its key must verify for ever. A keyring without such a key keeps no codes.
type Codes struct {
	ring *Keyring
	now  func() time.Time
}

// Codes returns the keyed hashing of codes.
func (k *Keyring) Codes(now func() time.Time) *Codes { return &Codes{k, now} }

// Mac hashes a text for a place, with the named key, or with the present one where the name is empty. It returns the
// key's name. The same text in another place has another hash.
func (c *Codes) Mac(keyID, place, text string) (mac []byte, key string, err error) {
	now := c.now()
	k := c.ring.set.Load().current(PurposePassword, now)
	if keyID != "" {
		k = c.ring.find(keyID, PurposePassword, now)
	}
	if k == nil {
		return nil, "", fmt.Errorf("hashing a code with the key %q for %s: %w", keyID, PurposePassword, ErrKey)
	}
	m := hmac.New(sha256.New, k.raw())
	io.WriteString(m, "portalgate code\x00")
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(len(place)))) // so that no place runs over into the text
	io.WriteString(m, place)
	io.WriteString(m, text)
	return m.Sum(nil), k.ID, nil
}
