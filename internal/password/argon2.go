package password

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"sync"
	"time"
	_ "unsafe" // for go:linkname

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/blake2b"
)

// The parts of x/crypto's argon2, which its public face puts together with fresh memory for every hash: at 19 MiB each,
// a storm of sign-ins would either pile up what the collector has not taken back yet, beyond slots times memory
// (DOS-01), or have it run after every hash. Joined to the same parts, memory is used again. A release that names
// them otherwise does not link, and one that means something else by them is found by sound.

//go:linkname initHash golang.org/x/crypto/argon2.initHash
func initHash(password, salt, key, data []byte, time, memory, threads, keyLen uint32, mode int) [blake2b.Size + 8]byte

//go:linkname processBlocks golang.org/x/crypto/argon2.processBlocks
func processBlocks(B []block, time, memory, threads uint32, mode int)

//go:linkname extractKey golang.org/x/crypto/argon2.extractKey
func extractKey(B []block, memory, threads, keyLen uint32) []byte

//go:linkname blake2bHash golang.org/x/crypto/argon2.blake2bHash
func blake2bHash(out []byte, in []byte)

// block is RFC 9106's unit of memory, 1 KiB.
type block [128]uint64

const (
	argon2id   = 2
	syncPoints = 4
	firstIndex = blake2b.Size     // of a first block's number in what it is made from
	firstLane  = blake2b.Size + 4 // and of its lane's (RFC 9106 section 3.2)
)

// argon2idIn is argon2id in memory that w keeps: argon2.IDKey, but for where it works.
func argon2idIn(w *workspaces, password, salt []byte, passes, memory uint32, threads uint8, keyLen uint32) []byte {
	lanes := uint32(threads)
	seed := initHash(password, salt, nil, nil, passes, memory, lanes, keyLen, argon2id)
	memory = max(memory/(syncPoints*lanes), 2) * syncPoints * lanes
	b := w.take(int(memory))
	defer w.give(b)
	var first [1024]byte
	for lane := range lanes {
		binary.LittleEndian.PutUint32(seed[firstLane:], lane)
		for n := range uint32(2) {
			binary.LittleEndian.PutUint32(seed[firstIndex:], n)
			blake2bHash(first[:], seed[:])
			to := &b[lane*(memory/lanes)+n]
			for i := range to {
				to[i] = binary.LittleEndian.Uint64(first[i*8:])
			}
		}
	}
	processBlocks(b, passes, memory, lanes, argon2id)
	return extractKey(b, memory, lanes, keyLen)
}

// derive is one function that derives a key.
type derive func(w *workspaces, password, salt []byte, passes, memory uint32, threads uint8, keyLen uint32) []byte

// public is x/crypto's own.
func public(_ *workspaces, password, salt []byte, passes, memory uint32, threads uint8, keyLen uint32) []byte {
	return argon2.IDKey(password, salt, passes, memory, threads, keyLen)
}

// sound is own where it gives what x/crypto's public face gives, twice in the same memory, and that face otherwise: no
// password may be stored that another program cannot check.
func sound(own derive) derive {
	var w workspaces
	defer w.release()
	for _, salt := range []string{"a first salt....", "another salt...."} {
		const passes, memory, lanes, size = 2, 64, 2, 32
		got := own(&w, []byte("a password"), []byte(salt), passes, memory, lanes, size)
		if !bytes.Equal(got, argon2.IDKey([]byte("a password"), []byte(salt), passes, memory, lanes, size)) {
			return public
		}
	}
	return own
}

// derived is what this program derives with, found out once.
var derived = sync.OnceValue(func() derive { return sound(argon2idIn) })

// idle is how long memory waits for another hash before the system has it back.
const idle = 10 * time.Second

// workspaces keeps the memory of hashes that are done for those that come: never more pieces than were in use at the
// same time, and none once nobody has signed in for a while. The zero value is ready.
type workspaces struct {
	mu   sync.Mutex
	free [][]block
	back *time.Timer
}

// take gives n zeroed blocks.
func (w *workspaces) take(n int) []block {
	w.mu.Lock()
	var b []block
	if last := len(w.free) - 1; last >= 0 {
		b, w.free = w.free[last], w.free[:last]
	}
	w.mu.Unlock()
	if cap(b) >= n {
		return b[:n]
	}
	unmap(b)
	runtime.GC() // what a quiet hour has left on the heap makes room for it
	return mapped(n)
}

// give wipes b and keeps it: what a password was mixed into does not stay in memory, and the next hash, which is mixed
// over what it finds, needs zeroes.
func (w *workspaces) give(b []block) {
	clear(b)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.free = append(w.free, b[:cap(b)])
	if w.back == nil {
		w.back = time.AfterFunc(idle, w.release)
	} else {
		w.back.Reset(idle)
	}
}

// release gives what nobody uses back to the system.
func (w *workspaces) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.free {
		unmap(b)
	}
	w.free = nil
}
