package mail_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
)

// hostile are texts that somebody may have as a name, or send as a device's.
var hostile = []string{
	"https://evil.test", "http://evil.test/path", "www.evil.test", "evil.test", "Ann evil.test/login Buyer", "evil。test", "evil．test", "evil․test", "EVIL.TEST",
	"ann@evil.test", "mailto:ann@evil.test", "javascript:alert(1)", "//evil.test", `\\evil.test\share`, "Ann\r\nBcc: eve@evil.test", "Ann\nSubject: x", "Ann\x00evil.test",
	"{{.Token}}", "{{7*191}}", "${7*191}", "{portal}", "{code}", "%s%d%!", "=?utf-8?q?Bcc=3A_eve=40evil.test?=", `<a href="https://evil.test">Ann</a>`, "<script>alert(1)</script>",
	`"><img src=x onerror=alert(1)>`, "</title><script>alert(1)</script>", "</style>", "&lt;b&gt;", "Ann\u202etset.live\u202c", "\u2066Ann", "ev\u200bil.test", "ev\u00adil.test", "evil\u2060.test", "evil\ufeff.test",
	"[Ann](https://evil.test)", "Ann, please call +49 900 1234567", strings.Repeat("a", 10<<10), strings.Repeat("evil.test ", 1000), "a" + strings.Repeat("\u0301", 500), "\xff\xfeAnn", "\u2028Ann\u2029", "1.2.3.4/evil",
}

// linked is what programs that show mail make a link of by themselves.
var linked = regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*:\S|//|www\.[\p{L}\p{N}]|[\p{L}\p{N}-][.。．｡․]\p{L}{2,}|[\p{L}\p{N}]@[\p{L}\p{N}]`)

// harmless checks that a mail holds no link but its own, and shows nothing that is not seen.
func harmless(t testing.TB, n mail.Note, m mail.Message) {
	t.Helper()
	seen := sound(t, n, m)
	for part, s := range map[string]string{"text": m.Text, "HTML": seen, "subject": m.Subject} {
		if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
			return r != '\n' && unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control) && r != '\u2068' && r != '\u2069'
		}) {
			t.Errorf("%s: the %s has something in it that cannot be seen: %.200q", n.Kind, part, s)
		}
		for _, own := range []string{n.Origin + n.Link, n.Origin + n.NotMe, n.Tenant.Brand.Contact, "a•••@e•••.example"} {
			if own != "" && own != n.Origin {
				s = strings.ReplaceAll(s, own, " ")
			}
		}
		if at := linked.FindString(s); at != "" {
			t.Errorf("%s: the %s has %q in it, which may become a link", n.Kind, part, at)
		}
	}
	if strings.ContainsAny(m.Subject, "\r\n") || strings.Contains(m.Subject+m.Text+seen, "1337") {
		t.Errorf("%s: a line broke, or something was reckoned out", n.Kind)
	}
	if len(m.Text) > 6<<10 {
		t.Errorf("%s: the text has %d bytes", n.Kind, len(m.Text))
	}
}

func TestWhatOthersHadASayInIsShownInertOrNotAtAll(t *testing.T) { // EML-01, EML-02
	t.Parallel()
	p := press(t)
	for _, k := range mail.Kinds() {
		for _, language := range []string{"en", "de"} {
			for _, h := range hostile {
				n := mail.Sample(k.Name)
				n.Language, n.Name = language, h
				harmless(t, n, printed(t, p, n))
				for _, where := range []string{"device", "place", "company", "email", "address", "what", "count", "until"} {
					n := mail.Sample(k.Name)
					n.Language, n.Zone = language, h
					n.Facts = map[string]string{where: h}
					harmless(t, n, printed(t, p, n))
				}
				n = mail.Sample(k.Name)
				n.Language, n.Facts = language, map[string]string{"device": h + " on " + h}
				harmless(t, n, printed(t, p, n))
			}
			if t.Failed() {
				return
			}
		}
	}
}

func TestNamesOfPeopleAreShownAsTheyAre(t *testing.T) {
	t.Parallel()
	p := press(t)
	for name, want := range map[string]string{
		"Ann Buyer": "Hello Ann Buyer,", "J. R. R. Tolkien": "Hello J. R. R. Tolkien,", "J.R.R. Tolkien": "Hello J. R. R. Tolkien,", "Zoë O’Brien-Łukasz, Jr.": "Hello Zoë O’Brien-Łukasz, Jr.,",
		"St.John Smith": "Hello St. John Smith,", "  Ann \t Buyer ": "Hello Ann Buyer,", "王小明": "Hello 王小明,", "ジャン・ピエール": "Hello ジャン・ピエール,", "Henry 8": "Hello Henry 8,",
		"محمد علی": "Hello \u2068محمد علی\u2069,", "می\u200cخواهم": "Hello \u2068می\u200cخواهم\u2069,", strings.Repeat("Anna ", 20): "Hello Anna Anna Anna Anna Anna Anna Anna Anna Anna Anna…,",
		"": "Hello,", "ann@buyer.example": "Hello,", "https://evil.test": "Hello,", "{{.Token}}": "Hello,", "<b>Ann</b>": "Hello,", "Ann 0900 1234": "Hello,", "...": "Hello,",
	} {
		n := mail.Sample(portal.LetterRecover)
		n.Name = name
		if m := printed(t, p, n); !strings.Contains(m.Text, "\n"+want+"\n") {
			t.Errorf("%q is not greeted with %q:\n%s", name, want, m.Text)
		}
	}
}

func TestATenantsNameIsTextAndNothingElse(t *testing.T) {
	t.Parallel()
	p := press(t)
	for _, h := range hostile {
		n := mail.Sample(portal.LetterNewDevice)
		n.Tenant.Name, n.Tenant.Brand.Contact, n.Tenant.Brand.Accent = h, h, h
		m := printed(t, p, n)
		sound(t, n, m)
		if strings.ContainsAny(m.Subject, "\r\n\x00\u202e") || strings.Contains(m.Text+m.HTML, "1337") {
			t.Errorf("a tenant called %q has a mail %q", h, m.Subject)
		}
	}
}

func FuzzNames(f *testing.F) {
	for _, h := range hostile {
		f.Add(h)
	}
	p := press(f)
	f.Fuzz(func(t *testing.T, s string) {
		n := mail.Sample(portal.LetterFactor)
		n.Name = s
		n.Facts = map[string]string{"device": s, "place": s, "what": s, "address": s}
		harmless(t, n, printed(t, p, n))
	})
}
