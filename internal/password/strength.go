package password

import (
	"context"
	"strings"

	zxcvbn "github.com/ccojocar/zxcvbn-go"
	"github.com/ccojocar/zxcvbn-go/match"
)

// measured is how much of a password its strength is taken from, in code points. What comes after can only add to it.
const measured = 64

// Strength is how hard a password is to guess, from 0 to 4 as zxcvbn counts, which by its reckoning takes 10^2, 10^4,
// 10^6 and 10^8 seconds at 10,000 guesses a second: 3 stands for 34 bits, 4 for 41. Words of the context count as known.
//
// The library's work grows with the cube of the length and hangs from some hundred characters on, so that the text is cut
// first. Its own search for letters written as digits tries every combination: 64 characters made for it take seconds.
// It is left out, and the text is measured once more as our spellings read it; the weaker reading counts.
//
// Time of Judge for random characters, the slowest there are, by `go test ./internal/password -run '^$' -bench Judge`, on
// two cores that others used too: 0.3 ms for 8 characters, 45 ms for 64, and no more for 128. A phrase takes 1 ms.
func Strength(p Prepared, context []string) int {
	text := []rune(p.text())
	typed := string(text[:min(len(text), measured)])
	known := Policy{Context: context}.words()
	score := 0
	withDictionaries(func() {
		score = zxcvbn.PasswordStrength(typed, known, combinations).Score
		for _, read := range []string{leetI.Replace(strings.ToLower(typed)), leetL.Replace(strings.ToLower(typed))} {
			if score > 0 && read != strings.ToLower(typed) {
				score = min(score, zxcvbn.PasswordStrength(read, known, combinations).Score)
			}
		}
	})
	return score
}

// combinations picks the matcher that is left out.
func combinations(m match.Matcher) bool { return m.ID == "l33t" }

// Judge says whether a password may be set. What costs nothing is asked first; strength takes a slot, as a hash does, so
// that guessing at strength and hashing together stay within one bound (DOS-01). The error is a RuleError for the person,
// or ErrBusy.
func (h *Hasher) Judge(ctx context.Context, r Policy, p Prepared) error {
	if err := r.Check(p); err != nil {
		return err
	}
	if r.Score == 0 {
		return nil
	}
	strength := 0
	if err := h.take(ctx, func() { strength = Strength(p, r.Context) }); err != nil {
		return err
	}
	if strength < r.Score {
		return &RuleError{reasonWeak}
	}
	return nil
}
