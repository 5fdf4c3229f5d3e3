package mail

import (
	"fmt"
	"testing"
)

func TestAnyAccentLeavesAMailReadable(t *testing.T) {
	t.Parallel()
	accents := []string{plainAccent, "", "red;}body{display:none", "#12345", "#1234567", "#gggggg", "#+1+1+1"}
	for r := 0; r < 256; r += 51 {
		for g := 0; g < 256; g += 51 {
			for b := 0; b < 256; b += 51 {
				accents = append(accents, fmt.Sprintf("#%02x%02x%02x", r, g, b))
			}
		}
	}
	must := func(s string) colour {
		c, ok := parseColour(s)
		if !ok {
			t.Fatalf("%q is no colour", s)
		}
		return c
	}
	for _, accent := range accents {
		for _, s := range []surface{light, dark} {
			c := s.with(accent)
			for what, got := range map[string]struct{ ratio, want float64 }{
				"a button's words on it":      {contrast(must(c.Text), must(c.Accent)), 4.5},
				"a button's edge on the card": {contrast(must(c.Edge), must(c.Card)), 3},
				"a link on the card":          {contrast(must(c.Link), must(c.Card)), 4.5},
				"a link on the ground":        {contrast(must(c.Link), must(c.Ground)), 4.5},
				"words on the card":           {contrast(must(c.Ink), must(c.Card)), 7},
				"soft words on the ground":    {contrast(must(c.Soft), must(c.Ground)), 4.5},
			} {
				if got.ratio < got.want {
					t.Errorf("accent %q, card %s: %s has %.2f to 1, not %.1f", accent, s.Card, what, got.ratio, got.want)
				}
			}
		}
	}
}
