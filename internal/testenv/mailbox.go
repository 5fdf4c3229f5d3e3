package testenv

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/demo/sink"
	"github.com/portalgate/portalgate/internal/mail"
)

// Box is a mailbox for everybody: a real mail server that keeps what it is sent, and misbehaves on command (Behave).
type Box struct {
	*sink.Sink
	Sender *mail.SMTP // hands mails to it, as the gateway does
}

// Mailbox opens a mailbox that is gone when the test ends. It asks nobody to sign in and speaks plain text, which on
// this machine is allowed.
func Mailbox(t testing.TB) *Box {
	t.Helper()
	return MailboxWith(t, sink.Options{})
}

// MailboxWith opens a mailbox with TLS, a password, or other manners.
func MailboxWith(t testing.TB, o sink.Options) *Box {
	t.Helper()
	s, err := sink.Start(o)
	if err != nil {
		t.Fatal("opening a mailbox: ", err)
	}
	t.Cleanup(s.Close)
	host, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal("reading a mailbox's address: ", err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal("reading a mailbox's port: ", err)
	}
	b := &Box{Sink: s, Sender: &mail.SMTP{Host: host, Port: n}}
	t.Cleanup(b.Sender.Close)
	return b
}

// To are the mails to an address that have arrived, the oldest first.
func (b *Box) To(address string) (out []sink.Mail) {
	for _, m := range b.Mails() {
		if strings.EqualFold(m.To, address) {
			out = append(out, m)
		}
	}
	return out
}

// Await is the n-th mail to an address, from 1, waited for if need be.
func (b *Box) Await(t testing.TB, address string, n int) sink.Mail {
	t.Helper()
	late := time.NewTimer(15 * time.Second)
	defer late.Stop()
	for {
		arrived := b.Arrived()
		if got := b.To(address); len(got) >= n {
			return got[n-1]
		}
		select {
		case <-arrived:
		case <-late.C:
			t.Fatalf("mail %d to %s has not arrived; there are %d of %d", n, address, len(b.To(address)), len(b.Mails()))
		}
	}
}
