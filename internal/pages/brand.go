package pages

import (
	"fmt"
	"html/template"
	"net/http"
	"net/mail"
	"net/url"
	"strings"
	"unicode"

	"github.com/portalgate/portalgate/internal/portal"
)

// brandView is a tenant's face, ready for the layout.
type brandView struct {
	Known                 bool // a tenant's; else the page of nobody in particular
	Name, Initial         string
	Logo, Icon, Theme     string // addresses
	LogoWidth, LogoHeight int
	Over                  bool   // the logo is so wide that it stands over the name
	Light, Dark           string // the colour of the page's head, which phones continue
	Contact               string // whom to ask, as it is shown
	ContactVerb           string // what one does with it
	ContactLink           template.URL
}

func (s *Site) brand(t *portal.Tenant) brandView {
	at := func(file, version string) string { return s.Prefix + "/brand/" + file + version }
	if t == nil {
		return brandView{Name: "Customer portal", Initial: "P", Icon: at("icon.svg", ""), Theme: at("theme.css", ""),
			Light: lightSurface.palette("").wash.String(), Dark: darkSurface.palette("").wash.String()}
	}
	version := fmt.Sprintf("?v=%d", t.Brand.Version)
	b := brandView{Known: true, Name: t.Name, Initial: initial(t.Name), Icon: at("icon.svg", version), Theme: at("theme.css", version),
		Light: lightSurface.palette(t.Brand.Accent).wash.String(), Dark: darkSurface.palette(t.Brand.Accent).wash.String()}
	if LogoType(t.Brand.Logo) != "" {
		b.Logo = at("logo", version)
		b.LogoWidth, b.LogoHeight = logoBox(t.Brand.Logo)
		if b.LogoWidth == b.LogoHeight {
			b.Icon = b.Logo
		}
		b.Over = b.LogoWidth > 2*b.LogoHeight
	}
	b.Contact, b.ContactVerb, b.ContactLink = contact(t.Brand.Contact)
	return b
}

// initial is the first letter or digit of a name.
func initial(name string) string {
	for _, r := range name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return string(unicode.ToUpper(r))
		}
	}
	return "P"
}

// contact reads whom to ask: an e-mail address, an https address, a telephone number, or words. Only these three
// become a link, and only from the bytes they may have (FE-03).
func contact(c string) (shown, verb string, link template.URL) {
	c = strings.TrimSpace(c)
	if a, err := mail.ParseAddress(c); err == nil && a.Address == c {
		return c, "Write to", template.URL("mailto:" + url.PathEscape(c))
	}
	if u, err := url.Parse(c); err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil {
		return strings.TrimSuffix(strings.TrimPrefix(c, "https://"), "/"), "See", template.URL(u.String())
	}
	digits := strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", "/", "", ".", "").Replace(c)
	if plain := strings.TrimPrefix(digits, "+"); len(plain) > 4 && strings.Trim(plain, "0123456789") == "" {
		return strings.ReplaceAll(c, " ", "\u00a0"), "Call", template.URL("tel:" + digits)
	}
	return c, "", ""
}

// brandFile serves a tenant's logo, icon and colours. They may be kept for a day, because their address changes with
// them, and belong to one host.
func (s *Site) brandFile(w http.ResponseWriter, r *http.Request, v Visit, name string) error {
	var brand portal.Brand
	letter := "P"
	if v.Tenant != nil {
		brand, letter = v.Tenant.Brand, initial(v.Tenant.Name)
	}
	k, kind, body := dataHeaders, "", []byte(nil)
	switch name {
	case "theme.css":
		kind, body = "text/css; charset=utf-8", []byte(theme(brand.Accent))
	case "icon.svg":
		kind, body = "image/svg+xml", icon(brand.Accent, letter)
	case "logo":
		// An SVG opened on its own is a document: it may run nothing and reach nothing.
		k, kind, body = logoHeaders, LogoType(brand.Logo), brand.Logo
	}
	if kind == "" {
		return errNoFile
	}
	h := w.Header()
	guard(h, r, k)
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "public, max-age=86400")
	h.Set("Vary", "Host")
	send(w, r, http.StatusOK, body)
	return nil
}

// icon is the sign that a browser's tab shows of a tenant without a square logo.
func icon(accent, letter string) []byte {
	p := lightSurface.palette(accent)
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><rect x=".5" y=".5" width="39" height="39" rx="10" fill="%s" stroke="%s"/>`+
		`<text x="20" y="27" text-anchor="middle" font-family="system-ui,sans-serif" font-size="20" font-weight="700" fill="%s">%s</text></svg>`,
		p.accent, p.edge, p.text, template.HTMLEscapeString(letter))
}
