package mail

import (
	"encoding/base64"
	"errors"
	"mime"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/portalgate/portalgate/internal/portal"
)

// Address is a mailbox with the name that stands before it.
type Address struct {
	Name  string
	Email string
}

// String is the address as a header has it.
func (a Address) String() string { return (&mail.Address{Name: a.Name, Address: a.Email}).String() }

// ErrAddress means that a text is not one mailbox.
var ErrAddress = errors.New(`not one address such as "Acme Portal <no-reply@acme.example>"`)

// ParseAddress reads one mailbox as an operator writes it, with or without a name. Its error is ErrAddress.
func ParseAddress(s string) (Address, error) {
	if strings.ContainsFunc(s, unicode.IsControl) || strings.Contains(s, "=?") {
		return Address{}, ErrAddress
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		return Address{}, ErrAddress
	}
	e, err := portal.ParseEmail(a.Address)
	if err != nil || len(a.Name) > 200 {
		return Address{}, ErrAddress
	}
	return Address{Name: a.Name, Email: string(e)}, nil
}

// deliverable says whether an address is one recipient to every reader: net/mail and the servers behind it do not all
// agree on quotes, comments and encoded words, and where they differ a second recipient hides (EML-01, CVE-2024-24784).
func deliverable(s string) bool {
	e, err := portal.ParseEmail(s)
	return err == nil && strings.EqualFold(string(e), s) && !strings.Contains(s, "=?")
}

// plain is a text that goes into a header: one line, and at most so many characters.
func plain(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most-1]) + "…"
	}
	return s
}

// encoded is a text as a header that shows it again exactly. What looks like an encoded word already is encoded once
// more: left as it is, it would be read as what is hidden in it.
func encoded(s string) string {
	if !strings.Contains(s, "=?") {
		return mime.QEncoding.Encode("UTF-8", s)
	}
	const most = 45 // bytes in one word, which RFC 2047 section 2 limits to 75 characters
	var words []string
	for len(s) > 0 {
		n := min(most, len(s))
		for n < len(s) && !utf8.RuneStart(s[n]) {
			n--
		}
		words = append(words, "=?UTF-8?b?"+base64.StdEncoding.EncodeToString([]byte(s[:n]))+"?=")
		s = s[n:]
	}
	return strings.Join(words, "\r\n ")
}
