package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/portalgate/portalgate/internal/testenv"
)

// switching is an upstream that takes every handshake and then echoes, streams events on /events, and answers the rest.
func switching(request []byte) []byte {
	switch {
	case len(testenv.Heads(request, "Upgrade")) > 0:
		return []byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSet-Cookie: portalgate=f0rged\r\nX-Portal-User-Id: f0rged\r\n\r\n")
	case bytes.HasPrefix(request, []byte("GET /events ")), bytes.HasPrefix(request, []byte("POST /events ")):
		return []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
	}
	return testenv.Answered(200, "", "ok")
}

// handshake opens a socket; the reader stands behind the answer.
func (f *front) handshake(t testing.TB, path, lines string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	c := f.dial(t, "")
	t.Cleanup(func() { c.Close() })
	text := "GET " + path + " HTTP/1.1\r\nHost: acme.localhost:" + f.plain + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" + lines + "\r\n"
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, r, res
}

func (f *front) ownOrigin() string { return "Origin: http://acme.localhost:" + f.plain + "\r\n" }

// Contract 7, CSRF-05: sockets work for who is signed in and comes from the portal itself, but for those of GraphQL.
func TestASocketOpensForWhoIsSignedInAndComesFromThePortal(t *testing.T) {
	f := wire(t)
	f.raw.Answer(switching)
	for _, c := range []struct {
		path, lines string
		status      int
		code        string
		arrives     bool
		known       bool
	}{
		{"/feed", f.cookie(false) + f.ownOrigin(), 101, "", true, true},
		{"/feed", f.cookie(false) + f.ownOrigin() + "X-Portal-User-Id: f0rged\r\nAuthorization: f0rged\r\nCookie: lang=en\r\n", 101, "", true, true},
		{"/public/feed", f.ownOrigin(), 101, "", true, false},
		{"/public/feed", f.cookie(false) + f.ownOrigin(), 101, "", true, false},
		{"/feed", f.ownOrigin(), 401, "session_required", false, false},
		{"/feed", f.cookie(false), 403, "cross_site", false, false},
		{"/feed", f.cookie(false) + "Origin: http://globex.localhost:" + f.plain + "\r\n", 403, "cross_site", false, false},
		{"/feed", f.cookie(false) + "Origin: https://acme.localhost:" + f.plain + "\r\n", 403, "cross_site", false, false},
		{"/feed", f.cookie(false) + "Origin: null\r\n", 403, "cross_site", false, false},
		{"/public/feed", "Origin: https://evil.test\r\n", 403, "cross_site", false, false},
		{"/graphql", f.cookie(false) + f.ownOrigin(), 403, "graphql_socket_unsupported", false, false},
		{"/GraphQL/ws", f.cookie(false) + f.ownOrigin() + "Sec-WebSocket-Protocol: graphql-transport-ws\r\n", 403, "graphql_socket_unsupported", false, false},
		{"/billing/feed", f.cookie(false) + f.ownOrigin(), 401, "mfa_required", false, false},
		{"/feed", f.cookie(false) + f.ownOrigin() + "Early-Data: 1\r\n", 425, "early_data", false, false},
	} {
		f.raw.Forget()
		conn, r, res := f.handshake(t, c.path, c.lines)
		what := fmt.Sprintf("%s %q: %d %v", c.path, c.lines, res.StatusCode, res.Header)
		got := f.arrived("")
		if res.StatusCode != c.status || (len(got) == 1) != c.arrives {
			t.Errorf("%s, %d requests", what, len(got))
			continue
		}
		if c.status != 101 {
			if body := readAll(t, res); !strings.Contains(body, `"code":"`+c.code+`"`) {
				t.Errorf("%s: %s", what, body)
			}
			continue
		}
		for _, w := range f.pure(got[0], c.known) {
			t.Errorf("%s: %s", what, w)
		}
		if !slices.Equal(testenv.Heads(got[0], "Connection"), []string{"Upgrade"}) || !slices.Equal(testenv.Heads(got[0], "Upgrade"), []string{"websocket"}) {
			t.Errorf("%s: %q", what, got[0])
		}
		if res.Header.Get("Set-Cookie") != "" || res.Header.Get("X-Portal-User-Id") != "" {
			t.Errorf("%s: the upstream spoke for us", what)
		}
		if _, err := io.WriteString(conn, "hello"); err != nil {
			t.Fatal(err)
		}
		back := make([]byte, 5)
		if _, err := io.ReadFull(r, back); err != nil || string(back) != "hello" {
			t.Errorf("%s: the socket says %q, %v", what, back, err)
		}
		conn.Close()
	}
}

// ended waits until the other side has closed a connection.
func ended(t testing.TB, what string, c net.Conn, r io.Reader, within time.Duration) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 64); ; {
		_, err := r.Read(b)
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Errorf("%s is still open after %s", what, within)
			return
		}
		if err != nil {
			return
		}
	}
}

func (f *front) signOut(t testing.TB, cookie string) {
	t.Helper()
	if a := f.say(t, "", "POST /auth/logout HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n"+f.ownOrigin()+cookie+"Content-Length: 0\r\n\r\n"); a.status != 303 {
		t.Fatalf("signing out: %d", a.status)
	}
}

// guest is another sign-in of Ann's, as the cookie line of a request.
func (f *front) guest(t testing.TB) string {
	t.Helper()
	access, refresh := f.enter(t, f.acme)
	return "Cookie: portalgate=" + access + "; portalgate-refresh=" + refresh + "\r\n"
}

// REV-02, contract 7: what is open when the session ends is closed, and nobody else's.
func TestOpenSocketsAndStreamsEndWithTheirSession(t *testing.T) {
	f := wire(t)
	f.raw.Answer(switching)
	guest := f.guest(t)
	socket, r, res := f.handshake(t, "/feed", guest+f.ownOrigin())
	if res.StatusCode != 101 {
		t.Fatalf("the socket: %d", res.StatusCode)
	}
	other, or, res := f.handshake(t, "/feed", f.cookie(false)+f.ownOrigin())
	if res.StatusCode != 101 {
		t.Fatalf("the other socket: %d", res.StatusCode)
	}
	stream := f.dial(t, "")
	defer stream.Close()
	if _, err := io.WriteString(stream, "GET /events HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\nAccept: text/event-stream\r\n"+guest+"\r\n"); err != nil {
		t.Fatal(err)
	}
	sr := bufio.NewReader(stream)
	sres, err := http.ReadResponse(sr, nil)
	if err != nil || sres.StatusCode != 200 {
		t.Fatalf("the stream: %v, %v", sres, err)
	}
	first := make([]byte, 9)
	if _, err := io.ReadFull(sres.Body, first); err != nil || string(first) != "data: 1\n\n" {
		t.Fatalf("the stream says %q, %v", first, err)
	}
	f.signOut(t, guest)
	ended(t, "the socket", socket, r, 5*time.Second)
	ended(t, "the stream", stream, sr, 5*time.Second)
	if _, err := io.WriteString(other, "still"); err != nil {
		t.Error(err)
	}
	back := make([]byte, 5)
	if _, err := io.ReadFull(or, back); err != nil || string(back) != "still" {
		t.Errorf("the other session's socket says %q, %v", back, err)
	}
	if _, _, res := f.handshake(t, "/feed", guest+f.ownOrigin()); res.StatusCode != 401 {
		t.Errorf("the next handshake: %d", res.StatusCode)
	}
}

// REV-02 for every stream that an answer turns out to be, whether the request asked for one or not: a script may read
// one with fetch. The end comes while nothing is said, and reaches the upstream too.
func TestAStreamEndsWithItsSessionHoweverItBegan(t *testing.T) {
	f := wire(t)
	f.raw.Answer(switching)
	var rows []func(*testing.T)
	for _, secure := range []bool{false, true} {
		for _, method := range []string{"GET", "POST"} {
			for _, accept := range []string{"*/*", "text/event-stream", "application/json, text/event-stream;q=0.5"} {
				name := fmt.Sprintf("%s over HTTP/%d, accepting %s", method, map[bool]int{false: 1, true: 2}[secure], accept)
				access, refresh := f.enter(t, f.acme)
				cookie := "portalgate=" + access + "; portalgate-refresh=" + refresh
				c, origin := http.DefaultTransport.(*http.Transport).Clone(), "http://acme.localhost:"+f.plain
				if secure {
					cookie = "__Host-portalgate=" + access + "; __Host-portalgate-refresh=" + refresh
					c.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, ServerName: "acme.localhost"}
					origin = "https://acme.localhost:" + f.secure
				}
				c.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
					_, port, _ := net.SplitHostPort(addr)
					return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
				}
				t.Cleanup(c.CloseIdleConnections)
				req, err := http.NewRequest(method, origin+"/events", map[bool]io.Reader{true: strings.NewReader("{}")}[method == "POST"])
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Cookie", cookie)
				req.Header.Set("Origin", origin)
				req.Header.Set("Accept", accept)
				res, err := c.RoundTrip(req)
				if err != nil || res.StatusCode != 200 || res.ProtoMajor == 2 != secure {
					t.Fatalf("%s: %+v, %v", name, res, err)
				}
				defer res.Body.Close()
				first := make([]byte, 9)
				if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != "data: 1\n\n" {
					t.Fatalf("%s: the stream says %q, %v", name, first, err)
				}
				over := make(chan error, 1)
				go func() {
					_, err := io.Copy(io.Discard, res.Body)
					over <- err
				}()
				rows = append(rows, func(t *testing.T) {
					f.signOut(t, "Cookie: portalgate="+access+"; portalgate-refresh="+refresh+"\r\n")
					select {
					case <-over:
					case <-time.After(5 * time.Second):
						t.Errorf("%s: the stream is still open", name)
					}
				})
			}
		}
	}
	before := f.raw.Open()
	for _, row := range rows {
		row(t)
	}
	for late := time.Now().Add(5 * time.Second); f.raw.Open() > before-len(rows); {
		if time.Now().After(late) {
			t.Fatalf("%d streams ended, and %d of %d connections to the upstream are still open", len(rows), f.raw.Open(), before)
		}
		runtime.Gosched()
	}
}

// A session has an end of its own, which nobody announces: a socket ends then too.
func TestAnOpenSocketEndsWhenTheSessionsTimeHasCome(t *testing.T) {
	f := wire(t)
	f.raw.Answer(switching)
	guest := f.guest(t)
	f.house.DB.Exec(t, `update portalgate.sessions set ends_at = now() + interval '2 seconds' where id = (select id from portalgate.sessions where tenant_id = $1 order by created_at desc limit 1)`, f.acme.ID)
	socket, r, res := f.handshake(t, "/feed", guest+f.ownOrigin())
	if res.StatusCode != 101 {
		t.Fatalf("the socket: %d", res.StatusCode)
	}
	ended(t, "the socket", socket, r, 10*time.Second)
}

// A second step that must be fresh keeps a socket open no longer than it would let a new one in.
func TestAnOpenSocketEndsWhenItsSecondStepHasGrownStale(t *testing.T) {
	f := wire(t)
	f.raw.Answer(switching)
	guest := f.guest(t)
	f.house.DB.Exec(t, `update portalgate.sessions set mfa_at = now() - interval '57 seconds' where id = (select id from portalgate.sessions where tenant_id = $1 order by created_at desc limit 1)`, f.acme.ID)
	lasting, _, res := f.handshake(t, "/billing/feed", guest+f.ownOrigin())
	if res.StatusCode != 101 {
		t.Fatalf("the socket that needs a second step: %d", res.StatusCode)
	}
	socket, r, res := f.handshake(t, "/vault/feed", guest+f.ownOrigin())
	if res.StatusCode != 101 {
		t.Fatalf("the socket that needs a fresh one: %d", res.StatusCode)
	}
	ended(t, "the socket", socket, r, 10*time.Second)
	if _, _, res := f.handshake(t, "/vault/feed", guest+f.ownOrigin()); res.StatusCode != 401 || !strings.Contains(readAll(t, res), `"code":"mfa_required"`) {
		t.Errorf("the next handshake: %d", res.StatusCode)
	}
	if err := lasting.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := lasting.Read(make([]byte, 1)); !os.IsTimeout(err) {
		t.Errorf("the session lives, and the socket beside it has ended: %v", err)
	}
}

// The race of REV-02: a socket that is being opened while its session ends is either refused or closed.
func TestASocketOpenedWhileTheSessionEndsIsClosed(t *testing.T) {
	f := wire(t)
	f.raw.Answer(switching)
	for i := range 12 {
		guest := f.guest(t)
		if a := f.say(t, "", "GET /orders HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n"+guest+"\r\n"); a.status != 200 {
			t.Fatalf("signed in: %d", a.status)
		}
		var both sync.WaitGroup
		var socket net.Conn
		var r *bufio.Reader
		var status int
		both.Go(func() {
			c, br, res := f.handshake(t, "/feed", guest+f.ownOrigin())
			socket, r, status = c, br, res.StatusCode
		})
		both.Go(func() { f.signOut(t, guest) })
		both.Wait()
		if status == 101 {
			ended(t, fmt.Sprintf("the socket of round %d", i), socket, r, 5*time.Second)
		} else if status != 401 {
			t.Errorf("round %d: %d", i, status)
		}
	}
}

// Sockets over HTTP/2 (RFC 8441). Go's server offers them only when it is told to (GODEBUG=http2xconnect=1), and a
// browser that is not offered them opens a connection of HTTP/1.1: so they need not be there, and where they are they
// are held to the same.
func TestSocketsOverHTTP2AreHeldToTheSame(t *testing.T) {
	like := wire(t)
	f := newFront(t, frontOptions{env: []string{"GODEBUG=http2xconnect=1"}, like: like})
	f.raw.Answer(switching)
	connect := func(path string, in bool, origin string) (*h2, h2answer) {
		fields := f.get2(path, in)
		fields[1] = "CONNECT"
		fields = slices.Insert(fields, 8, ":protocol", "websocket")
		fields = append(fields, "sec-websocket-version", "13")
		if origin != "" {
			fields = append(fields, "origin", origin)
		}
		c := f.h2(t, "acme.localhost")
		if err := c.headers(1, false, fields...); err != nil {
			t.Fatal(err)
		}
		return c, c.await(1, true)
	}
	own := "https://acme.localhost:" + f.secure
	for _, c := range []struct {
		path   string
		in     bool
		origin string
		status int
	}{
		{"/feed", false, own, 401}, {"/feed", true, "", 403}, {"/feed", true, "https://globex.localhost:" + f.secure, 403}, {"/graphql", true, own, 403}, {"/billing/x", true, own, 401}, {"/public/%2e%2e/x", true, own, 400},
	} {
		f.raw.Forget()
		if _, a := connect(c.path, c.in, c.origin); a.status != c.status || len(f.arrived("")) != 0 {
			t.Errorf("%+v: %s, %q", c, a, f.arrived(""))
		}
	}
	f.raw.Forget()
	conn, a := connect("/feed", true, own)
	if a.status != 200 {
		t.Fatalf("the socket: %s", a)
	}
	got := f.raw.Await(t, 0)
	for _, w := range f.pure(got, true) {
		t.Errorf("the upstream received %s", w)
	}
	if !bytes.HasPrefix(got, []byte("GET /feed HTTP/1.1\r\n")) || !slices.Equal(testenv.Heads(got, "Upgrade"), []string{"websocket"}) {
		t.Errorf("the upstream received %q", got)
	}
	if err := conn.framer.WriteData(1, false, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	for back := ""; back != "hello"; {
		fr, err := conn.framer.ReadFrame()
		if err != nil {
			t.Fatalf("the socket says %q: %v", back, err)
		}
		if d, ok := fr.(*http2.DataFrame); ok { // window updates and settings come between
			back += string(d.Data())
		}
	}
	f.signOut(t, f.cookie(false))
	if err := conn.conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if a := conn.await(1, false); strings.Contains(a.reset, "timeout") || a.body != "" {
		t.Errorf("after signing out the socket is still open: %s %q", a, a.body)
	}
}
