package floors

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// least is the oldest version of a module, or of Go, in which the holes are mended that would be ours as well (CFG-06,
// CSRF-04).
var least = []struct{ what, version, why string }{
	{"go", "1.26.6", "CVE-2026-39821 in idna; before it CVE-2025-47910 in the check of where a request comes from"},
	{"github.com/caddyserver/caddy/v2", "2.11.4", "CVE-2026-30851, CVE-2026-52845, CVE-2026-27586 to 27590"},
	{"github.com/jackc/pgx/v5", "5.9.2", "CVE-2024-27289, CVE-2026-33815, CVE-2026-41889"},
	{"github.com/golang-jwt/jwt/v5", "5.2.2", "CVE-2025-30204"},
	{"github.com/go-jose/go-jose/v4", "4.1.4", "CVE-2026-34986"},
	{"github.com/redis/go-redis/v9", "9.7.3", "CVE-2025-29923: one request is given another's answer"},
	{"golang.org/x/net", "0.55.0", "CVE-2026-39821"},
	{"github.com/go-webauthn/webauthn", "0.17.0", "it refuses other origins by default"},
}

// number is a version as something that can be compared; 0 where it is none.
func number(version string) (n int) {
	var parts [3]int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &parts[0], &parts[1], &parts[2]); err != nil {
		return 0
	}
	return parts[0]*1_000_000 + parts[1]*1000 + parts[2]
}

// CFG-06, CSRF-04: what is built with is mended, the compiler of this run too.
func TestNothingIsOlderThanWhereItsHolesWereMended(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range least {
		m := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(l.what) + ` v?([0-9.]+)`).FindStringSubmatch(string(b))
		if m == nil || number(m[1]) < number(l.version) || number(l.version) == 0 {
			t.Errorf("go.mod has %s in %v, and %s is needed: %s", l.what, m, l.version, l.why)
		}
	}
	if v, found := strings.CutPrefix(runtime.Version(), "go"); found && number(v) < number(least[0].version) {
		t.Errorf("this is Go %s, and %s is needed: %s", v, least[0].version, least[0].why)
	}
	for older, newer := range map[string]string{"1.25.13": "1.26.6", "0.9.20": "0.10.0", "2.11.4": "2.11.10"} {
		if number(older) >= number(newer) {
			t.Errorf("%s counts as newer than %s", older, newer)
		}
	}
}

// CSRF-04: no pattern of paths lifts the check of where a request comes from (CVE-2025-47910 was in how they match).
func TestNoPathIsExceptedFromWhereARequestComesFrom(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test && strings.Contains(s.text, "AddInsecureBypassPattern") {
			t.Errorf("%s excepts paths", s.name)
		}
	}
}
