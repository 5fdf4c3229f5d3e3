package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/portal"
)

// Due is a letter whose time has come. Who it is for and what it says is read inside its tenant.
type Due struct {
	Tenant portal.TenantID
	Letter portal.LetterID
}

// Claim takes letters of any tenant that are due, at most most and never more than a hundred: for two minutes no other
// courier gets them.
func (s *Store) Claim(ctx context.Context, now time.Time, most int) (due []Due, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	conn, err := s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	b := &pgx.Batch{}
	b.Queue(setTenant, string(portal.NilTenant), now.UTC().Format(time.RFC3339Nano))
	b.Queue(`select tenant_id::text, letter_id::text from portalgate.claim($1)`, most).Query(func(rows pgx.Rows) error {
		due, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Due])
		return err
	})
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return nil, said(fmt.Errorf("claiming letters: %w", err))
	}
	return due, nil
}

// Queued is a letter as it waits: its address and what it says are sealed, and of what makes it the same as another one
// there is a digest.
type Queued struct {
	ID               portal.LetterID
	Kind             portal.LetterKind
	User             portal.UserID
	Address, Content string
	KeyID            string
	Language         string
	Same             string    // of letters of a kind with the same, one waits at a time; it is kept as a digest
	Once             []byte    // that digest
	At, Expires      time.Time // when it may leave, and when it is too late

	State     string
	Tries     int
	More      int // how often the same was asked for meanwhile
	LastError string
	CreatedAt time.Time
	DoneAt    time.Time
}

// Post queues a letter in the transaction of the deed. Where the same waits already it is noted there, and that is all:
// asking again floods nobody's mailbox.
func (x *Tx) Post(_ context.Context, q Queued) error {
	x.posted = true
	x.tx.Later("queueing a letter", `insert into portalgate.outbox as o (id, tenant_id, kind, user_id, address, content, key_id, language, once, next_try_at, created_at, expires_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		on conflict (tenant_id, kind, once) where state = 'waiting' do update set more = o.more + 1`,
		q.ID, x.tenant, q.Kind, idOrNull(q.User), []byte(q.Address), []byte(q.Content), q.KeyID, q.Language, x.same(q.Same), q.At, x.now, timeOrNull(q.Expires))
	return nil
}

// same is what equal letters are known by: no list of addresses.
func (x *Tx) same(s string) []byte {
	if s == "" {
		return nil
	}
	d := sha256.Sum256([]byte("portalgate letter\x00" + string(x.tenant) + "\x00" + s))
	return d[:]
}

func idOrNull[T ~string](id T) *string {
	if id == "" {
		return nil
	}
	s := string(id)
	return &s
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Queued reads a letter that waits.
func (x *Tx) Queued(ctx context.Context, id portal.LetterID) (q Queued, err error) {
	var (
		user             *string
		address, content []byte
		expires          *time.Time
	)
	q.ID, q.State = id, "waiting"
	err = x.tx.QueryRow(ctx, `select kind, user_id::text, address, content, key_id, language, once, next_try_at, expires_at, tries, more, created_at, last_error
		from portalgate.outbox where tenant_id = $1 and id = $2 and state = 'waiting'`, x.tenant, id).
		Scan(&q.Kind, &user, &address, &content, &q.KeyID, &q.Language, &q.Once, &q.At, &expires, &q.Tries, &q.More, &q.CreatedAt, &q.LastError)
	if err != nil {
		return Queued{}, said(err)
	}
	if q.Address, q.Content = string(address), string(content); user != nil {
		q.User = portal.UserID(*user)
	}
	if expires != nil {
		q.Expires = *expires
	}
	return q, nil
}

// SentSince counts the letters of a kind with the same that have left since a moment, and says when the last one did.
func (x *Tx) SentSince(ctx context.Context, kind portal.LetterKind, once []byte, since time.Time) (n int, last time.Time, err error) {
	var at *time.Time
	err = x.tx.QueryRow(ctx, `select count(*), max(done_at) from portalgate.outbox where tenant_id = $1 and kind = $2 and once = $3 and state = 'sent' and done_at > $4`,
		x.tenant, kind, once, since).Scan(&n, &at)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("counting letters: %w", err)
	}
	if at != nil {
		last = *at
	}
	return n, last, nil
}

// Departs notes a digest of whom a letter is for that is about to be handed to a provider.
func (x *Tx) Departs(id portal.LetterID, to portal.Email) {
	x.tx.Later("a letter departs", `update portalgate.outbox set recipient = $3 where tenant_id = $1 and id = $2 and state = 'waiting'`, x.tenant, id, account(x.tenant, to))
}

// Delivered erases a letter that has left. What stays says that one of its kind did, and when, and the
// digest of whom it was for.
func (x *Tx) Delivered(ctx context.Context, id portal.LetterID, to portal.Email) error {
	return x.done(ctx, id, "sent", "", account(x.tenant, to))
}

// Dropped erases a letter that is not to be sent.
func (x *Tx) Dropped(ctx context.Context, id portal.LetterID, why string) error {
	return x.done(ctx, id, "dropped", why, nil)
}

func (x *Tx) done(ctx context.Context, id portal.LetterID, state, why string, recipient []byte) error {
	_, err := x.tx.Exec(ctx, `update portalgate.outbox set state = $3, done_at = $4, content = null, address = '', last_error = $5, claimed_until = null, recipient = $6 where tenant_id = $1 and id = $2 and state = 'waiting'`,
		x.tenant, id, state, x.now, why, recipient)
	if err != nil {
		return fmt.Errorf("a letter is %s: %w", state, err)
	}
	return nil
}

// DropLetters drops what waits for these people since a moment, but for some kinds: it is for the mailbox that they had then.
func (x *Tx) DropLetters(_ context.Context, users []portal.UserID, since time.Time, but ...portal.LetterKind) error {
	x.tx.Later("dropping letters", `update portalgate.outbox set state = 'dropped', done_at = $3, content = null, address = '', claimed_until = null, last_error = 'the account has another address by now'
		where tenant_id = $1 and user_id = any ($2::uuid[]) and created_at >= $4 and state in ('waiting', 'failed') and kind <> all ($5)`, x.tenant, users, x.now, since, but)
	return nil
}

// Undeliverable puts a letter aside that no further try would deliver; an operator can send it again.
func (x *Tx) Undeliverable(ctx context.Context, id portal.LetterID, why string) error {
	_, err := x.tx.Exec(ctx, `update portalgate.outbox set state = 'failed', done_at = $3, last_error = $4, claimed_until = null where tenant_id = $1 and id = $2 and state = 'waiting'`,
		x.tenant, id, x.now, why)
	if err != nil {
		return fmt.Errorf("putting a letter aside: %w", err)
	}
	return nil
}

// Deferred lets a letter wait until at.
func (x *Tx) Deferred(ctx context.Context, id portal.LetterID, at time.Time, why string) error {
	_, err := x.tx.Exec(ctx, `update portalgate.outbox set next_try_at = $3, claimed_until = null, last_error = $4 where tenant_id = $1 and id = $2 and state = 'waiting'`, x.tenant, id, at, why)
	if err != nil {
		return fmt.Errorf("deferring a letter: %w", err)
	}
	return nil
}

// HeldBack lets a letter wait until at that nobody has tried to deliver: the try that its claim has counted is handed
// back.
func (x *Tx) HeldBack(ctx context.Context, id portal.LetterID, at time.Time, why string) error {
	_, err := x.tx.Exec(ctx, `update portalgate.outbox set next_try_at = $3, claimed_until = null, tries = greatest(tries - 1, 0), last_error = case when last_error = '' then $4 else last_error end
		where tenant_id = $1 and id = $2 and state = 'waiting'`, x.tenant, id, at, why)
	if err != nil {
		return fmt.Errorf("holding a letter back: %w", err)
	}
	return nil
}

// Letters lists the letters of a state, those that come first, first.
func (x *Tx) Letters(ctx context.Context, state string, most int) ([]Queued, error) {
	rows, err := x.tx.Query(ctx, `select id::text, kind, coalesce(user_id::text, ''), address, state, tries, more, next_try_at, created_at, coalesce(done_at, created_at), last_error
		from portalgate.outbox where tenant_id = $1 and ($2 = '' or state = $2) order by next_try_at, id limit $3`, x.tenant, state, most)
	if err != nil {
		return nil, fmt.Errorf("listing letters: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (q Queued, err error) {
		var address []byte
		err = row.Scan(&q.ID, &q.Kind, &q.User, &address, &q.State, &q.Tries, &q.More, &q.At, &q.CreatedAt, &q.DoneAt, &q.LastError)
		q.Address = string(address)
		return q, err
	})
}

// RetryLetters lets letters that were put aside, or wait for their next try, leave now: one of them, or all. The letter of a
// recovery waits for that, whatever anybody wishes.
func (x *Tx) RetryLetters(ctx context.Context, id portal.LetterID, d Deed) (int64, error) {
	tag, err := x.tx.Exec(ctx, `update portalgate.outbox o set state = 'waiting', done_at = null, tries = 0, next_try_at = $3, claimed_until = null
		where tenant_id = $1 and ($2::uuid is null or id = $2) and (state = 'failed' or state = 'waiting' and (claimed_until is null or claimed_until <= $3))
		and not (state = 'failed' and once is not null and exists (select from portalgate.outbox w where w.tenant_id = o.tenant_id and w.kind = o.kind and w.once = o.once and w.state = 'waiting'))
		and not exists (select from portalgate.recoveries r where r.tenant_id = o.tenant_id and r.letter_id = o.id and r.ended_at is null and r.due_at > $3)`,
		x.tenant, idOrNull(id), x.now)
	if err != nil {
		return 0, said(fmt.Errorf("sending letters again: %w", err))
	}
	n := tag.RowsAffected()
	if n == 0 {
		return 0, nil
	}
	return n, x.did(ctx, d, portal.VerbMailRetried, "", map[string]string{"letters": fmt.Sprint(n)})
}

// SweepLetters forgets letters that are long done, most at a time. What was dropped, as for an address that nobody has,
// goes after two hours: asking for mails fills no table (DOS-04).
func (s *Store) SweepLetters(ctx context.Context, t portal.TenantID, now time.Time, most int) (n int64, err error) {
	err = s.Within(ctx, t, now, func(x *Tx) error {
		tag, err := x.tx.Exec(ctx, `delete from portalgate.outbox where tenant_id = $1 and id in (
				select id from portalgate.outbox where tenant_id = $1 and state <> 'waiting' and done_at < case state when 'dropped' then $2::timestamptz else $3::timestamptz end limit $4)`, x.tenant, now.Add(-2*time.Hour), now.Add(-30*24*time.Hour), most)
		n = tag.RowsAffected()
		return err
	})
	if err != nil {
		return 0, errors.Join(fmt.Errorf("forgetting old letters"), err)
	}
	return n, nil
}

// LettersSince counts the letters of a kind that were queued for a person since a moment, whatever has become of them, and
// says when the last one was.
func (x *Tx) LettersSince(ctx context.Context, kind portal.LetterKind, user portal.UserID, since time.Time) (n int, last time.Time, err error) {
	var at *time.Time
	err = x.tx.QueryRow(ctx, `select count(*), max(created_at) from portalgate.outbox where tenant_id = $1 and kind = $2 and user_id = $3 and created_at > $4`, x.tenant, kind, user, since).Scan(&n, &at)
	if err != nil {
		return 0, last, fmt.Errorf("counting letters: %w", err)
	}
	if at != nil {
		last = *at
	}
	return n, last, nil
}
