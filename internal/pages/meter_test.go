package pages_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/testenv"
)

// The meter comes with the first letter, says by words and not by colour alone what the server will say, stops nobody, and
// sends nothing anywhere.
func TestTheMeterSaysWhileTypingWhatTheServerWillSay(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{Email: "ann.buyer@harbour.example", MustChange: true})
	ann := f.guest(t)
	ann.signIn("ann.buyer@harbour.example", testenv.Password)
	page := ann.get("/auth/account/password")
	ctx := window(t)
	console := testenv.Listen(ctx, t)
	show(ctx, t, f.at(f.tenant, f.keep("new-password", page)))
	run := func(what string, actions ...chromedp.Action) {
		t.Helper()
		if err := chromedp.Run(ctx, actions...); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	var scripts int
	loaded := chromedp.Evaluate(`performance.getEntriesByType("resource").filter((e) => e.name.includes("/meter-")).length`, &scripts)
	run("before a letter", chromedp.WaitVisible("button.show"), loaded)
	if scripts != 0 {
		t.Error("the meter is loaded before anybody types")
	}
	run("the first letter", chromedp.SendKeys("#password", "p"), chromedp.WaitVisible(`#password-strength[data-level="1"]`), loaded)
	if scripts != 1 {
		t.Error("the meter is not loaded by the first letter")
	}
	var requests, after int
	count := `performance.getEntriesByType("resource").length`
	run("counting", chromedp.Evaluate(count, &requests))

	h, err := password.New(password.Config{})
	if err != nil {
		t.Fatal(err)
	}
	rule := password.Policy{Min: 8, Max: 128, Score: 3, Context: []string{"ann.buyer@harbour.example", "Ann", "Buyer", f.tenant.Name, f.tenant.Hosts[0], "portalgate", "customer portal"}}
	for _, text := range []string{
		"Sunset7", "passwordpassword", "P@ssw0rdP@ssw0rd", "123456789012345", "correct horse", "acmeacmeacmeacme", "Acme Packaging 2026", "ann.buyer", "aaaaaaaaaaaaaaaa", "qwertyuiop",
		"abcdefgh12345678", "84719206", "Blue pallet trucks at dawn", "kM9$vL2x", "correct horse battery staple", "日本語の長い合言葉", "aaaa bbbb cccc dddd", strings.Repeat("long ", 25),
	} {
		typed, err := password.Prepare(text)
		if err != nil {
			t.Fatal(err)
		}
		verdict := h.Judge(t.Context(), rule, typed)
		var said struct {
			Level, Text string
			Disabled    bool
		}
		// A manager or a paste fills the field at once.
		run(text, chromedp.SetValue("#password", text), chromedp.Evaluate(`new Promise((done) => {
			const line = document.getElementById("password-strength"), input = document.getElementById("password");
			line.dataset.level = "";
			new MutationObserver((_, o) => { if (line.dataset.level) { o.disconnect(); setTimeout(() => done({ Level: line.dataset.level, Text: line.textContent, Disabled: document.querySelector("button.main").disabled }), 0); } })
				.observe(line, { attributes: true });
			input.dispatchEvent(new Event("input", { bubbles: true }));
		})`, &said, testenv.Awaited))
		if verdict == nil && said.Level < "3" || verdict != nil && (said.Level > "2" || said.Text != password.Reason(verdict)) {
			t.Errorf("%q: the meter says %s, %q, and the server %v", text, said.Level, said.Text, verdict)
		}
		if said.Disabled || len(said.Text) < 10 {
			t.Errorf("%q: %+v", text, said)
		}
	}
	run("counting", chromedp.Evaluate(count, &after))
	if after != requests {
		t.Errorf("%d more requests were made while typing", after-requests)
	}
	testenv.Inspect(ctx, t, "new-password-strong")
	run("a common one", chromedp.Evaluate(`document.getElementById("password").value = ""`, nil), chromedp.SendKeys("#password", "passwordpassword"), chromedp.WaitVisible(`#password-strength[data-level="1"]`))
	testenv.Inspect(ctx, t, "new-password-weak")
	if lines := console.Said(); len(lines) > 0 {
		t.Errorf("the console said %v", lines)
	}
}
