package mail_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

func TestMailsAreReadableNarrowAndWideLightAndDark(t *testing.T) { // UX-54
	t.Parallel()
	p := press(t)
	pages := map[string]string{}
	add := func(name string, n mail.Note) {
		pages[name] = strings.ReplaceAll(printed(t, p, n).HTML, n.Origin+"/", "/nowhere/")
	}
	for _, k := range []portal.LetterKind{portal.LetterRecover, portal.LetterNewDevice, portal.LetterPaused, portal.LetterCode, portal.LetterFactor} {
		for _, l := range []string{"en", "de", mail.PseudoLanguage} {
			n := mail.Sample(k)
			n.Language = l
			add(string(k)+"-"+l, n)
		}
	}
	for _, accent := range []string{"#ffe600", "#000000", "#ffffff", "#777777"} {
		n := mail.Sample(portal.LetterRecover)
		n.Tenant.Brand.Accent = accent
		n.Tenant.Name = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerk GmbH"
		n.Name = strings.Repeat("Wolfeschlegelstein", 3)
		n.NotMe = "/auth/not-me?token=x"
		add("accent-"+accent[1:], n)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(pages[strings.TrimPrefix(r.URL.Path, "/")]))
	}))
	t.Cleanup(srv.Close)
	ctx, cancel := context.WithTimeout(testenv.Browser(t), 4*time.Minute)
	t.Cleanup(cancel)
	console := testenv.Listen(ctx, t)
	for name := range pages {
		if err := chromedp.Run(ctx, chromedp.Navigate(srv.URL+"/"+name), chromedp.WaitVisible("h1")); err != nil {
			t.Fatal(err)
		}
		for _, l := range []testenv.Look{{Name: "320-light", Width: 320}, {Name: "320-dark", Width: 320, Dark: true}, {Name: "600-dark", Width: 600, Dark: true}, {Name: "600-light", Width: 600}} {
			l.Apply(ctx, t)
			var over, shown bool
			var button float64
			if err := chromedp.Run(ctx,
				chromedp.Evaluate(`document.documentElement.scrollWidth > document.documentElement.clientWidth`, &over),
				chromedp.Evaluate(`document.body.firstElementChild.getBoundingClientRect().height > 0`, &shown),
				chromedp.Evaluate(`document.querySelector(".press") ? document.querySelector(".press").getBoundingClientRect().height : 44`, &button)); err != nil {
				t.Fatal(err)
			}
			if over || shown || button < 44 {
				t.Errorf("%s, %s: sticks out %v, shows the preheader %v, the button is %.0f px high", name, l.Name, over, shown, button)
			}
			if l.Width == 320 {
				for _, v := range testenv.Violations(ctx, t) {
					t.Errorf("%s, %s: %s", name, l.Name, v)
				}
			}
			testenv.Shot(ctx, t, "mail-"+name+"-"+l.Name)
		}
	}
	for _, line := range console.Said() {
		if !strings.Contains(line, "favicon") {
			t.Error("the console said: ", line)
		}
	}
	if hosts := console.Hosts(); len(hosts) != 1 {
		t.Errorf("mails ask %v for something", hosts)
	}
}
