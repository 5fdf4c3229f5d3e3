package upstream

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/portalgate/portalgate/internal/session"
)

// Shield is the answer on its way back: the upstream can neither set nor delete our cookies, say our headers to the
// browser, nor allow other origins; a renewal's cookies are added to its first final header.
type Shield struct {
	http.ResponseWriter
	prefix  Prefix
	cookies []string  // our Set-Cookie lines, or none
	header  func(int) // told the status before the header leaves; may be nil
	sent    bool
	written http.Header // what was sent, and where trailers are put afterwards
	lines   int         // of written when it was sent; -1: trailers were announced
}

// Shield wraps a response writer.
func (p Prefix) Shield(w http.ResponseWriter, cookies []string, header func(status int)) Shield {
	return Shield{ResponseWriter: w, prefix: p, cookies: cookies, header: header}
}

// WriteHeader judges the header once, when it is final. 1xx answers carry nothing of ours.
func (s *Shield) WriteHeader(status int) {
	if s.sent {
		s.ResponseWriter.WriteHeader(status)
		return
	}
	h := s.ResponseWriter.Header()
	s.clean(h)
	if status >= 200 || status == http.StatusSwitchingProtocols {
		s.sent = true
		// A 304 updates a stored answer's headers: a cookie there would be somebody's session in a cache.
		if len(s.cookies) > 0 && status != http.StatusNotModified && status != http.StatusSwitchingProtocols {
			h["Set-Cookie"] = append(h["Set-Cookie"], s.cookies...)
			h["Cache-Control"] = []string{"no-store"}
		}
		if s.header != nil {
			s.header(status)
		}
		if s.written, s.lines = h, len(h); len(h["Trailer"]) > 0 {
			s.lines = -1
		}
	}
	s.ResponseWriter.WriteHeader(status)
}

func (s *Shield) clean(h http.Header) {
	for name, values := range h {
		if name == "Set-Cookie" {
			kept := values[:0]
			for _, v := range values {
				if !session.Ours(v) {
					kept = append(kept, v)
				}
			}
			if len(kept) == 0 {
				delete(h, name)
			} else {
				h[name] = kept
			}
			continue
		}
		if s.kept(name) {
			delete(h, name)
		}
	}
	if lines := h["Trailer"]; len(lines) > 0 {
		if h["Trailer"] = tokens(lines, func(t string) bool { return !s.never(t) }); len(h["Trailer"]) == 0 {
			delete(h, "Trailer")
		}
	}
}

// kept says whether a header is kept from the browser: it would open this origin to others, clear its cookies, ours
// among them, or speak in our name.
func (s *Shield) kept(name string) bool {
	return strings.HasPrefix(name, "Access-Control-") || name == "Clear-Site-Data" || s.prefix.Ours(name)
}

// never says the same of a trailer, where a cookie has no business either.
func (s *Shield) never(name string) bool {
	name = http.CanonicalHeaderKey(name)
	return s.kept(name) || name == "Set-Cookie"
}

// End judges the trailers, which the upstream sends after everything else. It is called when the answer is complete.
// Where none was announced and none added it asks for nothing: net/http copies a header that is asked for before it has
// left.
func (s *Shield) End() {
	if len(s.written) == s.lines {
		return
	}
	h := s.ResponseWriter.Header()
	for name := range h {
		if s.never(strings.TrimPrefix(name, http.TrailerPrefix)) {
			delete(h, name)
		}
	}
}

// Write sends the header first, as net/http would.
func (s *Shield) Write(b []byte) (int, error) {
	if !s.sent {
		s.WriteHeader(http.StatusOK)
	}
	return s.ResponseWriter.Write(b)
}

// ReadFrom keeps the server's quick way from socket to socket.
func (s *Shield) ReadFrom(r io.Reader) (int64, error) {
	if !s.sent {
		s.WriteHeader(http.StatusOK)
	}
	return io.Copy(s.ResponseWriter, r)
}

// Flush sends what there is.
func (s *Shield) Flush() {
	if !s.sent {
		s.WriteHeader(http.StatusOK)
	}
	_ = http.NewResponseController(s.ResponseWriter).Flush() // a writer that cannot flush sends at its end
}

// Hijack hands the connection over, for WebSockets.
func (s *Shield) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(s.ResponseWriter).Hijack()
}

// Unwrap is how http.ResponseController finds the rest.
func (s *Shield) Unwrap() http.ResponseWriter { return s.ResponseWriter }

var (
	_ http.ResponseWriter = (*Shield)(nil)
	_ http.Flusher        = (*Shield)(nil)
	_ http.Hijacker       = (*Shield)(nil)
	_ io.ReaderFrom       = (*Shield)(nil)
)
