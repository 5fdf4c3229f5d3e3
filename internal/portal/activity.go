package portal

import (
	"net/netip"
	"time"
)

// Verb is a word of the audit trail. Where the ERP's customer_activity_log had a name for the fact, it is that name.
type Verb string

// The vocabulary.
const (
	VerbLogin            Verb = "LOGIN"
	VerbLoginFailed      Verb = "LOGIN_FAILED"
	VerbLogout           Verb = "LOGOUT"
	VerbAccountLocked    Verb = "ACCOUNT_LOCKED"
	VerbAccountUnlocked  Verb = "ACCOUNT_UNLOCKED"
	VerbEmailVerified    Verb = "EMAIL_VERIFIED"
	VerbPasswordChange   Verb = "PASSWORD_CHANGE"
	VerbPasswordReset    Verb = "PASSWORD_RESET"
	VerbProfileUpdate    Verb = "PROFILE_UPDATE"
	VerbSessionRevoked   Verb = "SESSION_REVOKED"
	VerbSessionsRevoked  Verb = "SESSIONS_REVOKED"
	VerbTokenReuse       Verb = "TOKEN_REUSE"
	VerbCompanyChosen    Verb = "COMPANY_CHOSEN"
	VerbUserAdded        Verb = "USER_ADDED"
	VerbTenantChanged    Verb = "TENANT_CHANGED"
	VerbLimitsCleared    Verb = "LIMITS_CLEARED"
	VerbUserInvited      Verb = "USER_INVITED"
	VerbRegistered       Verb = "REGISTERED"
	VerbResetAsked       Verb = "RESET_ASKED"
	VerbAddressAsked     Verb = "ADDRESS_CHANGE_ASKED"
	VerbAddressUndone    Verb = "ADDRESS_CHANGE_UNDONE"
	VerbDisowned         Verb = "DISOWNED" // "this wasn't me"
	VerbTriedNow         Verb = "TRIED_NOW"
	VerbFactorAdded      Verb = "MFA_ENABLED"
	VerbFactorRemoved    Verb = "MFA_DISABLED"
	VerbFactorRenamed    Verb = "MFA_RENAMED"
	VerbCodesRenewed     Verb = "MFA_CODES_RENEWED"
	VerbSecondStep       Verb = "MFA_PASSED"
	VerbSecondFailed     Verb = "MFA_FAILED"
	VerbFactorAlarm      Verb = "MFA_ALARM" // a right answer that should not have been possible
	VerbMailboxProved    Verb = "MAILBOX_PROVED"
	VerbPolicyChanged    Verb = "POLICY_CHANGED"
	VerbRecoveryBegun    Verb = "RECOVERY_BEGUN" // by an operator
	VerbRecoveryAgreed   Verb = "RECOVERY_CONFIRMED"
	VerbRecoveryStopped  Verb = "RECOVERY_STOPPED"
	VerbRecovered        Verb = "RECOVERED"
	VerbMailRetried      Verb = "MAIL_RETRIED"
	VerbMailSent         Verb = "MAIL_SENT"
	VerbMailSuppressed   Verb = "MAIL_SUPPRESSED" // an address that mail comes back from
	VerbMailResumed      Verb = "MAIL_RESUMED"
	VerbExported         Verb = "PERSON_EXPORTED" // somebody has what is stored about them
	VerbErasureAsked     Verb = "ERASURE_ASKED"
	VerbErasureTakenBack Verb = "ERASURE_TAKEN_BACK"
	VerbErased           Verb = "PERSON_ERASED"
)

// Activity is a fact in the audit trail, written in the same transaction as the deed.
type Activity struct {
	Verb       Verb
	User       UserID // empty: no known user; then it is kept in portalgate.events alone
	Session    SessionID
	Addr       netip.Addr
	Agent      string
	At         time.Time
	Result     string // ok, refused, and for refusals the reason in one word
	Suspicious bool
	Note       string            // why it is suspicious, or the operator's reason
	Operator   string            // who did it from a command
	Facts      map[string]string // never a secret
}
