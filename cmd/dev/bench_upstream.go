package main

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
)

// benchUpstream stands for the ERP: it answers `GET /small/ID` and `GET /large/ID` with a body that is ready, and counts
// who it was told is asking.
type benchUpstream struct {
	listener net.Listener
	small    []byte
	large    []byte
	mu       sync.Mutex
	open     map[net.Conn]bool

	named   atomic.Int64 // with one identity header, that of the person in the path
	unnamed atomic.Int64 // without an identity header
	wrong   atomic.Int64 // with another's, or unreadable
}

func startUpstream() (*benchUpstream, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the upstream: %w", err)
	}
	u := &benchUpstream{listener: l, open: map[net.Conn]bool{}, small: benchBody(1 << 10), large: benchBody(64 << 10)}
	go u.serve()
	return u, nil
}

func benchBody(size int) []byte {
	line := "The quick brown fox jumps over the lazy dog, and a customer reads about pallets.\n"
	return []byte(strings.Repeat(line, size/len(line)+1)[:size])
}

func (u *benchUpstream) addr() string { return u.listener.Addr().String() }

func (u *benchUpstream) close() {
	_ = u.listener.Close() // nobody connects any more
	u.mu.Lock()
	defer u.mu.Unlock()
	for c := range u.open {
		_ = c.Close() // the gateways that held it are gone
	}
}

func (u *benchUpstream) serve() {
	for {
		c, err := u.listener.Accept()
		if err != nil {
			return // closed
		}
		u.mu.Lock()
		u.open[c] = true
		u.mu.Unlock()
		go u.converse(c)
	}
}

var (
	identityName = []byte("\r\nX-Portal-User-Id: ")
	pathSmall    = []byte("GET /small/")
	pathLarge    = []byte("GET /large/")
)

func (u *benchUpstream) converse(c net.Conn) {
	defer func() {
		_ = c.Close() // it is at its end
		u.mu.Lock()
		delete(u.open, c)
		u.mu.Unlock()
	}()
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: private, max-age=0\r\nVary: Accept-Encoding\r\nEtag: \"5f2b\"\r\nContent-Length: %d\r\n\r\n"
	small := append(fmt.Appendf(nil, head, len(u.small)), u.small...)
	large := append(fmt.Appendf(nil, head, len(u.large)), u.large...)
	buf := make([]byte, 32<<10)
	n := 0
	for {
		m, err := c.Read(buf[n:])
		if n += m; err != nil {
			return
		}
		end := bytes.Index(buf[:n], headerEnd)
		if end < 0 {
			if n == len(buf) {
				u.wrong.Add(1)
				return
			}
			continue
		}
		out := small
		id, ok := bytes.CutPrefix(buf[:end], pathSmall)
		if !ok {
			out = large
			if id, ok = bytes.CutPrefix(buf[:end], pathLarge); !ok {
				u.wrong.Add(1)
				return
			}
		}
		id, _, _ = bytes.Cut(id, []byte{' '})
		u.judge(buf[:end+2], id)
		if _, err := c.Write(out); err != nil {
			return
		}
		n = copy(buf, buf[end+4:n])
	}
}

// judge compares who is asking with the person that the path names.
func (u *benchUpstream) judge(header, id []byte) {
	i := bytes.Index(header, identityName)
	if i < 0 {
		u.unnamed.Add(1)
		return
	}
	value, _, _ := bytes.Cut(header[i+len(identityName):], []byte{'\r'})
	if bytes.Equal(value, id) && !bytes.Contains(header[i+1:], identityName) {
		u.named.Add(1)
		return
	}
	u.wrong.Add(1)
}

// counts are what was seen since the last call.
func (u *benchUpstream) counts() (named, unnamed, wrong int) {
	return int(u.named.Swap(0)), int(u.unnamed.Swap(0)), int(u.wrong.Swap(0))
}
