package portal

import "time"

// Lockout is the purse of tries of one canonical address in one tenant, for strangers or for one known device.
// It rests after too many failures; while it rests nothing is checked and nothing is counted.
type Lockout struct {
	Failures    int
	LastFailure time.Time
	RestsUntil  time.Time
}

// The schedule of the decisions (mission): the fifth failure rests 30 minutes, each further one 1 h, 2 h, then 4 h.
// At a hundred the password is closed to strangers until a reset (NIST SP 800-63B-4 section 3.2.2).
const (
	FreeFailures  = 4
	FirstRest     = 30 * time.Minute
	LongestRest   = 4 * time.Hour
	FailuresKept  = 24 * time.Hour
	CloseFailures = 100
)

// Rest is how long a purse rests after its nth failure; zero for the first four.
func Rest(failures int) time.Duration {
	if failures <= FreeFailures {
		return 0
	}
	d := FirstRest
	for i := FreeFailures + 1; i < failures && d < LongestRest; i++ {
		d *= 2
	}
	return min(d, LongestRest)
}

// Resting says whether a purse refuses now, and for how long.
func (l Lockout) Resting(now time.Time) (time.Duration, bool) {
	if d := l.RestsUntil.Sub(now); d > 0 {
		return d, true
	}
	return 0, false
}

// Closed says whether the password is disabled until it is bound anew.
func (l Lockout) Closed() bool { return l.Failures >= CloseFailures }
