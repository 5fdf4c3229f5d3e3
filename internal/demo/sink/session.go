package sink

import (
	"errors"
	"io"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Step is where in a conversation a behaviour shows.
type Step string

// The steps, in their order.
const (
	AtGreeting  Step = "EHLO"
	AtSignIn    Step = "AUTH"
	AtSender    Step = "MAIL"
	AtRecipient Step = "RCPT"
	AtContent   Step = "DATA" // after the mail's last byte
)

// Behaviour is what the sink does in place of taking a mail. Its zero value takes all.
type Behaviour struct {
	Step  Step
	Code  int    // the answer, such as 550 or 451
	Text  string // with the enhanced code in front, such as "5.1.1 no such user"
	Stall bool   // no answer, until the behaviour changes
	Cut   bool   // hang up
	Only  string // concerns this recipient only; default: all. For RCPT and DATA
	Times int    // wears off after so many; default: never
}

// session is a client's conversation.
type session struct {
	sink     *Sink
	conn     *smtp.Conn
	signedIn bool
	from, to string
}

func (s *Sink) session(c *smtp.Conn) (smtp.Session, error) {
	s.mu.Lock()
	s.opened++
	s.mu.Unlock()
	n := &session{sink: s, conn: c}
	return n, n.act(AtGreeting)
}

// act does what the behaviour says for a step.
func (n *session) act(step Step) error {
	s := n.sink
	s.mu.Lock()
	b, changed := s.behaviour, s.changed
	mine := b.Step == step && (b.Only == "" || strings.EqualFold(b.Only, n.to))
	if mine && b.Times > 0 {
		if s.behaviour.Times--; s.behaviour.Times == 0 {
			s.behaviour = Behaviour{}
		}
	}
	s.mu.Unlock()
	switch {
	case !mine:
		return nil
	case b.Stall:
		select {
		case <-changed:
			return nil
		case <-s.ended:
			return errEnded
		}
	case b.Cut:
		_ = n.conn.Conn().Close() // that is the point
		return errEnded
	}
	return &smtp.SMTPError{Code: b.Code, EnhancedCode: smtp.NoEnhancedCode, Message: b.Text}
}

// Reset forgets the mail that was begun.
func (n *session) Reset() { n.from, n.to = "", "" }

// Logout does nothing.
func (n *session) Logout() error { return nil }

// Mail takes the sender.
func (n *session) Mail(from string, _ *smtp.MailOptions) error {
	if n.sink.options.Username != "" && !n.signedIn {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "sign in first"}
	}
	n.from = from
	return n.act(AtSender)
}

// Rcpt takes the recipient.
func (n *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	n.to = to
	return n.act(AtRecipient)
}

// Data takes the mail.
func (n *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := n.act(AtContent); err != nil {
		return err
	}
	m, err := Parse(raw)
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "this is no mail: " + err.Error()}
	}
	m.From, m.To, m.At = n.from, n.to, time.Now()
	_, m.Encrypted = n.conn.TLSConnectionState()
	n.sink.keep(m)
	return nil
}

// AuthMechanisms are offered.
func (n *session) AuthMechanisms() []string {
	if n.sink.options.Username == "" {
		return nil
	}
	return n.sink.options.Ways
}

// Auth begins a sign-in.
func (n *session) Auth(way string) (sasl.Server, error) {
	switch way {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, username, password string) error { return n.signIn(username, password) }), nil
	case sasl.Login:
		return &login{check: n.signIn}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

func (n *session) signIn(username, password string) error {
	if err := n.act(AtSignIn); err != nil {
		return err
	}
	if username != n.sink.options.Username || password != n.sink.options.Password {
		return smtp.ErrAuthFailed
	}
	n.signedIn = true
	n.sink.mu.Lock()
	n.sink.signed++
	n.sink.mu.Unlock()
	return nil
}

// login is the server's side of AUTH LOGIN, which the library leaves out.
type login struct {
	check    func(username, password string) error
	username string
	asked    int
}

// Next asks for the name, then for the password.
func (l *login) Next(answer []byte) (challenge []byte, done bool, err error) {
	l.asked++
	switch l.asked {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.username = string(answer)
		return []byte("Password:"), false, nil
	case 3:
		return nil, true, l.check(l.username, string(answer))
	}
	return nil, false, errors.New("nothing is asked any more")
}

var _ smtp.AuthSession = (*session)(nil)
