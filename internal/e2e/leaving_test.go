package e2e

import (
	"context"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/portalgate/portalgate/internal/testenv"
)

// seenAgain is a page that is looked at after another tab was in front.
func seenAgain() chromedp.Action {
	return chromedp.Tasks{page.BringToFront(), chromedp.ActionFunc(func(ctx context.Context) error {
		// Where windows do not cover each other the browser has no event of its own; a page that has left by then has no answer.
		_ = chromedp.Evaluate(`document.dispatchEvent(new Event("visibilitychange")); 0`, nil).Do(ctx)
		return nil
	})}
}

func TestNothingPrivateIsLeftBehind(t *testing.T) {
	d := startDemo(t)
	browser := testenv.Browser(t)
	const private = `/ann@buyer|Ann Buyer|Corner Shop|127\.0\.0\.1/.test(document.body.innerText)`

	t.Run("going back after signing out shows no private page", func(t *testing.T) {
		ctx := tab(t, browser)
		do(ctx, t, chromedp.Navigate(d.url("acme", "/orders")), signIn(annEmail, annPassword), awaitText("#me", "Ann Buyer"))
		for _, p := range []string{"", "/sessions", "/activity"} {
			do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/account"+p)), chromedp.WaitVisible("h1"), await(private))
		}
		do(ctx, t, chromedp.Click("header form button"), awaitText("h1", "You are signed out"))
		// Not a script that looks again, but nothing kept: so it holds without scripts too.
		do(ctx, t, emulation.SetScriptExecutionDisabled(true))
		for range 4 {
			var leaks bool
			var heading string
			do(ctx, t, chromedp.NavigateBack(), chromedp.Evaluate(private, &leaks), chromedp.Text("h1", &heading))
			if leaks || heading != "Sign in" {
				t.Errorf("going back shows %q; something private: %v", heading, leaks)
			}
		}
	})
	t.Run("a second browser signs the first one out", func(t *testing.T) {
		first, second := tab(t, browser), tab(t, browser)
		do(first, t, chromedp.Navigate(d.url("acme", "/auth/account")), signIn(annEmail, annPassword), awaitText("h1", "Your account"))
		do(second, t, chromedp.Navigate(d.url("acme", "/auth/account/sessions")), signIn(annEmail, annPassword), awaitText("h1", "Your devices"), awaitText(".rows li:first-child", "This device"))
		do(second, t, chromedp.Click(".rows li:nth-child(2) button"), awaitText(".note.good", "That device is signed out."), await(`document.querySelectorAll(".rows li").length === 1`))
		do(first, t, chromedp.Navigate(d.url("acme", "/auth/account/activity")), awaitText("h1", "Sign in"), awaitText(".note", "signed out"))
		do(first, t, signIn(annEmail, annPassword), awaitText("h1", "Recent activity"), awaitText(".rows", "A device was signed out"))
		do(second, t, chromedp.Navigate(d.url("acme", "/auth/account/sessions")), awaitText("h1", "Your devices"), chromedp.Click(`//button[contains(., "Sign out everywhere else")]`), awaitText(".note.good", "everywhere else"))
		do(first, t, seenAgain(), awaitText("h1", "Sign in"), awaitText(".note", "signed out"))
		do(second, t, chromedp.Click("header form button"), awaitText("h1", "You are signed out"))
	})
	t.Run("tabs of one browser sign in and out together", func(t *testing.T) {
		ann, first := somebody(t, browser)
		second := ann.tab(t)
		do(first, t, chromedp.Navigate(d.url("acme", "/auth/account")), awaitText("h1", "Sign in"))
		do(second, t, chromedp.Navigate(d.url("acme", "/auth/account/sessions")), signIn(annEmail, annPassword), awaitText("h1", "Your devices"))
		do(first, t, seenAgain(), awaitText("h1", "Your account"))
		do(first, t, chromedp.Click("header form button"), awaitText("h1", "You are signed out"))
		do(second, t, seenAgain(), awaitText("h1", "Sign in"), awaitText(".note", "signed out"))
	})
	t.Run("times are the reader's own, with the name of the zone", func(t *testing.T) {
		ctx := tab(t, browser)
		do(ctx, t, emulation.SetTimezoneOverride("Asia/Tokyo"), chromedp.Navigate(d.url("acme", "/auth/account/activity")), signIn(annEmail, annPassword), awaitText(".rows time", "GMT+9"))
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/account/sessions")), awaitText(".rows time", "just now"), await(`document.querySelector(".rows time").title.includes("GMT+9") && !isNaN(new Date(document.querySelector(".rows time").dateTime))`))
	})
}

func TestEveryPageFitsAtFourHundredPercent(t *testing.T) {
	d := startDemo(t)
	ctx := tab(t, testenv.Browser(t))
	console := testenv.Listen(ctx, t)
	// 1280 by 1024 at 400 %: a quarter of the room, four times as sharp.
	do(ctx, t, emulation.SetDeviceMetricsOverride(320, 256, 4, false))
	fits := func(name string) {
		t.Helper()
		var out []string
		do(ctx, t, chromedp.Evaluate(`(() => {
			const out = [];
			if (document.documentElement.scrollWidth > document.documentElement.clientWidth) out.push("the page scrolls sideways");
			for (const e of document.querySelectorAll("h1, h2, p, a, label, button, input, li, th, td")) {
				const s = getComputedStyle(e), box = e.getBoundingClientRect();
				if (!box.width || e.closest(".skip, .vh, .scroll, [hidden]")) continue;
				if (box.right > innerWidth + .5 || box.left < -.5) out.push(e.localName + " sticks out: " + e.textContent.slice(0, 40));
				if (e.localName !== "input" && e.scrollWidth > e.clientWidth + 1 && s.overflow !== "visible") out.push(e.localName + " is cut: " + e.textContent.slice(0, 40));
				if (e.matches("input:not([type=checkbox]):not([type=hidden])") && parseFloat(s.fontSize) < 16) out.push("a field's text is small");
				if (e.matches("button, .button") && !e.closest("header nav, .reveal") && box.height < 44) out.push("a button is low: " + e.textContent);
			}
			return out;
		})()`, &out))
		for _, line := range out {
			t.Errorf("%s: %s", name, line)
		}
	}
	do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login?return_to=/auth/account")), awaitText(".show", "Show"))
	fits("sign-in")
	do(ctx, t, signIn(annEmail, "wrong"), awaitText(".problems", "not correct"))
	fits("sign-in with a problem")
	do(ctx, t, signIn(annEmail, annPassword), awaitText("h1", "Your account"))
	fits("account")
	for _, p := range []string{"/account/sessions", "/account/activity", "/account/password", "/logout", "/nothing"} {
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth"+p)), chromedp.WaitVisible("h1"))
		fits(p)
	}
	quiet(t, console)
}

func TestTheDemoPortalIsReadable(t *testing.T) {
	d := startDemo(t)
	ctx := tab(t, testenv.Browser(t))
	console := testenv.Listen(ctx, t)
	do(ctx, t, chromedp.Navigate(d.url("acme", "/orders")), signIn(annEmail, annPassword), awaitText("h1", "Orders"))
	do(ctx, t, chromedp.SendKeys(`input[name=item]`, "Lids"), chromedp.Click("form.new button"), awaitText("h1", "Order "))
	testenv.Inspect(ctx, t, "erp-order")
	for path, heading := range map[string]string{"/": "Good to see you", "/orders": "Orders", "/billing/invoices": "Invoices", "/headers": "What the ERP received", "/orders/none": "Order none"} {
		do(ctx, t, chromedp.Navigate(d.url("acme", path)), awaitText("h1", heading), awaitText("#me", "Ann Buyer"), awaitText("#live", "Order"))
		testenv.Inspect(ctx, t, "erp-"+heading[:5])
	}
	quiet(t, console)
}

func TestAHostThatIsNobodysHasAPageToo(t *testing.T) {
	d := startDemo(t)
	ctx := tab(t, testenv.Browser(t))
	console := testenv.Listen(ctx, t)
	do(ctx, t, chromedp.Navigate("http://nobody.localhost:"+d.port+"/orders"), awaitText("h1", "There is no portal here"), await(`getComputedStyle(document.querySelector("main")).borderTopLeftRadius !== "0px"`))
	testenv.Inspect(ctx, t, "unknown-host")
	quiet(t, console)
}
