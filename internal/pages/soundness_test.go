package pages_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/portalgate/portalgate/internal/testenv"
)

// Words that nobody should have to know. They are looked for in everything a page says or has read out.
var strange = regexp.MustCompile(`(?i)\b(mfa|totp|tokens?|factors?|session expired|invalid|challenges?|tenants?)\b|!`)

// volatile is what differs from run to run, and what stands in its place in a golden file.
var volatile = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`/static/([a-z]+)-[0-9a-f]{12}\.`), `/static/$1-CONTENT.`},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), `ID`},
	{regexp.MustCompile(`name="(token|form)" value="[^"]*"`), `name="$1" value="SECRET"`},
	{regexp.MustCompile(`data-accepted="[^"]*"`), `data-accepted="LIST"`},
	{regexp.MustCompile(`no-reply@[a-z0-9]+\.example`), `no-reply@SLUG.example`},
	{regexp.MustCompile(`datetime="[^"]*"`), `datetime="WHEN"`},
	{regexp.MustCompile(`\d{1,2} [A-Z][a-z]+ \d{4}, \d\d:\d\d UTC`), `DAY, HOUR UTC`},
	{regexp.MustCompile(`\d\d:\d\d UTC`), `HOUR UTC`},
	{regexp.MustCompile(`(id="key">)[A-Z2-7 ]+`), `${1}KEY`},
	{regexp.MustCompile(`href="otpauth://[^"]*"`), `href="otpauth://KEY"`},
	{regexp.MustCompile(`<svg xmlns[^>]*>.*?</svg>`), `PICTURE`},
	{regexp.MustCompile(`([0-9A-Z]{5}-[0-9A-Z]{5}-[0-9A-Z]{5}\n)+`), "CODES\n"},
	{regexp.MustCompile(`<style>[^<]*</style>`), `<style>LOOK</style>`},
	{regexp.MustCompile(`<code>[0-9A-Z]{8}</code>`), `<code>REFERENCE</code>`},
}

func TestPagesAreThoseThatWereReviewed(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	for _, p := range everyPage(t, f) {
		body := p.body
		for _, v := range volatile {
			body = v.what.ReplaceAllString(body, v.by)
		}
		testenv.Golden(t, filepath.Join("..", "..", "web", "testdata", p.name+".html"), []byte(body))
	}
}

func TestEveryPageIsSound(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	titles := map[string]string{}
	for _, p := range everyPage(t, f) {
		t.Run(p.name, func(t *testing.T) {
			n := p.doc(t)
			sound(t, n)
			who := " - Acme Packaging"
			if p.name == "unknown-host" {
				who = " - Customer portal"
			}
			title := text(one(t, n, "head title"))
			h1 := text(one(t, n, "main h1"))
			problems := find(n, "main .problems")
			if want := h1 + who; strings.TrimPrefix(title, "Error: ") != want {
				t.Errorf("the title is %q, the heading makes it %q", title, want)
			}
			if strings.HasPrefix(title, "Error: ") != (len(problems) == 1) {
				t.Errorf("the title is %q, with %d boxes of problems", title, len(problems))
			}
			// Two pages may share a title only when they are the same page in two states.
			page, _, _ := strings.Cut(p.name, "-")
			if other, ok := titles[title]; ok && other != page && !strings.HasPrefix(title, "Error: ") {
				t.Errorf("pages %s and %s have the same title %q", other, page, title)
			}
			titles[title] = page
			for _, box := range problems {
				if attr(box, "role") != "alert" || attr(box, "tabindex") != "-1" || !has(box, "data-focus") || text(one(t, box, "h2")) != "There is a problem" {
					t.Error("the box of problems does not announce itself")
				}
				marked := find(n, "[aria-invalid=true]")
				for _, link := range find(box, "li a") {
					if !slices.ContainsFunc(marked, func(m *html.Node) bool { return attr(link, "href") == "#"+attr(m, "id") }) {
						t.Errorf("the line %q does not lead to the field that is marked", text(link))
					}
				}
				for _, m := range marked {
					described := ""
					for id := range strings.FieldsSeq(attr(m, "aria-describedby")) {
						described += text(one(t, n, "#"+id)) + " "
					}
					if !slices.ContainsFunc(find(box, "li"), func(line *html.Node) bool { return strings.Contains(described, text(line)) }) {
						t.Errorf("field %s is described as %q, the problems are %q", attr(m, "id"), described, text(box))
					}
				}
			}
			if (p.status >= 402 && p.status != 422) && len(problems) == 0 && p.name != "unknown-host" {
				if len(find(n, "main a.button")) != 1 {
					t.Error("there is no way forward")
				}
				if !regexp.MustCompile(`Reference [0-9A-Z]{8}`).MatchString(text(one(t, n, "main"))) && p.name != "busy" {
					t.Error("there is no reference")
				}
			}
			help := text(one(t, n, "footer"))
			if p.name == "unknown-host" && help == "" || p.name != "unknown-host" && !strings.Contains(help, "portal@acme.example") {
				t.Errorf("the footer does not say whom to ask: %q", help)
			}
		})
	}
}

// sound checks what holds of every page, whatever it shows.
func sound(t *testing.T, n *html.Node) {
	t.Helper()
	if attr(one(t, n, "html"), "lang") != "en" {
		t.Error("the page does not say its language")
	}
	main, footer := one(t, n, "main"), one(t, n, "footer")
	one(t, n, "header")
	if len(find(n, "h1")) != 1 {
		t.Errorf("%d headings of the first order", len(find(n, "h1")))
	}
	if first := find(n, "a")[0]; attr(first, "class") != "skip" || attr(first, "href") != "#main" || attr(main, "id") != "main" || attr(main, "tabindex") != "-1" {
		t.Error("the first link does not skip to the content")
	}
	_ = footer
	if v := attr(one(t, n, "head meta[name=viewport]"), "content"); strings.Contains(v, "scalable") || strings.Contains(v, "maximum") {
		t.Error("zooming is forbidden")
	}
	if attr(one(t, n, "head meta[name=robots]"), "content") != "noindex" || attr(one(t, n, "head meta[name=color-scheme]"), "content") != "light dark" {
		t.Error("robots or the colour scheme are not told")
	}
	ids := map[string]int{}
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && attr(d, "id") != "" {
			ids[attr(d, "id")]++
		}
	}
	for id, times := range ids {
		if times > 1 {
			t.Errorf("%d elements are #%s", times, id)
		}
	}
	known := func(of *html.Node, name string) {
		for id := range strings.FieldsSeq(strings.TrimPrefix(attr(of, name), "#")) {
			if ids[id] == 0 {
				t.Errorf("<%s %s=%q> leads nowhere", of.Data, name, attr(of, name))
			}
		}
	}
	for d := range n.Descendants() {
		if d.Type == html.ElementNode {
			inert(t, d)
			known(d, "aria-describedby")
			known(d, "aria-controls")
			known(d, "for")
			if strings.HasPrefix(attr(d, "href"), "#") {
				known(d, "href")
			}
		}
	}
	fields(t, n)
	said := text(n)
	for _, name := range []string{"aria-label", "title", "alt", "placeholder", "content"} {
		for _, d := range find(n, "["+name+"]") {
			said += " " + attr(d, name)
		}
	}
	if w := strange.FindString(said); w != "" {
		t.Errorf("the page says %q", w)
	}
}

// fields checks what every form and field has.
func fields(t *testing.T, n *html.Node) {
	t.Helper()
	for _, form := range find(n, "form") {
		if attr(form, "method") != "post" || !strings.HasPrefix(attr(form, "action"), prefix+"/") || len(find(form, "button")) == 0 {
			t.Errorf("the form to %q is not sent by a button, with POST, to us", attr(form, "action"))
		}
	}
	for _, in := range find(n, "input") {
		kind := attr(in, "type")
		for _, name := range []string{"maxlength", "placeholder", "onpaste"} {
			if has(in, name) {
				t.Errorf("field %q has %s", attr(in, "name"), name)
			}
		}
		if attr(in, "autocomplete") == "off" {
			t.Errorf("field %q keeps password managers out", attr(in, "name"))
		}
		if kind == "hidden" || attr(in, "aria-hidden") == "true" {
			continue
		}
		labels := find(n, "label[for="+attr(in, "id")+"]")
		if attr(in, "id") == "" || len(labels) != 1 || text(labels[0]) == "" {
			t.Errorf("field %q has no label", attr(in, "name"))
		}
		if kind != "checkbox" && attr(in, "autocomplete") == "" {
			t.Errorf("field %q says nothing to password managers", attr(in, "name"))
		}
		if kind == "password" && attr(in, "value") != "" {
			t.Error("a password came back")
		}
	}
	for _, b := range find(n, "button") {
		if text(b) == "" {
			t.Error("a button says nothing")
		}
	}
}

func TestTheSignInFormIsWhatPasswordManagersAndPhonesExpect(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	n := f.guest(t).get("/auth/login?return_to=/orders").doc(t)
	form := one(t, n, "form[action=/auth/login]")
	email, pw := one(t, form, "#email"), one(t, form, "#password")
	for name, want := range map[string]string{"name": "email", "type": "email", "autocomplete": "username webauthn", "autocapitalize": "none", "spellcheck": "false", "required": "", "autofocus": ""} {
		if !has(email, name) || attr(email, name) != want {
			t.Errorf("the address field has %s=%q", name, attr(email, name))
		}
	}
	for name, want := range map[string]string{"name": "password", "type": "password", "autocomplete": "current-password", "required": ""} {
		if !has(pw, name) || attr(pw, name) != want {
			t.Errorf("the password field has %s=%q", name, attr(pw, name))
		}
	}
	if text(one(t, form, "button.main")) != text(one(t, n, "h1")) {
		t.Error("the heading and the button do not use the same words")
	}
	show := one(t, form, "button[data-show=password]")
	if attr(show, "type") != "button" || attr(show, "aria-controls") != "password" || !has(show, "hidden") {
		t.Error("the button that shows the password would send the form, or is there without scripts")
	}
	remember := one(t, form, "#remember")
	if has(remember, "checked") || !strings.Contains(text(one(t, form, "#remember-hint")), "14 days") || !strings.Contains(text(one(t, form, "#remember-hint")), "shared computer") {
		t.Error("staying signed in is not off, or does not say for how long")
	}
	if way := one(t, form, ".forgot a"); text(way) != "Forgotten your password?" || attr(way, "href") != "/auth/forgot-password" {
		t.Errorf("who has forgotten the password is led to %q", attr(way, "href"))
	}
	if len(find(n, "main .aside")) != 0 {
		t.Error("an account can be made where registration is not open")
	}
}
