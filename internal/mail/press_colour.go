package mail

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// plainAccent is the colour of a tenant that has chosen none.
const plainAccent = "#2f5d8a"

// colour is red, green and blue, from 0 to 255.
type colour [3]float64

// surface is what a mail's words stand on in one of the two schemes; it looks like the pages.
type surface struct {
	Ground, Card, Ink, Soft, Line string
	towards                       colour  // where a colour goes that is too near to the card
	reading                       float64 // the least contrast of a link
}

var (
	light = surface{Ground: "#f6f7f9", Card: "#ffffff", Ink: "#1a1f26", Soft: "#545d68", Line: "#e0e4e9", reading: 4.6}
	dark  = surface{Ground: "#10141a", Card: "#191f27", Ink: "#e8ecf1", Soft: "#a9b3be", Line: "#2d353f", towards: colour{255, 255, 255}, reading: 6}
)

// scheme is a surface with a tenant's accent on it.
type scheme struct {
	surface
	Accent, Edge, Text, Link string
}

// with makes an accent readable and leaves it what it is: the button has it as it was chosen, under whichever of black
// and white reads better, with an edge that stands out 3 to 1; links are moved until they read 4.5 to 1 on everything
// they may stand on (WCAG 2.2, 1.4.3 and 1.4.11).
func (s surface) with(accent string) scheme {
	c, ok := parseColour(accent)
	if !ok {
		c, _ = parseColour(plainAccent)
	}
	card, _ := parseColour(s.Card)
	ground, _ := parseColour(s.Ground)
	out := scheme{surface: s, Accent: c.String(), Text: "#ffffff"}
	if contrast(c, colour{}) > contrast(c, colour{255, 255, 255}) {
		out.Text = "#000000"
	}
	out.Edge = c.moved(s.towards, 3, card).String()
	out.Link = c.moved(s.towards, s.reading, card, ground).String()
	return out
}

func parseColour(s string) (c colour, ok bool) {
	if len(s) != 7 || s[0] != '#' || strings.ContainsAny(s, "+-_") {
		return c, false
	}
	for i := range c {
		n, err := strconv.ParseUint(s[1+2*i:3+2*i], 16, 8)
		if err != nil {
			return c, false
		}
		c[i] = float64(n)
	}
	return c, true
}

// String is the colour as #rrggbb.
func (c colour) String() string {
	return fmt.Sprintf("#%02x%02x%02x", int(c[0]), int(c[1]), int(c[2]))
}

// moved is the colour as near to itself as it can be and still stand out from every ground.
func (c colour) moved(towards colour, want float64, grounds ...colour) colour {
	for share := 0.0; share < 1; share += .02 {
		m := c
		for i := range m {
			m[i] = math.Round(c[i] + (towards[i]-c[i])*share)
		}
		enough := true
		for _, g := range grounds {
			enough = enough && contrast(m, g) >= want
		}
		if enough {
			return m
		}
	}
	return towards
}

// contrast is WCAG's ratio of relative luminance.
func contrast(a, b colour) float64 {
	la, lb := a.luminance(), b.luminance()
	return (math.Max(la, lb) + .05) / (math.Min(la, lb) + .05)
}

func (c colour) luminance() float64 {
	lin := func(v float64) float64 {
		if v /= 255; v <= .04045 {
			return v / 12.92
		}
		return math.Pow((v+.055)/1.055, 2.4)
	}
	return .2126*lin(c[0]) + .7152*lin(c[1]) + .0722*lin(c[2])
}
