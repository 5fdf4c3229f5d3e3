package store

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
)

// Record writes a fact into the trail, in the transaction of the deed: a fact about a known user into the ERP's
// customer_activity_log with the ERP's names, so that its reports stay truthful, anything else into our events. Its
// time is the transaction's, unless it says another.
func (x *Tx) Record(ctx context.Context, a portal.Activity) error {
	if a.At.IsZero() {
		a.At = x.now
	}
	facts := map[string]string{}
	for k, v := range a.Facts {
		facts[k] = v
	}
	if a.User == "" || a.Operator != "" {
		b, err := json.Marshal(facts)
		if err != nil {
			return fmt.Errorf("encoding an event: %w", err)
		}
		var user, session *string
		if s := string(a.User); s != "" {
			user = &s
		}
		if s := string(a.Session); s != "" {
			session = &s
		}
		x.tx.Later("recording "+string(a.Verb), `insert into portalgate.events (tenant_id, verb, at, user_id, session_id, address, agent, result, suspicious, note, operator, facts)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			x.tenant, a.Verb, a.At, user, session, addrOrNull(a.Addr), a.Agent, a.Result, a.Suspicious, a.Note, a.Operator, b)
		return nil
	}
	facts["result"] = a.Result
	b, err := json.Marshal(facts)
	if err != nil {
		return fmt.Errorf("encoding an activity: %w", err)
	}
	var session, note *string
	if s := string(a.Session); s != "" {
		session = &s
	}
	if a.Note != "" {
		note = &a.Note
	}
	x.tx.Later("recording "+string(a.Verb), `insert into public.customer_activity_log (tenant_id, customer_user_id, activity_type, ip_address, user_agent, session_id, metadata, is_suspicious, security_notes, created_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		x.tenant, a.User, a.Verb, addrText(a.Addr), a.Agent, session, b, a.Suspicious, note, a.At)
	return nil
}

// Activities lists what happened to a person, newest first, before a moment.
func (x *Tx) Activities(ctx context.Context, users []portal.UserID, limit int, before time.Time) ([]portal.Activity, error) {
	rows, err := x.tx.Query(ctx, `select activity_type, customer_user_id::text, coalesce(session_id, ''), coalesce(ip_address, ''), coalesce(user_agent, ''), created_at,
			coalesce(metadata, '{}'), coalesce(is_suspicious, false), coalesce(security_notes, '')
		from public.customer_activity_log where tenant_id = $1 and customer_user_id = any ($2::uuid[]) and created_at < $3
		order by created_at desc, activity_type, id limit $4`, x.tenant, users, before, min(max(limit, 1), 200))
	if err != nil {
		return nil, fmt.Errorf("listing activity: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (a portal.Activity, err error) {
		var (
			addr string
			meta []byte
		)
		if err = row.Scan(&a.Verb, &a.User, &a.Session, &addr, &a.Agent, &a.At, &meta, &a.Suspicious, &a.Note); err != nil {
			return a, err
		}
		a.Addr, _ = netip.ParseAddr(addr) // an old row of the ERP's may hold anything, and then has no address
		loose := map[string]any{}
		if json.Unmarshal(meta, &loose) == nil {
			a.Facts = map[string]string{}
			for k, v := range loose {
				a.Facts[k] = fmt.Sprint(v)
			}
			a.Result = a.Facts["result"]
		}
		return a, nil
	})
}
