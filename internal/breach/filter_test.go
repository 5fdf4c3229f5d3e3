package breach

import (
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/FastFilter/xorfilter"
)

// The question to a file is answered as the library answers it in memory, over several parts too.
func TestAFileAnswersAsTheLibraryDoes(t *testing.T) {
	t.Parallel()
	draw := rand.New(rand.NewPCG(1, 2))
	var whole bytes.Buffer
	w := newFilterWriter(&whole)
	if err := w.head(); err != nil {
		t.Fatal(err)
	}
	var keys []uint64
	for range 60_000 {
		keys = append(keys, draw.Uint64())
	}
	slices.Sort(keys)
	type inMemory struct {
		first uint64
		fuse  *xorfilter.BinaryFuse8
	}
	var library []inMemory
	for group := range slices.Chunk(keys, 25_000) {
		for _, k := range group {
			w.add(k)
		}
		if err := w.part(); err != nil {
			t.Fatal(err)
		}
		fuse, err := xorfilter.PopulateBinaryFuse8(slices.Clone(group))
		if err != nil {
			t.Fatal(err)
		}
		library = append(library, inMemory{group[0], fuse})
	}
	if _, err := w.end(uint64(len(keys))); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "filter")
	if err := os.WriteFile(name, whole.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // a test's end
	if len(f.parts) != 3 {
		t.Fatalf("%d parts", len(f.parts))
	}
	for range 20_000 {
		keys = append(keys, draw.Uint64())
	}
	keys = append(keys, 0, 1, keys[0]-1, ^uint64(0))
	for i, k := range keys {
		want := false
		for _, part := range slices.Backward(library) {
			if k >= part.first {
				want = part.fuse.Contains(k)
				break
			}
		}
		if got, err := f.contains(k); err != nil || got != want || i < 60_000 && !got {
			t.Fatalf("key %d, %x: %t, %v; the library says %t", i, k, got, err, want)
		}
	}
}

func TestAListIsTakenPlainOrCompressedWithOrWithoutCounts(t *testing.T) {
	t.Parallel()
	plain := listOf(t, 50)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprint(z, plain)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	first, _ := built(t, plain)
	want, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	var bare []string
	for _, line := range strings.Fields(plain) {
		digest, _, _ := strings.Cut(line, ":")
		bare = append(bare, strings.ToLower(digest), digest) // twice, and in both cases
	}
	for what, list := range map[string]string{"packed": packed.String(), "bare and doubled": strings.Join(bare, "\n"), "with empty lines": "\n" + strings.ReplaceAll(plain, "\r\n", "\n\n")} {
		name, b := built(t, list)
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) || b.Passwords != 55 {
			t.Errorf("%s makes another filter: %+v, %v", what, b, err)
		}
	}
}

func TestABadLineIsNamedAndNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	good := strings.Fields(listOf(t, 3))
	with := func(line string) string { return strings.Join(append(slices.Clone(good[:4]), line), "\n") }
	for name, c := range map[string]struct{ list, want string }{
		"NTLM":        {"32ED87BDB5FDC5E9CBA88547376818D4:1\n", "line 1: 32 digits are NTLM"},
		"short":       {with("ABC:1"), "line 5: a digest has 40 digits, and here are 3"},
		"not hex":     {with(strings.Repeat("G", 40) + ":1"), "line 5: a digest has the digits"},
		"no number":   {with(strings.Repeat("F", 40) + ":many"), "line 5: what follows the colon"},
		"no count":    {with(strings.Repeat("F", 40) + ":"), "line 5: what follows the colon"},
		"unsorted":    {with(strings.Repeat("0", 40) + ":1"), "line 5: it belongs before the line above it"},
		"passwords":   {"hunter2hunter2\n", "line 1: a digest has 40 digits"},
		"endless":     {with(strings.Repeat("F", 10_000)), "line 5: it is far too long"},
		"empty":       {"", "no digests"},
		"only spaces": {"\n\n\r\n", "no digests"},
		"cut gzip":    {"\x1f\x8b\x08", "unpacking the list"},
	} {
		dir := t.TempDir()
		_, err := Build(strings.NewReader(c.list), filepath.Join(dir, "filter"))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the complaint shows the line", name)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s leaves %v behind", name, left)
		}
	}
	if _, err := Build(strings.NewReader(listOf(t, 1)), filepath.Join(t.TempDir(), "nowhere", "filter")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

// Each byte of a filter counts: whichever is changed, whatever is missing, is found at the start.
func TestADamagedFilterIsRefusedByName(t *testing.T) {
	t.Parallel()
	name, _ := built(t, listOf(t, 10))
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, b []byte) {
		t.Helper()
		damaged := filepath.Join(t.TempDir(), "damaged")
		if err := os.WriteFile(damaged, b, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Open(damaged)
		if err == nil {
			_ = f.Close()
		}
		if !errors.Is(err, ErrFilter) || !strings.Contains(err.Error(), damaged) || !strings.Contains(err.Error(), "build-filter") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 1
		refused(fmt.Sprintf("byte %d changed", i), b)
	}
	for _, n := range []int{0, 1, filterHead, filterHead + filterTail - 1, filterHead + filterTail, len(whole) - 1} {
		refused(fmt.Sprintf("%d bytes of %d", n, len(whole)), whole[:n])
	}
	refused("a byte more", append(bytes.Clone(whole), 0))
	refused("a list and no filter", []byte(listOf(t, 10)))
	// With a checksum that agrees, what is described is looked at.
	entry := len(whole) - filterTail - filterEntry
	for what, at := range map[string]int{"segment length": entry + 16, "mask": entry + 20, "count length": entry + 28, "offset": entry + 32, "fingerprints": entry + 40, "directory": len(whole) - 16, "parts": len(whole) - 8} {
		b := bytes.Clone(whole)
		b[at]++
		check := crc32.Checksum(b[:len(b)-4], castagnoli)
		binary.LittleEndian.PutUint32(b[len(b)-4:], check)
		refused(what, b)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrFilter) {
		t.Errorf("a directory: %v", err)
	}
}

// A filter that is replaced or cut under way is an error and never a crash.
func TestAFilterCutUnderWayIsAnError(t *testing.T) {
	t.Parallel()
	name, _ := built(t, listOf(t, 1000))
	f, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // a test's end
	if err := os.Truncate(name, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Breached(t.Context(), digest(stolen[0])); err == nil {
		t.Error("no error")
	}
}

// BenchmarkBuild makes a filter of a million digests.
func BenchmarkBuild(b *testing.B) {
	var list bytes.Buffer
	var d [sha1.Size]byte
	for i := range uint64(1 << 20) {
		binary.BigEndian.PutUint64(d[:], i<<43)
		fmt.Fprintf(&list, "%X:1\n", d)
	}
	name := filepath.Join(b.TempDir(), "filter")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Build(bytes.NewReader(list.Bytes()), name); err != nil {
			b.Fatal(err)
		}
	}
}
