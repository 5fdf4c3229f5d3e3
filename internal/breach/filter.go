package breach

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"os"
	"sort"

	"github.com/FastFilter/xorfilter"
)

// A filter file holds which passwords were stolen, in nine bits for each and without naming any: one in 256 passwords
// that were not is taken for one that was. All numbers are little-endian.
//
//	8 bytes   magic, "PGBREACH"
//	4 bytes   version, 1
//	fingerprints of the parts, one after the other
//	directory, 48 bytes a part: first key, seed (8 each), segment length, mask, count, count length (4 each), offset,
//	          number of fingerprints (8 each)
//	8 bytes   number of passwords
//	8 bytes   offset of the directory
//	4 bytes   number of parts
//	4 bytes   CRC-32C of all before
//
// A part is a binary fuse filter of passwords that follow each other by key, the first eight bytes of their SHA-1,
// big-endian: so a list of any length is made into a filter, and asked, in the memory of one part or less.
const (
	filterMagic   = "PGBREACH"
	filterVersion = 1
	filterHead    = len(filterMagic) + 4
	filterEntry   = 48
	filterTail    = 24
	filterPart    = 1 << 20 // passwords in a part
	filterParts   = 1 << 16 // at most
)

// ErrFilter means that a file is no filter of this version, or is damaged.
var ErrFilter = errors.New("is no filter of stolen passwords that can be used")

// part is a binary fuse filter whose fingerprints stay in the file.
type part struct {
	first  uint64
	fuse   xorfilter.BinaryFuse8
	offset int64
	length uint32
}

// Filter asks a filter file. It is read once from end to end when it is opened, and three bytes of it for a password: a
// list of a thousand million needs no memory to speak of, and a file that is replaced under way is an error and nothing
// worse, which a mapping of it into memory would not survive.
type Filter struct {
	file  *os.File
	parts []part
	count uint64
}

// Open opens a file that Build made, for reading only, and checks all of it.
func Open(name string) (f *Filter, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = file.Close() // nothing was written
		}
	}()
	damaged := func(what string) error {
		return fmt.Errorf("%s %w: %s; make it again with `portalgate passwords build-filter`", name, ErrFilter, what)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size()
	if !info.Mode().IsRegular() {
		return nil, damaged("it is no file")
	}
	if size < int64(filterHead+filterTail) {
		return nil, damaged("it is too short")
	}
	head, tail := make([]byte, filterHead), make([]byte, filterTail)
	if _, err := file.ReadAt(head, 0); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(head, []byte(filterMagic)) {
		return nil, damaged("it begins like another kind of file")
	}
	if v := binary.LittleEndian.Uint32(head[len(filterMagic):]); v != filterVersion {
		return nil, damaged(fmt.Sprintf("it has version %d, and this program reads %d", v, filterVersion))
	}
	if _, err := file.ReadAt(tail, size-int64(filterTail)); err != nil {
		return nil, err
	}
	check := crc32.New(castagnoli)
	if _, err := io.Copy(check, io.NewSectionReader(file, 0, size-4)); err != nil {
		return nil, err
	}
	if check.Sum32() != binary.LittleEndian.Uint32(tail[20:]) {
		return nil, damaged("its checksum does not agree, so that a part of it is missing or changed")
	}
	f = &Filter{file: file, count: binary.LittleEndian.Uint64(tail)}
	at, n := binary.LittleEndian.Uint64(tail[8:]), binary.LittleEndian.Uint32(tail[16:])
	if n == 0 || n > filterParts || at != uint64(size)-filterTail-uint64(n)*filterEntry {
		return nil, damaged("its directory stands nowhere")
	}
	directory := make([]byte, int(n)*filterEntry)
	if _, err := file.ReadAt(directory, int64(at)); err != nil {
		return nil, err
	}
	next := int64(filterHead)
	for i := range int(n) {
		p := readPart(directory[i*filterEntry:])
		if p.offset != next || p.fuse.SegmentLength == 0 || p.fuse.SegmentLengthMask != p.fuse.SegmentLength-1 || p.fuse.SegmentLength&p.fuse.SegmentLengthMask != 0 ||
			uint64(p.length) != uint64(p.fuse.SegmentCountLength)+2*uint64(p.fuse.SegmentLength) || i > 0 && p.first <= f.parts[i-1].first {
			return nil, damaged(fmt.Sprintf("part %d of it is described wrongly", i+1))
		}
		next += int64(p.length)
		f.parts = append(f.parts, p)
	}
	if next != int64(at) {
		return nil, damaged("its parts do not fill it")
	}
	return f, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Count is how many passwords the filter was made from.
func (f *Filter) Count() uint64 { return f.count }

// Close gives the file back.
func (f *Filter) Close() error { return f.file.Close() }

// Breached asks the filter.
func (f *Filter) Breached(_ context.Context, sum [DigestBytes]byte) (bool, error) {
	return f.contains(binary.BigEndian.Uint64(sum[:8]))
}

// contains does what the library's Contains does, on a file.
func (f *Filter) contains(key uint64) (bool, error) {
	i := sort.Search(len(f.parts), func(i int) bool { return f.parts[i].first > key }) - 1
	if i < 0 {
		return false, nil
	}
	p := &f.parts[i]
	hash := mix(key + p.fuse.Seed)
	high, _ := bits.Mul64(hash, uint64(p.fuse.SegmentCountLength))
	h0 := uint32(high)
	h1 := (h0 + p.fuse.SegmentLength) ^ uint32(hash>>18)&p.fuse.SegmentLengthMask
	h2 := (h0 + 2*p.fuse.SegmentLength) ^ uint32(hash)&p.fuse.SegmentLengthMask
	print := uint8(hash ^ hash>>32)
	for _, h := range []uint32{h0, h1, h2} {
		var b [1]byte
		if _, err := f.file.ReadAt(b[:], p.offset+int64(h)); err != nil {
			return false, fmt.Errorf("reading the filter of stolen passwords: %w", err)
		}
		print ^= b[0]
	}
	return print == 0, nil
}

// mix is how the library spreads keys.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return h
}

func readPart(b []byte) part {
	le := binary.LittleEndian
	return part{first: le.Uint64(b), offset: int64(le.Uint64(b[32:])), length: uint32(le.Uint64(b[40:])), fuse: xorfilter.BinaryFuse8{
		Seed: le.Uint64(b[8:]), SegmentLength: le.Uint32(b[16:]), SegmentLengthMask: le.Uint32(b[20:]), SegmentCount: le.Uint32(b[24:]), SegmentCountLength: le.Uint32(b[28:])}}
}

func (p part) write(b []byte) {
	le := binary.LittleEndian
	le.PutUint64(b, p.first)
	le.PutUint64(b[8:], p.fuse.Seed)
	le.PutUint32(b[16:], p.fuse.SegmentLength)
	le.PutUint32(b[20:], p.fuse.SegmentLengthMask)
	le.PutUint32(b[24:], p.fuse.SegmentCount)
	le.PutUint32(b[28:], p.fuse.SegmentCountLength)
	le.PutUint64(b[32:], uint64(p.offset))
	le.PutUint64(b[40:], uint64(p.length))
}
