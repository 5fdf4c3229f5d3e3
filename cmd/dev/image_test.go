package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// instruction is a line of a Dockerfile.
type instruction struct{ verb, rest string }

// instructions reads a Dockerfile: comments dropped, continued lines joined.
func instructions(text string) []instruction {
	var out []instruction
	var line string
	for _, l := range strings.Split(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(l), "#") {
			continue
		}
		line += strings.TrimSpace(l)
		if cut, more := strings.CutSuffix(line, "\\"); more {
			line = cut
			continue
		}
		if verb, rest, ok := strings.Cut(line, " "); ok {
			out = append(out, instruction{strings.ToUpper(verb), strings.TrimSpace(rest)})
		}
		line = ""
	}
	return out
}

func dockerfile(t *testing.T) []instruction {
	t.Helper()
	return instructions(read(t, "Dockerfile"))
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func all(in []instruction, verb string) []string {
	var out []string
	for _, i := range in {
		if i.verb == verb {
			out = append(out, i.rest)
		}
	}
	return out
}

// copies are the COPY lines: from the context, or from an earlier stage.
func copies(in []instruction) (context [][]string, stages [][]string) {
	for _, c := range all(in, "COPY") {
		words := strings.Fields(c)
		if strings.HasPrefix(words[0], "--from=") {
			stages = append(stages, words[1:])
		} else {
			context = append(context, words)
		}
	}
	return context, stages
}

// ignored says whether .dockerignore keeps a path of the repository out of the build.
func ignored(patterns []string, name string) bool {
	for p := name; p != "."; p = path.Dir(p) {
		for _, pattern := range patterns {
			deep, anywhere := strings.CutPrefix(pattern, "**/")
			if ok, _ := path.Match(pattern, p); ok && !anywhere {
				return true
			}
			if ok, _ := path.Match(deep, path.Base(p)); ok && anywhere {
				return true
			}
		}
	}
	return false
}

func ignorePatterns(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, l := range strings.Split(read(t, ".dockerignore"), "\n") {
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "#") {
			out = append(out, l)
		}
	}
	return out
}

func TestTheImageIsBuiltWithTheGoOfTheModule(t *testing.T) {
	version := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(read(t, "go.mod"))
	from := all(dockerfile(t), "FROM")
	if version == nil || len(from) == 0 {
		t.Fatal("go.mod or Dockerfile says nothing")
	}
	tag := strings.TrimPrefix(strings.Fields(from[0])[0], "golang:")
	if got, _, _ := strings.Cut(tag, "-"); got != version[1] {
		t.Errorf("the Dockerfile builds with Go %s, go.mod says %s", got, version[1])
	}
}

func TestTheImageRunsAsNobodyAndIsAskedForItsHealth(t *testing.T) {
	in := dockerfile(t)
	last := 0
	for i, x := range in {
		if x.verb == "FROM" {
			last = i
		}
	}
	final := in[last:]
	users := all(final, "USER")
	if len(users) != 1 || users[0] != "65534:65534" {
		t.Errorf("it runs as %q; a number, and not root's, lets Kubernetes check that", users)
	}
	health := all(final, "HEALTHCHECK")
	if len(health) != 1 {
		t.Fatalf("%d health checks", len(health))
	}
	asked := regexp.MustCompile(`http://127\.0\.0\.1:2019(/\S+)`).FindStringSubmatch(health[0])
	if asked == nil {
		t.Fatalf("the health check asks nobody: %s", health[0])
	}
	if !strings.Contains(read(t, "caddymodule/admin.go"), `"`+asked[1]+`"`) {
		t.Errorf("the health check asks for %s, which the admin endpoint does not have", asked[1])
	}
	observed := regexp.MustCompile(`http://(127\.0\.0\.1:9180)(/\S+)`).FindStringSubmatch(health[0])
	if observed == nil || !strings.Contains(read(t, "caddymodule/observe.go"), `"GET `+observed[2]+`"`) {
		t.Fatalf("the health check does not ask the observe listener: %s", health[0])
	}
	for _, name := range []string{"Caddyfile", "deploy/Caddyfile"} {
		if !strings.Contains(read(t, name), "\tobserve "+observed[1]+"\n") {
			t.Errorf("%s does not observe on %s, where the health check asks", name, observed[1])
		}
	}
	var entry, cmd []string
	for verb, into := range map[string]*[]string{"ENTRYPOINT": &entry, "CMD": &cmd} {
		lines := all(final, verb)
		if len(lines) != 1 || json.Unmarshal([]byte(lines[0]), into) != nil {
			t.Fatalf("%s is not one list: %q", verb, lines)
		}
	}
	_, stages := copies(final)
	if len(stages) != 1 || stages[0][1] != entry[0] {
		t.Errorf("what is copied, %q, is not what is run, %q", stages, entry)
	}
	build := buildLine(t, in)
	if !strings.Contains(build, "-o "+stages[0][0]+" ") {
		t.Errorf("what is built is not what is copied: %s", build)
	}
}

func buildLine(t *testing.T, in []instruction) string {
	t.Helper()
	for _, r := range all(in, "RUN") {
		if strings.Contains(r, "go build") {
			return r
		}
	}
	t.Fatal("the Dockerfile builds nothing")
	return ""
}

// The machine need not have a container engine for this: the files that an engine would see are copied together, and
// the Dockerfile's own line is run on them.
func TestTheImagesBuildWorksOnWhatTheImageSees(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the whole program")
	}
	if runtime.GOOS == "windows" {
		t.Skip("the line is for a Unix shell")
	}
	in := dockerfile(t)
	context, _ := copies(in)
	patterns := ignorePatterns(t)
	work := t.TempDir()
	for _, words := range context {
		for _, source := range words[:len(words)-1] {
			if n := transfer(t, source, work, patterns); n == 0 {
				t.Errorf("COPY %s copies nothing", source)
			}
		}
	}
	program := filepath.Join(t.TempDir(), "portalgate")
	line := strings.Replace(buildLine(t, in), "/out/portalgate", program, 1)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "VERSION=v9.8.7-test")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"version"}, "v9.8.7-test"},
		{[]string{"list-modules"}, "http.handlers.portalgate"},
		{[]string{"run", "--help"}, "--config"},
	} {
		out, err := exec.CommandContext(t.Context(), program, c.args...).CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte(c.want)) {
			t.Errorf("portalgate %s: %v, without %q:\n%s", strings.Join(c.args, " "), err, c.want, out)
		}
	}
}

func transfer(t *testing.T, source, into string, patterns []string) (n int) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(filepath.Join(root, source), func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil || d.IsDir() || ignored(patterns, filepath.ToSlash(name)) {
			return err
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		n++
		if err := os.MkdirAll(filepath.Dir(filepath.Join(into, name)), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(into, name), b, 0o644)
	})
	if err != nil {
		t.Errorf("COPY %s: %v", source, err)
	}
	return n
}

func TestSecretsStayOutOfTheImage(t *testing.T) {
	patterns := ignorePatterns(t)
	for _, name := range []string{"keyring.json", ".env", "server.pem", ".git/config", "cmd/dev/main_test.go"} {
		if !ignored(patterns, name) {
			t.Errorf("%s would be sent to the engine", name)
		}
	}
	for _, name := range []string{"go.mod", "cmd/portalgate/main.go", "migrations/core/0001_roles.sql"} {
		if ignored(patterns, name) {
			t.Errorf("%s is kept out", name)
		}
	}
}

func TestXcaddyBuildsWhatMainBuilds(t *testing.T) {
	b, err := readBuilder(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	mod := read(t, "go.mod")
	caddy := regexp.MustCompile(`(?m)^\s*(?:require )?github\.com/caddyserver/caddy/v2 (\S+)`).FindStringSubmatch(mod)
	if caddy == nil || caddy[1] != b.CaddyVersion {
		t.Errorf("xcaddy.json takes Caddy %s, go.mod %q", b.CaddyVersion, caddy)
	}
	module := regexp.MustCompile(`(?m)^module (\S+)$`).FindStringSubmatch(mod)[1]
	main := read(t, "cmd/portalgate/main.go")
	for _, p := range b.Plugins {
		if !strings.Contains(main, `"`+p.ModulePath+`"`) {
			t.Errorf("main.go does not import %s", p.ModulePath)
		}
		if !strings.HasPrefix(p.ModulePath, module+"/") {
			t.Errorf("%s is not ours", p.ModulePath)
		}
	}
	ours := regexp.MustCompile(`"(`+regexp.QuoteMeta(module)+`/[^"]+)"`).FindAllStringSubmatch(main, -1)
	for _, i := range ours {
		if !slices.ContainsFunc(b.Plugins, func(p plugin) bool { return p.ModulePath == i[1] }) {
			t.Errorf("main.go imports %s, and xcaddy.json does not name it", i[1])
		}
	}
	for _, r := range b.Replacements {
		if r.Old != module || r.New != "." {
			t.Errorf("%s is replaced by %s", r.Old, r.New)
		}
	}
	for _, flag := range []string{"-trimpath", "-s -w"} {
		if !strings.Contains(b.BuildFlags, flag) || !strings.Contains(buildLine(t, dockerfile(t)), flag) {
			t.Errorf("%s is not a flag of both builds", flag)
		}
	}
	want := `XCADDY_GO_BUILD_FLAGS='-trimpath -ldflags '\''-s -w'\''' xcaddy build ` + b.CaddyVersion +
		` --with github.com/portalgate/portalgate/caddymodule --replace github.com/portalgate/portalgate=.`
	if got := b.commandLine(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
