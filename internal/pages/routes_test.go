package pages_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/pages"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// routes are the paths of contract 4 and 8 that exist, with their methods.
var routes = map[string]string{
	"/auth/mfa":                      "GET, HEAD, POST",
	"/auth/webauthn/options":         "POST",
	"/auth/account/mfa":              "GET, HEAD, POST",
	"/.well-known/passkey-endpoints": "GET, HEAD",
	"/auth":                          "GET, HEAD",
	"/auth/login":                    "GET, HEAD, POST",
	"/auth/logout":                   "GET, HEAD, POST",
	"/auth/signed-out":               "GET, HEAD",
	"/auth/verify-email":             "GET, HEAD, POST",
	"/auth/register":                 "GET, HEAD, POST",
	"/auth/forgot-password":          "GET, HEAD, POST",
	"/auth/reset-password":           "GET, HEAD, POST",
	"/auth/undo":                     "GET, HEAD, POST",
	"/auth/not-me":                   "GET, HEAD, POST",
	"/auth/try-now":                  "GET, HEAD, POST",
	"/auth/stop-recovery":            "GET, HEAD, POST",
	"/auth/account/email":            "GET, HEAD, POST",
	"/auth/account":                  "GET, HEAD",
	"/auth/account/password":         "GET, HEAD, POST",
	"/auth/account/sessions":         "GET, HEAD, POST",
	"/auth/account/activity":         "GET, HEAD",
	"/auth/account/data":             "GET, HEAD, POST",
	"/auth/account/company":          "GET, HEAD, POST",
	"/auth/api/session":              "GET, HEAD",
	"/auth/api/sessions":             "GET, HEAD, DELETE",
	"/auth/api/sessions/x":           "DELETE",
	"/auth/api/activity":             "GET, HEAD",
	"/auth/jwks.json":                "GET, HEAD",
	"/auth/brand/theme.css":          "GET, HEAD",
	"/auth/brand/icon.svg":           "GET, HEAD",
	"/auth/brand/logo":               "GET, HEAD",
	"/auth/static/nothing.css":       "GET, HEAD",
	"/.well-known/change-password":   "GET, HEAD",
	"/auth/static/style-000000.css":  "GET, HEAD",
}

// guarded checks the headers that every answer of ours has (FE-02).
func guarded(t *testing.T, what string, a answer) {
	t.Helper()
	h := a.header
	referrer := "same-origin"
	path, _, _ := strings.Cut(strings.TrimPrefix(what, prefix), "?")
	if strings.Contains(a.body, "<main id=\"main\" tabindex=\"-1\" data-secret") || a.status == 404 && a.body == "" && slices.Contains(pages.LinkPages, path) { // a page of a link tells nobody its address (REC-08)
		referrer = "no-referrer"
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": referrer, "Cross-Origin-Opener-Policy": "same-origin", "X-Frame-Options": "DENY",
	} {
		if got := h[http.CanonicalHeaderKey(name)]; len(got) != 1 || got[0] != want {
			t.Errorf("%s (%d): %s is %q", what, a.status, name, got)
		}
	}
	csp := h.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(csp, part) {
			t.Errorf("%s (%d): the policy is %q, without %s", what, a.status, csp, part)
		}
	}
	kind := h.Get("Content-Type")
	if strings.HasPrefix(kind, "text/html") && !strings.Contains(csp, "form-action 'self'") {
		t.Errorf("%s: a page whose forms may be sent elsewhere: %q", what, csp)
	}
	if strings.Contains(csp, "unsafe") && kind != "image/svg+xml" || strings.Contains(csp, "script-src *") || strings.Contains(csp, "http") {
		t.Errorf("%s: the policy is %q", what, csp)
	}
	if len(a.body) > 0 && (kind == "" || (strings.HasPrefix(kind, "text/") || kind == "application/json") && !strings.Contains(kind, "charset=utf-8")) {
		t.Errorf("%s (%d): the content type is %q", what, a.status, kind)
	}
	file := strings.HasPrefix(what, "/auth/static/") || strings.HasPrefix(what, "/auth/brand/") || strings.HasPrefix(what, "/auth/jwks")
	if cached := h.Get("Cache-Control"); cached != "no-store" && !(file && a.status == 200) || cached == "" {
		t.Errorf("%s (%d): may be kept: %q", what, a.status, cached)
	}
	if len(h["Set-Cookie"]) > 0 && h.Get("Cache-Control") != "no-store" {
		t.Errorf("%s (%d): sets cookies and may be kept", what, a.status)
	}
	for _, c := range h["Set-Cookie"] {
		if !strings.Contains(c, "; HttpOnly") || !strings.Contains(c, "; SameSite=Lax") || !strings.Contains(c, "; Path=/;") || strings.Contains(c, "Domain") {
			t.Errorf("%s: sets the cookie %q", what, c)
		}
	}
}

func TestEveryAnswerCarriesItsGuards(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.tenant.Brand.Logo = []byte(wideLogo)
	for _, p := range everyPage(t, f) { // pages and refusals: 200, 4xx, 5xx
		guarded(t, "page "+p.name, p.answer)
	}
	ann, nobody := f.guest(t), f.guest(t)
	ann.signIn(longAnn, testenv.Password)
	files := regexp.MustCompile(`/auth/static/[a-z]+-[0-9a-f]{12}\.[a-z]+`).FindAllString(ann.get("/auth/account").body, -1)
	if len(files) != 3 {
		t.Errorf("the account page has the files %v", files)
	}
	paths := files
	for p := range routes {
		paths = append(paths, p)
	}
	for _, p := range paths {
		for _, g := range []*guest{ann, nobody} {
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodOptions, http.MethodPatch} {
				a := g.do(method, p, "", "")
				guarded(t, p, a)
			}
			guarded(t, p, g.json(http.MethodGet, p, ""))
		}
	}
	guarded(t, "/graphql", nobody.json(http.MethodPost, "/graphql", "{}"))
	guarded(t, "/orders", nobody.get("/orders"))

	// Strict transport only where there is one; a browser ignores it elsewhere (RFC 6797, section 8.1).
	if v := nobody.get("/auth/login").header.Get("Strict-Transport-Security"); v != "" {
		t.Errorf("over plain HTTP: %q", v)
	}
	nobody.header.Set("X-Forwarded-Proto", "https")
	for _, p := range append(paths, "/orders", "/auth/account/x.css") {
		var age int
		if _, err := fmt.Sscanf(nobody.get(p).header.Get("Strict-Transport-Security"), "max-age=%d; includeSubDomains", &age); err != nil || age < 365*24*3600 {
			t.Errorf("%s: no strict transport for a year: %v", p, err)
		}
	}
	for name := range nobody.cookies() {
		t.Errorf("somebody who did nothing has the cookie %s", name)
	}
}

func TestEveryPathSaysWhichMethodsItTakes(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	g := f.guest(t)
	for path, allowed := range routes {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions} {
			a := g.do(method, path, "", "")
			if takes := contains(strings.Split(allowed, ", "), method); takes == (a.status == http.StatusMethodNotAllowed) {
				t.Errorf("%s %s is answered %d", method, path, a.status)
			} else if !takes && a.header.Get("Allow") != allowed {
				t.Errorf("%s %s: allowed is %q, not %q", method, path, a.header.Get("Allow"), allowed)
			}
		}
	}
	for _, path := range []string{"/auth/", "/auth/LOGIN", "/auth/login/", "/auth//login", "/auth/account/x", "/auth/api", "/auth/api/", "/auth/api/session/x", "/auth/registered", "/auth/brand/x", "/auth/static/", "/authx"} {
		a := g.get(path)
		if want := 404; path == "/authx" && a.status != 303 || path != "/authx" && a.status != want {
			t.Errorf("%s is answered %d", path, a.status)
		}
	}
}

func TestHeadIsAnsweredLikeGetWithoutABody(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	g := f.guest(t)
	g.signIn("ann@buyer.example", testenv.Password)
	for path, allowed := range routes {
		if !strings.Contains(allowed, "HEAD") {
			continue
		}
		get, head := g.get(path), g.do(http.MethodHead, path, "", "")
		get.header.Del("Date")
		head.header.Del("Date")
		if head.body != "" || head.status != get.status {
			t.Errorf("HEAD %s: %d and %q, GET: %d", path, head.status, head.body, get.status)
		}
		if get.status != 404 && fmt.Sprint(head.header) != fmt.Sprint(get.header) { // each refusal has its own reference
			t.Errorf("HEAD %s: %v\nGET: %v", path, head.header, get.header)
		}
	}
}

// SES-05: a cache that goes by the ending of a path finds nothing of an account under it.
func TestAnEndingThatLooksLikeAFileShowsNoAccount(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	g := f.guest(t)
	g.signIn("ann@buyer.example", testenv.Password)
	for _, page := range []string{"/auth/account", "/auth/account/sessions", "/auth/account/activity", "/auth/account/data", "/auth/account/password", "/auth/api/session", "/auth/api/sessions", "/auth/login", "/auth/logout"} {
		for _, end := range []string{"/x.css", "%2fx.css", ".css", "/x.js", ";x.css", "%3bx.png", "%3fx.css", "%00.css", "%0ax.css", "/..%2f..%2fx.css", "/static/x.css"} {
			a := g.get(page + end)
			if strings.Contains(a.body, "Ann Buyer") || strings.Contains(a.body, "ann@buyer.example") || a.status == 200 {
				t.Errorf("%s%s is answered %d and shows an account", page, end, a.status)
			}
			if a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s%s may be kept: %q", page, end, a.header.Get("Cache-Control"))
			}
		}
		if a := g.get(page + "?x.css"); a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s?x.css may be kept", page)
		}
	}
}

// state is everything that the database holds of a tenant, in a form that can be compared.
func (f *front) state(t *testing.T, n *portal.Tenant) map[string]string {
	t.Helper()
	if err := f.Sessions.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	var tables []string
	f.DB.Row(t, `select array_agg(format('%I.%I', table_schema, table_name)) from information_schema.columns
		where column_name = 'tenant_id' and table_schema in ('public', 'portalgate')`, nil, &tables)
	out := map[string]string{}
	for _, name := range tables {
		var rows, sum string
		// When a session was last seen is what every request may move.
		f.DB.Row(t, `select count(*)::text, coalesce(md5(string_agg(r, e'\n' order by r)), '') from (
			select (to_jsonb(t) - 'last_active_at' - 'idle_expires_at' - 'last_seen_at' - 'last_active' - 'idle_end')::text as r from `+name+` t where t.tenant_id = $1) x`, []any{n.ID}, &rows, &sum)
		out[name] = rows + " " + sum
	}
	return out
}

func TestAGetChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{Customer: "C-1"})
	f.Person(t, *f.tenant, testenv.Visitor{Customer: "C-2"})
	f.Person(t, *f.tenant, testenv.Visitor{Email: "new@buyer.example", Unverified: true})
	ann, other, waiting := f.guest(t), f.guest(t), f.guest(t)
	ann.signIn("ann@buyer.example", testenv.Password)
	other.signIn("ann@buyer.example", testenv.Password)
	waiting.signIn("new@buyer.example", testenv.Password)
	ids := find(other.get("/auth/account/sessions").doc(t), "input[name=id]")
	if len(ids) != 2 {
		t.Fatalf("%d devices are listed", len(ids))
	}
	before := f.state(t, f.tenant)
	if len(before) < 8 {
		t.Fatalf("only %d tables are compared", len(before))
	}
	queries := url.Values{"email": {"ann@buyer.example"}, "password": {testenv.Password}, "current_password": {testenv.Password}, "all": {"1"}, "action": {"revoke_all"},
		"id": {attr(ids[1], "value")}, "token": {"x"}, "return_to": {"/orders"}, "_method": {"POST"}}
	for path := range routes {
		for _, g := range []*guest{ann, waiting} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				g.do(method, path, "", "")
				a := g.do(method, path+"?"+queries.Encode(), "", "")
				if len(a.header["Set-Cookie"]) > 0 {
					t.Errorf("%s %s sets %v", method, path, a.header["Set-Cookie"])
				}
				g.do(method, path, "application/x-www-form-urlencoded", queries.Encode())
			}
			g.header.Set("X-Http-Method-Override", "DELETE")
			g.get(path)
			g.header.Del("X-Http-Method-Override")
		}
	}
	after := f.state(t, f.tenant)
	for name := range before {
		if before[name] != after[name] {
			t.Errorf("%s has changed: %s, then %s", name, before[name], after[name])
		}
	}
	if a := other.get("/auth/account"); a.status != 200 {
		t.Errorf("the other device is answered %d", a.status)
	}
}

func TestEveryRefusalLooksAlikeAndSaysWhatNext(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{})
	g := f.guest(t)
	g.signIn("ann@buyer.example", testenv.Password)
	secret := "postgres://app:sesame@db/portal"
	for name, c := range map[string]struct {
		err    error
		status int
		code   string
		link   string
	}{
		"forbidden":   {&portal.Problem{Kind: portal.ProblemForbidden, Public: "This is for administrators.", Err: errors.New(secret)}, 403, "forbidden", "/"},
		"cross-site":  {&portal.Problem{Kind: portal.ProblemCrossSite, Public: "This came from elsewhere."}, 403, "cross_site", "/auth/login"},
		"too large":   {&portal.Problem{Kind: portal.ProblemTooLarge, Public: "That is too much."}, 413, "too_large", "/"},
		"limit":       {&portal.Problem{Kind: portal.ProblemLimit, Public: "Many at once.", RetryAfter: 89*time.Second + time.Millisecond}, 429, "limit", "/auth/login"},
		"internal":    {fmt.Errorf("reading rows: %w", errors.New(secret)), 500, "", "/"},
		"unavailable": {&portal.Problem{Kind: portal.ProblemUnavailable, Public: "Back soon.", RetryAfter: 5 * time.Second, Err: errors.New(secret)}, 503, "unavailable", "/orders?x=1"},
		"busy":        {&portal.Problem{Kind: portal.ProblemBusy, Public: "Many are signing in.", RetryAfter: 3 * time.Second}, 503, "busy", "/orders?x=1"},
	} {
		f.refuse(c.err)
		page := g.get("/orders?x=1")
		if page.status != c.status || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d, %s", name, page.status, page.header.Get("Content-Type"))
			continue
		}
		n := page.doc(t)
		sound(t, n)
		if got := attr(one(t, n, "main a.button"), "href"); got != c.link {
			t.Errorf("%s: leads on to %q, not %q", name, got, c.link)
		}
		data := g.json(http.MethodGet, "/orders?x=1", "")
		if data.status != c.status || data.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s as data: %d, %s", name, data.status, data.header.Get("Content-Type"))
			continue
		}
		m := data.json(t)
		if c.code != "" && m["code"] != c.code || m["status"] != float64(c.status) || m["title"] != text(one(t, n, "h1")) || m["detail"] == "" {
			t.Errorf("%s as data: %v", name, m)
		}
		ql := g.json(http.MethodPost, "/graphql", `{"query":"{me}"}`)
		errs, ok := ql.json(t)["errors"].([]any)
		if ql.status != c.status || !ok || len(errs) != 1 {
			t.Errorf("%s as GraphQL: %d %s", name, ql.status, ql.body)
			continue
		}
		ext := errs[0].(map[string]any)["extensions"].(map[string]any)
		if name != "busy" {
			// The same reference in the answer and in the log, for each of the three.
			for kind, ref := range map[string]any{"page": strings.TrimPrefix(text(one(t, n, "main .ref")), "Reference "), "data": m["reference"], "GraphQL": ext["reference"]} {
				if s, _ := ref.(string); len(s) != 8 || f.log.FilterFieldKey("reference").Len() == 0 || !f.logged(s) {
					t.Errorf("%s as %s: the reference %v is not in the log", name, kind, ref)
				}
			}
		}
		for kind, a := range map[string]answer{"page": page, "data": data, "GraphQL": ql} {
			if strings.Contains(a.body, "sesame") {
				t.Errorf("%s as %s tells what only the log may know:\n%s", name, kind, a.body)
			}
			if c.status == 429 || c.status == 503 {
				if s, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || s < 1 {
					t.Errorf("%s as %s: Retry-After is %q", name, kind, a.header.Get("Retry-After"))
				}
			}
		}
		if name == "limit" {
			if page.header.Get("Retry-After") != "90" || data.header.Get("RateLimit") != `"limit";r=0;t=90` {
				t.Errorf("the limit: Retry-After %q, RateLimit %q", page.header.Get("Retry-After"), data.header.Get("RateLimit"))
			}
			if words := text(one(t, n, "main")); !regexp.MustCompile(`Please try again at \d\d:\d\d UTC , in 2 minutes\.`).MatchString(words) {
				t.Errorf("the limit says %q", words)
			}
			at, err := time.Parse(time.RFC3339, attr(one(t, n, "main time"), "datetime"))
			if wait := at.Sub(f.Clock.Now()); err != nil || wait < 89*time.Second || wait > 150*time.Second {
				t.Errorf("the limit ends in %s: %v", wait, err)
			}
			if !strings.Contains(m["detail"].(string), "in 2 minutes") {
				t.Errorf("the limit as data says %q", m["detail"])
			}
		}
	}
	f.refuse(nil)
	// What is worth waking somebody for is an error in the log, with its cause; the rest is not.
	if n := f.log.FilterMessage("a request could not be answered").Len(); n != 6 {
		t.Errorf("%d errors in the log, not one each for three kinds of two refusals", n)
	}
}

// logged says whether a reference stands in the log.
func (f *front) logged(ref string) bool {
	for _, e := range f.log.All() {
		if e.ContextMap()["reference"] == ref {
			return true
		}
	}
	return false
}

// toSignIn is the address of the sign-in page with a way back.
func toSignIn(to string) string { return "/auth/login?return_to=" + url.QueryEscape(to) }

func TestWhoIsNotSignedInIsAnsweredByTheKindOfRequest(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	g := f.guest(t)
	if a := g.get("/orders/42?x=1&y=%2F"); a.status != 303 || a.where != toSignIn("/orders/42?x=1&y=%2F") {
		t.Errorf("a navigation: %d to %q", a.status, a.where)
	}
	if a := g.get("/"); a.status != 303 || a.where != "/auth/login" {
		t.Errorf("the front page: %d to %q", a.status, a.where)
	}
	a := g.json(http.MethodGet, "/orders", "")
	if m := a.json(t); a.status != 401 || a.header.Get("Content-Type") != "application/problem+json" || m["code"] != "session_required" || m["login_url"] != "/auth/login" {
		t.Errorf("data: %d %s", a.status, a.body)
	}
	a = g.json(http.MethodPost, "/graphql", "{}")
	var codes []string
	for _, e := range a.json(t)["errors"].([]any) {
		ext := e.(map[string]any)["extensions"].(map[string]any)
		codes = append(codes, fmt.Sprint(ext["code"], " ", ext["loginUrl"]))
	}
	sort.Strings(codes)
	if a.status != 401 || strings.Join(codes, ",") != "UNAUTHENTICATED /auth/login" {
		t.Errorf("GraphQL: %d %v", a.status, codes)
	}
	for _, path := range []string{"/auth/account", "/auth/account/sessions", "/auth/account/activity", "/auth/account/data", "/auth/account/company", "/auth/account/password"} {
		if a := g.get(path); a.status != 303 || a.where != toSignIn(path) {
			t.Errorf("%s: %d to %q", path, a.status, a.where)
		}
	}
	for _, path := range []string{"/auth/api/session", "/auth/api/sessions", "/auth/api/activity"} {
		if a := g.get(path); a.status != 401 || a.json(t)["code"] != "session_required" {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := g.get("/.well-known/change-password"); a.status != 302 || a.where != "/auth/account/password" {
		t.Errorf("the well-known path: %d to %q", a.status, a.where)
	}
}

// Over the wrong connection every file of ours is refused as the page was, so it needs none.
func TestAPageThatCanLoadNothingBringsItsLookAlong(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.refuse(&portal.Problem{Kind: portal.ProblemMisdirected, Public: "This portal is reached over https only."})
	a := f.guest(t).get("/orders")
	n := a.doc(t)
	sound(t, n)
	style := one(t, n, "head style").FirstChild.Data
	sum := sha256.Sum256([]byte(style))
	if want := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"; a.status != http.StatusMisdirectedRequest || !strings.Contains(a.header.Get("Content-Security-Policy"), want) {
		t.Errorf("%d: the policy is %q, without %s", a.status, a.header.Get("Content-Security-Policy"), want)
	}
	if !strings.Contains(style, "#0a6e5c") || len(find(n, "[src]"))+len(find(n, "link")) != 0 {
		t.Error("the page is not Acme's, or needs a file")
	}
}
