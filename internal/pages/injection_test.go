package pages_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// What a page of ours may consist of. Anything else in it came from outside and is not inert (FE-02, FE-03).
var (
	elements = regexp.MustCompile(`^(html|head|meta|title|link|style|script|body|a|header|div|span|img|svg|rect|text|nav|form|button|main|h1|h2|p|ul|ol|li|details|summary|pre|path|input|label|strong|time|br|code|footer)$`)
	names    = regexp.MustCompile(`^(lang|charset|name|content|media|rel|href|src|type|class|id|alt|width|height|viewbox|aria-(label|hidden|describedby|invalid|controls|current)|focusable|rx|x|y|d|fill|shape-rendering|xmlns|open|pattern|inputmode|text-anchor|method|action|tabindex|role|data-(focus|focus-field|once|session|show|caps|prefix|as|carry|secret|meter|min|words|level|noscript|nokeys|accepted|said|passkey|options|scripted|scripts|copy|save|print|digits|file|head)|value|autocomplete|autocapitalize|spellcheck|required|autofocus|hidden|checked|readonly|for|datetime|title|novalidate)$`)
	links    = regexp.MustCompile(`^(/([^/\\].*)?|#[a-z0-9_-]+|mailto:[^?]+|tel:\+?[0-9]+|https://[a-z0-9.-]+(/[a-z]*)?|otpauth://totp/[^?]+\?[A-Za-z0-9=&%._-]+)$`)
)

// inert checks one element.
func inert(t *testing.T, d *html.Node) {
	t.Helper()
	if !elements.MatchString(d.Data) {
		t.Errorf("there is a <%s>", d.Data)
	}
	for _, a := range d.Attr {
		if !names.MatchString(strings.ToLower(a.Key)) {
			t.Errorf("<%s> has %s=%q", d.Data, a.Key, a.Val)
		}
		if (a.Key == "href" || a.Key == "src" || a.Key == "action" || a.Key == "data-session" || a.Key == "data-meter" || a.Key == "data-options") && !links.MatchString(a.Val) {
			t.Errorf("<%s> leads to %q", d.Data, a.Val)
		}
	}
	switch d.Data {
	case "style":
		// Of a page that stands alone: its policy names this style by its content, and the page has no other.
		if d.Parent.Data != "head" || has(d, "class") || len(find(d.Parent, "link")) != 0 {
			t.Error("there is a style that is no file of ours, beside those that are")
		}
	case "script":
		if d.FirstChild != nil || !strings.HasPrefix(attr(d, "src"), prefix+"/static/") || attr(d, "type") != "module" {
			t.Error("there is a script that is not a file of ours")
		}
	case "meta":
		if has(d, "http-equiv") {
			t.Error("a page sets a header of its own, or sends people elsewhere")
		}
	}
}

// FE-03: nothing from outside is more than text, wherever it comes in and however it is kept.
var payloads = []string{
	`javascript:alert(1)//`, `"><svg onload=alert(1)>`, `'-alert(1)-'`, `</title><script>alert(1)</script>`, `{{7*191}}`, `${7*191}`,
	`" autofocus onfocus=alert(1) x="`, `<img src=x onerror=alert(1)>`, `data:text/html,<script>alert(1)</script>`, `//evil.example/x`, `</form><form action=https://evil.example>`,
}

func TestWhatARequestBringsIsShownAsTextOrNotAtAll(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	ann, nobody := f.guest(t), f.guest(t)
	ann.signIn("ann@buyer.example", testenv.Password)
	check := func(what string, a answer) {
		t.Helper()
		if strings.Contains(a.body, "1337") {
			t.Errorf("%s: something was reckoned out", what)
		}
		if at := a.where; at != "" && !regexp.MustCompile(`^/([^/\\]|$)`).MatchString(at) {
			t.Errorf("%s: leads to %q", what, at)
		}
		for name, values := range a.header {
			for _, v := range values {
				if name != "Location" && (strings.Contains(v, "alert(1)") || strings.Contains(v, "evil.example")) {
					t.Errorf("%s: header %s is %q", what, name, v)
				}
			}
		}
		if strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
			for d := range a.doc(t).Descendants() {
				if d.Type == html.ElementNode {
					inert(t, d)
				}
			}
		} else if strings.Contains(a.body, "<") {
			t.Errorf("%s: %s holds markup: %s", what, a.header.Get("Content-Type"), a.body)
		}
	}
	for i, p := range payloads {
		for _, field := range []string{"email", "password", "return_to", "remember", "csrf", "<b>"} {
			form := url.Values{"email": {"x@buyer.example"}, "password": {wrongPassword}}
			form.Set(field, p)
			// an address and a network of its own each time, or the pauses would be all that is seen
			nobody.header.Set("Test-Address", "198.51.100."+string(rune('1'+i%9)))
			if field != "email" {
				form.Set("email", strings.Trim(field, "<>_")+string(rune('a'+i))+"@buyer.example")
			}
			check(field+" "+p, nobody.post("/auth/login", form))
			check(field+" in JSON "+p, nobody.json(http.MethodPost, "/auth/login", `{"email":"`+field+`@x.example","`+strings.Trim(field, "<>")+`":"`+strings.ReplaceAll(strings.ReplaceAll(p, `\`, ``), `"`, `\"`)+`"}`))
		}
		for _, path := range []string{"/auth/login", "/auth/logout", "/auth/signed-out", "/auth/verify-email", "/auth/account", "/auth/account/sessions", "/auth/account/activity", "/auth/account/data", "/auth/account/password", "/auth/account/company", "/auth/forgot-password", "/auth/reset-password", "/auth/register", "/auth/account/email", "/auth/undo", "/auth/not-me", "/auth/try-now", "/auth/stop-recovery", "/auth/nothing", "/orders"} {
			for _, name := range []string{"return_to", "ended", "all", "before", "show", "done", "error", "v", "name", "token", "sent", "<b>"} {
				q := "?" + url.Values{name: {p}}.Encode()
				check(path+q, ann.get(path+q))
				if name == "return_to" || name == "error" {
					check("nobody at "+path+q, nobody.get(path+q))
				}
			}
		}
		check("path "+p, ann.get("/auth/"+url.PathEscape(p)))
		check("file "+p, ann.get("/auth/static/"+url.PathEscape(p)))
		for _, name := range []string{"Referer", "User-Agent", "Accept", "Accept-Language", "Origin", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Original-Url", "Cookie", "Sec-Fetch-Site"} {
			g := f.guest(t)
			g.header[name] = []string{p}
			check(name+": "+p, g.get("/auth/login"))
			check(name+": "+p, g.get("/auth/nothing"))
			check(name+": "+p, g.get("/orders"))
		}
	}
}

func TestWhatIsStoredIsShownAsText(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	for i, p := range payloads {
		f.tenant = f.open(t, p, portal.Brand{Accent: p, Contact: p, Logo: []byte("<svg " + p)})
		f.Person(t, *f.tenant, testenv.Visitor{Name: p, Customer: "C1"})
		f.Person(t, *f.tenant, testenv.Visitor{Name: p, Customer: "C2"})
		f.DB.Exec(t, `update public.customers set customer_name = $1 where tenant_id = $2`, p, f.tenant.ID)
		g := f.guest(t)
		g.header.Set("User-Agent", p)
		g.signIn("ann@buyer.example", testenv.Password)
		shown := 0
		for _, path := range []string{"/auth/account", "/auth/account/sessions", "/auth/account/activity", "/auth/account/data", "/auth/account/company", "/auth/account/password", "/auth/logout", "/auth/nothing"} {
			a := g.get(path)
			n := a.doc(t)
			for d := range n.Descendants() {
				if d.Type == html.ElementNode {
					inert(t, d)
				}
			}
			if t.Failed() {
				t.Fatalf("payload %d %q at %s:\n%s", i, p, path, a.body)
			}
			if strings.Contains(a.body, "1337") {
				t.Errorf("payload %q was reckoned out at %s", p, path)
			}
			if squeeze := strings.Join(strings.Fields(p), " "); strings.Contains(text(n), squeeze) {
				shown++
			}
		}
		if shown != 8 {
			t.Errorf("the name %q stands as text on %d pages of 8", p, shown)
		}
		// The icon is a document when it is opened on its own.
		if icon := g.get("/auth/brand/icon.svg"); icon.status != 200 || strings.Contains(icon.body, "alert") {
			t.Errorf("the icon of %q: %d %s", p, icon.status, icon.body)
		}
		if css := g.get("/auth/brand/theme.css"); strings.Contains(css.body, "alert") || strings.Contains(css.body, "evil") {
			t.Errorf("the colours of %q are %s", p, css.body)
		}
		logo := g.get("/auth/brand/logo")
		if !strings.Contains(logo.header.Get("Content-Security-Policy"), "sandbox") || logo.header.Get("Content-Type") != "image/svg+xml" || logo.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("a logo is served with %v", logo.header)
		}
	}
}
