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

// lineOf is the line that ends with "# here".
func lineOf(text string) string {
	for i, l := range strings.Split(text, "\n") {
		if strings.HasSuffix(l, "# here") {
			return fmt.Sprintf("Caddyfile:%d", i+1)
		}
	}
	return ""
}

// refusalFiles are what the configurations name.
func refusalFiles(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	ring, err := secret.Generate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"keyring.json": string(ring), "empty": "", "blank": "\n", "database": "postgres://app@127.0.0.1/portal\n",
		"password": "not-so-secret-99", "jwt": "Vt8kqJ2mXz4cWn7bLr9sYp3dHg6fTa1e", "default-jwt": "your-secret-key-change-in-production", "short-jwt": "abc"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// CFG-01, CFG-02, KEY-04, contract 3: what validate can judge without asking anybody, each with its place and its mend.
func TestAWrongOptionIsRefusedWithItsPlaceAndItsMend(t *testing.T) {
	dir := refusalFiles(t)
	t.Setenv("PORTALGATE_TEST_EMPTY", "")
	t.Setenv("PORTALGATE_TEST_DATABASE", "postgres://app:not-so-secret@127.0.0.1/portal")
	t.Setenv("PORTALGATE_TEST_REMOTE", "postgres://app:pw@db.example/portal")
	database, keyring := "database {env.PORTALGATE_TEST_DATABASE}", "keyring "+dir+"/keyring.json"
	both := database + "\n" + keyring + "\n"
	for name, c := range map[string]struct {
		global, directive string
		says              []string
	}{
		"nothing is wrong":                  {both, "public /assets/* /favicon.ico\nrequire mfa /billing/*\ngraphql /graphql\ncross_site POST /payment/return", nil},
		"the database in a file":            {"database {file." + dir + "/database}\n" + keyring, "", nil},
		"a password from a file":            {"database postgres://app:{file." + dir + "/password}@127.0.0.1/portal\n" + keyring, "", nil},
		"a trial with literal secrets":      {"database postgres://app:pw@127.0.0.1/x\n" + keyring + "\nliteral_secrets allow", "", nil},
		"TLS to a far database":             {"database postgres://app@db.example/x?sslmode=verify-full\n" + keyring, "", nil},
		"a network excepted by name":        {"database postgres://app@10.1.2.3/x {\nplaintext_network 10.0.0.0/8\n}\n" + keyring, "", nil},
		"no database":                       {keyring, "", []string{"Caddyfile:3: database: is missing"}},
		"no keyring":                        {database, "", []string{"Caddyfile:3: keyring: is missing"}},
		"an empty variable":                 {"database {env.PORTALGATE_TEST_EMPTY} # here\n" + keyring, "", []string{"database: {env.PORTALGATE_TEST_EMPTY} is empty; is the variable set"}},
		"a variable that is not set":        {"database {env.PORTALGATE_TEST_UNSET} # here\n" + keyring, "", []string{"database: {env.PORTALGATE_TEST_UNSET} is empty"}},
		"an empty password in an address":   {"database postgres://app:{env.PORTALGATE_TEST_EMPTY}@127.0.0.1/x # here\n" + keyring, "", []string{"database: {env.PORTALGATE_TEST_EMPTY} is empty"}},
		"a file that is not there":          {"database {file." + dir + "/none} # here\n" + keyring, "", []string{"database: {file." + dir + "/none} is empty; is the variable set, and the file there and readable?"}},
		"a file that cannot be read":        {"database {file." + dir + "} # here\n" + keyring, "", []string{"database: {file." + dir + "} is empty"}},
		"a file that is empty":              {"database {file." + dir + "/blank} # here\n" + keyring, "", []string{"database: {file." + dir + "/blank} is empty"}},
		"an empty address of Redis":         {both + "redis {env.PORTALGATE_TEST_EMPTY} # here", "", []string{"redis: {env.PORTALGATE_TEST_EMPTY} is empty"}},
		"a placeholder that does not exist": {"database {nothing.at.all} # here\n" + keyring, "", []string{"database: unrecognized placeholder {nothing.at.all}"}},
		"no keyring file":                   {database + "\nkeyring " + dir + "/none.json # here", "", []string{"keyring: " + dir + "/none.json: no such file; make one with `portalgate keys generate --out"}},
		"a keyring that is a directory":     {database + "\nkeyring " + dir + " # here", "", []string{"is not a keyring file"}},

		"a password in the database's address":  {"database postgres://app:hunter2@127.0.0.1/x # here\n" + keyring, "", []string{"database: has a password written out", "use {env.PORTALGATE_DATABASE_URL} or {file.…}"}},
		"a password as a word of its own":       {"database \"host=127.0.0.1 user=app password=hunter2\" # here\n" + keyring, "", []string{"database: has a password written out"}},
		"a password as a parameter":             {"database postgres://app@127.0.0.1/x?password=hunter2 # here\n" + keyring, "", []string{"database: has a password written out"}},
		"half of a password":                    {"database postgres://app:{env.PORTALGATE_TEST_DATABASE}hunter2@127.0.0.1/x # here\n" + keyring, "", []string{"database: has a password written out"}},
		"a variable that is replaced before":    {"database {$PORTALGATE_TEST_DATABASE} # here\n" + keyring, "", []string{"database: has a password written out", "{$VAR} too"}},
		"a password in the address of Redis":    {both + "redis redis://:hunter2@127.0.0.1:6379 # here", "", []string{"redis: has a password written out", "use {env.PORTALGATE_REDIS_URL}"}},
		"a literal secret of the backend":       {both + "upstream_token jwt {\nsecret Vt8kqJ2mXz4cWn7bLr9sYp3dHg6fTa1e # here\n}", "", []string{"upstream_token secret: is written out; use {file.…}"}},
		"a literal password of the mail server": {both + "mail {\nfrom a@b.example\nsmtp mail.example:587 {\nusername u\npassword hunter2 # here\n}\n}", "", []string{"mail smtp password: is written out"}},
		"the backend's published default":       {both + "upstream_token jwt {\nsecret {file." + dir + "/default-jwt} # here\n}", "", []string{"upstream_token secret: the backend's secret is a published default"}},
		"a short secret of the backend":         {both + "upstream_token jwt {\nsecret {file." + dir + "/short-jwt} # here\n}", "", []string{"upstream_token secret: the backend's secret is too short"}},
		"no secret of the backend":              {both + "upstream_token jwt # here", "", []string{"upstream_token secret: is missing"}},
		"a literal secret in one site":          {both, "upstream_token jwt {\nsecret Vt8kqJ2mXz4cWn7bLr9sYp3dHg6fTa1e # here\n}", []string{"upstream_token secret: is written out"}},
		"a published default in one site":       {both, "upstream_token jwt {\nsecret {file." + dir + "/default-jwt} # here\n}", []string{"published default"}},

		"no TLS to a far database":   {"database {env.PORTALGATE_TEST_REMOTE} # here\n" + keyring, "", []string{"database: the connection to the database at db.example could be without TLS; add sslmode=verify-full"}},
		"TLS that is only preferred": {"database postgres://app@db.example/x?sslmode=prefer # here\n" + keyring, "", []string{"could be without TLS"}},
		"no TLS to a far Redis":      {both + "redis redis://cache.example:6379 # here", "", []string{"redis: the connection to cache.example:6379 is without TLS; write rediss://"}},
		"an unreadable database":     {"database postgres://app@127.0.0.1:port/x # here\n" + keyring, "", []string{"database: reading the database's address"}},
		"an unreadable Redis":        {both + "redis http://127.0.0.1 # here", "", []string{"redis: its address cannot be read; write redis://"}},
		"everybody without TLS":      {"database postgres://app@127.0.0.1/x {\nplaintext_network 0.0.0.0/0 # here\n}\n" + keyring, "", []string{"plaintext_network: 0.0.0.0/0 is the whole internet"}},
		"a network that is none":     {both + "limit_exempt office # here", "", []string{`limit_exempt: "office" is not a network like`}},

		"a misspelt option":                   {strings.Replace(both, "keyring", "keyrng", 1), "", []string{`portalgate has no option "keyrng"; did you mean "keyring"?`, "Caddyfile:5"}},
		"an option nothing is like":           {both + "frobnicate yes # here", "", []string{`portalgate has no option "frobnicate"`}},
		"a misspelt option of a block":        {both + "sessions {\nacces 30m # here\n}", "", []string{`sessions has no option "acces"; did you mean "access"?`}},
		"a misspelt option of the directive":  {both, "pubic /assets/* # here", []string{`portalgate has no option "pubic"; did you mean "public"?`}},
		"an option twice":                     {both + keyring + " # here", "", []string{`portalgate has "keyring" twice`}},
		"an option without its value":         {both + "realm # here", "", []string{"wrong argument count"}},
		"an option with too many values":      {both + "realm a b # here", "", []string{"wrong argument count"}},
		"a value where a block belongs":       {both + "mail smtp.example # here", "", []string{`mail takes a block here, not "smtp.example"`}},
		"a policy that does not exist":        {both + "policy strict # here", "", []string{`policy: "strict" is none; write`}},
		"a duration that is none":             {both + "answer_after soon # here", "", []string{`answer_after takes a duration such as 30m or 10h, not "soon"`}},
		"a negative duration":                 {both + "answer_after -1s # here", "", []string{"answer_after takes a duration"}},
		"an answer that comes too late":       {both + "answer_after 1m # here", "", []string{"answer_after: 1m0s is not between 0 and 5s"}},
		"a number that is none":               {both + "hashing_slots many # here", "", []string{`hashing_slots takes a whole number from 1, not "many"`}},
		"a number out of its bounds":          {both + "hashing_slots 1000 # here", "", []string{"hashing_slots: 1000 is not between 1 and 256"}},
		"too many connections":                {"database postgres://app@127.0.0.1/x {\nconnections 5000 # here\n}\n" + keyring, "", []string{"database connections: 5000 is not between 1 and 1000"}},
		"an access token of seconds":          {both + "sessions {\naccess 5s # here\n}", "", []string{"sessions access: 5s is not between 1m and 1h"}},
		"sessions shorter than their tokens":  {both + "sessions {\nidle 2m # here\n}", "", []string{"sessions idle: 2m0s is shorter than the access token's"}},
		"sessions that end before they idle":  {both + "sessions {\nabsolute 1h # here\n}", "", []string{"sessions absolute: 1h0m0s is shorter than the idle limit"}},
		"remembered ones likewise":            {both + "sessions {\nremember_absolute 2h # here\n}", "", []string{"sessions remember_absolute: 2h0m0s is shorter than the idle limit"}},
		"passwords of four characters":        {both + "password_min 4 # here", "", []string{"password_min: 4 is not between 8 and 64"}},
		"sessions without end":                {both + "sessions_per_user 5000 # here", "", []string{"sessions_per_user: 5000 is not between 1 and 1000"}},
		"a prefix without its slash":          {both + "prefix auth # here", "", []string{`prefix: "auth" is not a path like /auth`}},
		"a prefix of everything":              {both + "prefix / # here", "", []string{`prefix: "/" is not a path like /auth`}},
		"a prefix that climbs":                {both + "prefix /a/../b # here", "", []string{"is not a path like /auth"}},
		"a header prefix that is everybody's": {both + "header_prefix X- # here", "", []string{`header_prefix: "X-" must have at least three letters`}},
		"a header prefix without its dash":    {both + "header_prefix XPortal # here", "", []string{"and end with a dash"}},
		"a header prefix that is no name":     {both + "header_prefix \"X Portal-\" # here", "", []string{"letters, digits and dashes"}},
		"literal secrets by another word":     {both + "literal_secrets yes # here", "", []string{"literal_secrets can only be `allow`"}},
		"an upstream token of another kind":   {both + "upstream_token opaque # here", "", []string{`upstream_token is of the kind jwt, not "opaque"`}},
		"mail without a sender":               {both + "mail { # here\nsmtp mail.example:587\n}", "", []string{"mail: needs `from` and `smtp`"}},
		"observing nowhere":                   {both + "observe nowhere # here", "", []string{`observe: "nowhere" is not`}},
		"everything public":                   {both, "public /* # here", []string{"public: /* would open everything"}},
		"a star in the middle":                {both, "public /a*b # here", []string{`public: "/a*b" has a star`}},
		"a relative path":                     {both, "graphql graphql # here", []string{`graphql: "graphql" does not begin with a slash`}},
		"require without its kind":            {both, "require /billing/* # here", []string{"require is written `require mfa /path/*`"}},
		"another site's pattern":              {both, "cross_site POST /payment/* # here", []string{`cross_site: "POST" "/payment/*" is not a method in capitals and an exact path`}},
	} {
		t.Run(name, func(t *testing.T) {
			text := written("admin off", c.global, c.directive)
			said := validated(t, text)
			if len(c.says) == 0 {
				if said != "" {
					t.Errorf("refused: %s", said)
				}
				return
			}
			for _, want := range append(c.says, lineOf(text)) {
				if !strings.Contains(said, want) {
					t.Errorf("said %q, and not %q", said, want)
				}
			}
			for _, hidden := range []string{"hunter2", "not-so-secret", "Vt8kqJ2mXz4c", "PRIVATE"} {
				if strings.Contains(said, hidden) {
					t.Errorf("the complaint itself shows a secret: %s", said)
				}
			}
		})
	}
}

func TestEveryComplaintIsMadeAtOnce(t *testing.T) {
	dir := refusalFiles(t)
	said := validated(t, written("admin 0.0.0.0:2019", "database postgres://app:hunter2@db.example/x\nredis redis://cache.example\nkeyring "+dir+"/none.json\nprefix auth\npolicy strict", "public /*\n"))
	for _, want := range []string{"Caddyfile:4: database: has a password", "Caddyfile:4: database: the connection", "Caddyfile:5: redis:", "Caddyfile:6: keyring:", "Caddyfile:7: prefix:", "Caddyfile:8: policy:", "admin: 0.0.0.0:2019"} {
		if !strings.Contains(said, want) {
			t.Errorf("said %q, and not %q", said, want)
		}
	}
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
		`"hashing_slots": -1`:              "hashing_slots: -1 is not between",
		`"database_connections": -5`:       "database connections: -5 is not between",
		`"sessions_per_user": -1`:          "sessions_per_user: -1 is not between",
		`"sessions": {"idle": "-1h"}`:      "sessions idle: is negative",
		`"answer_after": "-1s"`:            "answer_after: -1s is not between",
		`"databse": "x"`:                   `unknown field "databse"`,
		`"upstream_token": {"secret": ""}`: "upstream_token secret: is missing",
	} {
		said := validatedJSON(t, []byte(`{"admin": {"disabled": true}, "apps": {"portalgate": {"database": "postgres://app@127.0.0.1/x", "keyring": "`+dir+`/keyring.json", `+option+`}}}`))
		if !strings.Contains(said, says) {
			t.Errorf("%s: said %q, want %q in it", option, said, says)
		}
	}
}

func TestADirectiveNeedsItsGlobalOption(t *testing.T) {
	said := validated(t, "{\n\tadmin off\n}\nhttps:// {\n\ttls internal\n\tportalgate\n\treverse_proxy erp:3000\n}\n")
	if !strings.Contains(said, "the global options have no `portalgate { … }`, which names the database and the keyring") {
		t.Errorf("said %q", said)
	}
	said = validated(t, "{\n\tadmin off\n\tportalgate {\n\t\tdatabase a\n\t}\n\tportalgate {\n\t\tdatabase b\n\t}\n}\n")
	if !strings.Contains(said, "portalgate stands in the global options twice; join the two blocks") {
		t.Errorf("said %q", said)
	}
}
