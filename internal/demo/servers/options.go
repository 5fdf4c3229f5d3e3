package servers

import "errors"

// ErrMissing means that a server is not installed here and could not be fetched either. The error that wraps it names
// the one command that installs it.
var ErrMissing = errors.New("not installed")

// Options are how a server is started. The zero value does what the demo wants.
type Options struct {
	// Say is told, in one line each, what was chosen and why, and what takes time. Nil is silence.
	Say func(line string)

	// Offline forbids fetching what is not installed. Tests use it: a test that downloads is a test that fails on a train.
	Offline bool
}

func (o Options) say(line string) {
	if o.Say != nil {
		o.Say(line)
	}
}
