package portal

import (
	"net/netip"
	"time"
)

// Mode says how much of the gate a tenant has (contract 9, legacy 2).
type Mode string

// The three modes. Off and Observe pass requests byte for byte, except forged identity headers.
const (
	ModeOff     Mode = "off"
	ModeObserve Mode = "observe"
	ModeOn      Mode = "on"
)

// ParseMode reads a mode as an operator writes it.
func ParseMode(s string) (Mode, bool) {
	switch m := Mode(s); m {
	case ModeOff, ModeObserve, ModeOn:
		return m, true
	}
	return "", false
}

// Tenant is a company that runs the ERP and offers its customers a portal: own hosts, brand, policy.
type Tenant struct {
	ID        TenantID
	Slug      string
	Name      string
	Mode      Mode
	Suspended bool // the ERP says so; nobody signs in or passes
	Hosts     []string
	Brand     Brand
	Offices   []netip.Prefix // networks in which the limits by network do not hold

	Registration Registration
	MFA          MFAPolicy
	Home         string // the host that links in mails name; empty: the first of Hosts
	Region       string // chooses a mail provider; empty: the default one
	Language     string // of people who have none, like en-US
	Zone         string // of people who have none, like Europe/Berlin
}

// Registration says how people come to have an account.
type Registration string

// The three ways. With an invitation one gets in at two of them.
const (
	RegistrationClosed Registration = "closed" // an operator or the ERP makes accounts
	RegistrationInvite Registration = "invite" // and invites by mail
	RegistrationOpen   Registration = "open"   // and whoever knows a customer code may register
)

// ParseRegistration reads a way as an operator writes it.
func ParseRegistration(s string) (Registration, bool) {
	switch r := Registration(s); r {
	case RegistrationClosed, RegistrationInvite, RegistrationOpen:
		return r, true
	}
	return "", false
}

// Canonical is the host that links in mails name; no request has a say in it (REC-06).
func (t *Tenant) Canonical() string {
	for _, h := range t.Hosts {
		if h == t.Home {
			return h
		}
	}
	if len(t.Hosts) == 0 {
		return ""
	}
	return t.Hosts[0]
}

// Office says whether an address is in one of the tenant's networks that the limits by network leave alone.
func (t *Tenant) Office(a netip.Addr) bool {
	a = a.Unmap()
	for _, n := range t.Offices {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// Brand is what a tenant's people see around the form.
type Brand struct {
	Accent  string `json:"accent,omitempty"`  // #rrggbb; the pages keep the contrast readable by themselves
	Logo    []byte `json:"logo,omitempty"`    // SVG, PNG or WebP, at most 64 KiB
	Contact string `json:"contact,omitempty"` // whom to ask: an e-mail address, a telephone number or an https address
	Version int64  `json:"-"`                 // changes with each write, so that a cached logo is never the old one
}

// Policy holds the numbers of one realm. Zero values are never used: DefaultPolicy is the decisions table of the
// mission, NISTPolicy takes, row by row, the stricter of it and NIST SP 800-63B-4.
type Policy struct {
	AccessLife         time.Duration // life of an access token
	RenewBefore        time.Duration // renewal starts this long before its end
	RefreshGrace       time.Duration // a replaced refresh token still yields its successor this long
	Idle               time.Duration // a session without requests ends
	Absolute           time.Duration // a session ends, however busy
	RememberIdle       time.Duration // the same two with "keep me signed in"
	RememberAbsolute   time.Duration
	SessionsPerUser    int // alive at once; the oldest ends
	PasswordMin        int // code points
	PasswordWithSecond int // code points, where everybody has to show a second step; 0: no difference
	PasswordMax        int // code points
	PasswordScore      int // the least strength of a new password, 0 to 4
	AttemptLife        time.Duration
	MFA                MFA // of tenants that have said nothing else
	Lockout            LockoutRule
	Limits             Limits
	Retention          Retention
}

// DefaultPolicy is the default column of the decisions.
func DefaultPolicy() Policy {
	return Policy{
		AccessLife:       30 * time.Minute,
		RenewBefore:      5 * time.Minute,
		RefreshGrace:     30 * time.Second,
		Idle:             10 * time.Hour,
		Absolute:         14 * time.Hour,
		RememberIdle:     7 * 24 * time.Hour,
		RememberAbsolute: 14 * 24 * time.Hour,
		SessionsPerUser:  5,
		PasswordMin:      8,
		PasswordMax:      128,
		PasswordScore:    3,
		AttemptLife:      10 * time.Minute,
		MFA:              MFAOptional,
		Lockout:          DefaultLockout(),
		Limits:           DefaultLimits(),
		Retention:        DefaultRetention(),
	}
}

// ReviewPolicy is `policy review`: the default but for the limit by address, where the review asked for a block of
// everybody behind an address after five failures.
func ReviewPolicy() Policy {
	p := DefaultPolicy()
	p.Limits = reviewLimits()
	return p
}

// NISTPolicy is `policy nist`: SP 800-63B-4 sections 2.2.3, 3.1.1.2 and 5.2, and ASVS 5.0 chapter 7, where they are
// stricter than the default. Its section 3.2.2 asks for waits between 30 seconds and an hour and an end at a hundred
// failures: the default's lock-out is stricter.
func NISTPolicy() Policy {
	p := DefaultPolicy()
	p.AccessLife = 10 * time.Minute
	p.RefreshGrace = 10 * time.Second
	p.Idle = time.Hour
	p.Absolute = 24 * time.Hour
	if d := DefaultPolicy().Absolute; d < p.Absolute {
		p.Absolute = d
	}
	p.RememberIdle = time.Hour
	p.RememberAbsolute = 24 * time.Hour
	p.PasswordMin, p.PasswordWithSecond = 15, 8
	return p
}

// Lives returns the idle and absolute limits that apply to a session.
func (p Policy) Lives(remember bool) (idle, absolute time.Duration) {
	if remember {
		return p.RememberIdle, p.RememberAbsolute
	}
	return p.Idle, p.Absolute
}
