package admission

import (
	"bufio"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/portalgate/portalgate/internal/portal"
)

func kind(err error) portal.ProblemKind {
	var p *portal.Problem
	if errors.As(err, &p) {
		return p.Kind
	}
	return ""
}

// asked reads a request line as the server does.
func asked(t testing.TB, method, target string) (*http.Request, error) {
	t.Helper()
	return http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: acme.localhost\r\n\r\n")))
}

func patterns(t testing.TB, list ...string) (out []Pattern) {
	t.Helper()
	for _, s := range list {
		p, err := ParsePattern(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func rules(t testing.TB) *Rules {
	t.Helper()
	return &Rules{
		Prefix: "/auth", Public: patterns(t, "/public/*", "/favicon.ico"), MFA: GuardingWithin(patterns(t, "/billing/*", "/Admin"), 0), GraphQL: Guarding(patterns(t, "/graphql")),
		CrossSite: []Exception{{"POST", "/payment/return"}, {"POST", "/graphql/hook"}, {"POST", "/billing/hook"}},
	}
}

// What a path is taken for.
const (
	refused   = "refused"
	protected = "protected"
	graphql   = "graphql"
	mfa       = "mfa"
	public    = "public"
	gate      = "gate"
)

func judge(t testing.TB, u *Rules, method, target string) string {
	t.Helper()
	r, err := asked(t, method, target)
	if err != nil {
		return refused // by the server, with 400
	}
	a, err := arrive(town(0), r, Wire{})
	if err == nil {
		err = u.Admit(r, &a)
	}
	switch {
	case err != nil:
		return refused
	case a.Gate:
		return gate
	case a.Public:
		return public
	case a.GraphQL:
		return graphql
	case a.MFA:
		return mfa
	}
	return protected
}

// Appendix C, PATH-01, PATH-02, PATH-03: what is not plainly public needs a session, and what could be read in two ways
// is refused.
func TestAPathMeansOneThing(t *testing.T) {
	u := rules(t)
	for target, want := range map[string]string{
		"//graphql": graphql, "/./graphql": refused, "/public/../graphql": refused, "/public/%2e%2e/graphql": refused, "/public/.%2e/graphql": refused, "/public/..%2fgraphql": refused, "/public%2f..%2fgraphql": refused,
		"/public/..;/graphql": refused, "/graphql;/public/": graphql, "/graphql;.css": graphql, "/graphql/.": refused, "/graphql/": graphql, "/graphql//": graphql, "/GraphQL": graphql, "/%67raphql": graphql, "/%2567raphql": protected,
		"/public/..%252fgraphql": refused, "/public/..%5cgraphql": refused, "/public\\..\\graphql": refused, "/%2e/graphql": refused, "/graphql%00.css": refused, "/graphql%0a": refused, "/graphql%23/public/": graphql,
		"/graphql%3f/public/": graphql, "/graphql?/public/": graphql, "/graphql#/public/": refused, "/publicgraphql": protected, "/public.": protected, "/%70ublic/../graphql": refused, "/%70ublic/x": protected, "/public/%c0%ae%c0%ae/graphql": refused,
		"http://acme.localhost/graphql": refused, "http://globex.portal.test/graphql": refused, "*": refused, "/public/x/..//../graphql": refused,

		"/public/x": public, "/public/": protected, "/public": protected, "/Public/x": protected, "/public/x?a=/../b": public, "/favicon.ico": public, "/favicon.ico/": protected, "/favicon.ico/x": protected, "/favicon.icon": protected,
		"/public/a%2fb": public, "/public//x": public, "/public/x;y=1": public, "/public/%41": public, "/public/...": public, "/public/..%20/orders": refused, "/public/%2e.%20%20": refused, "/public/.%20": refused, "/public/x..%20y": public, "/public/..x": public, "/public/x..": public, "/public/%2e%2e": refused, "/public/%252e%252e/x": refused, "/public/%25": public, "/public/100%25": public, "/public/%2525": refused,

		"/graphql": graphql, "/graphql/x/y": graphql, "/graphqlx": protected, "/x/graphql": protected, "/graphql./": graphql, "/graphql.": graphql, "/graphql%20": graphql, "/GRAPHQL/X": graphql, "/graph%71l": graphql, "/%2fgraphql": graphql,
		"/billing/x": mfa, "/billing": mfa, "/BILLING/x": mfa, "/billing//x": mfa, "/billing%2fx": mfa, "/billingx": protected, "/bill%69ng/x;a": mfa, "/admin": mfa, "/Admin": mfa, "/admin/": mfa, "/admin/x": protected, "/admin;x": mfa,

		"/auth": gate, "/auth/login": gate, "/auth/": gate, "/authx": protected, "/AUTH/login": refused, "/%61uth/login": refused, "//auth/login": refused, "/auth;x/login": refused, "/auth%2flogin": refused, "/.well-known/change-password": gate, "/.well-known/passkey-endpoints": gate,

		"/": protected, "/orders": protected, "/a%2fb": protected, "/a//b": protected, "/a;b=c": protected, "/.": refused, "/..": refused, "/%2e": refused, "/...": protected, "/.hidden": protected,
		"/%": refused, "/%2": refused, "/%zz": refused, "/%u002f": refused, "/%ff": refused, "/%c3%a9": protected, "/%ed%a0%80": refused, "/%7f": refused, "/%0d%0a": refused, "/%09": refused, "/%5c": refused, "/%5C": refused,
		"/" + strings.Repeat("a", maxPath): refused, "/" + strings.Repeat("a", maxPath-1): protected, "/" + strings.Repeat("%2f", maxPath/3+1): refused,
	} {
		for _, method := range []string{"GET", "POST", "HEAD", "OPTIONS", "get"} {
			if got := judge(t, u, method, target); got != want {
				t.Errorf("%s %.60s is %s, want %s", method, target, got, want)
			}
		}
		if got := judge(t, u, "TRACE", target); got != refused {
			t.Errorf("TRACE %.60s is %s", target, got)
		}
	}
	for _, target := range []string{"/\xc3\xa9", "/a|b", "/a\"b", "/<x>", "/{x}"} { // what Go's URL would write in another way
		if got := judge(t, u, "GET", target); got != refused {
			t.Errorf("%q is %s", target, got)
		}
	}
}

// Other sites may post to exactly what is named, and never to what is guarded.
func TestTheExceptionForOtherSitesIsExactAndNeverGuarded(t *testing.T) {
	u := rules(t)
	for _, c := range []struct {
		method, target string
		foreign        bool
	}{
		{"POST", "/payment/return", true}, {"POST", "/payment/return?x=1", true}, {"GET", "/payment/return", false}, {"PUT", "/payment/return", false},
		{"POST", "/payment/return/", false}, {"POST", "/Payment/return", false}, {"POST", "/payment//return", false}, {"POST", "/graphql/hook", false}, {"POST", "/billing/hook", false},
	} {
		r, err := asked(t, c.method, c.target)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", "https://evil.test")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		a, err := arrive(town(0), r, Wire{})
		if err != nil {
			t.Fatal(err)
		}
		err = u.Admit(r, &a)
		if a.Foreign != c.foreign || c.foreign && err != nil || !c.foreign && c.method != "GET" && kind(err) != portal.ProblemCrossSite {
			t.Errorf("%+v: foreign %v, %v", c, a.Foreign, err)
		}
	}
}

func TestAPatternIsExactOrAPrefix(t *testing.T) {
	for _, s := range []string{"", "x", "assets/*", "/a*", "/*/x", "/a/*/b", "/a?x", "/a#x", "/a%2f", "/a\\b", "/a b", "/a;b", "//a", "/a/../b", "/a/./*", "/..", "/a//*"} {
		if p, err := ParsePattern(s); err == nil {
			t.Errorf("%q was read as %+v", s, p)
		}
	}
	for _, s := range []string{"/", "/*", "/a", "/a/", "/a/*", "/a.b/c-d_e/*", "/.well-known/x"} {
		if _, err := ParsePattern(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// readings are what other programs make of a path: they decode once more, cut parameters off, collapse slashes, fold
// case, and resolve dots, in any combination.
func readings(raw string) []string {
	out := []string{raw}
	for range 3 {
		for _, p := range out {
			if d, err := url.PathUnescape(p); err == nil {
				out = append(out, d)
			}
			segs := strings.Split(p, "/")
			for i, s := range segs {
				segs[i], _, _ = strings.Cut(s, ";")
			}
			out = append(out, strings.ReplaceAll(p, "\\", "/"), strings.ToLower(p), strings.Join(segs, "/"))
		}
	}
	return out
}

// FuzzPath: a path that is let through is forwarded as it was judged; no reading of it climbs; and what is public in
// bytes is not guarded in any single reading.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"/public/../graphql", "/public/%2e%2e/graphql", "/public/..;/graphql", "/graphql%23/public/", "/public/a%2fb;c//d", "/%67raphql", "/a%252fb", "/public/%c0%ae", "/public/%5c..", "/GraphQL", "http://a/b", "*"} {
		f.Add(s)
	}
	u := rules(f)
	f.Fuzz(func(t *testing.T, target string) {
		if strings.ContainsAny(target, " \r\n") || len(target) > 300 {
			return // no longer one request line, or only longer
		}
		r, err := asked(t, "GET", target)
		if err != nil {
			return
		}
		raw, err := rawPath(r)
		if err != nil {
			return
		}
		sent, _, _ := strings.Cut(target, "?")
		if raw != sent || r.URL.EscapedPath() != raw || !strings.HasPrefix(r.URL.RequestURI(), raw) {
			t.Fatalf("%q was judged as %q and would be forwarded as %q", target, raw, r.URL.RequestURI())
		}
		once, err := url.PathUnescape(raw)
		if err != nil || !utf8.ValidString(once) {
			t.Fatalf("%q does not decode", raw)
		}
		for _, reading := range readings(raw) {
			for seg := range strings.SplitSeq(reading, "/") {
				if seg == "." || seg == ".." {
					t.Fatalf("%q can be read as %q, which climbs", raw, reading)
				}
			}
			if strings.ContainsAny(reading, "\x00\r\n\\") {
				t.Fatalf("%q can be read as %q", raw, reading)
			}
		}
		wide := guardForm(raw)
		if again := guardForm(wide); again != wide && !strings.ContainsAny(once, "%") {
			t.Fatalf("%q reads widely as %q, and that as %q", raw, wide, again)
		}
		if opened(u.Public, raw) {
			for _, reading := range readings(raw) {
				if low := strings.ToLower(reading); !strings.HasPrefix(low, "/public/") && !strings.HasPrefix(low, "/favicon.ico") {
					t.Fatalf("%q is public, and can be read as %q", raw, reading)
				}
			}
		}
	})
}

// Of all the guards that a path meets the strictest holds, in every spelling of the path.
func TestTheStrictestFreshnessHolds(t *testing.T) {
	u := rules(t)
	u.MFA = append(GuardingWithin(patterns(t, "/billing/*"), 0), append(GuardingWithin(patterns(t, "/billing/pay/*", "/bank"), 5*time.Minute), GuardingWithin(patterns(t, "/billing/pay/now", "/*"), time.Hour)...)...)
	for target, want := range map[string]time.Duration{"/billing/list": time.Hour, "/billing/pay/now": 5 * time.Minute, "/BILLING//pay%2Fnow": 5 * time.Minute, "/bank": 5 * time.Minute, "/orders": time.Hour} {
		r, err := asked(t, "GET", target)
		if err != nil {
			t.Fatal(err)
		}
		a, err := arrive(town(0), r, Wire{})
		if err == nil {
			err = u.Admit(r, &a)
		}
		if err != nil || !a.MFA || a.Within != want {
			t.Errorf("%s: %t within %s, want %s, %v", target, a.MFA, a.Within, want, err)
		}
	}
	u.MFA = u.MFA[:1]
	r, err := asked(t, "GET", "/billing/list")
	if err != nil {
		t.Fatal(err)
	}
	a, err := arrive(town(0), r, Wire{})
	if err = errors.Join(err, u.Admit(r, &a)); err != nil || !a.MFA || a.Within != 0 {
		t.Errorf("without a time: %t within %s, %v", a.MFA, a.Within, err)
	}
}
