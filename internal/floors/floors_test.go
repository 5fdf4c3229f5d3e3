package floors

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// picture reads the floors out of doc.go, so that what is drawn is what is enforced.
func picture(t *testing.T) (floor map[string]int, beside []string) {
	t.Helper()
	b, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	floor = map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^//\t(\d|beside) +(.+)$`).FindAllStringSubmatch(string(b), -1) {
		for _, p := range strings.Fields(m[2]) {
			if _, twice := floor[p]; twice || slices.Contains(beside, p) {
				t.Errorf("%s is drawn twice", p)
			}
			if m[1] == "beside" {
				beside = append(beside, p)
			} else {
				floor[p] = int(m[1][0] - '0')
			}
		}
	}
	if len(floor) < 10 || len(beside) < 5 {
		t.Fatal("doc.go draws no floors")
	}
	return floor, beside
}

func TestEveryPackageStandsInThePictureAndEveryDrawnOneExists(t *testing.T) {
	floor, beside := picture(t)
	there := map[string]bool{}
	for _, s := range sources(t) {
		there[s.pkg] = true
	}
	for p := range there {
		if _, ok := floor[p]; !ok && !slices.Contains(beside, p) {
			t.Errorf("package %s stands on no floor; draw it in doc.go", p)
		}
	}
	for p := range floor {
		beside = append(beside, p)
	}
	for _, p := range beside {
		if !there[p] {
			t.Errorf("doc.go draws %s, which is not there", p)
		}
	}
}

// The one import across a floor.
const across = "auth imports session: a flow ends in a session, or ends one"

// users says who may import what stands beside the floors; tests may too.
var users = map[string]struct {
	by  []string
	why string
}{
	"web":                     {[]string{"pages", "mail"}, "files for browsers are rendered and served by pages, mails are printed by mail, and nowhere else"},
	"migrations":              {[]string{"caddymodule", "demo", "testenv"}, "the command, and whoever makes a database of its own"},
	"demo":                    {[]string{"cmd/portalgate", "cmd/dev"}, "a world in a box is not reachable from the gate itself; a bench measures one"},
	"demo/erp":                {[]string{"demo"}, "the demo's upstream"},
	"demo/servers":            {[]string{"demo", "testenv", "cmd/dev"}, "throwaway servers, and the advice how to install them"},
	"demo/sink":               {[]string{"demo", "testenv"}, "a mail server for the demo and for tests"},
	"demo/npm":                {[]string{"demo/servers", "testenv", "cmd/dev"}, "files fetched for throwaway servers and for tests"},
	"testenv":                 {nil, "tests only"},
	"caddymodule/conformance": {nil, "tests only: ours, and those of providers that others write"},
	"testenv/timing":          {nil, "tests only"},
	"e2e":                     {nil, "nobody: it holds tests"},
	"floors":                  {nil, "nobody: it holds tests"},
	"cmd/dev":                 {nil, "nobody: it is a program"},
}

// testers are packages whose every file serves tests.
var testers = []string{"testenv", "e2e", "floors"}

func TestImportsGoDownwardsOnly(t *testing.T) {
	floor, beside := picture(t)
	crossed := false
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, i := range s.imports {
			to, mine := ours(i)
			if !mine {
				continue
			}
			if slices.Contains(beside, to) {
				u, ok := users[to]
				if !ok {
					t.Errorf("%s stands beside the floors, and nothing says who may use it", to)
				} else if !slices.Contains(u.by, s.pkg) {
					t.Errorf("%s imports %s: %s", s.name, to, u.why)
				}
				continue
			}
			from, high := floor[s.pkg]
			switch {
			case !high: // whoever stands beside may look at any floor
				if s.pkg == "web" || s.pkg == "migrations" || s.pkg == "demo/erp" || s.pkg == "demo/npm" || s.pkg == "demo/servers" || s.pkg == "demo/sink" {
					t.Errorf("%s imports %s; it stands alone", s.name, to)
				}
			case s.pkg == "auth" && to == "session":
				crossed = true
			case from == floor[to]:
				t.Errorf("%s imports %s across floor %d; what both need belongs to a floor below, and what joins them to one above", s.name, to, from)
			case from < floor[to]:
				t.Errorf("%s on floor %d imports %s from floor %d above it", s.name, from, to, floor[to])
			}
		}
	}
	if !crossed {
		t.Errorf("no longer true, take it out: %s", across)
	}
}

func TestWhatStandsBesideIsUsedByThoseWhoMay(t *testing.T) {
	uses := map[string]map[string]bool{}
	for _, s := range sources(t) {
		for _, i := range s.imports {
			if to, mine := ours(i); mine && !s.test {
				if uses[to] == nil {
					uses[to] = map[string]bool{}
				}
				uses[to][s.pkg] = true
			}
		}
	}
	for p, u := range users {
		for _, by := range u.by {
			if !uses[p][by] {
				t.Errorf("%s may use %s and does not; take the line out", by, p)
			}
		}
	}
}

func TestTheTestHouseIsImportedByTestsOnly(t *testing.T) {
	for _, s := range sources(t) {
		for _, i := range s.imports {
			to, _ := ours(i)
			if slices.Contains(testers, to) && !s.test {
				t.Errorf("%s imports %s", s.name, to)
			}
		}
	}
}

// banned are imports that a package must do without, because of what it is.
var banned = []struct {
	pkg  string
	what []string
	why  string
}{
	{"auth", []string{"net/http", "html/template", "go.uber.org/zap", "log", "log/slog"}, "a flow knows no HTTP, renders nothing and logs nothing: it returns what happened"},
	{"session", []string{"html/template", "go.uber.org/zap", "log", "log/slog"}, "a session renders nothing and logs nothing: it returns what happened"},
	{"pages", []string{module + "/internal/store", module + "/internal/admission"}, "a page reaches data through auth and session only, and is handed its visitor"},
	{"portal", []string{"time/tzdata", "os", "net/http", "context", "crypto/rand", "log", "log/slog"}, "words and rules: no input or output, no randomness, no logger"},
	{"store", []string{"net/http", "log", "log/slog"}, "it speaks to PostgreSQL and returns errors"},
	{"ratelimit", []string{"net/http", "log", "log/slog"}, "it answers a question and returns it"},
	{"password", []string{"net/http", "log", "log/slog"}, "it answers a question and returns it"},
	{"breach", []string{"log", "log/slog"}, "it answers a question and returns it"},
	{"admission", []string{"log", "log/slog", "go.uber.org/zap"}, "it judges a request and returns the judgement; pages logs it"},
	{"upstream", []string{"log", "log/slog", "go.uber.org/zap"}, "it returns errors; pages logs them"},
	{"graphql", []string{"log", "log/slog", "go.uber.org/zap"}, "it judges what is asked and returns the judgement; pages logs it"},
}

func TestPackagesDoWithoutWhatTheyMustNotKnow(t *testing.T) {
	all := sources(t)
	for _, b := range banned {
		seen := false
		for _, s := range all {
			if s.pkg != b.pkg || s.test {
				continue
			}
			seen = true
			for _, i := range s.imports {
				for _, w := range b.what {
					if i == w || strings.HasPrefix(i, w+"/") {
						t.Errorf("%s imports %s: %s", s.name, i, b.why)
					}
				}
			}
		}
		if !seen {
			t.Errorf("there is no package %s", b.pkg)
		}
	}
}

// One clock moves the whole program, so that tests can move it by hand.
func TestTheLowerFloorsAreGivenTheTime(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.pkg != "portal" && s.pkg != "session" && s.pkg != "auth" {
			continue
		}
		if s.name == "internal/auth/patience.go" {
			continue // contexts end by the machine's clock, whatever time it is by ours
		}
		for n, line := range strings.Split(s.text, "\n") {
			code, _, _ := strings.Cut(line, "//")
			if strings.Contains(code, "time.Now()") || strings.Contains(code, "time.Since(") {
				t.Errorf("%s:%d asks the machine's clock", s.name, n+1)
			}
		}
	}
}
