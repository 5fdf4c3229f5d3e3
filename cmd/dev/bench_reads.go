package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// scopedReads compares the store's reading of a session, which sets the tenant and meets row-level security, with the
// same statement to the letter as a role that needs neither.
func scopedReads(ctx context.Context, b *bench) (s series, note string, err error) {
	if err := b.gather(ctx); err != nil {
		return nil, "", err
	}
	c := b.crowd
	scoped, err := store.Open(c.world.Environment["PORTALGATE_DATABASE_URL"], store.Options{MaxConns: connections, Name: "bench"})
	if err != nil {
		return nil, "", err
	}
	defer scoped.Close()
	text, err := c.overheard(ctx)
	if err != nil {
		return nil, "", err
	}
	plain, err := pgxpool.New(ctx, c.world.Postgres.URL("postgres", "postgres")+fmt.Sprintf("&pool_max_conns=%d&plan_cache_mode=force_generic_plan", connections))
	if err != nil {
		return nil, "", fmt.Errorf("connecting for plain reads: %w", err)
	}
	defer plain.Close()
	var last atomic.Uint64
	session := func() string { // far from the one before, so that each is as cold as the next
		d := dice(last.Add(1))
		return fmt.Sprintf("00000000-0000-4000-9000-%012x", 1+int(d.roll()*float64(c.n-1)))
	}
	ways := []func() error{
		func() error {
			id := session()
			f, err := scoped.Facts(ctx, c.tenant, portal.SessionID(id), time.Now())
			if err == nil && (string(f.Session.ID) != id || f.User.ID == "") {
				err = fmt.Errorf("asked for session %s and got %s", id, f.Session.ID)
			}
			return err
		},
		func() error {
			id := session()
			rows, err := plain.Query(ctx, text, id)
			if err != nil {
				return err
			}
			_, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) ([]any, error) {
				values, err := row.Values()
				if err == nil && values[0] != id {
					err = fmt.Errorf("asked for session %s and got %v", id, values[0])
				}
				return values, err
			})
			return err
		},
	}
	if _, err := reading(ways[0], b.round); err != nil { // statements are prepared, pages are in memory
		return nil, "", err
	}
	if _, err := reading(ways[1], b.round); err != nil {
		return nil, "", err
	}
	var one, other series
	for i := range b.rounds {
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
		var rates [2]float64
		for k := range ways {
			at := (k + i) % 2
			if rates[at], err = reading(ways[at], b.round); err != nil {
				return nil, "", err
			}
		}
		s = append(s, rates[1]/rates[0])
		one, other = append(one, rates[0]), append(other, rates[1])
	}
	return s, fmt.Sprintf("%.0f against %.0f reads a second among %d sessions", one.median(), other.median(), c.n), nil
}

// reading is how many reads a second many clients do.
func reading(read func() error, d time.Duration) (float64, error) {
	var (
		done    atomic.Int64
		running sync.WaitGroup
		errs    = make([]error, connections)
	)
	began := time.Now()
	for i := range connections {
		running.Go(func() {
			for time.Since(began) < d && errs[i] == nil {
				if errs[i] = read(); errs[i] == nil {
					done.Add(1)
				}
			}
		})
	}
	running.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, fmt.Errorf("reading: %w", err)
	}
	return float64(done.Load()) / time.Since(began).Seconds(), nil
}

// overheard is the statement with which the store reads a session, from PostgreSQL's own log: written down here it
// would be another one as soon as the store's is changed.
func (c *crowd) overheard(ctx context.Context) (string, error) {
	heard, err := c.world.Listen(ctx)
	if err != nil {
		return "", err
	}
	defer heard.Close()
	before, err := os.Stat(c.world.Postgres.Log())
	if err != nil {
		return "", fmt.Errorf("reading PostgreSQL's log: %w", err)
	}
	s, err := store.Open(c.world.Environment["PORTALGATE_DATABASE_URL"], store.Options{MaxConns: 1, Name: "bench"})
	if err != nil {
		return "", err
	}
	defer s.Close()
	if _, err := s.Facts(ctx, c.tenant, "00000000-0000-4000-9000-000000000001", time.Now()); err != nil {
		return "", err
	}
	log, err := os.ReadFile(c.world.Postgres.Log())
	if err != nil {
		return "", fmt.Errorf("reading PostgreSQL's log: %w", err)
	}
	return logged(string(log[before.Size():]), "select s.id::text")
}

// logged is the statement in a log that begins in a certain way; the lines after its first are indented there.
func logged(log, beginning string) (string, error) {
	_, rest, ok := strings.Cut(log, ": "+beginning)
	if !ok {
		return "", fmt.Errorf("PostgreSQL's log has no %q", beginning)
	}
	out := beginning
	for i, line := range strings.Split(rest, "\n") {
		if i > 0 && !strings.HasPrefix(line, "\t") {
			break
		}
		out += strings.TrimPrefix(line, "\t") + "\n"
	}
	return out, nil
}
