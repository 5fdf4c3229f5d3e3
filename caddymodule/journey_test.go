package caddymodule

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // reverse_proxy, which the gate stands before
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/portalgate/portalgate/internal/demo/erp"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/testenv"
)

// Time is moved by hand here, which is why Caddy runs in this process: there can be one of it, so this test runs alone.
func TestSomebodyWhoComesBackLateGoesOn(t *testing.T) {
	db := testenv.FreshDatabase(t)
	b, err := secret.Generate(time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keyring.json")
	if err := secret.WriteNew(file, b); err != nil {
		t.Fatal(err)
	}
	keys, err := secret.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	house := testenv.NewHouse(t, testenv.Plan{DB: &db, Keys: keys})
	tenant := db.Tenant(t)
	house.Person(t, tenant, testenv.Visitor{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	portal, err := erp.Start(erp.Options{Now: house.Clock.Now, Keys: func(ctx context.Context, _ string) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/auth/jwks.json", port), nil)
		if err != nil {
			return nil, err
		}
		req.Host = tenant.Hosts[0]
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		return io.ReadAll(res.Body)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(portal.Close)
	t.Setenv("PORTALGATE_DATABASE_URL", db.AppURL)
	t.Setenv("PORTALGATE_KEYRING", file)
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(fmt.Appendf(nil, `{
	admin off
	persist_config off
	auto_https off
	portalgate {
		database {env.PORTALGATE_DATABASE_URL}
		keyring {env.PORTALGATE_KEYRING}
	}
}

http://:%d {
	bind 127.0.0.1
	portalgate {
		public /assets/* /favicon.ico
		graphql /graphql {
			allow me orders invoices
		}
	}
	reverse_proxy %s
}
`, port, portal.Addr()), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(adapted, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	clock := house.Clock.Now
	all := everyWorld()
	if len(all) != 1 {
		t.Fatalf("%d worlds", len(all))
	}
	all[0].clock.Store(&clock)

	ctx, cancel := context.WithTimeout(testenv.Browser(t), 2*time.Minute)
	defer cancel()
	at := func(path string) string { return fmt.Sprintf("http://%s:%d%s", tenant.Hosts[0], port, path) }
	do := func(actions ...chromedp.Action) {
		t.Helper()
		if err := chromedp.Run(ctx, actions...); err != nil {
			var text string
			_ = chromedp.Run(ctx, chromedp.Evaluate(`location.href + "\n" + document.body.innerText.slice(0, 400)`, &text)) // only for the message
			t.Fatalf("%v\n%s", err, text)
		}
	}
	see := func(selector, text string) chromedp.Action {
		return chromedp.ActionFunc(func(ctx context.Context) error {
			late := time.After(20 * time.Second)
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for {
				seen := false
				err := chromedp.Evaluate(fmt.Sprintf(`(document.querySelector(%q)?.textContent || "").includes(%q)`, selector, text), &seen).Do(ctx)
				if err == nil && seen {
					return nil
				}
				select {
				case <-tick.C:
				case <-late:
					return fmt.Errorf("%s never says %q (%v)", selector, text, err)
				}
			}
		})
	}
	signIn := chromedp.Tasks{chromedp.WaitVisible("#email"), chromedp.SendKeys("#email", "ann@buyer.example"), chromedp.SendKeys("#password", testenv.Password), chromedp.Click("button.main")}
	access := func() (value string) {
		t.Helper()
		do(chromedp.ActionFunc(func(ctx context.Context) error {
			cookies, err := network.GetCookies().WithURLs([]string{at("/")}).Do(ctx)
			for _, c := range cookies {
				if c.Name == "portalgate" {
					value = c.Value
				}
			}
			return err
		}))
		return value
	}

	do(chromedp.Navigate(at("/orders")), see("h1", "Sign in"), signIn, see("h1", "Orders"))
	first := access()
	house.Clock.Advance(31 * time.Minute) // past the access token's end
	do(chromedp.Reload(), see("h1", "Orders"), chromedp.Navigate(at("/headers")), see("#assertion", "verified"))
	if second := access(); second == first || second == "" {
		t.Error("the access token was not renewed")
	}
	house.Clock.Advance(9 * time.Hour) // a long meeting, and no request meanwhile
	do(chromedp.Navigate(at("/billing/invoices")), see("h1", "Invoices"))
	do(chromedp.Navigate("about:blank")) // or the portal's own feed may ask first, and hear of the end in the page's place
	house.Clock.Advance(11 * time.Hour)  // past the idle end
	do(chromedp.Navigate(at("/orders?x=1")), see("h1", "Sign in"), see(".note", "signed out"), signIn, see("h1", "Orders"))
	var where string
	do(chromedp.Location(&where))
	if where != at("/orders?x=1") {
		t.Errorf("came back to %s", where)
	}
}
