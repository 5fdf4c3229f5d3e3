package e2e

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/testenv"
)

// A database that answers, and slowly: the questions of one request together are waited for as long as one is, a
// refusal says when to come back, nobody is signed out, and who had typed the right password has paid nothing.
func TestASlowDatabaseIsWaitedForTwoSecondsInAllAndNotForEachQuestion(t *testing.T) {
	t.Parallel()
	b := newBroken(t)
	b.try(t, client(t), "bob@buyer.example", "wrong")
	var purse []byte // by which Bob's failures are known
	b.site.house.DB.Row(t, `select account from portalgate.lockouts`, nil, &purse)
	bob := client(t)
	if res := b.try(t, bob, "bob@buyer.example", testenv.Password); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("signing in: %s", res.Status)
	}
	form := func(c *http.Client, path string, fields url.Values) func() *http.Response {
		return func() *http.Response { return post(t, c, b.url(path), fields) }
	}
	page := func(c *http.Client, path string) func() *http.Response {
		return func() *http.Response { return get(t, c, b.url(path)) }
	}
	right := url.Values{"email": {"bob@buyer.example"}, "password": {testenv.Password}}
	for _, each := range []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond} {
		renewed := client(t) // Ann's browser, whose access token is gone
		for _, k := range b.ann.Jar.Cookies(address(t, b.gateway)) {
			if k.Name != "portalgate" {
				renewed.Jar.SetCookies(address(t, b.gateway), []*http.Cookie{k})
			}
		}
		b.postgres.Slow(each / 2) // there, and back
		for _, c := range []struct {
			what  string
			ask   func() *http.Response
			among []int
		}{
			{"signing in", form(client(t), "/auth/login", right), []int{303, 503}},
			{"a wrong password", form(client(t), "/auth/login", url.Values{"email": {"nobody@buyer.example"}, "password": {"wrong"}}), []int{401, 503}},
			{"signing in where one is signed in", form(bob, "/auth/login", right), []int{303, 503}},
			{"another password", form(b.ann, "/auth/account/password", url.Values{"current_password": {"wrong"}, "password": {"A quite new phrase 12"}}), []int{401, 503}},
			{"the account page", page(b.ann, "/auth/account"), []int{200, 503}},
			{"the list of sessions", page(b.ann, "/auth/account/sessions"), []int{200, 503}},
			{"the trail", page(b.ann, "/auth/api/activity"), []int{200, 503}},
			{"ending other sessions", form(b.ann, "/auth/account/sessions", url.Values{"action": {"revoke_others"}}), []int{303, 503}},
			{"a page of the portal", page(b.ann, "/orders"), []int{200}},
			{"renewing", page(renewed, "/orders"), []int{200, 503}},
		} {
			began := time.Now()
			res := c.ask()
			took := time.Since(began)
			t.Logf("%s an answer: %s is answered %s after %s", each, c.what, res.Status, took.Round(10*time.Millisecond))
			ok := false
			for _, s := range c.among {
				ok = ok || res.StatusCode == s
			}
			if !ok {
				t.Errorf("%s an answer: %s is answered %s", each, c.what, res.Status)
			}
			if took > 3*time.Second { // two, the moment of release, a password check, and a busy machine
				t.Errorf("%s an answer: %s took %s", each, c.what, took.Round(time.Millisecond))
			}
			if res.StatusCode == http.StatusServiceUnavailable && (res.Header.Get("Retry-After") == "" || len(res.Header["Set-Cookie"]) > 0) {
				t.Errorf("%s an answer: %s is refused with Retry-After %q and cookies %v", each, c.what, res.Header.Get("Retry-After"), res.Header["Set-Cookie"])
			}
		}
		b.until(t, "purse of Bob's with nothing in it", func() bool {
			var failures int
			b.site.house.DB.Row(t, `select coalesce(sum(failures), 0) from portalgate.lockouts where account = $1`, []any{purse}, &failures)
			return failures == 0
		})
		b.postgres.Heal()
		for who, c := range map[string]*http.Client{"Ann": b.ann, "the browser that renews": renewed} {
			if got := status(t, c, b.url("/orders")); got != http.StatusOK {
				t.Errorf("after %s an answer %s is answered %d", each, who, got)
			}
		}
	}
	b.until(t, "sign-in that works again", func() bool { return b.signIn(t).StatusCode == http.StatusSeeOther })
}
