// Package sms owns the way from a text message to a telephone: what may be sent to which number (Message), and who
// carries it (Sender).
//
// It refuses a number that is not in its international form, a message that is empty or too long, a way to another
// machine without TLS, and an answer from anywhere but where it asked. No error, and no printed message, shows a number
// or what was written to it: a message holds a code.
//
// When a provider does not answer, Send returns an error that means "later"; ErrRejected means "never". Nothing is
// retried here.
package sms

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/portalgate/portalgate/internal/portal"
)

// Message is a text message ready to leave.
type Message struct {
	ID     string // the letter's; the same at each try, so that whoever receives it can tell one that comes twice
	Tenant portal.TenantID
	Slug   string        // the tenant's
	To     string        // E.164, as +4915112345678
	Text   string        // at most Longest characters, in lines
	Within time.Duration // how long it is of use from now on; zero: nobody knows
}

// Longest is how many characters a message has at most. It is what the narrowest provider takes, and far more than a
// code needs.
const Longest = 1600

// Format prints the ID alone, whatever is asked for.
func (m Message) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "[text message %s]", m.ID) }

// ErrRejected means that trying this message again is pointless: nobody has the number, its owner wants no messages, or
// the provider refuses it for good.
var ErrRejected = errors.New("rejected for good")

// Sender carries text messages. It may be used by many goroutines. An error that wraps ErrRejected is for good, any other
// means that another try may help.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

var numberForm = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// IsNumber says whether a text is a telephone number in its international form (E.164): a plus, and 7 to 15 digits.
func IsNumber(s string) bool { return numberForm.MatchString(s) }

// Check refuses what no provider is asked to carry. Its errors are ErrRejected.
func (m Message) Check() error {
	switch {
	case !IsNumber(m.To):
		return fmt.Errorf("the number is not in its international form: %w", ErrRejected)
	case m.ID == "" || m.Text == "":
		return fmt.Errorf("the message is empty, or nobody could tell it from another: %w", ErrRejected)
	case !utf8.ValidString(m.Text) || utf8.RuneCountInString(m.Text) > Longest:
		return fmt.Errorf("the message is no text, or longer than %d characters: %w", Longest, ErrRejected)
	}
	for _, r := range m.Text {
		if unicode.IsControl(r) && r != '\n' {
			return fmt.Errorf("the message has control characters: %w", ErrRejected)
		}
	}
	return nil
}
