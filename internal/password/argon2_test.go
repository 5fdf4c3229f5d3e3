package password

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"

	"golang.org/x/crypto/argon2"
)

// The parts of x/crypto mean what they are taken for: without it every hash would take fresh memory.
func TestHashesAreMadeInMemoryThatIsUsedAgain(t *testing.T) {
	if fmt.Sprintf("%p", derived()) != fmt.Sprintf("%p", derive(argon2idIn)) {
		t.Fatal("this release of x/crypto gives other keys by its parts than by argon2.IDKey")
	}
	var w workspaces
	defer w.release()
	first := w.take(64)
	w.give(first)
	again := w.take(32)
	if &first[0] != &again[0] || len(again) != 32 {
		t.Error("memory was not used again")
	}
	w.give(again)
	if larger := w.take(128); len(larger) != 128 || len(w.free) != 0 {
		t.Errorf("a larger hash got %d blocks, and %d pieces are kept", len(larger), len(w.free))
	} else {
		w.give(larger)
	}
	w.release()
	if len(w.free) != 0 {
		t.Error("what nobody used was not given back")
	}
}

func TestAKeyIsTheOneThatXCryptoDerives(t *testing.T) {
	t.Parallel()
	var w workspaces
	defer w.release()
	for _, c := range []struct {
		passes, memory, size uint32
		lanes                uint8
	}{{1, 8, 16, 1}, {2, 19456, 32, 1}, {1, 19456, 32, 1}, {3, 100, 32, 3}, {1, 0, 32, 4}, {2, 1027, 64, 4}} {
		for n := range 3 {
			word, salt := bytes.Repeat([]byte("ä"), n*50), fmt.Appendf(nil, "the salt no %4d", n)
			if got, want := argon2idIn(&w, word, salt, c.passes, c.memory, c.lanes, c.size), argon2.IDKey(word, salt, c.passes, c.memory, c.lanes, c.size); !bytes.Equal(got, want) {
				t.Errorf("m=%d t=%d p=%d: %x instead of %x", c.memory, c.passes, c.lanes, got, want)
			}
		}
	}
}

// DOS-01, and a password in a core file or a swapped page.
func TestAHashLeavesNothingInMemoryAndTakesNoMoreThanRunAtOnce(t *testing.T) {
	t.Parallel()
	var w workspaces
	defer w.release()
	var all sync.WaitGroup
	slots := make(chan struct{}, 3)
	for n := range 40 {
		all.Go(func() {
			slots <- struct{}{}
			argon2idIn(&w, fmt.Append(nil, n), []byte("a salt of it all"), 1, 256, 1, 32)
			<-slots
		})
	}
	all.Wait()
	if len(w.free) < 1 || len(w.free) > 3 {
		t.Errorf("%d pieces are kept of three slots", len(w.free))
	}
	for _, b := range w.free {
		if slices.ContainsFunc(b, func(b block) bool { return b != block{} }) {
			t.Error("the memory still holds what the password was mixed into")
		}
	}
}

func TestPartsThatMeanSomethingElseAreNotUsed(t *testing.T) {
	t.Parallel()
	calls := 0
	for name, wrong := range map[string]derive{
		"always": func(*workspaces, []byte, []byte, uint32, uint32, uint8, uint32) []byte { return make([]byte, 32) },
		"from the second on": func(w *workspaces, word, salt []byte, passes, memory uint32, lanes uint8, size uint32) []byte {
			if calls++; calls > 1 {
				salt = nil
			}
			return public(w, word, salt, passes, memory, lanes, size)
		},
	} {
		got := sound(wrong)(nil, []byte("a"), []byte("0123456789abcdef"), 1, 64, 1, 32)
		if !bytes.Equal(got, argon2.IDKey([]byte("a"), []byte("0123456789abcdef"), 1, 64, 1, 32)) {
			t.Errorf("wrong %s: was used all the same", name)
		}
	}
}
