package e2e

import (
	"context"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/portalgate/portalgate/internal/testenv"
)

// postbox is the demo's mailbox page, as somebody reads it.
type postbox struct{ at string }

func (d *portalDemo) postbox(t testing.TB) *postbox {
	t.Helper()
	m := regexp.MustCompile(`every mail that is sent\s+(http://localhost:\d+)`).FindStringSubmatch(d.said())
	if m == nil {
		t.Fatal("the demo does not say where its mails are")
	}
	return &postbox{at: m[1]}
}

func (b *postbox) read(t testing.TB, path string) string {
	t.Helper()
	res, err := http.Get(b.at + path)
	if err != nil {
		t.Fatal("reading the mailbox: ", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal("reading the mailbox: ", err)
	}
	return html.UnescapeString(string(body))
}

var mailAt = regexp.MustCompile(`href="(/\d+)"`)

// next waits for the next mail that a pattern of its subject and recipient fits, and returns the mail's page.
func (b *postbox) next(t testing.TB, subject, to string) string {
	t.Helper()
	give := time.After(30 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, m := range mailAt.FindAllStringSubmatch(b.read(t, "/"), -1) { // newest first
			page := b.read(t, m[1])
			if strings.Contains(page, subject) && strings.Contains(page, to) {
				return page
			}
		}
		select {
		case <-tick.C:
		case <-give:
			t.Fatalf("no mail to %s about %q arrived:\n%s", to, subject, b.read(t, "/"))
		}
	}
}

// link is the way that a mail offers to a page of ours.
func link(t testing.TB, mail, page string) string {
	t.Helper()
	m := regexp.MustCompile(`https?://[a-z.]+:\d+` + regexp.QuoteMeta(page) + `\?token=[A-Za-z0-9_-]{43}`).FindString(mail)
	if m == "" {
		t.Fatalf("the mail leads to no %s:\n%s", page, mail)
	}
	return m
}

// Issue: each journey in a real browser with a real SMTP hop, in one demo, as its people would go it.
func TestPeopleComeBackIn(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	browser := testenv.Browser(t)
	box := d.postbox(t)
	in := func(t *testing.T, ctx context.Context, tenant, email, password string) {
		t.Helper()
		do(ctx, t, chromedp.Navigate(d.url(tenant, "/auth/login?return_to=/orders")), signIn(email, password), awaitText("h1", "Orders"))
	}
	choose := func(password string) chromedp.Tasks {
		return chromedp.Tasks{chromedp.WaitVisible("#password"), chromedp.SendKeys("#password", password), chromedp.Click("main form button.main")}
	}

	t.Run("a forgotten password is set anew on another browser, and the old session dies", func(t *testing.T) {
		_, old := somebody(t, browser)
		in(t, old, "acme", "ann@buyer.example", "Blue pallet trucks at dawn")
		_, ctx := somebody(t, browser)
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/login")), chromedp.WaitVisible("#email"), chromedp.SendKeys("#email", "ann@buyer.example"),
			chromedp.Click(".forgot a"), awaitText("h1", "Forgotten your password?"))
		var typed string
		do(ctx, t, chromedp.Value("#email", &typed))
		if typed != "ann@buyer.example" {
			t.Errorf("the address that was typed is lost: %q", typed)
		}
		testenv.Inspect(ctx, t, "forgot")
		do(ctx, t, chromedp.Click("main form button.main"), awaitText("h1", "Look into your mailbox"))
		testenv.Inspect(ctx, t, "forgot-sent")
		do(ctx, t, chromedp.Navigate(link(t, box.next(t, "Choose a new password", "ann@buyer.example"), "/auth/reset-password")), awaitText("h1", "Choose a new password"))
		var where string
		do(ctx, t, await(`!location.search.includes("token")`), chromedp.Location(&where))
		if strings.Contains(where, "token") {
			t.Errorf("the link stays in the address bar: %s", where)
		}
		testenv.Inspect(ctx, t, "reset")
		do(ctx, t, choose("short"), awaitText(".problems", "characters"))
		testenv.Inspect(ctx, t, "reset-error")
		do(ctx, t, choose("a lorry full of lemons"), awaitText(".note", "Your new password is saved"))
		testenv.Inspect(ctx, t, "login-after-reset")
		do(old, t, chromedp.Navigate(d.url("acme", "/orders")), awaitText("h1", "Sign in"))
		do(ctx, t, signIn("ann@buyer.example", "a lorry full of lemons"), awaitText("#me", "Ann Buyer"))
		box.next(t, "new password for Acme", "ann@buyer.example")
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/reset-password?token=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")), awaitText("h1", "does not work any more"))
		testenv.Inspect(ctx, t, "dead-link")
	})

	t.Run("the same address in the other tenant is another account", func(t *testing.T) {
		_, ctx := somebody(t, browser)
		do(ctx, t, chromedp.Navigate(d.url("globex", "/auth/forgot-password")), chromedp.WaitVisible("#email"), chromedp.SendKeys("#email", "maria@northwind.example"), chromedp.Click("main form button.main"), awaitText("h1", "Look into"))
		mail := box.next(t, "Choose a new password for Globex", "maria@northwind.example")
		if strings.Contains(mail, "Acme") {
			t.Error("the mail names the other tenant")
		}
		to := link(t, mail, "/auth/reset-password")
		if !strings.HasPrefix(to, d.url("globex", "/")) {
			t.Errorf("the link leads to %s", to)
		}
		// At the other tenant's host the link is nothing.
		do(ctx, t, chromedp.Navigate(strings.Replace(to, "globex", "acme", 1)), awaitText("h1", "does not work any more"))
		do(ctx, t, chromedp.Navigate(to), choose("tulips by the lorry load"), awaitText(".note", "Your new password is saved"))
		other := tab(t, browser) // two companies: the choice is asked for
		do(other, t, chromedp.Navigate(d.url("acme", "/auth/login")), signIn("maria@northwind.example", "Quarterly-Invoices-7"), awaitText("h1", "Which company"))
	})

	t.Run("an unconfirmed address is confirmed without scripts", func(t *testing.T) {
		_, ctx := somebody(t, browser)
		do(ctx, t, emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(d.url("acme", "/auth/login")), signInPlain("new@buyer.example", "Kraft paper by the roll"))
		mail := box.next(t, "Confirm your e-mail address", "new@buyer.example")
		do(ctx, t, chromedp.Navigate(link(t, mail, "/auth/verify-email")), chromedp.WaitVisible("main form button.main"), chromedp.Click("main form button.main"), chromedp.WaitVisible(".note"),
			emulation.SetScriptExecutionDisabled(false), chromedp.Navigate(d.url("acme", "/auth/login")))
		in(t, ctx, "acme", "new@buyer.example", "Kraft paper by the roll")
	})

	t.Run("an invitation is accepted", func(t *testing.T) {
		if out, err := command(t, d.env, "", "user", "invite", "--tenant", "acme", "--email", "ivy@buyer.example", "--name", "Ivy Invited", "--role", "CUSTOMER_USER", "--customer", "C-1003"); err != nil {
			t.Fatal(out)
		}
		_, ctx := somebody(t, browser)
		do(ctx, t, chromedp.Navigate(link(t, box.next(t, "Acme Packaging", "ivy@buyer.example"), "/auth/register")), awaitText("h1", "Welcome, Ivy Invited"))
		testenv.Inspect(ctx, t, "invitation")
		do(ctx, t, choose("ivy on the garden wall"), awaitText(".note", "Your password is saved"))
		in(t, ctx, "acme", "ivy@buyer.example", "ivy on the garden wall")
	})

	t.Run("somebody registers where that is open, and confirms in another browser", func(t *testing.T) {
		_, ctx := somebody(t, browser)
		do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/register")), awaitText("h1", "No account yet?"))
		testenv.Inspect(ctx, t, "registration-closed")
		if out, err := command(t, d.env, "", "policy", "set", "registration", "open", "--tenant", "acme"); err != nil {
			t.Fatal(out)
		}
		open := func(ctx context.Context) { // the policy is felt within two seconds
			t.Helper()
			give := time.Now().Add(20 * time.Second)
			for {
				var there bool
				do(ctx, t, chromedp.Navigate(d.url("acme", "/auth/register")), chromedp.Evaluate(`!!document.querySelector("#customer")`, &there))
				if there {
					return
				}
				if time.Now().After(give) {
					t.Fatal("registration does not open")
				}
			}
		}
		fill := func(ctx context.Context, email string) {
			t.Helper()
			open(ctx)
			do(ctx, t, chromedp.SendKeys("#customer", "C-1003"), chromedp.SendKeys("#name", "Rita Register"), chromedp.SendKeys("#email", email), chromedp.SendKeys("#password", "cardboard by the acre"))
		}
		fill(ctx, "rita@buyer.example")
		testenv.Inspect(ctx, t, "register")
		do(ctx, t, chromedp.Click("main form button.main"), awaitText("h1", "One more step"))
		testenv.Inspect(ctx, t, "registered")
		to := link(t, box.next(t, "Confirm your e-mail address", "rita@buyer.example"), "/auth/verify-email")
		do(ctx, t, chromedp.Navigate(to), awaitText("h1", "Is this your address?"))
		testenv.Inspect(ctx, t, "verify")
		do(ctx, t, chromedp.Click("main form button.main"), awaitText(".note", "confirmed"))
		in(t, ctx, "acme", "rita@buyer.example", "cardboard by the acre")

		_, other := somebody(t, browser)
		fill(other, "rosa@buyer.example")
		do(other, t, chromedp.Click("main form button.main"), awaitText("h1", "One more step"))
		to = link(t, box.next(t, "Confirm your e-mail address", "rosa@buyer.example"), "/auth/verify-email")
		_, phone := somebody(t, browser)
		do(phone, t, chromedp.Navigate(to), awaitText(".note", "another browser"))
		testenv.Inspect(phone, t, "verify-elsewhere")
		do(phone, t, chromedp.Click("main form button.main"), awaitText("h1", "Choose your own password"))
		testenv.Inspect(phone, t, "choose-after-verify")
		do(phone, t, choose("roses in the morning rain"), awaitText("#me", "Rita Register"))
	})

	t.Run("an address is changed, and its old mailbox takes it back", func(t *testing.T) {
		_, ctx := somebody(t, browser)
		in(t, ctx, "globex", "ines@harbour.example", "Warehouse#Dock4-East")
		do(ctx, t, chromedp.Navigate(d.url("globex", "/auth/account/email")), awaitText("h1", "Change your"))
		testenv.Inspect(ctx, t, "address")
		do(ctx, t, chromedp.SendKeys("#email", "ines@elsewhere.example"), chromedp.SendKeys("#current_password", "Warehouse#Dock4-East"), chromedp.Click("main form button.main"), awaitText("h1", "Look into your new mailbox"))
		testenv.Inspect(ctx, t, "address-sent")
		do(ctx, t, chromedp.Navigate(link(t, box.next(t, "Globex Logistics", "ines@elsewhere.example"), "/auth/verify-email")), awaitText("h1", "Is this your address?"), chromedp.Click("main form button.main"), awaitText(".note", "Your new e-mail address is confirmed"))
		_, home := somebody(t, browser)
		do(home, t, chromedp.Navigate(link(t, box.next(t, "/auth/undo", "ines@harbour.example"), "/auth/undo")), awaitText("h1", "Take the change back"))
		testenv.Inspect(home, t, "undo")
		do(home, t, chromedp.Click("main form button.main"), awaitText("h1", "The change is taken back"))
		testenv.Inspect(home, t, "undone")
		do(ctx, t, chromedp.Navigate(d.url("globex", "/orders")), awaitText("h1", "Sign in"))
		do(home, t, chromedp.Navigate(link(t, box.next(t, "choose a new password", "ines@harbour.example"), "/auth/reset-password")), choose("a quiet harbour at night"), awaitText(".note", "Your new password is saved"))
		in(t, home, "globex", "ines@harbour.example", "a quiet harbour at night")
	})

	t.Run("this was not me", func(t *testing.T) {
		_, thief := somebody(t, browser)
		do(thief, t, emulation.SetUserAgentOverride("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"))
		in(t, thief, "acme", "ivy@buyer.example", "ivy on the garden wall")
		_, ivy := somebody(t, browser)
		do(ivy, t, chromedp.Navigate(link(t, box.next(t, "New sign-in", "ivy@buyer.example"), "/auth/not-me")), awaitText("h1", "This was not you?"))
		testenv.Inspect(ivy, t, "not-me")
		do(ivy, t, chromedp.Click("main form button.main"), awaitText("h1", "You are safe again"))
		testenv.Inspect(ivy, t, "not-me-done")
		do(thief, t, chromedp.Navigate(d.url("acme", "/orders")), awaitText("h1", "Sign in"), signIn("ivy@buyer.example", "ivy on the garden wall"), awaitText(".problems", "not correct"))
		do(ivy, t, chromedp.Navigate(link(t, box.next(t, "choose a new password", "ivy@buyer.example"), "/auth/reset-password")), choose("ivy over the whole house"), awaitText(".note", "saved"))
		in(t, ivy, "acme", "ivy@buyer.example", "ivy over the whole house")
	})
}

// signInPlain fills the form where no script runs.
func signInPlain(email, password string) chromedp.Tasks {
	return chromedp.Tasks{chromedp.WaitVisible(`#email`), chromedp.SendKeys(`#email`, email), chromedp.SendKeys(`#password`, password), chromedp.Click(`form[action$="/login"] button.main`), chromedp.WaitVisible(`form[action$="/verify-email"]`)}
}

// REC-06 ★: whatever a request calls the portal, the link in the mail leads to the tenant's own host.
func TestNoRequestHasASayInTheLinkOfAMail(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	box := d.postbox(t)
	for i, h := range []map[string]string{
		{"X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "666"},
		{"Forwarded": "host=evil.test;proto=https", "X-Original-Host": "evil.test", "X-Host": "evil.test"},
		{"X-Forwarded-Prefix": "//evil.test", "X-Original-URL": "https://evil.test/", "X-Rewrite-URL": "https://evil.test/"},
	} {
		email := []string{"ann@buyer.example", "first@buyer.example", "maria@northwind.example"}[i]
		req, err := http.NewRequest(http.MethodPost, d.url("acme", "/auth/forgot-password"), strings.NewReader(url.Values{"email": {email}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for k, v := range h {
			req.Header.Set(k, v)
		}
		if i == 1 {
			req.Host = "acme.portal.localhost:" + d.port // another host of the tenant's own
		}
		res, err := client(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		mail := box.next(t, "Choose a new password", email)
		if to := link(t, mail, "/auth/reset-password"); !strings.HasPrefix(to, d.url("acme", "/auth/")) || strings.Contains(mail, "evil.test") {
			t.Errorf("with %v the link leads to %s", h, to)
		}
	}
}
