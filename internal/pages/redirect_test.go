package pages_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// astray are the payloads of appendix A; where it writes <TAB> or <SPACE>, the byte itself stands here.
var astray = []string{
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
	"/auth/logout", "/auth/login?return_to=//evil.test", // round and round
}

// stays says whether a browser that is sent to a place stays on the page's own origin, as it stands and decoded once or
// twice: a program behind may decode again.
func stays(place string) bool {
	for range 3 {
		seen := strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(strings.TrimFunc(place, func(r rune) bool { return r <= ' ' }))
		if seen == "" || seen[0] != '/' || len(seen) > 1 && (seen[1] == '/' || seen[1] == '\\') {
			return false
		}
		again, err := url.PathUnescape(place)
		if err != nil || again == place {
			break
		}
		place = again
	}
	return true
}

// OR-01, appendix A in full: through every carrier of return_to, as it stands and percent-encoded once and twice, nobody
// is led to another origin, by a redirect, by a link of the page or by what its form keeps.
func TestNoCarrierOfAReturnPathLeadsAstray(t *testing.T) {
	t.Parallel()
	rule := portal.DefaultPolicy()
	rule.Limits.SignInsNetwork, rule.Limits.SignInsFlood = 100_000, 100_000
	f := newFront(t, testenv.Plan{Policy: &rule})
	f.tenant.Registration = portal.RegistrationOpen
	f.Person(t, *f.tenant, testenv.Visitor{Email: "maria@buyer.example", Customer: "C-1"})
	second := f.Person(t, *f.tenant, testenv.Visitor{Email: "maria@buyer.example", Customer: "C-2"})
	f.Person(t, *f.tenant, testenv.Visitor{Email: "bob@buyer.example"})
	// Those who sign in again and again would end the sessions of the others.
	f.Person(t, *f.tenant, testenv.Visitor{Email: "rob@buyer.example"})
	f.Person(t, *f.tenant, testenv.Visitor{Email: "mara@buyer.example", Customer: "C-1"})
	f.Person(t, *f.tenant, testenv.Visitor{Email: "mara@buyer.example", Customer: "C-2"})
	stepped, key, _ := stepped(t, f)
	nobody, maria, bob := f.guest(t), f.guest(t), f.guest(t)
	bob.signIn("bob@buyer.example", testenv.Password)
	maria.signIn("maria@buyer.example", testenv.Password)
	form := func(more ...string) url.Values {
		v := url.Values{}
		for i := 0; i+1 < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return v
	}
	login := func(g *guest, email, to string) answer {
		return g.post("/auth/login", form("email", email, "password", testenv.Password, "return_to", to))
	}
	carriers := map[string]func(to string) answer{
		"GET login":            func(to string) answer { return nobody.get("/auth/login?return_to=" + url.QueryEscape(to)) },
		"GET login, signed in": func(to string) answer { return bob.get("/auth/login?return_to=" + url.QueryEscape(to)) },
		"POST login":           func(to string) answer { return login(f.guest(t), "rob@buyer.example", to) },
		"POST login, wrong": func(to string) answer {
			return nobody.post("/auth/login", form("email", "nobody@buyer.example", "password", "", "return_to", to))
		},
		"JSON login": func(to string) answer {
			b, err := json.Marshal(map[string]string{"email": "rob@buyer.example", "password": testenv.Password, "return_to": to})
			if err != nil {
				t.Fatal(err)
			}
			return f.guest(t).json(http.MethodPost, "/auth/login", string(b))
		},
		"POST login, a choice of companies": func(to string) answer { return login(f.guest(t), "mara@buyer.example", to) },
		"POST login, then the second step": func(to string) answer {
			a := login(stepped, "ann@buyer.example", to)
			if !stays(a.where) {
				return a
			}
			f.Clock.Advance(30 * time.Second)
			return stepped.code(key, "return_to", to)
		},
		"GET mfa, signed in": func(to string) answer { return bob.get("/auth/mfa?return_to=" + url.QueryEscape(to)) },
		"GET mfa, under way": func(to string) answer {
			login(stepped, "ann@buyer.example", "/")
			return stepped.get("/auth/mfa?return_to=" + url.QueryEscape(to))
		},
		"POST mfa, signed in": func(to string) answer {
			return bob.post("/auth/mfa", form("method", "totp", "code", "000000", "return_to", to))
		},
		"POST mfa, by password": func(to string) answer {
			return bob.post("/auth/mfa", form("method", "password", "password", testenv.Password, "return_to", to))
		},
		"GET account/mfa":               func(to string) answer { return bob.get("/auth/account/mfa?return_to=" + url.QueryEscape(to)) },
		"GET account/mfa, an offer":     func(to string) answer { return bob.get("/auth/account/mfa?offer=1&return_to=" + url.QueryEscape(to)) },
		"GET account/mfa, later":        func(to string) answer { return bob.get("/auth/account/mfa?later=1&return_to=" + url.QueryEscape(to)) },
		"GET account/mfa, it is needed": func(to string) answer { return bob.get("/auth/account/mfa?needed=1&return_to=" + url.QueryEscape(to)) },
		"POST account/mfa, codes kept": func(to string) answer {
			return bob.post("/auth/account/mfa", form("action", "saved", "saved", "1", "return_to", to))
		},
		"POST account/mfa, codes not kept": func(to string) answer { return bob.post("/auth/account/mfa", form("action", "saved", "return_to", to)) },
		"POST account/mfa, to begin": func(to string) answer {
			return bob.post("/auth/account/mfa", form("action", "begin", "method", "totp", "return_to", to))
		},
		"GET account/company": func(to string) answer { return maria.get("/auth/account/company?return_to=" + url.QueryEscape(to)) },
		"POST account/company": func(to string) answer {
			return maria.post("/auth/account/company", form("id", string(second), "return_to", to))
		},
		"POST account/company, none": func(to string) answer { return maria.post("/auth/account/company", form("id", "x", "return_to", to)) },
		"POST register":              func(to string) answer { return nobody.post("/auth/register", form("email", "x", "return_to", to)) },
		"GET register":               func(to string) answer { return nobody.get("/auth/register?return_to=" + url.QueryEscape(to)) },
		"POST forgot-password": func(to string) answer {
			return nobody.post("/auth/forgot-password", form("email", "x", "return_to", to))
		},
		"POST verify-email": func(to string) answer { return nobody.post("/auth/verify-email", form("token", "x", "return_to", to)) },
		"POST reset-password": func(to string) answer {
			return nobody.post("/auth/reset-password", form("token", "x", "password", "x", "return_to", to))
		},
		"POST account/password": func(to string) answer { return bob.post("/auth/account/password", form("return_to", to)) },
		"POST account/email":    func(to string) answer { return bob.post("/auth/account/email", form("return_to", to)) },
		"POST account/sessions": func(to string) answer {
			return bob.post("/auth/account/sessions", form("action", "revoke_others", "return_to", to))
		},
		"POST logout, of nobody": func(to string) answer { return nobody.post("/auth/logout", form("return_to", to)) },
		"GET signed-out":         func(to string) answer { return nobody.get("/auth/signed-out?return_to=" + url.QueryEscape(to)) },
	}
	check := func(t *testing.T, to string, a answer) {
		t.Helper()
		if a.status >= 500 {
			t.Errorf("%.60q: answered %d", to, a.status)
		}
		places := []string{}
		if a.status >= 300 && a.status < 400 {
			places = append(places, a.where)
		}
		if strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
			n := a.doc(t)
			for _, link := range append(find(n, "a"), find(n, "form")...) {
				for _, name := range []string{"href", "action", "formaction"} {
					if to := attr(link, name); to != "" && !strings.HasPrefix(to, "#") && !strings.HasPrefix(to, "mailto:") {
						places = append(places, to)
					}
				}
			}
			for _, in := range find(n, "input[name=return_to]") {
				places = append(places, attr(in, "value"))
			}
			if metas(n) {
				t.Errorf("%.60q: the page leads on by itself", to)
			}
		}
		for _, place := range places {
			u, err := url.Parse(place)
			if err != nil || !stays(place) || strings.ContainsAny(place, "\r\n\t\\") {
				t.Errorf("%.60q leads to %.80q", to, place)
				continue
			}
			for _, inner := range u.Query()["return_to"] {
				if !stays(inner) {
					t.Errorf("%.60q leads to %.80q, and on to %.80q", to, place, inner)
				}
			}
		}
		for _, cookie := range a.header["Set-Cookie"] {
			if strings.HasPrefix(cookie, "a=") {
				t.Errorf("%.60q has set a cookie", to)
			}
		}
	}
	for name, carry := range carriers {
		for _, payload := range astray {
			for _, to := range []string{payload, url.QueryEscape(payload), url.QueryEscape(url.QueryEscape(payload))} {
				check(t, name+" "+to, carry(to))
			}
		}
	}
	// Two of them are none.
	for _, a := range []answer{nobody.get("/auth/login?return_to=/ok&return_to=//evil.test"), bob.get("/auth/login?return_to=/ok&return_to=//evil.test"), bob.get("/auth/mfa?return_to=/ok&return_to=//evil.test"), maria.get("/auth/account/company?return_to=/ok&return_to=//evil.test")} {
		check(t, "two", a)
		if strings.Contains(a.body+a.where, "evil.test") || strings.Contains(a.where, "/ok") {
			t.Errorf("of two, one is taken: %d to %q", a.status, a.where)
		}
	}
	for _, path := range []string{"/auth/login", "/auth/mfa", "/auth/account/mfa", "/auth/account/company"} {
		if a := maria.post(path, url.Values{"return_to": {"/ok", "//evil.test"}}); a.status != 400 {
			t.Errorf("%s takes two: %d to %q", path, a.status, a.where)
		}
	}
}

// metas says whether a page has a refresh of its own.
func metas(n *html.Node) bool {
	for _, m := range find(n, "meta") {
		if attr(m, "http-equiv") != "" {
			return true
		}
	}
	return false
}
