package portal

import "time"

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

// Step is what a sign-in needs next.
type Step string

// The steps.
const (
	StepConfirmAddress Step = "confirm_address" // the right password, but nobody has proved the mailbox
	StepNewPassword    Step = "new_password"    // the right password, but it is a temporary one
	StepChoose         Step = "choose_company"  // signed in; which company for?
	StepDone           Step = "done"
)

// Next decides the next step of a sign-in. It is the only place that does; HTTP only renders what it says.
func Next(a Attempt) Step {
	switch {
	case !a.Verified:
		return StepConfirmAddress
	case a.Expired:
		return StepNewPassword
	case len(a.Users) > 1:
		return StepChoose
	}
	return StepDone
}
