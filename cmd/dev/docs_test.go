package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/testenv"
)

var (
	link    = regexp.MustCompile(`!?\[[^\]]*\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	ofTree  = regexp.MustCompile("`((?:internal|cmd|docs|deploy|caddymodule|web|migrations)/[A-Za-z0-9_./-]+)`")
)

// anchors are the names under which a page's headings can be linked to, as the forges make them.
func anchors(text string) map[string]bool {
	out := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 127:
				return r
			}
			return -1
		}, strings.ToLower(m[1]))
		out[name] = true
	}
	return out
}

func TestNoLinkOfTheDocumentationIsDead(t *testing.T) {
	texts := map[string]string{}
	for _, d := range testenv.Documents(t) {
		if d.Markdown() {
			texts[d.Name] = d.Prose()
		}
	}
	there := func(name string) bool {
		_, err := os.Stat(filepath.Join("..", "..", filepath.FromSlash(name)))
		return err == nil
	}
	n := 0
	for name, text := range texts {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			n++
			file, anchor, _ := strings.Cut(m[1], "#")
			to := name
			if file != "" {
				to = path.Join(path.Dir(name), file)
			}
			if !there(to) {
				t.Errorf("%s leads to %s, which is not there", name, m[1])
			} else if anchor != "" && !anchors(texts[to])[anchor] {
				t.Errorf("%s leads to %s, and %s has no such heading", name, m[1], to)
			}
		}
		for _, m := range ofTree.FindAllStringSubmatch(text, -1) {
			if !there(m[1]) {
				t.Errorf("%s names %s, which is not there", name, m[1])
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d links were found", n)
	}
}

// What people look for first comes first, and every README of ours answers the same questions.
func TestTheReadmeTellsEverythingInItsOrder(t *testing.T) {
	text := read(t, "README.md")
	at := 0
	for _, part := range []string{"# portalgate\n", "docs/images/sign-in-light.png", "\nVersion ", "\n## Try it in one command\n", "| e-mail | password |", "\n## What it does, and what it does not do yet\n",
		"\n## How it works\n", "```mermaid\n", "\n### Words\n", "\n## The smallest real Caddyfile\n", "\n## Install\n", "\n## The database\n", "\n## What the upstream receives\n", "\n## Configuration reference\n",
		"\n## Commands\n", "\n## Security\n", "(SECURITY.md)", "| threat | answer | held by |", "\n## Operations\n", "\n## Performance\n", "\n## Troubleshooting\n", "\n## Development\n", "\n## Licence\n", "(LICENSE)", "(CHANGELOG.md)"} {
		i := strings.Index(text[at:], part)
		if i < 0 {
			t.Fatalf("README.md has no %q where it belongs", strings.TrimSpace(part))
		}
		at += i
	}
}

// exported are the exported types of the packages below internal, by package.
func exported(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	root := filepath.Join("..", "..", "internal")
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if g, ok := decl.(*ast.GenDecl); ok && g.Tok == token.TYPE {
				for _, s := range g.Specs {
					if n := s.(*ast.TypeSpec).Name; n.IsExported() {
						out[file.Name.Name] = append(out[file.Name.Name], n.Name)
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// parties are words of the glossary that are no type of ours.
var parties = []string{"Gateway", "Upstream", "Realm"}

// The glossary and the code speak of the same things: each exported noun of portal is explained, and each word that is
// explained is a noun of the code. An id is called after what it names.
func TestTheGlossaryHasTheNounsOfTheCode(t *testing.T) {
	_, words, _ := strings.Cut(read(t, "README.md"), "\n### Words\n")
	words, _, _ = strings.Cut(words, "\n## ")
	explained := map[string]bool{}
	for _, line := range strings.Split(words, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || strings.TrimSpace(cells[1]) == "word" {
			continue
		}
		for _, w := range strings.Split(cells[1], ",") {
			if w = strings.Trim(w, " -"); w != "" {
				explained[w] = true
			}
		}
	}
	if len(explained) < 20 {
		t.Fatalf("the README explains %d words", len(explained))
	}
	nouns := exported(t)
	for _, n := range nouns["portal"] {
		if !explained[n] && !explained[strings.TrimSuffix(n, "ID")] {
			t.Errorf("portal.%s is not in the README's table of words", n)
		}
	}
	var all []string
	for _, of := range []string{"portal", "session", "ratelimit"} {
		all = append(all, nouns[of]...)
	}
	for w := range explained {
		if !slices.Contains(all, w) && !slices.Contains(all, w+"ID") && !slices.Contains(parties, w) {
			t.Errorf("the README explains %s, which is no word of the code", w)
		}
	}
}

// Whatever the documentation tells people to type of this runner is one of its verbs, with flags that the verb has.
func TestEveryVerbOfTheDocumentationIsThere(t *testing.T) {
	var flags bytes.Buffer
	if err := benchVerb(t.Context(), &run{out: &flags, err: &flags}, []string{"-h"}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, d := range testenv.Documents(t) {
		for _, call := range d.Commands("go run ./cmd/dev") {
			n++
			if !slices.ContainsFunc(verbs(), func(v verb) bool { return v.name == call[0] }) {
				t.Errorf("%s: go run ./cmd/dev has no %q", d.Name, call[0])
				continue
			}
			for _, w := range call[1:] {
				if flag, is := strings.CutPrefix(w, "--"); is && call[0] == "bench" && !strings.Contains(flags.String(), "\n  -"+flag) { // the others pass theirs on to go
					t.Errorf("%s: bench has no flag %s", d.Name, w)
				}
			}
		}
	}
	if n < 5 {
		t.Errorf("only %d were found", n)
	}
}
