package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// message is one oddity of HTTP/1.1: the bytes, how they may be answered (0: not at all), and how many requests may
// reach the upstream.
type message struct {
	name    string
	text    string // @ stands for the lines of a signed-in request: host, origin, cookies
	answers []int
	arrive  int
	field   bool // one field of the client's may carry what is marked: a folded line is one value
}

var refusedMessage = []int{400, 0}

// HDR-06, HDR-11, appendix B: what is no message is refused, what could be read in two ways is read in one and sent on
// clean, and the upstream never sees more than one request where one was sent.
var messages = []message{
	{"two lengths, alike", "POST /orders HTTP/1.1\r\n@Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody", []int{200, 400}, 1, false},
	{"two lengths", "POST /orders HTTP/1.1\r\n@Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody!", refusedMessage, 0, false},
	{"two lengths in one line", "POST /orders HTTP/1.1\r\n@Content-Length: 4, 4\r\n\r\nbody", refusedMessage, 0, false},
	{"a length with a sign", "POST /orders HTTP/1.1\r\n@Content-Length: +4\r\n\r\nbody", refusedMessage, 0, false},
	{"a length in hex", "POST /orders HTTP/1.1\r\n@Content-Length: 0x4\r\n\r\nbody", refusedMessage, 0, false},
	{"a negative length", "POST /orders HTTP/1.1\r\n@Content-Length: -1\r\n\r\n", refusedMessage, 0, false},
	{"an empty length", "POST /orders HTTP/1.1\r\n@Content-Length: \r\n\r\n", []int{200, 400}, 1, false},
	{"length and chunks", "POST /orders HTTP/1.1\r\n@Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", []int{200, 400}, 1, false},
	{"length and chunks, and more behind", "POST /orders HTTP/1.1\r\n@Content-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /f0rged HTTP/1.1\r\nHost: acme.localhost\r\n\r\n", []int{200, 400}, 1, false},
	{"chunks, and more behind", "POST /orders HTTP/1.1\r\n@Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\nPOST /f0rged HTTP/1.1\r\nHost: acme.localhost\r\nContent-Length: 0\r\n\r\n", []int{200, 400}, 1, false},
	{"a space before the colon", "POST /orders HTTP/1.1\r\n@Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", refusedMessage, 0, false},
	{"a coding with a letter more", "POST /orders HTTP/1.1\r\n@Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", []int{501, 400, 0}, 0, false},
	{"a coding in another case", "POST /orders HTTP/1.1\r\n@Transfer-Encoding: ChUnKeD\r\n\r\n4\r\nbody\r\n0\r\n\r\n", []int{200, 501, 400}, 1, false},
	{"a coding behind a tab", "POST /orders HTTP/1.1\r\n@Transfer-Encoding:\tchunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", []int{200, 501, 400}, 1, false},
	{"a coding behind another byte", "POST /orders HTTP/1.1\r\n@Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", []int{501, 400, 0}, 0, false},
	{"two codings", "POST /orders HTTP/1.1\r\n@Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", []int{501, 400, 0}, 0, false},
	{"the same coding twice", "POST /orders HTTP/1.1\r\n@Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", []int{501, 400, 0}, 0, false},
	{"two lines of coding", "POST /orders HTTP/1.1\r\n@Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", []int{501, 400, 0}, 0, false},
	{"a coding in HTTP/1.0", "POST /orders HTTP/1.0\r\n@Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{200, 501, 400, 0}, 1, false},
	{"a chunk line ended by a bare line feed", "POST /orders HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\r\n4\nbody\r\n0\r\n\r\n", []int{400, 502, 0}, 1, false}, // CVE-2025-22871
	{"a chunk extension with a line feed", "POST /orders HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\r\n4;a\nb\r\nbody\r\n0\r\n\r\n", []int{400, 502, 0}, 1, false},
	{"a chunk of a negative size", "POST /orders HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\r\n-4\r\nbody\r\n0\r\n\r\n", []int{400, 502, 0}, 1, false},
	{"a chunk too large to be one", "POST /orders HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nbody\r\n0\r\n\r\n", []int{400, 502, 0}, 1, false},
	{"a chunk longer than it says", "POST /orders HTTP/1.1\r\n@Transfer-Encoding: chunked\r\n\r\n2\r\nbody\r\n0\r\n\r\n", []int{400, 502, 0}, 1, false},
	{"a folded line", "GET /orders HTTP/1.1\r\n@X-A: b\r\n X-Portal-User-Id: f0rged\r\n\r\n", []int{200, 400}, 1, true},
	{"a folded line of ours", "GET /orders HTTP/1.1\r\n@X-Portal-User-Id: a\r\n f0rged\r\n\r\n", []int{200, 400}, 1, false},
	{"a fold at once", "GET /orders HTTP/1.1\r\n X-Portal-User-Id: f0rged\r\n@\r\n", refusedMessage, 0, false},
	{"bare line feeds", strings.ReplaceAll("GET /orders HTTP/1.1\r\n@X-A: b\r\n\r\n", "\r\n", "\n"), []int{200, 400, 0}, 1, false},
	{"a bare carriage return", "GET /orders HTTP/1.1\r\n@X-A: b\rX-Portal-User-Id: f0rged\r\n\r\n", refusedMessage, 0, false},
	{"a NUL in a value", "GET /orders HTTP/1.1\r\n@X-A: b\x00f0rged\r\n\r\n", refusedMessage, 0, false},
	{"a NUL in a name", "GET /orders HTTP/1.1\r\n@X-\x00A: f0rged\r\n\r\n", refusedMessage, 0, false},
	{"no colon", "GET /orders HTTP/1.1\r\n@X-Portal-User-Id\r\n\r\n", refusedMessage, 0, false},
	{"no name", "GET /orders HTTP/1.1\r\n@: f0rged\r\n\r\n", []int{200, 400, 0}, 1, false},
	{"a space in a name", "GET /orders HTTP/1.1\r\n@X Portal: f0rged\r\n\r\n", refusedMessage, 0, false},
	{"another alphabet in a name", "GET /orders HTTP/1.1\r\n@X-Pörtal: f0rged\r\n\r\n", refusedMessage, 0, false},
	{"two hosts", "GET /orders HTTP/1.1\r\n@Host: globex.localhost\r\n\r\n", refusedMessage, 0, false},
	{"no host", "GET /orders HTTP/1.1\r\n\r\n", refusedMessage, 0, false},
	{"no host in HTTP/1.0", "GET /orders HTTP/1.0\r\n\r\n", []int{400, 421}, 0, false},
	{"an empty host", "GET /orders HTTP/1.1\r\nHost: \r\n\r\n", []int{400, 421}, 0, false},
	{"two spaces", "GET  /orders HTTP/1.1\r\n@\r\n", refusedMessage, 0, false},
	{"a tab", "GET\t/orders HTTP/1.1\r\n@\r\n", refusedMessage, 0, false},
	{"a space in the target", "GET /orders /x HTTP/1.1\r\n@\r\n", refusedMessage, 0, false},
	{"no version", "GET /orders\r\n@\r\n", refusedMessage, 0, false},
	{"another version", "GET /orders HTTP/3.0\r\n@\r\n", []int{400, 505, 0}, 0, false},
	{"another protocol", "GET /orders HTTQ/1.1\r\n@\r\n", []int{400, 505, 0}, 0, false},
	{"an upgrade to HTTP/2", "GET /orders HTTP/1.1\r\n@Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", []int{400}, 0, false},
	{"an upgrade to two", "GET /orders HTTP/1.1\r\n@Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n", []int{400}, 0, false},
	{"CONNECT", "CONNECT acme.localhost:443 HTTP/1.1\r\n@\r\n", []int{400, 405, 421}, 0, false},
	{"CONNECT elsewhere", "CONNECT 127.0.0.1:22 HTTP/1.1\r\n@\r\n", []int{400, 405, 421}, 0, false},
	{"CONNECT with a path", "CONNECT /orders HTTP/1.1\r\n@\r\n", []int{400, 405}, 0, false},
	{"TRACE", "TRACE /orders HTTP/1.1\r\n@\r\n", []int{405}, 0, false},
	{"a long method", strings.Repeat("A", 40) + " /orders HTTP/1.1\r\n@\r\n", []int{400, 405, 200}, 0, false},
	{"expecting to go on, with nothing to come", "GET /orders HTTP/1.1\r\n@Expect: 100-continue\r\n\r\n", []int{200}, 1, false},
	{"expecting to go on", "POST /orders HTTP/1.1\r\n@Expect: 100-continue\r\nContent-Length: 4\r\n\r\nbody", []int{200}, 1, false},
	{"expecting something else", "POST /orders HTTP/1.1\r\n@Expect: f0rged\r\nContent-Length: 4\r\n\r\nbody", []int{417, 0}, 0, false},
	{"a request in a body", "GET /orders HTTP/1.1\r\n@Content-Length: 45\r\n\r\nGET /public/y HTTP/1.1\r\nHost: acme.localhost\r\n\r\n"[:len("GET /orders HTTP/1.1\r\n@Content-Length: 45\r\n\r\n")+45], []int{200}, 1, false},
	{"a path of 8 KiB and more", "GET /" + strings.Repeat("a", 8<<10) + " HTTP/1.1\r\n@\r\n", []int{400, 414, 431}, 0, false},
	{"a path of 64 KiB", "GET /" + strings.Repeat("a", 64<<10) + " HTTP/1.1\r\n@\r\n", []int{400, 414, 431, 0}, 0, false},
	{"a query of 64 KiB", "GET /?" + strings.Repeat("a", 64<<10) + " HTTP/1.1\r\n@\r\n", []int{400, 414, 431, 0}, 0, false},
	{"headers over 16 KiB", "GET /orders HTTP/1.1\r\n@X-A: " + strings.Repeat("a", 17<<10) + "\r\n\r\n", []int{400, 431, 0}, 0, false},
	{"headers of 1 MiB", "GET /orders HTTP/1.1\r\n@X-A: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", []int{400, 431, 0}, 0, false},
	{"51 cookies", "GET /orders HTTP/1.1\r\n@Cookie: " + strings.Repeat("a=b; ", 50) + "\r\n\r\n", []int{400}, 0, false},
	{"5,000 cookies", "GET /orders HTTP/1.1\r\n@Cookie: " + strings.Repeat("a=b;", 5000) + "\r\n\r\n", []int{400, 431, 0}, 0, false},
	{"5,000 header lines", "GET /orders HTTP/1.1\r\n@" + strings.Repeat("X-A: b\r\n", 5000) + "\r\n", []int{400, 431, 0}, 0, false},
	{"a form of 10^5 names", "POST /auth/login HTTP/1.1\r\n@Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat("a&", 100_000), []int{400, 413, 0}, 0, false},
}

func TestAnOddMessageIsRefusedOrReadInOneWay(t *testing.T) {
	f := wire(t)
	own := "Host: acme.localhost:" + f.plain + "\r\nOrigin: http://acme.localhost:" + f.plain + "\r\n" + f.cookie(false)
	for number, m := range messages {
		f.raw.Forget()
		f.errors.Forget()
		mark := fmt.Sprint("message-", number)
		mine := own + "X-Row: " + mark + "\r\n"
		if m.name == "bare line feeds" {
			mine = strings.ReplaceAll(mine, "\r\n", "\n")
		}
		a := f.say(t, "", strings.Replace(m.text, "@", mine, 1))
		// once more, and plainly: a request that hid behind the first one would have come before
		if again := f.say(t, "", "GET /public/last HTTP/1.1\r\nHost: acme.localhost:"+f.plain+"\r\n\r\n"); again.status != 200 {
			t.Fatalf("%s: after it, a plain request is answered %d", m.name, again.status)
		}
		got := f.arrived(mark)
		if last := len(got) - 1; last < 0 || !bytes.HasPrefix(got[last], []byte("GET /public/last ")) {
			t.Fatalf("%s: the upstream received %q", m.name, got)
		}
		got = got[:len(got)-1]
		for _, r := range f.errors.Requests() { // Caddy's own refusal, on its way to the error page
			a.status = 400
			for _, w := range f.pure(r, false) {
				t.Errorf("%s: the error page's server received %s", m.name, w)
			}
		}
		if !slices.Contains(m.answers, a.status) || len(got) > m.arrive || a.status == 200 && len(got) != m.arrive {
			t.Errorf("%s: answered %d, and the upstream received %d: %q", m.name, a.status, len(got), got)
		}
		for _, r := range got {
			wrong := f.pure(r, true)
			if m.field {
				wrong = slices.DeleteFunc(wrong, func(w string) bool { return w == "what the client made up" })
			}
			for _, w := range wrong {
				t.Errorf("%s: the upstream received %s", m.name, w)
			}
			if bad := malformed(r, a.status == 200); bad != "" {
				t.Errorf("%s: the upstream received %s: %q", m.name, bad, r)
			}
		}
	}
}

// malformed says what is wrong with the bytes of a request: more than one, or, when it was answered, less than one.
func malformed(b []byte, whole bool) string {
	r := bufio.NewReader(bytes.NewReader(b))
	req, err := http.ReadRequest(r)
	if err != nil {
		return "no request: " + err.Error()
	}
	if len(req.TransferEncoding) > 0 && req.Header.Get("Content-Length") != "" {
		return "two lengths"
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil && whole {
		return "half a request: " + err.Error()
	}
	if n, _ := io.Copy(io.Discard, r); n > 0 && whole {
		return "more than a request"
	}
	return ""
}

// A tunnel opens when the upstream has said 101 and not before (HDR-11): what follows a refused handshake is a request
// like any other.
func TestARefusedHandshakeOpensNoTunnel(t *testing.T) {
	f := wire(t)
	text := "GET /feed HTTP/1.1\r\nHost: acme.localhost:" + f.plain + "\r\nOrigin: http://acme.localhost:" + f.plain + "\r\n" + f.cookie(false) +
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" +
		"GET /f0rged HTTP/1.1\r\nHost: acme.localhost:" + f.plain + "\r\n\r\n"
	c := f.dial(t, "")
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	var statuses []int
	for {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			break
		}
		statuses = append(statuses, res.StatusCode)
		if _, err := io.Copy(io.Discard, res.Body); err != nil || len(statuses) == 2 {
			break
		}
	}
	got := f.arrived("")
	if len(statuses) == 0 || statuses[0] != 200 || len(statuses) > 1 && statuses[1] != 401 || len(got) != 1 || bytes.Contains(got[0], []byte(forged)) {
		t.Errorf("answered %v, and the upstream received %q", statuses, got)
	}
}

// What is pipelined is judged one by one.
func TestPipelinedRequestsAreJudgedOneByOne(t *testing.T) {
	f := wire(t)
	host := "Host: acme.localhost:" + f.plain + "\r\n"
	c := f.dial(t, "")
	defer c.Close()
	if _, err := io.WriteString(c, "GET /orders HTTP/1.1\r\n"+host+f.cookie(false)+"\r\nGET /orders?f0rged HTTP/1.1\r\n"+host+"\r\nGET /public/x HTTP/1.1\r\n"+host+"\r\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	var statuses []int
	for range 3 {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		statuses = append(statuses, res.StatusCode)
	}
	got := f.arrived("")
	if !slices.Equal(statuses, []int{200, 401, 200}) || len(got) != 2 {
		t.Fatalf("answered %v, and the upstream received %d", statuses, len(got))
	}
	for i, r := range got {
		for _, w := range f.pure(r, i == 0) {
			t.Errorf("request %d: %s", i, w)
		}
	}
}

// LOG-06, DOS-02, DOS-03: what is malformed inside a message is refused as such, opens nothing and breaks nothing.
func TestMalformedInputIsRefusedAndOpensNothing(t *testing.T) {
	f := wire(t)
	host := "Host: acme.localhost:" + f.plain + "\r\nOrigin: http://acme.localhost:" + f.plain + "\r\n"
	for _, cookie := range []string{
		"portalgate=", "portalgate", "portalgate=a.b.c", "portalgate=" + strings.Repeat(".", 10_000), "portalgate=" + strings.Repeat("e30.", 2000), "portalgate=eyJhbGciOiJub25lIn0.e30.", "portalgate=\xff\xfe", "portalgate=\"" + f.access + "\"", "portalgate=" + f.access + "x", "portalgate=" + f.access[:len(f.access)-2],
		"portalgate=" + f.access + "; portalgate=" + f.access, "Portalgate=1; portalgate=" + f.access, "portalgate-refresh=" + strings.Repeat("A", 64), "portalgate-refresh=" + f.access, "portalgate=" + f.refresh, "portalgate-refresh=\x01", "portalgate-attempt=x; portalgate-device=x",
	} {
		for _, path := range []string{"/orders", "/auth/account", "/auth/api/session"} {
			a := f.say(t, "", "GET "+path+" HTTP/1.1\r\n"+host+"Cookie: "+cookie+"\r\n\r\n")
			if a.status != 401 && a.status != 400 && a.status != 303 || len(f.arrived("")) != 0 || slices.ContainsFunc(a.header["Set-Cookie"], func(c string) bool { return !strings.Contains(c, "Max-Age=0") }) {
				t.Errorf("%.60q on %s: %d %v", cookie, path, a.status, a.header["Set-Cookie"])
			}
		}
	}
	for _, body := range []string{
		"email=%00&password=x", "email=eve%40buyer.example%00&password=x", "email=%ff&password=x", "email=eve%40buyer.example&password=%ff", "email=a&email=b", "email[]=a&password[]=b", "email=%0d%0aX%3a&password=x", "email=" + strings.Repeat("a", 60_000), "password=" + strings.Repeat("a", 60_000),
		"", "=", "&&&", "%", "email=eve%40buyer.example&password=x&return_to=%00", "email=eve%40buyer.example&password=x&remember=%00", "email=eve%40buyer.example&tenant_id=x&role=CUSTOMER_ADMIN&password=x",
		`{"email":"eve@buyer.example","password":{"$ne":1}}`, `{"email":["eve@buyer.example"],"password":"x"}`, `{"email":"a\u0000b","password":"x"}`, `{"email":"\ud800","password":"x"}`, `[`, `null`, `{"email":1e999}`,
	} {
		kind := "application/x-www-form-urlencoded"
		if strings.ContainsAny(body[:min(1, len(body))], "{[n") {
			kind = "application/json"
		}
		a := f.say(t, "", "POST /auth/login HTTP/1.1\r\n"+host+"Content-Type: "+kind+"\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
		if a.status < 400 || a.status >= 500 || len(a.header["Set-Cookie"]) != 0 {
			t.Errorf("%.60q: %d %v", body, a.status, a.header["Set-Cookie"])
		}
	}
	if a := f.say(t, "", "GET /orders HTTP/1.1\r\n"+host+f.cookie(false)+"\r\n"); a.status != 200 {
		t.Errorf("the next request: %d", a.status)
	}
}

// DOS-02: a header has ten seconds.
func TestAHeaderThatDoesNotEndIsCutOff(t *testing.T) {
	f := wire(t)
	t.Parallel()
	for _, sni := range []string{"", "acme.localhost"} {
		c := f.dial(t, sni)
		defer c.Close()
		if _, err := io.WriteString(c, "GET /public/x HTTP/1.1\r\nHost: acme.localhost\r\nX-Slow: "); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(15 * time.Second)); err != nil {
			t.Fatal(err)
		}
		defer func() {
			b, err := io.ReadAll(c)
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Errorf("still open after 15 s, said %q", b)
			}
		}()
	}
}
