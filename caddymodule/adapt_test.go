package caddymodule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the directives around ours

	"github.com/portalgate/portalgate/internal/breach"
	"github.com/portalgate/portalgate/internal/demo/sink"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/testenv"
)

const dashes = "----------\n"

// fixture is a file of testdata/adapt: a Caddyfile, a line of dashes, and what comes of it. To test an option, add a
// file; `go run ./cmd/dev golden` writes its second half, and the diff is the review. What begins with error_ does not
// adapt, what begins with wrong_ adapts and is refused by `validate`, and all else is taken. The Caddyfiles stand in the
// surroundings below.
type fixture struct {
	file, input string
	adapted     []byte
	complaint   string
}

// theWay to a module is told by Caddy before its complaint, and differs with the order in which apps are set up.
var theWay = regexp.MustCompile(`^loading .*provision (http\.handlers\.)?portalgate: `)

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
		if name, err = filepath.Abs(name); err != nil {
			t.Fatal(err)
		}
		input, _, _ := strings.Cut(string(b), dashes)
		out[strings.TrimSuffix(filepath.Base(name), ".caddyfiletest")] = fixture{file: name, input: input}
	}
	surroundings(t)
	for name, f := range out {
		if f.adapted, err = adapt(f.input); err != nil {
			f.complaint = err.Error()
		} else {
			f.complaint = theWay.ReplaceAllString(validatedJSON(t, f.adapted), "")
		}
		out[name] = f
	}
	return out
}

// adapt is `portalgate adapt`, for which a file that is not formatted is an error here.
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

// surroundings are the directory and the environment that a Caddyfile of the fixtures and of the documentation stands
// in: variables, and files beside it. No server stands behind any of it.
func surroundings(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	ring, err := secret.Generate(testenv.NewClock().Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"secrets", "mails", "broken-mails"} {
		if err := os.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"keyring.json": string(ring), "secrets/database": "postgres://app@127.0.0.1/portalgate\n", "secrets/blank": "\n",
		"secrets/password": shownSecrets[0], "secrets/published": "your-secret-key-change-in-production", "secrets/short": "abc",
		"secrets/twilio-key": "SK" + strings.Repeat("01234567", 4), "secrets/twilio": shownSecrets[1], "secrets/sms-webhook": shownSecrets[1],
		"mails/de.json": "{\n  \"recover\": {\"subject\": \"Neues Passwort, {portal}\"}\n}\n", "broken-mails/de.json": "{\n  \"recover\": {\n    \"subjekt\": \"x\"\n  }\n}\n", "broken-mails/layout.html": "<p>{{.Nope}}<script>x</script>",
		"secrets/jwt": shownSecrets[1], "secrets/ca.pem": string(authority(t)), "secrets/keyring.json": string(ring), "secrets/database-url": "postgres://app@172.31.250.2/portalgate?sslmode=disable",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := breach.Build(strings.NewReader("9B6F8F2A2CE0E8DBDCB4D6C0F5A0A2A6D8D4B1C3:7\n"), "secrets/breach.filter"); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"PORTALGATE_DATABASE_URL":           "postgres://app@127.0.0.1:1/portalgate",
		"PORTALGATE_DATABASE_WITH_PASSWORD": "postgres://app:" + shownSecrets[0] + "@127.0.0.1/portalgate",
		"PORTALGATE_REDIS_URL":              "redis://127.0.0.1:1",
		"PORTALGATE_KEYRING":                "keyring.json",
		"PORTALGATE_OLD_SECRET":             shownSecrets[1],
		"PORTALGATE_UPSTREAM":               "127.0.0.1:3000",
		"PORTALGATE_EMPTY":                  "",
		"TWILIO_ACCOUNT":                    "AC" + strings.Repeat("01234567", 4),
		"XDG_DATA_HOME":                     filepath.Join(dir, "data"),
		"XDG_CONFIG_HOME":                   filepath.Join(dir, "config"),
		"HOME":                              dir,
	} {
		t.Setenv(name, value)
	}
}

// authority is a certificate as a file has it.
func authority(t *testing.T) []byte {
	t.Helper()
	a, err := sink.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return a.PEM()
}

// shownSecrets stand in files, variables or Caddyfiles, and in no complaint.
var shownSecrets = []string{"not-so-secret-99", "kX4v0tq9Zb2Wm7Ls1Dg8Hy3Nc6Rf5Pj0", "hunter2", "your-secret-key", "PRIVATE"}

// withoutPlace are refusals of something that stands in no line of ours.
var withoutPlace = map[string]string{
	"wrong_directive_without_global": "it is the block that is missing",
}

var placed = regexp.MustCompile(`\bCaddyfile:[1-9]`)

func TestEveryFixtureAdaptsAsItWasReviewed(t *testing.T) {
	all := fixtures(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			f := all[name]
			kind, _, _ := strings.Cut(name, "_")
			if refused, broken := f.complaint != "", f.adapted == nil; refused != (kind == "error" || kind == "wrong") || broken != (kind == "error") {
				t.Errorf("its name says what becomes of it: %s", f.complaint)
			}
			if formatted := string(caddyfile.Format([]byte(f.input))); formatted != f.input {
				t.Errorf("not formatted; it would be\n%s", formatted)
			}
			got := string(f.adapted)
			if f.complaint != "" {
				got = f.complaint + "\n"
				if !placed.MatchString(got) && withoutPlace[name] == "" {
					t.Errorf("it does not say where: %s", got)
				}
				for _, hidden := range shownSecrets {
					if strings.Contains(got, hidden) {
						t.Errorf("the complaint itself shows a secret: %s", got)
					}
				}
			}
			testenv.Golden(t, f.file, []byte(f.input+dashes+got))
		})
	}
}
