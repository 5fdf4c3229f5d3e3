package store

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
)

// Known is a browser that a person is known on.
type Known struct {
	ID           portal.DeviceID
	First        time.Time
	TrustedUntil time.Time // it is not asked for a second step until then
}

// Device finds the browser behind a device cookie among those that a person is known on.
func (x *Tx) Device(ctx context.Context, digest []byte, users []portal.UserID) (k Known, err error) {
	err = x.tx.QueryRow(ctx, `select id::text, first_seen, coalesce(trusted_until, first_seen) from portalgate.devices where tenant_id = $1 and digest = $2 and user_id = any ($3::uuid[]) order by first_seen limit 1`,
		x.tenant, digest, users).Scan(&k.ID, &k.First, &k.TrustedUntil)
	return k, said(err)
}

// Meeting is how a browser and a person know each other.
type Meeting struct {
	ID     portal.DeviceID
	IsNew  bool // the person was never seen on it
	Others bool // the person is known on others
	Seen   bool // a browser that calls itself the same was here from the same network within 30 days
}

// SawDevice remembers the browser of a good sign-in.
func (x *Tx) SawDevice(ctx context.Context, user portal.UserID, digest []byte, label, agent string, addr netip.Addr) (m Meeting, err error) {
	err = x.tx.QueryRow(ctx, `insert into portalgate.devices as d (tenant_id, user_id, digest, label, agent, first_seen, last_seen)
		values ($1, $2, $3, $4, $5, $6, $6)
		on conflict (tenant_id, user_id, digest) do update set last_seen = excluded.last_seen, label = excluded.label, agent = excluded.agent
		returning id::text, xmax = 0,
			xmax = 0 and exists (select from portalgate.devices o where o.tenant_id = $1 and o.user_id = $2 and o.digest <> $3),
			xmax = 0 and exists (select from portalgate.sessions s where s.tenant_id = $1 and s.user_id = $2 and s.agent = $5 and s.created_at > $8
				and network(set_masklen(s.address, case family(s.address) when 4 then 24 else 48 end)) >>= $7::inet)`,
		x.tenant, user, digest, label, agent, x.now, addrOrNull(addr), x.now.Add(-30*24*time.Hour)).Scan(&m.ID, &m.IsNew, &m.Others, &m.Seen)
	if err != nil {
		return m, fmt.Errorf("remembering a device: %w", err)
	}
	return m, nil
}

// MoveDevices gives a browser another digest, for everybody who is known on it.
func (x *Tx) MoveDevices(_ context.Context, was, is []byte) error {
	if len(was) > 0 {
		x.tx.Later("giving a device another digest", `update portalgate.devices set digest = $3 where tenant_id = $1 and digest = $2`, x.tenant, was, is)
	}
	return nil
}

// ForgetDevices makes every browser of these people unknown, but for the one with that digest (REC-05). A command spares
// none, and may not read digests.
func (x *Tx) ForgetDevices(ctx context.Context, users []portal.UserID, except []byte) (err error) {
	if except == nil {
		_, err = x.tx.Exec(ctx, `delete from portalgate.devices where tenant_id = $1 and user_id = any ($2::uuid[])`, x.tenant, users)
	} else {
		_, err = x.tx.Exec(ctx, `delete from portalgate.devices where tenant_id = $1 and user_id = any ($2::uuid[]) and digest <> $3`, x.tenant, users, except)
	}
	if err != nil {
		return fmt.Errorf("forgetting devices: %w", err)
	}
	return nil
}

// ForgetAttempts ends every sign-in under way of these people (REC-05).
func (x *Tx) ForgetAttempts(ctx context.Context, users []portal.UserID) error {
	_, err := x.tx.Exec(ctx, `delete from portalgate.attempts where tenant_id = $1 and users && $2::uuid[]`, x.tenant, users)
	if err != nil {
		return fmt.Errorf("forgetting sign-ins under way: %w", err)
	}
	return nil
}

// attemptsKept is how many sign-ins a person may have under way. Whoever knows a password could otherwise fill the table
// with them, each of a browser of its own (DOS-04); the newest are those that somebody is at.
const attemptsKept = 10

// PutAttempt stores a sign-in under way, and forgets those that have expired and the oldest that its people have beyond
// what is kept.
func (x *Tx) PutAttempt(ctx context.Context, a portal.Attempt, d secret.Digest) error {
	if _, err := x.tx.Exec(ctx, `delete from portalgate.attempts where tenant_id = $1 and expires_at < $2`, x.tenant, x.now); err != nil {
		return fmt.Errorf("forgetting old attempts: %w", err)
	}
	if _, err := x.tx.Exec(ctx, `delete from portalgate.attempts where tenant_id = $1 and id in (
			select id from portalgate.attempts where tenant_id = $1 and users && $2::uuid[] order by created_at desc, id desc offset $3)`, x.tenant, a.Users, attemptsKept-1); err != nil {
		return fmt.Errorf("forgetting the oldest attempts: %w", err)
	}
	_, err := x.tx.Exec(ctx, `insert into portalgate.attempts (id, tenant_id, digest, users, verified, expired, shown, remember, return_to, created_at, expires_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		a.ID, x.tenant, d[:], a.Users, a.Verified, a.Expired, a.Shown, a.Remember, a.ReturnTo, a.CreatedAt, a.ExpiresAt)
	if err != nil {
		return fmt.Errorf("storing an attempt: %w", err)
	}
	return nil
}

const attemptColumns = `id::text, tenant_id::text, users::text[], verified, expired, shown, remember, return_to, created_at, expires_at`

func attemptFields(a *portal.Attempt) []any {
	return []any{&a.ID, &a.Tenant, &a.Users, &a.Verified, &a.Expired, &a.Shown, &a.Remember, &a.ReturnTo, &a.CreatedAt, &a.ExpiresAt}
}

// A sign-in under way is over when the password that began it was replaced: what it proved is true no longer.
const attemptStands = ` and expires_at > $2 and not exists (select from portalgate.credentials k where k.user_id = any (users) and k.changed_at > created_at)`

// Attempt reads a sign-in under way.
func (x *Tx) Attempt(ctx context.Context, d secret.Digest) (a portal.Attempt, err error) {
	err = x.tx.QueryRow(ctx, `select `+attemptColumns+` from portalgate.attempts where digest = $1`+attemptStands, d[:], x.now).Scan(attemptFields(&a)...)
	return a, said(err)
}

// Issued says whether we have given a browser this cookie of a sign-in under way: a sign-in waits behind it, or a question,
// or a link that it is to be known by when its mail is opened.
func (x *Tx) Issued(ctx context.Context, d secret.Digest, browser []byte) (ok bool, err error) {
	err = x.tx.QueryRow(ctx, `select exists (select from portalgate.attempts where digest = $2 and expires_at > $4)
		or exists (select from portalgate.challenges where tenant_id = $1 and holder = $2 and expires_at > $4)
		or exists (select from portalgate.tickets where tenant_id = $1 and browser = $3 and spent_at is null and expires_at > $4)`, x.tenant, d[:], browser, x.now).Scan(&ok)
	if err != nil {
		return false, fmt.Errorf("looking for a sign-in under way: %w", err)
	}
	return ok, nil
}

// SpendAttempt takes a sign-in under way away, once.
func (x *Tx) SpendAttempt(ctx context.Context, d secret.Digest) (a portal.Attempt, err error) {
	err = x.tx.QueryRow(ctx, `delete from portalgate.attempts where digest = $1`+attemptStands+` returning `+attemptColumns, d[:], x.now).Scan(attemptFields(&a)...)
	return a, said(err)
}
