package secret

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"strings"
	"sync"
	"testing"
)

func TestAMACIsTheLibrarysWhoeverAsksAtTheSameTime(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte("k3y!"), 8)
	m := newMacs(veil(key))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 200 {
				text := strings.Repeat("x", n*(i+1))
				h := hmac.New(sha256.New, key)
				h.Write([]byte("before\x00" + text))
				if got := m.sum("before\x00", text); !hmac.Equal(got[:], h.Sum(nil)) {
					t.Errorf("%d bytes: another MAC", len(text))
				}
			}
		})
	}
	all.Wait()
}
