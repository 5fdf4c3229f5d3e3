package portal

import "time"

// RecoveryWait is how long a recovery that an operator has begun can be stopped before it is carried out: a day, within
// which most people look into a mailbox (mission M22).
const RecoveryWait = 24 * time.Hour

// RecoveryState says what came of a recovery.
type RecoveryState string

// The states.
const (
	RecoveryWaits   RecoveryState = "waiting"
	RecoveryStopped RecoveryState = "stopped"
	RecoveryDone    RecoveryState = "done"
	RecoveryFailed  RecoveryState = "failed" // it could not be carried out; nothing was changed
)

// Recovery is an account that an operator opens anew for a person who has lost everything: it gets another address, and
// a link to a new password is mailed there.
type Recovery struct {
	ID     RecoveryID
	User   UserID
	Letter LetterID // that carries it out, and takes the link to the new address
	From   Email    // that the account has
	To     Email    // that it is to have

	BegunBy     string // the operator
	Reason      string
	BegunAt     time.Time
	DueAt       time.Time
	ConfirmedBy string // who has ended the wait
	ConfirmedAt time.Time

	State   RecoveryState
	EndedBy string
	EndedAt time.Time
	Why     string // it could not be carried out
}
