package pages_test

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// show leads a tab to an address and waits for its heading.
func show(ctx context.Context, t testing.TB, address string) {
	t.Helper()
	if err := chromedp.Run(ctx, chromedp.Navigate(address), chromedp.WaitVisible("h1")); err != nil {
		t.Fatalf("going to %s: %v", address, err)
	}
}

// window is a browser for one test, with a deadline.
func window(t testing.TB, flags ...string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(testenv.Browser(t, flags...), 4*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestEveryPageIsReadableNarrowAndWideLightAndDark(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	pages := everyPage(t, f)
	for part := range slices.Chunk(pages, 18) { // a browser lives for some minutes
		t.Run("from "+part[0].name+" on", func(t *testing.T) { looksAt(t, f, part) })
	}
}

func looksAt(t *testing.T, f *front, pages []seen) {
	t.Helper()
	ctx := window(t)
	console := testenv.Listen(ctx, t)
	for _, p := range pages {
		if p.name == "unknown-host" {
			continue // has no host to be shown on
		}
		show(ctx, t, f.at(f.tenant, f.keep(p.name, p.answer)))
		testenv.Inspect(ctx, t, p.name)
	}
	// Neither the policy nor a script complained on any page. That a page of status 401 is one is no complaint of ours.
	for _, line := range console.Said() {
		if !strings.Contains(line, "the server responded with a status of") {
			t.Error("the console said: ", line)
		}
	}
}

const wideLogo = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 60"><path d="M0 10h380v12H0zM0 36h240v12H0z" fill="#111"/></svg>`

func TestAnyBrandLeavesTheSignInPageReadable(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	ctx := window(t)
	long := "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft mbH & Co. KG"
	for name, b := range map[string]struct {
		name  string
		brand portal.Brand
	}{
		"yellow":  {"Lemon & Sons", portal.Brand{Accent: "#ffe600", Contact: "+49 40 555 0199"}},
		"black":   {"Coal", portal.Brand{Accent: "#000000", Contact: "https://help.coal.example/portal"}},
		"white":   {"Snow", portal.Brand{Accent: "#ffffff", Contact: "your account manager"}},
		"neon":    {"Signal", portal.Brand{Accent: "#39ff14"}},
		"grey":    {"Middle", portal.Brand{Accent: "#777777", Contact: "help@middle.example"}},
		"red":     {"Ember", portal.Brand{Accent: "#ff0000", Logo: []byte(wideLogo), Contact: "help@ember.example"}},
		"long":    {long, portal.Brand{Accent: "#4b0082", Contact: strings.Repeat("portalverwaltung.", 6) + "kundendienst@" + strings.Repeat("donaudampfschifffahrt.", 4) + "example"}},
		"chinese": {"環球包裝股份有限公司", portal.Brand{}},
	} {
		n := f.open(t, b.name, b.brand)
		g := f.guest(t)
		g.tenant = n
		email := strings.Repeat("a", 64) + "@" + strings.Repeat("long-domain-of-a-buyer.", 7) + "example"
		a := g.post("/auth/login", url.Values{"email": {email}, "password": {wrongPassword}})
		if a.status != 401 {
			t.Fatalf("%s: answered %d", name, a.status)
		}
		show(ctx, t, f.at(n, f.keep("brand-"+name, a)))
		testenv.Inspect(ctx, t, "brand-"+name)
	}
}
