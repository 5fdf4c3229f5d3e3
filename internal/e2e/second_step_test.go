package e2e

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/portalgate/portalgate/internal/testenv"
)

// app is an authenticator app on somebody's telephone. Codes of the step before and of the one after are taken, each
// once and in order, so three are at hand without waiting.
type app struct {
	key  string
	next time.Time
}

// newApp starts at a code that is still taken, where three steps are left to use.
func newApp(key string) *app { return &app{key: key, next: time.Now().Add(-30 * time.Second)} }

func (a *app) code(t testing.TB) string {
	t.Helper()
	// The code of the step before must be good for as long as a busy machine takes to type it.
	if late := time.Now().Add(-18 * time.Second); a.next.Before(late) {
		a.next = late
	}
	code := testenv.AppCode(t, a.key, a.next)
	a.next = a.next.Add(30 * time.Second)
	return code
}

var aCode = regexp.MustCompile(`\b[0-9]{6}\b`)

// provesMailbox goes through the page that makes sure who somebody is before their first second step.
func (d *portalDemo) provesMailbox(ctx context.Context, t testing.TB, box *postbox, email string) {
	t.Helper()
	do(ctx, t, awaitText("h1", "Is this your mailbox?"), chromedp.Click(`//button[contains(., "Send me a code")]`), chromedp.WaitVisible("#code"))
	code := aCode.FindString(box.next(t, "is your Acme Packaging code", email))
	do(ctx, t, chromedp.SendKeys("#code", code+kb.Enter), awaitText("h1", "Add an authenticator app"))
}

// enrols adds an authenticator app, and returns it and the backup codes.
func (d *portalDemo) enrols(ctx context.Context, t testing.TB, box *postbox, email string) (*app, []string) {
	t.Helper()
	do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/account/mfa")), awaitText("h1", "Your second steps"), chromedp.Click(`//button[contains(., "Add an authenticator app")]`))
	d.provesMailbox(ctx, t, box, email)
	var key, codes string
	do(ctx, t, chromedp.Click("main form button.main"), chromedp.WaitReady("#key"), chromedp.Evaluate(`document.querySelector("#key").textContent`, &key))
	phone := newApp(key)
	do(ctx, t, chromedp.SendKeys("#code", phone.code(t)+kb.Enter), awaitText("h1", "Your backup codes"), chromedp.Evaluate(`document.querySelector("#codes").textContent`, &codes))
	return phone, strings.Fields(codes)
}

func (d *portalDemo) out(ctx context.Context, t testing.TB) {
	t.Helper()
	do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/account")), awaitText("h1", "Your account"), chromedp.Click("header form button"), awaitText("h1", "You are signed out"))
}

func TestASecondStepIsSetUpUsedAndLost(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	browser := testenv.Browser(t)
	box := d.postbox(t)

	t.Run("a page that needs one leads through it without scripts, and a backup code opens the door", func(t *testing.T) {
		ctx := tab(t, browser)
		do(ctx, t, emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(d.url("acme", "/admin/users")), signIn(annEmail, annPassword), awaitText(".note", "needs a second step"))
		var dead int
		do(ctx, t, chromedp.Evaluate(`[...document.querySelectorAll("[data-scripted], [data-passkey]")].filter((b) => getComputedStyle(b).display !== "none").length`, &dead))
		if dead != 0 {
			t.Error("a button is there that cannot do anything")
		}
		phone, codes := d.enrols(ctx, t, box, annEmail)
		do(ctx, t, chromedp.Click("#saved"), chromedp.Click("main form button.main"), awaitText("h1", "Your second steps"), awaitText(".rows", "Authenticator app"))
		do(ctx, t, chromedp.Navigate(d.url("acme", "/admin/users")), await(`location.pathname === "/admin/users"`))
		d.out(ctx, t)
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login?return_to=/orders")), signIn(annEmail, annPassword), awaitText("h1", "Second step"))
		code := phone.code(t)
		do(ctx, t, chromedp.SendKeys("#code", code[:3]+" "+code[3:]), chromedp.Click("main form button.main"), awaitPath("/orders"))
		d.out(ctx, t)
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login?return_to=/orders")), signIn(annEmail, annPassword), awaitText("h1", "Second step"),
			chromedp.SendKeys("#code", code), chromedp.Click("main form button.main"), awaitText(".problems", "This code was already used"))
		do(ctx, t, chromedp.Click(`//ul[@class="ways"]//a[contains(., "Backup codes")]`), awaitText("label", "Backup code"), chromedp.SendKeys("#code", strings.ToLower(codes[0])), chromedp.Click("main form button.main"),
			awaitText("main", "7 backup codes are left"), chromedp.Click("main a.button"), awaitPath("/orders"))
		d.out(ctx, t)
	})

	t.Run("with scripts a whole code is sent by itself, and a wrong one leaves the focus in its field", func(t *testing.T) {
		ctx := tab(t, browser)
		console := testenv.Listen(ctx, t)
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login")), signIn(annEmail, annPassword), awaitText("h1", "Second step"), chromedp.WaitVisible("#code"))
		sent := posts(ctx)
		do(ctx, t, chromedp.SendKeys("#code", "000000"), awaitText(".problems", "not correct"), await(`document.activeElement.id === "code" && document.activeElement.value === ""`))
		if n := sent(); n != 1 {
			t.Errorf("%d forms were sent", n)
		}
		orderly(t, "second step", walk(ctx, t))
		testenv.Inspect(ctx, t, "second-step-acme")
		quiet(t, console)
	})

	t.Run("somebody else is led with the keyboard alone, makes a passkey, and signs in with it", func(t *testing.T) {
		ctx := tab(t, browser)
		console := testenv.Listen(ctx, t)
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login?return_to=/auth/account")), signIn("new@buyer.example", "nothing"), awaitText(".problems", "not correct"))
		device(ctx, t)
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login?return_to=/auth/account")), signIn("maria@northwind.example", mariaPassword), awaitText("h1", "Which company"), chromedp.Click(`//button[contains(., "Northwind Bakery")]`), awaitText("h1", "Your account"))
		phone, codes := d.enrols(ctx, t, box, mariaEmail)
		orderly(t, "backup codes", walk(ctx, t))
		do(ctx, t, chromedp.Click("#saved"), chromedp.Focus("main form button.main"), enter(), awaitText("h1", "Your second steps"))
		do(ctx, t, chromedp.Focus(`//button[contains(., "Add a passkey")]`), enter(), awaitText("h1", "Add a passkey"), await(`!document.querySelector("[data-passkey]").hidden`))
		orderly(t, "adding a passkey", walk(ctx, t))
		do(ctx, t, chromedp.Focus("[data-passkey]"), enter(), awaitText(".note.good", "set up"), awaitText(".rows", "Passkey"))
		do(ctx, t, chromedp.Click(`//button[contains(., "Add a passkey")]`), awaitText("h1", "Add a passkey"), chromedp.Click("[data-passkey]"), awaitText("[data-said]", "already has a passkey"))
		d.out(ctx, t)
		// The browser offers it in the address field; this one picks it at once.
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login?return_to=/auth/account/sessions")), awaitText("h1", "Which company"), chromedp.Click(`//button[contains(., "Northwind Bakery")]`), awaitText(".rows", "with a passkey"))
		// Where the browser offers nothing by itself, the button asks for it.
		d.out(ctx, t)
		do(ctx, t, chromedp.ActionFunc(func(ctx context.Context) error {
			_, err := page.AddScriptToEvaluateOnNewDocument(`PublicKeyCredential.isConditionalMediationAvailable = async () => false`).Do(ctx)
			return err
		}), chromedp.Navigate(d.url("acme", "/auth/login")), awaitText("h1", "Sign in"), await(`!document.querySelector("[data-passkey]").hidden`), chromedp.Click("[data-passkey]"), awaitText("h1", "Which company"))
		quiet(t, console)

		// Where it cannot be used, the rest works.
		other := tab(t, browser)
		do(other, t, chromedp.Navigate(d.url("acme", "/auth/login")), signIn(mariaEmail, mariaPassword), awaitText("h2", "Passkey"), chromedp.Click(`//ul[@class="ways"]//a[contains(., "Authenticator app")]`),
			chromedp.WaitVisible("#code"), chromedp.SendKeys("#code", phone.code(t)), awaitText("h1", "Which company"))
		if len(codes) != 8 {
			t.Errorf("%d backup codes", len(codes))
		}
	})
}
