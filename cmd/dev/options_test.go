package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func settingsOf(t *testing.T) *settingsSource {
	t.Helper()
	m, err := readModule(filepath.Join("..", "..", "caddymodule"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEveryOptionSaysWhatItDoesAndItsDefaultAndStandsInTheGrammar(t *testing.T) {
	m := settingsOf(t)
	if err := m.complete(); err != nil {
		t.Error(err)
	}
	n := 0
	for _, s := range m.sections {
		n += len(s.options)
	}
	if n < 30 {
		t.Errorf("only %d options were read", n)
	}
}

func TestTheOptionReferenceIsFresh(t *testing.T) {
	m := settingsOf(t)
	for _, ref := range references {
		text := []byte(read(t, ref.file))
		want, err := between(text, ref.mark, ref.write(m))
		if err != nil {
			t.Errorf("%s: %v", ref.file, err)
		} else if string(want) != string(text) {
			t.Errorf("%s is stale; `go generate ./...` writes it", ref.file)
		}
	}
}

// Every subdirective that a parser reads is in the reference, and every one in the reference is read by a parser.
func TestTheReferenceAndTheParsersKnowTheSameSubdirectives(t *testing.T) {
	written := map[string]map[string]bool{}
	section := ""
	for _, line := range strings.Split(read(t, "docs/configuration.md"), "\n") {
		if title, ok := strings.CutPrefix(line, "### "); ok {
			section = title
			written[section] = map[string]bool{}
		}
		cells := strings.Split(strings.ReplaceAll(line, `\|`, "\x00"), " | ")
		if section == "" || len(cells) != 5 || !strings.HasPrefix(cells[0], "| `") {
			continue
		}
		for _, one := range strings.Split(strings.Trim(cells[0], "|` "), "`, `") {
			var path []string
			for _, w := range strings.Fields(one) {
				if strings.ContainsAny(w, "<\x00") || one == "literal_secrets allow" && w == "allow" || w == "jwt" || section == "Directive `portalgate`" && w == "mfa" {
					break // what follows is an argument
				}
				path = append(path, w)
			}
			written[section][strings.Join(path, " ")] = true
		}
	}
	for _, s := range settingsOf(t).sections {
		for p := range s.names {
			if !written[s.title][p] {
				t.Errorf("%s: %q is read and not in the reference", s.title, p)
			}
		}
		for p := range written[s.title] {
			if !s.names[p] {
				t.Errorf("%s: %q is in the reference, and no parser reads it", s.title, p)
			}
		}
	}
}

func TestAnOptionThatIsNotWholeIsFound(t *testing.T) {
	const whole = `package caddymodule

// App is it.
type App struct {
	// Says something. Default: 1.5s.
	One string ` + "`json:\"one,omitempty\"`" + `
	Two *Below ` + "`json:\"two,omitempty\"`" + ` // TWO
}

// Below is below.
type Below struct {
	// Says more. Required.
	Three int ` + "`json:\"three,omitempty\"`" + `
}

// Handler, Matcher and Permission are empty.
type Handler struct{}
type Matcher struct{}
type Permission struct{}

// parseGlobal reads it.
//
//	portalgate {
//		one <text>
//		two {
//			three <number>
//		}
//	}
func parseGlobal() {}

// nothing
func parseDirective() {}

func (a *App) options() error {
	return block(map[string]option{"one": one(&a.One), "two": func() error {
		a.Two = new(Below)
		return block(map[string]option{"three": number(&a.Two.Three)})
	}})
}
func (h *Handler) options() error { return nil }
func (m *Matcher) UnmarshalCaddyfile() error { return nil }
func (p *Permission) UnmarshalCaddyfile() error { return nil }
`
	var others strings.Builder
	for _, c := range configured {
		if !strings.Contains(whole, "type "+c.structure+" struct") {
			fmt.Fprintf(&others, "type %[1]s struct{}\nfunc (x *%[1]s) UnmarshalCaddyfile() error { return nil }\n", c.structure)
			if c.grammar != "" && !strings.Contains(c.grammar, ".") {
				fmt.Fprintf(&others, "func %s() {}\n", c.grammar)
			}
		}
	}
	documented := strings.Replace(whole, "\tTwo *Below", "\t// Says a third thing. Default: none.\n\tTwo *Below", 1)
	for _, c := range []struct{ name, text, want string }{
		{"a whole one", documented, ""},
		{"no comment", whole, "the comment of two has no sentence"},
		{"no default", strings.Replace(documented, " Default: 1.5s.", "", 1), "the comment of one says neither"},
		{"no sentence", strings.Replace(documented, "Says something. ", "", 1), "the comment of one has no sentence"},
		{"not in the grammar", strings.Replace(documented, "//\t\tone <text>\n", "", 1), `the parser reads "one", which the grammar above it does not have`},
		{"in the grammar only", strings.Replace(documented, "three <number>\n", "three <number>\n//\t\t\tfour <number>\n", 1), `the grammar has "two four", which no parser reads`},
		{"no subdirective", strings.Replace(documented, `"one": one(&a.One), `, "", 1), "one cannot be written in a Caddyfile"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "app.go"), []byte(c.text+others.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := readModule(dir)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		err = m.complete()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if c.want == "" {
			table := m.tables()
			for _, row := range []string{"| `one <text>` | `one` | text | 1.5s | Says something. |", "| `two three <number>` | `two.three` | whole number | required | Says more. |"} {
				if !strings.Contains(table, row) {
					t.Errorf("the table has no row %s:\n%s", row, table)
				}
			}
		}
	}
}
