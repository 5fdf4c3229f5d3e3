package testenv

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Document is a file that people read: Markdown, or a Caddyfile with its comments.
type Document struct {
	Name string // from the root of the repository, with slashes
	Text string
}

// Documents are README.md and its neighbours, everything below docs, and what deploy explains in comments.
func Documents(t testing.TB) []Document {
	t.Helper()
	root := Root(t)
	var names []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "Caddyfile", "deploy/Caddyfile", "deploy/compose.yaml", "docs/examples/*.Caddyfile"} {
		found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil || len(found) == 0 && !strings.Contains(pattern, "*/*") {
			t.Fatalf("no document is called %s: %v", pattern, err)
		}
		names = append(names, found...)
	}
	slices.Sort(names)
	var out []Document
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		short, err := filepath.Rel(root, name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, Document{filepath.ToSlash(short), string(b)})
	}
	return out
}

// Root is the directory of go.mod.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("no go.mod in the working directory or above: ", err)
	return ""
}

var fence = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// Markdown says whether the document is written in it.
func (d Document) Markdown() bool { return strings.HasSuffix(d.Name, ".md") }

// Blocks are the examples in a language.
func (d Document) Blocks(language string) (out []string) {
	for _, m := range fence.FindAllStringSubmatch(d.Text, -1) {
		if m[1] == language {
			out = append(out, m[2])
		}
	}
	return out
}

// Prose is the document without its examples.
func (d Document) Prose() string { return fence.ReplaceAllString(d.Text, "") }

var (
	quoted  = regexp.MustCompile("`([^`\n]+)`")
	comment = regexp.MustCompile(`(?m)^#[\t ]+(\S.*)$`)
)

// Commands are the lines of shell that call program, a name such as "portalgate" or the words "go run ./cmd/dev": in
// examples, in `quotes` and in comments. Each is what follows the program's name, word by word.
func (d Document) Commands(program string) (out [][]string) {
	var lines []string
	if d.Markdown() {
		for _, b := range d.Blocks("sh") {
			lines = append(lines, strings.Split(strings.ReplaceAll(b, "\\\n", " "), "\n")...)
		}
		for _, m := range quoted.FindAllStringSubmatch(d.Prose(), -1) {
			lines = append(lines, m[1])
		}
	} else {
		for _, m := range comment.FindAllStringSubmatch(d.Text, -1) {
			lines = append(lines, m[1])
			for _, q := range quoted.FindAllStringSubmatch(m[1], -1) {
				lines = append(lines, q[1])
			}
		}
	}
	name := strings.Fields(program)
	for _, l := range lines {
		for _, call := range shell(l) {
			if len(call) > len(name) && slices.Equal(call[:len(name)], name) {
				out = append(out, call[len(name):])
			}
		}
	}
	return out
}

// shell splits a line into the programs that it calls, and those into words, as far as our examples need it: quotes, pipes,
// lists, comments.
func shell(line string) (calls [][]string) {
	var call []string
	var word strings.Builder
	inside, any := rune(0), false
	end := func() {
		if any {
			call = append(call, word.String())
		}
		word.Reset()
		any = false
	}
	for _, c := range line {
		switch {
		case inside != 0:
			if c == inside {
				inside = 0
			} else {
				word.WriteRune(c)
			}
		case c == '"' || c == '\'':
			inside, any = c, true
		case c == ' ' || c == '\t':
			end()
		case c == '|' || c == '&' || c == ';':
			end()
			calls, call = append(calls, call), nil
		case c == '#' && !any:
			end()
			return append(calls, call)
		default:
			word.WriteRune(c)
			any = true
		}
	}
	end()
	return append(calls, call)
}
