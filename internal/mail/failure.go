package mail

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	gomail "github.com/wneessen/go-mail"
)

// Step is how far a mail came.
type Step string

// The steps, in their order.
const (
	StepConnect   Step = "connecting"
	StepSignIn    Step = "signing in"
	StepSender    Step = "naming the sender"
	StepRecipient Step = "naming the recipient"
	StepContent   Step = "handing over the mail"
)

// Failure is why a provider did not take a mail. It is ErrRejected when the recipient or the content was refused for
// good. It never holds a password, nor the recipient's address: what a server quotes is replaced.
type Failure struct {
	Provider string
	Step     Step
	Code     int    // the answer's; 0: there was none
	Text     string // the answer's, without the code, or what went wrong
	Rejected bool
}

// Error says it in one line.
func (f *Failure) Error() string {
	if f.Code != 0 {
		return fmt.Sprintf("%s, %s: %d %s", f.Provider, f.Step, f.Code, f.Text)
	}
	return fmt.Sprintf("%s, %s: %s", f.Provider, f.Step, f.Text)
}

// Is makes a rejection ErrRejected.
func (f *Failure) Is(target error) bool { return target == ErrRejected && f.Rejected }

// Broken says whether an error is about the provider and not about this one mail: the next mail would fail as well.
func Broken(err error) bool {
	var f *Failure
	if !errors.As(err, &f) {
		return err != nil && !errors.Is(err, ErrRejected) && !errors.Is(err, context.Canceled)
	}
	return f.Code == 0 || f.Code == 421 || f.Step == StepConnect || f.Step == StepSignIn || f.Step == StepSender
}

var mailboxOnly = regexp.MustCompile(`^4\.2\.\d`)

// Slow says whether an error is the answer of somebody who wants fewer mails for a while: a temporary refusal (RFC 5321
// section 4.2.1) of a recipient or a content, but for one that is about a single mailbox, as when it is full.
func Slow(err error) bool {
	var f *Failure
	return errors.As(err, &f) && (f.Step == StepRecipient || f.Step == StepContent) && f.Code >= 400 && f.Code <= 499 && !mailboxOnly.MatchString(f.Text)
}

// dialling is the failure of a connection or a sign-in.
func (s *SMTP) dialling(step Step, err error) *Failure {
	f := &Failure{Provider: s.name(), Step: step, Text: oneLine(err.Error())}
	var said *textproto.Error
	if errors.As(err, &said) {
		f.Code, f.Text = said.Code, oneLine(said.Msg)
	}
	return f
}

// refused is the failure of a mail on a connection that stands.
func (s *SMTP) refused(m Message, err error) *Failure {
	f := &Failure{Provider: s.name(), Step: StepContent, Text: oneLine(err.Error())}
	var sent *gomail.SendError
	if !errors.As(err, &sent) {
		return f
	}
	switch sent.Reason {
	case gomail.ErrConnCheck, gomail.ErrSMTPReset:
		f.Step = StepConnect
	case gomail.ErrGetSender, gomail.ErrSMTPMailFrom:
		f.Step = StepSender
	case gomail.ErrGetRcpts, gomail.ErrSMTPRcptTo:
		f.Step = StepRecipient
	}
	f.Code = sent.ErrorCode()
	text := strings.TrimPrefix(sent.Error(), sent.Reason.String()+": ")
	text, _, _ = strings.Cut(text, ", affected ")
	if f.Code != 0 {
		text = unquoted(strings.TrimLeft(strings.TrimPrefix(text, fmt.Sprintf("%03d", f.Code)), " -"))
	}
	f.Text = oneLine(conceal(text, string(m.To)))
	f.Rejected = forGood(f.Step, f.Code, f.Text)
	return f
}

// unquoted is an answer as it was given: net/textproto's errors quote it.
func unquoted(s string) string {
	if q, err := strconv.QuotedPrefix(s); err == nil {
		if plain, err := strconv.Unquote(q); err == nil {
			return plain
		}
	}
	return s
}

var enhanced = regexp.MustCompile(`^5\.(\d{1,3})\.\d{1,3}\b`)

// forGood says whether another try is pointless. Only what concerns the recipient or the content is (RFC 5321 section
// 4.2.1): an account that may not send, a relay that does not know us and a command that is not understood are the
// operator's to mend, and the mail waits for that.
func forGood(step Step, code int, text string) bool {
	if step != StepRecipient && step != StepContent || code < 550 || code > 559 {
		return false
	}
	class := ""
	if m := enhanced.FindStringSubmatch(text); m != nil { // RFC 3463 section 3
		class = m[1]
	}
	return class != "5" && !(class == "7" && step == StepRecipient)
}

// conceal takes the recipient's address out of a server's words: they are logged, and addresses are not.
func conceal(text, address string) string {
	for at := strings.Index(strings.ToLower(text), strings.ToLower(address)); at >= 0 && address != ""; at = strings.Index(strings.ToLower(text), strings.ToLower(address)) {
		if at+len(address) > len(text) {
			return "(an answer that cannot be shown)"
		}
		text = text[:at] + "the recipient" + text[at+len(address):]
	}
	return text
}

// oneLine is a server's text as a log line may hold it.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == ' ' }), " ")
	return plain(s, 300)
}
