package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/demo/sink"
	"github.com/portalgate/portalgate/internal/testenv"
)

// TOK-01 ★, AUD-01 ★: what is mailed stands nowhere but in the mail. The database is dumped, and Redis listened to, while
// letters wait for a mail server that is away, while their links wait to be opened, and after they were; the log is at
// its most talkative, and an access log is written.
func TestNoLinkOfAMailIsWrittenAnywhere(t *testing.T) {
	t.Parallel()
	h := newHunt()
	s := newSite(t)
	redis := testenv.LoneRedis(t)
	h.monitor(t, redis.Socket(), "of-redis-a-longer-one-11231")
	s.redis = strings.Replace(redis.URL(), "unix://", "unix://:of-redis-a-longer-one-11231@", 1)
	if strings.HasPrefix(redis.URL(), "redis://") {
		s.redis = strings.Replace(redis.URL(), "redis://", "redis://:of-redis-a-longer-one-11231@", 1)
	}
	box := testenv.Mailbox(t)
	s.caddy = "debug"
	s.global = fmt.Sprintf("mail {\n\t\t\tfrom \"Acme Portal <no-reply@acme.example>\"\n\t\t\tsmtp %s\n\t\t}", box.Addr())
	g := s.start(t)
	operate := func(args ...string) {
		t.Helper()
		if out, err := command(t, []string{"PORTALGATE_DATABASE_URL=" + s.house.DB.OperatorURL, "PORTALGATE_KEYRING=" + s.keyring}, "", append(args, "--tenant", s.tenant.Slug)...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	operate("policy", "set", "registration", "open")
	box.Behave(sink.Behaviour{Step: sink.AtSender, Code: 451, Text: "4.3.0 come back later"})

	const reset, registered, next = "seven crates of lanterns", "nineteen crates of ropes", "another crate of sails"
	for name, p := range map[string]string{"a password set with a link": reset, "a registration's password": registered, "a further password": next} {
		h.secret(name, p)
	}
	ann, rita := h.client(t), h.client(t)
	if res := post(t, ann, g.url("/auth/login"), url.Values{"email": {"ann@buyer.example"}, "password": {testenv.Password}}); res.StatusCode != http.StatusSeeOther {
		t.Fatal("signing in: ", res.Status)
	}
	asked := func(what string, c *http.Client, path string, form url.Values) {
		t.Helper()
		if res := post(t, c, g.url(path), form); res.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s: %s\n%s", what, res.Status, readAll(t, res))
		}
	}
	g.until(t, "registration that is open", func() bool {
		return post(t, rita, g.url("/auth/register"), url.Values{"email": {"rita@buyer.example"}, "name": {"Rita"}, "password": {registered}}).StatusCode == http.StatusSeeOther
	})
	asked("asking for a reset", h.client(t), "/auth/forgot-password", url.Values{"email": {"bob@buyer.example"}})
	asked("asking for another address", ann, "/auth/account/email", url.Values{"email": {"anna@buyer.example"}, "current_password": {testenv.Password}})
	g.until(t, "letters that could not leave", func() bool {
		var n int
		s.house.DB.Row(t, `select count(*) from portalgate.outbox where state = 'waiting' and tries > 0`, nil, &n)
		return n >= 3
	})
	h.place("the database while letters wait", dump(t, s.house.DB.RootURL))

	box.Behave(sink.Behaviour{})
	operate("mail", "retry", "--all")
	links := map[string]string{}
	token := regexp.MustCompile(`/auth/[a-z-]+\?token=([A-Za-z0-9_-]{43})`)
	noted := func(to string, n int) string {
		t.Helper()
		m := box.Await(t, to, n)
		found := token.FindStringSubmatch(m.Text)
		if found == nil {
			t.Fatalf("no link in the mail to %s:\n%s", to, m.Text)
		}
		h.secret("a mailed link", found[1])
		links[to] = found[0]
		return found[1]
	}
	verify, recovery, address := noted("rita@buyer.example", 1), noted("bob@buyer.example", 1), noted("anna@buyer.example", 1)
	h.place("the database while links wait", dump(t, s.house.DB.RootURL))
	reader := client(t) // the page of a link holds it, in the form that it is for
	for _, link := range links {
		res, err := reader.Get(g.url(link))
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("opening %s: %v %v", link, res, err)
		}
		res.Body.Close()
	}
	asked("confirming a registration", rita, "/auth/verify-email", url.Values{"token": {verify}})
	asked("a reset", h.client(t), "/auth/reset-password", url.Values{"token": {recovery}, "password": {reset}})
	asked("confirming an address", ann, "/auth/verify-email", url.Values{"token": {address}})
	undo := noted("ann@buyer.example", len(box.To("ann@buyer.example"))+1)
	disown := noted("bob@buyer.example", 2)
	asked("an undo", h.client(t), "/auth/undo", url.Values{"token": {undo}})
	asked("disowning", h.client(t), "/auth/not-me", url.Values{"token": {disown}})
	again := noted("bob@buyer.example", 3)
	asked("a reset after disowning", h.client(t), "/auth/reset-password", url.Values{"token": {again}, "password": {next}})

	h.place("the database at the end", dump(t, s.house.DB.RootURL))
	h.place("the log", []byte(g.said()))
	admin := g.adminClient(t)
	for _, path := range []string{"/config/", "/metrics"} {
		res, err := admin.Get("http://127.0.0.1" + path)
		if err != nil {
			t.Fatal(err)
		}
		h.place("the admin endpoint's "+path, []byte(readAll(t, res)))
		res.Body.Close()
	}
	if n := len(h.secrets); n < 10 {
		t.Errorf("only %d secrets were used", n)
	}
	for _, name := range []string{"the database while letters wait", "the database while links wait"} {
		if !strings.Contains(string(h.places[name]), "portalgate.tickets") {
			t.Errorf("%s has no tickets; the hunt shows nothing", name)
		}
	}
	t.Logf("%d secrets looked for in %d places", len(h.secrets), len(h.places))
	for _, f := range h.found() {
		t.Error(f)
	}
}
