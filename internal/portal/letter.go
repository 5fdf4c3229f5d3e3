package portal

import "time"

// LetterKind says which mail a letter becomes. Its text is the name of the mail in the catalogues of web/mail.
type LetterKind string

// The kinds. Which of them carries a ticket, and for what, Purpose says.
const (
	LetterVerify        LetterKind = "verify"           // confirm the address you have registered with
	LetterKnown         LetterKind = "known"            // somebody registered with your address, and you have an account
	LetterInvite        LetterKind = "invite"           // an operator has made an account for you
	LetterRecover       LetterKind = "recover"          // choose a new password
	LetterReopen        LetterKind = "reopen"           // choose a new password: the old one was shut because its owner said that it was not them
	LetterNewAddress    LetterKind = "new_address"      // to the new address: confirm it
	LetterOldAddress    LetterKind = "old_address"      // to the old address: it was changed, and here is the way back
	LetterUndone        LetterKind = "address_undone"   // to the address that an undo takes the account from: notice, without a link
	LetterPassword      LetterKind = "password_changed" // notice
	LetterReset         LetterKind = "password_reset"   // notice
	LetterNewDevice     LetterKind = "new_device"       // notice
	LetterAfterFailures LetterKind = "after_failures"   // notice: a sign-in after many failures
	LetterPaused        LetterKind = "paused"           // sign-in rests; a link that lets this browser try now
	LetterCopied        LetterKind = "copied"           // notice: a copied sign-in was stopped
	LetterFactor        LetterKind = "factor_changed"   // notice: a second step was added, removed or made anew
	LetterWrongFactor   LetterKind = "wrong_factor"     // notice: the right password and a wrong second step
	LetterCode          LetterKind = "code"             // a code, bound to the browser that asked
	LetterTextCode      LetterKind = "text_code"        // the same by text message: its To is a telephone number
	LetterRecovery      LetterKind = "recovery"         // an operator has begun a recovery; here it is stopped
	LetterRecoveryDone  LetterKind = "recovery_done"    // notice
	LetterTest          LetterKind = "test"             // an operator tries whether mail arrives
)

// Letter is what to say to whom; the courier makes a mail of it when it departs. To is the address that the deed knew,
// and is never shown to anybody but the courier.
type Letter struct {
	ID       LetterID
	Kind     LetterKind
	User     UserID // empty: who has the address is looked up when the letter departs
	To       Email
	Language string
	Facts    map[string]string // what the mail says besides: device, place, address; never a secret, but for LetterCode's
	Once     string            // of letters of a kind with the same, one waits at a time
	AskedAt  time.Time
	Expires  time.Time // zero: as long as it takes; a letter that is late is dropped
}

// Purpose is what a ticket opens, and nothing else.
type Purpose string

// The purposes.
const (
	PurposeVerify     Purpose = "verify"
	PurposeInvite     Purpose = "invite"
	PurposeRecover    Purpose = "recover"
	PurposeNewAddress Purpose = "change_email"
	PurposeUndo       Purpose = "undo"
	PurposeNotMe      Purpose = "not_me"
	PurposeTryNow     Purpose = "try_now"
	PurposeEnrol      Purpose = "enrol"
	PurposeStop       Purpose = "stop_recovery"
)

// Life is how long a ticket of this purpose opens anything, from the moment its mail leaves. A reset lives an hour and
// a verification a day (M05, REC-02, REG-03; NIST SP 800-63B-4 section 4.2.1.2 has 24 hours as the most by mail); an
// invitation, an undo and "this wasn't me" open nothing by themselves, and live a week (ux 56).
func (p Purpose) Life() time.Duration {
	switch p {
	case PurposeRecover, PurposeTryNow, PurposeEnrol:
		return time.Hour
	case PurposeInvite, PurposeUndo, PurposeNotMe, PurposeStop:
		return 7 * 24 * time.Hour
	}
	return 24 * time.Hour
}

// Ticket is a mailed secret that can be used once. The secret itself is nowhere but in the mail.
type Ticket struct {
	ID        TicketID
	Purpose   Purpose
	User      UserID
	Email     Email // the address it was sent to
	Facts     map[string]string
	CreatedAt time.Time // of one that takes something back: when that was done, however late its mail has left
	ExpiresAt time.Time
}
