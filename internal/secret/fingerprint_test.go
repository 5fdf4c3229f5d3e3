package secret

import (
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestAFingerprintIsOfOneTextAndOneProcess(t *testing.T) {
	f, other := NewFingerprints(), NewFingerprints()
	text := rand.Text() + strings.Repeat(".", 600) + rand.Text()
	first, ok := f.Of(text)
	if !ok {
		t.Fatal("no fingerprint")
	}
	if again, _ := f.Of(strings.Clone(text)); again != first {
		t.Error("the same text has another fingerprint")
	}
	if elsewhere, _ := other.Of(text); elsewhere == first {
		t.Error("two processes agree")
	}
	seen := map[Fingerprint]string{first: "the text itself"}
	tell := func(what, changed string) {
		d, ok := f.Of(changed)
		if before, twice := seen[d]; !ok || twice {
			t.Errorf("%s and %s have one fingerprint", what, before)
		}
		seen[d] = what
	}
	for i := range len(text) { // each byte counts, each bit of it
		for bit := range 8 {
			b := []byte(text)
			b[i] ^= 1 << bit
			tell(fmt.Sprintf("bit %d of byte %d", bit, i), string(b))
		}
	}
	for i := range len(text) { // and the length, zeros included
		tell(fmt.Sprint("the first ", i), text[:i])
		if i > 0 {
			tell(fmt.Sprint(i, " zeros more"), text+strings.Repeat("\x00", i))
		}
	}
	if _, ok := f.Of(strings.Repeat("x", MaxAccessLen)); !ok {
		t.Error("the longest token has none")
	}
	if _, ok := f.Of(strings.Repeat("x", MaxAccessLen+1)); ok {
		t.Error("a longer text has one")
	}
	if s := fmt.Sprintf("%v %x %s %d", first, first, first, first); strings.Count(s, "[fingerprint]") != 4 {
		t.Error("prints as", s)
	}
}

func TestFingerprintsOfManyAtOnceAreNotMixedUp(t *testing.T) {
	f := NewFingerprints()
	texts, want := make([]string, 64), make([]Fingerprint, 64)
	for i := range texts {
		texts[i] = strings.Repeat(rand.Text(), 1+i%20)
		want[i], _ = f.Of(texts[i])
	}
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 2000 {
				if got, _ := f.Of(texts[(i*w)%64]); got != want[(i*w)%64] {
					t.Error("another text's fingerprint")
				}
			}
		})
	}
	all.Wait()
}

func TestAFingerprintAllocatesNothing(t *testing.T) {
	f, text := NewFingerprints(), strings.Repeat("x", 600)
	if n := testing.AllocsPerRun(1000, func() { f.Of(text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
