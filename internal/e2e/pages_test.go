package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/portalgate/portalgate/internal/testenv"
)

const (
	annEmail, annPassword     = "ann@buyer.example", "Blue pallet trucks at dawn"
	mariaEmail, mariaPassword = "maria@northwind.example", "Quarterly-Invoices-7"
)

// quiet fails the test when a page has complained: the policy, a script, a file that is missing. That an error page has
// an error's status is no complaint, and that the cache was cleared is none either.
func quiet(t testing.TB, c *testenv.Console) {
	t.Helper()
	for _, line := range c.Said() {
		if strings.HasPrefix(line, "info: ") {
			continue
		}
		if !strings.Contains(line, "the server responded with a status of") || strings.Contains(line, "/static/") || strings.Contains(line, "/brand/") {
			t.Error("the console said: ", line)
		}
	}
}

// stop is where the focus is: what one would read there, whether it can be seen to be there, and where it stands.
type stop struct {
	Name         string
	Ring, Seen   bool
	Top, Left    float64
	Width, Tall  float64
	Sideways, In bool
}

const focused = `(() => {
	const e = document.activeElement;
	if (!e || e === document.body || e === document.documentElement) return { Name: "" };
	const box = e.getBoundingClientRect();
	const ring = [e, e.closest(".reveal")].some((x) => {
		const s = x && getComputedStyle(x);
		return s && s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2;
	});
	const first = e.getClientRects()[0];
	const on = document.elementFromPoint(first.left + first.width / 2, first.top + first.height / 2);
	return { Name: (e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent).trim(), Ring: ring, Seen: !!on && (e.contains(on) || on.contains(e) && on !== document.body),
		Top: first.top + scrollY, Left: first.left, Width: first.width, Tall: first.height };
})()`

// walk presses Tab from the head of the page to its end, and says where it came to rest.
func walk(ctx context.Context, t testing.TB) (stops []stop) {
	t.Helper()
	do(ctx, t, chromedp.Evaluate(`document.activeElement.blur(); getSelection().removeAllRanges(); document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute("tabindex"); 0`, nil))
	for range 60 {
		var s stop
		do(ctx, t, chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(focused, &s))
		if s.Name == "" || len(stops) > 0 && s == stops[0] {
			return stops
		}
		stops = append(stops, s)
	}
	t.Fatal("the focus does not come round: ", stops)
	return nil
}

// orderly fails unless each stop can be seen and stands below or beside the one before it.
func orderly(t testing.TB, page string, stops []stop) {
	t.Helper()
	for i, s := range stops {
		if !s.Ring || !s.Seen {
			t.Errorf("%s: the focus on %q has a ring: %v, is in sight: %v", page, s.Name, s.Ring, s.Seen)
		}
		if s.Tall < 18 || s.Width < 24 {
			t.Errorf("%s: %q is %v by %v", page, s.Name, s.Width, s.Tall)
		}
		if i < 2 { // the link that skips lies over the page
			continue
		}
		if last := stops[i-1]; s.Top+s.Tall <= last.Top || s.Top < last.Top+last.Tall && s.Left < last.Left {
			t.Errorf("%s: %q comes after %q, and stands before it", page, s.Name, last.Name)
		}
	}
}

// enter presses the key as a keyboard does: what the pressing has been used for is not typed as well.
func enter() chromedp.Action {
	key := func(of input.KeyType, text string) chromedp.Action {
		return input.DispatchKeyEvent(of).WithKey("Enter").WithCode("Enter").WithWindowsVirtualKeyCode(13).WithNativeVirtualKeyCode(13).WithText(text)
	}
	return chromedp.Tasks{key(input.KeyRawDown, ""), key(input.KeyChar, "\r"), key(input.KeyUp, "")}
}

func names(stops []stop) string {
	var out []string
	for _, s := range stops {
		out = append(out, s.Name)
	}
	return strings.Join(out, " | ")
}

// posts counts the forms that a tab sends: what a script asks for by itself is none.
func posts(ctx context.Context) func() int {
	var mu sync.Mutex
	n := 0
	chromedp.ListenTarget(ctx, func(ev any) {
		if e, ok := ev.(*network.EventRequestWillBeSent); ok && e.Request.Method == "POST" && !strings.HasSuffix(e.Request.URL, "/webauthn/options") {
			mu.Lock()
			n++
			mu.Unlock()
		}
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// described is what a field is to somebody who hears the page.
type described struct{ name, description, invalid string }

func hears(ctx context.Context, t testing.TB, selector string) (d described) {
	t.Helper()
	do(ctx, t, chromedp.QueryAfter(selector, func(ctx context.Context, _ runtime.ExecutionContextID, nodes ...*cdp.Node) error {
		ax, err := accessibility.GetPartialAXTree().WithNodeID(nodes[0].NodeID).WithFetchRelatives(false).Do(ctx)
		if err != nil {
			return err
		}
		d.name, d.description = axText(ax[0].Name), axText(ax[0].Description)
		for _, p := range ax[0].Properties {
			if p.Name == accessibility.PropertyNameInvalid {
				d.invalid = axText(p.Value)
			}
		}
		return nil
	}, chromedp.ByQuery))
	return d
}

func axText(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	return strings.Trim(string(v.Value), `"`)
}

func TestTheKeyboardAloneIsEnough(t *testing.T) {
	d := startDemo(t)
	ctx := tab(t, testenv.Browser(t))
	console := testenv.Listen(ctx, t)
	do(ctx, t, chromedp.Navigate(d.url("acme", "/orders?x=1")), awaitText("h1", "Sign in"), await(`document.activeElement.id === "email"`))

	stops := walk(ctx, t)
	orderly(t, "sign-in", stops)
	if got, want := names(stops), "Skip to the content | E-mail address | Password | Show password | Forgotten your password? | Keep me signed in on this device | Sign in | Sign in with a passkey | portal@acme.example"; got != want {
		t.Errorf("the keyboard comes to\n%s, not to\n%s", got, want)
	}
	do(ctx, t, chromedp.Evaluate(`document.activeElement.blur(); 0`, nil), chromedp.Reload(), await(`document.activeElement.id === "email"`))

	// A wrong password leads to the words about it, and from there into the field.
	do(ctx, t, chromedp.KeyEvent(annEmail), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent("wrong"), enter(), awaitText(".problems", "not correct"), await(`document.activeElement.className === "problems"`))
	orderly(t, "sign-in with a problem", walk(ctx, t))
	do(ctx, t, chromedp.Evaluate(`document.querySelector(".problems").focus(); 0`, nil), chromedp.KeyEvent(kb.Tab), await(`document.activeElement.closest(".problems a")`), enter(), await(`document.activeElement.id === "email"`))
	// On to the password, the button that shows it, the tick, and the button.
	do(ctx, t, chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(annPassword), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(" "), await(`document.querySelector("#password").type === "text"`),
		chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(" "), await(`document.querySelector("#remember").checked`), chromedp.KeyEvent(kb.Tab), enter(), awaitPath("/orders?x=1"), awaitText("h1", "Orders"))

	for _, p := range []string{"", "/sessions", "/activity", "/password"} {
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/account"+p)), chromedp.WaitVisible("h1"))
		orderly(t, "account"+p, walk(ctx, t))
	}
	// The skip link leads past the head of the page.
	do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/account")), chromedp.WaitVisible("h1"), chromedp.KeyEvent(kb.Tab), enter(), await(`document.activeElement.id === "main"`),
		chromedp.KeyEvent(kb.Tab), await(`document.activeElement.textContent === "Change your password"`))
	do(ctx, t, chromedp.Evaluate(`document.querySelector("header form button").focus(); 0`, nil), enter(), awaitText("h1", "You are signed out"))
	orderly(t, "signed out", walk(ctx, t))
	quiet(t, console)
}

func TestEverythingWorksWithoutScripts(t *testing.T) {
	d := startDemo(t)
	browser := testenv.Browser(t)
	plain := func(t testing.TB) context.Context {
		ctx := tab(t, browser)
		do(ctx, t, emulation.SetScriptExecutionDisabled(true))
		return ctx
	}
	t.Run("a customer signs in, looks around and signs out", func(t *testing.T) {
		ctx := plain(t)
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login?return_to=/auth/account/sessions")), awaitText("h1", "Sign in"))
		var dead int
		do(ctx, t, chromedp.Evaluate(`[...document.querySelectorAll("[data-show]")].filter((b) => getComputedStyle(b).display !== "none").length`, &dead))
		if dead != 0 {
			t.Error("a button is there that cannot do anything")
		}
		do(ctx, t, signIn(annEmail, "wrong"), awaitText(".problems", "not correct"), await(`document.querySelector("#email").value === "ann@buyer.example" && document.title.startsWith("Error: ")`))
		do(ctx, t, signIn(annEmail, annPassword), awaitText("h1", "Your devices"), awaitText(".rows", "This device"))
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/account/activity")), awaitText(".rows", "Signed in"), awaitText(".rows time", "UTC"), chromedp.Click(`.filter a[href$="changes"]`), awaitText("main", "There is nothing to show."))
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/account/password")), chromedp.SendKeys("#current_password", annPassword), chromedp.SendKeys("#password", "short"), chromedp.Click("main button.main"), awaitText(".problems", "at least 8"))
		do(ctx, t, chromedp.Click("header form button"), awaitText("h1", "You are signed out"))
	})
	t.Run("a customer of two companies chooses one", func(t *testing.T) {
		ctx := plain(t)
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login?return_to=/auth/account")), signIn(mariaEmail, mariaPassword), awaitText("h1", "Which company"), chromedp.Click(`//button[contains(., "Northwind Bakery")]`), awaitText("main", "Northwind Bakery"))
	})
	t.Run("a temporary password is replaced", func(t *testing.T) {
		ctx := plain(t)
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login?return_to=/auth/account")), signIn("first@buyer.example", "Temporary box 4711"), awaitText("h1", "Choose your own password"),
			chromedp.SendKeys("#password", "four crates of lids, please"), chromedp.Click("button.main"), awaitText("h1", "Your account"))
	})
	t.Run("an address that is not confirmed is told so", func(t *testing.T) {
		ctx := plain(t)
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login")), signIn("new@buyer.example", "Kraft paper by the roll"), awaitText("h1", "Confirm your e-mail address"))
	})
}

func TestTheSignInPageIsLightAndStandsStill(t *testing.T) {
	d := startDemo(t)
	for _, tenant := range []string{"acme", "globex"} {
		ctx := tab(t, testenv.Browser(t))
		console := testenv.Listen(ctx, t)
		do(ctx, t, chromedp.Navigate(d.url(tenant, "/auth/login")), awaitText("h1", "Sign in"))
		var seen struct {
			Largest, Where string
			At, Shift      float64
		}
		do(ctx, t, chromedp.Evaluate(`new Promise((done) => {
			let last;
			new PerformanceObserver((list) => { last = list.getEntries().at(-1); }).observe({ type: "largest-contentful-paint", buffered: true });
			let shift = 0;
			new PerformanceObserver((list) => { for (const e of list.getEntries()) shift += e.value; }).observe({ type: "layout-shift", buffered: true });
			const look = () => last && document.readyState === "complete"
				? done({ Largest: last.element?.localName ?? "", Where: last.element?.closest("main, header, footer")?.localName ?? "", At: last.startTime, Shift: shift })
				: requestAnimationFrame(look);
			look();
		})`, &seen, testenv.Awaited))
		bytes, requests := console.Received()
		t.Logf("%s: %d bytes in %d requests, <%s> in <%s> painted after %.0f ms", tenant, bytes, requests, seen.Largest, seen.Where, seen.At)
		if bytes == 0 || bytes >= 60_000 {
			t.Errorf("%s: the page weighs %d bytes", tenant, bytes)
		}
		// Words of the page itself: they need nothing that comes later.
		if seen.Where == "" || seen.Largest == "img" || seen.Largest == "svg" {
			t.Errorf("%s: what is painted last and largest is <%s> in <%s>", tenant, seen.Largest, seen.Where)
		}
		if seen.Shift != 0 {
			t.Errorf("%s: things moved, by %v", tenant, seen.Shift)
		}
		if hosts := console.Hosts(); len(hosts) != 1 || hosts[0] != tenant+".localhost:"+d.port {
			t.Errorf("%s: asked %v", tenant, hosts)
		}
		quiet(t, console)
	}
}

func TestTheSignInFormHelpsAndIsHeard(t *testing.T) {
	d := startDemo(t)
	browser := testenv.Browser(t)
	t.Run("what is wrong is announced, and said of its field", func(t *testing.T) {
		ctx := tab(t, browser)
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login")), signIn("ann", annPassword), awaitText(".problems", "Enter your e-mail"), await(`document.activeElement.className === "problems" && document.activeElement.getAttribute("role") === "alert"`))
		if got := hears(ctx, t, "#email"); got.name != "E-mail address" || got.invalid != "true" || !strings.Contains(got.description, "Enter your e-mail address") {
			t.Errorf("of the field one hears %+v", got)
		}
		if got := hears(ctx, t, "#password"); got.name != "Password" || got.invalid == "true" {
			t.Errorf("of the field that is right one hears %+v", got)
		}
		do(ctx, t, signIn(annEmail, "wrong"), awaitText(".problems", "not correct"))
		for _, field := range []string{"#email", "#password"} {
			if got := hears(ctx, t, field); got.invalid != "true" || !strings.Contains(got.description, "not correct") {
				t.Errorf("of %s one hears %+v", field, got)
			}
		}
	})
	t.Run("caps lock is noticed, and forgotten again", func(t *testing.T) {
		ctx := tab(t, browser)
		press := func(on bool) chromedp.Action {
			return chromedp.Evaluate(fmt.Sprintf(`document.querySelector("#password").dispatchEvent(new KeyboardEvent("keydown", { key: "A", modifierCapsLock: %v, bubbles: true })); 0`, on), nil)
		}
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login")), awaitText(".show", "Show"), await(`document.querySelector(".caps").textContent === "" && document.querySelector(".caps").getAttribute("role") === "status"`))
		do(ctx, t, press(true), awaitText(".caps", "Caps lock is on."), press(false), await(`document.querySelector(".caps").textContent === ""`))
		do(ctx, t, chromedp.Focus("#password"), press(true), awaitText(".caps", "Caps lock"), chromedp.Focus("#email"), await(`document.querySelector(".caps").textContent === ""`))
	})
	t.Run("the password can be looked at, and is hidden before it leaves", func(t *testing.T) {
		ctx := tab(t, browser)
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login")), awaitText(".show", "Show"), chromedp.SendKeys("#password", "abc"), chromedp.Click(".show"), awaitText(".show", "Hide"),
			await(`document.querySelector("#password").type === "text"`), awaitText(".reveal [role=status]", "is shown"))
		do(ctx, t, chromedp.Evaluate(`document.querySelector("main form").addEventListener("submit", (e) => { e.preventDefault(); document.title = document.querySelector("#password").type; }); 0`, nil),
			chromedp.Click("button.main"), await(`document.title === "password"`))
	})
	t.Run("pasting works, and nothing is cut", func(t *testing.T) {
		ctx := tab(t, browser)
		long := strings.Repeat("A long phrase with spaces. ", 6)
		var got string
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login")), chromedp.Focus("#password"), input.InsertText(long), chromedp.Value("#password", &got))
		if got != long {
			t.Errorf("of %d characters pasted %d arrived", len(long), len(got))
		}
	})
	t.Run("a second click sends nothing, and the button says that it works", func(t *testing.T) {
		ctx := tab(t, browser)
		var sent int
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login")), awaitText(".show", "Show"), chromedp.Evaluate(`window.sent = 0; addEventListener("submit", (e) => { if (!e.defaultPrevented) window.sent++; e.preventDefault(); }); 0`, nil),
			chromedp.Click("main button.main"), await(`document.querySelector("main button.main").getAttribute("aria-busy") === "true"`), chromedp.Click("main button.main"), chromedp.SendKeys("#email", kb.Enter), chromedp.Evaluate(`window.sent`, &sent))
		if sent != 1 {
			t.Errorf("%d forms were sent", sent)
		}
		// The turning is for those who do not mind it.
		do(ctx, t, await(`getComputedStyle(document.querySelector("main button.main"), "::after").animationName === "turn"`),
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}),
			await(`getComputedStyle(document.querySelector("main button.main"), "::after").animationName === "none" && getComputedStyle(document.querySelector("main button.main")).transitionDuration === "0s"`))
	})
	t.Run("a double click sends one form, and going back sends none", func(t *testing.T) {
		ctx := tab(t, browser)
		testenv.Listen(ctx, t)
		sent := posts(ctx)
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login?return_to=/auth/account/sessions")), chromedp.SendKeys("#email", annEmail), chromedp.SendKeys("#password", annPassword),
			chromedp.DoubleClick("main button.main"), awaitText("h1", "Your devices"))
		if n := sent(); n != 1 {
			t.Errorf("%d forms were sent", n)
		}
		do(ctx, t, chromedp.Reload(), awaitText("h1", "Your devices"), chromedp.NavigateBack(), chromedp.WaitVisible("h1"))
		if n := sent(); n != 1 {
			t.Errorf("after reloading and going back %d forms were sent", n)
		}
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/logout")), chromedp.Click("main button.main"), awaitText("h1", "You are signed out"))
	})
}
