//go:build unix

package session

import (
	"syscall"
	"testing"
	"time"
)

// BenchmarkWarm is row P7 of the bench, which runs it by this name: verify is a token's way to what it says, resume
// adds the facts of its session and what has been revoked. A million tokens are held; those asked for are spread
// over all of the table. It tells CPU time besides the clock's, which says little on a busy machine.
func BenchmarkWarm(b *testing.B) {
	k, tenant, cookies, who := warm(b, 1_000_000, 4096)
	b.Run("verify", func(b *testing.B) {
		defer processorTime(b)()
		i := 0
		for b.Loop() {
			i++
			if _, err := k.verify(cookies[i%len(cookies)].Access, tenant.ID, who.At); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("resume", func(b *testing.B) {
		defer processorTime(b)()
		i := 0
		for b.Loop() {
			i++
			if _, err := k.Resume(b.Context(), tenant, cookies[i%len(cookies)], who, true); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func processorTime(b *testing.B) (report func()) {
	b.ReportAllocs()
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") }
}
