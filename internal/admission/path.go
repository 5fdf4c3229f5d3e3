package admission

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/portalgate/portalgate/internal/portal"
)

// maxPath bounds a path, as sent.
const maxPath = 8 << 10

// Pattern is a path in the configuration: exact, or everything below it.
type Pattern struct {
	path  string // without the final "*"
	below bool
}

// ParsePattern reads `/exact` or `/below/*`.
func ParsePattern(s string) (Pattern, error) {
	path, below := strings.CutSuffix(s, "/*")
	if below {
		path += "/"
	}
	switch {
	case !strings.HasPrefix(s, "/"):
		return Pattern{}, fmt.Errorf("%q does not begin with a slash", s)
	case strings.Contains(path, "*"):
		return Pattern{}, fmt.Errorf("%q has a star that is not its last segment; write the exact path, or a prefix ending in /*", s)
	case strings.ContainsAny(path, "?#%\\ ;"):
		return Pattern{}, fmt.Errorf("%q has a character that a pattern cannot have; write the path as it is, without encoding and without a query", s)
	case strings.Contains(path, "//"), strings.Contains(path+"/", "/../"), strings.Contains(path+"/", "/./"):
		return Pattern{}, fmt.Errorf("%q has an empty or a dot segment", s)
	}
	return Pattern{path, below}, nil
}

// opened says whether a path, as sent, is one of those that patterns open: byte for byte, and never more than they say.
func opened(patterns []Pattern, raw string) bool {
	for _, p := range patterns {
		if raw == p.path && !p.below || p.below && len(raw) > len(p.path) && strings.HasPrefix(raw, p.path) {
			return true
		}
	}
	return false
}

// guarded says whether a path, in its widest reading, is one of those that patterns guard. deep makes each pattern
// cover everything below it as well.
func guarded(patterns []Pattern, wide string, deep bool) bool {
	for _, p := range patterns {
		if wide == p.path || (deep || p.below) && below(wide, p.path) {
			return true
		}
	}
	return false
}

// Guard is a path that needs a second step, and how long ago it may have been shown.
type Guard struct {
	Pattern
	Within time.Duration // zero: at any time in the session
}

// GuardingWithin makes guards of patterns, in the wide form that guards use.
func GuardingWithin(patterns []Pattern, within time.Duration) (out []Guard) {
	for _, p := range Guarding(patterns) {
		out = append(out, Guard{p, within})
	}
	return out
}

// second says whether a path needs a second step, and how fresh: of all the guards that it meets the strictest holds.
func second(guards []Guard, wide string) (needed bool, within time.Duration) {
	for _, g := range guards {
		if !guarded([]Pattern{g.Pattern}, wide, false) {
			continue
		}
		needed = true
		if g.Within > 0 && (within == 0 || g.Within < within) {
			within = g.Within
		}
	}
	return needed, within
}

// below says whether a path is another or stands below it.
func below(path, top string) bool {
	return strings.HasPrefix(path, top) && (len(path) == len(top) || path[len(top)] == '/' || top == "/")
}

// Guarding makes patterns compare in the wide form that guards use.
func Guarding(patterns []Pattern) []Pattern {
	out := make([]Pattern, len(patterns))
	for i, p := range patterns {
		out[i] = Pattern{guardForm(p.path), p.below}
	}
	return out
}

// errMisread is made once, since every request asks for its path.
var errMisread = refuse(portal.ProblemRequest, "This address is spelt in a way that could be misread.")

// rawPath is the path exactly as it was sent, and as it will be sent on; a path that means two things is refused
// (PATH-02, appendix C).
func rawPath(r *http.Request) (string, error) {
	bad := errMisread
	target := r.RequestURI
	if i := strings.IndexByte(target, '?'); i >= 0 {
		target = target[:i]
	}
	// Neither `*` nor the absolute form of a target: that one names a host as well, the server then drops the Host
	// header unseen, and nobody can say whether the two agreed (TEN-02). No browser sends it to a portal.
	if target == "" || target[0] != '/' || len(target) > maxPath {
		return "", bad
	}
	// What reverse_proxy sends is the re-encoding of the parsed path; it must be what we judge, byte for byte.
	if r.URL.EscapedPath() != target {
		return "", bad
	}
	// A segment that is a dot or two in any encoding, also to a program that cuts blanks off; a byte that ends a string or
	// a line in some program.
	segment := make([]byte, 0, 8)
	plain := true
	end := func() bool {
		dots := false
		if len(segment) > 0 && segment[0] == '.' {
			trimmed := strings.TrimRight(string(segment), " ")
			dots = trimmed == "." || trimmed == ".."
		}
		segment = segment[:0]
		return !dots
	}
	whole := make([]byte, 0, 256)
	for i := 0; i < len(target); i++ {
		c := target[i]
		if c == '%' {
			if i+2 >= len(target) {
				return "", bad
			}
			hi, lo := unhex(target[i+1]), unhex(target[i+2])
			if hi > 15 || lo > 15 {
				return "", bad
			}
			c = hi<<4 | lo
			i += 2
			plain = false
		}
		switch {
		case c < 0x20, c == 0x7f, c == '\\':
			return "", bad
		case c == '/':
			if !end() {
				return "", bad
			}
		case c == ';':
			// "..;" is a dot segment to servers that cut parameters off first.
			if !end() {
				return "", bad
			}
			segment = append(segment, 'x')
		default:
			if len(segment) < 8 {
				segment = append(segment, c)
			}
		}
		whole = append(whole, c)
	}
	if !end() || !utf8.Valid(whole) {
		return "", bad
	}
	if !plain && strings.Contains(string(whole), "%") {
		// Encoded twice: the next program to decode may find a slash, a dot or a backslash there.
		low := strings.ToLower(string(whole))
		for _, twice := range []string{"%2e", "%2f", "%5c", "%00", "%25", "%0a", "%0d"} {
			if strings.Contains(low, twice) {
				return "", bad
			}
		}
	}
	return target, nil
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

// guardForm is the widest reading of a path, for the rules that guard: decoded once, case folded, slashes collapsed
// and none at the end, matrix parameters cut off, a query or fragment that was encoded cut off, and so are the dots and
// spaces at the end of a name, which some file systems do not see.
func guardForm(raw string) string {
	simple := len(raw) == 1 || raw != "" && raw[len(raw)-1] != '/' && raw[len(raw)-1] != '.'
	for i := 0; i < len(raw) && simple; i++ {
		if c := raw[i]; c == '%' || c == ';' || c >= 'A' && c <= 'Z' || c >= 0x80 || c == '/' && i > 0 && (raw[i-1] == '/' || raw[i-1] == '.') {
			simple = false
		}
	}
	if simple {
		return raw
	}
	path, err := url.PathUnescape(raw)
	if err != nil {
		path = raw
	}
	path = strings.ToLower(path)
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	var b strings.Builder
	for seg := range strings.SplitSeq(path, "/") {
		seg, _, _ = strings.Cut(seg, ";")
		if seg = strings.TrimRight(seg, ". "); seg != "" {
			b.WriteByte('/')
			b.WriteString(seg)
		}
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}
