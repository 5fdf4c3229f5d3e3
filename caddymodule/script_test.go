package caddymodule_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/portalgate/portalgate/caddymodule"
	"github.com/portalgate/portalgate/internal/testenv"
)

// The scripts call this test binary by two names: our own program without its demo, and a Caddy that somebody has built
// with the module.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"portalgate": func() { caddymodule.Main() },
		"caddy":      caddycmd.Main,
	})
}

// Each file below testdata/script is an operator's afternoon at a shell: add a file, get a test. Besides testscript's own
// commands there are:
//
//	database           a migrated database, by its roles: $OWNER_URL, $APP_URL, $OPERATOR_URL, $ROOT_URL; the environment
//	                   names the operator's, as it would on the machine where commands are run
//	emptydatabase      one without any table: $OWNER_URL, $ROOT_URL
//	sql SQL WANT       one text, as a superuser sees it
//	json               the last output is one JSON value
//	mode FILE OCTAL    a file's permissions
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts: ", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			script(t, file)
		})
	}
}

func script(t *testing.T, file string) {
	var db testenv.DB
	set := func(ts *testscript.TestScript) {
		for name, value := range map[string]string{"OWNER_URL": db.OwnerURL, "APP_URL": db.AppURL, "OPERATOR_URL": db.OperatorURL, "ROOT_URL": db.RootURL} {
			ts.Setenv(name, value)
		}
	}
	testscript.Run(t, testscript.Params{
		Files:               []string{file},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			for _, name := range []string{"PORTALGATE_DATABASE_URL", "PORTALGATE_KEYRING", "PORTALGATE_REDIS_URL"} {
				e.Setenv(name, "")
			}
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_DATA_HOME", filepath.Join(e.WorkDir, "data"))
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, "config"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"database": func(ts *testscript.TestScript, _ bool, _ []string) {
				db = testenv.FreshDatabase(t)
				set(ts)
				ts.Setenv("PORTALGATE_DATABASE_URL", db.OperatorURL)
			},
			"emptydatabase": func(ts *testscript.TestScript, _ bool, _ []string) {
				db = testenv.EmptyDatabase(t)
				set(ts)
			},
			"sql": func(ts *testscript.TestScript, neg bool, args []string) {
				if len(args) != 2 || neg {
					ts.Fatalf("usage: sql SQL WANT")
				}
				var got string
				db.Row(t, args[0], nil, &got)
				if got != args[1] {
					ts.Fatalf("%s:\n got %s\nwant %s", args[0], got, args[1])
				}
			},
			"json": func(ts *testscript.TestScript, _ bool, _ []string) {
				d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
				var v any
				if err := d.Decode(&v); err != nil {
					ts.Fatalf("not JSON: %v", err)
				}
				if d.More() {
					ts.Fatalf("more than one JSON value")
				}
			},
			"mode": func(ts *testscript.TestScript, _ bool, args []string) {
				info, err := os.Stat(ts.MkAbs(args[0]))
				ts.Check(err)
				if got := info.Mode().Perm().String(); got != args[1] {
					ts.Fatalf("%s has %s, not %s", args[0], got, args[1])
				}
			},
		},
	})
}
