package store_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// noted is a row of the trail that waits for the next statement.
func noted(t *testing.T, p *place, x *store.Tx, text string) {
	t.Helper()
	if err := x.Record(t.Context(), portal.Activity{Verb: portal.VerbLogin, User: p.ann, Result: "ok", Note: text}); err != nil {
		t.Fatal(err)
	}
}

const notes = `select coalesce(string_agg(security_notes, ' ' order by ctid), '') from public.customer_activity_log where security_notes is not null`

func TestAStatementThatWaitsIsRunBeforeTheNext(t *testing.T) {
	t.Parallel()
	p := newPlace(t, testenv.Database(t))
	var seen string
	next := map[string]func(x *store.Tx) error{
		"a row": func(x *store.Tx) error { return x.QueryRow(t.Context(), notes).Scan(&seen) },
		"rows": func(x *store.Tx) error {
			rows, err := x.Query(t.Context(), notes)
			if err != nil {
				return err
			}
			seen, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
			return err
		},
		"a statement": func(x *store.Tx) error {
			if _, err := x.Exec(t.Context(), `select 1`); err != nil {
				return err
			}
			return x.QueryRow(t.Context(), notes).Scan(&seen)
		},
	}
	for name, read := range next {
		p.in(t, func(x *store.Tx) error {
			noted(t, p, x, "first")
			noted(t, p, x, "second")
			if err := read(x); err != nil || !strings.HasSuffix(seen, "first second") {
				t.Errorf("%s sees %q, %v", name, seen, err)
			}
			noted(t, p, x, "third") // with the commit
			return nil
		})
	}
	p.in(t, func(x *store.Tx) error { return x.QueryRow(t.Context(), notes).Scan(&seen) })
	if want := strings.TrimSpace(strings.Repeat("first second third ", len(next))); seen != want {
		t.Errorf("afterwards: %q", seen)
	}
}

// Its error is told where it is noticed, names what could not be done, and nothing of the transaction stays.
func TestAStatementThatWaitedAndFailedUndoesAll(t *testing.T) {
	t.Parallel()
	p := newPlace(t, testenv.Database(t))
	for name, next := range map[string]func(x *store.Tx) error{
		"a row": func(x *store.Tx) error { return x.QueryRow(t.Context(), `select 1`).Scan(new(int)) },
		"rows": func(x *store.Tx) error {
			rows, err := x.Query(t.Context(), `select 1`)
			if err == nil {
				rows.Close()
				err = rows.Err()
			}
			return err
		},
		"a statement": func(x *store.Tx) error { _, err := x.Exec(t.Context(), `select 1`); return err },
		"the commit":  func(*store.Tx) error { return nil },
		"nothing, when its error is not returned": func(x *store.Tx) error { _, _ = x.Exec(t.Context(), `select 1`); return nil },
	} {
		err := p.gateway.Within(t.Context(), p.tenant.ID, p.clock.Now(), func(x *store.Tx) error {
			noted(t, p, x, "lost")
			x.Later("dividing", `select 1 / $1::int`, 0)
			noted(t, p, x, "lost too")
			return next(x)
		})
		if err == nil || !strings.Contains(err.Error(), "dividing: ") && !strings.Contains(name, "not returned") {
			t.Errorf("%s: %v", name, err)
		}
		var seen string
		p.in(t, func(x *store.Tx) error { return x.QueryRow(t.Context(), notes).Scan(&seen) })
		if seen != "" {
			t.Errorf("%s: this stays: %q", name, seen)
		}
	}
	bare(t, p.gateway, "all of it")
}
