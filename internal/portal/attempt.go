package portal

import (
	"slices"
	"time"
)

// Attempt is a sign-in under way: the password is proven, something is still missing. It is worth nothing anywhere
// else.
type Attempt struct {
	ID        AttemptID
	Tenant    TenantID
	Users     []UserID // rows that the password opened, the one to start with first
	Verified  bool     // at least the first row's address is verified
	Expired   bool     // the password was set by somebody else and must be changed before anything else
	Shown     []AMR
	Remember  bool
	ReturnTo  string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Second says whether anything but the password was shown.
func (a Attempt) Second() bool {
	return slices.ContainsFunc(a.Shown, func(m AMR) bool { return m != AMRPassword })
}

// Step is what a sign-in needs next.
type Step string

// The steps.
const (
	StepConfirmAddress Step = "confirm_address" // the right password, but nobody has proved the mailbox
	StepSecond         Step = "second_step"     // the right password; now another proof
	StepNewPassword    Step = "new_password"    // the right password, but it is a temporary one
	StepEnrol          Step = "enrol"           // a second proof is required, and there is none yet
	StepOffer          Step = "offer_passkey"   // signed in; a passkey is offered, once, before they go on
	StepChoose         Step = "choose_company"  // signed in; which company for?
	StepDone           Step = "done"
)

// Situation is what a sign-in is judged by, besides itself: read in the transaction that decides.
type Situation struct {
	MFA     MFA
	Factors []FactorKind // of the person, as far as the tenant allows them now
	Claimed bool         // the ERP's row says that there is one, and it never was (legacy.md)
	Trusted bool         // this device is not to be asked
	Grace   time.Time    // until when somebody without a factor may go on
	Now     time.Time

	Passkeys bool      // they are taken here
	Makes    bool      // the browser says that it can make one, and the way leads on to a page like any
	Offered  bool      // one was offered before
	Known    time.Time // since when the browser is known to the account; zero: it is not
}

// Next decides the next step of a sign-in. It is the only place that does; HTTP only renders what it says. A second
// proof comes before everything that a password alone must not reach, the choice of a new one included.
func Next(a Attempt, s Situation) Step {
	has := len(s.Factors) > 0 && s.MFA != MFAOff
	switch {
	case !a.Verified:
		return StepConfirmAddress
	case has && !a.Second() && !s.Trusted:
		return StepSecond
	case a.Expired:
		return StepNewPassword
	case !has && !a.Second() && (s.MFA == MFARequired && !s.Now.Before(s.Grace) || s.MFA != MFAOff && s.Claimed):
		return StepEnrol
	case offers(a, s, has):
		return StepOffer
	case len(a.Users) > 1:
		return StepChoose
	}
	return StepDone
}

// offers says whether a passkey is offered after a sign-in that asked for a password. It is offered once in a person's
// life here, so it waits for the moment at which one press makes it: in a browser of theirs and not a borrowed one, where
// nothing more has to be proved before a factor is added. Whoever needs a second step soon hears of that instead.
func offers(a Attempt, s Situation, has bool) bool {
	if !s.Passkeys || !s.Makes || s.Offered || s.Known.IsZero() || slices.Contains(s.Factors, FactorWebAuthn) || !slices.Contains(a.Shown, AMRPassword) {
		return false
	}
	if has {
		return a.Second()
	}
	return s.MFA == MFAOptional && !s.Now.Before(s.Known.Add(KnownFor))
}
