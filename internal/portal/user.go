package portal

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Role is a value of customer_users.role.
type Role string

// The roles that the ERP knows.
const (
	RoleAdmin    Role = "CUSTOMER_ADMIN"
	RoleUser     Role = "CUSTOMER_USER"
	RoleApprover Role = "APPROVER"
)

// ParseRole reads a role as the ERP spells it.
func ParseRole(s string) (Role, bool) {
	switch r := Role(s); r {
	case RoleAdmin, RoleUser, RoleApprover:
		return r, true
	}
	return "", false
}

// User is a person at one of a tenant's customers: one row of the ERP's customer_users.
type User struct {
	ID           UserID
	Customer     CustomerID
	OwnCompany   bool // the tenant's own company, made by us; its id is never sent to the upstream
	CustomerCode string
	CustomerName string
	Email        string // as stored
	FirstName    string
	LastName     string
	Role         Role
	Active       bool // is_active, not deleted, and its customer's portal is enabled
	Verified     bool
	Language     string // like en-US
	Zone         string // like Europe/Berlin
	Blocked      string // why Active is false, for operators: inactive, deleted, portal closed, tenant suspended
}

// Name is what a person is called: first and last name, or the address where neither is known.
func (u User) Name() string {
	if n := strings.TrimSpace(u.FirstName + " " + u.LastName); n != "" {
		return n
	}
	return u.Email
}

// Email is an address in its one canonical form: trimmed, lower-cased, with an ASCII domain. The unique index, the
// sign-in, tickets and limit keys all use it (REG-06), so two spellings can never be two accounts or two counters.
type Email string

// ErrEmail means that a text is not one plain address.
var ErrEmail = errors.New("not an e-mail address")

// MaxEmail is the longest address that can be delivered to, in bytes (RFC 5321 section 4.5.3.1.3 less the brackets).
const MaxEmail = 254

// ParseEmail accepts exactly one scalar address and returns its canonical form. The local part is compared without
// regard to ASCII case and must be printable ASCII: folding Unicode there is how one person's reset link reached
// another's mailbox (CVE-2019-19844). The domain may be Unicode and is kept as its A-label.
func ParseEmail(s string) (Email, error) {
	s = strings.Trim(s, " \t")
	if len(s) == 0 || len(s) > MaxEmail || !utf8.ValidString(s) {
		return "", ErrEmail
	}
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" || len(local) > 64 || domain == "" || strings.Contains(domain, "@") {
		return "", ErrEmail
	}
	for i := 0; i < len(local); i++ {
		// Printable ASCII without what would let an address carry a second one, a comment or a display name.
		if c := local[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`",:;<>()[]\`, c) >= 0 {
			return "", ErrEmail
		}
	}
	if local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, "..") {
		return "", ErrEmail
	}
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil || len(ascii) > 253 || !strings.Contains(ascii, ".") && ascii != "localhost" {
		return "", ErrEmail
	}
	for _, label := range strings.Split(ascii, ".") {
		if label == "" || len(label) > 63 {
			return "", ErrEmail
		}
	}
	e := asciiLower(local) + "@" + asciiLower(ascii)
	if len(e) > MaxEmail {
		return "", ErrEmail
	}
	return Email(e), nil
}

// Masked is the address as it may be shown to somebody who has only proved a password: j•••@example.com.
func (e Email) Masked() string {
	local, domain, _ := strings.Cut(string(e), "@")
	if local == "" {
		return ""
	}
	return local[:1] + "•••@" + domain
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
