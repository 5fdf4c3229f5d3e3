package session

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
)

// SES-04, SES-02: a cookie is read in its one name and once, what only looks like ours means no session, and nothing
// of ours is left for the upstream.
func TestOurCookiesAreReadInTheirOneNameAndTakenOut(t *testing.T) {
	t.Parallel()
	const a, r, d, m = "__Host-portalgate", "__Host-portalgate-refresh", "__Host-portalgate-device", "__Host-portalgate-attempt"
	for _, c := range []struct {
		name  string
		plain bool // plain HTTP on localhost
		lines []string
		want  Cookies
		rest  string
	}{
		{name: "none", lines: nil},
		{name: "others only", lines: []string{"theme=dark; lang=de"}, rest: "theme=dark; lang=de"},
		{name: "others byte for byte", lines: []string{"a=\"x y\";b=;  c ;d==;e=1"}, rest: "a=\"x y\";b=;  c ;d==;e=1"},
		{name: "all four", lines: []string{a + "=1; " + r + "=2; " + d + "=3; " + m + "=4"}, want: Cookies{Access: "1", Refresh: "2", Device: "3", Attempt: "4"}},
		{name: "among others", lines: []string{"x=1; " + a + "=A; y=2; " + r + "=R;z=3"}, want: Cookies{Access: "A", Refresh: "R"}, rest: "x=1; y=2; z=3"},
		{name: "several lines", lines: []string{"x=1", a + "=A", "y=2"}, want: Cookies{Access: "A"}, rest: "x=1; y=2"},
		{name: "a value with =", lines: []string{a + "=A=B=="}, want: Cookies{Access: "A=B=="}},
		{name: "twice", lines: []string{a + "=1; " + a + "=2"}, want: Cookies{Confused: true}},
		{name: "twice in two lines", lines: []string{a + "=1", "x=1", a + "=2"}, want: Cookies{Confused: true}, rest: "x=1"},
		{name: "twice the same", lines: []string{a + "=1; " + a + "=1"}, want: Cookies{Confused: true}},
		{name: "the refresh token twice", lines: []string{a + "=1; " + r + "=2; " + r + "=3"}, want: Cookies{Confused: true}},
		{name: "the other scheme's name", lines: []string{"portalgate=old; x=1"}, rest: "x=1"},
		{name: "both schemes' names", lines: []string{"portalgate=old; " + a + "=new"}, want: Cookies{Access: "new"}},
		{name: "plain", plain: true, lines: []string{"portalgate=1; portalgate-refresh=2"}, want: Cookies{Access: "1", Refresh: "2"}},
		{name: "plain, with the secure name", plain: true, lines: []string{a + "=1; portalgate=2; x=1"}, want: Cookies{Access: "2"}, rest: "x=1"},
		{name: "in capitals", lines: []string{"__HOST-PORTALGATE=1"}, want: Cookies{Confused: true}},
		{name: "lower prefix", lines: []string{"__host-portalgate=1; " + a + "=2"}, want: Cookies{Confused: true}},
		{name: "secure prefix", lines: []string{"__Secure-portalgate=1"}, want: Cookies{Confused: true}},
		{name: "a space in the name", lines: []string{a + " =1"}, want: Cookies{Confused: true}},
		{name: "a no-break space before", lines: []string{"\u00a0" + a + "=1"}, want: Cookies{Confused: true}},
		{name: "a wide space before", lines: []string{"\u2003" + a + "=1; y=2"}, want: Cookies{Confused: true}, rest: "y=2"},
		{name: "quoted name", lines: []string{`"` + a + `"=1`}, want: Cookies{Confused: true}},
		{name: "old version syntax", lines: []string{`$Version=1; ` + a + `="1"; $Path="/"`}, want: Cookies{Access: `"1"`}, rest: `$Version=1; $Path="/"`},
		{name: "a dollar in the name", lines: []string{"$" + a + "=1"}, want: Cookies{Confused: true}},
		{name: "no value", lines: []string{a}, want: Cookies{}},
		{name: "empty value", lines: []string{a + "="}, want: Cookies{}},
		{name: "longer name", lines: []string{a + "-theme=1; portalgateway=2"}, rest: a + "-theme=1; portalgateway=2"},
		{name: "as a value", lines: []string{"x=" + a}, rest: "x=" + a},
	} {
		got, rest := Jar{Secure: !c.plain}.Split(c.lines)
		if got != c.want || rest != c.rest {
			t.Errorf("%s: %+v and %q", c.name, got.Confused, rest)
		}
		if want := c.want != (Cookies{}) && c.want != (Cookies{Device: c.want.Device}); got.Any() != want {
			t.Errorf("%s: any cookie of a session: %v", c.name, got.Any())
		}
	}
}

// SES-01, contract 5: what a Set-Cookie line of ours says.
func TestEachCookieIsBoundToItsHostAndHiddenFromScripts(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	device := secret.NewToken()
	grant := Grant{Session: portal.Session{ID: "s"}, Access: "A", Refresh: "R", Device: &device, Until: now.Add(14 * time.Hour)}
	parse := func(lines []string) map[string]*http.Cookie {
		t.Helper()
		out := map[string]*http.Cookie{}
		for _, l := range lines {
			c, err := http.ParseSetCookie(l)
			if err != nil {
				t.Fatalf("%q: %v", l, err)
			}
			if len(l) > 4096 || out[c.Name] != nil {
				t.Errorf("%q is too long, or comes twice", l)
			}
			out[c.Name] = c
		}
		return out
	}
	for _, secure := range []bool{true, false} {
		j, prefix := Jar{Secure: secure}, ""
		if secure {
			prefix = "__Host-"
		}
		h := http.Header{"Cache-Control": {"public, max-age=3600"}}
		j.Give(h, grant, now)
		j.GiveAttempt(h, device, 10*time.Minute)
		got := parse(h["Set-Cookie"])
		if len(got) != 4 || h.Get("Cache-Control") != "no-store" {
			t.Fatalf("%v, Cache-Control %q", h["Set-Cookie"], h.Get("Cache-Control"))
		}
		for name, age := range map[string]int{"portalgate": 0, "portalgate-refresh": 0, "portalgate-device": 400 * 24 * 3600, "portalgate-attempt": 600} {
			c := got[prefix+name]
			if c == nil || c.Path != "/" || c.Domain != "" || !c.HttpOnly || c.Secure != secure || c.SameSite != http.SameSiteLaxMode || c.MaxAge != age || !c.Expires.IsZero() {
				t.Errorf("secure %v: %s is %v", secure, name, c)
			}
		}
		// "Keep me signed in": both cookies outlive the access token and end with the session.
		kept := grant
		kept.Session.Remember, kept.Device = true, nil
		got = parse(j.Lines(kept, now))
		for _, name := range []string{"portalgate", "portalgate-refresh"} {
			if c := got[prefix+name]; c == nil || c.MaxAge != 14*3600 {
				t.Errorf("kept: %s is %v", name, c)
			}
		}
		h = http.Header{}
		j.Drop(h)
		j.DropAttempt(h)
		got = parse(h["Set-Cookie"])
		if len(got) != 3 || got[prefix+"portalgate-device"] != nil {
			t.Errorf("leaving clears %v", h["Set-Cookie"])
		}
		for name, c := range got {
			if c.Value != "" || c.MaxAge != -1 || c.Path != "/" || c.Secure != secure {
				t.Errorf("leaving: %s is %v", name, c)
			}
		}
	}
}

// SES-06: what an upstream may not set.
func TestTheUpstreamsCookieOfOurNameIsKnownInEverySpelling(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"__Host-portalgate=x; Path=/; Secure": true, "portalgate=x": true, "portalgate-refresh=": true, "__Host-portalgate-device=x": true, "portalgate-attempt; Max-Age=0": true,
		"PortalGate=x": true, "__HOST-PORTALGATE-REFRESH=x": true, " portalgate=x": true, "__Secure-portalgate=x": true, "\u00a0portalgate=x": true, "port\u200balgate=x": true,
		"portalgate;=x": true, "portalgateway=x": false, "my-portalgate=x": false, "session=portalgate": false, "": false, "=portalgate": true, "=portalgate=x": true, "=x": false, "portalgate-theme=x": false,
	} {
		if got := Ours(line); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}

// AUD-01: what holds a cookie's value does not print.
func TestCookiesDoNotPrint(t *testing.T) {
	t.Parallel()
	g := Grant{Session: portal.Session{ID: "s"}, Access: "secret-access", Refresh: "secret-refresh"}
	c := Cookies{Access: "secret-access", Refresh: "secret-refresh", Device: "secret-device", Attempt: "secret-attempt"}
	for _, value := range []any{g, &g, c, &c, []Grant{g}, Resumed{Grant: &g}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			if s := fmt.Sprintf(verb, value); strings.Contains(s, "secret-") {
				t.Errorf("%T by %s: %s", value, verb, s)
			}
		}
	}
}

func FuzzCookies(f *testing.F) {
	for _, s := range []string{"", "portalgate=1", "__Host-portalgate=1; x=2", "__Host-portalgate=1;__Host-portalgate=2", "__host-PORTALGATE-refresh =1", "\u00a0portalgate=1", `$Version=1; "portalgate"=2`, ";;=;portalgate", "port\x00algate=1", "x=portalgate", "portalgate-device"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, secure bool) {
		j := Jar{Secure: secure}
		c, rest := j.Split([]string{s})
		// The oracle reads what is left as another program might, and finds nothing of ours; and what was read stood
		// there once, in its one name.
		for part := range strings.SplitSeq(rest, ";") {
			name, _, _ := strings.Cut(strings.Trim(part, " \t"), "=")
			if mentions(rest) && base(strings.TrimPrefix(name, hostPrefix)) >= 0 {
				t.Fatalf("%q leaves %q for the upstream", s, rest)
			}
		}
		for i, value := range []string{c.Access, c.Refresh, c.Device, c.Attempt} {
			if value == "" {
				continue
			}
			name, n := j.name([]string{nameAccess, nameRefresh, nameDevice, nameAttempt}[i]), 0
			for part := range strings.SplitSeq(s, ";") {
				if have, _, _ := strings.Cut(strings.Trim(part, " \t"), "="); have == name {
					n++
				}
			}
			if n != 1 {
				t.Fatalf("%q: %s stands there %d times and is read as %q", s, name, n, value)
			}
		}
		if again, left := j.Split([]string{rest}); again != (Cookies{}) || left != rest {
			t.Fatalf("%q: what is left, %q, still has ours", s, rest)
		}
	})
}
