package pages

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

func TestALogoIsShownInItsOwnProportions(t *testing.T) {
	t.Parallel()
	b64 := func(s string) []byte {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	png := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"), 0, 0, 1, 0x2c, 0, 0, 0, 100)
	for name, c := range map[string]struct {
		logo []byte
		w, h int
	}{
		"a square":           {[]byte(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"/>`), 44, 44},
		"twice as wide":      {[]byte(`<?xml version="1.0"?><!-- a --><svg viewBox="0,0,200,100"/>`), 88, 44},
		"a banner":           {[]byte(`<svg viewBox="0 0 1000 100"/>`), 220, 22},
		"a line":             {[]byte(`<svg viewBox="0 0 100000 1"/>`), 220, 1},
		"a mast":             {[]byte(`<svg width="10px" height="100"/>`), 4, 44},
		"a needle":           {[]byte(`<svg width="1" height="10000"/>`), 1, 44},
		"in percent":         {[]byte(`<svg width="100%" height="100%"/>`), 44, 44},
		"a box of no size":   {[]byte(`<svg viewBox="0 0 0 -3"/>`), 44, 44},
		"no number":          {[]byte(`<svg viewBox="0 0 NaN Inf"/>`), 44, 44},
		"no end":             {[]byte(`<svg viewBox="0 0 1 1`), 44, 44},
		"png":                {png, 132, 44},
		"a png cut short":    {png[:20], 44, 44},
		"webp, with losses":  {b64("UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoCAAEADsD+JaQAA3AAAAAA"), 88, 44},
		"webp, lossless":     {b64("UklGRh4AAABXRUJQVlA4TBEAAAAvAUAAAAfQ//73v/+BiOh/AAA="), 44, 44},
		"a webp cut short":   {b64("UklGRiIAAABXRUJQVlA4IBYA"), 44, 44},
		"something else":     {[]byte("GIF89a"), 44, 44},
		"larger than it may": {[]byte(`<svg viewBox="0 0 2 1"/>` + strings.Repeat(" ", MaxLogo)), 44, 44},
	} {
		if w, h := logoBox(c.logo); w != c.w || h != c.h {
			t.Errorf("%s is shown %d by %d, not %d by %d", name, w, h, c.w, c.h)
		}
	}
}

func FuzzLogo(f *testing.F) {
	f.Add([]byte(`<svg viewBox="0 0 40 40"/>`))
	f.Add([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\x00\x01\x00\x00\x00\x01"))
	f.Add([]byte("RIFF\x00\x00\x00\x00WEBPVP8X\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if w, h := logoBox(b); w < 1 || w > logoWidth || h < 1 || h > logoHeight {
			t.Errorf("shown %d by %d", w, h)
		}
	})
}

func TestWhomToAskBecomesALinkOnlyWhenItIsOne(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][3]string{
		"help@acme.example":                {"help@acme.example", "Write to", "mailto:help@acme.example"},
		"help?bcc=x@acme.example":          {"help?bcc=x@acme.example", "Write to", "mailto:help%3Fbcc=x@acme.example"},
		"+49 40 555-0199":                  {"+49\u00a040\u00a0555-0199", "Call", "tel:+49405550199"},
		"(040) 555 0199":                   {"(040)\u00a0555\u00a00199", "Call", "tel:0405550199"},
		"https://help.acme.example/":       {"help.acme.example", "See", "https://help.acme.example/"},
		"http://help.acme.example":         {"http://help.acme.example", "", ""},
		"https://a@help.acme.example":      {"https://a@help.acme.example", "", ""},
		"javascript:alert(1)":              {"javascript:alert(1)", "", ""},
		"your account manager, extension4": {"your account manager, extension4", "", ""},
		"++49 40 555":                      {"++49 40 555", "", ""},
		"110":                              {"110", "", ""},
		"":                                 {"", "", ""},
	} {
		if shown, verb, link := contact(in); shown != want[0] || verb != want[1] || string(link) != want[2] {
			t.Errorf("%q: %q, %q, %q", in, shown, verb, link)
		}
	}
}

func TestTimesAreSaidAsPeopleSayThem(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 9, 40, 0, 0, time.FixedZone("", 3600))
	for ago, want := range map[time.Duration]string{
		-time.Minute: "just now", 59 * time.Second: "just now", time.Minute: "1 minute ago", 59 * time.Minute: "59 minutes ago", time.Hour: "1 hour ago",
		23 * time.Hour: "23 hours ago", 24 * time.Hour: "1 day ago", 13 * 24 * time.Hour: "13 days ago", 20 * 24 * time.Hour: "on 4 November 2026",
	} {
		if m := when(now.Add(-ago), now); m.Words != want {
			t.Errorf("%s ago is %q, not %q", ago, m.Words, want)
		}
	}
	if m := when(now, now); m.Exact != "24 November 2026, 08:40 UTC" || m.Clock != "08:40 UTC" || m.Machine != "2026-11-24T08:40:00Z" {
		t.Errorf("now is %+v", m)
	}
	for d, want := range map[time.Duration]string{time.Minute: "1 minute", 30 * time.Minute: "30 minutes", 119 * time.Minute: "119 minutes", 2 * time.Hour: "2 hours", 47 * time.Hour: "47 hours", 14 * 24 * time.Hour: "14 days"} {
		if got := length(d); got != want {
			t.Errorf("%s is %q, not %q", d, got, want)
		}
	}
}

func FuzzAccent(f *testing.F) {
	for _, s := range []string{"#0a6e5c", "", "#ffffff", "red", "#12345é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsAny(strings.TrimPrefix(theme(s), ":root{"), "<>'\"\\") || len(theme(s)) != len(theme("")) {
			t.Errorf("the theme of %q is %s", s, theme(s))
		}
	})
}
