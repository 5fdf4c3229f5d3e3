package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"sync"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// Password does not print.
type Password string

// Format writes a placeholder, whatever the verb.
func (Password) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[password]") }

// MarshalText writes a placeholder.
func (Password) MarshalText() ([]byte, error) { return []byte("[password]"), nil }

// SMTP hands mails to a server. STARTTLS is demanded and the certificate verified, on ports 465 and 2465 TLS comes
// first. Connections are kept for a while and used again. Its zero values are usable but for the host; fields are not
// changed after the first Send.
type SMTP struct {
	Name     string // in errors and counters; default: host:port
	Host     string
	Port     int      // default: 587
	Username string   // default: none, and no authentication
	Password Password // sent over TLS only

	// Roots are who may sign the server's certificate; nil: whom the machine trusts.
	Roots *x509.CertPool
	// Plaintext says whether mail without a password may go to an address without TLS. nil: to this machine only.
	Plaintext func(netip.Addr) bool
	// Timeout bounds one mail from the connection to the answer, 30 s at most, which is the default: whoever waits for
	// more holds up the rest.
	Timeout time.Duration
	// Idle is how long a connection without work is kept. Default: 20 s, negative: not at all. Servers hang up after
	// minutes (RFC 5321 section 4.5.3.2.7), providers earlier.
	Idle time.Duration
	// Headers are put on each mail besides.
	Headers map[string]string
	// Dial opens connections. Default: net.Dialer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu   sync.Mutex
	idle []*line
}

// The longest that one mail takes, how many mails one connection carries (providers count them), and how many idle
// connections are kept.
const (
	longest   = 30 * time.Second
	perLine   = 100
	mostIdle  = 4
	keptFor   = 20 * time.Second
	goodbyeIn = 2 * time.Second
)

// Send hands over one mail. A failure is a *Failure, but for a mail that cannot be sent to anybody.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout())
	defer cancel()
	for {
		msg, err := compose(m, s.Headers)
		if err != nil {
			return err
		}
		if ctx.Err() != nil { // a kept connection could be quicker than its end
			return &Failure{Provider: s.name(), Step: StepConnect, Text: fmt.Sprintf("not begun: %v", context.Cause(ctx))}
		}
		l, kept, err := s.line(ctx)
		if err != nil {
			return err
		}
		err = l.send(ctx, s.timeout(), msg)
		if msg.IsDelivered() { // whatever happened to the connection since
			s.keep(l, err == nil && ctx.Err() == nil)
			if m.Taken != nil {
				m.Taken(s.name(), oneLine(conceal(msg.ServerResponse(), string(m.To))))
			}
			return nil
		}
		if ctx.Err() != nil {
			s.keep(l, false)
			return &Failure{Provider: s.name(), Step: StepContent, Text: fmt.Sprintf("no answer in time: %v", context.Cause(ctx))}
		}
		f := s.refused(m, err)
		var sent *gomail.SendError
		if kept && errors.As(err, &sent) && sent.Reason == gomail.ErrConnCheck { // the server hung up while it was idle
			s.keep(l, false)
			continue
		}
		s.keep(l, f.Code >= 400 && f.Code != 421)
		return f
	}
}

// Greet connects, demands TLS and signs in, without sending anything: what `doctor` wants to know.
func (s *SMTP) Greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout())
	defer cancel()
	l, err := s.open(ctx)
	if err != nil {
		return err
	}
	l.close()
	return nil
}

// Close ends the connections that nobody uses. The sender can be used after it.
func (s *SMTP) Close() {
	s.mu.Lock()
	lines := s.idle
	s.idle = nil
	s.mu.Unlock()
	for _, l := range lines {
		l.close()
	}
}

func (s *SMTP) timeout() time.Duration {
	if s.Timeout > 0 && s.Timeout < longest {
		return s.Timeout
	}
	return longest
}

func (s *SMTP) port() int {
	if s.Port == 0 {
		return 587
	}
	return s.Port
}

func (s *SMTP) address() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.port())) }

func (s *SMTP) name() string {
	if s.Name != "" {
		return s.Name
	}
	return s.address()
}

// line is a connection that is ready for a mail, and whether it has been used before.
func (s *SMTP) line(ctx context.Context) (l *line, kept bool, err error) {
	s.mu.Lock()
	if n := len(s.idle); n > 0 {
		l, s.idle = s.idle[n-1], s.idle[:n-1]
	}
	s.mu.Unlock()
	if l != nil {
		return l, true, nil
	}
	l, err = s.open(ctx)
	return l, false, err
}

// keep puts a connection back for the next mail, or ends it.
func (s *SMTP) keep(l *line, good bool) {
	kept := s.Idle
	if kept == 0 {
		kept = keptFor
	}
	s.mu.Lock()
	good = good && kept > 0 && l.carried < perLine && len(s.idle) < mostIdle
	if good {
		s.idle = append(s.idle, l)
		l.turn++
		turn := l.turn
		time.AfterFunc(kept, func() { s.expire(l, turn) })
	}
	s.mu.Unlock()
	if !good {
		l.close()
	}
}

// expire ends a connection that has been idle since that turn.
func (s *SMTP) expire(l *line, turn int) {
	s.mu.Lock()
	found := false
	for i, other := range s.idle {
		if other == l && l.turn == turn {
			s.idle = append(s.idle[:i:i], s.idle[i+1:]...)
			found = true
			break
		}
	}
	s.mu.Unlock()
	if found {
		l.close()
	}
}

// open makes a connection that is encrypted, where it must be, and signed in.
func (s *SMTP) open(ctx context.Context) (*line, error) {
	dial := s.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(ctx, "tcp", s.address())
	if err != nil {
		return nil, s.dialling(StepConnect, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // whoever waits for an answer is told by it
	defer stop()
	fail := func(step Step, err error) (*line, error) {
		_ = conn.Close() // it is of no use any more
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer in time: %w", context.Cause(ctx))
		}
		return nil, s.dialling(step, err)
	}
	raw := conn
	config := &tls.Config{ServerName: s.Host, RootCAs: s.Roots, MinVersion: tls.VersionTLS12}
	options := []gomail.Option{gomail.WithTimeout(s.timeout()), gomail.WithPort(s.port()), gomail.WithTLSConfig(config), gomail.WithoutRset(), gomail.WithHELO(ourName()),
		gomail.WithoutSMTPUTF8()} // our addresses are ASCII, and a mail that claims to need more is returned by servers that know no more
	switch {
	case s.port() == 465 || s.port() == 2465:
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return fail(StepConnect, fmt.Errorf("the server's certificate: %w", err))
		}
		conn = secured
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	case s.Username == "" && s.mayBePlain(conn.RemoteAddr()):
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	options = append(options, gomail.WithDialContextFunc(func(context.Context, string, string) (net.Conn, error) { return conn, nil }))
	// The password comes afterwards, so that a wrong one is told from a server that cannot be trusted.
	client, err := gomail.NewClient(s.Host, options...)
	if err != nil {
		return fail(StepConnect, err)
	}
	smtp, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return fail(StepConnect, err)
	}
	if s.Username != "" {
		if err := s.signIn(smtp); err != nil {
			return fail(StepSignIn, err)
		}
	}
	if ctx.Err() != nil {
		return fail(StepConnect, ctx.Err())
	}
	return &line{conn: raw, client: client, smtp: smtp}, nil
}

func (s *SMTP) mayBePlain(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return a.Network() == "unix"
	}
	addr := tcp.AddrPort().Addr().Unmap()
	return addr.IsLoopback() || s.Plaintext != nil && s.Plaintext(addr)
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$`)

// ourName is what we greet with: servers refuse what is no host's name.
func ourName() string {
	if name, err := os.Hostname(); err == nil && hostName.MatchString(name) {
		return name
	}
	return "localhost"
}
