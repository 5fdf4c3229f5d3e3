package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
)

// Refresh is a refresh token's row with everything that decides what it is worth.
type Refresh struct {
	Session              portal.Session
	User                 portal.User
	TenantSuspended      bool
	Generation           int
	KeyID                string // of the key that derives its successor
	ReplacedAt           time.Time
	SuccessorPresentedAt time.Time
	DeviceDigest         []byte
}

// Facts are a session and its person, for the hot road.
type Facts struct {
	Session         portal.Session
	User            portal.User
	TenantSuspended bool
}

const sessionColumns = `s.id::text, s.tenant_id::text, s.user_id::text, s.choices::text[], coalesce(s.device_id::text, ''), s.remember, s.amr, s.auth_time, s.mfa_at,
	s.created_at, s.last_active_at, s.idle_end, s.ends_at, s.ended_at, coalesce(s.end_reason, ''), s.agent, s.address`

func sessionFields(s *portal.Session, mfa, ended **time.Time, addr **netip.Addr) []any {
	return []any{&s.ID, &s.Tenant, &s.User, &s.Choices, &s.Device, &s.Remember, &s.AMR, &s.AuthTime, mfa,
		&s.CreatedAt, &s.LastActive, &s.IdleEnd, &s.End, ended, &s.EndReason, &s.Agent, addr}
}

func scanSession(row pgx.CollectableRow, more ...any) (s portal.Session, err error) {
	var (
		mfa, ended *time.Time
		addr       *netip.Addr
	)
	if err = row.Scan(append(sessionFields(&s, &mfa, &ended, &addr), more...)...); err != nil {
		return s, err
	}
	if mfa != nil {
		s.MFAAt = *mfa
	}
	if ended != nil {
		s.EndedAt = *ended
	}
	if addr != nil {
		s.Address = *addr
	}
	return s, nil
}

const suspended = "tenant suspended"

const sessionFrom = ` from portalgate.sessions s
	join public.customer_users u on u.id = s.user_id
	join public.customers c on c.id = u.customer_id
	join public.tenants t on t.id = s.tenant_id `

// Facts reads a session for the hot road, in one trip.
func (s *Store) Facts(ctx context.Context, t portal.TenantID, id portal.SessionID, now time.Time) (f Facts, err error) {
	err = s.single(ctx, t, now, func(rows pgx.Rows) error {
		f.Session, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (portal.Session, error) { return scanSession(row, userFields(&f.User)...) })
		f.User = completed(f.User)
		f.TenantSuspended = f.User.Blocked == suspended
		return err
	}, `select `+sessionColumns+`, `+personColumns+sessionFrom+`where s.id = $1`, id)
	return f, said(err)
}

// Session reads one session.
func (x *Tx) Session(ctx context.Context, id portal.SessionID) (portal.Session, error) {
	rows, err := x.tx.Query(ctx, `select `+sessionColumns+` from portalgate.sessions s where s.id = $1`, id)
	if err != nil {
		return portal.Session{}, fmt.Errorf("reading a session: %w", err)
	}
	s, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (portal.Session, error) { return scanSession(row) })
	return s, said(err)
}

// TakeTurns makes transactions about the same person wait for each other. One that ends or begins several of a person's
// sessions takes its turn before it touches any row: two that lock the same rows in different orders would both fail.
func (x *Tx) TakeTurns(ctx context.Context, users []portal.UserID) error {
	x.tx.Later("taking turns", `select pg_advisory_xact_lock(hashtextextended('portalgate sessions ' || id, 0)) from (select distinct id::text as id from unnest($1::uuid[]) id order by 1) o`, users)
	return nil
}

// BeginSession makes a session with its first refresh token. At most max of a person's sessions stay alive; the
// oldest end, and their ids are returned. Parallel sign-ins of one person take turns.
func (x *Tx) BeginSession(ctx context.Context, s portal.Session, first secret.Digest, keyID string, max int) ([]portal.SessionID, error) {
	if err := x.TakeTurns(ctx, s.Choices); err != nil {
		return nil, err
	}
	var device *string
	if s.Device != "" {
		d := string(s.Device)
		device = &d
	}
	x.tx.Later("storing the session", `insert into portalgate.sessions (id, tenant_id, user_id, choices, device_id, remember, amr, auth_time, mfa_at, created_at, last_active_at, idle_end, ends_at, agent, address)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, $12, $13, $14)`,
		s.ID, x.tenant, s.User, s.Choices, device, s.Remember, s.AMR, s.AuthTime, orNull(s.MFAAt), s.CreatedAt, s.IdleEnd, s.End, s.Agent, addrOrNull(s.Address))
	x.tx.Later("storing the refresh token", `insert into portalgate.refresh_tokens (digest, tenant_id, session_id, generation, key_id, created_at) values ($1, $2, $3, 0, $4, $5)`,
		first[:], x.tenant, s.ID, keyID, x.now)
	return x.end(ctx, `id in (select id from portalgate.sessions where user_id = any ($3::uuid[]) and ended_at is null and idle_end > $2 and ends_at > $2
		order by created_at desc, id = $5 desc, id offset $4)`, portal.EndTooMany, s.Choices, max, s.ID)
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func addrOrNull(a netip.Addr) *netip.Addr {
	if !a.IsValid() {
		return nil
	}
	return &a
}

// end ends the sessions of a condition and announces each in the same statement: a revocation that cannot be stored
// undoes the deed. $1 is the reason, $2 now; the condition's own arguments begin at $3.
func (x *Tx) end(ctx context.Context, where string, reason portal.EndReason, args ...any) ([]portal.SessionID, error) {
	rows, err := x.tx.Query(ctx, `with ended as (
			update portalgate.sessions set ended_at = $2, end_reason = $1 where ended_at is null and `+where+` returning id, tenant_id
		), told as (
			insert into portalgate.revocations (tenant_id, kind, subject, at) select tenant_id, 'session', id, $2 from ended
		) select id::text from ended`, append([]any{reason, x.now}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("ending sessions: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[portal.SessionID])
	if err != nil {
		return nil, fmt.Errorf("ending sessions: %w", err)
	}
	return ids, nil
}

// EndSession ends one session; false when it had ended before, or is not of this tenant.
func (x *Tx) EndSession(ctx context.Context, id portal.SessionID, reason portal.EndReason) (bool, error) {
	ids, err := x.end(ctx, `id = $3`, reason, id)
	return len(ids) == 1, err
}

// EndSessions ends every session of a person but one.
func (x *Tx) EndSessions(ctx context.Context, users []portal.UserID, except portal.SessionID, reason portal.EndReason) ([]portal.SessionID, error) {
	if err := x.TakeTurns(ctx, users); err != nil {
		return nil, err
	}
	return x.end(ctx, `choices && $3::uuid[] and id::text <> $4`, reason, users, string(except))
}

// Sessions lists the sessions of a person that have not been ended, the most recently used first.
func (x *Tx) Sessions(ctx context.Context, users []portal.UserID) ([]portal.Session, error) {
	rows, err := x.tx.Query(ctx, `select `+sessionColumns+` from portalgate.sessions s where s.user_id = any ($1::uuid[]) and s.ended_at is null order by s.last_active_at desc, s.id limit 100`, users)
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (portal.Session, error) { return scanSession(row) })
}

// Refresh reads a refresh token and locks its family, so that parallel uses take turns.
func (x *Tx) Refresh(ctx context.Context, d secret.Digest) (r Refresh, err error) {
	var replaced, seen *time.Time
	rows, err := x.tx.Query(ctx, `select `+sessionColumns+`, r.generation, r.key_id, r.replaced_at, r.successor_presented_at, v.digest, `+personColumns+sessionFrom+`
		join portalgate.refresh_tokens r on r.session_id = s.id
		left join portalgate.devices v on v.id = s.device_id
		where r.digest = $1 for update of s, r`, d[:])
	if err != nil {
		return r, fmt.Errorf("reading a refresh token: %w", err)
	}
	r.Session, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (portal.Session, error) {
		return scanSession(row, append([]any{&r.Generation, &r.KeyID, &replaced, &seen, &r.DeviceDigest}, userFields(&r.User)...)...)
	})
	if err != nil {
		return r, said(err)
	}
	r.User = completed(r.User)
	r.TenantSuspended = r.User.Blocked == suspended
	if replaced != nil {
		r.ReplacedAt = *replaced
	}
	if seen != nil {
		r.SuccessorPresentedAt = *seen
	}
	return r, nil
}

// ReplaceRefresh replaces a token by its successor, once: false when it was replaced already (REF-03).
func (x *Tx) ReplaceRefresh(ctx context.Context, id portal.SessionID, presented, next secret.Digest, nextKeyID string) (bool, error) {
	var generation int
	err := x.tx.QueryRow(ctx, `update portalgate.refresh_tokens set replaced_at = $3
		where digest = $1 and session_id = $2 and replaced_at is null returning generation`, presented[:], id, x.now).Scan(&generation)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("replacing a refresh token: %w", err)
	}
	if _, err := x.tx.Exec(ctx, `insert into portalgate.refresh_tokens (digest, tenant_id, session_id, generation, key_id, created_at) values ($1, $2, $3, $4, $5, $6)`,
		next[:], x.tenant, id, generation+1, nextKeyID, x.now); err != nil {
		return false, fmt.Errorf("storing the successor: %w", err)
	}
	return true, nil
}

// Presented notes that the token of a generation, or an access token made with it, has been presented: from here on
// its predecessor is spent (contract 5).
func (x *Tx) Presented(ctx context.Context, id portal.SessionID, generation int) error {
	_, err := x.tx.Exec(ctx, `update portalgate.refresh_tokens set successor_presented_at = $3
		where session_id = $1 and generation = $2 - 1 and successor_presented_at is null`, id, generation, x.now)
	if err != nil {
		return fmt.Errorf("noting a presented token: %w", err)
	}
	return nil
}

// Touch notes that a session is in use; its idle end moves, never past its absolute end and never back.
func (x *Tx) Touch(ctx context.Context, id portal.SessionID, idleEnd time.Time, addr netip.Addr, agent string) error {
	_, err := x.tx.Exec(ctx, `update portalgate.sessions set last_active_at = greatest(last_active_at, $2), idle_end = least(ends_at, greatest(idle_end, $3)),
		address = coalesce($4, address), agent = $5 where id = $1 and ended_at is null`, id, x.now, idleEnd, addrOrNull(addr), agent)
	if err != nil {
		return fmt.Errorf("noting activity of a session: %w", err)
	}
	return nil
}

// ChooseCompany makes a session act for another of its rows, and has what was issued for the one before renewed.
func (x *Tx) ChooseCompany(ctx context.Context, id portal.SessionID, user portal.UserID) (bool, error) {
	tag, err := x.tx.Exec(ctx, `with chosen as (
			update portalgate.sessions set user_id = $2 where id = $1 and ended_at is null and $2 = any (choices) returning id, tenant_id
		) insert into portalgate.revocations (tenant_id, kind, subject, at) select tenant_id, 'session', id, $3 from chosen`, id, user, x.now)
	if err != nil {
		return false, fmt.Errorf("choosing a company: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}
