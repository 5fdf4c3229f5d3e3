package factor

import (
	"strings"
	"unicode"
)

// longest is how much of a typed answer is looked at: more is no code, however it is spaced.
const longest = 256

// fold brings a typed code to one spelling: decimal digits of any script become ASCII, letters capital, and what people
// and pages put between and around them goes: spaces, dashes, marks of writing direction. What cannot be part of a code
// stays, so that it is refused.
func fold(answer string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < 0x80 && unicode.IsDigit(r):
			return r
		case unicode.IsSpace(r), unicode.Is(unicode.Pd, r), unicode.Is(unicode.Cf, r):
			return -1
		case unicode.Is(unicode.Nd, r):
			return '0' + decimal(r)
		}
		return unicode.ToUpper(r)
	}, answer)
}

// decimal is the value of a decimal digit. Unicode lists them in runs of whole tens, each beginning with a zero.
func decimal(r rune) rune {
	for _, run := range unicode.Nd.R16 {
		if r >= rune(run.Lo) && r <= rune(run.Hi) {
			return (r - rune(run.Lo)) % 10
		}
	}
	for _, run := range unicode.Nd.R32 {
		if r >= rune(run.Lo) && r <= rune(run.Hi) {
			return (r - rune(run.Lo)) % 10
		}
	}
	return -1
}

// digits reads a code of exactly n digits, as somebody typed it (TOTP-03).
func digits(answer string, n int) (string, error) {
	if len(answer) > longest {
		return "", ErrInput
	}
	code := fold(answer)
	if len(code) != n || strings.Trim(code, "0123456789") != "" {
		return "", ErrInput
	}
	return code, nil
}
