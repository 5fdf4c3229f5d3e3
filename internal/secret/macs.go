package secret

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
)

// macs computes HMAC-SHA256 (RFC 2104) under one key. What the key alone is hashed to is kept, which is half the work for
// a short text: whoever floods us with forged cookies has us do little else. Many goroutines may use it.
type macs struct{ spare sync.Pool } // of *mac

type mac struct {
	h    hash.Hash
	text []byte
	out  [sha256.Size]byte
}

func newMacs(key veiled) *macs {
	return &macs{sync.Pool{New: func() any { return &mac{h: hmac.New(sha256.New, key())} }}}
}

// sum is the MAC of texts that follow each other. It allocates nothing.
func (m *macs) sum(texts ...string) [sha256.Size]byte {
	w := m.spare.Get().(*mac)
	w.text = w.text[:0]
	for _, t := range texts {
		w.text = append(w.text, t...)
	}
	w.h.Reset()
	w.h.Write(w.text)
	w.h.Sum(w.out[:0])
	out := w.out
	m.spare.Put(w)
	return out
}
