package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/testenv"
)

// admin is where commands ask this gateway.
func (g *gateway) admin() string { return "unix/" + filepath.Join(filepath.Dir(g.file), "admin.sock") }

// try posts a sign-in with a browser.
func (g *gateway) try(t testing.TB, c *http.Client, email, password string) *http.Response {
	t.Helper()
	return post(t, c, g.url("/auth/login"), url.Values{"email": {email}, "password": {password}})
}

var referenceOnPage = regexp.MustCompile(`\b[2-9A-HJ-NP-Z]{8}\b`)

// A spray, and then the telephone rings: what the person sees, what the operator is told, and what helps. Two gateways
// share a Redis; whatever one counts the other knows.
func TestAnOperatorFindsOutWhoIsStoppedByWhichRuleAndHelps(t *testing.T) {
	s := newSite(t)
	s.redis = testenv.Redis(t)
	one, two := s.start(t), s.start(t)
	known := one.signedIn(t)
	slug := s.tenant.Slug
	as := func(t testing.TB, args ...string) string {
		t.Helper()
		// No gateway answers where Caddy's admin endpoint is by default.
		out, err := command(t, []string{"PORTALGATE_DATABASE_URL=" + s.house.DB.OperatorURL, "CADDY_ADMIN=localhost:1"}, "", args...)
		if err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return out
	}
	has := func(t testing.TB, out string, parts ...string) {
		t.Helper()
		for _, p := range parts {
			if !strings.Contains(out, p) {
				t.Errorf("it does not say %q:\n%s", p, out)
			}
		}
	}
	has(t, as(t, "limits", "list", "--admin", one.admin()), "no limit stands in anybody's way")

	for i := range 10 {
		g := []*gateway{one, two}[i%2]
		if res := g.try(t, client(t), fmt.Sprintf("nobody%d@buyer.example", i), "Spring2026!"); res.StatusCode != http.StatusUnauthorized {
			t.Fatalf("guess %d is answered %s", i, res.Status)
		}
	}
	var reference string
	for i, g := range []*gateway{one, two} {
		res := g.try(t, client(t), "ann@buyer.example", testenv.Password)
		page := readAll(t, res)
		if res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" || !strings.HasPrefix(res.Header.Get("RateLimit"), `"limit";r=0;t=`) {
			t.Fatalf("a new browser at gateway %d is answered %s, %v", i, res.Status, res.Header)
		}
		has(t, page, "Please try again at", "A browser in which you have signed in before works as usual")
		if strings.Contains(page, "failures_network") || strings.Contains(page, "127.0.0.1") {
			t.Errorf("the page says which rule it was:\n%s", page)
		}
		if i == 0 {
			reference = referenceOnPage.FindString(page[strings.Index(page, "<main"):])
		}
		if res := g.try(t, known, "ann@buyer.example", testenv.Password); res.StatusCode != http.StatusSeeOther {
			t.Fatalf("the known browser at gateway %d is answered %s", i, res.Status)
		}
	}

	t.Run("why, by the reference of the page", func(t *testing.T) {
		has(t, as(t, "why", strings.ToLower(reference), "--admin", one.admin()), "stops", "failures_network at "+slug, "network 127.0.0.1", "until 20",
			"10 accounts that failed", "helps: portalgate limits clear --tenant "+slug+" --network 127.0.0.1", "tell them: Several sign-ins from your network have failed")
		has(t, as(t, "why", reference, "--admin", two.admin()), "no gateway that was asked remembers "+reference)
		has(t, as(t, "why", reference, "--admin", two.admin(), "--admin", one.admin()), "failures_network")
	})
	t.Run("why, by the address, which every gateway knows", func(t *testing.T) {
		for _, g := range []*gateway{one, two} {
			var out struct {
				About string `json:"about"`
				Asked bool   `json:"gateways_asked"`
				Found []struct {
					Stops   bool
					Rule    string
					Tenant  string
					Until   string
					Command string
				}
			}
			if err := json.Unmarshal([]byte(as(t, "why", "127.0.0.1", "--json", "--admin", g.admin())), &out); err != nil {
				t.Fatal(err)
			}
			if !out.Asked || out.About != "address" || len(out.Found) != 1 || !out.Found[0].Stops || out.Found[0].Rule != "failures_network" || out.Found[0].Tenant != slug || out.Found[0].Until == "" || out.Found[0].Command == "" {
				t.Errorf("%+v", out)
			}
		}
		has(t, as(t, "why", "192.0.2.1", "--admin", one.admin()), "no limit stands in the way of 192.0.2.1")
	})
	t.Run("limits list", func(t *testing.T) {
		has(t, as(t, "limits", "list", "--rules", "--admin", one.admin()), "failures_network at "+slug+", network 127.0.0.1", "sign_in_flood", "answers strangers later", "for 15m, then twice as long each time within a day, 2h at most")
	})
	t.Run("a reload to other settings resets no limit", func(t *testing.T) {
		s.global = "sessions_per_user 4\n\t\tlimits {\n\t\t\tnetwork 20\n\t\t}"
		one.reload(t)
		if res := one.try(t, client(t), "bob@buyer.example", testenv.Password); res.StatusCode != http.StatusTooManyRequests {
			t.Errorf("after a reload to another number a new browser is answered %s", res.Status)
		}
		s.global = ""
		one.reload(t)
		has(t, as(t, "why", reference, "--admin", one.admin()), "failures_network at "+slug)
	})
	t.Run("limits clear", func(t *testing.T) {
		has(t, as(t, "limits", "clear", "--tenant", slug, "--network", "127.0.0.1", "--operator", "olga", "--reason", "their router was replaced", "--admin", two.admin()), "is forgotten")
		if res := one.try(t, client(t), "bob@buyer.example", testenv.Password); res.StatusCode != http.StatusSeeOther {
			t.Errorf("after clearing a new browser is answered %s", res.Status)
		}
		has(t, as(t, "why", reference, "--admin", one.admin()), "note", "that is over")
		var who, why, network string
		s.house.DB.Row(t, `select operator, note, facts->>'network' from portalgate.events where tenant_id = $1 and verb = 'LIMITS_CLEARED'`, []any{s.tenant.ID}, &who, &why, &network)
		if who != "olga" || why != "their router was replaced" || network != "127.0.0.1" {
			t.Errorf("the trail says %q, %q, %q", who, why, network)
		}
	})
	t.Run("limits allow is felt on every gateway within two seconds", func(t *testing.T) {
		for i := range 10 {
			one.try(t, client(t), fmt.Sprintf("nobody%d@buyer.example", i), "Spring2026!")
		}
		n := 0
		answers := func(want int) {
			t.Helper()
			began := time.Now()
			for _, g := range []*gateway{one, two} {
				g.until(t, fmt.Sprint("answer ", want), func() bool {
					n++
					return g.try(t, client(t), fmt.Sprintf("somebody%d@buyer.example", n), "Spring2026!").StatusCode == want
				})
			}
			if took := time.Since(began); took > 4*time.Second { // two gateways, each asked until it knows
				t.Errorf("it took %s", took)
			}
		}
		answers(http.StatusTooManyRequests)
		has(t, as(t, "limits", "allow", "--tenant", slug, "127.0.0.1", "--reason", "head office"), "leave 127.0.0.1/32 alone at "+slug)
		answers(http.StatusUnauthorized)
		has(t, as(t, "limits", "allow", "--tenant", slug, "127.0.0.1"), "on the list of "+slug+" already")
		has(t, as(t, "limits", "list", "--admin", one.admin()), "leave 127.0.0.1/32 alone at "+slug)
		has(t, as(t, "why", "127.0.0.1", "--admin", one.admin()), "on the list of offices")
		has(t, as(t, "limits", "allow", "--tenant", slug, "127.0.0.1/32", "--remove"), "hold again")
		answers(http.StatusTooManyRequests)
	})
	t.Run("why, by the e-mail address, with a gateway and without", func(t *testing.T) {
		as(t, "limits", "clear", "--tenant", slug, "--network", "127.0.0.1", "--admin", two.admin())
		for range 6 {
			one.try(t, client(t), "bob@buyer.example", "Spring2026!")
		}
		for _, more := range [][]string{{"--admin", one.admin()}, nil} {
			has(t, as(t, append([]string{"why", "Bob@buyer.example", "--tenant", slug}, more...)...), "stops", "lockout at "+slug, "sign-in pauses in browsers that are new to the account for ",
				"helps: portalgate user unlock --tenant "+slug+" --email bob@buyer.example", "tell them: After several wrong passwords")
			has(t, as(t, append([]string{"limits", "list"}, more...)...), "bob@buyer.example: sign-in pauses")
		}
		if log := strings.ToLower(one.said()); strings.Contains(log, "bob@buyer") || strings.Contains(log, "bob%40buyer") {
			t.Error("the log has the address that was asked about")
		}
		has(t, as(t, "why", "bob@buyer.example"), "no gateway was asked: this is what the database knows")
		has(t, as(t, "limits", "clear", "--tenant", slug, "--email", "bob@buyer.example"), "is forgotten")
		has(t, as(t, "why", "bob@buyer.example", "--admin", one.admin()), "note", "is in order")
		has(t, as(t, "why", "stranger@buyer.example", "--admin", one.admin()), "no tenant knows anybody")
	})
	t.Run("why, by the session", func(t *testing.T) {
		var id string
		s.house.DB.Row(t, `select id::text from portalgate.sessions where tenant_id = $1 and ended_at is null order by created_at desc limit 1`, []any{s.tenant.ID}, &id)
		has(t, as(t, "why", id, "--admin", one.admin()), "note", "is open")
		as(t, "user", "revoke-sessions", "--tenant", slug, "--email", "ann@buyer.example")
		as(t, "user", "revoke-sessions", "--tenant", slug, "--email", "bob@buyer.example")
		has(t, as(t, "why", id), "stops", "session_operator", "an operator ended it", "tell them: Please sign in again.")
	})
	t.Run("errors say what to do and are no success", func(t *testing.T) {
		for args, want := range map[string]string{
			"why ann":                                "is neither the reference",
			"why a@b@c":                              "not one plain e-mail address",
			"why 10.0.0.0/8":                         "is neither the reference",
			"why " + reference:                       "name one with --admin",
			"why ann@buyer.example --tenant nowhere": `there is no tenant "nowhere"`,
			"why 127.0.0.1 --admin localhost:1":      "the gateway at localhost:1",
			"why 127.0.0.1 --admin nonsense":         `"nonsense" is no admin endpoint`,
			"why 127.0.0.1":                          "what stands in the way of a network is known to the gateways alone",
			"why 127.0.0.1 --tenant nowhere --admin " + one.admin():                           `there is no tenant "nowhere"`,
			"limits clear --tenant " + slug:                                                   "give --network or --email",
			"limits clear --network 127.0.0.1":                                                "give --tenant",
			"limits clear --tenant " + slug + " --network 127.0.0.1":                          "name one with --admin",
			"limits clear --tenant " + slug + " --network 10.1.0.0/16 --admin " + one.admin(): "IPv6 by /64",
			"limits allow --tenant " + slug + " 10.0.0.0/8":                                   "wider than an office",
			"limits allow --tenant " + slug + " here":                                         "is not a network",
			"limits allow 10.0.0.0/24":                                                        "give --tenant",
			"limits":                                                                          "one of: list, clear, allow",
		} {
			out, err := command(t, []string{"PORTALGATE_DATABASE_URL=" + s.house.DB.OperatorURL, "CADDY_ADMIN=localhost:1"}, "", strings.Fields(args)...)
			if err == nil || !strings.Contains(out, want) {
				t.Errorf("%s: %v; it does not say %q:\n%s", args, err, want, out)
			}
		}
	})
	t.Run("only JSON changes anything, and only a POST", func(t *testing.T) {
		c := one.adminClient(t)
		order := fmt.Sprintf(`{"tenant":%q,"network":"127.0.0.1"}`, slug)
		for _, r := range []struct {
			method, path, kind string
			want               int
		}{
			{"GET", "/portalgate/limits/clear", "", 405}, {"POST", "/portalgate/limits/clear", "text/plain", 415}, {"POST", "/portalgate/limits/clear", "application/x-www-form-urlencoded", 415},
			{"GET", "/portalgate/why?q=bob@buyer.example", "", 405}, {"POST", "/portalgate/why", "text/plain", 415}, {"POST", "/portalgate/limits/clear", "application/json", 200},
		} {
			req, err := http.NewRequest(r.method, "http://127.0.0.1"+r.path, strings.NewReader(order))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", r.kind)
			res, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != r.want {
				t.Errorf("%s %s as %q is answered %s", r.method, r.path, r.kind, res.Status)
			}
		}
	})
}

// RL-04, P16 on the wire: two hundred guesses released at once over HTTP/2, over two gateways that share Redis. Of two
// hundred at different accounts from one address ten are checked; of two hundred at one account, from an office that is
// left alone, five, the fifth of which is answered with the pause already.
func TestTwoHundredParallelGuessesOverHTTP2AndTwoGatewaysCostTheirTries(t *testing.T) {
	s := newSite(t)
	s.redis = testenv.Redis(t)
	s.caddy = "servers {\n\t\tprotocols h1 h2c\n\t}"
	volley := func(t *testing.T, gateways []*gateway, email func(int) string) map[int]int {
		t.Helper()
		c := client(t)
		tr := c.Transport.(*http.Transport)
		tr.Protocols = new(http.Protocols)
		tr.Protocols.SetUnencryptedHTTP2(true)
		answers := map[int]int{}
		var (
			mu    sync.Mutex
			all   sync.WaitGroup
			start = make(chan struct{})
		)
		for i := range 200 {
			all.Go(func() {
				<-start
				res := gateways[i%2].try(t, c, email(i), "Spring2026!")
				mu.Lock()
				defer mu.Unlock()
				answers[res.StatusCode]++
				if res.ProtoMajor != 2 {
					t.Errorf("guess %d went over %s", i, res.Proto)
				}
			})
		}
		close(start)
		all.Wait()
		return answers
	}
	one, two := s.start(t), s.start(t)
	gateways := []*gateway{one, two}
	alone := func() (n float64) {
		for _, g := range gateways {
			n += g.metric(t, "portalgate_limiter_degraded_total")
		}
		return n
	}
	slug, shown := s.tenant.Slug, false
	for attempt := 0; attempt < 3 && !shown; attempt++ {
		before := alone()
		answers := volley(t, gateways, func(i int) string { return fmt.Sprintf("nobody%d-%d@buyer.example", attempt, i) })
		// Who found no room while others were being checked was told to come back, and comes.
		for i := 0; answers[http.StatusUnauthorized] < 10 && i < 20; i++ {
			if gateways[i%2].try(t, client(t), fmt.Sprintf("late%d-%d@buyer.example", attempt, i), "Spring2026!").StatusCode == http.StatusUnauthorized {
				answers[http.StatusUnauthorized]++
			}
		}
		last := one.try(t, client(t), "last@buyer.example", "Spring2026!")
		t.Logf("attempt %d: %v, degraded %v", attempt, answers, alone()-before)
		if shown = alone() == before; !shown { // Redis did not answer in time on this machine
			for _, g := range gateways {
				if out, err := command(t, nil, "", "limits", "clear", "--tenant", slug, "--network", "127.0.0.1", "--admin", g.admin()); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			continue
		}
		if answers[http.StatusUnauthorized] != 10 || last.StatusCode != http.StatusTooManyRequests {
			t.Errorf("at different accounts: %v; then %s", answers, last.Status)
		}
	}
	if !shown {
		t.Error("Redis never answered in time; nothing is shown")
	}

	s.global = "limit_exempt 127.0.0.1"
	for _, g := range gateways {
		g.reload(t)
	}
	answers := volley(t, gateways, func(int) string { return "ann@buyer.example" })
	for i := 0; answers[http.StatusUnauthorized] < 4 && i < 20; i++ {
		if gateways[i%2].try(t, client(t), "ann@buyer.example", "Spring2026!").StatusCode == http.StatusUnauthorized {
			answers[http.StatusUnauthorized]++
		}
	}
	if last := two.try(t, client(t), "ann@buyer.example", testenv.Password); answers[http.StatusUnauthorized] != 4 || last.StatusCode != http.StatusTooManyRequests {
		t.Errorf("at one account: %v; then %s", answers, last.Status)
	}
}

// metric is one of the gateway's figures now, as Caddy's admin endpoint shows it.
func (g *gateway) metric(t testing.TB, name string) float64 {
	t.Helper()
	c := g.adminClient(t)
	res, err := c.Get("http://127.0.0.1/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(readAll(t, res))
	if m == nil {
		t.Fatalf("there is no metric %s", name)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// adminClient asks the gateway's admin endpoint.
func (g *gateway) adminClient(t testing.TB) *http.Client {
	t.Helper()
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(g.admin(), "unix/"))
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// reload gives a running gateway its site's configuration as it is now.
func (g *gateway) reload(t testing.TB) {
	t.Helper()
	if err := os.WriteFile(g.file, []byte(g.site.caddyfile(g.port, filepath.Dir(g.file))), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"PORTALGATE_DATABASE_URL=" + g.site.database, "PORTALGATE_KEYRING=" + g.site.keyring, "PORTALGATE_REDIS_URL=" + g.site.redis}
	if out, err := command(t, env, "", "reload", "--config", g.file, "--address", g.admin()); err != nil {
		t.Fatalf("reloading: %v\n%s", err, out)
	}
}
