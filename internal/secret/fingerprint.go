package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"io"
	"sync"
)

// Fingerprint is a text as one process remembers it. Two different texts of at most MaxAccessLen bytes share one with a
// probability of at most 130 in 2^128, whoever chose them, as long as nobody sees a fingerprint: it must not leave
// the process.
type Fingerprint [16]byte

// Format does not reveal the fingerprint, whatever the verb.
func (Fingerprint) Format(f fmt.State, _ rune) { io.WriteString(f, "[fingerprint]") }

// Fingerprints makes the fingerprints of one process, by a key that is drawn when it is made and kept nowhere: a third
// of what SHA-256 costs. It is GMAC (NIST SP 800-38D) with one nonce for all texts, of which only equality is asked.
// With tags in the open, one nonce twice gives the key away; here they stay inside, and what is left is a polynomial
// hash under a secret key (its bound is that of McGrew and Viega, "The Security and Performance of the Galois/Counter
// Mode", lemma 2). Many goroutines may use it.
type Fingerprints struct {
	gcm   cipher.AEAD
	spare sync.Pool // of *scratch: what an interface is handed would be allocated each time
}

type scratch struct {
	text [MaxAccessLen]byte
	tag  Fingerprint
}

// NewFingerprints draws a key.
func NewFingerprints() *Fingerprints {
	key := make([]byte, 16)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // 16 bytes are a key
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has blocks of 16 bytes
	}
	return &Fingerprints{gcm: gcm, spare: sync.Pool{New: func() any { return new(scratch) }}}
}

var oneNonce = make([]byte, 12)

// Of is the fingerprint of a text of at most MaxAccessLen bytes; a longer one has none. It allocates nothing.
func (f *Fingerprints) Of(text string) (Fingerprint, bool) {
	if len(text) > MaxAccessLen {
		return Fingerprint{}, false
	}
	s := f.spare.Get().(*scratch)
	n := copy(s.text[:], text)
	f.gcm.Seal(s.tag[:0], oneNonce, nil, s.text[:n])
	tag := s.tag
	f.spare.Put(s)
	return tag, true
}
