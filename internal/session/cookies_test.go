package session

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
)

// disguises are names that some program reads as one of ours: by trimming (spaces of any alphabet), folding case,
// unquoting, decoding, or making something else of a dot or a bracket (SES-04).
var disguises = []string{
	"PORTALGATE", "Portalgate", "__host-portalgate", "__HOST-portalgate", "__Secure-portalgate", "__secure-portalgate-refresh", "__Host-Portalgate", "\u2003__Host-portalgate", "\u00a0portalgate", "portalgate\u2000",
	"\"portalgate\"", "\"__Host-portalgate", "'portalgate'", "portalgate\x0b", "portalgate\x0c", "\x00portalgate", "portalgate ", "..Host-portalgate", "_.Host-portalgate", "%5F%5FHost-portalgate", "%70ortalgate",
	"portalgate_refresh", "portalgate.device", "PORTALGATE-ATTEMPT", "portalgate-refreſh", "$portalgate", "__Http-portalgate", "__Host-Http-portalgate", "+portalgate",
}

func TestOurCookiesAreReadAndKeptBack(t *testing.T) {
	for _, c := range []struct {
		jar   Jar
		lines []string
		want  Cookies
		rest  string
	}{
		{Jar{true}, nil, Cookies{}, ""},
		{Jar{true}, []string{"theirs=1; lang=en"}, Cookies{}, "theirs=1; lang=en"},
		{Jar{true}, []string{"a=1; __Host-portalgate=A; b=2; __Host-portalgate-refresh=R;__Host-portalgate-device=D;  __Host-portalgate-attempt=T ; c=3"}, Cookies{Access: "A", Refresh: "R", Device: "D", Attempt: "T"}, "a=1; b=2; c=3"},
		{Jar{true}, []string{"__Host-portalgate=A", "b=2", "__Host-portalgate-refresh=R"}, Cookies{Access: "A", Refresh: "R"}, "b=2"}, // HTTP/2 may split the field
		{Jar{false}, []string{"portalgate=A; portalgate-refresh=R"}, Cookies{Access: "A", Refresh: "R"}, ""},
		{Jar{true}, []string{"portalgate=A; b=2"}, Cookies{}, "b=2"}, // a leftover of plain HTTP
		{Jar{false}, []string{"__Host-portalgate=A; b=2"}, Cookies{}, "b=2"},
		{Jar{true}, []string{"__Host-portalgate="}, Cookies{}, ""},
		{Jar{true}, []string{"__Host-portalgate"}, Cookies{}, ""},
		{Jar{true}, []string{"__Host-portalgate=A=B\"C"}, Cookies{Access: "A=B\"C"}, ""},
		{Jar{true}, []string{"mine=__Host-portalgate=A; portalgates=x; xportalgate=y"}, Cookies{}, "mine=__Host-portalgate=A; portalgates=x; xportalgate=y"},
		{Jar{true}, []string{"$Version=1; __Host-portalgate=A; $Path=/"}, Cookies{Access: "A"}, "$Version=1; $Path=/"},
		{Jar{true}, []string{";;; ; =; a"}, Cookies{}, ";;; ; =; a"},
		{Jar{true}, []string{"; __Host-portalgate=A;; =; a"}, Cookies{Access: "A"}, "=; a"},
	} {
		got, rest := c.jar.Split(c.lines)
		if got != c.want || rest != c.rest {
			t.Errorf("%q: %+v and %q, want %+v and %q", c.lines, got, rest, c.want, c.rest)
		}
	}
}

// SES-04: what says two things, or only looks like ours, is no session.
func TestADoubledOrDisguisedCookieIsNoSession(t *testing.T) {
	const good = "__Host-portalgate=A; __Host-portalgate-refresh=R"
	for _, lines := range [][]string{
		{good + "; __Host-portalgate=B"}, {"__Host-portalgate=B; " + good}, {good, "__Host-portalgate=A"}, {good + "; __Host-portalgate-refresh="}, {good + "; __Host-portalgate"}, {"__Host-portalgate-attempt=1; " + good + "; __Host-portalgate-attempt=2"},
	} {
		if got, rest := (Jar{true}).Split(lines); got != (Cookies{Confused: true}) || rest != "" || !got.Any() {
			t.Errorf("%q: %+v and %q", lines, got, rest)
		}
	}
	for _, name := range disguises {
		for _, lines := range [][]string{{good + "; " + name + "=evil; theirs=1"}, {name + "=evil; " + good, "theirs=1"}, {name + "=evil; theirs=1"}} {
			if got, rest := (Jar{true}).Split(lines); got != (Cookies{Confused: true}) || rest != "theirs=1" {
				t.Errorf("%q: %+v and %q", lines, got, rest)
			}
		}
	}
}

// SES-06: no Set-Cookie of the upstream becomes, in a browser, a cookie that we or another gateway would read.
func TestTheUpstreamsCookiesAreToldFromOurs(t *testing.T) {
	for _, name := range []string{nameAccess, nameRefresh, nameDevice, nameAttempt, "__Host-portalgate", "__Host-portalgate-refresh", "__Host-portalgate-device", "__Host-portalgate-attempt"} {
		for _, line := range []string{
			name + "=x", name + "=", name, name + "; Path=/", name + "=x; Domain=.portal.test; Max-Age=0", " " + name + " = x", "\t" + name + "\t=x", "=" + name + "=x", "= " + name, " = " + name + "=x; Path=/", strings.ToUpper(name) + "=x", `"` + name + `"=x`,
		} {
			if !Ours(line) {
				t.Errorf("%q is let through", line)
			}
		}
	}
	for _, name := range disguises {
		if !Ours(name + "=x; Path=/") {
			t.Errorf("%q is let through", name)
		}
	}
	for _, line := range []string{"", "theirs=1", "lang=portalgate", "a=b; portalgate=x", "portalgates=1", "xportalgate=1", "portal=gate", "x=__Host-portalgate=1", "=x", "session=x; Path=/portalgate"} {
		if Ours(line) {
			t.Errorf("%q is kept from the browser", line)
		}
	}
}

// SES-01: the attributes of every cookie that is set, and of every one that is cleared.
func TestEveryCookieIsSetAsContractSays(t *testing.T) {
	now := time.Now()
	device := secret.NewToken()
	for _, secure := range []bool{true, false} {
		j, h := Jar{secure}, http.Header{}
		j.Give(h, Grant{Session: portal.Session{Remember: true}, Access: "A", Refresh: "R", Device: &device, Until: now.Add(time.Hour)}, now)
		j.GiveAttempt(h, secret.NewToken(), time.Minute)
		j.Drop(h)
		j.DropAttempt(h)
		cookies := (&http.Response{Header: h}).Cookies()
		if len(cookies) != 7 || h.Get("Cache-Control") != "no-store" { // SES-05
			t.Fatalf("%d cookies, %q", len(cookies), h.Get("Cache-Control"))
		}
		for i, c := range cookies {
			if strings.HasPrefix(c.Name, "__Host-") != secure || c.Secure != secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || len(c.Name)+len(c.Value) > 4096 {
				t.Errorf("secure %v: %+v", secure, c)
			}
			if cleared := i >= 4; cleared != (c.MaxAge < 0) || cleared != (c.Value == "") {
				t.Errorf("cookie %d: %+v", i, c)
			}
		}
		if cookies[0].MaxAge != 3600 || cookies[2].MaxAge != int(deviceLife/time.Second) || cookies[3].MaxAge != 60 {
			t.Errorf("lives: %d %d %d", cookies[0].MaxAge, cookies[2].MaxAge, cookies[3].MaxAge)
		}
	}
	// without "keep me signed in" the cookies end with the browser
	for _, line := range (Jar{true}).Lines(Grant{Access: "A", Refresh: "R", Until: now.Add(time.Hour)}, now) {
		if strings.Contains(line, "Max-Age") || strings.Contains(line, "Expires") {
			t.Error(line)
		}
	}
}

// FuzzCookies: nothing that a plain parser would read as ours goes on to the upstream, and what is read is what a plain
// parser reads.
func FuzzCookies(f *testing.F) {
	f.Add("a=1; __Host-portalgate=A; b=2", "portalgate=x")
	for _, d := range disguises {
		f.Add(d+"=1", "theirs=2; "+d)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		for _, j := range []Jar{{true}, {false}} {
			got, rest := j.Split([]string{one, two})
			seen := map[string][]string{}
			for part := range strings.SplitSeq(one+"; "+two, ";") {
				name, value, _ := strings.Cut(strings.Trim(part, " \t"), "=")
				seen[name] = append(seen[name], value)
			}
			for base, value := range map[string]string{nameAccess: got.Access, nameRefresh: got.Refresh, nameDevice: got.Device, nameAttempt: got.Attempt} {
				switch all := seen[j.name(base)]; {
				case len(all) > 1 && !got.Confused:
					t.Fatalf("%q, %q: %s came %d times: %+v", one, two, base, len(all), got)
				case value != "" && (len(all) != 1 || all[0] != value || got.Confused):
					t.Fatalf("%q, %q: %s is %q, and came as %q", one, two, base, value, all)
				}
			}
			for part := range strings.SplitSeq(rest, ";") {
				name, _, _ := strings.Cut(strings.Trim(part, " \t"), "=")
				if base(strings.ToLower(name)) >= 0 || base(strings.TrimPrefix(name, hostPrefix)) >= 0 {
					t.Fatalf("%q, %q: %q goes on", one, two, rest)
				}
			}
			if again, same := j.Split([]string{rest}); again != (Cookies{}) || same != rest {
				t.Fatalf("%q, %q: %q splits again into %+v and %q", one, two, rest, again, same)
			}
		}
	})
}
