package mail

import (
	"bytes"
	"errors"
	"fmt"
	html "html/template"
	"regexp"
	"strings"
	"text/template"
	"unicode"

	"golang.org/x/text/width"
)

// The two layouts. They hold no words: those are the catalogues'.
const (
	layoutHTML = "layout.html"
	layoutText = "layout.txt"
)

// sheet is all that a layout may show. It holds what has been judged already: a layout decides how it looks.
type sheet struct {
	Language   string // its tag
	Direction  string // ltr or rtl
	Start, End string // the sides of a line: left and right, or right and left
	Subject    string
	Portal     string // the tenant's name
	Preheader  phrase
	Heading    phrase
	Greeting   phrase
	Paragraphs []phrase
	Code       string

	Button   phrase
	URL      string // what the button is for; empty: the mail has none
	CopyLink phrase // that the address stands below, for whom the button does nothing
	Valid    phrase // how long the link holds

	Details    phrase // the heading of the facts
	Facts      []fact
	Afterwards []phrase // what to do if it was not you, and what not to do

	NotMe       phrase // before the button
	NotMeLink   phrase // before the bare address
	NotMeButton phrase
	NotMeURL    string

	Footer      []phrase
	Light, Dark scheme
}

type fact struct{ Label, Value phrase }

// pressed is a button with the sheet that it is on.
type pressed struct {
	Sheet *sheet
	Label phrase
	URL   string
}

func parseHTML(b []byte) (*html.Template, error) {
	t, err := html.New(layoutHTML).Funcs(html.FuncMap{
		"button": func(s *sheet, label phrase, url string) pressed { return pressed{s, label, url} },
	}).Parse(string(b))
	if err != nil {
		return nil, misprint(err)
	}
	return t, nil
}

func parseText(b []byte) (*template.Template, error) {
	t, err := template.New(layoutText).Funcs(template.FuncMap{
		"wrap":  func(p phrase) string { return wrap(p.String(), "", "") },
		"table": table,
	}).Parse(string(b))
	if err != nil {
		return nil, misprint(err)
	}
	return t, nil
}

// misprint makes an error of the template packages one that begins with file and line.
func misprint(err error) error {
	return errors.New(strings.TrimPrefix(strings.TrimPrefix(err.Error(), "html/"), "template: ") + "; compare it with the layout that is built in")
}

// foreign is what no layout may hold: it would load something, run something, or lead somewhere else.
var foreign = regexp.MustCompile(`(?i)https?:|javascript:|data:|\bsrc|\bbackground=|url\(|@import|<\s*(?:script|link|img|image|svg|form|iframe|object|embed|base|video|audio)\b`)

// own judges a layout's own text.
func own(file string, b []byte) error {
	for n, line := range bytes.Split(b, []byte("\n")) {
		if m := foreign.Find(line); m != nil {
			return fmt.Errorf("%s:%d: has %q; a mail loads nothing and leads nowhere but to the portal: take it out", file, n+1, m)
		}
	}
	return nil
}

var gaps = regexp.MustCompile(`\n{3,}`)

// set puts a sheet into both layouts.
func (p *Press) set(s *sheet) (text, page string, err error) {
	var b bytes.Buffer
	if err := p.text.Execute(&b, s); err != nil {
		return "", "", misprint(err)
	}
	text = strings.TrimSpace(gaps.ReplaceAllString(b.String(), "\n\n")) + "\n"
	b.Reset()
	if err := p.html.Execute(&b, s); err != nil {
		return "", "", misprint(err)
	}
	return text, strings.TrimSpace(b.String()) + "\n", nil
}

// columns is how wide a text mail is (RFC 3676 section 4.2 has 78 as the most).
const columns = 72

// wrap breaks a paragraph into lines. A word that is longer than a line, as in languages without spaces, is broken too.
func wrap(s, first, rest string) string {
	var b strings.Builder
	b.WriteString(first)
	at, begun := wide(first), false
	for _, w := range strings.Split(s, " ") {
		n := wide(w)
		switch {
		case begun && at+1+n <= columns:
			b.WriteByte(' ')
			at++
		case begun:
			b.WriteString("\n" + rest)
			at = wide(rest)
		}
		for _, r := range w {
			if wr := wideRune(r); at+wr > columns {
				b.WriteString("\n" + rest)
				at = wide(rest)
			}
			b.WriteRune(r)
			at += wideRune(r)
		}
		begun = true
	}
	return b.String()
}

// table writes facts below each other, their values in a column.
func table(facts []fact) string {
	most := 0
	for _, f := range facts {
		most = max(most, wide(f.Label.String()))
	}
	var lines []string
	for _, f := range facts {
		label := f.Label.String()
		gap := strings.Repeat(" ", most-wide(label)+2)
		lines = append(lines, wrap(f.Value.String(), "  "+label+":"+gap, strings.Repeat(" ", most+5)))
	}
	return strings.Join(lines, "\n")
}

func wide(s string) (n int) {
	for _, r := range s {
		n += wideRune(r)
	}
	return n
}

// wideRune is how many columns a character takes where all are equally wide.
func wideRune(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
		return 2
	}
	return 1
}
