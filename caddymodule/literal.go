package caddymodule

import (
	"regexp"
	"strings"
)

// What is read when the program starts, and is a name only in the configuration.
var placeholder = regexp.MustCompile(`\{(env|file)\.[^{}]+\}`)

// named stands for a placeholder while a value is looked at: it may have slashes and colons of its own.
const named = "\x00"

// literal says whether a secret, or a part of it, was written out rather than named by a run-time placeholder.
func literal(s string) bool { return strings.Trim(placeholder.ReplaceAllString(s, named), named) != "" }

// An address has a password as URL (user:password@host) or as a word of its own (password=…).
var (
	passwordInURL   = regexp.MustCompile(`://[^/@:?#]*:([^/?#]*)@`)
	passwordInWords = regexp.MustCompile(`(?i)\b(?:ssl)?password\s*=\s*('[^']*'|[^\s&]+)`)
)

// literalPassword says whether an address has a password written out.
func literalPassword(s string) bool {
	s = placeholder.ReplaceAllString(s, named)
	for _, form := range []*regexp.Regexp{passwordInURL, passwordInWords} {
		if m := form.FindStringSubmatch(s); m != nil && literal(m[1]) {
			return true
		}
	}
	return false
}
