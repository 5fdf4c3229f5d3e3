package demo

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// port is a port of this machine that is ours: its sockets listen from the start and are handed to the gate, so that
// two demos that start at the same moment cannot choose the same one. (Caddy shares a port with whoever else shares it,
// and the two would take turns in answering.)
type port struct {
	number    int
	listeners []net.Listener
	files     []*os.File
}

// openPort takes the wanted port, or the first free one from a start, or any.
func openPort(wanted, from int) (*port, error) {
	if wanted != 0 {
		p, err := openExactly(wanted)
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			return nil, fmt.Errorf("port %d is taken; choose another with --port, or leave it out for the next that is free", wanted)
		case err != nil:
			return nil, fmt.Errorf("opening port %d: %w", wanted, err)
		}
		return p, nil
	}
	for n := from; n < from+50 && n < 1<<16; n++ {
		if p, err := openExactly(n); err == nil {
			return p, nil
		}
	}
	for range 10 { // any port at all, that is free for both kinds of addresses
		if p, err := openExactly(0); err == nil {
			return p, nil
		}
	}
	return nil, errors.New("no port is free")
}

// openExactly listens on a port of this machine's own two addresses. Browsers try ::1 first for names below localhost,
// so that a stranger there would get our visitors; a machine without IPv6 has none.
func openExactly(n int) (*port, error) {
	p := &port{}
	first, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", n))
	if err != nil {
		return nil, err
	}
	p.number = first.Addr().(*net.TCPAddr).Port
	p.listeners = append(p.listeners, first)
	second, err := net.Listen("tcp6", fmt.Sprintf("[::1]:%d", p.number))
	switch {
	case err == nil:
		p.listeners = append(p.listeners, second)
	case errors.Is(err, syscall.EADDRINUSE):
		p.close()
		return nil, err
	}
	for _, l := range p.listeners {
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			p.close()
			return nil, fmt.Errorf("handing on port %d: %w", p.number, err)
		}
		p.files = append(p.files, f)
	}
	return p, nil
}

// bind is the port as Caddy's `bind` takes it.
func (p *port) bind() string {
	var out []string
	for _, f := range p.files {
		out = append(out, fmt.Sprintf("fd/%d", f.Fd()))
	}
	return strings.Join(out, " ")
}

func (p *port) close() {
	for _, l := range p.listeners {
		_ = l.Close() // nobody is served any more
	}
	for _, f := range p.files {
		_ = f.Close() // as above
	}
}
