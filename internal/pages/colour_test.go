package pages

import (
	"os"
	"regexp"
	"testing"
)

func TestThemesKeepWordsReadableOnEverythingTheyStandOn(t *testing.T) {
	t.Parallel()
	accents := []string{DefaultAccent, "", "red;}body{display:none", "#12345", "#1234567", "#gggggg"}
	for r := range 9 {
		for g := range 9 {
			for b := range 9 {
				accents = append(accents, rgb{float64(r) / 8, float64(g) / 8, float64(b) / 8}.String())
			}
		}
	}
	ink := map[*surface]string{&lightSurface: "#1a1f26", &darkSurface: "#e8ecf1"}
	soft := map[*surface]string{&lightSurface: "#545d68", &darkSurface: "#a9b3be"}
	for _, accent := range accents {
		for _, s := range []*surface{&lightSurface, &darkSurface} {
			p := s.palette(accent)
			for what, got := range map[string]struct{ ratio, want float64 }{
				"a button's words on it":         {contrast(p.text, p.accent), 4.5},
				"a button's words, pointed at":   {contrast(p.text, p.hover), 4.5},
				"a button's edge on the card":    {contrast(p.edge, s.card), 3},
				"a link on the card":             {contrast(p.link, s.card), 4.5},
				"a link on the ground":           {contrast(p.link, s.ground), 4.5},
				"a link in the head of the page": {contrast(p.link, p.wash), 4.5},
				"the name in the head":           {contrast(mustColour(ink[s]), p.wash), 7},
				"soft words in the head":         {contrast(mustColour(soft[s]), p.wash), 4.5},
			} {
				if got.ratio < got.want {
					t.Errorf("accent %q, card %s: %s has %.2f to 1, not %.1f", accent, s.card, what, got.ratio, got.want)
				}
			}
		}
	}
}

func TestTheThemesColoursAreTheStylesheets(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../web/static/style.css")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]string{
		"--ground": {lightSurface.ground.String(), darkSurface.ground.String()}, "--card": {lightSurface.card.String(), darkSurface.card.String()},
		"--ink": {"#1a1f26", "#e8ecf1"}, "--soft": {"#545d68", "#a9b3be"},
	} {
		got := regexp.MustCompile(name+`: (#[0-9a-f]{6});`).FindAllStringSubmatch(string(b), -1)
		if len(got) != 2 || got[0][1] != want[0] || got[1][1] != want[1] {
			t.Errorf("the stylesheet's %s are %v; the themes reckon with %v", name, got, want)
		}
	}
}

func TestAThemeHoldsNothingButColours(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^:root\{(--[a-z-]+:#[0-9a-f]{6};?)+\}\n@media \(prefers-color-scheme:dark\)\{:root\{(--[a-z-]+:#[0-9a-f]{6};?)+\}\}\n$`)
	for _, accent := range []string{"#39ff14", "", "red;}body{display:none", "#00000g", "url(https://evil.example)"} {
		if css := theme(accent); !form.MatchString(css) {
			t.Errorf("the theme of %q is %s", accent, css)
		}
	}
}
