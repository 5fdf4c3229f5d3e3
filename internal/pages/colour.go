package pages

import (
	"fmt"
	"math"
	"strings"
)

// DefaultAccent is the colour of a tenant that has chosen none.
const DefaultAccent = "#2f5d8a"

// rgb is a colour, each part from 0 to 1.
type rgb [3]float64

var black, white = rgb{}, rgb{1, 1, 1}

// surface is what words stand on, in one of the two schemes: the page, and the card on it. They are those of the
// stylesheet.
type surface struct {
	ground, card rgb
	towards      rgb     // where a colour is moved that is too near to them
	tint         float64 // how much of the accent the head of the page takes on
	reading      float64 // the contrast of links: on a dark page the least is not comfortable
}

var (
	lightSurface = surface{mustColour("#f6f7f9"), mustColour("#ffffff"), black, .1, 4.6}
	darkSurface  = surface{mustColour("#10141a"), mustColour("#191f27"), white, .16, 6}
)

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

func mustColour(s string) rgb {
	c, ok := ParseColour(s)
	if !ok {
		panic("pages: " + s + " is no colour")
	}
	return c
}

// palette is what an accent becomes on one surface.
type palette struct{ accent, edge, hover, text, link, wash rgb }

// palette makes words readable whatever colour a tenant likes, and leaves that colour what it is: buttons have it as it
// was chosen, carry whichever of black and white reads better on it, and an edge that stands out 3 to 1; links are moved
// towards black or white until their contrast with everything they may stand on is 4.5 to 1 (WCAG 2.2, 1.4.3 and
// 1.4.11).
func (s surface) palette(accent string) palette {
	c, ok := ParseColour(accent)
	if !ok {
		c, _ = ParseColour(DefaultAccent)
	}
	p := palette{accent: c, text: white}
	p.wash = mix(s.ground, c, s.tint)
	p.edge = move(c, 3, s.towards, s.card)
	away := black
	if contrast(c, black) > contrast(c, white) {
		p.text, away = black, white
	}
	if p.hover = mix(c, away, .15); contrast(p.hover, c) < 1.05 { // as far away as it can be
		p.hover = mix(c, p.text, .12)
	}
	p.link = move(c, s.reading, s.towards, s.card, s.ground, p.wash)
	return p
}

// theme is the stylesheet of an accent colour.
func theme(accent string) string {
	one := func(s surface) string {
		p := s.palette(accent)
		return fmt.Sprintf("--accent:%s;--edge:%s;--accent-hover:%s;--on-accent:%s;--link:%s;--focus:%s;--wash:%s", p.accent, p.edge, p.hover, p.text, p.link, p.link, p.wash)
	}
	return ":root{" + one(lightSurface) + "}\n@media (prefers-color-scheme:dark){:root{" + one(darkSurface) + "}}\n"
}

// String is the colour as it is written in a stylesheet.
func (c rgb) String() string {
	return fmt.Sprintf("#%02x%02x%02x", int(math.Round(c[0]*255)), int(math.Round(c[1]*255)), int(math.Round(c[2]*255)))
}

// move takes a colour towards another until it stands out from every one of the grounds.
func move(c rgb, want float64, towards rgb, grounds ...rgb) rgb {
	enough := func() bool {
		for _, g := range grounds {
			if contrast(c, g) < want {
				return false
			}
		}
		return true
	}
	for i := 0; i < 60 && !enough(); i++ {
		c = mix(c, towards, .06)
	}
	if !enough() {
		return towards
	}
	return c
}

// mix is a colour with a share of another in it, judged as it will be written: in whole numbers.
func mix(c, other rgb, share float64) rgb {
	for i := range c {
		c[i] = math.Round((c[i]+(other[i]-c[i])*share)*255) / 255
	}
	return c
}

// contrast is WCAG's ratio of relative luminance.
func contrast(a, b rgb) float64 {
	la, lb := luminance(a), luminance(b)
	return (math.Max(la, lb) + .05) / (math.Min(la, lb) + .05)
}

func luminance(c rgb) float64 {
	lin := func(v float64) float64 {
		if v <= .04045 {
			return v / 12.92
		}
		return math.Pow((v+.055)/1.055, 2.4)
	}
	return .2126*lin(c[0]) + .7152*lin(c[1]) + .0722*lin(c[2])
}
