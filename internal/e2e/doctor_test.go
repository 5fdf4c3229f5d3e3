package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/testenv"
)

// outcome is how a command ended.
type outcome struct {
	stdout, stderr string
	code           int
}

// finish runs the binary to its end, and no longer than a minute.
func finish(t testing.TB, env []string, args ...string) (e outcome) {
	t.Helper()
	c := exec.Command(binary(t), args...)
	home := t.TempDir()
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_DATA_HOME=" + home, "XDG_CONFIG_HOME=" + home}, env...)
	var out, err bytes.Buffer
	c.Stdout, c.Stderr = &out, &err
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() }) // it has ended, as a rule
	defer late.Stop()
	failed := c.Wait()
	var code *exec.ExitError
	if failed != nil && !errors.As(failed, &code) {
		t.Fatal(failed)
	}
	return outcome{out.String(), err.String(), c.ProcessState.ExitCode()}
}

func (s *site) environment() []string {
	return []string{"PORTALGATE_DATABASE_URL=" + s.database, "PORTALGATE_KEYRING=" + s.keyring, "PORTALGATE_REDIS_URL=" + s.redis}
}

// write writes a site's Caddyfile and returns its name.
func (s *site) write(t testing.TB, change func(text string) string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "portalgate-dr-") // short: a socket's path has 108 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	text := s.caddyfile("0", dir)
	if change != nil {
		text = change(text)
	}
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// lineWith is a file's line with a text in it, as complaints name it.
func lineWith(t testing.TB, file, text string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range strings.Split(string(b), "\n") {
		if strings.Contains(l, text) {
			return fmt.Sprintf("%s:%d", file, i+1)
		}
	}
	t.Fatalf("%s has no line with %s", file, text)
	return ""
}

// known makes a database know a site's keys, as the first start does.
func (s *site) known(t testing.TB) {
	t.Helper()
	g := s.start(t)
	g.stop(t)
}

// otherKeys is a keyring of somebody else.
func otherKeys(t testing.TB, change func(keys []any) []any) string {
	t.Helper()
	b, err := secret.Generate(time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		var f map[string]any
		if err := json.Unmarshal(b, &f); err != nil {
			t.Fatal(err)
		}
		f["keys"] = change(f["keys"].([]any))
		if b, err = json.Marshal(f); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "other.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// leaky fails when an output shows a password, or a key of a keyring.
func leaky(t testing.TB, keyring string, outputs ...string) {
	t.Helper()
	hidden := []string{"hunter2"}
	if b, err := os.ReadFile(keyring); err == nil {
		for _, m := range regexp.MustCompile(`"secret": ?"([^"]{9,})"`).FindAllStringSubmatch(string(b), -1) {
			hidden = append(hidden, m[1])
		}
	}
	for _, out := range outputs {
		for _, h := range hidden {
			if strings.Contains(out, h) {
				t.Errorf("it shows %s…: %s", h[:4], out)
			}
		}
	}
}

// The doctor names what is wrong and what mends it, for people and for programs, and fails when there is anything.
func TestTheDoctorNamesWhatIsWrongAndItsMend(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.known(t)
	s.redis = testenv.LoneRedis(t).URL()
	file := s.write(t, nil)
	well := finish(t, s.environment(), "doctor", "--config", file, "--json")
	var found []struct{ Check, State, Says string }
	if err := json.Unmarshal([]byte(well.stdout), &found); err != nil || well.code != 0 || well.stderr != "" {
		t.Fatalf("a site that is well: %v, %+v", err, well)
	}
	seen := map[string]bool{}
	for _, f := range found {
		seen[f.Check] = true
		if f.State == "wrong" || f.Says == "" {
			t.Errorf("a site that is well: %+v", f)
		}
	}
	for _, check := range []string{"configuration", "database", "clock", "tenants", "keyring", "redis"} {
		if !seen[check] {
			t.Errorf("the doctor says nothing of the %s: %s", check, well.stdout)
		}
	}

	// What the command line names is what is looked at, whatever the configuration says.
	if other := finish(t, s.environment(), "doctor", "--config", file, "--keyring", otherKeys(t, nil)); other.code == 0 || !strings.Contains(other.stdout, "other.json: key ") {
		t.Errorf("with another keyring: %+v", other)
	}

	// An operator's login is no gateway's, and nobody is told to make it one.
	desk := finish(t, []string{"PORTALGATE_DATABASE_URL=" + s.house.DB.OperatorURL, "PORTALGATE_KEYRING=" + s.keyring}, "doctor")
	if desk.code != 0 || !strings.Contains(desk.stdout, "this login is an operator's; --config Caddyfile has that of the gateway judged") {
		t.Errorf("with an operator's login: %+v", desk)
	}

	_, withPassword := passwordServer(t)
	for name, c := range map[string]struct {
		ill   func(t *testing.T, s *site) // what is wrong with a copy of the site
		fresh bool                        // on a database of its own
		check string
		says  []string
	}{
		"no database there": {func(t *testing.T, s *site) { s.database = "postgres://app:hunter2@127.0.0.1:1/portal?sslmode=disable" }, false,
			"database", []string{"does not answer", "is it running, and is the address right?"}},
		"a wrong password": {func(t *testing.T, s *site) { s.database = withPassword("owner", "hunter2") }, false,
			"database", []string{"refuses this login; look at the user and the password in its address"}},
		"no database of that name": {func(t *testing.T, s *site) {
			s.database = strings.Replace(s.database, s.house.DB.Name, "nowhere", 1)
		}, false, "database", []string{"no database of that name; make it with `createdb`, or mend the address"}},
		"a superuser": {func(t *testing.T, s *site) { s.database = s.house.DB.RootURL }, false,
			"database", []string{"is a superuser and would see every tenant; connect as a role made with `create role app login"}},
		"an operator's login": {func(t *testing.T, s *site) { s.database = s.house.DB.OperatorURL }, false,
			"database", []string{"role operator is an operator's, for commands, and may do what the gateway never should; connect as a role made with"}},
		"the tables' owner": {func(t *testing.T, s *site) { s.database = s.house.DB.OwnerURL }, false,
			"database", []string{"an owner can lift row-level security; connect as a role made with `create role app login"}},
		"a table that is open": {func(t *testing.T, s *site) {
			s.house.DB.Exec(t, `alter table portalgate.sessions no force row level security`)
		}, true,
			"database", []string{"row-level security is not forced on portalgate.sessions; run `portalgate migrate up", "find out who lifted it"}},
		"a migration that is missing": {func(t *testing.T, s *site) {
			s.house.DB.Exec(t, `delete from portalgate.schema_version where version_id = (select max(version_id) from portalgate.schema_version)`)
		}, true, "database", []string{"its schema is at version ", "and this program needs ", "run `portalgate migrate up --database \"$OWNER_URL\"`"}},
		"no tables at all": {func(t *testing.T, s *site) { s.database = testenv.EmptyDatabase(t).AppURL }, false,
			"database", []string{"it has no schema portalgate; run `portalgate migrate up"}},
		"a clock that is wrong": {func(t *testing.T, s *site) {
			s.house.DB.Exec(t, `create schema wrong`)
			s.house.DB.Exec(t, `grant usage on schema wrong to app`)
			s.house.DB.Exec(t, `create function wrong.clock_timestamp() returns timestamptz language sql as 'select pg_catalog.clock_timestamp() + interval ''90 seconds'''`)
			s.house.DB.Exec(t, `alter role app in database `+s.house.DB.Name+` set search_path = wrong, pg_catalog, public`)
		}, true, "clock", []string{"1m30", "away from the database's; have both machines keep time by NTP"}},
		"nobody to serve": {func(t *testing.T, s *site) { s.house.DB.Exec(t, `delete from portalgate.hosts`) }, true,
			"tenants", []string{"no tenant has a host, and every request is answered 421; `portalgate tenant add"}},
		"addresses that triggers have passed over": {func(t *testing.T, s *site) { s.house.DB.Exec(t, `delete from portalgate.addresses`) }, true,
			"people", []string{"cannot sign in, because the address was written while triggers were off; as the tables' owner: `begin; set local app.current_tenant_id = '", "update public.customer_users set email = email"}},
		"somebody else's keyring": {func(t *testing.T, s *site) { s.keyring = otherKeys(t, nil) }, false,
			"keyring", []string{"other.json: key ", "is missing from the keyring, and this database was written with it; so are 7 of the 7 keys that it knows; use the keyring that belongs to this database"}},
		"no keyring": {func(t *testing.T, s *site) { s.keyring = "/nowhere/keyring.json" }, false,
			"keyring", []string{"/nowhere/keyring.json: no such file; make one with `portalgate keys generate --out"}},
		"no Redis there": {func(t *testing.T, s *site) { s.redis = "redis://:hunter2@127.0.0.1:1" }, false,
			"redis", []string{"does not answer", "is it running, and is the address right?"}},
		"no mail server there": {func(t *testing.T, s *site) { s.global = "mail {\nfrom a@b.example\nsmtp 127.0.0.1:1\n}" }, false,
			"mail", []string{"the SMTP server cannot be reached"}},
		"a misspelt option": {func(t *testing.T, s *site) { s.global = "answer_afer 1s" }, false,
			"configuration", []string{`portalgate has no option "answer_afer"; did you mean "answer_after"?`, "Caddyfile:"}},
		"a secret that is written out": {func(t *testing.T, s *site) {
			s.block = "upstream_token jwt {\nsecret hunter2hunter2hunter2hunter2hunter2\n}"
		}, false,
			"configuration", []string{"upstream_token secret: is written out; use {file.…}", "Caddyfile:"}},
	} {
		t.Run(name, func(t *testing.T) {
			ill := *s
			if c.fresh {
				ill = *newSite(t)
			}
			c.ill(t, &ill)
			file := ill.write(t, nil)
			people := finish(t, ill.environment(), "doctor", "--config", file)
			programs := finish(t, ill.environment(), "doctor", "--config", file, "--json")
			for _, e := range []outcome{people, programs} {
				if e.code != 1 || !regexp.MustCompile(`^Error: \d+ things? to mend, of \d+ looked at\n$`).MatchString(e.stderr) {
					t.Errorf("it ends with code %d and says %s%s", e.code, e.stdout, e.stderr)
				}
				leaky(t, ill.keyring, e.stdout, e.stderr)
			}
			found = nil
			if err := json.Unmarshal([]byte(programs.stdout), &found); err != nil {
				t.Fatalf("%v: %s", err, programs.stdout)
			}
			said := ""
			for _, f := range found {
				if f.State == "wrong" && f.Check == c.check {
					said += f.Says + "\n"
				}
			}
			for _, want := range c.says {
				if !strings.Contains(said, want) || !strings.Contains(people.stdout, want) {
					t.Errorf("of the %s it says %q, and not %q:\n%s", c.check, said, want, people.stdout)
				}
			}
		})
	}
}

// A gateway that cannot be trusted with what it is given does not start: it names the place and the mend, shows no
// secret, and ends with code 1.
func TestAGatewayThatMayNotStartSaysWhereAndWhy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.known(t)
	type key = map[string]any
	keyring, database := "keyring {env.PORTALGATE_KEYRING}", "database {env.PORTALGATE_DATABASE_URL}"
	for name, c := range map[string]struct {
		ill  func(t *testing.T, s *site)
		at   string // the line that is to blame
		says []string
	}{
		"a superuser": {func(t *testing.T, s *site) { s.database = s.house.DB.RootURL }, database,
			[]string{"database: role postgres is a superuser and would see every tenant; connect as a role made with"}},
		"the tables' owner": {func(t *testing.T, s *site) { s.database = s.house.DB.OwnerURL }, database,
			[]string{"database: role owner owns ", "an owner can lift row-level security; connect as a role made with"}},
		"no tables at all": {func(t *testing.T, s *site) { s.database = testenv.EmptyDatabase(t).AppURL }, database,
			[]string{"it has no schema portalgate; run `portalgate migrate up"}},
		"somebody else's keyring": {func(t *testing.T, s *site) { s.keyring = otherKeys(t, nil) }, keyring,
			[]string{"keyring: ", "is missing from the keyring, and this database was written with it; so are 7 of the 7 keys that it knows; use the keyring that belongs to this database"}},
		"another key of the same name": {func(t *testing.T, s *site) { s.keyring = renamed(t, s.keyring) }, keyring,
			[]string{"in the keyring is another key than the one of that name that this database was written with"}},
		"no keyring": {func(t *testing.T, s *site) { s.keyring = "/nowhere/keyring.json" }, keyring,
			[]string{"keyring: /nowhere/keyring.json: no such file; make one with `portalgate keys generate --out"}},
		"a key that is missing": {func(t *testing.T, s *site) { s.keyring = otherKeys(t, func(k []any) []any { return k[1:] }) }, keyring,
			[]string{`has no key for "access"`}},
		"a short key": {func(t *testing.T, s *site) {
			s.keyring = otherKeys(t, func(k []any) []any { k[1].(key)["secret"] = "MDEyMzQ1Njc4OWFiY2RlZg=="; return k })
		}, keyring, []string{"is too short: 16 bytes, 32 are needed"}},
		"a key from a page": {func(t *testing.T, s *site) {
			s.keyring = otherKeys(t, func(k []any) []any { k[1].(key)["secret"] = "cmVwbGFjZSB0aGlzIGJ5IGEgcmFuZG9tIHNlY3JldCE="; return k })
		}, keyring, []string{"is an example, not a random key"}},
		"one secret for two purposes": {func(t *testing.T, s *site) {
			s.keyring = otherKeys(t, func(k []any) []any { k[1].(key)["secret"] = k[0].(key)["secret"]; return k })
		}, keyring, []string{"has the same secret as key"}},
		"a secret that is written out": {func(t *testing.T, s *site) { s.global = "redis redis://:hunter2@127.0.0.1:6379" }, "redis redis://",
			[]string{"redis: has a password written out", "use {env.PORTALGATE_REDIS_URL} or {file.…}"}},
		"a misspelt option": {func(t *testing.T, s *site) { s.global = "answer_afer 1s" }, "answer_afer",
			[]string{`portalgate has no option "answer_afer"; did you mean "answer_after"?`}},
		"sessions in the access log": {func(t *testing.T, s *site) { s.caddy = "servers {\n\t\tlog_credentials\n\t}" }, "",
			[]string{"log_credentials would write everybody's session into the access log", "take it out of `servers { … }`"}},
	} {
		t.Run(name, func(t *testing.T) {
			ill := *s
			c.ill(t, &ill)
			file := ill.write(t, nil)
			e := finish(t, ill.environment(), "run", "--config", file)
			if e.code != 1 {
				t.Errorf("it ends with code %d", e.code)
			}
			said := e.stdout + e.stderr
			leaky(t, ill.keyring, said)
			want := c.says
			if c.at != "" {
				want = append(want, lineWith(t, file, c.at))
			}
			for _, w := range want {
				if !strings.Contains(strings.ReplaceAll(said, `\"`, `"`), w) {
					t.Errorf("it does not say %q:\n%s", w, said)
				}
			}
		})
	}
}

// renamed is a keyring whose keys have the names of another's.
func renamed(t testing.TB, from string) string {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	ids := regexp.MustCompile(`"id": ?"([^"]+)"`).FindAllStringSubmatch(string(b), -1)
	return otherKeys(t, func(keys []any) []any {
		for i := range keys {
			keys[i].(map[string]any)["id"] = ids[i][1]
		}
		return keys
	})
}
