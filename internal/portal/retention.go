package portal

import "time"

// Retention is how long is kept what is known of people.
type Retention struct {
	Activity time.Duration // what happened, and when
	Coarse   time.Duration // the address and the agent of it; after that the network, and what the browser is called
}

// DefaultRetention is the one of the decisions (mission): thirteen months, and ninety days.
func DefaultRetention() Retention {
	return Retention{Activity: 395 * 24 * time.Hour, Coarse: 90 * 24 * time.Hour}
}

// What is kept, however little an operator wants to keep. A trail that is forgotten within a month shows nobody what
// happened while they were away; what tells a stranger from the owner is compared with the days before. The database
// holds the same numbers against whoever would wipe out a trace with the gateway's login (core/0015).
const (
	LeastActivity = 30 * 24 * time.Hour
	LeastCoarse   = 7 * 24 * time.Hour
)

// What has no number of its own in a configuration.
const (
	SessionsKept    = 30 * 24 * time.Hour  // after a session is over; until then its browser is not announced again
	DevicesKept     = 395 * 24 * time.Hour // since a browser was seen last; after that its owner is asked as on a new one
	RevocationsKept = 48 * time.Hour       // an access token lives an hour at most, a window of a limit a day
	UnusedKept      = 24 * time.Hour       // after a link, a question or a sign-in under way has expired
)
