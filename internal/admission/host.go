package admission

import "strings"

// canonicalHost reads a Host header in the one form that the table has: lower-cased ASCII letters, digits, dashes and
// dots, without a port and without one final dot.
func canonicalHost(s string) (string, bool) {
	host := s
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host = s[:i]
		if port := s[i+1:]; port != "" {
			n := 0
			for _, c := range []byte(port) {
				if c < '0' || c > '9' || n > 65535 {
					return "", false
				}
				n = n*10 + int(c-'0')
			}
			if n > 65535 {
				return "", false
			}
		}
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > 253 {
		return "", false
	}
	lower := true
	label := 0
	for i := 0; i < len(host); i++ {
		switch c := host[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-':
			label++
		case c >= 'A' && c <= 'Z':
			lower = false
			label++
		case c == '.':
			if label == 0 {
				return "", false
			}
			label = 0
		default:
			return "", false
		}
		if label > 63 {
			return "", false
		}
	}
	if label == 0 {
		return "", false
	}
	if !lower {
		host = strings.ToLower(host)
	}
	return host, true
}

// CanonicalHost is the form of a host name that `tenant host add` stores; ok is false for anything a browser would not
// send.
func CanonicalHost(s string) (string, bool) {
	if strings.ContainsAny(s, ":/@") {
		return "", false
	}
	return canonicalHost(s)
}
