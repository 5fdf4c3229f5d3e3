package portal

import "time"

// Lockout is the purse of tries of one canonical address in one tenant, for strangers or for one known device.
// It rests after too many failures; while it rests nothing is checked and nothing is counted.
type Lockout struct {
	Failures    int
	LastFailure time.Time
	RestsUntil  time.Time
}

// LockoutRule is the schedule by which a purse rests.
type LockoutRule struct {
	Free    int           // failures that are answered at once; the next one rests
	First   time.Duration // the first rest; each further failure doubles it
	Longest time.Duration // no rest is longer
	Kept    time.Duration // a purse without a failure for this long is empty again
	Close   int           // at this many failures the password is closed to strangers until it is set anew
}

// The schedule of the decisions (mission): the fifth failure rests 30 minutes, each further one 1 h, 2 h, then 4 h.
// At a hundred the password is closed until a reset (NIST SP 800-63B-4 section 3.2.2).
const (
	FreeFailures  = 4
	FirstRest     = 30 * time.Minute
	LongestRest   = 4 * time.Hour
	FailuresKept  = 24 * time.Hour
	CloseFailures = 100
)

// DefaultLockout is the schedule of the decisions.
func DefaultLockout() LockoutRule {
	return LockoutRule{Free: FreeFailures, First: FirstRest, Longest: LongestRest, Kept: FailuresKept, Close: CloseFailures}
}

// Rest is how long a purse rests after its nth failure; zero for the free ones.
func (r LockoutRule) Rest(failures int) time.Duration {
	if failures <= r.Free {
		return 0
	}
	d := r.First
	for i := r.Free + 1; i < failures && d < r.Longest; i++ {
		d *= 2
	}
	return min(d, r.Longest)
}

// Closed says whether the password is shut until it is set anew.
func (r LockoutRule) Closed(l Lockout) bool { return l.Failures >= r.Close }

// Resting says whether a purse refuses now, and for how long.
func (l Lockout) Resting(now time.Time) (time.Duration, bool) {
	if d := l.RestsUntil.Sub(now); d > 0 {
		return d, true
	}
	return 0, false
}
