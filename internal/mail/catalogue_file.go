package mail

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText is the longest text of a catalogue, in bytes: a paragraph, not a page.
const maxText = 1000

// readCatalogue reads a language's file: an object of sections, each an object of texts, each a string or a list of
// strings. Every complaint names the line.
func readCatalogue(file string, b []byte) (map[string]text, error) {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	r := &reader{file: file, b: b, d: json.NewDecoder(bytes.NewReader(b)), out: map[string]text{}}
	for n, line := range bytes.Split(b, []byte("\n")) {
		if !utf8.Valid(line) {
			return nil, fmt.Errorf("%s:%d: is not UTF-8; save the file in that encoding", file, n+1)
		}
	}
	if err := r.sections(); err != nil {
		return nil, err
	}
	return r.out, nil
}

// reader walks through a file token by token, because the decoder of whole values forgets lines, and takes the last of
// two values with one name.
type reader struct {
	file string
	b    []byte
	d    *json.Decoder
	out  map[string]text
}

func (r *reader) line() int {
	return 1 + bytes.Count(r.b[:min(int(r.d.InputOffset()), len(r.b))], []byte("\n"))
}

func (r *reader) wrong(format string, a ...any) error {
	return fmt.Errorf("%s:%d: "+format, append([]any{r.file, r.line()}, a...)...)
}

func (r *reader) token() (json.Token, error) {
	t, err := r.d.Token()
	if err == nil {
		return t, nil
	}
	var syntax *json.SyntaxError
	line := r.line()
	if errors.As(err, &syntax) {
		line = 1 + bytes.Count(r.b[:min(int(syntax.Offset), len(r.b))], []byte("\n"))
	}
	return nil, fmt.Errorf("%s:%d: is not JSON (%w); look for a comma, a quote or a brace that is missing or too many, here or in the line above", r.file, line, err)
}

func (r *reader) opens(what string) error {
	t, err := r.token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return r.wrong("%s is an object in braces", what)
	}
	return nil
}

func (r *reader) sections() error {
	if err := r.opens("a language's file"); err != nil {
		return err
	}
	seen := map[string]bool{}
	for r.d.More() {
		t, err := r.token()
		if err != nil {
			return err
		}
		section, _ := t.(string) // the decoder lets nothing else stand before a colon
		if seen[section] {
			return r.wrong("there is a second section %q; make one of them", section)
		}
		seen[section] = true
		if err := r.opens("section " + section); err != nil {
			return err
		}
		for r.d.More() {
			if err := r.entry(section); err != nil {
				return err
			}
		}
		if _, err := r.token(); err != nil {
			return err
		}
	}
	if _, err := r.token(); err != nil {
		return err
	}
	if r.d.More() {
		return r.wrong("there is something behind the last brace; take it out")
	}
	return nil
}

func (r *reader) entry(section string) error {
	t, err := r.token()
	if err != nil {
		return err
	}
	name, _ := t.(string)
	key := section + "." + name
	if _, twice := r.out[key]; twice {
		return r.wrong("there is a second text %s; take one of them out", key)
	}
	e := text{line: r.line()}
	if t, err = r.token(); err != nil {
		return err
	}
	switch v := t.(type) {
	case string:
		e.say = []string{v}
	case json.Delim:
		if v != '[' {
			return r.wrong("%s is a text or a list of texts", key)
		}
		for r.d.More() {
			if t, err = r.token(); err != nil {
				return err
			}
			s, ok := t.(string)
			if !ok {
				return r.wrong("%s is a list of texts, and this is none: put it in quotes", key)
			}
			e.say = append(e.say, s)
		}
		if _, err = r.token(); err != nil {
			return err
		}
	default:
		return r.wrong("%s is a text or a list of texts; put it in quotes", key)
	}
	if len(e.say) == 0 {
		return r.wrong("%s says nothing; write a text", key)
	}
	r.out[key] = e
	return nil
}

var (
	placeholder = regexp.MustCompile(`\{([a-z]+)\}`)
	linkish     = regexp.MustCompile(`(?i)://|\bwww\.|mailto:|[a-z0-9]\.(?:com|net|org|de|io|example)\b`)
)

// placeholders are the names between braces in a text, each once, in order of the alphabet.
func placeholders(say []string) (out []string) {
	for _, s := range say {
		out = append(out, placeholder.FindAllString(s, -1)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// judge looks at each text of a file: is it known, does it say no more and no less than the English one, is it only
// words.
func judge(file string, texts map[string]text, english *catalogue) error {
	var wrong []error
	for key, t := range texts {
		say := func(format string, a ...any) {
			wrong = append(wrong, fmt.Errorf("%s:%d: %s "+format, append([]any{file, t.line, key}, a...)...))
		}
		for _, s := range t.say {
			switch {
			case strings.TrimSpace(s) == "" || strings.TrimSpace(s) != s:
				say("is empty, or begins or ends with a space; take the space away")
			case len(s) > maxText:
				say("is longer than %d bytes; make several paragraphs of it", maxText)
			case strings.ContainsFunc(s, unicode.IsControl):
				say("has a line break or a control character; make several paragraphs of it")
			case strings.ContainsAny(s, "<>"):
				say("has a < or >; texts are words, and what they look like is in layout.html")
			case linkish.MatchString(s):
				say("has an address in it; the only links of a mail are those that the gate makes")
			case strings.ContainsAny(placeholder.ReplaceAllString(s, ""), "{}"):
				say("has a brace that belongs to no placeholder; a placeholder is written like {portal}")
			}
		}
		if english == nil {
			continue
		}
		like := english.like(key)
		if like == "" {
			say("is not a text of any mail; take it out, or compare its name with en.json")
			continue
		}
		if strings.HasPrefix(key, sectionZones+".") {
			continue
		}
		want, got := placeholders(english.texts[like].say), placeholders(t.say)
		for _, p := range got {
			if !slices.Contains(want, p) {
				say("has %s, which is not known there; it may have: %s", p, orNone(want))
			}
		}
		for _, p := range want {
			if !slices.Contains(got, p) && !strings.HasPrefix(key, sectionDuration+".") {
				say("lacks %s, which the English text has; put it in", p)
			}
		}
		if key == "date.months" && len(t.say) != 12 {
			say("has %d names and not 12", len(t.say))
		}
	}
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(wrong...)
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, " ")
}
