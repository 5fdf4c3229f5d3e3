package password

import (
	"context"
	"crypto/sha1" //nolint:gosec // the lists of stolen passwords are kept under it; it protects nothing here
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The reasons, in words for people. Whoever refuses a password, at whatever door, says one of these and nothing else.
const (
	reasonShort    = "Use at least %d characters."
	reasonLong     = "Use at most %d characters."
	reasonNotText  = "Some characters of this password cannot be read. Type it again."
	reasonOne      = "This is one character over and over. Use a phrase that only you know."
	reasonContext  = "This is mostly your name, your address or the company's. Use a phrase that only you know."
	reasonCommon   = "This is a common password. Choose something longer that only you would think of."
	reasonWeak     = "This is easy to guess. Add a few words that only you would put together."
	reasonBreached = "This password is in a list of passwords stolen from other sites. Choose one that you use nowhere else."
	reasonOther    = "Choose another password."
)

// Policy says what may become a password.
type Policy struct {
	Min, Max int      // code points
	Score    int      // the least strength, 0 (any) to 4, as Strength measures it
	Context  []string // words of the person and the tenant that are no secret
}

// RuleError says which rule a password breaks, in words for its owner.
type RuleError struct{ Public string }

// Error is the sentence.
func (e *RuleError) Error() string { return e.Public }

// Breaches is a source that knows passwords stolen elsewhere, by their SHA-1: it never sees one. An error says that it
// could not be asked, or did not answer sensibly; whoever asks takes the password then.
type Breaches interface {
	Breached(ctx context.Context, sum [sha1.Size]byte) (bool, error)
}

// Stolen asks a source about a password. The refusal is ErrBreached; any other error means that it is not known.
func (p Prepared) Stolen(ctx context.Context, source Breaches) error {
	found, err := source.Breached(ctx, sha1.Sum([]byte(p.text())))
	if err == nil && found {
		return ErrBreached
	}
	return err
}

// ErrBreached refuses a password that a source of stolen ones knows.
var ErrBreached error = &RuleError{reasonBreached}

// Check says whether a password may be set, as far as can be told without work worth a slot: length, the words of the
// person and the tenant, the list of common passwords. There are no composition rules (NIST SP 800-63B-4 section
// 3.1.1.2). Hasher.Judge asks this first.
func (r Policy) Check(p Prepared) error {
	n := p.Len()
	switch {
	case n < r.Min:
		return &RuleError{fmt.Sprintf(reasonShort, r.Min)}
	case n > r.Max:
		return &RuleError{fmt.Sprintf(reasonLong, r.Max)}
	}
	typed := strings.ToLower(strings.TrimSpace(p.text()))
	if first, _ := utf8.DecodeRuneInString(typed); strings.Trim(typed, string(first)) == "" {
		return &RuleError{reasonOne}
	}
	if mostly(typed, r.words()) {
		return &RuleError{reasonContext}
	}
	if common(typed) {
		return &RuleError{reasonCommon}
	}
	return nil
}

// words are the context taken apart, in lower case and the longest first in each entry: the whole, and what stands
// between its marks and spaces. Two letters are no word: they are in everything.
func (r Policy) words() []string {
	var out []string
	for _, entry := range r.Context {
		entry = strings.ToLower(strings.TrimSpace(entry))
		local, domain, _ := strings.Cut(entry, "@")
		parts := strings.FieldsFunc(entry, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) })
		for _, w := range append([]string{entry, local, domain, strings.Join(parts, "")}, parts...) {
			if utf8.RuneCountInString(w) >= 3 {
				out = append(out, w)
			}
		}
	}
	return out
}

// mostly says whether a password is words of the context with little else around them: alone, repeated or joined they
// are the first thing guessed.
func mostly(typed string, words []string) bool {
	for _, spelt := range spellings(typed) {
		for _, w := range words {
			if rest := strings.ReplaceAll(spelt, w, ""); len(rest) < len(spelt) && little(rest) {
				return true
			}
		}
		rest := spelt
		for _, w := range words {
			rest = strings.ReplaceAll(rest, w, "")
		}
		if len(rest) < len(spelt) && little(rest) {
			return true
		}
	}
	return false
}

// little is what adds nothing to a word: three characters, or a few digits and marks such as a year.
func little(rest string) bool {
	n := utf8.RuneCountInString(rest)
	return n < 4 || n < 7 && !strings.ContainsFunc(rest, unicode.IsLetter)
}

// Reason is the sentence for the person.
func Reason(err error) string {
	var r *RuleError
	switch {
	case errors.As(err, &r):
		return r.Public
	case errors.Is(err, ErrTooLong):
		return fmt.Sprintf(reasonLong, MaxRunes)
	case errors.Is(err, ErrNotText):
		return reasonNotText
	}
	return reasonOther
}
