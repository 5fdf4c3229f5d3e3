package mail

import (
	"fmt"
	"net/mail"
	"regexp"
	"strings"

	gomail "github.com/wneessen/go-mail"
)

// What may stand in a Message-ID and a Content-Language: what we make ourselves.
var (
	messageID   = regexp.MustCompile(`^[A-Za-z0-9._+-]{1,120}@[A-Za-z0-9.-]{1,120}$`)
	languageTag = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$`)
)

// itsID stands in a provider's header for the Message-ID of the mail that it is put on.
const itsID = "{message-id}"

// compose makes the bytes' plan of a mail: text first, HTML as the better alternative, headers that say that a program
// wrote it. What cannot be sent to one recipient is rejected for good.
func compose(m Message, more map[string]string) (*gomail.Msg, error) {
	if !deliverable(string(m.To)) {
		return nil, fmt.Errorf("the recipient is not one plain address: %w", ErrRejected)
	}
	if !deliverable(m.From.Email) || m.ReplyTo.Email != "" && !deliverable(m.ReplyTo.Email) {
		return nil, fmt.Errorf("the sender is not one plain address: %w", ErrRejected)
	}
	if !messageID.MatchString(m.ID) {
		return nil, fmt.Errorf("the mail has no usable Message-ID: %w", ErrRejected)
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(mailbox(m.From))
	msg.ToMailAddress(&mail.Address{Address: string(m.To)})
	if m.ReplyTo.Email != "" {
		msg.ReplyToMailAddress(mailbox(m.ReplyTo))
	}
	msg.SetMessageIDWithValue(m.ID)
	msg.SetDateWithValue(m.Date)
	msg.SetGenHeaderPreformatted(gomail.HeaderSubject, encoded(plain(m.Subject, 200)))
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 section 5: nobody's absence is told to us
	msg.SetGenHeader("X-Auto-Response-Suppress", "All")  // the same to Exchange
	if languageTag.MatchString(m.Language) {
		msg.SetGenHeader("Content-Language", m.Language)
	}
	for name, value := range more {
		msg.SetGenHeaderPreformatted(gomail.Header(name), strings.ReplaceAll(value, itsID, m.ID))
	}
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	}
	return msg, nil
}

func mailbox(a Address) *mail.Address {
	return &mail.Address{Name: strings.ReplaceAll(plain(a.Name, 100), "=?", "= ?"), Address: a.Email}
}
