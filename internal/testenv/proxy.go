package testenv

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Proxy stands between two programs on TCP and breaks what passes through it, on command.
type Proxy struct {
	target   string
	listener net.Listener

	mu      sync.Mutex
	fault   fault
	delay   time.Duration
	changed chan struct{} // closed and replaced when the fault changes
	pairs   map[*pair]struct{}
	served  int
}

type fault int

const (
	healthy fault = iota
	cut           // connections end; new ones are ended at once
	stalled       // connections stay, and nothing passes
	slow          // every piece waits first
)

type pair struct{ client, server net.Conn }

// NewProxy opens a proxy in front of a target: a TCP address, or the path of a unix socket.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal("opening a proxy: ", err)
	}
	p := &Proxy{target: target, listener: l, changed: make(chan struct{}), pairs: map[*pair]struct{}{}}
	var accepting sync.WaitGroup
	accepting.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		accepting.Wait()
		p.become(cut, 0)
	})
	return p
}

// ProxyPostgres opens a proxy in front of the server of a database's address and returns that address through the proxy.
func ProxyPostgres(t testing.TB, address string) (*Proxy, string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal("reading the database's address: ", err)
	}
	q := u.Query()
	target := u.Host
	if host := q.Get("host"); strings.HasPrefix(host, "/") {
		target = host + "/.s.PGSQL.5432"
	} else if u.Port() == "" {
		target = net.JoinHostPort(u.Hostname(), "5432")
	}
	p := NewProxy(t, target)
	if user := q.Get("user"); user != "" {
		u.User = url.User(user)
	}
	q.Del("host")
	q.Del("user")
	q.Set("sslmode", "disable")
	u.Host, u.RawQuery = p.Addr(), q.Encode()
	return p, u.String()
}

// ProxyRedis opens a proxy in front of a Redis and returns its address through the proxy.
func ProxyRedis(t testing.TB, address string) (*Proxy, string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal("reading the address of Redis: ", err)
	}
	target := u.Host
	if u.Scheme == "unix" {
		target = u.Path
	}
	p := NewProxy(t, target)
	return p, "redis://" + p.Addr()
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Cut ends all connections, and every new one at once, as a server that is gone.
func (p *Proxy) Cut() { p.become(cut, 0) }

// Reset ends the connections that are open now with a TCP reset; new ones are served.
func (p *Proxy) Reset() { p.end() }

// Stall lets nothing pass in either direction, while every connection stays open, as a network that swallows packets.
func (p *Proxy) Stall() { p.become(stalled, 0) }

// Slow makes every piece that passes wait first.
func (p *Proxy) Slow(d time.Duration) { p.become(slow, d) }

// Heal lets everything pass again.
func (p *Proxy) Heal() { p.become(healthy, 0) }

// Open is how many connections are open now.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pairs)
}

// Served is how many connections were opened so far.
func (p *Proxy) Served() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.served
}

func (p *Proxy) become(f fault, d time.Duration) {
	p.mu.Lock()
	p.fault, p.delay = f, d
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	if f == cut {
		p.end()
	}
}

// end closes what is open, with a reset: whoever waits for an answer learns at once that none will come.
func (p *Proxy) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		c.close()
		delete(p.pairs, c)
	}
}

func (c *pair) close() {
	if tcp, ok := c.client.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // closing then sends a reset
	}
	_ = c.client.Close()
	_ = c.server.Close()
}

func (p *Proxy) state() (fault, time.Duration, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault, p.delay, p.changed
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if f, _, _ := p.state(); f == cut {
			_ = client.(*net.TCPConn).SetLinger(0)
			_ = client.Close()
			continue
		}
		network := "tcp"
		if strings.HasPrefix(p.target, "/") {
			network = "unix"
		}
		server, err := net.Dial(network, p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		c := &pair{client: client, server: server}
		p.mu.Lock()
		p.pairs[c] = struct{}{}
		p.served++
		p.mu.Unlock()
		go p.pump(c, client, server)
		go p.pump(c, server, client)
	}
}

// pump carries bytes one way until either end closes.
func (p *Proxy) pump(c *pair, from, to net.Conn) {
	defer p.forget(c)
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			if p.hold(c) != nil {
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// hold waits for as long as the fault demands.
func (p *Proxy) hold(c *pair) error {
	for {
		f, d, changed := p.state()
		switch f {
		case cut:
			return fmt.Errorf("cut")
		case healthy:
			return nil
		case slow:
			select {
			case <-time.After(d):
				return nil
			case <-changed:
			}
		case stalled:
			<-changed
			p.mu.Lock()
			_, open := p.pairs[c]
			p.mu.Unlock()
			if !open {
				return net.ErrClosed
			}
		}
	}
}

func (p *Proxy) forget(c *pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, open := p.pairs[c]; !open {
		return
	}
	delete(p.pairs, c)
	_ = c.client.Close()
	_ = c.server.Close()
}
