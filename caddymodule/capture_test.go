package caddymodule

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// keeping is a world that can keep mails, and two tenants of it.
func keeping(t *testing.T) (w *world, house *testenv.House, a, b portal.Tenant) {
	t.Helper()
	db := testenv.FreshDatabase(t)
	house = testenv.NewHouse(t, testenv.Plan{DB: &db})
	w = &world{keys: house.Keys, store: house.Store}
	now := func() time.Time { return house.Clock.Now() }
	w.clock.Store(&now)
	return w, house, db.Tenant(t), db.Tenant(t)
}

// wicked is a mail in which somebody's data tries to be more than text.
func wicked(p *post, n portal.Tenant) mail.Message {
	m := testMail(p, n, "ann@buyer.example", testenv.NewClock().Now())
	m.Tenant, m.Kind = n.ID, portal.LetterRecover
	m.Subject = `A link</title><script>alert(1)</script>`
	m.Text = "Open https://acme.example/auth/reset-password?token=Zq8 \x1b[2J</pre><script>alert(2)</script>\n"
	m.HTML = `<p>Hello</p><script>alert(3)</script>`
	return m
}

func TestACapturedMailIsSealedAndShownToWhoeverHasTheKeys(t *testing.T) {
	t.Parallel()
	w, house, acme, globex := keeping(t)
	p, err := posted(t, "from hello@portal.example\n capture trial\n tenant other {\n capture trial\n }")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Send(t.Context(), wicked(p, acme)); !errors.Is(err, errNothingKeeps) || errors.Is(err, mail.ErrRejected) {
		t.Errorf("before anything runs: %v", err)
	}
	if n := len(p.keepers()); n != 2 {
		t.Fatalf("%d guests keep", n)
	}
	for _, k := range p.keepers() {
		k.keepBy(w.keep)
	}
	if err := p.Send(t.Context(), wicked(p, acme)); err != nil {
		t.Fatal(err)
	}
	var row string
	house.DB.Row(t, `select c::text from portalgate.captured c`, nil, &row)
	for _, plain := range []string{"ann@", "reset-password", "Zq8", "Hello", "link"} {
		if strings.Contains(row, plain) {
			t.Errorf("the row shows %q: %s", plain, row)
		}
	}
	list, err := captured(t.Context(), w.store, w.keys, acme.ID, "", w.now())
	if err != nil || len(list) != 1 || list[0].To != "ann@buyer.example" || !strings.HasPrefix(list[0].Subject, "A link") || list[0].Text != "" {
		t.Fatalf("%+v, %v", list, err)
	}
	one, err := captured(t.Context(), w.store, w.keys, acme.ID, list[0].ID, w.now())
	if err != nil || len(one) != 1 || !strings.Contains(one[0].Text, "token=Zq8") || one[0].HTML == "" || one[0].From != "<hello@portal.example>" {
		t.Errorf("%+v, %v", one, err)
	}
	for _, id := range []string{list[0].ID, "nonsense"} { // the other tenant's, and nobody's
		if none, err := captured(t.Context(), w.store, w.keys, globex.ID, id, w.now()); err != nil || len(none) != 0 {
			t.Errorf("%s: %+v, %v", id, none, err)
		}
	}
	// A row that was moved to another tenant does not open there.
	house.DB.Exec(t, `update portalgate.captured set tenant_id = $1`, globex.ID)
	if moved, err := captured(t.Context(), w.store, w.keys, globex.ID, "", w.now()); err != nil || len(moved) != 1 || moved[0].Problem == "" || moved[0].To != "" {
		t.Errorf("%+v, %v", moved, err)
	}
	house.Clock.Advance(store.CapturedFor)
	if old, err := captured(t.Context(), w.store, w.keys, acme.ID, "", w.now()); err != nil || len(old) != 0 {
		t.Errorf("after a week: %+v, %v", old, err)
	}
	if err := w.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	var n int
	if house.DB.Row(t, `select count(*) from portalgate.captured`, nil, &n); n != 0 {
		t.Errorf("%d are left by the sweep", n)
	}
}

func TestThePageOfCapturedMailsRunsNothingOfThem(t *testing.T) {
	t.Parallel()
	w, _, acme, _ := keeping(t)
	p, err := posted(t, "from hello@portal.example\n capture trial")
	if err != nil {
		t.Fatal(err)
	}
	p.keepers()[0].keepBy(w.keep)
	if err := p.Send(t.Context(), wicked(p, acme)); err != nil {
		t.Fatal(err)
	}
	list, err := captured(t.Context(), w.store, w.keys, acme.ID, "", w.now())
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	ask := func(method, host, query string) (*httptest.ResponseRecorder, int) {
		t.Helper()
		r := httptest.NewRequest(method, "http://"+host+"/portalgate/mail?"+query, nil)
		out := httptest.NewRecorder()
		err := mailPage(out, r, func() []*world { return []*world{w} })
		var said caddy.APIError
		if errors.As(err, &said) {
			return out, said.HTTPStatus
		}
		if err != nil {
			t.Fatal(err)
		}
		return out, out.Code
	}
	mailOf := "tenant=" + acme.Slug + "&id=" + list[0].ID
	for query, want := range map[string]string{"": acme.Slug, "tenant=" + acme.Slug: "A link&lt;/title&gt;&lt;script&gt;", mailOf: "token=Zq8"} {
		out, code := ask("GET", "localhost:2019", query)
		body := out.Body.String()
		if code != 200 || !strings.Contains(body, want) || strings.Contains(body, "<script") {
			t.Errorf("%q: %d\n%s", query, code, body)
		}
		if h := out.Header(); h.Get("Content-Security-Policy") != mailPolicy || h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%q: %v", query, h)
		}
	}
	out, code := ask("GET", "127.0.0.1:2019", mailOf+"&part=html")
	if policy := out.Header().Get("Content-Security-Policy"); code != 200 || !strings.Contains(out.Body.String(), "<p>Hello</p>") || !strings.Contains(policy, "; sandbox") || strings.Contains(policy, "allow-scripts") || strings.Contains(policy, "allow-same-origin") {
		t.Errorf("the frame: %d, %s", code, policy)
	}
	for want, ways := range map[int][][3]string{
		http.StatusNotFound:           {{"GET", "localhost", "tenant=nobody"}, {"GET", "localhost", "tenant=" + acme.Slug + "&id=1"}},
		http.StatusMethodNotAllowed:   {{"POST", "localhost", mailOf}, {"DELETE", "localhost", mailOf}},
		http.StatusMisdirectedRequest: {{"GET", "evil.example", mailOf}, {"GET", "localhost.evil.example:2019", mailOf}},
	} {
		for _, way := range ways {
			if out, code := ask(way[0], way[1], way[2]); code != want || strings.Contains(out.Body.String(), "Zq8") {
				t.Errorf("%v: %d", way, code)
			}
		}
	}
}

func TestACapturedMailGivesTheTerminalNoOrders(t *testing.T) {
	t.Parallel()
	m := capturedMail{From: "a@b.example", To: "ann@buyer.example", Subject: "x\x1b]0;y\a", Text: "line\r\n\tnext\u009b2J\n"}
	var out strings.Builder
	if err := showCaptured(&out, m, false); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.ContainsAny(s, "\x1b\a\r\u009b") || !strings.Contains(s, "line\n\tnext2J") {
		t.Errorf("%q", s)
	}
}
