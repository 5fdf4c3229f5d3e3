package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"github.com/portalgate/portalgate/internal/testenv"
)

// person is somebody with a browser of their own: its cookies and its windows.
type person struct {
	browser context.Context
	id      cdp.BrowserContextID
}

// tab opens a page in a browser with cookies of its own, as another person's has, with a deadline.
func tab(t testing.TB, browser context.Context) context.Context {
	t.Helper()
	_, ctx := somebody(t, browser)
	return ctx
}

func somebody(t testing.TB, browser context.Context) (person, context.Context) {
	t.Helper()
	p := person{browser: browser}
	at := cdp.WithExecutor(browser, chromedp.FromContext(browser).Browser)
	var err error
	if p.id, err = target.CreateBrowserContext().Do(at); err != nil {
		t.Fatal("opening another person's browser: ", err)
	}
	// A browser context of its own has no window yet, and a tab needs one.
	window, err := target.CreateTarget("about:blank").WithBrowserContextID(p.id).WithNewWindow(true).Do(at)
	if err != nil {
		t.Fatal("opening a window: ", err)
	}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithTargetID(window))
	t.Cleanup(cancel)
	return p, deadline(t, ctx)
}

// tab opens another tab beside the first, with the same cookies.
func (p person) tab(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(p.browser, chromedp.WithExistingBrowserContext(p.id))
	t.Cleanup(cancel)
	return deadline(t, ctx)
}

func deadline(t testing.TB, ctx context.Context) context.Context {
	t.Helper()
	if err := chromedp.Run(ctx); err != nil {
		t.Fatal("opening a tab: ", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func do(ctx context.Context, t testing.TB, actions ...chromedp.Action) {
	t.Helper()
	if err := act(ctx, actions); err != nil {
		var where, text string
		_ = chromedp.Run(ctx, chromedp.Location(&where), chromedp.Evaluate(`document.body.innerText.slice(0, 500)`, &text)) // only for the message
		t.Fatalf("%v\nat %s:\n%s", err, where, text)
	}
}

// act does one thing after the other. chromedp looks a node up and then asks where it is; when a page has replaced it
// between the two, nothing was pressed or typed yet, and it is looked up again.
func act(ctx context.Context, actions chromedp.Tasks) error {
	for _, a := range actions {
		if several, ok := a.(chromedp.Tasks); ok {
			if err := act(ctx, several); err != nil {
				return err
			}
			continue
		}
		err := chromedp.Run(ctx, a)
		for tries := 0; tries < 3 && err != nil && strings.Contains(err.Error(), "Could not find node with given id"); tries++ {
			err = chromedp.Run(ctx, a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// signIn fills the form as a person does.
func signIn(email, password string) chromedp.Tasks {
	return chromedp.Tasks{
		chromedp.WaitVisible(`#email`),
		chromedp.Evaluate(`document.querySelector("#email").value = ""; 0`, nil), chromedp.SendKeys(`#email`, email),
		chromedp.SendKeys(`#password`, password),
		chromedp.Click(`form[action$="/login"] button.main`),
	}
}

func awaitText(selector, text string) chromedp.Action {
	return await(fmt.Sprintf(`(document.querySelector(%q)?.textContent || "").includes(%q)`, selector, text))
}

func awaitPath(path string) chromedp.Action {
	return await(fmt.Sprintf(`location.pathname + location.search === %q`, path))
}

// await asks a page again and again until an expression holds. A page that is being replaced by the next one has no
// answer, and is asked again.
func await(expression string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		late := time.After(30 * time.Second)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			holds := false
			err := chromedp.Evaluate("!!("+expression+")", &holds).Do(ctx)
			if err == nil && holds {
				return nil
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			case <-late:
				return fmt.Errorf("this does not come true: %s (%v)", expression, err)
			}
		}
	})
}

func TestACustomerSignsInAndIsKnownToTheERP(t *testing.T) {
	d := startDemo(t)
	browser := testenv.Browser(t)

	t.Run("signs in on the way to a page and reaches it", func(t *testing.T) {
		ann, ctx := somebody(t, browser)
		do(ctx, t, chromedp.Navigate(d.url("acme", "/orders?x=1")), awaitText("h1", "Sign in"))
		testenv.Inspect(ctx, t, "login-acme")
		do(ctx, t, signIn("ann@buyer.example", "wrong"), awaitText(".problems", "not correct"))
		var title, email, password string
		do(ctx, t, await(`document.activeElement.className === "problems"`), chromedp.Title(&title), chromedp.Value("#email", &email), chromedp.Value("#password", &password))
		if !strings.HasPrefix(title, "Error: ") || email != "ann@buyer.example" || password != "" {
			t.Errorf("after a wrong password: title %q, e-mail %q, password %q", title, email, password)
		}
		testenv.Inspect(ctx, t, "login-acme-error")
		do(ctx, t, signIn("ann@buyer.example", "Blue pallet trucks at dawn"), awaitPath("/orders?x=1"), awaitText("h1", "Orders"), awaitText("#me", "Ann Buyer"))
		do(ctx, t, chromedp.Reload(), awaitText("h1", "Orders"))
		do(ctx, t, chromedp.SendKeys(`input[name=item]`, "Lids"), chromedp.Click("form.new button"), awaitText("h1", "Order "))
		do(ctx, t, awaitText("#live", "Order"), awaitText("#events", "Order"))
		do(ctx, t, chromedp.Navigate(d.url("acme", "/headers")), awaitText("#assertion", "verified"))
		testenv.Inspect(ctx, t, "erp-headers")

		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/account")), awaitText("h1", "Your account"))
		testenv.Inspect(ctx, t, "account-acme")
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/account/sessions")), awaitText("h1", "Your devices"))
		testenv.Inspect(ctx, t, "sessions-acme")
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/account/activity")), awaitText("h1", "Recent activity"))
		testenv.Inspect(ctx, t, "activity-acme")
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/account/password")), awaitText("h1", "Change your password"))
		testenv.Inspect(ctx, t, "password-acme")
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/logout")), awaitText("h1", "Sign out"))
		testenv.Inspect(ctx, t, "signout-acme")

		second := ann.tab(t)
		do(second, t, chromedp.Navigate(d.url("acme", "/orders")), awaitText("h1", "Orders"))
		do(ctx, t, chromedp.Click(`form.stack button.main`), awaitText("h1", "You are signed out"))
		testenv.Inspect(ctx, t, "signedout-acme")
		// the feed of the other tab ends with the session, and the tab goes to sign in
		do(second, t, awaitText("h1", "Sign in"), awaitText(".note", "signed out"))
		testenv.Inspect(second, t, "login-acme-ended")
	})

	t.Run("chooses a company and changes it", func(t *testing.T) {
		ctx := tab(t, browser)
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login")), signIn("maria@northwind.example", "Quarterly-Invoices-7"), awaitText("h1", "Which company"))
		testenv.Inspect(ctx, t, "company-acme")
		do(ctx, t, chromedp.Click(`//button[contains(., "Northwind Catering")]`), awaitText("h1", "Good to see you"))
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/account")), awaitText("main", "Northwind Catering"))
		do(ctx, t, chromedp.Click(`a[href$="/account/company"]`), awaitText("h1", "Which company"), chromedp.Click(`//button[contains(., "Northwind Bakery")]`), awaitText("h1", "Good to see you"))
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/account")), awaitText("main", "Northwind Bakery"), chromedp.Click(`header form button`), awaitText("h1", "You are signed out"))
	})

	t.Run("is told whom to ask when the address is not confirmed", func(t *testing.T) {
		ctx := tab(t, browser)
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login")), signIn("new@buyer.example", "Kraft paper by the roll"), awaitText("h1", "Confirm your e-mail address"), awaitText("main", "n•••@buyer.example"))
		testenv.Inspect(ctx, t, "confirm-acme")
		do(ctx, t, chromedp.Navigate(d.url("acme", "/orders")), awaitText("h1", "Sign in"))
	})

	t.Run("replaces a temporary password", func(t *testing.T) {
		ctx := tab(t, browser)
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login?return_to=/orders")), signIn("first@buyer.example", "Temporary box 4711"), awaitText("h1", "Choose your own password"))
		do(ctx, t, chromedp.SendKeys("#password", "short"), chromedp.Click("button.main"), awaitText(".problems", "at least 8"))
		testenv.Inspect(ctx, t, "newpassword-acme-error")
		do(ctx, t, chromedp.SendKeys("#password", "four crates of lids, please"), chromedp.Click("button.main"), awaitPath("/orders"), awaitText("h1", "Orders"))
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/account")), awaitText("h1", "Your account"), chromedp.Click(`header form button`), awaitText("h1", "You are signed out"))
	})

	t.Run("sees the other tenant's own face, and is not known there", func(t *testing.T) {
		ctx := tab(t, browser)
		do(ctx, t, chromedp.Navigate(d.url("globex", "/auth/login")), awaitText(".brand", "Globex Logistics"))
		testenv.Inspect(ctx, t, "login-globex")
		do(ctx, t, signIn("maria@northwind.example", "Quarterly-Invoices-7"), awaitText(".problems", "not correct"))
		testenv.Inspect(ctx, t, "login-globex-error")
		do(ctx, t, signIn("maria@northwind.example", "Tulip Bulbs by the Crate"), awaitText("h1", "Good to see you"), awaitText("#company", "Globex"))
		do(ctx, t, chromedp.Navigate(d.url("globex", "/auth/nothing")), awaitText("h1", "Page not found"))
		testenv.Inspect(ctx, t, "notfound-globex")
	})

	t.Run("works behind the unchanged backend", func(t *testing.T) {
		ctx := tab(t, browser)
		at := "http://acme.localhost:" + d.oldPort
		do(ctx, t, chromedp.Navigate(at+"/orders"), awaitText("h1", "Sign in"), signIn("ann@buyer.example", "Blue pallet trucks at dawn"), awaitText("h1", "Orders"))
		do(ctx, t, chromedp.Navigate(at+"/"), awaitText("h1", "Good to see you, Ann Buyer"))
	})

	t.Run("is paused after five wrong passwords, kindly", func(t *testing.T) {
		ctx := tab(t, browser)
		for range 4 {
			do(ctx, t, chromedp.Navigate(d.url("globex", "/auth/logout")), chromedp.Navigate(d.url("globex", "/auth/login")))
			do(ctx, t, chromedp.Evaluate(`fetch("/auth/logout", {method: "POST"}).then(r => r.status)`, nil, testenv.Awaited), chromedp.Navigate(d.url("globex", "/auth/login")),
				signIn("ines@harbour.example", "wrong"), awaitText(".problems", "not correct"))
		}
		do(ctx, t, signIn("ines@harbour.example", "wrong"), awaitText("h1", "Sign-in is paused"))
		testenv.Inspect(ctx, t, "pause-globex")
	})
}
