package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
)

// Forgettable is what the gateway cannot take away itself: a function of the database does, and looks at nothing young.
type Forgettable string

// What it can be asked to forget.
const (
	ForgetActivity    Forgettable = "activity" // of people, in the ERP's log
	ForgetEvents      Forgettable = "events"   // of nobody in particular, and of operators
	ForgetRecoveries  Forgettable = "recoveries"
	ForgetSessions    Forgettable = "sessions" // with their refresh tokens, when they are over
	ForgetRevocations Forgettable = "revocations"
)

// Forget takes away what is older than a moment, most at a time. What another gateway is taking away is passed over.
func (s *Store) Forget(ctx context.Context, t portal.TenantID, now time.Time, what Forgettable, older time.Time, most int) (n int64, err error) {
	err = s.Within(ctx, t, now, func(x *Tx) error {
		return x.tx.QueryRow(ctx, `select portalgate.forget($1, $2, $3)`, what, older, most).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("forgetting old %s: %w", what, err)
	}
	return n, nil
}

// Coarsen leaves of the addresses and agents of one log the network and a name, up to a moment, about most rows at a
// time; it returns how many it has looked at, and none where the rest has to wait. A tenant that another gateway is busy with is left to that one.
func (s *Store) Coarsen(ctx context.Context, t portal.TenantID, now time.Time, what Forgettable, older time.Time, most int, name func(agent string) string) (seen int64, err error) {
	err = s.Within(ctx, t, now, func(x *Tx) error {
		var mine bool
		if err := x.tx.QueryRow(ctx, `select pg_try_advisory_xact_lock(hashtextextended('portalgate retention ' || $1, 0))`, string(t)).Scan(&mine); err != nil || !mine {
			return err
		}
		var agents, names []string
		known, last := map[string]bool{}, time.Time{}
		rows, err := x.aging(ctx, what, older, most)
		if err != nil {
			return err
		}
		var (
			at    time.Time
			agent string
		)
		if _, err = pgx.ForEachRow(rows, []any{&at, &agent}, func() error {
			if seen, last = seen+1, at; agent != "" && !known[agent] {
				known[agent] = true
				agents, names = append(agents, agent), append(names, name(agent))
			}
			return nil
		}); err != nil || seen == 0 {
			return err
		}
		var arrived bool
		if err = x.tx.QueryRow(ctx, `select portalgate.coarsen($1, $2, $3, $4)`, what, last, agents, names).Scan(&arrived); err == nil && !arrived {
			seen = 0 // the database finds the rest too young: there is nothing more to do now, however often it is asked
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("making old addresses of %s coarse: %w", what, err)
	}
	return seen, nil
}

// aging are the rows of a log that the last Coarsen has not come to. Those of one moment are not torn apart, or the rest
// of them would be passed over the next time.
func (x *Tx) aging(ctx context.Context, what Forgettable, older time.Time, most int) (pgx.Rows, error) {
	if what == ForgetActivity {
		return x.tx.Query(ctx, `select created_at, coalesce(user_agent, '') from public.customer_activity_log
			where tenant_id = $1 and created_at < $2 and created_at > coalesce((select upto from portalgate.coarsened where tenant_id = $1 and log = 'activity'), '-infinity')
			order by created_at fetch first ($3) rows with ties`, x.tenant, older, most)
	}
	return x.tx.Query(ctx, `select at, agent from portalgate.events
		where tenant_id = $1 and at < $2 and at > coalesce((select upto from portalgate.coarsened where tenant_id = $1 and log = 'events'), '-infinity')
		order by at fetch first ($3) rows with ties`, x.tenant, older, most)
}

// SweepUnused forgets links that nobody used, questions that nobody answered and sign-ins that nobody finished. The next
// of their kind does so too; where nobody comes there is none.
func (s *Store) SweepUnused(ctx context.Context, t portal.TenantID, now time.Time, most int) (n int64, err error) {
	old := now.Add(-portal.UnusedKept)
	err = s.Within(ctx, t, now, func(x *Tx) error {
		return errors.Join(
			x.sweep(ctx, &n, `delete from portalgate.tickets where tenant_id = $1 and id in (select id from portalgate.tickets where tenant_id = $1 and expires_at < $2 order by expires_at limit $3 for update skip locked)`, old, most),
			x.sweep(ctx, &n, `delete from portalgate.challenges where tenant_id = $1 and id in (select id from portalgate.challenges where tenant_id = $1 and expires_at < $2 order by expires_at limit $3 for update skip locked)`, old, most),
			x.sweep(ctx, &n, `delete from portalgate.attempts where tenant_id = $1 and id in (select id from portalgate.attempts where tenant_id = $1 and expires_at < $2 order by expires_at limit $3 for update skip locked)`, old, most),
		)
	})
	if err != nil {
		return 0, fmt.Errorf("forgetting what nobody has used: %w", err)
	}
	return n, nil
}

// SweepDevices forgets browsers that have not been seen for long, and of those not seen since a moment what exactly they
// call themselves.
func (s *Store) SweepDevices(ctx context.Context, t portal.TenantID, now, exact time.Time, most int) (n int64, err error) {
	err = s.Within(ctx, t, now, func(x *Tx) error {
		return errors.Join(
			x.sweep(ctx, &n, `delete from portalgate.devices where tenant_id = $1 and id in (select id from portalgate.devices where tenant_id = $1 and last_seen < $2 order by last_seen limit $3 for update skip locked)`,
				now.Add(-portal.DevicesKept), most),
			x.sweep(ctx, &n, `update portalgate.devices set agent = label where tenant_id = $1 and id in (select id from portalgate.devices where tenant_id = $1 and last_seen < $2 and agent <> label order by last_seen limit $3 for update skip locked)`,
				exact, most),
		)
	})
	if err != nil {
		return 0, fmt.Errorf("forgetting old devices: %w", err)
	}
	return n, nil
}

// sweep keeps the largest number of rows that one statement has touched: where it is all that was allowed there may be
// more.
func (x *Tx) sweep(ctx context.Context, most *int64, sql string, old time.Time, limit int) error {
	tag, err := x.tx.Exec(ctx, sql, x.tenant, old, limit)
	*most = max(*most, tag.RowsAffected())
	return err
}
