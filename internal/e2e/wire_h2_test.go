package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/portalgate/portalgate/internal/testenv"
)

// h2 is a connection of HTTP/2 that sends whatever it is told to, allowed or not.
type h2 struct {
	t      testing.TB
	conn   net.Conn
	framer *http2.Framer
	block  bytes.Buffer
	enc    *hpack.Encoder
	next   uint32
}

func (f *front) h2(t testing.TB, sni string) *h2 {
	t.Helper()
	c := &h2{t: t, conn: f.dial(t, sni, "h2"), next: 1}
	t.Cleanup(func() { c.conn.Close() })
	c.framer = http2.NewFramer(c.conn, c.conn)
	c.framer.AllowIllegalWrites = true
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.enc = hpack.NewEncoder(&c.block)
	if _, err := io.WriteString(c.conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := c.framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return c
}

// fields are name, value pairs, sent in this order.
func (c *h2) headers(stream uint32, end bool, fields ...string) error {
	c.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		if err := c.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			return err
		}
	}
	block := c.block.Bytes()
	first := block[:min(len(block), 16<<10)]
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: first, EndStream: end, EndHeaders: len(first) == len(block)}); err != nil {
		return err
	}
	for block = block[len(first):]; len(block) > 0; block = block[min(len(block), 16<<10):] {
		piece := block[:min(len(block), 16<<10)]
		if err := c.framer.WriteContinuation(stream, len(piece) == len(block), piece); err != nil {
			return err
		}
	}
	return nil
}

// h2answer is what came back: a status, or how the stream or the connection was ended.
type h2answer struct {
	status int
	reset  string
	header map[string]string
	body   string
}

func (a h2answer) String() string {
	if a.reset != "" {
		return a.reset
	}
	return strconv.Itoa(a.status)
}

// await reads until a stream has been answered; with early set, until its header has come.
func (c *h2) await(stream uint32, early bool) (a h2answer) {
	for {
		fr, err := c.framer.ReadFrame()
		if err != nil {
			if a.reset == "" {
				a.reset = "the connection ended: " + err.Error()
			}
			return a
		}
		switch fr := fr.(type) {
		case *http2.SettingsFrame:
			if !fr.IsAck() {
				_ = c.framer.WriteSettingsAck() // the answer shows whether it arrived
			}
		case *http2.MetaHeadersFrame:
			if fr.StreamID != stream {
				continue
			}
			if a.header == nil {
				a.header = map[string]string{}
			}
			for _, h := range fr.Fields {
				a.header[h.Name] = h.Value
			}
			if n, err := strconv.Atoi(fr.PseudoValue("status")); err == nil {
				a.status = n
			}
			if fr.StreamEnded() || early && a.status >= 200 {
				return a
			}
		case *http2.DataFrame:
			if fr.StreamID == stream {
				a.body += string(fr.Data())
				if fr.StreamEnded() {
					return a
				}
			}
		case *http2.RSTStreamFrame:
			if fr.StreamID == stream {
				a.reset = "stream ended: " + fr.ErrCode.String()
				return a
			}
		case *http2.GoAwayFrame:
			a.reset = "connection refused: " + fr.ErrCode.String()
			if fr.ErrCode != http2.ErrCodeNo {
				return a
			}
		}
	}
}

// ask sends one request and reads its answer.
func (c *h2) ask(fields ...string) h2answer {
	c.t.Helper()
	stream := c.next
	c.next += 2
	if err := c.headers(stream, true, fields...); err != nil {
		return h2answer{reset: "not sent: " + err.Error()}
	}
	return c.await(stream, false)
}

// get is the pseudo-header fields of a GET, to which more may be added.
func (f *front) get2(path string, in bool, more ...string) []string {
	fields := []string{":method", "GET", ":scheme", "https", ":authority", "acme.localhost:" + f.secure, ":path", path}
	if in {
		name, value, _ := strings.Cut(strings.TrimSpace(f.cookie(true)), ": ")
		fields = append(fields, strings.ToLower(name), value)
	}
	return append(fields, more...)
}

// Appendix B over HTTP/2, whose fields are free of the rules of lines: each lie is refused, or is not there behind us.
func TestNothingAClientMakesUpReachesTheUpstreamOverHTTP2(t *testing.T) {
	f := wire(t)
	rows := [][]string{
		{"x-portal-user", "f0rged"}, {"X-Portal-User", "f0rged"}, {"x_portal_user", "f0rged"}, {"x.portal.user", "f0rged"}, {"x-portal_user-id", "f0rged"}, {"x-portal-user-id", "f0rged", "x-portal-user-id", "f0rged"},
		{"x-portal-user-id:", "f0rged"}, {"x-portal-user-id ", "f0rged"}, {" x-portal-user-id", "f0rged"}, {"x-portal-user-id\t", "f0rged"}, {"x-portal-user-id\x00", "f0rged"}, {"x-portal-user-id\r\nx-a", "f0rged"}, {"", "f0rged"}, {":x-portal-user-id", "f0rged"},
		{"x-a", "a\r\nx-portal-user: f0rged"}, {"x-a", "a\nx-portal-user: f0rged"}, {"x-a", "a\x00f0rged"}, {"x-a", "a\rf0rged"},
		{"connection", "x-portal-user-id"}, {"connection", "keep-alive"}, {"transfer-encoding", "chunked"}, {"upgrade", "h2c"}, {"upgrade", "websocket"}, {"proxy-connection", "f0rged"}, {"keep-alive", "f0rged"}, {"http2-settings", "f0rged"}, {"te", "f0rged"}, {"te", "trailers, f0rged"},
		{"x-portal-assertion", "f0rged"}, {"authorization", "Bearer f0rged"}, {"x-forwarded-for", "f0rged"}, {"x-forwarded-host", "f0rged"}, {"x-forwarded-proto", "f0rged"}, {"forwarded", "for=f0rged"}, {"x-real-ip", "f0rged"}, {"x-original-url", "/f0rged"},
		{"x-http-method-override", "f0rged"}, {"remote-user", "f0rged"}, {"cookie", "portalgate=f0rged"}, {"cookie", "b=2"},
	}
	for _, row := range rows {
		for _, road := range roads[:4] {
			for _, in := range []bool{true, false} {
				f.raw.Forget()
				f.errors.Forget()
				a := f.h2(t, "acme.localhost").ask(f.get2(road.path, in, row...)...)
				got, wrong := f.arrived(""), f.errors.Requests()
				what := fmt.Sprintf("%q on a %s path, signed in %v: %s", row, road.name, in, a)
				for _, r := range wrong {
					for _, w := range f.pure(r, false) {
						t.Errorf("%s: the error page's server received %s", what, w)
					}
				}
				if len(got) > 1 || len(wrong) > 1 || a.status >= 500 && a.status != 502 {
					t.Errorf("%s: %d and %d requests behind us", what, len(got), len(wrong))
				}
				for _, r := range got {
					known := road.known && in
					if !known && road.name != "public" {
						t.Errorf("%s: the upstream received a request", what)
					}
					for _, w := range f.pure(r, known) {
						t.Errorf("%s: the upstream received %s", what, w)
					}
				}
				if a.status == 0 && a.reset == "" {
					t.Errorf("%s: no answer", what)
				}
			}
		}
	}
}

// Caddy speaks HTTP/2 on plain connections too, with those who begin with it: the same rules hold there.
func TestHTTP2WithoutTLSIsJudgedTheSame(t *testing.T) {
	f := wire(t)
	cookie := strings.TrimPrefix(strings.TrimSpace(f.cookie(false)), "Cookie: ")
	ask := func(more ...string) h2answer {
		return f.h2(t, "").ask(append([]string{":method", "GET", ":scheme", "http", ":authority", "acme.localhost:" + f.plain, ":path", "/orders", "x-portal-user-id", forged}, more...)...)
	}
	if a := ask(); a.status != 401 || len(f.arrived("")) != 0 {
		t.Errorf("signed out: %s, %q", a, f.arrived(""))
	}
	a := ask("cookie", cookie)
	got := f.arrived("")
	if a.status != 200 || len(got) != 1 {
		t.Fatalf("signed in: %s, %q", a, got)
	}
	for _, w := range f.pure(got[0], true) {
		t.Errorf("the upstream received %s", w)
	}
}

// What breaks HTTP/2 itself ends the stream or is a 400, and nothing arrives.
func TestABrokenMessageOfHTTP2IsRefused(t *testing.T) {
	f := wire(t)
	base := f.get2("/public/x", true)
	swap := func(name, value string) []string {
		out := append([]string{}, base...)
		for i := 0; i < len(out); i += 2 {
			if out[i] == name {
				out[i+1] = value
			}
		}
		return out
	}
	without := func(name string) (out []string) {
		for i := 0; i < len(base); i += 2 {
			if base[i] != name {
				out = append(out, base[i], base[i+1])
			}
		}
		return out
	}
	for name, fields := range map[string][]string{
		"two paths":                 append([]string{":path", "/graphql"}, base...),
		"a path at the end":         append(append([]string{}, base...), ":path", "/graphql"),
		"no path":                   without(":path"),
		"no method":                 without(":method"),
		"no scheme":                 without(":scheme"),
		"an empty path":             swap(":path", ""),
		"a path without slash":      swap(":path", "public/x"),
		"a star":                    swap(":path", "*"),
		"an absolute path":          swap(":path", "https://acme.localhost/public/x"),
		"another tenant's absolute": swap(":path", "https://globex.localhost/public/x"),
		"a space in the path":       swap(":path", "/public/x y"),
		"a line end in the path":    swap(":path", "/public/x\r\nX-Portal-User-Id: f0rged"),
		"a NUL in the path":         swap(":path", "/public/x\x00"),
		"a space in the method":     swap(":method", "GET /graphql"),
		"a line end in the method":  swap(":method", "GET\r\nX: y"),
		"another scheme":            swap(":scheme", "gopher"),
		"CONNECT":                   {":method", "CONNECT", ":authority", "acme.localhost:" + f.secure},
		"CONNECT for a socket":      append(swap(":method", "CONNECT"), ":protocol", "websocket"), // not offered, see TestSocketsOverHTTP2
		"a host beside":             append(append([]string{}, base...), "host", "globex.localhost"),
		"two hosts beside":          append(append([]string{}, base...), "host", "acme.localhost:"+f.secure, "host", "acme.localhost:"+f.secure),
		"a host with a line end":    append(append([]string{}, base...), "host", "acme.localhost\r\nx-portal-user-id: f0rged"),
		"another authority":         swap(":authority", "globex.localhost:"+f.secure),
		"no authority":              without(":authority"),
		"an authority with user":    swap(":authority", "x@acme.localhost"),
	} {
		f.raw.Forget()
		a := f.h2(t, "acme.localhost").ask(fields...)
		if a.status != 400 && a.status != 405 && a.status != 421 && a.reset == "" || len(f.arrived("")) != 0 {
			t.Errorf("%s: %s, %q", name, a, f.arrived(""))
		}
	}
	// what says nothing passes without it
	f.raw.Forget()
	a := f.h2(t, "acme.localhost").ask(append(append([]string{}, base...), "content-length", forged)...)
	if got := f.arrived(""); a.status != 200 || len(got) != 1 || len(f.pure(got[0], false)) > 0 {
		t.Errorf("a length that is none: %s, %q", a, got)
	}
	// what is said twice, and alike, passes once
	f.raw.Forget()
	a = f.h2(t, "acme.localhost").ask(append(append([]string{}, base...), "host", "acme.localhost:"+f.secure)...)
	if got := f.arrived(""); a.status != 200 || len(got) != 1 || len(testenv.Heads(got[0], "Host")) != 1 {
		t.Errorf("the same host twice: %s, %q", a, got)
	}
}

// HDR-05: no trailer of a client carries an identity, over either protocol, declared or not.
func TestNoTrailerReachesTheUpstreamWithAnIdentity(t *testing.T) {
	f := wire(t)
	for number, c := range []struct {
		declared []string
		sent     [][2]string
		want     string // of trailers, in what arrives
		broken   bool   // no message of HTTP/2: its stream is ended
	}{
		{[]string{"X-Sum", "Authorization", "X-Forwarded-For", "X-Real-Ip", "Cookie"}, [][2]string{{"X-Sum", "1"}, {"Authorization", forged}, {"X-Forwarded-For", forged}, {"X-Real-Ip", forged}, {"Cookie", "portalgate=" + forged}}, "X-Sum: 1", true},
		{[]string{"X-Sum"}, [][2]string{{"X-Sum", "1"}}, "X-Sum: 1", false},
		{nil, [][2]string{{"X-Portal-User-Id", forged}}, "", false},
		{[]string{"X-Portal-User-Id"}, [][2]string{{"X-Portal-User-Id", forged}}, "", false},
		{[]string{"x_portal_user_id"}, [][2]string{{"x_portal_user_id", forged}}, "", false},
		{[]string{"X-Sum", "X-Portal-User-Id"}, [][2]string{{"X-Sum", "1"}, {"X-Portal-User-Id", forged}}, "X-Sum: 1", false},
		{[]string{"X-Sum"}, [][2]string{{"X-Sum", "1"}, {"X-Portal-User-Id", forged}, {"X-Late", forged}}, "X-Sum: 1", false},
	} {
		for _, path := range []string{"/orders", "/public/x"} {
			for _, proto := range []string{"HTTP/1.1", "HTTP/2"} {
				mark := fmt.Sprint("row-", number, path, proto)
				origin := "http://acme.localhost:" + f.plain
				var status int
				if proto == "HTTP/1.1" {
					text := "POST " + path + " HTTP/1.1\r\nHost: acme.localhost:" + f.plain + "\r\nOrigin: " + origin + "\r\nX-Row: " + mark + "\r\n" + f.cookie(false) + "Transfer-Encoding: chunked\r\n"
					if len(c.declared) > 0 {
						text += "Trailer: " + strings.Join(c.declared, ", ") + "\r\n"
					}
					text += "\r\n4\r\nbody\r\n0\r\n"
					for _, s := range c.sent {
						text += s[0] + ": " + s[1] + "\r\n"
					}
					status = f.say(t, "", text+"\r\n").status
				} else {
					fields := f.get2(path, true, "origin", "https://acme.localhost:"+f.secure, "x-row", mark)
					fields[1] = "POST"
					if len(c.declared) > 0 {
						fields = append(fields, "trailer", strings.Join(c.declared, ", "))
					}
					conn := f.h2(t, "acme.localhost")
					var trailers []string
					for _, s := range c.sent {
						trailers = append(trailers, strings.ToLower(s[0]), s[1])
					}
					if err := conn.headers(1, false, fields...); err != nil {
						t.Fatal(err)
					}
					if err := conn.framer.WriteData(1, false, []byte("body")); err != nil {
						t.Fatal(err)
					}
					if err := conn.headers(1, true, trailers...); err != nil {
						t.Fatal(err)
					}
					status = conn.await(1, false).status
				}
				got := f.arrived(mark)
				if c.broken && proto == "HTTP/2" {
					for _, r := range got { // its head may have gone on before the end came
						if status != 0 || bytes.Contains(r, []byte(forged)) {
							t.Errorf("%s %s %+v: %d, %q", proto, path, c, status, r)
						}
					}
					continue
				}
				if status != 200 || len(got) != 1 {
					t.Errorf("%s %s %+v: %d, %d requests", proto, path, c, status, len(got))
					continue
				}
				for _, w := range f.pure(got[0], path == "/orders") {
					t.Errorf("%s %s %+v: the upstream received %s", proto, path, c, w)
				}
				_, body, _ := bytes.Cut(got[0], []byte("\r\n\r\n"))
				after := ""
				if i := bytes.LastIndex(body, []byte("\r\n0\r\n")); i >= 0 {
					after = strings.TrimSpace(string(body[i+5:]))
				}
				if after != c.want || !bytes.Contains(body, []byte("body")) {
					t.Errorf("%s %s %+v: trailers %q of %q", proto, path, c, after, body)
				}
			}
		}
	}
}
