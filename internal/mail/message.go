// Package mail owns the way from a letter to a mailbox: what a mail says (Press), and who carries it (Sender).
//
// It refuses to let user data add a header, a recipient or a link, to put a secret into a subject, and to send without
// TLS to another machine. It knows no database: what is queued, minted and remembered is the caller's.
//
// When a provider does not answer, Send returns an error that means "later"; ErrRejected means "never". Nothing is
// retried here.
package mail

import (
	"context"
	"errors"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
)

// Message is a mail ready to leave: one sender, one recipient.
type Message struct {
	ID       string // of the Message-ID, without brackets; the same at each try, so that a doubled mail can be told
	Tenant   portal.TenantID
	Slug     string // the tenant's, for the choice of a provider
	Region   string // the tenant's, for the same; empty: none
	Kind     portal.LetterKind
	From     Address
	ReplyTo  Address // zero: the sender
	To       portal.Email
	Subject  string
	Text     string
	HTML     string
	Language string // as in Content-Language
	Date     time.Time

	// Taken is told which provider took the mail and what it answered; nil: nobody wants to know.
	Taken func(provider, answer string) `json:"-"`
}

// ErrRejected means that trying this mail again is pointless: the address does not exist, or the provider refuses it
// for good.
var ErrRejected = errors.New("rejected for good")

// Sender carries mails to where they are going. It may be used by many goroutines. An error that wraps ErrRejected is
// for good, any other means that another try may help.
type Sender interface {
	Send(ctx context.Context, m Message) error
}
