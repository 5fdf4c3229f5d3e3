package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
)

// Try is one paid try, or the news that the purse rests.
type Try struct {
	Lockout portal.Lockout
	Resting bool // nothing was paid and nothing may be checked
}

// account is what a purse is counted by: a digest of the canonical address, so that an address without an account has
// a purse like any other and the table is no list of addresses. The database makes the same with portalgate.account.
func account(t portal.TenantID, e portal.Email) []byte {
	d := sha256.Sum256([]byte("portalgate account\x00" + string(t) + "\x00" + string(e)))
	return d[:]
}

// SpendTry pays for one guess before it is checked: one statement, so that two hundred parallel guesses cost two
// hundred tries (RL-04). While the purse rests nothing is paid. device is empty for strangers; a device that the
// account knows has a purse of its own, so that a stranger cannot lock the owner out (RL-05). A closed purse rests
// again for the longest time at each try, so that from outside it looks like any other.
func (x *Tx) SpendTry(ctx context.Context, e portal.Email, device portal.DeviceID) (Try, error) {
	return x.spend(ctx, e, string(device))
}

func (x *Tx) spend(ctx context.Context, e portal.Email, purse string) (Try, error) {
	var (
		t    Try
		rest *time.Time
		rule = x.lockout
	)
	err := x.tx.QueryRow(ctx, `insert into portalgate.lockouts as l (tenant_id, account, purse, failures, last_failure)
		values ($1, $2, $3, 1, $4)
		on conflict (tenant_id, account, purse) do update set
			failures = case when l.last_failure < $4 - $5::interval and l.failures < $6 then 1 else least(l.failures + 1, $6 + 1) end,
			rests_until = case
				when l.last_failure < $4 - $5::interval and l.failures < $6 then null
				when l.failures + 1 >= $6 then $4 + $8::interval
				when l.failures + 1 > $9 then $4 + least($7::interval * (2 ^ least(l.failures - $9, 16)), $8::interval)
				end,
			last_failure = case when l.failures < $6 then $4 else l.last_failure end
		where l.rests_until is null or l.rests_until <= $4
		returning failures, last_failure, rests_until`,
		x.tenant, account(x.tenant, e), purse, x.now, rule.Kept, rule.Close, rule.First, rule.Longest, rule.Free).Scan(&t.Lockout.Failures, &t.Lockout.LastFailure, &rest)
	// One more than the number that closes it: this try was not paid, and nothing may be checked.
	t.Resting = t.Lockout.Failures > rule.Close
	if err = said(err); err == ErrNone {
		t.Resting = true
		err = x.tx.QueryRow(ctx, `select failures, last_failure, rests_until from portalgate.lockouts where tenant_id = $1 and account = $2 and purse = $3`,
			x.tenant, account(x.tenant, e), purse).Scan(&t.Lockout.Failures, &t.Lockout.LastFailure, &rest)
	}
	if err != nil {
		return t, fmt.Errorf("paying a try: %w", err)
	}
	if rest != nil {
		t.Lockout.RestsUntil = *rest
	}
	t.Lockout.Failures = min(t.Lockout.Failures, rule.Close)
	return t, nil
}

// ReturnTry hands the try back after the right password: that purse is empty again. A known device's success leaves
// the strangers' purse as it is.
func (x *Tx) ReturnTry(ctx context.Context, e portal.Email, device portal.DeviceID) error {
	x.tx.Later("handing a try back", `delete from portalgate.lockouts where tenant_id = $1 and account = $2 and purse = $3`, x.tenant, account(x.tenant, e), string(device))
	if device != "" {
		return nil // the strangers' purse is what the ERP's columns tell of
	}
	return x.Mirror(ctx, e)
}

// RefundTry takes back exactly one paid try: the check itself failed, and nobody was told anything.
func (x *Tx) RefundTry(ctx context.Context, e portal.Email, device portal.DeviceID) error {
	x.tx.Later("refunding a try", `update portalgate.lockouts set failures = greatest(failures - 1, 0), rests_until = null
		where tenant_id = $1 and account = $2 and purse = $3`, x.tenant, account(x.tenant, e), string(device))
	return nil
}

// Knock costs what writing a failure down costs, and leaves nothing behind: what is done at an address without an
// account. A machine under load would otherwise be late with the one answer more often than with the other (TIM-01).
func (x *Tx) Knock(ctx context.Context, e portal.Email, device portal.DeviceID) error {
	x.tx.Later("knocking", `update portalgate.lockouts set last_failure = last_failure where tenant_id = $1 and account = $2 and purse = $3`, x.tenant, account(x.tenant, e), string(device))
	return x.Mirror(ctx, e) // finds no row
}

// Mirror makes the ERP's two columns about failures show what the strangers' purse says now, on every row of the address
// (M04). Where the ERP's own function switches an account off at the fifth failure, the number stays below it. It reads
// the purse itself, so that the last of several parallel failures leaves the truth, in whatever order they end.
func (x *Tx) Mirror(ctx context.Context, e portal.Email) error {
	x.tx.Later("mirroring failures", `with purse as (
			select coalesce(max(failures), 0) as n, max(rests_until) as until from portalgate.lockouts where tenant_id = $1 and account = $3 and purse = ''
		), shown as (
			select case when to_regprocedure('public.lock_customer_account_on_failed_login()') is null then least(n, $5) else least(n, $4) end as n, until from purse
		), rows as (
			select u.id from public.customer_users u, shown where u.tenant_id = $1 and `+named+`
				and (u.failed_login_attempts, u.account_locked_until) is distinct from (shown.n, shown.until) order by u.id for no key update of u
		) update public.customer_users set failed_login_attempts = shown.n, account_locked_until = shown.until from shown where id in (select id from rows)`,
		x.tenant, string(e), account(x.tenant, e), portal.FreeFailures, x.lockout.Close)
	return nil
}

// Unlock empties every purse of an address.
func (x *Tx) Unlock(ctx context.Context, e portal.Email) (int64, error) {
	tag, err := x.tx.Exec(ctx, `delete from portalgate.lockouts where tenant_id = $1 and account = $2`, x.tenant, account(x.tenant, e))
	if err != nil {
		return 0, fmt.Errorf("unlocking: %w", err)
	}
	return tag.RowsAffected(), x.Mirror(ctx, e)
}

// Rest is a purse that rests or is closed, for operators.
type Rest struct {
	Email   portal.Email // empty: no person of the tenant has the address
	Device  bool         // of a browser that the account knows
	Second  bool         // of guesses at a second step, not at the password
	Closed  bool
	Lockout portal.Lockout
}

// Rests are the purses that rest or are closed now, those that rest longest first.
func (x *Tx) Rests(ctx context.Context, most int) ([]Rest, error) {
	rows, err := x.tx.Query(ctx, `select account, purse not in ('', 'second:'), purse like 'second:%', failures, last_failure, coalesce(rests_until, last_failure) from portalgate.lockouts
		where tenant_id = $1 and (rests_until > $2 or failures >= $3) order by rests_until desc nulls last, account, purse limit $4`, x.tenant, x.now, x.lockout.Close, most)
	if err != nil {
		return nil, fmt.Errorf("listing lockouts: %w", err)
	}
	var accounts [][]byte
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Rest, err error) {
		var a []byte
		err = row.Scan(&a, &r.Device, &r.Second, &r.Lockout.Failures, &r.Lockout.LastFailure, &r.Lockout.RestsUntil)
		accounts = append(accounts, a)
		r.Closed = x.lockout.Closed(r.Lockout)
		r.Lockout.Failures = min(r.Lockout.Failures, x.lockout.Close)
		return r, err
	})
	if err != nil || len(out) == 0 {
		return nil, err
	}
	// The table knows digests alone; whose they are is found from the other end.
	rows, err = x.tx.Query(ctx, `select distinct lower(u.email) from portalgate.addresses a join public.customer_users u on u.tenant_id = a.tenant_id and u.id = a.user_id
		where a.tenant_id = $1 and a.account = any ($2) and u.deleted_at is null`, x.tenant, accounts)
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	emails, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("listing addresses: %w", err)
	}
	whose := make(map[string]portal.Email, len(emails))
	for _, e := range emails {
		if email, err := portal.ParseEmail(e); err == nil {
			whose[string(account(x.tenant, email))] = email
		}
	}
	for i := range out {
		out[i].Email = whose[string(accounts[i])]
	}
	return out, nil
}

// SweepLockouts forgets purses that are empty again, some at a time: whoever guesses at addresses that nobody has must
// not fill the table (DOS-04). A closed purse stays. What the ERP's columns showed of a purse goes with it.
func (s *Store) SweepLockouts(ctx context.Context, t portal.TenantID, now time.Time, most int) (n int64, err error) {
	err = s.Within(ctx, t, now, func(x *Tx) error {
		// Materialised, or the plan may look for its "limit" rows more than once.
		rows, err := x.tx.Query(ctx, `with old as materialized (
				select tenant_id, account, purse from portalgate.lockouts
				where tenant_id = $1 and last_failure < $2 and failures < $3 and (rests_until is null or rests_until <= $4)
				order by last_failure limit $5 for update skip locked
			) delete from portalgate.lockouts l using old where (l.tenant_id, l.account, l.purse) = (old.tenant_id, old.account, old.purse)
			returning l.account, l.purse = ''`,
			t, now.Add(-s.lockout.Kept), s.lockout.Close, now, most)
		if err != nil {
			return fmt.Errorf("forgetting old lockouts: %w", err)
		}
		var (
			account   []byte
			strangers bool
			gone      [][]byte
		)
		tag, err := pgx.ForEachRow(rows, []any{&account, &strangers}, func() error {
			if strangers {
				gone = append(gone, account)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("forgetting old lockouts: %w", err)
		}
		if n = tag.RowsAffected(); len(gone) == 0 {
			return nil
		}
		if _, err = x.tx.Exec(ctx, `update public.customer_users set failed_login_attempts = 0, account_locked_until = null
			where tenant_id = $1 and (failed_login_attempts <> 0 or account_locked_until is not null) and id in (select user_id from portalgate.addresses where tenant_id = $1 and account = any ($2))`, t, gone); err != nil {
			return fmt.Errorf("mirroring forgotten lockouts: %w", err)
		}
		return nil
	})
	return n, err
}
