// Package auth owns the flows by which a person gets in, stays in charge of their sessions, and leaves. It knows no
// HTTP, writes no SQL and logs nothing: it asks the packages below and decides.
//
// It refuses to say why: every state of an account that is not "right password" gives the same answer, at the same
// moment (LOG-01, TIM-01). A guess is paid for before it is checked and handed back when it was right, so that a
// hundred parallel guesses cost a hundred tries (RL-04).
//
// When PostgreSQL is down nobody signs in: the answer is a Problem of kind unavailable, and no cookie is touched.
// When Redis is down the limits per network fall back to this process; what counts per account is in PostgreSQL.
package auth

import (
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/session"
)

// Credentials are what the sign-in form sends.
type Credentials struct {
	Email    string
	Password string
	Remember bool
	ReturnTo string
	Makes    bool // the browser can make a passkey, and may be offered one
}

// Outcome is what a sign-in came to.
type Outcome struct {
	Step     portal.Step
	After    portal.Step    // what comes after an offer
	Grant    *session.Grant // set when signed in
	Attempt  *secret.Token  // set when something is still missing
	ReturnTo string
	Release  time.Time // the answer must not leave before
	Grace    time.Time // set: a second step is asked for from then on, and there is none yet
	Left     int       // of backup codes, after one was used; -1: none was
}

// Held wraps an error whose answer must not leave before Release, or its time would tell the states of an account
// apart (TIM-01).
type Held struct {
	Err     error
	Release time.Time
}

// Error is the wrapped error's.
func (h *Held) Error() string { return h.Err.Error() }

// Unwrap returns the wrapped error.
func (h *Held) Unwrap() error { return h.Err }

// Waiting is what the "confirm your address" page may show to somebody who has only proved a password.
type Waiting struct {
	Step     portal.Step
	Masked   string // the address, to be shown
	Email    string // the address, for the hidden field that password managers read
	ReturnTo string

	situation portal.Situation
}
