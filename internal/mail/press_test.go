package mail_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

func press(t testing.TB) *mail.Press {
	t.Helper()
	p, err := mail.NewPress(nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func printed(t testing.TB, p *mail.Press, n mail.Note) mail.Message {
	t.Helper()
	m, err := p.Print(n)
	if err != nil {
		t.Fatalf("%s in %s: %v", n.Kind, n.Language, err)
	}
	return m
}

// every calls do with each kind in each language, the pseudo-language too.
func every(do func(n mail.Note)) {
	for _, k := range mail.Kinds() {
		for _, l := range []string{"en", "de", mail.PseudoLanguage} {
			n := mail.Sample(k.Name)
			n.Language = l
			do(n)
		}
	}
}

func TestMailsAreThoseThatWereReviewed(t *testing.T) {
	t.Parallel()
	p := press(t)
	every(func(n mail.Note) {
		if n.Language == mail.PseudoLanguage && !slices.Contains([]portal.LetterKind{portal.LetterRecover, portal.LetterNewDevice, portal.LetterCode}, n.Kind) {
			return
		}
		m := printed(t, p, n)
		file := filepath.Join("..", "..", "web", "testdata", "mail", string(n.Kind)+"."+n.Language)
		testenv.Golden(t, file+".txt", []byte("Subject: "+m.Subject+"\n\n"+m.Text))
		testenv.Golden(t, file+".html", []byte(m.HTML))
	})
}

// What the HTML of a mail may consist of.
var (
	elements   = regexp.MustCompile(`^(html|head|meta|title|style|body|div|table|tbody|tr|td|th|h1|h2|p|a|br|bdi)$`)
	attributes = regexp.MustCompile(`^(lang|dir|charset|name|content|role|class|style|width|border|cellpadding|cellspacing|align|valign|bgcolor|scope|href)$`)
	loading    = regexp.MustCompile(`(?i)url\(|@import|expression|javascript:`)
)

// sound checks one mail, whatever it says. It returns the words that a person sees.
func sound(t testing.TB, n mail.Note, m mail.Message) string {
	t.Helper()
	wrong := func(format string, a ...any) {
		t.Helper()
		t.Errorf("%s in %s: "+format, append([]any{n.Kind, n.Language}, a...)...)
	}
	doc, err := html.Parse(strings.NewReader(m.HTML))
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{}
	for _, path := range []string{n.Link, n.NotMe} {
		if path != "" {
			allowed[n.Origin+path] = false
		}
	}
	var seen strings.Builder
	hidden := 0
	for d := range doc.Descendants() {
		if d.Type == html.TextNode && d.Parent.Data != "style" && d.Parent.Data != "title" {
			seen.WriteString(d.Data + " ")
		}
		if d.Type == html.CommentNode {
			wrong("there is a comment")
		}
		if d.Type != html.ElementNode {
			continue
		}
		if !elements.MatchString(d.Data) {
			wrong("there is a <%s>", d.Data)
		}
		if d.Data == "style" && (d.Parent.Data != "head" || loading.MatchString(d.FirstChild.Data) || !strings.Contains(d.FirstChild.Data, "prefers-color-scheme: dark")) {
			wrong("the stylesheet is not the one for dark mode")
		}
		for _, a := range d.Attr {
			switch {
			case !attributes.MatchString(a.Key):
				wrong("<%s> has %s=%q", d.Data, a.Key, a.Val)
			case a.Key == "href":
				if _, ok := allowed[a.Val]; !ok || d.Data != "a" {
					wrong("a link leads to %q", a.Val)
				}
				allowed[a.Val] = true
			case a.Key == "style" && (loading.MatchString(a.Val) || strings.Contains(a.Val, "Zgotmpl")):
				wrong("<%s> has the style %q", d.Data, a.Val)
			case a.Key == "style" && strings.Contains(a.Val, "display:none"):
				hidden++
			}
		}
	}
	if hidden != 1 {
		wrong("%d elements are hidden; the preheader is", hidden)
	}
	for link, there := range allowed {
		if !there {
			wrong("there is no link to %q", link)
		}
		if strings.Count(m.Text, "\n"+link+"\n") != 1 {
			wrong("the text has %q not once on a line of its own", link)
		}
	}
	direction := map[bool]string{true: "rtl", false: "ltr"}[n.Language == mail.PseudoLanguage]
	for _, tag := range []string{"<html ", `<table role="presentation" class="ground" `} {
		if !strings.Contains(m.HTML, fmt.Sprintf("%slang=%q dir=%q", tag, m.Language, direction)) {
			wrong("%s does not say its language and direction", tag)
		}
	}
	if m.To != n.To || m.Kind != n.Kind || m.Tenant != n.Tenant.ID || m.Slug != n.Tenant.Slug || m.From != (mail.Address{}) || m.ID != "" || !m.Date.IsZero() {
		wrong("its envelope is %+v", []any{m.To, m.Kind, m.Tenant, m.Slug, m.From, m.ID, m.Date})
	}
	for _, secret := range []string{n.Link, n.NotMe, "token", "://"} {
		if secret != "" && strings.Contains(m.Subject, secret) {
			wrong("the subject %q has %q in it", m.Subject, secret)
		}
	}
	if l := utf8.RuneCountInString(m.Subject); l == 0 || l > 200 {
		wrong("the subject has %d characters", l)
	}
	for line := range strings.SplitSeq(m.Text, "\n") {
		if l := utf8.RuneCountInString(strings.Map(visible, line)); l > 72 && !strings.HasPrefix(line, n.Origin) {
			wrong("the text has a line of %d characters: %s", l, line)
		}
	}
	return seen.String()
}

// visible leaves out the signs that turn the direction.
func visible(r rune) rune {
	if r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
		return -1
	}
	return r
}

func TestEveryMailIsSound(t *testing.T) { // EML-03, REC-06
	t.Parallel()
	p := press(t)
	every(func(n mail.Note) {
		m := printed(t, p, n)
		seen := sound(t, n, m)
		for _, part := range []string{seen, m.Text, m.Subject} {
			if raw := regexp.MustCompile(`[{}]|\b(common|details|date|duration|` + string(n.Kind) + `)\.[a-z_]+|<no value>|%!`).FindString(part); raw != "" {
				t.Errorf("%s in %s shows %q raw", n.Kind, n.Language, raw)
			}
		}
	})
}

func TestEveryMailSaysWhoAskedAndHowLongItsLinkHolds(t *testing.T) { // UX-55
	t.Parallel()
	p := press(t)
	every(func(n mail.Note) {
		if n.Language == mail.PseudoLanguage {
			return
		}
		said := map[string][]string{"en": {"9 March 2026, 09:41 CET"}, "de": {"9. März 2026, 09:41 Uhr (MEZ)"}}[n.Language]
		if n.Facts["device"] != "" {
			said = append(said, map[string]string{"en": "Firefox on Windows", "de": "Firefox unter Windows"}[n.Language], "Hamburg, Germany", "203.0.113.7")
		}
		if n.Valid > 0 {
			said = append(said, map[time.Duration]map[string]string{
				10 * time.Minute: {"en": "10 minutes", "de": "10 Minuten"}, time.Hour: {"en": "1 hour", "de": "1 Stunde"},
				24 * time.Hour: {"en": "24 hours", "de": "24 Stunden"}, 7 * 24 * time.Hour: {"en": "7 days", "de": "7 Tage"},
			}[n.Valid][n.Language])
		}
		if n.Kind != portal.LetterTest {
			said = append(said, map[string]string{"en": "you", "de": "Sie"}[n.Language])
		}
		m := printed(t, p, n)
		for _, s := range said {
			if !strings.Contains(strings.Join(strings.Fields(m.Text), " "), s) || !strings.Contains(m.HTML, s) {
				t.Errorf("%s in %s does not say %q in both parts", n.Kind, n.Language, s)
			}
		}
		if n.NotMe != "" && !strings.Contains(m.HTML, map[string]string{"en": "This wasn&#39;t me", "de": "Das war ich nicht"}[n.Language]) {
			t.Errorf("%s in %s has no button against a stranger", n.Kind, n.Language)
		}
	})
}

func TestTheSubjectCarriesThePoint(t *testing.T) { // UX-54
	t.Parallel()
	p := press(t)
	for _, c := range []struct {
		kind     portal.LetterKind
		language string
		facts    map[string]string
		want     string
	}{
		{portal.LetterCode, "en", nil, "123456 is your Acme Packaging code"},
		{portal.LetterCode, "de", nil, "123456 ist Ihr Code für Acme Packaging"},
		{portal.LetterNewDevice, "en", map[string]string{"device": "Firefox on Windows"}, "New sign-in to Acme Packaging from Firefox on Windows"},
		{portal.LetterNewDevice, "en", map[string]string{"device": "A browser on Android"}, "New sign-in to Acme Packaging from a browser on Android"},
		{portal.LetterNewDevice, "de", map[string]string{"device": "A browser on Android"}, "Neue Anmeldung bei Acme Packaging mit einem Browser unter Android"},
		{portal.LetterNewDevice, "en", map[string]string{"device": "Unknown device"}, "New sign-in to Acme Packaging"},
		{portal.LetterNewDevice, "en", nil, "New sign-in to Acme Packaging"},
		{portal.LetterFactor, "en", map[string]string{"what": "codes_made"}, "New backup codes were made: your Acme Packaging account"},
		{portal.LetterFactor, "en", map[string]string{"what": "A key was renamed"}, "A key was renamed: your Acme Packaging account"},
		{portal.LetterFactor, "en", nil, "The second step of your Acme Packaging sign-in was changed"},
	} {
		n := mail.Sample(c.kind)
		n.Language, n.Facts = c.language, c.facts
		if m := printed(t, p, n); m.Subject != c.want {
			t.Errorf("%s in %s with %v: the subject is %q, not %q", c.kind, c.language, c.facts, m.Subject, c.want)
		}
	}
	n := mail.Sample(portal.LetterCode)
	m := printed(t, p, n)
	first, _, _ := strings.Cut(m.Text, "\n")
	if !strings.Contains(first, n.Code) {
		t.Errorf("the first line of a code's mail is %q", first)
	}
}

func TestTheLanguageIsThePersonsThenTheTenantsThenEnglish(t *testing.T) {
	t.Parallel()
	p := press(t)
	for _, c := range []struct{ person, tenant, want string }{
		{"de", "", "de"}, {"de-AT", "en", "de"}, {"de_CH", "", "de"}, {"DE", "", "de"}, {"gsw", "", "de"}, {"en-GB", "de", "en"},
		{"fr", "de-DE", "de"}, {"fr", "", "en"}, {"", "de", "de"}, {"", "", "en"}, {"zh-Hant-TW", "", "en"},
		{"ar", "", "en"}, {"ar-EG", "de", "de"}, {mail.PseudoLanguage, "de", mail.PseudoLanguage},
		{"../../etc/passwd", "de", "de"}, {"{{.}}", "", "en"}, {strings.Repeat("de-", 5000) + "de", "", "en"}, {"de\r\nBcc: x@evil.test", "", "en"},
	} {
		n := mail.Sample(portal.LetterRecover)
		n.Language, n.Tenant.Language = c.person, c.tenant
		if m := printed(t, p, n); m.Language != c.want {
			t.Errorf("a person of %.20q at a tenant of %q reads %q, not %q", c.person, c.tenant, m.Language, c.want)
		}
	}
}

func TestMomentsAreSaidInTheGivenZone(t *testing.T) {
	t.Parallel()
	p := press(t)
	at := time.Date(2026, 7, 1, 22, 30, 0, 0, time.FixedZone("elsewhere", 7200))
	for _, c := range []struct{ zone, language, want string }{
		{"", "en", "1 July 2026, 20:30 UTC"}, {"Local", "en", "1 July 2026, 20:30 UTC"}, {"Nowhere/Land", "en", "1 July 2026, 20:30 UTC"}, {"../../etc/passwd", "en", "1 July 2026, 20:30 UTC"},
		{"Europe/Berlin", "en", "1 July 2026, 22:30 CEST"}, {"Europe/Berlin", "de", "1. Juli 2026, 22:30 Uhr (MESZ)"}, {"Asia/Tokyo", "de", "2. Juli 2026, 05:30 Uhr (JST)"},
		{"America/Sao_Paulo", "en", "1 July 2026, 17:30 UTC-3:00"}, {"Asia/Kathmandu", "en", "2 July 2026, 02:15 UTC+5:45"},
	} {
		n := mail.Sample(portal.LetterRecover)
		n.At, n.Zone, n.Language = at, c.zone, c.language
		if m := printed(t, p, n); !strings.Contains(m.Text, c.want+"\n") {
			t.Errorf("in %q and %s it was not %q:\n%s", c.zone, c.language, c.want, m.Text)
		}
	}
}

func TestDurationsAreSaidInWholeUnits(t *testing.T) {
	t.Parallel()
	p := press(t)
	for d, want := range map[time.Duration]string{
		30 * time.Second: "1 minute", time.Minute: "1 minute", 10 * time.Minute: "10 minutes", 90 * time.Minute: "90 minutes", time.Hour: "1 hour",
		24 * time.Hour: "24 hours", 48 * time.Hour: "2 days", 49 * time.Hour: "49 hours", 7 * 24 * time.Hour: "7 days",
	} {
		n := mail.Sample(portal.LetterRecover)
		n.Valid = d
		if m := printed(t, p, n); !strings.Contains(m.Text, "stays good for "+want+".") {
			t.Errorf("%s is not said as %q", d, want)
		}
	}
}

// A note that breaks a rule is a mistake of ours: no mail leaves, and the error may be logged.
func TestNoMailIsMadeOfAWrongNote(t *testing.T) { // EML-03, REC-06, AUD-01
	t.Parallel()
	p := press(t)
	good := mail.Sample(portal.LetterRecover)
	for what, spoil := range map[string]func(n *mail.Note){
		"no kind":                    func(n *mail.Note) { n.Kind = "nothing" },
		"no recipient":               func(n *mail.Note) { n.To = "" },
		"two recipients":             func(n *mail.Note) { n.To = "ann@buyer.example,eve@evil.test" },
		"a header in the recipient":  func(n *mail.Note) { n.To = "ann@buyer.example\r\nBcc: eve@evil.test" },
		"a recipient not canonical":  func(n *mail.Note) { n.To = "Ann@Buyer.example" },
		"no origin":                  func(n *mail.Note) { n.Origin = "" },
		"an origin without TLS":      func(n *mail.Note) { n.Origin, n.Tenant.Hosts = "http://acme.portal.example", nil },
		"an origin with a path":      func(n *mail.Note) { n.Origin += "/x" },
		"an origin with a user":      func(n *mail.Note) { n.Origin = "https://acme.portal.example@evil.test" },
		"another's origin":           func(n *mail.Note) { n.Origin = "https://globex.portal.example" },
		"no link":                    func(n *mail.Note) { n.Link = "" },
		"a link elsewhere":           func(n *mail.Note) { n.Link = "https://evil.test/" },
		"a link to another host":     func(n *mail.Note) { n.Link = "//evil.test/secret" },
		"a link with a backslash":    func(n *mail.Note) { n.Link = `/\evil.test` },
		"a link that is a user part": func(n *mail.Note) { n.Link = "@evil.test/" },
		"a link with a line break":   func(n *mail.Note) { n.Link += "\r\nsecret" },
		"a link with a quote":        func(n *mail.Note) { n.Link += `"><script>` },
		"another link elsewhere":     func(n *mail.Note) { n.NotMe = "//evil.test/" },
		"no life":                    func(n *mail.Note) { n.Valid = 0 },
		"a code where none belongs":  func(n *mail.Note) { n.Code = "123456" },
		"no code":                    func(n *mail.Note) { *n = mail.Sample(portal.LetterCode); n.Code = "" },
		"a code that is none":        func(n *mail.Note) { *n = mail.Sample(portal.LetterCode); n.Code = "123456\r\nBcc: x" },
	} {
		n := good
		spoil(&n)
		m, err := p.Print(n)
		if err == nil || m.Text != "" || m.HTML != "" || m.Subject != "" {
			t.Errorf("%s: there is a mail %q", what, m.Subject)
			continue
		}
		for _, secret := range []string{"Sample-token", "secret", "123456", "ann@"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error gives %q away: %v", what, secret, err)
			}
		}
	}
	if shown := fmt.Sprintf("%v %+v %#v %s %d %q", good, good, good, good, good, good); strings.Contains(shown, "token") || strings.Contains(shown, "ann@") {
		t.Errorf("a note prints as %s", shown)
	}
	local := good
	local.Origin, local.Tenant.Hosts = "http://acme.localhost:8080", []string{"acme.localhost"}
	sound(t, local, printed(t, p, local))
}

func TestAMailWithALinkCanCarryAnotherAgainstAStranger(t *testing.T) {
	t.Parallel()
	p := press(t)
	for _, language := range []string{"en", "de", mail.PseudoLanguage} {
		n := mail.Sample(portal.LetterPaused)
		n.Language, n.NotMe = language, "/auth/not-me?token=another"
		m := printed(t, p, n)
		sound(t, n, m)
		if strings.Count(m.HTML, `class="button"`) != 1 {
			t.Errorf("in %s there are %d buttons", language, strings.Count(m.HTML, `class="button"`))
		}
	}
}

func TestATenantWithoutBrandHasWholeMails(t *testing.T) {
	t.Parallel()
	p := press(t)
	every(func(n mail.Note) {
		n.Tenant = portal.Tenant{ID: n.Tenant.ID, Slug: "acme"}
		n.Name, n.Facts, n.At, n.Zone = "", nil, time.Time{}, ""
		m := printed(t, p, n)
		sound(t, n, m)
		if strings.Contains(m.Text, "  ") || strings.Contains(m.HTML, "<h2") {
			t.Errorf("%s in %s has a table of nothing:\n%s", n.Kind, n.Language, m.Text)
		}
	})
}
