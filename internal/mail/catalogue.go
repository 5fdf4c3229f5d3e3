package mail

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"

	"github.com/portalgate/portalgate/internal/portal"
)

// catalogue is everything that mails say in one language. A key is a section and a name, as in recover.subject.
type catalogue struct {
	file  string
	tag   language.Tag
	code  string // of the language, as in Content-Language
	rtl   bool
	texts map[string]text
}

// text is what a file says under one key. What it means that it says several things depends on the key: of a subject,
// a heading, a preheader and a greeting the first holds for which every placeholder has something to say; of
// paragraphs all hold, but for those with a placeholder that has nothing to say.
type text struct {
	say  []string
	line int // in the file
}

// The sections besides those that are called like a kind of letter.
const (
	sectionZones    = "zones"    // abbreviations of time zones that have another name in this language
	sectionDuration = "duration" // a unit and a plural form of CLDR, as in hours_few
)

// kindRule says what a letter must be given.
type kindRule struct {
	kind portal.LetterKind
	link bool // it has no sense without one
	says string
}

// rules are in the order in which people read about them.
var rules = []kindRule{
	{portal.LetterVerify, true, "confirm the address you have registered with"},
	{portal.LetterKnown, false, "somebody registered with your address, and you have an account"},
	{portal.LetterInvite, true, "an operator has made an account for you"},
	{portal.LetterRecover, true, "choose a new password"},
	{portal.LetterReopen, true, "choose a new password: the old one was shut because its owner said that it was not them"},
	{portal.LetterNewAddress, true, "to the new address: confirm it"},
	{portal.LetterOldAddress, true, "to the old address: it was changed, and the way back"},
	{portal.LetterUndone, false, "to the address that an undo takes the account from: notice"},
	{portal.LetterPassword, false, "notice: your password was changed"},
	{portal.LetterReset, false, "notice: a new password was chosen with a mailed link"},
	{portal.LetterNewDevice, false, "notice: a sign-in on a new device or from a new place"},
	{portal.LetterAfterFailures, false, "notice: a sign-in after many failures"},
	{portal.LetterPaused, true, "sign-in rests; a link that lets this browser try now"},
	{portal.LetterCopied, false, "notice: a copied sign-in was stopped"},
	{portal.LetterFactor, false, "notice: a second step was added, removed or made anew"},
	{portal.LetterWrongFactor, false, "notice: the right password and a wrong second step"},
	{portal.LetterCode, false, "a code for the browser that asked"},
	{portal.LetterRecovery, true, "an operator has begun a recovery; the link stops it"},
	{portal.LetterRecoveryDone, false, "notice: an operator's recovery is done"},
	{portal.LetterTest, false, "does mail arrive?"},
}

// Kind is a letter that the press can print.
type Kind struct {
	Name portal.LetterKind
	Says string // what it is for, for operators
}

// Kinds are all letters that the press can print.
func Kinds() (out []Kind) {
	for _, r := range rules {
		out = append(out, Kind{r.kind, r.says})
	}
	return out
}

func ruleOf(k portal.LetterKind) (kindRule, bool) {
	i := slices.IndexFunc(rules, func(r kindRule) bool { return r.kind == k })
	if i < 0 {
		return kindRule{}, false
	}
	return rules[i], true
}

// rightToLeft are the scripts that run from right to left.
var rightToLeft = []string{"Adlm", "Arab", "Aran", "Hebr", "Mand", "Mend", "Nkoo", "Rohg", "Samr", "Syrc", "Thaa"}

// newCatalogue judges the texts of a file against those in English, which is whole by test.
func newCatalogue(file, code string, texts map[string]text, english *catalogue) (*catalogue, error) {
	tag, err := language.Parse(code)
	if err != nil || code != tag.String() {
		return nil, fmt.Errorf("%s: a language's file is called like its tag, as de.json or pt-BR.json; %q is none that is known", file, code)
	}
	script, _ := tag.Script()
	c := &catalogue{file: file, tag: tag, code: code, rtl: slices.Contains(rightToLeft, script.String()), texts: texts}
	if english == nil {
		return c, nil
	}
	var missing []string
	for key := range english.texts {
		if _, ok := texts[key]; !ok && english.needs(key) {
			missing = append(missing, key)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		more := ""
		if len(missing) > 8 {
			more = fmt.Sprintf(", and %d more", len(missing)-8)
			missing = missing[:8]
		}
		return nil, fmt.Errorf("%s: these texts are missing: %s%s; en.json has them all, copy them from there", file, strings.Join(missing, ", "), more)
	}
	return c, nil
}

// needs says whether another language must have a key of the English one.
func (c *catalogue) needs(key string) bool {
	section, name, _ := strings.Cut(key, ".")
	switch section {
	case sectionZones:
		return false
	case sectionDuration:
		return strings.HasSuffix(name, "_other")
	}
	return true
}

// like is the key of the English catalogue that a key of another must be like; empty when there is none.
func (c *catalogue) like(key string) string {
	section, name, _ := strings.Cut(key, ".")
	switch section {
	case sectionZones:
		return key
	case sectionDuration:
		unit, form, _ := strings.Cut(name, "_")
		if !slices.Contains([]string{"zero", "one", "two", "few", "many", "other"}, form) {
			return ""
		}
		key = section + "." + unit + "_other"
	}
	if _, ok := c.texts[key]; !ok {
		return ""
	}
	return key
}

// each are the texts under a key.
func (c *catalogue) each(section, name string) []string { return c.texts[section+"."+name].say }

func (c *catalogue) one(section, name string) string {
	if say := c.each(section, name); len(say) > 0 {
		return say[0]
	}
	return ""
}

// piece is a part of a sentence: words of the catalogue, or data.
type piece struct {
	Text     string
	Data     bool
	isolated bool // it may run the other way than the sentence
}

// phrase is a sentence.
type phrase []piece

// worded are placeholders whose data is made of the catalogue's own words.
var worded = []string{"time", "until", "valid"}

// fill puts data where the placeholders are. It goes through the text once, so data with braces is data. It is false
// when a placeholder has nothing to say.
func (c *catalogue) fill(s string, data map[string]string) (phrase, bool) {
	var out phrase
	for s != "" {
		before, rest, found := strings.Cut(s, "{")
		if before != "" {
			out = append(out, piece{Text: before})
		}
		if !found {
			break
		}
		name, after, _ := strings.Cut(rest, "}")
		v := data[name]
		if v == "" {
			return nil, false
		}
		if slices.Contains(worded, name) {
			out = append(out, piece{Text: v})
		} else {
			out = append(out, c.datum(v))
		}
		s = after
	}
	return out, true
}

func (c *catalogue) datum(s string) piece {
	return piece{Text: s, Data: true, isolated: c.rtl || strings.ContainsFunc(s, runsLeft)}
}

// first is the first of several texts that can be said with this data.
func (c *catalogue) first(section, name string, data map[string]string) phrase {
	for _, s := range c.each(section, name) {
		if p, ok := c.fill(s, data); ok {
			return p
		}
	}
	return nil
}

// all are the texts that can be said with this data.
func (c *catalogue) all(section, name string, data map[string]string) (out []phrase) {
	for _, s := range c.each(section, name) {
		if p, ok := c.fill(s, data); ok {
			out = append(out, p)
		}
	}
	return out
}

// isolates keep data that may run the other way from turning the sentence round (UAX 9).
const firstStrongIsolate, popIsolate = "\u2068", "\u2069"

// String is a sentence as text. Data is isolated where that may matter, and only there: not every program that shows
// mail knows the signs.
func (p phrase) String() string {
	var b strings.Builder
	for _, x := range p {
		if x.isolated {
			b.WriteString(firstStrongIsolate + x.Text + popIsolate)
			continue
		}
		b.WriteString(x.Text)
	}
	return b.String()
}

func runsLeft(r rune) bool {
	return unicode.In(r, unicode.Arabic, unicode.Hebrew, unicode.Syriac, unicode.Thaana, unicode.Nko, unicode.Adlam)
}

// forms are the names of CLDR's plural forms.
var forms = map[plural.Form]string{plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many", plural.Other: "other"}

// count says a number of units, in the plural form that the language has for it.
func (c *catalogue) count(unit string, n int) string {
	say := c.one(sectionDuration, unit+"_"+forms[plural.Cardinal.MatchPlural(c.tag, n, 0, 0, 0, 0)])
	if say == "" {
		say = c.one(sectionDuration, unit+"_other")
	}
	return strings.ReplaceAll(say, "{n}", strconv.Itoa(n))
}

// over are the texts of this catalogue, with others in the place of its own.
func (c *catalogue) over(texts map[string]text) map[string]text {
	out := maps.Clone(c.texts)
	maps.Copy(out, texts)
	return out
}
