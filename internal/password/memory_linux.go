package password

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapped takes memory for n blocks from the system itself. The collector does not count it (its goal would grow by a
// multiple), a core file does not show it, and large pages are asked for, because every block is mixed with one from
// anywhere.
func mapped(n int) []block {
	b, err := unix.Mmap(-1, 0, n*int(unsafe.Sizeof(block{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		panic(fmt.Sprintf("the system has no %d KiB for a password's hash: %v", n, err)) // as for the collector's memory
	}
	// Both are wishes: a kernel that cannot grant them changes nothing but speed and a core file.
	unix.Madvise(b, unix.MADV_HUGEPAGE)
	unix.Madvise(b, unix.MADV_DONTDUMP)
	return unsafe.Slice((*block)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

// unmap gives the memory of mapped back.
func unmap(b []block) {
	if cap(b) > 0 {
		unix.Munmap(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(b))), cap(b)*int(unsafe.Sizeof(block{}))))
	}
}
