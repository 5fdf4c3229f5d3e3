package portal

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// maxReturn bounds a return path.
const maxReturn = 2048

// ReturnTo says where a person may be sent after signing in: a path of the same origin, with its query, or "/". It is
// checked when it comes in and again when it is used (OR-01). Browsers read a backslash as a slash and drop tabs and
// line ends before they look, so anything that could be read as a second slash at the start, in any encoding, or
// that holds such a byte anywhere, is not a path.
func ReturnTo(raw string) string {
	if raw == "" || len(raw) > maxReturn || raw[0] != '/' || !utf8.ValidString(raw) {
		return "/"
	}
	for text, round := raw, 0; ; round++ {
		if strings.HasPrefix(text, "//") || !clean(text) {
			return "/"
		}
		path, _, _ := strings.Cut(text, "?")
		next, err := url.PathUnescape(path)
		if err != nil {
			return "/"
		}
		if next == path {
			break
		}
		if round == 3 { // encoded over and over: nobody's address looks like this
			return "/"
		}
		text = next
	}
	u, err := url.Parse(raw)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || u.Opaque != "" {
		return "/"
	}
	for _, seg := range strings.Split(u.Path, "/") {
		if seg == "." || seg == ".." || strings.HasPrefix(seg, "..;") {
			return "/"
		}
	}
	u.Fragment, u.RawFragment = "", ""
	if out := u.String(); strings.HasPrefix(out, "/") && !strings.HasPrefix(out, "//") {
		return out
	}
	return "/"
}

// clean refuses what a browser would read as something else than a path: control bytes, backslashes, spaces.
func clean(s string) bool {
	if len(s) > 1 && (s[1] == ' ' || s[1] == '/' || s[1] == '\\') {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == 0x7f || c == '\\' {
			return false
		}
	}
	return true
}
