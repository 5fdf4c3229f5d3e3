package revocation_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/revocation"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// patience is how long a busy machine may take for what takes milliseconds; what must not happen is waited for less.
const patience = 30 * time.Second

// gateway is a feed that follows a real database, and what it has told.
type gateway struct {
	feed   *revocation.Feed
	told   chan revocation.Change
	first  chan struct{}
	failed chan error
	stop   func()
}

// follow runs a feed until the test ends. deaf: no note reaches it, as when the connection that listens is lost.
func follow(t *testing.T, address string, deaf bool) *gateway {
	t.Helper()
	return following(t, address, deaf, nil)
}

// followFrom runs a feed that begins where others of the same position have been.
func followFrom(t *testing.T, address string, from *revocation.Position) *gateway {
	t.Helper()
	return following(t, address, false, from)
}

func following(t *testing.T, address string, deaf bool, from *revocation.Position) *gateway {
	t.Helper()
	s, err := store.Open(address, store.Options{MaxConns: 3})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{told: make(chan revocation.Change, 1000), first: make(chan struct{}, 10), failed: make(chan error, 100)}
	listen := s.Listen
	if deaf {
		listen = func(ctx context.Context, _ func()) error { <-ctx.Done(); return ctx.Err() }
	}
	g.feed = &revocation.Feed{
		From: from,
		Source: revocation.Source{
			Listen: listen,
			Changes: func(ctx context.Context, since uint64) (revocation.Reading, error) {
				rows, mark, err := s.Changes(ctx, since)
				r := revocation.Reading{Watermark: mark}
				for _, c := range rows {
					r.Changes = append(r.Changes, revocation.Change{ID: c.ID, Tenant: c.Tenant, Kind: revocation.Kind(c.Kind), Subject: c.Subject, At: c.At})
				}
				return r, err
			},
		},
		Apply: func(changes []revocation.Change) {
			for _, c := range changes {
				g.told <- c
			}
		},
		First:  func() { g.first <- struct{}{} },
		Failed: func(err error) { g.failed <- err },
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); g.feed.Run(ctx) }()
	g.stop = func() { cancel(); <-done }
	t.Cleanup(func() { g.stop(); s.Close() })
	return g
}

func (g *gateway) begun(t *testing.T) {
	t.Helper()
	select {
	case <-g.first:
	case <-time.After(patience):
		t.Fatal("the first reading does not come")
	}
}

// hears waits until a change of a subject is told, and returns how long that took. Another test's are not this one's.
func (g *gateway) hears(t *testing.T, subject string) time.Duration {
	t.Helper()
	began := time.Now()
	late := time.After(patience)
	for {
		select {
		case c := <-g.told:
			if c.Subject == subject {
				return time.Since(began)
			}
		case <-late:
			t.Fatalf("no word of %s", subject)
		}
	}
}

// silent fails when a change of a subject is told within two readings.
func (g *gateway) silent(t *testing.T, subject string) {
	t.Helper()
	late := time.After(2*revocation.PollEvery + 200*time.Millisecond)
	for {
		select {
		case c := <-g.told:
			if c.Subject == subject {
				t.Fatalf("%s is told, and should not be", subject)
			}
		case <-late:
			return
		}
	}
}

func fresh() string { return portal.FormatID(secret.NewID()) }

const note = `insert into portalgate.revocations (tenant_id, kind, subject, at) values ($1, 'session', $2, now())`

// REV-01, contract 12: a change is told to every gateway, by the note at once, and without a note within the second in
// which the database is asked anyway.
func TestAChangeReachesEveryGatewayWithAndWithoutItsNote(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	tenant := db.Tenant(t)
	gates := map[string]*gateway{"one": follow(t, db.AppURL, false), "two": follow(t, db.AppURL, false), "deaf": follow(t, db.AppURL, true)}
	for _, g := range gates {
		g.begun(t)
	}
	quickest := patience
	for range 5 {
		subject := fresh()
		db.Exec(t, note, tenant.ID, subject)
		for name, g := range gates {
			took := g.hears(t, subject)
			if name == "one" {
				quickest = min(quickest, took)
			}
		}
	}
	if quickest > revocation.PollEvery/2 { // the best of five: the note came, and not the clock
		t.Errorf("with a note the quickest change took %s", quickest)
	}
}

// Sequences commit out of order: the row of a transaction that took its number first and committed last is told, and
// one that was told is not told again, however long another transaction stays open.
func TestARowThatCommitsLateIsToldAndNoneIsToldTwice(t *testing.T) {
	t.Parallel()
	db := testenv.FreshDatabase(t)
	tenant := db.Tenant(t)
	g := follow(t, db.AppURL, false)
	g.begun(t)
	begin := func() (pgx.Tx, string) {
		t.Helper()
		c, err := pgx.Connect(t.Context(), db.RootURL)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		tx, err := c.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		subject := fresh()
		if _, err := tx.Exec(t.Context(), note, tenant.ID, subject); err != nil {
			t.Fatal(err)
		}
		return tx, subject
	}
	commit := func(tx pgx.Tx) {
		t.Helper()
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	first, early := begin()
	second, late := begin()
	third, never := begin()
	commit(second)
	g.hears(t, late)
	for range 3 { // readings go by while the first is still open
		subject := fresh()
		db.Exec(t, note, tenant.ID, subject)
		for c := range g.told {
			if c.Subject == late {
				t.Fatal("a change is told twice")
			}
			if c.Subject == subject {
				break
			}
		}
	}
	commit(first)
	g.hears(t, early)
	if err := third.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.silent(t, never)
	select {
	case c := <-g.told:
		t.Errorf("told once more: %+v", c)
	default:
	}
}

// What goes wrong is told once when it begins and once when it ends, and what was written meanwhile is told then.
func TestAnOutageIsToldOnceAndNothingIsMissed(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	tenant := db.Tenant(t)
	for name, fault := range map[string]func(*testenv.Proxy){"gone": (*testenv.Proxy).Cut, "silent": (*testenv.Proxy).Stall} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy, address := testenv.ProxyPostgres(t, db.AppURL)
			g := follow(t, address, false)
			g.begun(t)
			if old := g.feed.Stale(time.Now()); old > patience {
				t.Errorf("after a good reading it says %s", old)
			}
			for range 2 {
				fault(proxy)
				subject := fresh()
				db.Exec(t, note, tenant.ID, subject)
				next := func(what string, good bool) {
					t.Helper()
					select {
					case err := <-g.failed:
						if (err == nil) != good || err != nil && !errors.Is(err, store.ErrUnavailable) {
							t.Fatalf("%s: %v", what, err)
						}
					case <-time.After(patience):
						t.Fatalf("%s: no word", what)
					}
				}
				next("the outage", false)
				begun := time.Now()
				for time.Since(begun) < 2500*time.Millisecond { // readings go on failing, and nobody is told again
					select {
					case err := <-g.failed:
						t.Fatalf("told again: %v", err)
					case c := <-g.told:
						if c.Subject == subject {
							t.Fatal("told without a database")
						}
					case <-time.After(100 * time.Millisecond):
					}
				}
				if old := g.feed.Stale(time.Now()); old < 2*time.Second {
					t.Errorf("cut off, it says that its last reading was %s ago", old)
				}
				proxy.Heal()
				g.hears(t, subject)
				next("its end", true)
			}
		})
	}
}

// The first reading comes once, and only when it was good: what was read before it may be stale.
func TestAGatewayThatStartsCutOffBeginsWhenItIsConnected(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	proxy, address := testenv.ProxyPostgres(t, db.AppURL)
	proxy.Cut()
	g := follow(t, address, false)
	select {
	case err := <-g.failed:
		if err == nil {
			t.Fatal("it works without a database")
		}
	case <-time.After(patience):
		t.Fatal("no word of the outage")
	}
	select {
	case <-g.first:
		t.Fatal("it begins without a reading")
	default:
	}
	proxy.Heal()
	g.begun(t)
	tenant := db.Tenant(t)
	g.hears(t, string(tenant.ID)) // the tenant's own note
	if len(g.first) != 0 {
		t.Error("it begins twice")
	}
}

// A reload to other settings: the feed that takes over begins where the one before it was, so that nothing is taken for
// stale, and a change of the moment between them is not missed. After a longer silence everything is.
func TestAFeedTakesOverWhereTheOneBeforeWas(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	tenant := db.Tenant(t)
	from := new(revocation.Position)
	one := followFrom(t, db.AppURL, from)
	one.begun(t)
	subject := fresh()
	db.Exec(t, note, tenant.ID, subject)
	one.hears(t, subject)
	one.stop()
	between := fresh()
	db.Exec(t, note, tenant.ID, between)
	two := followFrom(t, db.AppURL, from)
	two.hears(t, between)
	select {
	case <-two.first:
		t.Error("the feed that took over has everything read anew")
	default:
	}
}
