package portal

import "time"

// FactorKind names a way of showing a second proof. Its text is the `method` of contract 4.
type FactorKind string

// The kinds that we bring along.
const (
	FactorTOTP     FactorKind = "totp"
	FactorWebAuthn FactorKind = "webauthn"
	FactorEmail    FactorKind = "email"
	FactorSMS      FactorKind = "sms"
	FactorBackup   FactorKind = "backup"
)

// Factor is a confirmed second proof of a person. What checks it is sealed and not here.
type Factor struct {
	ID        FactorID
	User      UserID // the row it was enrolled from; it guards every row of the same address
	Kind      FactorKind
	Name      string // as its owner calls it
	CreatedAt time.Time
	UsedAt    time.Time         // zero: never
	Facts     map[string]string // what may be shown of it: never a secret
}

// MFA says how much a tenant asks for a second step (M12).
type MFA string

// The three ways.
const (
	MFAOff      MFA = "off"      // nobody is asked, and nobody can add one; what is there stays
	MFAOptional MFA = "optional" // who has one is asked
	MFARequired MFA = "required" // and who has none is led through adding one
)

// ParseMFA reads a way as an operator writes it.
func ParseMFA(s string) (MFA, bool) {
	switch m := MFA(s); m {
	case MFAOff, MFAOptional, MFARequired:
		return m, true
	}
	return "", false
}

// MFAPolicy is what a tenant has decided about second steps. It is kept as it is in the tenant's settings.
type MFAPolicy struct {
	Default    MFA          `json:"default,omitempty"`    // empty: the configuration's
	Roles      map[Role]MFA `json:"roles,omitempty"`      // what is different for a role
	GraceDays  int          `json:"grace_days,omitempty"` // how long each person may put it off, from their next sign-in on
	Since      time.Time    `json:"since,omitzero"`       // when the days began to count
	Paused     bool         `json:"paused,omitempty"`     // nobody is led through adding one for the moment
	EmailCodes bool         `json:"email_codes,omitempty"`
	SMSCodes   bool         `json:"sms_codes,omitempty"`
	Remember   bool         `json:"remember_device,omitempty"` // "don't ask again on this device" may be chosen
}

// For is what holds for a role, where the configuration says otherwise for tenants that have said nothing.
func (p MFAPolicy) For(r Role, otherwise MFA) MFA {
	m, ok := p.Roles[r]
	if !ok {
		m = p.Default
	}
	if m == "" {
		m = otherwise
	}
	if m == "" {
		m = MFAOptional
	}
	if m == MFARequired && p.Paused {
		return MFAOptional
	}
	return m
}

// Everybody says whether nobody of a tenant signs in with a password alone: a second step that counts is required of
// every role, nobody may put it off, and no device is spared it.
func (p MFAPolicy) Everybody(otherwise MFA) bool {
	for _, r := range []Role{RoleAdmin, RoleUser, RoleApprover, ""} {
		if p.For(r, otherwise) != MFARequired {
			return false
		}
	}
	return p.GraceDays == 0 && !p.EmailCodes && !p.Remember
}

// Allows says whether a tenant lets a kind be used: codes by mail and text message only where it has turned them on
// (NIST SP 800-63B-4 section 3.1.3.1 has mail not count at all, and text messages with a warning).
func (p MFAPolicy) Allows(k FactorKind) bool {
	switch k {
	case FactorEmail:
		return p.EmailCodes
	case FactorSMS:
		return p.SMSCodes
	}
	return true
}

// RememberDevice is how long a device is not asked again after its owner has ticked so.
const RememberDevice = 30 * 24 * time.Hour

// FreshFor is how long a proof is fresh enough for what matters (SES-09).
const FreshFor = 10 * time.Minute

// KnownFor is how long a device must have been known before a first factor is enrolled from it without a code by mail;
// and how long that enrolment can be undone from the notice about it.
const KnownFor = 7 * 24 * time.Hour
