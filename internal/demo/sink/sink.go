package sink

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Options are how a sink is built; zero values take what most want.
type Options struct {
	Listener net.Listener // default: any port of 127.0.0.1
	Keep     int          // mails kept at most; default 500

	// Certificate switches TLS on: by STARTTLS, or from the start where FirstTLS is set. Default: none.
	Certificate *tls.Certificate
	FirstTLS    bool
	// Username and Password are demanded, over TLS only, unless Careless. Default: nobody has to sign in.
	Username, Password string
	Careless           bool
	Ways               []string // of signing in: PLAIN, LOGIN; default: both
}

// Sink is a running server.
type Sink struct {
	options  Options
	listener net.Listener
	server   *smtp.Server
	serving  sync.WaitGroup
	ended    chan struct{}

	mu        sync.Mutex
	behaviour Behaviour
	changed   chan struct{} // closed and replaced when the behaviour changes
	mails     []Mail
	arrived   chan struct{} // closed and replaced when a mail arrives
	opened    int
	signed    int
}

// Start opens a sink.
func Start(o Options) (*Sink, error) {
	if o.Keep == 0 {
		o.Keep = 500
	}
	if o.Ways == nil {
		o.Ways = []string{"PLAIN", "LOGIN"}
	}
	l := o.Listener
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("opening a mail sink: %w", err)
		}
	}
	s := &Sink{options: o, listener: l, ended: make(chan struct{}), changed: make(chan struct{}), arrived: make(chan struct{})}
	s.server = smtp.NewServer(smtp.BackendFunc(s.session))
	s.server.Domain = "localhost"
	s.server.MaxRecipients = 1
	s.server.MaxMessageBytes = 4 << 20
	s.server.ReadTimeout, s.server.WriteTimeout = time.Minute, time.Minute
	s.server.AllowInsecureAuth = o.Careless
	s.server.ErrorLog = log.New(io.Discard, "", 0) // clients that hang up are what it is for
	serve := l
	if o.Certificate != nil {
		s.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*o.Certificate}, MinVersion: tls.VersionTLS12}
		if o.FirstTLS {
			serve = tls.NewListener(l, s.server.TLSConfig)
		}
	}
	s.serving.Go(func() { _ = s.server.Serve(serve) }) // it ends when the sink is closed
	return s, nil
}

// Addr is where it listens, as host:port.
func (s *Sink) Addr() string { return s.listener.Addr().String() }

// Behave changes what the sink does from now on, and wakes those it holds up.
func (s *Sink) Behave(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviour = b
	close(s.changed)
	s.changed = make(chan struct{})
}

// Mails are the mails that were taken and are still kept, the oldest first.
func (s *Sink) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// Arrived is closed when the next mail has been taken.
func (s *Sink) Arrived() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.arrived
}

// Forget drops all mails.
func (s *Sink) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = nil
}

// Opened is how many clients have greeted so far, and Signed how many have signed in.
func (s *Sink) Opened() int { return s.count(&s.opened) }

// Signed is how many clients have signed in so far.
func (s *Sink) Signed() int { return s.count(&s.signed) }

func (s *Sink) count(n *int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *n
}

// Close ends the sink and everybody's connection.
func (s *Sink) Close() {
	select {
	case <-s.ended:
		return
	default:
	}
	close(s.ended)
	_ = s.server.Close()   // nobody is served any more
	_ = s.listener.Close() // the server may not have begun with it
	s.serving.Wait()
}

func (s *Sink) keep(m Mail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = append(s.mails, m)
	if over := len(s.mails) - s.options.Keep; over > 0 {
		s.mails = slices.Delete(s.mails, 0, over)
	}
	close(s.arrived)
	s.arrived = make(chan struct{})
}

var errEnded = errors.New("the sink is closed")
