package password

import (
	"os"
	"runtime"
	"sync"
	"time"
)

// calm is how long a processor of a hash's stays when it is done: another one may be about to begin, and changing their
// number stops the whole program for a moment.
const calm = 250 * time.Millisecond

// crowd are Go's processors that are there for hashes alone.
var crowd struct {
	sync.Mutex
	hashes int // being computed
	extra  int // processors that they brought along, and some that have just ended
	others int // processors without those
	end    *time.Timer
}

// processors is how many of Go's processors there are, without those for hashes.
func processors() int {
	crowd.Lock()
	defer crowd.Unlock()
	if crowd.extra > 0 {
		return crowd.others
	}
	return runtime.GOMAXPROCS(0)
}

// widen brings a processor along for a hash that begins; narrow is called at its end. A hash keeps Go's scheduler from
// everything else for ten milliseconds at a time, so that a few strangers at the door would hold up everybody who is
// signed in; between threads the system's scheduler shares a core by turns of its own, and whoever wants little comes
// first. While nobody signs in they are not there: who is signed in is served best by as many as there are cores.
func widen() (narrow func()) {
	crowd.Lock()
	defer crowd.Unlock()
	if crowd.extra == 0 {
		crowd.others = runtime.GOMAXPROCS(0)
	}
	if crowd.hashes++; crowd.hashes > crowd.extra {
		crowd.extra = crowd.hashes
		runtime.GOMAXPROCS(crowd.others + crowd.extra)
	}
	return func() {
		crowd.Lock()
		defer crowd.Unlock()
		crowd.hashes--
		if crowd.end == nil {
			crowd.end = time.AfterFunc(calm, settle)
		} else {
			crowd.end.Reset(calm)
		}
	}
}

// settle takes the processors of hashes that have ended away.
func settle() {
	crowd.Lock()
	defer crowd.Unlock()
	if crowd.extra == crowd.hashes {
		return
	}
	if crowd.extra = crowd.hashes; crowd.extra == 0 && os.Getenv("GOMAXPROCS") == "" {
		runtime.SetDefaultGOMAXPROCS() // and as the machine changes from now on
		return
	}
	runtime.GOMAXPROCS(crowd.others + crowd.extra)
}
