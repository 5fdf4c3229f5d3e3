package pages

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/portalgate/portalgate/internal/portal"
)

// brandView is a tenant's face, ready for the layout.
type brandView struct {
	Name, Initial, Logo, Theme, Contact, ContactLink string
}

func (s *Site) brand(t *portal.Tenant) brandView {
	if t == nil {
		return brandView{Name: "Customer portal", Initial: "P", Theme: s.Prefix + "/brand/theme.css"}
	}
	b := brandView{Name: t.Name, Contact: t.Brand.Contact, Theme: fmt.Sprintf("%s/brand/theme.css?v=%d", s.Prefix, t.Brand.Version)}
	r, _ := utf8.DecodeRuneInString(t.Name)
	b.Initial = string(unicode.ToUpper(r))
	if len(t.Brand.Logo) > 0 {
		b.Logo = fmt.Sprintf("%s/brand/logo?v=%d", s.Prefix, t.Brand.Version)
	}
	if a, err := mail.ParseAddress(b.Contact); err == nil && a.Address == b.Contact {
		b.ContactLink = "mailto:" + b.Contact
	} else if strings.HasPrefix(b.Contact, "https://") {
		b.ContactLink = b.Contact
	} else if digits := strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", "/", "").Replace(b.Contact); len(digits) > 4 && strings.Trim(digits, "+0123456789") == "" {
		b.ContactLink = "tel:" + digits
	}
	return b
}

// brandFile serves a tenant's logo and colours.
func (s *Site) brandFile(w http.ResponseWriter, r *http.Request, v Visit, name string) error {
	h := w.Header()
	switch name {
	case "theme.css":
		guard(h, r, dataHeaders)
		h.Set("Content-Type", "text/css; charset=utf-8")
		h.Set("Cache-Control", "public, max-age=86400")
		h.Set("Vary", "Host")
		_, _ = w.Write([]byte(theme(v.Tenant.Brand.Accent))) // the browser has gone: nobody to tell
		return nil
	case "logo":
		if kind := LogoType(v.Tenant.Brand.Logo); kind != "" {
			// An SVG opened on its own is a document: it may run nothing and reach nothing.
			guard(h, r, logoHeaders)
			h.Set("Content-Type", kind)
			h.Set("Cache-Control", "public, max-age=86400")
			_, _ = w.Write(v.Tenant.Brand.Logo) // as above
			return nil
		}
	}
	return &portal.Problem{Kind: portal.ProblemNotFound, Public: "There is no file at this address."}
}

// MaxLogo bounds a logo, in bytes.
const MaxLogo = 64 << 10

// LogoType is the media type of a logo that may be served: SVG, PNG or WebP; empty for anything else.
func LogoType(b []byte) string {
	switch {
	case len(b) == 0 || len(b) > MaxLogo:
		return ""
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return "image/png"
	case len(b) > 12 && bytes.Equal(b[:4], []byte("RIFF")) && bytes.Equal(b[8:12], []byte("WEBP")):
		return "image/webp"
	case utf8.Valid(b) && bytes.Contains(b[:min(len(b), 1024)], []byte("<svg")):
		return "image/svg+xml"
	}
	return ""
}

// DefaultAccent is the colour of a tenant that has chosen none.
const DefaultAccent = "#2f5d8a"

// ParseColour reads #rrggbb.
func ParseColour(s string) (c [3]float64, ok bool) {
	if len(s) != 7 || s[0] != '#' {
		return c, false
	}
	for i := range c {
		var n int
		for _, x := range strings.ToLower(s[1+2*i : 3+2*i]) {
			d := strings.IndexRune("0123456789abcdef", x)
			if d < 0 {
				return c, false
			}
			n = n*16 + d
		}
		c[i] = float64(n) / 255
	}
	return c, true
}

// theme is the stylesheet of an accent colour. Whatever colour a tenant likes, words stay readable: links are moved
// towards black or white until their contrast with the card is 4.5 to 1, buttons carry whichever of black and white
// reads better and are moved until they stand out 3 to 1 (WCAG 2.2, 1.4.3 and 1.4.11).
func theme(accent string) string {
	c, ok := ParseColour(accent)
	if !ok {
		c, _ = ParseColour(DefaultAccent)
	}
	light, dark := [3]float64{1, 1, 1}, [3]float64{0x1b / 255., 0x21 / 255., 0x28 / 255.}
	one := func(card [3]float64, towards float64) string {
		button := move(c, card, 3, towards)
		text := "#ffffff"
		if contrast(button, [3]float64{}) > contrast(button, [3]float64{1, 1, 1}) {
			text = "#000000"
		}
		link := move(c, card, 4.6, towards)
		return fmt.Sprintf("--accent:%s;--on-accent:%s;--link:%s;--focus:%s", colour(button), text, colour(link), colour(link))
	}
	return ":root{" + one(light, 0) + "}\n@media (prefers-color-scheme:dark){:root{" + one(dark, 1) + "}}\n"
}

func move(c, card [3]float64, want, towards float64) [3]float64 {
	for i := 0; i < 40 && contrast(c, card) < want; i++ {
		for j := range c {
			c[j] += (towards - c[j]) * .08
		}
		for j := range c { // judged as it will be written
			c[j] = math.Round(c[j]*255) / 255
		}
	}
	return c
}

func colour(c [3]float64) string {
	return fmt.Sprintf("#%02x%02x%02x", int(math.Round(c[0]*255)), int(math.Round(c[1]*255)), int(math.Round(c[2]*255)))
}

// contrast is WCAG's ratio of relative luminance.
func contrast(a, b [3]float64) float64 {
	la, lb := luminance(a), luminance(b)
	return (math.Max(la, lb) + .05) / (math.Min(la, lb) + .05)
}

func luminance(c [3]float64) float64 {
	lin := func(v float64) float64 {
		if v <= .04045 {
			return v / 12.92
		}
		return math.Pow((v+.055)/1.055, 2.4)
	}
	return .2126*lin(c[0]) + .7152*lin(c[1]) + .0722*lin(c[2])
}
