package factor

import (
	"strings"
	"unicode"
)

// readNumber reads a telephone number as people write it, and spells it as the networks do (E.164): a plus, the country,
// the number. One without its country is refused: which country was meant is a guess, and a code would go to a stranger.
func readNumber(typed string) (string, error) {
	if len(typed) > longest {
		return "", ErrContact
	}
	s := strings.Map(func(r rune) rune {
		switch {
		case r == '+', r == '\uff0b':
			return '+'
		case r == '(', r == ')', r == '.', r == '/':
			return -1
		case unicode.IsSpace(r), unicode.Is(unicode.Pd, r), unicode.Is(unicode.Cf, r):
			return -1
		case unicode.Is(unicode.Nd, r):
			return '0' + decimal(r)
		}
		return r
	}, strings.Replace(typed, "(0)", "", 1)) // +49 (0)151: the zero is for callers at home
	number, ok := strings.CutPrefix(s, "+")
	if !ok {
		number, ok = strings.CutPrefix(s, "00")
	}
	if !ok || len(number) < 8 || len(number) > 15 || strings.Trim(number, "0123456789") != "" || number[0] == '0' {
		return "", ErrContact
	}
	return "+" + number, nil
}

// maskNumber is a number as it may be shown to somebody who has only proved a password.
func maskNumber(number string) string { return "••• " + number[max(0, len(number)-3):] }
