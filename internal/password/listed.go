package password

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// packed is the list of common passwords; common.NOTICE says where it is from. It has 49,193 lines, of which 17,950 are
// long enough to be set under the default policy, and the shorter ones count where they are repeated or padded.
//
//go:embed common.txt.gz
var packed []byte

// listed is the list with a line end before each line, read when it is first asked for: 390 KB.
var listed = sync.OnceValue(func() string {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		panic("the embedded list of common passwords: " + err.Error())
	}
	b, err := io.ReadAll(z)
	if err != nil {
		panic("the embedded list of common passwords: " + err.Error())
	}
	return "\n" + string(b)
})

// onList looks a text up.
func onList(s string) bool {
	if s == "" || strings.ContainsRune(s, '\n') {
		return false
	}
	list := listed()
	for low, high := 0, len(list)-1; low < high; {
		at := strings.LastIndexByte(list[:(low+high)/2+1], '\n') // begins the line in the middle
		line := list[at+1:]
		line = line[:strings.IndexByte(line, '\n')]
		switch {
		case line == s:
			return true
		case line < s:
			low = at + 1 + len(line)
		default:
			high = at
		}
	}
	return false
}

// common says whether a text in lower case is a common password, or one with what people think hides it: letters written
// as digits and marks, a few of them before or after it, the whole twice or more, the whole backwards.
func common(typed string) bool {
	for _, s := range spellings(typed) {
		for _, bare := range []string{s, trimmed(s)} {
			if onList(bare) || onList(unit(bare)) || onList(reversed(bare)) {
				return true
			}
		}
	}
	return false
}

// leet are the digits and marks that stand for letters where nobody has to explain it. One and its likes are two letters.
var (
	leetI = strings.NewReplacer("4", "a", "@", "a", "3", "e", "0", "o", "$", "s", "5", "s", "7", "t", "+", "t", "1", "i", "!", "i", "|", "i")
	leetL = strings.NewReplacer("4", "a", "@", "a", "3", "e", "0", "o", "$", "s", "5", "s", "7", "t", "+", "t", "1", "l", "!", "l", "|", "l")
)

// spellings are a text and what it says with letters in the place of digits and marks; those at its ends may belong to it
// or not.
func spellings(s string) []string {
	out := []string{s}
	for _, from := range []string{s, trimmed(s)} {
		for _, to := range []string{leetI.Replace(from), leetL.Replace(from)} {
			if to != from && to != out[len(out)-1] {
				out = append(out, to)
			}
		}
	}
	return out
}

// trimmed is a text without up to four characters at each end that are no letters. More of them are a part of their own,
// whose strength is measured.
func trimmed(s string) string {
	for range 4 {
		if c, n := utf8.DecodeLastRuneInString(s); n > 0 && !unicode.IsLetter(c) {
			s = s[:len(s)-n]
		}
		if c, n := utf8.DecodeRuneInString(s); n > 0 && !unicode.IsLetter(c) {
			s = s[n:]
		}
	}
	return s
}

// unit is what a text repeats, or the text.
func unit(s string) string {
	for n := 3; n <= len(s)/2; n++ {
		if len(s)%n == 0 && strings.Repeat(s[:n], len(s)/n) == s {
			return s[:n]
		}
	}
	return s
}

func reversed(s string) string {
	r := []rune(s)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return string(r)
}
