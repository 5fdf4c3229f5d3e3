package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/portalgate/portalgate/internal/testenv"
)

// device gives a tab's device a finger and room for passkeys.
func device(ctx context.Context, t testing.TB) (id webauthn.AuthenticatorID) {
	t.Helper()
	do(ctx, t, webauthn.Enable(), chromedp.ActionFunc(func(ctx context.Context) (err error) {
		id, err = webauthn.AddVirtualAuthenticator(&webauthn.VirtualAuthenticatorOptions{Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true}).Do(ctx)
		return err
	}))
	return id
}

// keys counts the passkeys that a device keeps.
func keys(ctx context.Context, t testing.TB, id webauthn.AuthenticatorID) (n int) {
	t.Helper()
	do(ctx, t, chromedp.ActionFunc(func(ctx context.Context) error {
		list, err := webauthn.GetCredentials(id).Do(ctx)
		n = len(list)
		return err
	}))
	return n
}

// out signs out at a gateway.
func (g *gateway) out(ctx context.Context, t testing.TB) {
	t.Helper()
	do(ctx, t, chromedp.Navigate(g.url("/auth/account")), awaitText("h1", "Your account"), chromedp.Click("header form button"), awaitText("h1", "You are signed out"))
}

// typed signs in with a password on the way to a page, once the page's script knows what the browser can do.
func (g *gateway) typed(ctx context.Context, t testing.TB, email string, makes bool) {
	t.Helper()
	do(ctx, t, chromedp.Navigate(g.url("/auth/login?return_to=/orders")), awaitText("h1", "Sign in"), await(fmt.Sprintf(`(document.querySelector("input[name=makes]").value === "1") === %t`, makes)), signIn(email, testenv.Password))
}

// A browser that the account has known for a week hears of passkeys once; whoever takes one signs in with it.
func TestAPasskeyIsOfferedInABrowserThatIsKnown(t *testing.T) {
	t.Parallel()
	browser := testenv.Browser(t)
	s := newSite(t)
	g := s.start(t)
	aWeekLater := func() {
		s.house.DB.Exec(t, `update portalgate.devices set first_seen = first_seen - interval '7 days' where tenant_id = $1`, s.tenant.ID)
	}

	t.Run("takes it, signs in with it, and removes it from the device too", func(t *testing.T) {
		ctx := tab(t, browser)
		console := testenv.Listen(ctx, t)
		finger := device(ctx, t)
		g.typed(ctx, t, "ann@buyer.example", true)
		do(ctx, t, awaitPath("/orders"))
		g.out(ctx, t)
		aWeekLater()
		g.typed(ctx, t, "ann@buyer.example", true)
		do(ctx, t, awaitText("h1", "Sign in faster next time"), await(`!document.querySelector("[data-passkey]").hidden`))
		orderly(t, "the offer", walk(ctx, t))
		testenv.Inspect(ctx, t, "offer-browser")
		do(ctx, t, chromedp.Click("[data-passkey]"), awaitText("h1", "Your backup codes"), chromedp.Click("#saved"), chromedp.Click("main form button.main"), awaitPath("/orders"))
		if n := keys(ctx, t, finger); n != 1 {
			t.Fatalf("the device keeps %d passkeys", n)
		}
		g.out(ctx, t)
		do(ctx, t, chromedp.Navigate(g.url("/auth/login?return_to=/orders")), awaitPath("/orders")) // the browser picks it at once

		do(ctx, t, chromedp.Navigate(g.url("/auth/account/mfa")), awaitText("h1", "Your second steps"), chromedp.Click(`//a[contains(., "Remove")]`), awaitText("h1", "Remove passkey"),
			chromedp.Click("main form button.main"), awaitText(".note.good", "It is removed"))
		g.until(t, "the device has forgotten what was removed here", func() bool { return keys(ctx, t, finger) == 0 })
		quiet(t, console)
	})

	t.Run("says not now, and is not asked again, in no browser", func(t *testing.T) {
		p, ctx := somebody(t, browser)
		console := testenv.Listen(ctx, t)
		g.typed(ctx, t, "bob@buyer.example", false)
		do(ctx, t, awaitPath("/orders"))
		g.out(ctx, t)
		aWeekLater()
		g.typed(ctx, t, "bob@buyer.example", false) // this device can make none
		do(ctx, t, awaitPath("/orders"))
		g.out(ctx, t)
		plain := p.tab(t)
		do(plain, t, emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(g.url("/auth/login?return_to=/orders")), signIn("bob@buyer.example", testenv.Password), awaitPath("/orders"))
		g.out(plain, t)

		device(ctx, t)
		g.typed(ctx, t, "bob@buyer.example", true)
		do(ctx, t, awaitText("h1", "Sign in faster next time"), chromedp.Click(`//a[contains(., "Not now")]`), awaitPath("/orders"))
		g.out(ctx, t)
		other := tab(t, browser)
		device(other, t)
		for _, at := range []context.Context{ctx, other, ctx, other} {
			g.typed(at, t, "bob@buyer.example", true)
			do(at, t, awaitPath("/orders"))
			g.out(at, t)
			aWeekLater()
		}
		quiet(t, console)
	})
}
