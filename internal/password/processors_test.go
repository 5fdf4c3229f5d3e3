package password

import (
	"runtime"
	"testing"
)

// Otherwise strangers at the door hold up everybody who is signed in; and when nobody is at the door, they would be
// served worse for it. Other tests hash at the same time, so only what these hashes bring is asked for.
func TestAHashBringsAProcessorOfItsOwnAndTakesItAway(t *testing.T) {
	there := func() (all, extra, hashes, others int) {
		crowd.Lock()
		defer crowd.Unlock()
		return runtime.GOMAXPROCS(0), crowd.extra, crowd.hashes, runtime.GOMAXPROCS(0) - crowd.extra
	}
	_, _, _, before := there()
	first, second := widen(), widen()
	if all, extra, hashes, others := there(); extra < 2 || extra < hashes || all != before+extra || others != before || processors() != before {
		t.Errorf("during two hashes there are %d processors, %d of them for %d hashes; without any there were %d", all, extra, hashes, before)
	}
	first()
	if _, extra, _, _ := there(); extra < 2 {
		t.Errorf("%d processors for hashes in the moment when one of two has ended", extra)
	}
	second()
	settle()
	if all, extra, hashes, others := there(); extra != hashes || all != before+extra || others != before {
		t.Errorf("after two hashes there are %d processors, %d of them for %d hashes; without any there were %d", all, extra, hashes, before)
	}
	crowd.Lock()
	defer crowd.Unlock()
	if crowd.end == nil {
		t.Error("nothing will take them away by itself")
	}
}
