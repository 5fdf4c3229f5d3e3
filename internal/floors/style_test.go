package floors

import (
	"go/ast"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// A package comment answers three questions, each in words that can be looked for.
var answers = []struct {
	question string
	words    *regexp.Regexp
}{
	{"what it owns", regexp.MustCompile(`\b(owns?|holds|fetches|brings up|is what|is the demo's)\b`)},
	{"what it refuses", regexp.MustCompile(`\brefuses?\b`)},
	{"what happens when a neighbour fails", regexp.MustCompile(`(?is)(neighbour|\b(when|while|where|without|server)\b.{0,120}?\b(down|fails?|dies|away|missing|not|cannot|gone|slow|killed|broken|cut off)\b)`)},
}

func TestEveryPackageSaysOnceWhatItOwnsRefusesAndSurvives(t *testing.T) {
	comments := map[string][]source{}
	for _, s := range sources(t) {
		if comments[s.pkg] == nil {
			comments[s.pkg] = []source{}
		}
		if s.ast.Doc != nil && strings.TrimSpace(s.ast.Doc.Text()) != "" {
			comments[s.pkg] = append(comments[s.pkg], s)
		}
	}
	for p, in := range comments {
		if len(in) != 1 {
			var names []string
			for _, s := range in {
				names = append(names, s.name)
			}
			t.Errorf("package %s has %d package comments, and one is wanted: %v", p, len(in), names)
			continue
		}
		said := in[0].ast.Doc.Text()
		name := in[0].ast.Name.Name
		first := "Package " + name + " "
		if name == "main" {
			first = "Command " + p[strings.LastIndex(p, "/")+1:] + " "
		}
		if !strings.HasPrefix(said, first) {
			t.Errorf("%s: the package comment does not begin with %q", in[0].name, first)
		}
		for _, a := range answers {
			if !a.words.MatchString(said) {
				t.Errorf("%s: the package comment does not say %s (%s)", in[0].name, a.question, a.words)
			}
		}
	}
}

// longest is how far a file is read with pleasure. A test is a list of cases and may be longer.
const (
	longest     = 400
	longestTest = 600
)

// long are files that may be longer, with the reason why splitting them would be worse.
var long = map[string]string{}

func TestNoFileIsLongerThanItIsReadWithPleasure(t *testing.T) {
	for _, s := range sources(t) {
		most := longest
		if s.test {
			most = longestTest
		}
		if s.lines > most && long[s.name] == "" {
			t.Errorf("%s has %d lines; split it by idea, not by layer", s.name, s.lines)
		}
		if s.lines <= most && long[s.name] != "" {
			t.Errorf("%s is not long any more; take it out of the table", s.name)
		}
	}
}

func TestFilesAreNamedByWhatTheyAreAbout(t *testing.T) {
	for _, s := range sources(t) {
		base := strings.TrimSuffix(s.name[strings.LastIndex(s.name, "/")+1:], ".go")
		for _, empty := range []string{"types", "const", "consts", "constants", "util", "utils", "helper", "helpers", "common", "misc", "interfaces", "models"} {
			if strings.TrimSuffix(base, "_test") == empty || s.ast.Name.Name == empty {
				t.Errorf("%s says nothing about what is in it", s.name)
			}
		}
	}
}

func TestEveryWaiverHasAReason(t *testing.T) {
	waiver := regexp.MustCompile(`^//(nolint|lint:ignore|lint:file-ignore|#nosec)\b(.*)`)
	for _, s := range sources(t) {
		for _, group := range s.ast.Comments {
			for _, c := range group.List {
				m := waiver.FindStringSubmatch(c.Text)
				if m == nil {
					continue
				}
				words := strings.Fields(m[2])
				if strings.HasPrefix(m[1], "lint:") && len(words) > 0 {
					words = words[1:] // the check that is waived
				}
				if len(words) < 3 {
					t.Errorf("%s: %s has no reason", fset.Position(c.Pos()), c.Text)
				}
			}
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.ast.Name.Name == "main" {
			continue
		}
		for _, d := range s.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && !unexportedReceiver(d) {
					t.Errorf("%s: %s has no comment", fset.Position(d.Pos()), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
							t.Errorf("%s: %s has no comment", fset.Position(spec.Pos()), spec.Name.Name)
						}
					case *ast.ValueSpec:
						if spec.Names[0].IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
							t.Errorf("%s: %s has no comment", fset.Position(spec.Pos()), spec.Names[0].Name)
						}
					}
				}
			}
		}
	}
}

func unexportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return false
	}
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.Ident:
			return !x.IsExported()
		default:
			return false
		}
	}
}

// Hosts that the repository may name; whatever else it talks about lives under names reserved for examples.
var hosts = []string{
	"github.com", "go.dev", "pkg.go.dev", "golang.org", // sources, documentation
	"caddyserver.com", "developer.mozilla.org", "www.postgresql.org", "systemd.io", "prometheus.io",
	"www.w3.org", "json-schema.org", "www.apache.org", "keepachangelog.com", "semver.org", "pages.nist.gov", "owasp.org", "www.rfc-editor.org",
	"api.twilio.com",                                                // who carries text messages, if the operator says so
	"api.pwnedpasswords.com",                                        // where stolen passwords are asked about, if the operator says so
	"sns.eu-central-1.amazonaws.com", "sns.us-east-1.amazonaws.com", // of which certificates are asked for, and those of one region not at another
	"crt.r2m01.amazontrust.com", // where the certificate above those is published
	"example.com", "example.org", "example.net",
}

func TestNothingTellsWhereItWasMade(t *testing.T) {
	place := regexp.MustCompile(`(?:^|[\s"'=(:` + "`" + `])/(?:work|root|home/[a-z]+|Users/[A-Za-z]+)/`)
	homebrew := "/home/linuxbrew/" // where it is on every Linux
	address := regexp.MustCompile(`(?:https?|wss?)://([A-Za-z0-9.-]+)`)
	files(t, func(name string, content []byte) {
		if !text8(content) || name == "go.sum" || name == ".git" {
			return
		}
		for n, line := range strings.Split(string(content), "\n") {
			if m := place.FindString(line); m != "" && !strings.Contains(m, homebrew) {
				t.Errorf("%s:%d names a directory of some machine: %s", name, n+1, strings.TrimSpace(m))
			}
			for _, m := range address.FindAllStringSubmatch(line, -1) {
				host := strings.ToLower(strings.TrimRight(m[1], ".-"))
				last := host[strings.LastIndex(host, ".")+1:]
				if !strings.Contains(host, ".") || net.ParseIP(host) != nil || slices.Contains([]string{"example", "test", "invalid", "localhost"}, last) || slices.Contains(hosts, host) {
					continue
				}
				t.Errorf("%s:%d names the host %s; use a name reserved for examples, or add it to the table", name, n+1, host)
			}
		}
	})
}

// text8 says whether a file is text.
func text8(b []byte) bool {
	return !strings.ContainsFunc(string(b[:min(len(b), 1024)]), func(r rune) bool {
		return r == 0 || r == unicode.ReplacementChar
	})
}
