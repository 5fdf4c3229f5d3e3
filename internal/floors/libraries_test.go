package floors

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// library is a module from outside, its owners, and why it is there. Tests may use what their package owns, and what
// testsToo says.
type library struct {
	path     string
	owners   []string
	testsToo []string // packages whose tests use it besides; "*" is any
	why      string
}

var libraries = []library{
	{"github.com/caddyserver/caddy/v2", []string{"caddymodule", "cmd/portalgate"}, []string{"caddymodule/conformance"},
		"the server; nothing below knows it, so that everything below can be tested without it"},
	{"github.com/jackc/pgx/v5", []string{"store", "migrations", "demo", "demo/servers", "testenv", "cmd/dev"}, []string{"*"},
		"PostgreSQL is store's; migrations runs as the tables' owner, who is nobody that store would serve; demo and testenv make databases, demo/servers sees whether one answers; a bench compares store with plain reads"},
	{"github.com/pressly/goose/v3", []string{"migrations"}, nil, "the bookkeeping of migrations"},
	{"github.com/redis/go-redis/v9", []string{"ratelimit", "caddymodule", "testenv"}, []string{"ratelimit"},
		"ratelimit speaks to Redis; the client is opened in caddymodule, which knows addresses and closes it with the world"},
	{"github.com/go-redis/redis_rate/v10", []string{"ratelimit"}, nil, "plain rates; its meaning is hidden behind Limiter"},
	{"github.com/prometheus/client_golang", []string{"caddymodule"}, nil, "metrics are registered with Caddy's registry"},
	{"github.com/spf13/cobra", []string{"caddymodule", "cmd/portalgate"}, nil, "the commands; Caddy's own command line is made of it"},
	{"go.uber.org/zap", []string{"caddymodule", "pages"}, nil,
		"caddymodule logs what happens to the program, pages what happens to a request; everything below returns errors"},
	{"github.com/golang-jwt/jwt/v5", []string{"secret", "demo/erp"}, []string{"secret", "e2e"},
		"secret signs and checks with one algorithm per key; demo/erp is an upstream and checks what it is given"},
	{"golang.org/x/crypto", []string{"password", "cmd/dev"}, []string{"auth", "pages"}, "argon2id and the ERP's bcrypt; a bench compares a sign-in with the bare hash"},
	{"golang.org/x/text", []string{"password", "mail"}, nil, "NFC: the same password typed on two keyboards is one password; which language somebody reads, and its plurals"},
	{"golang.org/x/net", []string{"portal"}, []string{"e2e", "pages", "mail"}, "idna: one spelling of a mail address's domain; in tests HTTP/2 frames that no client would send, and parsed pages and mails"},
	{"github.com/ccojocar/zxcvbn-go", []string{"password"}, nil, "how hard a password is to guess; never on more than its beginning, and never without a slot"},
	{"github.com/FastFilter/xorfilter", []string{"breach"}, nil, "filters of stolen passwords"},
	{"github.com/spf13/pflag", []string{"caddymodule"}, nil, "the flags of cobra's commands"},
	{"github.com/rogpeppe/go-internal", nil, []string{"caddymodule"}, "the real binary, run as an operator runs it, in scripts that anybody can read"},
	{"golang.org/x/sys", []string{"cmd/dev", "password"}, nil, "a bench pins programs to cores and reads their CPU time; the memory of hashes is the system's"},
	{"golang.org/x/sync", []string{"session"}, nil, "parallel renewals of one session are one"},
	{"github.com/mileusna/useragent", []string{"whereabouts"}, nil, "a browser's name in a list of sessions; never a decision"},
	{"github.com/vektah/gqlparser/v2", []string{"graphql"}, nil, "GraphQL documents are lexed and parsed; what they are then judged by and printed as is ours"},
	{"github.com/graph-gophers/graphql-go", []string{"demo/erp"}, nil, "the demo's endpoint is a real one, made with somebody else's library"},
	{"github.com/coder/websocket", []string{"demo/erp"}, []string{"e2e", "caddymodule"}, "the demo's live feed"},
	{"github.com/chromedp/chromedp", []string{"testenv"}, []string{"e2e", "testenv", "pages", "mail", "caddymodule"}, "a real browser in tests"},
	{"github.com/chromedp/cdproto", []string{"testenv"}, []string{"e2e", "pages", "caddymodule"}, "what chromedp's browser is told"},
	{"github.com/wneessen/go-mail", []string{"mail"}, nil, "a mail's form and the client's side of SMTP"},
	{"github.com/emersion/go-smtp", []string{"demo/sink"}, nil, "the server's side of SMTP, for the demo's mailbox and for tests"},
	{"github.com/emersion/go-sasl", []string{"demo/sink"}, nil, "what go-smtp signs clients in with"},
	{"github.com/pquerna/otp", []string{"factor", "testenv"}, nil, "the codes of authenticator apps; which of them counts is ours. For tests, an app"},
	{"github.com/boombuler/barcode", []string{"factor"}, nil, "QR codes, as modules; the picture is ours"},
	{"github.com/go-webauthn/webauthn", []string{"factor"}, nil, "passkeys: the ceremonies, CBOR and COSE"},
	{"github.com/descope/virtualwebauthn", []string{"testenv"}, nil, "a device with passkeys, for tests: not by the library that judges them"},
	{"go.yaml.in/yaml/v3", nil, []string{"cmd/dev"}, "compose files and alert rules are read as their programs read them"},
}

func TestEveryLibraryHasAnOwnerAndAReason(t *testing.T) {
	used := map[string]map[string]bool{} // library, package
	for _, s := range sources(t) {
		for _, i := range s.imports {
			if !outside(i) {
				continue
			}
			at := slices.IndexFunc(libraries, func(l library) bool { return i == l.path || strings.HasPrefix(i, l.path+"/") })
			if at < 0 {
				t.Errorf("%s imports %s, which nobody owns; give it an owner and a reason, or do without", s.name, i)
				continue
			}
			l := libraries[at]
			if used[l.path] == nil {
				used[l.path] = map[string]bool{}
			}
			owned := slices.Contains(l.owners, s.pkg)
			if !s.test {
				used[l.path][s.pkg] = true
			}
			if !owned && !(s.test && (slices.Contains(l.testsToo, "*") || slices.Contains(l.testsToo, s.pkg))) {
				t.Errorf("%s imports %s, which belongs to %s: %s", s.name, i, strings.Join(l.owners, ", "), l.why)
			}
		}
	}
	for _, l := range libraries {
		if l.why == "" {
			t.Errorf("%s has no reason", l.path)
		}
		for _, o := range l.owners {
			if !used[l.path][o] {
				t.Errorf("%s owns %s and does not use it; take it out", o, l.path)
			}
		}
	}
}

func TestEveryOwnedLibraryIsStillThere(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	var direct []string
	for _, m := range regexp.MustCompile(`(?m)^(?:require )?\t?([a-z0-9.-]+\.[a-z]+/\S+) v\S+$`).FindAllStringSubmatch(string(b), -1) {
		direct = append(direct, m[1])
	}
	if len(direct) < 10 {
		t.Fatalf("go.mod requires only %v", direct)
	}
	for _, l := range libraries {
		if !slices.Contains(direct, l.path) {
			t.Errorf("go.mod does not require %s, which the table owns", l.path)
		}
	}
	for _, d := range direct {
		if !slices.ContainsFunc(libraries, func(l library) bool { return l.path == d }) {
			t.Errorf("go.mod requires %s, which nobody owns", d)
		}
	}
}
