package mail

import (
	"strings"

	"golang.org/x/text/language"
)

// PseudoLanguage is the tag of a language that nobody speaks: English, shown from right to left. It is for looking at
// the layout before there is a translation into a language that runs so, and is chosen only by its exact name.
const PseudoLanguage = "ar-XB"

const rightToLeftOverride, popDirection = "\u202e", "\u202c"

// pseudo makes the language out of English: each word is turned round, placeholders stay.
func pseudo(english *catalogue) *catalogue {
	c := &catalogue{file: "(made from " + english.file + ")", tag: language.MustParse(PseudoLanguage), code: PseudoLanguage, rtl: true, texts: map[string]text{}}
	for key, t := range english.texts {
		turned := text{line: t.line}
		for _, s := range t.say {
			words := strings.Split(s, " ")
			for i, w := range words {
				var b strings.Builder
				rest := w
				for _, at := range placeholder.FindAllStringIndex(w, -1) {
					b.WriteString(turn(w[len(w)-len(rest) : at[0]]))
					b.WriteString(w[at[0]:at[1]])
					rest = w[at[1]:]
				}
				words[i] = b.String() + turn(rest)
			}
			turned.say = append(turned.say, strings.Join(words, " "))
		}
		c.texts[key] = turned
	}
	return c
}

// turn shows letters from right to left, and leaves marks alone, which the direction of the line takes care of.
func turn(s string) string {
	core := strings.Trim(s, ".,:;?()")
	if core == "" {
		return s
	}
	before, after, _ := strings.Cut(s, core)
	return before + rightToLeftOverride + core + popDirection + after
}
