package caddymodule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/testenv"
)

const dashes = "----------\n"

// fixtures are the files of testdata/adapt: a Caddyfile, a line of dashes, and what comes of it. To test an option, add a
// file; `go run ./cmd/dev golden` writes its second half, and the diff is the review. What begins with wrong_ adapts and
// is refused by `validate`; it is judged with the environment of surroundings.
func fixtures(t *testing.T) map[string]fixture {
	t.Helper()
	names, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil || len(names) == 0 {
		t.Fatal("no fixtures: ", err)
	}
	out := map[string]fixture{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		input, _, _ := bytes.Cut(b, []byte("\n"+dashes))
		f := fixture{file: name, input: strings.TrimSuffix(string(input), "\n") + "\n"}
		f.adapted, f.complaint = adapt(f.input)
		out[strings.TrimSuffix(filepath.Base(name), ".caddyfiletest")] = f
	}
	return out
}

type fixture struct {
	file, input string
	adapted     []byte
	complaint   error
}

// adapt is `caddy adapt`, in which a badly formatted file is an error.
func adapt(text string) ([]byte, error) {
	out, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return nil, err
	}
	if len(warnings) > 0 {
		return nil, fmt.Errorf("warning: %v", warnings[0])
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, out, "", "\t"); err != nil {
		return nil, err
	}
	return append(pretty.Bytes(), '\n'), nil
}

// validate is `caddy validate`: everything is provisioned, nobody is asked.
func validate(adapted []byte) error {
	var c caddy.Config
	if err := json.Unmarshal(adapted, &c); err != nil {
		return err
	}
	return caddy.Validate(&c)
}

// surroundings set what the examples take from the environment; no server stands behind any of it.
func surroundings(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	ring, err := secret.Generate(testenv.NewClock().Now())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "keyring.json")
	if err := secret.WriteNew(file, ring); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"PORTALGATE_DATABASE_URL": "postgres://app@127.0.0.1:1/portalgate",
		"PORTALGATE_REDIS_URL":    "redis://127.0.0.1:1",
		"PORTALGATE_KEYRING":      file,
		"PORTALGATE_OLD_SECRET":   "kX4v0tq9Zb2Wm7Ls1Dg8Hy3Nc6Rf5Pj0",
		"PORTALGATE_UPSTREAM":     "127.0.0.1:3000",
		"XDG_DATA_HOME":           filepath.Join(dir, "data"),
		"XDG_CONFIG_HOME":         filepath.Join(dir, "config"),
		"HOME":                    dir,
	} {
		t.Setenv(name, value)
	}
}

func TestEveryFixtureAdaptsAsItWasReviewed(t *testing.T) {
	surroundings(t)
	all := fixtures(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			f := all[name]
			got := string(f.adapted)
			switch {
			case f.complaint != nil:
				got = f.complaint.Error() + "\n"
			case strings.HasPrefix(name, "wrong_"):
				err := validate(f.adapted)
				if err == nil {
					t.Fatal("it is taken")
				}
				got = err.Error() + "\n"
			}
			if fails := f.complaint != nil; fails != strings.HasPrefix(name, "error_") {
				t.Errorf("its name says whether it adapts: %v", f.complaint)
			}
			if formatted := string(caddyfile.Format([]byte(f.input))); formatted != f.input {
				t.Errorf("not formatted; it would be\n%s", formatted)
			}
			testenv.Golden(t, f.file, []byte(f.input+dashes+got))
		})
	}
}

// referenceRow is a line of the option reference.
type referenceRow struct{ section, caddyfile, json string }

func referenceRows(t *testing.T) (rows []referenceRow) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	section := ""
	for _, line := range strings.Split(string(b), "\n") {
		if title, ok := strings.CutPrefix(line, "### "); ok {
			section = title
		}
		cells := strings.Split(strings.ReplaceAll(line, `\|`, "\x00"), " | ")
		if len(cells) != 5 || !strings.HasPrefix(cells[0], "| `") {
			continue
		}
		for _, one := range strings.Split(strings.Trim(cells[0], "|` "), "`, `") {
			var words []string
			for _, w := range strings.Fields(one) {
				if strings.ContainsAny(w, "<\x00") {
					break
				}
				words = append(words, w)
			}
			rows = append(rows, referenceRow{section, strings.Join(words, " "), strings.Trim(cells[1], "`")})
		}
	}
	if len(rows) < 30 {
		t.Fatalf("the reference has %d rows", len(rows))
	}
	return rows
}

// Every subdirective of the reference is written in some fixture, and fills the JSON field that the reference says.
func TestEverySubdirectiveFillsTheFieldOfTheReference(t *testing.T) {
	surroundings(t)
	written := map[string]bool{} // section, caddyfile path, JSON path
	for _, f := range fixtures(t) {
		if f.complaint != nil {
			continue
		}
		for section, paths := range subdirectives(t, f.input) {
			for _, p := range paths {
				for _, j := range jsonFields(t, f.adapted, section) {
					written[section+"\x00"+p+"\x00"+j] = true
				}
			}
		}
	}
	for _, r := range referenceRows(t) {
		section := map[string]string{"Global option `portalgate`": "global", "Directive `portalgate`": "directive", "Matcher `portalgate`": "matcher"}[r.section]
		if !written[section+"\x00"+r.caddyfile+"\x00"+r.json] {
			t.Errorf("no fixture of testdata/adapt writes %q of the %s and gets %q", r.caddyfile, section, r.json)
		}
	}
}

// subdirectives lists what stands in the portalgate blocks of a Caddyfile, with the words that come before an argument.
func subdirectives(t *testing.T, text string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	var open []string
	for _, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if words[0] == "}" {
			open = open[:len(open)-1]
			continue
		}
		block := words[len(words)-1] == "{"
		if block {
			words = words[:len(words)-1]
		}
		at := slices.Index(open, "portalgate")
		kind := "global"
		if at < 0 {
			at, kind = slices.Index(open, "matcher"), "matcher"
		} else if at > 0 && open[0] != "" {
			kind = "directive"
		}
		if at >= 0 {
			p := append(append([]string{}, open[at+1:]...), words[0])
			out[kind] = append(out[kind], strings.Join(p, " "))
			if len(words) > 1 { // `require mfa`, `upstream_token jwt`: the kind belongs to the name
				out[kind] = append(out[kind], strings.Join(append(p, words[1]), " "))
			}
		}
		if block {
			first := ""
			if len(words) > 0 {
				first = words[0]
			}
			if len(words) > 1 && strings.HasPrefix(words[0], "@") && words[1] == "portalgate" {
				first = "matcher"
			}
			open = append(open, first)
		}
	}
	return out
}

// jsonFields are the fields of a module in an adapted configuration.
func jsonFields(t *testing.T, adapted []byte, section string) (out []string) {
	t.Helper()
	var whole struct {
		Apps struct {
			Portalgate map[string]any `json:"portalgate"`
			HTTP       any            `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(adapted, &whole); err != nil {
		t.Fatal(err)
	}
	var list func(at string, v any)
	list = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, below := range v {
				path := strings.TrimPrefix(at+"."+k, ".")
				out = append(out, path)
				list(path, below)
			}
		case []any:
			for _, below := range v {
				if _, ok := below.(map[string]any); ok {
					list(at+"[]", below)
				}
			}
		}
	}
	if section == "global" {
		list("", whole.Apps.Portalgate)
		return out
	}
	var find func(v any)
	find = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if section == "directive" && v["handler"] == "portalgate" {
				list("", v)
			}
			if m, ok := v["portalgate"].(map[string]any); ok && section == "matcher" {
				list("", m)
			}
			for _, below := range v {
				find(below)
			}
		case []any:
			for _, below := range v {
				find(below)
			}
		}
	}
	find(whole.Apps.HTTP)
	return out
}
