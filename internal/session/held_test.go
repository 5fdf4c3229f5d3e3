package session

import (
	"crypto/rand"
	"runtime"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/secret"
)

// BenchmarkHeld is row P9 of the bench, which runs it by this name: what the table of verified tokens holds of the heap
// after a collection, for each hundred thousand of them.
func BenchmarkHeld(b *testing.B) {
	now := time.Now()
	live := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what the first one made unreachable
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	for _, c := range []struct {
		name string
		n    int
	}{{"100k", 100_000}, {"1M", 1_000_000}} {
		b.Run(c.name, func(b *testing.B) {
			before := live()
			t := newTable(2 << 20)
			for range c.n {
				var d secret.Fingerprint
				rand.Read(d[:])
				var v verified
				rand.Read(v.session[:])
				v.expires = now.Add(30 * time.Minute).Unix()
				t.put(d, v, now)
			}
			held := live() - before
			runtime.KeepAlive(t)
			for b.Loop() { // nothing is timed
			}
			b.ReportMetric(held/float64(c.n)*100_000/(1<<20), "MiB/100k")
		})
	}
}
