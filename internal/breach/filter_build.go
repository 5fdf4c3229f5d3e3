package breach

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/FastFilter/xorfilter"
)

// Built is what came of a list.
type Built struct {
	Lines, Passwords uint64 // lines read; passwords in the filter, each once
	Bytes            int64  // of the filter
	Parts            int
}

// Build makes a filter file from a list of SHA-1 digests in ascending order, a line each as `DIGEST:times` or
// `DIGEST`, plain or compressed by gzip: as Have I Been Pwned's list is downloaded. It takes the memory of one part,
// some 35 MB, however long the list is. The file is there when it is whole, and not before; one that was there is
// replaced. A line that cannot be read is an error that names it.
func Build(list io.Reader, name string) (b Built, err error) {
	text, err := unpacked(list)
	if err != nil {
		return b, err
	}
	out, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return b, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreClosed(out.Close()), os.Remove(out.Name()))
		}
	}()
	w := newFilterWriter(out)
	if err := w.head(); err != nil {
		return b, err
	}
	lines := bufio.NewScanner(text)
	lines.Buffer(make([]byte, 4096), 4096)
	var last [DigestBytes]byte
	for lines.Scan() {
		b.Lines++
		line := bytes.TrimRight(lines.Bytes(), "\r")
		if len(line) == 0 {
			continue
		}
		digest, err := readDigest(line)
		if err != nil {
			return b, fmt.Errorf("line %d: %w", b.Lines, err)
		}
		switch c := bytes.Compare(digest[:], last[:]); {
		case b.Passwords > 0 && c == 0:
			continue
		case b.Passwords > 0 && c < 0:
			return b, fmt.Errorf("line %d: it belongs before the line above it; sort the list first, with `LC_ALL=C sort`", b.Lines)
		}
		last = digest
		if w.add(binary.BigEndian.Uint64(digest[:8])) {
			b.Passwords++
		}
		if len(w.keys) == filterPart {
			if err := w.part(); err != nil {
				return b, err
			}
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return b, fmt.Errorf("line %d: it is far too long for a digest", b.Lines+1)
	} else if err != nil {
		return b, fmt.Errorf("after line %d: %w", b.Lines, err)
	}
	if b.Passwords == 0 {
		return b, errors.New("the list has no digests in it")
	}
	if b.Bytes, err = w.end(b.Passwords); err != nil {
		return b, err
	}
	b.Parts = len(w.parts)
	if err := errors.Join(out.Chmod(0o644), out.Sync(), out.Close()); err != nil {
		return b, err
	}
	return b, os.Rename(out.Name(), name)
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// unpacked reads through gzip where there is any.
func unpacked(list io.Reader) (io.Reader, error) {
	in := bufio.NewReaderSize(list, 1<<20)
	if head, _ := in.Peek(2); !bytes.Equal(head, []byte{0x1f, 0x8b}) { // shorter: its lines will be judged
		return in, nil
	}
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("unpacking the list: %w", err)
	}
	return z, nil
}

// readDigest reads a line.
func readDigest(line []byte) (d [DigestBytes]byte, err error) {
	digits, times, counted := bytes.Cut(line, []byte(":"))
	switch {
	case len(digits) == 32:
		return d, errors.New("32 digits are NTLM; download the list of SHA-1, whose digests have 40")
	case len(digits) != 2*DigestBytes:
		return d, fmt.Errorf("a digest has 40 digits, and here are %d", len(digits))
	}
	if _, err := hex.Decode(d[:], digits); err != nil {
		return d, errors.New("a digest has the digits 0 to 9 and A to F, and here is another character")
	}
	if counted && (len(times) == 0 || len(bytes.Trim(times, "0123456789")) > 0) {
		return d, errors.New("what follows the colon is no number")
	}
	return d, nil
}

// filterWriter writes a filter part by part.
type filterWriter struct {
	out     *bufio.Writer
	check   interface{ Sum32() uint32 }
	offset  int64
	keys    []uint64
	parts   []part
	builder xorfilter.BinaryFuseBuilder
}

func newFilterWriter(w io.Writer) *filterWriter {
	check := crc32.New(castagnoli)
	return &filterWriter{out: bufio.NewWriterSize(io.MultiWriter(w, check), 1<<16), check: check, keys: make([]uint64, 0, filterPart)}
}

func (w *filterWriter) write(b []byte) error {
	w.offset += int64(len(b))
	_, err := w.out.Write(b)
	return err
}

func (w *filterWriter) head() error {
	return w.write(binary.LittleEndian.AppendUint32([]byte(filterMagic), filterVersion))
}

// add takes a key that is not before the last one, and says whether it is new.
func (w *filterWriter) add(key uint64) bool {
	if n := len(w.keys); n > 0 && w.keys[n-1] == key {
		return false
	}
	w.keys = append(w.keys, key)
	return true
}

// part writes the keys collected so far.
func (w *filterWriter) part() error {
	if len(w.keys) == 0 {
		return nil
	}
	if len(w.parts) == filterParts {
		return fmt.Errorf("the list has more than %d digests", filterParts*filterPart)
	}
	first := w.keys[0]
	fuse, err := xorfilter.BuildBinaryFuse[uint8](&w.builder, w.keys)
	if err != nil {
		return fmt.Errorf("making part %d of the filter: %w", len(w.parts)+1, err)
	}
	w.parts = append(w.parts, part{first: first, fuse: xorfilter.BinaryFuse8{Seed: fuse.Seed, SegmentLength: fuse.SegmentLength,
		SegmentLengthMask: fuse.SegmentLengthMask, SegmentCount: fuse.SegmentCount, SegmentCountLength: fuse.SegmentCountLength}, offset: w.offset, length: uint32(len(fuse.Fingerprints))})
	w.keys = w.keys[:0]
	return w.write(fuse.Fingerprints)
}

// end writes what is left and the directory, and returns how long the file is.
func (w *filterWriter) end(passwords uint64) (int64, error) {
	if err := w.part(); err != nil {
		return 0, err
	}
	at := w.offset
	for _, p := range w.parts {
		b := make([]byte, filterEntry)
		p.write(b)
		if err := w.write(b); err != nil {
			return 0, err
		}
	}
	le := binary.LittleEndian
	tail := le.AppendUint32(le.AppendUint64(le.AppendUint64(nil, passwords), uint64(at)), uint32(len(w.parts)))
	if err := w.write(tail); err != nil {
		return 0, err
	}
	if err := w.out.Flush(); err != nil {
		return 0, err
	}
	if err := w.write(le.AppendUint32(nil, w.check.Sum32())); err != nil {
		return 0, err
	}
	return w.offset, w.out.Flush()
}
