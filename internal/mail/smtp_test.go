package mail_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/demo/sink"
	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// message is an ordinary mail.
func message(to string) mail.Message {
	return mail.Message{ID: "0197f3c2.1@acme.example", Slug: "acme", Kind: portal.LetterTest, From: mail.Address{Name: "Acme Portal", Email: "no-reply@acme.example"},
		ReplyTo: mail.Address{Name: "Größe & Söhne, Acme", Email: "help@acme.example"}, To: portal.Email(to), Subject: "Grüße aus Köln — your code",
		Text: "Guten Tag,\n\nein Satz mit Umlauten: äöü.\n", HTML: "<p>Guten Tag, <b>äöü</b></p>", Language: "de", Date: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func TestAMailArrivesAsItWasWritten(t *testing.T) {
	box := testenv.Mailbox(t)
	var provider, answer string
	m := message("ann@buyer.example")
	m.Taken = func(p, a string) { provider, answer = p, a }
	if err := box.Sender.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := box.Await(t, "ann@buyer.example", 1)
	if got.From != "no-reply@acme.example" || got.Subject != m.Subject || got.Text != m.Text || strings.TrimSpace(got.HTML) != m.HTML {
		t.Errorf("it came as from %q, %q, %q, %q", got.From, got.Subject, got.Text, got.HTML)
	}
	if fmt.Sprint(got.Parts) != "[text/plain text/html]" {
		t.Errorf("its parts are %v; the last is the one that readers prefer", got.Parts)
	}
	for name, want := range map[string]string{
		"From": `"Acme Portal" <no-reply@acme.example>`, "To": "<ann@buyer.example>", "Message-Id": "<0197f3c2.1@acme.example>",
		"Date": "Sun, 01 Mar 2026 12:00:00 +0000", "Auto-Submitted": "auto-generated", "Content-Language": "de", "Mime-Version": "1.0", "User-Agent": "", "X-Mailer": "",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("%s is %q, not %q", name, v, want)
		}
	}
	if list, err := got.Header.AddressList("Reply-To"); err != nil || len(list) != 1 || list[0].Name != "Größe & Söhne, Acme" || list[0].Address != "help@acme.example" {
		t.Errorf("Reply-To is %v, %v", list, err)
	}
	if provider != box.Addr() || !strings.Contains(answer, "OK") {
		t.Errorf("the sender was told %q by %q", answer, provider)
	}
}

func TestNobodyAddsAHeaderOrARecipient(t *testing.T) { // EML-01
	box := testenv.Mailbox(t)
	for _, to := range []string{"a@b.example,c@d.example", "a@b.example\r\nBcc: c@d.example", "a@b.example\nRCPT TO:<c@d.example>", "a\x00@b.example",
		`"a\"@x.example, c"@d.example`, "a@b.example>\r\nDATA", "A <a@b.example>", "=?utf-8?q?c=40d.example=3e?=@b.example", "a@b.example ", "", "a"} {
		m := message("ann@buyer.example")
		m.To = portal.Email(to)
		if err := box.Sender.Send(t.Context(), m); !errors.Is(err, mail.ErrRejected) {
			t.Errorf("to %q: %v", to, err)
		}
		m = message("ann@buyer.example")
		m.From.Email = to
		if err := box.Sender.Send(t.Context(), m); !errors.Is(err, mail.ErrRejected) {
			t.Errorf("from %q: %v", to, err)
		}
	}
	if n := len(box.Mails()); n != 0 {
		t.Fatalf("%d of them arrived", n)
	}
	for i, evil := range []string{"x\r\nBcc: c@d.example", "x\nX-Evil: 1", "x\r\n\r\nbody", "x\x00y", "x\u2028y", "=?utf-8?q?=0d=0aBcc:_c@d.example?=", "=?UTF-8?b?DQpCY2M6IGNAZC5leGFtcGxl?= ü =?x",
		strings.Repeat("ä =? ", 40), `", <c@d.example>, "`, "x, y: z;"} {
		m := message(fmt.Sprintf("p%d@buyer.example", i))
		m.Subject, m.From.Name, m.ReplyTo.Name, m.Language = evil, evil, evil, evil
		if err := box.Sender.Send(t.Context(), m); err != nil {
			t.Errorf("%q: %v", evil, err)
			continue
		}
		got := box.Await(t, string(m.To), 1)
		for name := range got.Header {
			switch name {
			case "From", "To", "Reply-To", "Subject", "Date", "Message-Id", "Mime-Version", "Content-Type", "Auto-Submitted", "X-Auto-Response-Suppress":
			default:
				t.Errorf("%q added the header %s", evil, name)
			}
		}
		want := strings.TrimSpace(strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ", "\u2028", " ").Replace(evil))
		if !strings.HasSuffix(want, got.Subject) && got.Subject != want {
			t.Errorf("the subject is %q, not %q", got.Subject, want)
		}
		for _, h := range []string{"From", "Reply-To", "To"} {
			if list, err := got.Header.AddressList(h); err != nil || len(list) != 1 || !strings.HasSuffix(list[0].Address, ".example") || strings.HasPrefix(list[0].Address, "c@") {
				t.Errorf("%q: %s is %v, %v", evil, h, list, err)
			}
		}
		if strings.Contains(string(got.Raw), "\r\nBcc") || got.Text != m.Text {
			t.Errorf("%q: the mail is %s", evil, got.Raw)
		}
	}
}

func TestTheConnectionIsEncryptedOrThereIsNone(t *testing.T) {
	ca, err := sink.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	other, err := sink.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	right, err := ca.Certificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := ca.Certificate("another.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		sink  sink.Options
		with  func(*mail.SMTP)
		fails string
	}{
		{"plain to this machine", sink.Options{}, nil, ""},
		{"STARTTLS with a password", sink.Options{Certificate: right, Username: "u", Password: "p"}, func(s *mail.SMTP) { s.Roots = ca.Pool() }, ""},
		{"a password by LOGIN", sink.Options{Certificate: right, Username: "u", Password: "p", Ways: []string{"LOGIN"}}, func(s *mail.SMTP) { s.Roots = ca.Pool() }, ""},
		{"a password and no TLS", sink.Options{Username: "u", Password: "p", Careless: true}, nil, "STARTTLS"},
		{"a certificate of another name", sink.Options{Certificate: wrong, Username: "u", Password: "p"}, func(s *mail.SMTP) { s.Roots = ca.Pool() }, "certificate"},
		{"a certificate of an unknown authority", sink.Options{Certificate: right, Username: "u", Password: "p"}, func(s *mail.SMTP) { s.Roots = other.Pool() }, "certificate"},
		{"a wrong password", sink.Options{Certificate: right, Username: "u", Password: "q"}, func(s *mail.SMTP) { s.Roots = ca.Pool() }, "535"},
		{"another way to sign in", sink.Options{Certificate: right, Username: "u", Password: "p", Ways: []string{"CRAM-MD5"}}, func(s *mail.SMTP) { s.Roots = ca.Pool() }, "neither"},
		{"a password that the server does not ask for", sink.Options{Certificate: right}, func(s *mail.SMTP) { s.Username, s.Password, s.Roots = "u", "p", ca.Pool() }, "neither"},
	} {
		t.Run(c.name, func(t *testing.T) {
			box := testenv.MailboxWith(t, c.sink)
			if c.sink.Username != "" {
				box.Sender.Username, box.Sender.Password = "u", "p"
			}
			if c.with != nil {
				c.with(box.Sender)
			}
			greeted, err := box.Sender.Greet(t.Context()), box.Sender.Send(t.Context(), message("ann@buyer.example"))
			if c.fails == "" {
				if err != nil || greeted != nil {
					t.Fatalf("%v, %v", greeted, err)
				}
				if got := box.Await(t, "ann@buyer.example", 1); got.Encrypted != (c.sink.Certificate != nil) {
					t.Errorf("encrypted: %v", got.Encrypted)
				}
				return
			}
			if err == nil || errors.Is(err, mail.ErrRejected) || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("sending: %v, want a temporary failure with %q", err, c.fails)
			}
			if greeted == nil || !strings.Contains(greeted.Error(), c.fails) {
				t.Errorf("greeting: %v, want %q", greeted, c.fails)
			}
			if n := len(box.Mails()); n != 0 || box.Signed() != 0 {
				t.Errorf("%d mails arrived, %d signed in", n, box.Signed())
			}
		})
	}
	t.Run("TLS comes first on port 465", func(t *testing.T) {
		box := testenv.MailboxWith(t, sink.Options{Certificate: right, FirstTLS: true, Username: "u", Password: "p"})
		box.Sender.Username, box.Sender.Password, box.Sender.Roots = "u", "p", ca.Pool()
		box.Sender.Port = 465
		box.Sender.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, box.Addr())
		}
		if err := box.Sender.Send(t.Context(), message("ann@buyer.example")); err != nil {
			t.Fatal(err)
		}
		if !box.Await(t, "ann@buyer.example", 1).Encrypted {
			t.Error("it was not encrypted")
		}
		box.Sender.Close()
		box.Sender.Roots = other.Pool()
		if err := box.Sender.Send(t.Context(), message("ann@buyer.example")); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("an unknown authority: %v", err)
		}
	})
}

// elsewhere is a connection whose other end is not this machine.
type elsewhere struct{ net.Conn }

func (elsewhere) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 587}
}

func TestOffTheMachineTheAddressThatAnsweredDecides(t *testing.T) {
	box := testenv.Mailbox(t)
	box.Sender.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, box.Addr())
		return elsewhere{c}, err
	}
	if err := box.Sender.Send(t.Context(), message("ann@buyer.example")); err == nil || !strings.Contains(err.Error(), "STARTTLS") {
		t.Errorf("without an exception: %v", err)
	}
	box.Sender.Plaintext = func(a netip.Addr) bool { return a == netip.MustParseAddr("10.1.2.3") }
	if err := box.Sender.Send(t.Context(), message("ann@buyer.example")); err != nil {
		t.Errorf("with an exception: %v", err)
	}
}

func TestAConnectionIsUsedAgain(t *testing.T) {
	box := testenv.Mailbox(t)
	proxy := testenv.NewProxy(t, box.Addr())
	box.Sender.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, proxy.Addr())
	}
	for i := range 3 {
		if err := box.Sender.Send(t.Context(), message(fmt.Sprintf("p%d@buyer.example", i))); err != nil {
			t.Fatal(err)
		}
	}
	box.Behave(sink.Behaviour{Step: sink.AtRecipient, Code: 550, Text: "5.1.1 nobody"})
	if err := box.Sender.Send(t.Context(), message("nobody@buyer.example")); !errors.Is(err, mail.ErrRejected) {
		t.Fatal(err)
	}
	box.Behave(sink.Behaviour{})
	if err := box.Sender.Send(t.Context(), message("p3@buyer.example")); err != nil || proxy.Served() != 1 {
		t.Errorf("%v; %d connections for five mails", err, proxy.Served())
	}
	proxy.Reset() // as a server does that was idle for too long
	if err := box.Sender.Send(t.Context(), message("p4@buyer.example")); err != nil || proxy.Served() != 2 {
		t.Errorf("after a connection that was gone: %v; %d connections", err, proxy.Served())
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if err := box.Sender.Send(t.Context(), message(fmt.Sprintf("q%d@buyer.example", i))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(box.Mails()); n != 13 {
		t.Errorf("%d mails arrived, of 13", n)
	}
}

func TestAStuckServerIsCutOff(t *testing.T) {
	for _, step := range []sink.Step{sink.AtGreeting, sink.AtSender, sink.AtRecipient, sink.AtContent} {
		t.Run(string(step), func(t *testing.T) {
			box := testenv.Mailbox(t)
			box.Sender.Timeout = 300 * time.Millisecond
			box.Behave(sink.Behaviour{Step: step, Stall: true})
			began := time.Now()
			err := box.Sender.Send(t.Context(), message("ann@buyer.example"))
			if err == nil || errors.Is(err, mail.ErrRejected) || time.Since(began) > 5*time.Second {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
			box.Behave(sink.Behaviour{})
			box.Sender.Timeout = 0
			if err := box.Sender.Send(t.Context(), message("ben@buyer.example")); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
	t.Run("before a word is said", func(t *testing.T) {
		box := testenv.Mailbox(t)
		proxy := testenv.NewProxy(t, box.Addr())
		proxy.Stall()
		box.Sender.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, proxy.Addr())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := box.Sender.Send(ctx, message("ann@buyer.example")); err == nil || errors.Is(err, mail.ErrRejected) || !strings.Contains(err.Error(), "in time") {
			t.Errorf("%v", err)
		}
	})
}

func TestWhatIsForGoodIsToldFromWhatIsNot(t *testing.T) {
	for _, c := range []struct {
		step   sink.Step
		code   int
		text   string
		good   bool // for good
		broken bool
	}{
		{sink.AtRecipient, 550, "5.1.1 no such user", true, false},
		{sink.AtRecipient, 550, "no such user", true, false},
		{sink.AtRecipient, 552, "5.2.2 mailbox full", true, false},
		{sink.AtRecipient, 553, "5.1.3 bad address", true, false},
		{sink.AtRecipient, 556, "5.1.10 the domain takes no mail", true, false},
		{sink.AtContent, 554, "5.6.0 rubbish", true, false},
		{sink.AtContent, 550, "5.7.1 spam", true, false},
		{sink.AtContent, 552, "5.3.4 too big", true, false},
		{sink.AtRecipient, 450, "4.2.0 try later", false, false},
		{sink.AtRecipient, 451, "4.7.1 greylisted", false, false},
		{sink.AtContent, 452, "4.3.1 no room", false, false},
		{sink.AtRecipient, 554, "5.7.1 relay access denied", false, false},
		{sink.AtRecipient, 530, "5.7.0 sign in first", false, false},
		{sink.AtRecipient, 503, "5.5.1 bad sequence", false, false},
		{sink.AtRecipient, 500, "what", false, false},
		{sink.AtContent, 554, "5.5.1 no valid recipients", false, false},
		{sink.AtSender, 550, "5.7.1 you may not send as this", false, true},
		{sink.AtSender, 530, "5.7.0 sign in first", false, true},
		{sink.AtRecipient, 421, "4.3.2 going down", false, true},
		{sink.AtGreeting, 554, "5.7.1 no service for you", false, true},
	} {
		t.Run(fmt.Sprintf("%s %d %s", c.step, c.code, c.text), func(t *testing.T) {
			box := testenv.Mailbox(t)
			box.Behave(sink.Behaviour{Step: c.step, Code: c.code, Text: c.text})
			err := box.Sender.Send(t.Context(), message("ann@buyer.example"))
			if err == nil || errors.Is(err, mail.ErrRejected) != c.good || mail.Broken(err) != c.broken {
				t.Fatalf("%v: for good %v, broken %v", err, errors.Is(err, mail.ErrRejected), mail.Broken(err))
			}
			if want := fmt.Sprintf("%d %s", c.code, c.text); !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		})
	}
	t.Run("a connection that breaks", func(t *testing.T) {
		for _, step := range []sink.Step{sink.AtGreeting, sink.AtSender, sink.AtRecipient, sink.AtContent} {
			box := testenv.Mailbox(t)
			box.Behave(sink.Behaviour{Step: step, Cut: true})
			if err := box.Sender.Send(t.Context(), message("ann@buyer.example")); err == nil || errors.Is(err, mail.ErrRejected) || !mail.Broken(err) {
				t.Errorf("%s: %v", step, err)
			}
		}
	})
	t.Run("a server that is not there", func(t *testing.T) {
		box := testenv.Mailbox(t)
		box.Close()
		if err := box.Sender.Send(t.Context(), message("ann@buyer.example")); err == nil || errors.Is(err, mail.ErrRejected) || !mail.Broken(err) {
			t.Errorf("%v", err)
		}
	})
}

func TestAFailureTellsNeitherTheAddressNorThePassword(t *testing.T) {
	box := testenv.Mailbox(t)
	box.Behave(sink.Behaviour{Step: sink.AtRecipient, Code: 550, Text: "5.1.1 <ANN@buyer.example>: \x1b[31mann@buyer.example is unknown"})
	err := box.Sender.Send(t.Context(), message("ann@buyer.example"))
	if err == nil || strings.Contains(strings.ToLower(err.Error()), "ann@buyer") || strings.ContainsAny(err.Error(), "\x1b\r\n") {
		t.Errorf("it says %q", err)
	}
	s := mail.SMTP{Password: "hunter2"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if out := fmt.Sprintf(verb, s.Password); out != "[password]" {
			t.Errorf("%s prints %q", verb, out)
		}
	}
}
