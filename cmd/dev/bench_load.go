package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// answer is one HTTP answer; header and body are valid until the next question on the same connection.
type answer struct {
	status       int
	header, body []byte
}

// caller keeps one connection and asks one thing at a time on it. It knows as much of HTTP/1.1 as the gate and the
// upstream of a bench speak, so that the load costs little of the core that it shares with the upstream.
type caller struct {
	addr string
	conn net.Conn
	buf  []byte

	heard int // bytes of the last answer, whole or not
}

func (c *caller) close() {
	if c.conn != nil {
		_ = c.conn.Close() // nothing is under way on it
		c.conn = nil
	}
}

func (c *caller) ask(request []byte) (a answer, err error) {
	if c.conn == nil {
		if c.conn, err = net.DialTimeout("tcp", c.addr, 5*time.Second); err != nil {
			return a, err
		}
	}
	c.heard = 0
	if _, err = c.conn.Write(request); err == nil {
		a, err = c.read()
	}
	if err != nil {
		c.close()
	}
	return a, err
}

var (
	headerEnd     = []byte("\r\n\r\n")
	contentLength = []byte("\r\nContent-Length: ")
)

func (c *caller) read() (a answer, err error) {
	if c.buf == nil {
		c.buf = make([]byte, 128<<10)
	}
	n, end, whole := 0, 0, 0
	defer func() { c.heard = n }()
	for whole == 0 || n < whole {
		if n == len(c.buf) {
			return a, errors.New("an answer longer than the load reads")
		}
		m, err := c.conn.Read(c.buf[n:])
		n += m
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return a, err
		}
		if whole != 0 {
			continue
		}
		i := bytes.Index(c.buf[:n], headerEnd)
		if i < 0 {
			continue
		}
		end = i + len(headerEnd)
		if a.status, whole, err = head(c.buf[:end]); err != nil {
			return a, err
		}
		whole += end
	}
	if n > whole {
		return a, errors.New("more bytes than one answer has")
	}
	a.header, a.body = c.buf[:end], c.buf[end:whole]
	return a, nil
}

// head reads the status and the length of the body.
func head(b []byte) (status, length int, err error) {
	if len(b) < 12 || !bytes.HasPrefix(b, []byte("HTTP/1.1 ")) {
		return 0, 0, fmt.Errorf("no HTTP/1.1 answer: %.60q", b)
	}
	if status, err = strconv.Atoi(string(b[9:12])); err != nil || status < 100 {
		return 0, 0, fmt.Errorf("no status: %.60q", b)
	}
	i := bytes.Index(b, contentLength)
	if i < 0 {
		return 0, 0, fmt.Errorf("status %d without a Content-Length", status)
	}
	text, _, _ := bytes.Cut(b[i+len(contentLength):], []byte{'\r'})
	if length, err = strconv.Atoi(string(text)); err != nil || length < 0 {
		return 0, 0, fmt.Errorf("a Content-Length of %q", text)
	}
	return status, length, nil
}

// load is a closed loop: each of its callers asks again as soon as it has its answer.
type load struct {
	callers []*caller
	ask     func(caller, n int) []byte // the n-th request of a caller
	right   func(caller int, a answer) bool

	spread time.Duration     // the callers begin one after the other, over this time
	busy   func(answer) bool // who gets such an answer counts nothing and comes again a little later; nil: none

	// Of an open loop: so many of the callers open a connection for each question; and a question without an answer is
	// lost, and not an end of everything.
	fresh int
	lossy bool
}

// tally is what a load has seen.
type tally struct {
	answers, wrong int
	lost           int    // without an answer, where that may be
	first          string // wrong answer, for the person who reads about it
	took           time.Duration
}

func (t *tally) rate() float64 { return float64(t.answers) / t.took.Seconds() }

// run asks for a while. warm is time before it in which nothing is counted.
func (l *load) run(warm, d time.Duration) tally {
	var (
		stop, counting atomic.Bool
		answers        atomic.Int64
		mu             sync.Mutex
		t              tally
		all            sync.WaitGroup
	)
	counting.Store(warm == 0)
	deadline := time.Now().Add(warm + d + 20*time.Second)
	began := time.Now()
	for i, c := range l.callers {
		if c.conn != nil {
			_ = c.conn.SetDeadline(deadline) // a connection that is closed says so at the next question
		}
		all.Go(func() {
			time.Sleep(l.spread * time.Duration(i) / time.Duration(len(l.callers)))
			for n := 0; !stop.Load(); n++ {
				a, err := c.ask(l.ask(i, n))
				if err == nil && l.busy != nil && l.busy(a) {
					time.Sleep(300 * time.Millisecond)
					continue
				}
				if err == nil && l.right(i, a) {
					if counting.Load() {
						answers.Add(1)
					}
					continue
				}
				mu.Lock()
				if t.wrong++; t.wrong == 1 {
					if t.first = fmt.Sprintf("status %d, %.200q", a.status, a.body); err != nil {
						t.first = err.Error()
					}
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	if warm > 0 {
		time.Sleep(warm)
		began = time.Now()
		counting.Store(true)
	}
	time.Sleep(d)
	stop.Store(true)
	if warm > 0 {
		// Who waits for a held answer is not waited for: what was counted until now is a steady stream.
		t.answers, t.took = int(answers.Load()), time.Since(began)
		all.Wait()
		return t
	}
	all.Wait()
	t.answers, t.took = int(answers.Load()), time.Since(began)
	return t
}

func (l *load) hangUp() {
	for _, c := range l.callers {
		c.close()
	}
}

func callers(n int, addr string) []*caller {
	out := make([]*caller, n)
	for i := range out {
		out[i] = &caller{addr: addr}
	}
	return out
}
