package mail

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// line is one connection to a server. It carries one mail at a time.
type line struct {
	conn    net.Conn // the bare one: deadlines and the end hold for what runs over it
	client  *gomail.Client
	smtp    *smtp.Client
	carried int
	turn    int // counts its times in the pool; the pool's
}

// send hands over a mail and is cut off when the context ends.
func (l *line) send(ctx context.Context, timeout time.Duration, msg *gomail.Msg) error {
	stop := context.AfterFunc(ctx, func() { _ = l.conn.Close() })
	defer stop()
	l.carried++
	if err := l.conn.SetDeadline(time.Now().Add(timeout)); err != nil { // the last mail's has passed
		return err
	}
	return l.client.SendWithSMTPClient(l.smtp, msg)
}

// close says goodbye, and does not wait for long.
func (l *line) close() {
	if l.conn.SetDeadline(time.Now().Add(goodbyeIn)) == nil {
		_ = l.client.CloseWithSMTPClient(l.smtp) // it may be gone already
	}
	_ = l.conn.Close()
}

// signIn shows the password, by whichever of the two ways the server knows. The connection is encrypted: a server with
// a password is never spoken to in the clear.
func (s *SMTP) signIn(c *smtp.Client) error {
	if _, err := c.GetTLSConnectionState(); err != nil {
		return errors.New("the connection is not encrypted; the password stays here")
	}
	offered, ways := c.Extension("AUTH")
	known := strings.Fields(strings.ToUpper(ways))
	switch {
	case offered && slices.Contains(known, "PLAIN"):
		return c.Auth(smtp.PlainAuth("", s.Username, string(s.Password), s.Host, false))
	case offered && slices.Contains(known, "LOGIN"):
		return c.Auth(smtp.LoginAuth(s.Username, string(s.Password), s.Host, false))
	}
	return errors.New("the server offers neither PLAIN nor LOGIN")
}
