package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/demo/servers"
	"github.com/portalgate/portalgate/internal/testenv"
)

// loneDatabase is a migrated database on a PostgreSQL of its own, which a test may kill. What it has acknowledged
// survives that, unlike on the servers that tests share.
func loneDatabase(t *testing.T) testenv.DB {
	t.Helper()
	pg, err := servers.StartPostgres(t.Context(), servers.Options{Offline: !testenv.Everything()})
	if errors.Is(err, servers.ErrMissing) {
		testenv.Missing(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Close)
	root, err := pgx.Connect(t.Context(), pg.URL("postgres", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close(context.Background())
	arrange := func(statements ...string) {
		for _, sql := range statements {
			if _, err := root.Exec(t.Context(), sql); err != nil {
				t.Fatal(sql, ": ", err)
			}
		}
	}
	arrange("create role owner login createrole createdb", "create database portal owner owner")
	db := testenv.DB{Name: "portal", RootURL: pg.URL("portal", "postgres"), OwnerURL: pg.URL("portal", "owner"), AppURL: pg.URL("portal", "app"), OperatorURL: pg.URL("portal", "operator")}
	if out, err := command(t, nil, "", "migrate", "up", "--database", db.OwnerURL); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	arrange("create role app login in role portalgate_gateway", "create role operator login in role portalgate_operator", "alter role app set synchronous_commit = on")
	return db
}

// crashes kills a process of PostgreSQL's with SIGKILL: the server ends all others, and itself, and recovers from its log.
func crashes(t *testing.T, db testenv.DB) {
	t.Helper()
	var pid int
	db.Row(t, `select pid from pg_stat_activity where usename = 'app' limit 1`, nil, &pid)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// What an operator tries before they believe it: two gateways, people at both, and everything that can happen to them.
func TestSeenWorkingOnTwoGateways(t *testing.T) {
	t.Parallel()
	redis := testenv.LoneRedis(t)
	s := siteOn(t, loneDatabase(t))
	for _, first := range []string{"Cleo", "Dora"} { // Dora is at the door, so that nobody's sessions are crowded out
		s.house.Person(t, s.tenant, testenv.Visitor{Email: strings.ToLower(first) + "@buyer.example", Name: first + " Buyer"})
	}
	s.raw.Answer(switching)
	postgres, address := testenv.ProxyPostgres(t, s.database)
	s.database, s.redis = address, redis.URL()
	one, two := s.start(t), s.start(t)
	both := []*gateway{one, two}
	ann, laptop := one.signedIn(t), two.signedIn(t) // two browsers of Ann's
	bob := client(t)
	if res := two.try(t, bob, "bob@buyer.example", testenv.Password); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("Bob signs in: %s", res.Status)
	}
	working := func(t *testing.T, when string) {
		t.Helper()
		for who, c := range map[string]*http.Client{"Ann": ann, "Bob": bob} {
			for i, g := range both {
				if got := status(t, c, g.url("/orders")); got != http.StatusOK {
					t.Errorf("%s %s at gateway %d is answered %d", when, who, i, got)
				}
			}
		}
	}
	why := func(t *testing.T, question string) string {
		t.Helper()
		return s.operate(t, "", "why", question, "--admin", two.admin())
	}
	working(t, "to begin with")

	t.Run("six wrong passwords are answered kindly, and the owner's other browser signs in", func(t *testing.T) {
		stranger := client(t)
		var last *http.Response
		for i := range 6 {
			last = both[i%2].try(t, stranger, "ann@buyer.example", fmt.Sprint("Spring202", i))
			if want := map[bool]int{true: http.StatusUnauthorized, false: http.StatusTooManyRequests}[i < 4]; last.StatusCode != want {
				t.Errorf("wrong password %d is answered %s", i+1, last.Status)
			}
		}
		page := readAll(t, last)
		for _, words := range []string{"sign-in rests for a while", "Please try again at", "</html>"} {
			if !strings.Contains(page, words) {
				t.Errorf("the sixth answer does not say %q:\n%s", words, page)
			}
		}
		for _, words := range []string{"lockout", "locked", "blocked", "suspicious", "hacker", "127.0.0.1"} {
			if strings.Contains(strings.ToLower(page), words) {
				t.Errorf("the sixth answer says %q:\n%s", words, page)
			}
		}
		if res := two.try(t, stranger, "ann@buyer.example", testenv.Password); res.StatusCode != http.StatusTooManyRequests {
			t.Errorf("a guesser with the right password is answered %s", res.Status)
		}
		if res := one.try(t, laptop, "ann@buyer.example", testenv.Password); res.StatusCode != http.StatusSeeOther {
			t.Errorf("the owner's other browser is answered %s", res.Status)
		}
		working(t, "with a guesser at the door")
		if said := why(t, "ann@buyer.example"); !strings.Contains(said, "browsers that are new to the account") || !strings.Contains(said, "portalgate user unlock") {
			t.Errorf("why says %s", said)
		}
		s.operate(t, "", "user", "unlock", "--tenant", s.tenant.Slug, "--email", "ann@buyer.example", "--reason", "called")
		if res := two.try(t, client(t), "ann@buyer.example", testenv.Password); res.StatusCode != http.StatusSeeOther {
			t.Errorf("unlocked, a new browser is answered %s", res.Status)
		}
	})

	t.Run("why explains a refused address", func(t *testing.T) {
		for i := range 10 {
			both[i%2].try(t, client(t), fmt.Sprintf("nobody%d@buyer.example", i), "Spring2026!")
		}
		res := one.try(t, client(t), "dora@buyer.example", testenv.Password)
		if res.StatusCode != http.StatusTooManyRequests {
			t.Fatalf("after a spray a new browser is answered %s", res.Status)
		}
		said := why(t, "127.0.0.1")
		for _, words := range []string{"failures_network", "until ", "10 accounts that failed", "helps: portalgate limits clear --tenant " + s.tenant.Slug + " --network 127.0.0.1", "tell them: "} {
			if !strings.Contains(said, words) {
				t.Errorf("why does not say %q:\n%s", words, said)
			}
		}
		working(t, "after a spray")
		s.operate(t, "", "limits", "clear", "--tenant", s.tenant.Slug, "--network", "127.0.0.1", "--admin", one.admin(), "--admin", two.admin())
		if res := two.try(t, client(t), "dora@buyer.example", testenv.Password); res.StatusCode != http.StatusSeeOther {
			t.Errorf("cleared, a new browser is answered %s", res.Status)
		}
	})

	ends := func(t *testing.T, within time.Duration) {
		t.Helper()
		cleo := client(t)
		if res := one.try(t, cleo, "cleo@buyer.example", testenv.Password); res.StatusCode != http.StatusSeeOther {
			t.Fatalf("Cleo signs in: %s", res.Status)
		}
		conn, feed := openSocket(t, cleo, two.url("/feed"))
		began := time.Now()
		s.operate(t, "", "user", "revoke-sessions", "--tenant", s.tenant.Slug, "--email", "cleo@buyer.example")
		ran := time.Since(began) // the program starts, and does it somewhere in between
		ended(t, "the feed", conn, feed, within)
		t.Logf("the command ran %s, the feed had ended %s after it began", ran.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		if got := status(t, cleo, two.url("/orders")); got != http.StatusUnauthorized {
			t.Errorf("and then the session is answered %d", got)
		}
		working(t, "while somebody else is signed out")
	}
	t.Run("a session revoked by command ends a live feed on the other gateway at once", func(t *testing.T) { ends(t, time.Second) })

	t.Run("Redis is killed and people keep working", func(t *testing.T) {
		if err := syscall.Kill(redis.PID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-redis.Gone()
		working(t, "with Redis gone")
		for i, g := range both {
			if res := g.try(t, client(t), "dora@buyer.example", testenv.Password); res.StatusCode != http.StatusSeeOther {
				t.Errorf("with Redis gone a sign-in at gateway %d is answered %s", i, res.Status)
			}
		}
		ends(t, 2*time.Second)
	})

	t.Run("PostgreSQL is killed and restarted and nobody is signed out", func(t *testing.T) {
		fresh := one.signedIn(t) // acknowledged in the last moment
		postgres.Cut()
		crashes(t, s.house.DB)
		working(t, "in the moment after PostgreSQL was killed")
		res := one.try(t, client(t), "dora@buyer.example", testenv.Password)
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
			t.Errorf("with PostgreSQL gone a sign-in is answered %s, Retry-After %q", res.Status, res.Header.Get("Retry-After"))
		}
		if page := readAll(t, res); !strings.Contains(page, "Signing in is not possible at the moment") {
			t.Errorf("it says %s", page)
		}
		one.until(t, "PostgreSQL that has recovered", func() bool {
			c, err := pgx.Connect(t.Context(), s.house.DB.RootURL)
			if err == nil {
				err = c.Close(t.Context())
			}
			return err == nil
		})
		postgres.Heal()
		for _, g := range both {
			g.until(t, "sign-in that works by itself", func() bool {
				return g.try(t, client(t), "dora@buyer.example", testenv.Password).StatusCode == http.StatusSeeOther
			})
		}
		working(t, "with PostgreSQL back")
		// Whoever was signed in renews, too, at either gateway.
		for who, c := range map[string]*http.Client{"Ann": ann, "Ann's laptop": laptop, "who came last": fresh} {
			for i, g := range both {
				c.Jar.SetCookies(&url.URL{Scheme: "http", Host: s.tenant.Hosts[0] + ":" + g.port}, []*http.Cookie{{Name: "portalgate", Path: "/", MaxAge: -1}})
				if got := status(t, c, g.url("/orders")); got != http.StatusOK {
					t.Errorf("%s renews at gateway %d and is answered %d", who, i, got)
				}
			}
		}
	})
}
