package testenv

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Raw is an upstream that keeps the bytes of every request exactly as they came, before anything has tidied them up:
// what a net/http server shows has been folded, merged and dropped already, and that is where forged headers hide.
type Raw struct {
	listener net.Listener

	mu       sync.Mutex
	answer   func(request []byte) []byte
	requests [][]byte
	arrived  chan struct{} // closed and replaced when a request arrives
	open     map[net.Conn]struct{}
}

// Answered is a complete response with a body.
func Answered(status int, headers, body string) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 %d Answer\r\nContent-Length: %d\r\n%s\r\n%s", status, len(body), headers, body)
}

// Upgraded is the response that switches protocols; after it, the upstream echoes every byte.
func Upgraded(headers string) []byte {
	return []byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n" + headers + "\r\n")
}

// NewRaw opens an upstream that answers 200 with the body "ok".
func NewRaw(t testing.TB) *Raw {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal("opening an upstream: ", err)
	}
	u := &Raw{
		listener: l, arrived: make(chan struct{}), open: map[net.Conn]struct{}{},
		answer: func([]byte) []byte { return Answered(200, "Content-Type: text/plain\r\n", "ok") },
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			u.mu.Lock()
			u.open[c] = struct{}{}
			u.mu.Unlock()
			serving.Go(func() { u.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		u.mu.Lock()
		for c := range u.open {
			_ = c.Close()
		}
		u.mu.Unlock()
		serving.Wait()
	})
	return u
}

// Open is how many connections are open to it.
func (u *Raw) Open() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.open)
}

// Addr is where the upstream listens.
func (u *Raw) Addr() string { return u.listener.Addr().String() }

// Answer changes what the upstream answers. The bytes go out as they are; nil closes the connection without an answer.
func (u *Raw) Answer(f func(request []byte) []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer = f
}

// Requests are the requests so far, byte for byte: head, body, trailers.
func (u *Raw) Requests() [][]byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([][]byte(nil), u.requests...)
}

// Forget drops the requests so far.
func (u *Raw) Forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requests = nil
}

// Await returns the request of that number, counted from zero, as soon as it has come.
func (u *Raw) Await(t testing.TB, number int) []byte {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		u.mu.Lock()
		arrived, n := u.arrived, len(u.requests)
		if n > number {
			defer u.mu.Unlock()
			return u.requests[number]
		}
		u.mu.Unlock()
		select {
		case <-arrived:
		case <-late:
			t.Fatalf("request %d has not come within 10 s; %d came", number, n)
		}
	}
}

// Heads returns the values of a header in the bytes of a request, in order, compared by exact name, case ignored. It
// reads lines and nothing else: no folding, no merging.
func Heads(request []byte, name string) []string {
	head, _, _ := bytes.Cut(request, []byte("\r\n\r\n"))
	var out []string
	for _, line := range strings.Split(string(head), "\r\n")[1:] {
		n, v, ok := strings.Cut(line, ":")
		if ok && strings.EqualFold(n, name) {
			out = append(out, strings.TrimSpace(v))
		}
	}
	return out
}

func (u *Raw) serve(c net.Conn) {
	defer func() {
		u.mu.Lock()
		delete(u.open, c)
		u.mu.Unlock()
		_ = c.Close()
	}()
	r := bufio.NewReader(c)
	for {
		request, err := readRequest(r, func() error {
			_, err := io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
			return err
		})
		if len(request) > 0 {
			u.mu.Lock()
			u.requests = append(u.requests, request)
			close(u.arrived)
			u.arrived = make(chan struct{})
			u.mu.Unlock()
		}
		if err != nil {
			return
		}
		u.mu.Lock()
		answer := u.answer
		u.mu.Unlock()
		b := answer(request)
		if b == nil {
			return
		}
		if _, err := c.Write(b); err != nil {
			return
		}
		if bytes.HasPrefix(b, []byte("HTTP/1.1 101")) {
			_, _ = io.Copy(c, r) // an echo, until either side closes
			return
		}
		// A response that is not delimited ends with its connection.
		if len(Heads(b, "Content-Length")) == 0 && len(Heads(b, "Transfer-Encoding")) == 0 {
			return
		}
	}
}

// readRequest reads one request and returns every byte of it. What was read before an error is returned with it.
func readRequest(r *bufio.Reader, proceed func() error) ([]byte, error) {
	var b []byte
	for !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
		line, err := r.ReadBytes('\n')
		b = append(b, line...)
		if err != nil {
			return b, err
		}
		if len(b) > 1<<20 {
			return b, errors.New("the head is longer than 1 MiB")
		}
	}
	if len(Heads(b, "Expect")) > 0 {
		if err := proceed(); err != nil {
			return b, err
		}
	}
	for _, v := range Heads(b, "Transfer-Encoding") {
		if strings.Contains(strings.ToLower(v), "chunked") {
			return readChunks(r, b)
		}
	}
	if v := Heads(b, "Content-Length"); len(v) > 0 {
		n, err := strconv.Atoi(v[0])
		if err != nil {
			return b, fmt.Errorf("reading Content-Length: %w", err)
		}
		body := make([]byte, n)
		n, err = io.ReadFull(r, body)
		return append(b, body[:n]...), err
	}
	return b, nil
}

func readChunks(r *bufio.Reader, b []byte) ([]byte, error) {
	for {
		line, err := r.ReadBytes('\n')
		b = append(b, line...)
		if err != nil {
			return b, err
		}
		size, _, _ := strings.Cut(strings.TrimSpace(string(line)), ";")
		n, err := strconv.ParseInt(size, 16, 32)
		if err != nil {
			return b, fmt.Errorf("reading the size of a chunk: %w", err)
		}
		if n == 0 {
			break
		}
		chunk := make([]byte, n+2)
		got, err := io.ReadFull(r, chunk)
		b = append(b, chunk[:got]...)
		if err != nil {
			return b, err
		}
	}
	for { // trailers, and the empty line after them
		line, err := r.ReadBytes('\n')
		b = append(b, line...)
		if err != nil || len(bytes.TrimSpace(line)) == 0 {
			return b, err
		}
	}
}
