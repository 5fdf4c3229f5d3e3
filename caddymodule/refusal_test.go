package caddymodule

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the directives around ours

	"github.com/portalgate/portalgate/internal/secret"
)

// validated is what `portalgate validate` says of a Caddyfile; nothing means that it would pass.
func validated(t *testing.T, text string) string {
	t.Helper()
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err.Error()
	}
	return validatedJSON(t, adapted)
}

func validatedJSON(t *testing.T, b []byte) string {
	t.Helper()
	var c caddy.Config
	if err := caddy.StrictUnmarshalJSON(b, &c); err != nil {
		return err.Error()
	}
	c.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{WriterRaw: json.RawMessage(`{"output": "discard"}`)}}}}
	if err := caddy.Validate(&c); err != nil {
		return err.Error()
	}
	return ""
}

// written is a Caddyfile around lines of the global option and of the directive.
func written(admin, global, directive string) string {
	return fmt.Sprintf("{\n\t%s\n\tportalgate {\n%s\n\t}\n}\nhttps:// {\n\ttls internal\n\tportalgate {\n%s\n\t}\n\treverse_proxy erp:3000\n}\n", admin, global, directive)
}

// refusalFiles is a directory with a keyring.
func refusalFiles(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	ring, err := secret.Generate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := secret.WriteNew(filepath.Join(dir, "keyring.json"), ring); err != nil {
		t.Fatal(err)
	}
	return dir
}

// KEY-04: a keyring that could not protect anything is refused, with the key's id and never its secret.
func TestAKeyringThatProtectsNothingIsRefused(t *testing.T) {
	ring, err := secret.Generate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	type key = map[string]any
	for name, c := range map[string]struct {
		change func(keys []any) []any
		says   string
	}{
		"as it was made":    {func(k []any) []any { return k }, ""},
		"a key is missing":  {func(k []any) []any { return k[1:] }, `has no key for "access"`},
		"no keyed password": {func(k []any) []any { return append(append([]any{}, k[:4]...), k[5:]...) }, ""}, // the legal choice of none
		"a short key": {func(k []any) []any {
			k[1].(key)["secret"] = base64.StdEncoding.EncodeToString([]byte("0123456789abcdef"))
			return k
		}, "is too short: 16 bytes, 32 are needed"},
		"a key of zeros": {func(k []any) []any {
			k[1].(key)["secret"] = base64.StdEncoding.EncodeToString(make([]byte, 32))
			return k
		}, "is an example, not a random key"},
		"a key from a page": {func(k []any) []any {
			k[1].(key)["secret"] = base64.StdEncoding.EncodeToString([]byte("replace this by a random secret!"))
			return k
		}, "is an example, not a random key"},
		"one secret for two": {func(k []any) []any { k[1].(key)["secret"] = k[0].(key)["secret"]; return k }, "has the same secret as key"},
		"one id for two":     {func(k []any) []any { k[1].(key)["id"] = k[0].(key)["id"]; return k }, "stands in the file twice"},
		"not base64":         {func(k []any) []any { k[1].(key)["secret"] = "%%%"; return k }, "is not base64"},
		"unknown purpose":    {func(k []any) []any { k[1].(key)["purpose"] = "tea"; return k }, `unknown purpose "tea"`},
	} {
		t.Run(name, func(t *testing.T) {
			var f map[string]any
			if err := json.Unmarshal(ring, &f); err != nil {
				t.Fatal(err)
			}
			f["keys"] = c.change(f["keys"].([]any))
			b, err := json.Marshal(f)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "keyring.json")
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			said := validated(t, written("admin off", "database postgres://app@127.0.0.1/x\nkeyring "+file+" # here", ""))
			if (said == "") != (c.says == "") || !strings.Contains(said, c.says) {
				t.Fatalf("said %q, want %q in it", said, c.says)
			}
			if said != "" && !strings.Contains(said, "Caddyfile:5: keyring: "+file) {
				t.Errorf("said %q, without the place", said)
			}
			for _, k := range f["keys"].([]any) {
				if s := k.(key)["secret"].(string); len(s) > 8 && strings.Contains(said, s) {
					t.Errorf("the complaint shows a secret: %s", said)
				}
			}
		})
	}
}

// CFG-04, in a Caddyfile and in JSON.
func TestTheAdminEndpointStaysOffTheNetwork(t *testing.T) {
	dir := refusalFiles(t)
	for admin, refused := range map[string]bool{
		"admin off": false, "admin unix/" + dir + "/admin.sock": false, "admin localhost:2019": false, "admin 127.0.0.1:2019": false, "admin [::1]:2019": false, "": false,
		"admin :2019": true, "admin 0.0.0.0:2019": true, "admin [::]:2019": true, "admin 192.0.2.7:2019": true, "admin admin.example:2019": true,
	} {
		text := written(admin, "database postgres://app@127.0.0.1/x\nkeyring "+dir+"/keyring.json", "")
		if said := validated(t, text); (said != "") != refused || refused && !strings.Contains(said, "can be reached from the network, and whoever reaches it can change everything; use a socket") {
			t.Errorf("%q: said %q", admin, said)
		}
	}
	app := `"apps": {"portalgate": {"database": "postgres://app@127.0.0.1/x", "keyring": "` + dir + `/keyring.json"}}`
	for admin, refused := range map[string]bool{
		`{"listen": "0.0.0.0:2019"}`: true, `{"listen": "localhost:2019"}`: false, `{"disabled": true}`: false,
		`{"listen": "localhost:2019", "remote": {"listen": ":2021"}}`: true, `{"listen": "{env.PORTALGATE_TEST_UNSET}0.0.0.0:2019"}`: false, // which Caddy refuses itself
	} {
		if said := validatedJSON(t, []byte(`{"admin": `+admin+`, `+app+`}`)); (said != "") != refused {
			t.Errorf("%s: said %q", admin, said)
		}
	}
}

// Where a module is told about itself only, the endpoint is read from a field of Caddy's by its name.
func TestThisCaddyShowsItsAdminEndpoint(t *testing.T) {
	if _, shown := endpoint(caddy.Context{}); shown {
		t.Error("a context without a configuration shows one")
	}
	dir := refusalFiles(t)
	if said := validated(t, written("admin :2019", "database postgres://app@127.0.0.1/x\nkeyring "+dir+"/keyring.json", "")); said == "" {
		t.Error("the field has another name in this release of Caddy; look at endpoint()")
	}
}

func TestNumbersOfJSONAreJudgedToo(t *testing.T) {
	dir := refusalFiles(t)
	for option, says := range map[string]string{
		`"hashing_slots": -1`:                        "hashing_slots: -1 is not between",
		`"database_connections": -5`:                 "database connections: -5 is not between",
		`"sessions_per_user": -1`:                    "sessions_per_user: -1 is not between",
		`"sessions": {"idle": "-1h"}`:                "sessions idle: is negative",
		`"answer_after": "-1s"`:                      "answer_after: -1s is not between",
		`"password": {"score": -1}`:                  "password score: -1 is not between",
		`"password": {"breach": {"source": "file"}}`: "password breach: has no path",
		`"password": {"breach": {"source": "hibp"}}`: "password breach: ",
		`"databse": "x"`:                             `unknown field "databse"`,
		`"upstream_token": {"secret": ""}`:           "upstream_token secret: is missing",
	} {
		said := validatedJSON(t, []byte(`{"admin": {"disabled": true}, "apps": {"portalgate": {"database": "postgres://app@127.0.0.1/x", "keyring": "`+dir+`/keyring.json", `+option+`}}}`))
		if !strings.Contains(said, says) {
			t.Errorf("%s: said %q, want %q in it", option, said, says)
		}
	}
}
