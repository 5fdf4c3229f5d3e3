// Package factor owns the second proofs: what each kind shows when it is set up, what it asks, and whether an answer is
// right. Every kind is a Method: a function from a state and an answer to a new state.
//
// It refuses to know where states are kept: no method sees a database, and none is asked twice about one answer, because
// its caller stores the new state only where nobody else has changed it since. It refuses an answer that the state has
// seen before, whatever the purpose (RFC 6238 section 5.2; NIST SP 800-63B-4 section 3.1.4).
//
// It has no neighbour: codes that must travel are returned, and leave by whoever carries letters.
package factor

import (
	"context"
	"errors"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
)

// Scene is where, for whom and when a method works. Nothing in it comes from the person who answers, but for Contact.
type Scene struct {
	Tenant  portal.TenantID
	Portal  string        // what the tenant is called
	Origin  string        // scheme, host and port of the address bar, to the letter: without the port that is the scheme's
	Host    string        // its host without the port: the RP ID of passkeys (WA-04)
	User    portal.UserID // empty: nobody is known yet, a sign-in by passkey
	Email   string        // the person's address
	Name    string        // what the person is called
	Contact string        // of a set-up: the telephone number that was typed
	Handle  []byte        // by which the person's passkeys have known them so far; nil: there was none yet
	Purpose Purpose
	Now     time.Time
}

// Purpose is what an answer is for. A challenge made for one is good for no other (WA-01).
type Purpose string

// The purposes.
const (
	PurposeEnrol  Purpose = "enrol"   // to make a factor count
	PurposeSignIn Purpose = "sign_in" // the second step
	PurposeStepUp Purpose = "step_up" // again, because something that matters is about to happen
	PurposeProve  Purpose = "prove"   // the mailbox, before the first factor of an account is added
	PurposeEnter  Purpose = "enter"   // a passkey instead of a password
)

// Traits are what flows must know of a kind, so that none of them asks which it is.
type Traits struct {
	AMR       portal.AMR
	Title     string // "Authenticator app"
	Hint      string // where to look: "Open your authenticator app."
	Strength  int    // the strongest that somebody has is asked first
	Assures   bool   // it counts as a second proof where one is required (`require mfa`)
	Alone     bool   // it may be the only factor of a person
	Several   bool   // one person may have more than one of it
	Guessable bool   // an answer is short enough to be guessed: tries are paid for before they are checked (RL-04)
	ByMail    bool   // whoever reads the person's mail has it
	Script    bool   // a page without scripts cannot ask it
	Asked     bool   // Ask makes a state that the answer is checked against
	Sent      bool   // what it asks for must travel first
	Along     bool   // it is made along with another factor, and never by itself
	Contact   bool   // setting it up asks for a telephone number
	Added     string // what a notice calls it, as the catalogues of mails have it: "app_added"
	Removed   string
}

// Held is a confirmed factor and its state, as it was stored.
type Held struct {
	ID    portal.FactorID
	State []byte
	Facts map[string]string
}

// Challenge is a question that has been asked: what its answer is checked against. Whoever keeps it does so sealed,
// bound to the browser and the purpose, and spends a try before each check.
type Challenge struct {
	State  []byte // nil: nothing to remember, the factor's state is enough
	Tries  int    // answers that may be checked, at most
	Life   time.Duration
	Show   any    // what the page shows: json.RawMessage for a passkey, Sheet for an app, []string for backup codes; nil: a field is enough
	Letter *Code  // a code that must travel
	To     string // where it travels, masked, for the page
}

// Code is a code that must travel to its reader.
type Code struct {
	Kind portal.LetterKind // by mail, or by text message
	To   string            // an e-mail address, or a telephone number like +4915112345678
	Code string
}

// Enrolled is a factor that was just confirmed.
type Enrolled struct {
	State  []byte
	Name   string            // how it is called until its owner says otherwise
	Lookup []byte            // of a passkey: a digest of its credential id, by which a sign-in finds it; unique in a tenant
	Facts  map[string]string // what may be shown of it
	Handle []byte            // of a passkey: by which authenticators know the person from now on
}

// Checked is a right answer.
type Checked struct {
	ID    portal.FactorID // which of the factors it was
	State []byte          // its next state, which refuses the same answer
	Facts map[string]string
	// Alarm: the answer is right and yet something is wrong, such as a passkey that was copied (WA-05). It opens nothing;
	// the text is for the trail.
	Alarm string
}

// The refusals. ErrWrong is the only one that a guess can bring about.
var (
	ErrWrong   = errors.New("the answer is not right")
	ErrUsed    = errors.New("the answer was used before")
	ErrInput   = errors.New("this is no answer") // wrong by its form: nothing was checked
	ErrContact = errors.New("not a telephone number")
	ErrNone    = errors.New("nobody can be asked this way") // there is no factor, or it leads nowhere now
)

// DriftError is a wrong answer that would have been right at another time: the clock of the person's device is off. Of a
// code that is still to come it tells while the app is set up only: whoever heard it later of a guess would wait for it.
type DriftError struct{ Off time.Duration }

// Error says by how much.
func (e *DriftError) Error() string { return "the device's clock is off by " + e.Off.String() }

// Unwrap is ErrWrong.
func (e *DriftError) Unwrap() error { return ErrWrong }

// Method is one kind of second proof. The conformance suite of caddymodule/conformance says what each must do.
type Method interface {
	Kind() portal.FactorKind
	Traits() Traits

	// Setup begins an enrolment. Nothing counts until Confirm; called again with the state that it gave before, it goes on
	// with it: the same key is shown again (ux 33), a code is sent again, backup codes are drawn anew. have are the factors
	// of this kind that the person has.
	Setup(ctx context.Context, s Scene, have []Held, before []byte) (Challenge, error)
	// Confirm ends an enrolment with the person's answer to Setup's challenge.
	Confirm(ctx context.Context, s Scene, state []byte, answer string) (Enrolled, error)
	// Ask asks somebody who has factors of this kind. before is the state of the question asked before in the same place,
	// or nil.
	Ask(ctx context.Context, s Scene, have []Held, before []byte) (Challenge, error)
	// Check judges an answer against the factors and the challenge.
	Check(ctx context.Context, s Scene, have []Held, challenge []byte, answer string) (Checked, error)
}

// Vault is the keyed hashing of codes: with a key that is not in the database, so that a dump of it verifies no guess
// (OOB-04, BKP-01).
type Vault interface {
	// Mac hashes a text for a place, with the named key, or with the present one where the name is empty. It returns the
	// key's name.
	Mac(keyID, place, text string) (mac []byte, key string, err error)
}
