package caddymodule

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

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
	rows := referenceRows(t)
	written := map[string]bool{} // section, caddyfile path, JSON path
	for _, f := range fixtures(t) {
		if f.adapted == nil {
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
	for _, r := range rows {
		name, ok := strings.CutPrefix(r.section, "Mail provider")
		if !ok {
			name, ok = strings.CutPrefix(r.section, "Text message provider")
		}
		if ok { // its block may stand in several places
			name = strings.Trim(name[strings.Index(name, "`"):], "`")
			if r.caddyfile != "" && r.caddyfile != r.json && !written[name+"\x00"+r.caddyfile+"\x00"+r.json] || r.caddyfile == r.json && !written[name+"\x00"+r.json+"\x00"+r.json] {
				t.Errorf("no fixture of testdata/adapt writes %q of %s and gets %q", r.caddyfile, name, r.json)
			}
			continue
		}
		section := map[string]string{"Global option `portalgate`": "global", "Directive `portalgate`": "directive", "Matcher `portalgate`": "matcher", "Directive `portalgate_mail_events`": "events"}[r.section]
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
		if i := slices.Index(open, "portalgate_mail_events"); i >= 0 {
			at, kind = i, "events"
		}
		if at >= 0 && len(open) > at+2 && (open[at+1] == "mail" || open[at+1] == "sms") { // a provider's own option, wherever its block stands
			provider := open[len(open)-1]
			out[provider] = append(out[provider], words[0])
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
				if at == "mail.tenants" || at == "mail.regions" {
					k = "*"
				}
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
	var guests func(v any)
	guests = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if v["provider"] == section {
				list("", v)
			}
			for _, below := range v {
				guests(below)
			}
		case []any:
			for _, below := range v {
				guests(below)
			}
		}
	}
	guests([]any{whole.Apps.Portalgate["mail"], whole.Apps.Portalgate["sms"]})
	var find func(v any)
	find = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if section == "directive" && v["handler"] == "portalgate" {
				list("", v)
			}
			if section == "events" && v["handler"] == "portalgate_mail_events" {
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

// elsewhere are the beginnings of refusals that no fixture can provoke, and where they are tested.
var elsewhere = map[string]string{
	"is negative":                             "a number of JSON, in TestNumbersOfJSONAreJudgedToo",
	"%s cannot be opened: %v":                 "a port that is taken, at the start",
	"%q is not a TCP address":                 "cannot be, after observeAddress",
	"its remote endpoint can be reached from": "JSON, in TestTheAdminEndpointStaysOffTheNetwork",
	"stands without trusted_proxies_strict":   "TestProxiesAreTrustedStrictlyOrNotAtAll",
	"log_credentials would write":             "TestCredentialsInTheAccessLogAreRefused",
	"covers the whole internet":               "TestProxiesAreTrustedStrictlyOrNotAtAll",
	"no site has the gate":                    "TestAnUpstreamThatCanBeReachedAroundTheGateIsRefused",
	"in %s the reverse_proxy to %s can be":    "TestAnUpstreamThatCanBeReachedAroundTheGateIsRefused",
	"the gate stands in `http://` sites only": "needs a database with tenants",
	"has no path; make a filter":              "JSON, in TestNumbersOfJSONAreJudgedToo",
	"%T is no source":                         "a foreign module in the namespace",
	"a freshness of %s has no path":           "JSON, in TestAFreshnessIsATimeAndPaths",
	"panic: %v":                               "while a request is served",
	"no placeholders in this request":         "while a request is served",
	"no portalgate app: %w":                   "while a certificate is asked for",
	"%q is not a host of a tenant: %w":        "while a certificate is asked for",
}

var (
	verb    = regexp.MustCompile(`%[a-z]`)
	letters = regexp.MustCompile(`[a-z]{2}`)
)

// Every sentence with which the configuration is refused stands in a fixture, so that somebody has read it as an operator
// would.
func TestEveryRefusalStandsInAFixture(t *testing.T) {
	sentences := map[string]string{} // and where it is written
	for _, name := range []string{"caddyfile.go", "settings.go", "limits.go", "observe.go", "endpoint.go", "proxies.go", "order.go", "stranded.go", "handler.go", "redis.go", "app.go", "breach.go", "require.go", "matcher.go", "permission.go"} {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			at := map[string]int{"bad": 1, "complain": 2, "Err": 0, "Errf": 0, "errors.New": 0, "fmt.Errorf": 0}
			i, ok := at[called(call)]
			if !ok || len(call.Args) <= i {
				return true
			}
			if lit, ok := call.Args[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				s, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				if letters.MatchString(verb.ReplaceAllString(s, "")) {
					sentences[s] = set.Position(lit.Pos()).String()
				}
			}
			return true
		})
	}
	if len(sentences) < 40 {
		t.Fatalf("only %d sentences were read", len(sentences))
	}
	var said strings.Builder
	for _, f := range fixtures(t) {
		said.WriteString(f.complaint + "\n")
	}
sentence:
	for s, where := range sentences {
		for beginning := range elsewhere {
			if strings.HasPrefix(strings.TrimPrefix(s, "portalgate: "), beginning) {
				continue sentence
			}
		}
		var parts []string
		for _, p := range verb.Split(s, -1) {
			parts = append(parts, regexp.QuoteMeta(p))
		}
		if !regexp.MustCompile(strings.Join(parts, ".*")).MatchString(said.String()) {
			t.Errorf("%s: no fixture of testdata/adapt is refused with %q", where, s)
		}
	}
}

// called is the name of a function that is called; of a method its last part.
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok && (x.Name == "errors" || x.Name == "fmt") {
			return x.Name + "." + f.Sel.Name
		}
		return f.Sel.Name
	}
	return ""
}
