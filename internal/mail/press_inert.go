package mail

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/portalgate/portalgate/internal/portal"
)

// How much of a text from outside a mail shows, in code points.
const (
	longestPortal  = 60
	longestPerson  = 50
	longestFact    = 80
	longestContact = 100
)

// clean makes one line of a text: no control characters, nothing that turns the direction of writing or cannot be
// seen, no heap of accents, and no more than so many code points.
func clean(s string, most int) string {
	s = strings.ToValidUTF8(s[:min(len(s), 16*most)], "")
	var b strings.Builder
	n, marks, last := 0, 0, ' '
	for _, r := range s {
		switch {
		case unicode.IsSpace(r), unicode.IsControl(r), unicode.In(r, unicode.Zl, unicode.Zp):
			r = ' '
		case r == '\u200c' || r == '\u200d': // Persian and the languages of India are spelt with them
			if last < 0x0590 || !unicode.In(last, unicode.L, unicode.M) {
				continue
			}
		case unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs), unicode.In(r, unicode.Variation_Selector), unicode.In(r, unicode.Other_Default_Ignorable_Code_Point):
			continue
		}
		if unicode.In(r, unicode.M) {
			if marks++; marks > 3 || n == 0 {
				continue
			}
		} else {
			marks = 0
		}
		if r == ' ' && last == ' ' {
			continue
		}
		if n == most {
			return strings.TrimSpace(b.String()) + "…"
		}
		b.WriteRune(r)
		last = r
		n++
	}
	return strings.TrimSpace(b.String())
}

// label is what the operator has written, a tenant's name or whom to ask: one line, and no address that programs make
// a link of because of its scheme.
func label(s string, most int) string {
	s = clean(s, most)
	if i := strings.LastIndex(s, "://"); i >= 0 {
		s = strings.TrimSpace(s[i+3:])
	}
	return s
}

// person is a name as it stands after the greeting. A stranger can register with any name and somebody else's address,
// so what does not look like a name is left out: programs that show mail make links of addresses of every kind, and
// telephone numbers are as good for a fraud (EML-02).
func person(name string) string {
	name = clean(name, longestPerson)
	digits := 0
	for _, r := range name {
		switch {
		case unicode.IsLetter(r), unicode.IsMark(r), strings.ContainsRune(" .,-‐‑–'’()&·・…\u200c\u200d", r):
		case unicode.IsDigit(r):
			if digits++; digits > 3 {
				return ""
			}
		default:
			return ""
		}
	}
	if !strings.ContainsFunc(name, unicode.IsLetter) {
		return ""
	}
	return apart(name)
}

// inert is a text that others had a say in, as a device's name: letters, digits and the marks that cannot make an
// address.
func inert(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r) || strings.ContainsRune(" .,-‐‑–'’()&+·・\u200c\u200d", r) {
			return r
		}
		return ' '
	}, clean(s, most))
	s = apart(strings.Join(strings.Fields(s), " "))
	if !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
		return ""
	}
	return s
}

var version = regexp.MustCompile(`^\d+\.\d+$`)

// apart puts a space behind each dot within a word, but for that of a version as 10.15: evil.test would become a link
// by itself.
func apart(s string) string {
	words := strings.Split(s, " ")
	for i, w := range words {
		if !version.MatchString(strings.Trim(w, "(),")) {
			words[i] = strings.TrimSuffix(strings.ReplaceAll(w, ".", ". "), " ")
		}
	}
	return strings.Join(words, " ")
}

// facts are what a mail says of a deed. Unknown names are not shown: the catalogue has no word for them.
func (c *catalogue) facts(n Note) map[string]string {
	out := map[string]string{
		"place":   inert(n.Facts["place"], longestFact),
		"company": inert(n.Facts["company"], longestFact),
		"email":   hinted(n.Facts["email"]),
		"account": hinted(n.Facts["account"]),
	}
	out["device"], out["device_shown"] = c.device(n.Facts["device"])
	if key := n.Facts["what"]; key != "" {
		if out["what"] = c.one("what", key); out["what"] == "" {
			out["what"] = inert(key, longestFact)
		}
	}
	if a, err := netip.ParseAddr(n.Facts["address"]); err == nil {
		out["address"] = a.Unmap().WithZone("").String()
	}
	if i, err := strconv.Atoi(n.Facts["count"]); err == nil && i > 0 && i < 100_000 {
		out["count"] = strconv.Itoa(i)
	}
	return out
}

// device is a device's name within a sentence, and on its own; whereabouts speaks English.
func (c *catalogue) device(s string) (within, alone string) {
	s = inert(s, longestFact)
	browser, system, two := strings.Cut(s, " on ")
	data := map[string]string{"browser": browser, "system": system}
	say := func(name string) string {
		p, _ := c.fill(c.one("device", name), data)
		var b strings.Builder
		for _, x := range p {
			b.WriteString(x.Text)
		}
		return b.String()
	}
	switch {
	case s == "":
		return "", ""
	case strings.EqualFold(s, "Unknown device"):
		return "", say("unknown")
	case two && browser == "A browser":
		return say("some_within"), say("some")
	case two:
		return say("on"), say("on")
	}
	return s, s
}

// hinted shows as much of an address as its owner needs to know it again, and no domain: programs make links of domains,
// and whoever changes an address chooses it.
func hinted(s string) string {
	e, err := portal.ParseEmail(s)
	if err != nil {
		return ""
	}
	local, domain, _ := strings.Cut(string(e), "@")
	top := domain[strings.LastIndex(domain, ".")+1:]
	return local[:1] + "•••@" + domain[:1] + "•••." + top
}
