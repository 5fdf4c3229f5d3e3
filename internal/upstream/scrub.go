// Package upstream owns the contract with the ERP: what a client may not say to it, what we tell it, and what it may
// not say to a browser.
//
// It refuses headers that could pose as ours in any spelling, trailers that could carry them in late, and `Connection`
// lines that could take them out again after we have set them. When it cannot say who is asking, it returns an error
// and nothing is forwarded.
package upstream

import (
	"io"
	"net/http"
	"strings"
)

// Prefix is how the names of identity headers begin, reduced to letters and digits: the class that all programs
// agree on. Some servers read a dash, an underscore and a dot as the same (GHSA-49wc-4hcv-v58q).
type Prefix struct {
	header string // as configured, canonical
	folded string
}

// NewPrefix reduces a header prefix.
func NewPrefix(s string) Prefix {
	return Prefix{http.CanonicalHeaderKey(s), fold(s)}
}

func fold(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			b.WriteByte(c)
		case c >= 'A' && c <= 'Z':
			b.WriteByte(c + 'a' - 'A')
		}
	}
	return b.String()
}

// Ours says whether a name reads as one of ours in any spelling, without allocating.
func (p Prefix) Ours(name string) bool {
	j := 0
	for i := 0; i < len(name) && j < len(p.folded); i++ {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		default:
			continue
		}
		if c != p.folded[j] {
			return false
		}
		j++
	}
	return j == len(p.folded)
}

// Scrub removes every header, trailer and Connection token of a request that could pose as ours. It is the first act
// on every request, in every tenant mode, whatever follows (HDR-01).
func (p Prefix) Scrub(r *http.Request) {
	for name := range r.Header {
		if p.Ours(name) {
			delete(r.Header, name)
		}
	}
	if lines := r.Header["Connection"]; len(lines) > 0 {
		r.Header["Connection"] = tokens(lines, func(t string) bool { return !p.Ours(t) })
		if len(r.Header["Connection"]) == 0 {
			delete(r.Header, "Connection")
		}
	}
	if r.Trailer != nil {
		p.trailers(r)
	}
}

// tokens keeps the tokens of a list header that pass.
func tokens(lines []string, keep func(string) bool) []string {
	changed := false
	var kept []string
	for _, line := range lines {
		for t := range strings.SplitSeq(line, ",") {
			t = strings.Trim(t, " \t")
			if t != "" && keep(t) {
				kept = append(kept, t)
			} else {
				changed = true
			}
		}
	}
	if !changed {
		return lines
	}
	if len(kept) == 0 {
		return nil
	}
	return []string{strings.Join(kept, ", ")}
}

// trailers lets only declared trailers through that are not ours. The server fills the map it gave us when the body
// ends, with undeclared names as well; so what is forwarded is a map of our own, filled with what was declared.
func (p Prefix) trailers(r *http.Request) {
	from := r.Trailer
	to := make(http.Header, len(from))
	for name := range from {
		if !p.Ours(name) {
			to[name] = nil
		}
	}
	r.Header.Del("Trailer")
	if len(to) == 0 {
		// Nothing is declared towards the upstream, and then the transport sends no trailer at all.
		r.Trailer = nil
		return
	}
	r.Trailer = to
	r.Body = &trailingBody{r.Body, from, to}
}

type trailingBody struct {
	io.ReadCloser
	from, to http.Header
}

func (b *trailingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		for name := range b.to {
			b.to[name] = b.from[name]
		}
	}
	return n, err
}
