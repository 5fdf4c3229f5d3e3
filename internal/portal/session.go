package portal

import (
	"net/netip"
	"strings"
	"time"
)

// AMR is one way in which a person has shown who they are (contract 6).
type AMR string

// The ways, in the order in which they are listed.
const (
	AMRPassword AMR = "pwd"
	AMROTP      AMR = "otp"
	AMRWebAuthn AMR = "webauthn"
	AMREmail    AMR = "email"
	AMRSMS      AMR = "sms"
	AMRBackup   AMR = "backup"
	AMRMulti    AMR = "mfa"
)

// Session is one sign-in on one device.
type Session struct {
	ID         SessionID
	Tenant     TenantID
	User       UserID   // the chosen row
	Choices    []UserID // the rows that the password opened, the chosen one among them
	Device     DeviceID
	Remember   bool
	AMR        []AMR
	AuthTime   time.Time
	MFAAt      time.Time // zero: no second factor in this session
	CreatedAt  time.Time
	LastActive time.Time
	IdleEnd    time.Time // moves with use
	End        time.Time // never moves
	EndedAt    time.Time // zero: alive
	EndReason  EndReason
	Agent      string
	Address    netip.Addr
	Generation int // of the newest refresh token
}

// EndReason says why a session ended.
type EndReason string

// The reasons.
const (
	EndSignOut        EndReason = "sign_out"
	EndRevoked        EndReason = "revoked"          // by the person, from the list
	EndOperator       EndReason = "operator"         // by a command
	EndPasswordChange EndReason = "password_changed" // every session of the person
	EndReplaced       EndReason = "replaced"         // the same browser signed in again
	EndStepUp         EndReason = "step_up"          // the same person has shown more, and goes on in another session
	EndFactor         EndReason = "factor_changed"   // a second proof was taken away
	EndReuse          EndReason = "reuse"            // a replaced refresh token came back
	EndTooMany        EndReason = "too_many"         // the oldest of more than allowed
	EndDisowned       EndReason = "disowned"         // by its owner, from a mail
	EndUser           EndReason = "user_blocked"     // the person may not be here any more
	EndExpired        EndReason = "expired"
)

// Alive says whether the session may still be used at a moment, and why not.
func (s Session) Alive(now time.Time) (bool, EndReason) {
	switch {
	case !s.EndedAt.IsZero():
		return false, s.EndReason
	case !now.Before(s.End), !now.Before(s.IdleEnd):
		return false, EndExpired
	}
	return true, ""
}

// JoinAMR lists ways comma separated, as the upstream header and the token carry them.
func JoinAMR(a []AMR) string {
	s := make([]string, len(a))
	for i := range a {
		s[i] = string(a[i])
	}
	return strings.Join(s, ",")
}

// Client is who is asking, and when.
type Client struct {
	Addr   netip.Addr
	Agent  string // User-Agent, at most 512 bytes
	Device DeviceToken
	At     time.Time
}

// DeviceToken is the digest of the random device cookie that the browser presented; empty when it had none. It is a
// digest from the moment the request is read, so that nothing further in can log the cookie.
type DeviceToken string

// Identity is what the upstream is told about a person: the facts of contract 6, once, ready to be sent.
type Identity struct {
	Tenant   TenantID
	Slug     string
	User     UserID
	Email    string
	Name     string
	Roles    []Role
	Customer CustomerID // empty for the tenant's own company
	Session  SessionID
	AMR      []AMR
	AuthTime time.Time
	MFAAt    time.Time
	Language string
}
