package portal

import (
	"net/url"
	"strings"
	"testing"
)

// payloads of appendix A. Where it writes <TAB> or <SPACE>, the byte itself stands here.
var payloads = []string{
	"https://evil.test", "//evil.test", "///evil.test", "////evil.test",
	"/\\evil.test", "\\/evil.test", "\\\\evil.test", "/\\/evil.test",
	"/%09/evil.test", "/\t/evil.test", " //evil.test", "%20//evil.test",
	"/%0d/evil.test", "/%0a/evil.test", "/%00/evil.test", "%01https://evil.test",
	"/%2f/evil.test", "/%5cevil.test", "/%2f%2fevil.test", "/%252f/evil.test",
	"https:evil.test", "https:/evil.test", "https:///evil.test", "http:\\\\evil.test",
	"//acme.portal.test@evil.test", "//acme.portal.test:x@evil.test", "//evil.test#acme.portal.test", "//evil.test?.acme.portal.test",
	"//acme.portal.test.evil.test", "//evilacme.portal.test", "//evil.test\\.acme.portal.test", "//evil%E3%80%82test",
	"javascript:alert(1)", "JaVaScRiPt:alert(1)//", "data:text/html,x", "vbscript:x",
	"/%0d%0aSet-Cookie:a=b", "/ok%0d%0aLocation:%20//evil.test", "", "/" + strings.Repeat("a", 10_000), ".evil.test", "@evil.test", ";//evil.test",

	"/\n/evil.test", "/\r/evil.test", "\t//evil.test", "/\x00/evil.test", "\x01//evil.test", "/.//evil.test", "/..//evil.test", "/a/..//evil.test", "/%2e//evil.test", "/%2e%2e//evil.test", "/.\t./\\evil.test",
	"//evil.test/%2f..", "/;/evil.test", "/ /evil.test", "/%20/evil.test", "/\u00a0/evil.test", "/\u3000/evil.test", "https://acme.portal.test/x", "//acme.portal.test", "?//evil.test", "#//evil.test", "/?//evil.test", "/#//evil.test",
	"/%25252f/evil.test", "/%2525255cevil.test", "/\xff/x", "/a\u2028b", "http:evil.test", "//[::1]/", "/@evil.test", "/:80/x", "/a:b@evil.test/",
}

// origin is where a browser goes when it is sent to a place from a page of the tenant, by the rules of the WHATWG URL
// standard for special schemes, written from the standard and not from the code under test: control bytes and spaces
// around it are cut off, tabs and line ends taken out, a backslash is a slash, and any number of slashes after a scheme
// opens an authority.
func origin(place string) string {
	const tenant = "https://acme.portal.test"
	place = strings.TrimFunc(place, func(r rune) bool { return r <= ' ' })
	place = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(place)
	place = strings.ReplaceAll(place, "\\", "/")
	rest, special := place, false
	if i := strings.IndexByte(place, ':'); i > 0 && isScheme(place[:i]) {
		switch scheme := strings.ToLower(place[:i]); scheme {
		case "https":
			if rest = place[i+1:]; !strings.HasPrefix(rest, "//") {
				return tenant // the page's own scheme and no authority: relative to the page
			}
			special = true
		case "http", "ftp", "ws", "wss":
			rest, special = place[i+1:], true
		default:
			return scheme + ":" // opaque: somewhere else, or a script
		}
	}
	if !special && !strings.HasPrefix(rest, "//") {
		return tenant
	}
	host, _, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
	host, _, _ = strings.Cut(host, "?")
	host, _, _ = strings.Cut(host, "#")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	return "https://" + strings.ToLower(host)
}

func isScheme(s string) bool {
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", c)) {
			return false
		}
	}
	return true
}

func TestTheOracleKnowsWhereBrowsersGo(t *testing.T) {
	for place, want := range map[string]string{
		"/x": "https://acme.portal.test", "//evil.test/x": "https://evil.test", "/\\evil.test": "https://evil.test", "/\t/evil.test": "https://evil.test", " //evil.test": "https://evil.test",
		"https:evil.test": "https://acme.portal.test", "http:evil.test": "https://evil.test", "https:///evil.test": "https://evil.test", "//a@evil.test": "https://evil.test", "javascript:x": "javascript:", "//evil.test\\.acme.portal.test": "https://evil.test",
		"/a//b": "https://acme.portal.test", "x": "https://acme.portal.test", "": "https://acme.portal.test",
	} {
		if got := origin(place); got != want {
			t.Errorf("%q leads to %s, want %s", place, got, want)
		}
	}
}

// forms are a payload as it stands, and percent-encoded once and twice.
func forms(p string) []string {
	all := func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			b.WriteString("%" + strings.ToUpper(string("0123456789abcdef"[s[i]>>4])+string("0123456789abcdef"[s[i]&15])))
		}
		return b.String()
	}
	slash := "/" + strings.TrimPrefix(url.QueryEscape(p), "%2F")
	return []string{p, url.QueryEscape(p), url.QueryEscape(url.QueryEscape(p)), all(p), "/" + all(p), slash, "/x?return_to=" + p, "/" + p}
}

// check holds what is true of every answer, whatever was asked for.
func check(t testing.TB, raw string) {
	t.Helper()
	got := ReturnTo(raw)
	if got == "" || got[0] != '/' || origin(got) != "https://acme.portal.test" {
		t.Fatalf("%q leads to %q, which is %s", raw, got, origin(got))
	}
	if strings.ContainsAny(got, "\r\n\t\\#") || len(got) > 3*maxReturn {
		t.Fatalf("%q leads to %q", raw, got)
	}
	if again := ReturnTo(got); again != got {
		t.Fatalf("%q leads to %q, and that to %q", raw, got, again)
	}
	// what a program behind reads when it decodes once or twice more
	path, _, _ := strings.Cut(got, "?")
	for range 2 {
		next, err := url.PathUnescape(path)
		if err != nil {
			break
		}
		if path = next; origin(path) != "https://acme.portal.test" || strings.ContainsAny(path, "\r\n\x00") {
			t.Fatalf("%q leads to %q, which decodes to %q", raw, got, path)
		}
	}
}

// OR-01, appendix A: everything leads to the tenant's own origin.
func TestAReturnPathNeverLeavesTheOrigin(t *testing.T) {
	for _, p := range payloads {
		for _, raw := range forms(p) {
			check(t, raw)
		}
	}
	for _, p := range payloads[:43] { // of the appendix, all but the one that is a path are refused outright
		if got := ReturnTo(p); got != "/" {
			t.Errorf("%q leads to %q", p, got)
		}
	}
}

func TestAReturnPathOfThePortalIsKept(t *testing.T) {
	for raw, want := range map[string]string{
		"/": "/", "/orders": "/orders", "/orders?x=1&y=a%20b": "/orders?x=1&y=a%20b", "/orders/42/": "/orders/42/", "/a%20b": "/a%20b", "/caf%C3%A9": "/caf%C3%A9", "/orders?next=//evil.test": "/orders?next=//evil.test",
		"/orders#top": "/orders", "/a;b=c": "/a;b=c", "/a%2Fb": "/a%2Fb", "/orders?x=%0d%0a": "/orders?x=%0d%0a", "/search?q=100%25": "/search?q=100%25", "/a//b": "/a//b",
	} {
		if got := ReturnTo(raw); got != want {
			t.Errorf("%q leads to %q, want %q", raw, got, want)
		}
	}
}

func FuzzReturnTo(f *testing.F) {
	for _, p := range payloads {
		f.Add(p)
	}
	f.Add("/orders?x=1")
	f.Fuzz(func(t *testing.T, raw string) { check(t, raw) })
}
