package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/testenv"
)

// The tests ask the program itself, as somebody at a shell would.
func TestMain(m *testing.M) {
	if os.Getenv("PORTALGATE_TEST_IS_THE_PROGRAM") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// help is what the program says of a command line, of which it reads words and flags and does nothing.
func help(t *testing.T, call []string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], append(slices.Clone(call), "--help")...)
	cmd.Env = append(os.Environ(), "PORTALGATE_TEST_IS_THE_PROGRAM=yes", "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	return string(out), err
}

var usage = regexp.MustCompile(`(?m)^Usage:\n  portalgate (.+)$`)

// understood says what is wrong with a command line: a command or a flag that is not there, a word too many or too few.
func understood(t *testing.T, call []string) error {
	t.Helper()
	if slices.Contains(call, "help") || call[0] == "COMMAND" || strings.HasPrefix(call[0], "-") {
		return nil
	}
	out, err := help(t, call)
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	m := usage.FindStringSubmatch(out)
	if m == nil {
		return fmt.Errorf("it says nothing of how it is called: %s", out)
	}
	given := words(call)
	for i, w := range strings.Fields(m[1]) {
		switch {
		case strings.HasPrefix(w, "[") || strings.HasPrefix(w, "-") || strings.HasPrefix(w, "<"):
			return nil // Caddy's own way of writing, and what need not be given
		case w == "COMMAND" && i < len(given):
			return fmt.Errorf("%s has no command %s", strings.Join(given[:i], " "), given[i])
		case w == "COMMAND":
			return nil // the group is meant
		case i >= len(given) && strings.ToUpper(w) != w:
			return fmt.Errorf("it is understood as %q", m[1])
		case i < len(given) && strings.ToUpper(w) != w && !strings.Contains(w, "|") && given[i] != w:
			return fmt.Errorf("%q is understood as %q", given[i], m[1])
		}
	}
	return nil
}

// words are what is neither a flag nor, as far as can be seen without the flags, the value of one.
func words(call []string) (out []string) {
	for _, w := range call {
		if strings.HasPrefix(w, "-") {
			break
		}
		out = append(out, w)
	}
	return out
}

// What the documentation tells people to type is understood by the program.
func TestEveryCommandOfTheDocumentationIsUnderstood(t *testing.T) {
	t.Parallel()
	n := 0
	for _, d := range testenv.Documents(t) {
		calls := d.Commands("portalgate")
		calls = append(calls, d.Commands("go run ./cmd/portalgate")...)
		for _, call := range calls {
			n++
			if err := understood(t, call); err != nil {
				t.Errorf("%s: portalgate %s: %v", d.Name, strings.Join(call, " "), err)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d commands were found", n)
	}
	for _, wrong := range [][]string{{"tenat", "add"}, {"tenant", "ad", "acme"}, {"tenant", "add", "acme", "--hosts", "x"}, {"user", "add", "--mail", "a@b.example"}, {"run", "--confg", "Caddyfile"}} {
		if understood(t, wrong) == nil {
			t.Errorf("%q would be understood", wrong)
		}
	}
}

var row = regexp.MustCompile("(?m)^\\| (`.+`) \\| .+ \\|$")

// The README's table has every command, and no other.
func TestTheTableOfCommandsIsWhole(t *testing.T) {
	t.Parallel()
	written := map[string]bool{}
	for _, d := range testenv.Documents(t) {
		if d.Name != "README.md" {
			continue
		}
		_, section, _ := strings.Cut(d.Text, "\n## Commands\n")
		section, _, _ = strings.Cut(section, "\n## ")
		for _, m := range row.FindAllStringSubmatch(section, -1) {
			group := ""
			for i, name := range strings.Split(strings.ReplaceAll(m[1], "`", ""), ", ") {
				if i == 0 {
					group, _, _ = strings.Cut(name, " ")
				} else {
					name = group + " " + name
				}
				written[name] = true
			}
		}
	}
	there := map[string]bool{}
	top, err := help(t, nil)
	if err != nil {
		t.Fatal(err, top)
	}
	ours, _, _ := strings.Cut(top, "\nServing, as in Caddy:")
	_, ours, _ = strings.Cut(ours, "The gate:\n")
	for _, group := range listed(ours) {
		leaves(t, group, there)
	}
	for name := range there {
		if !written[name] {
			t.Errorf("`portalgate %s` is not in the README's table of commands", name)
		}
	}
	for name := range written {
		if !there[name] {
			t.Errorf("the README's table has %q, which is no command", name)
		}
	}
}

// leaves adds a command, or what stands below it.
func leaves(t *testing.T, name string, to map[string]bool) {
	t.Helper()
	said, err := help(t, strings.Fields(name))
	if err != nil {
		t.Fatal(err, said)
	}
	_, below, ok := strings.Cut(said, "\nCommands:\n")
	if !ok {
		to[name] = true
		return
	}
	if strings.Contains(said, "\n  portalgate "+name+" [flags]\n") {
		to[name] = true // it does something itself as well
	}
	below, _, _ = strings.Cut(below, "\n\n")
	for _, child := range listed(below) {
		leaves(t, name+" "+child, to)
	}
}

// listed are the first words of the indented lines.
func listed(text string) (out []string) {
	for _, l := range strings.Split(text, "\n") {
		if strings.HasPrefix(l, "  ") {
			out = append(out, strings.Fields(l)[0])
		}
	}
	return out
}
