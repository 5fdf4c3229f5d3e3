package store

import (
	"context"
	"fmt"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
)

// Turn is what a text message finds when it wants to leave for a number.
type Turn struct {
	Overtaken bool      // a newer one was asked for, for the same person
	Sent      int       // how many have left for the number since the moment asked about
	Last      time.Time // when the last of them did
	UnderWay  bool      // another courier is handing one over
}

// TakeTurn has a text message that was claimed take its turn at a number: of all couriers one at a time sends to it, so
// that a hundred that are asked for at the same moment are counted like a hundred one after the other. Unless the turn
// that is returned stands in the way, it is this letter's until it is sent, deferred, or its claim has ended.
//
// While it waits, a letter has no note of its number but the sealed one; the digest is noted here and stays when it has
// left, which is how the next ones are counted.
func (x *Tx) TakeTurn(ctx context.Context, id portal.LetterID, number string, since time.Time) (t Turn, err error) {
	once := x.same("text message " + number)
	if _, err := x.tx.Exec(ctx, `select pg_advisory_xact_lock(hashtextextended('portalgate text ' || encode($1, 'hex'), 0))`, once); err != nil {
		return t, fmt.Errorf("taking turns at a number: %w", err)
	}
	err = x.tx.QueryRow(ctx, `select exists (select from portalgate.outbox o where o.tenant_id = $1 and o.kind = $2 and o.user_id = m.user_id and (o.created_at, o.id) > (m.created_at, m.id)
				and (o.state = 'waiting' or o.state <> 'waiting' and o.done_at >= m.created_at)),
			exists (select from portalgate.outbox o where o.tenant_id = $1 and o.kind = $2 and o.state = 'waiting' and o.once = $4 and o.id <> m.id and o.claimed_until > $5)
		from portalgate.outbox m where m.tenant_id = $1 and m.id = $3`, x.tenant, portal.LetterTextCode, id, once, x.now).Scan(&t.Overtaken, &t.UnderWay)
	if err != nil {
		return t, said(fmt.Errorf("taking turns at a number: %w", err))
	}
	if t.Sent, t.Last, err = x.SentSince(ctx, portal.LetterTextCode, once, since); err != nil || t.Overtaken || t.UnderWay {
		return t, err
	}
	// Whoever had the turn and does not send now has lost it.
	if _, err := x.tx.Exec(ctx, `update portalgate.outbox set once = null where tenant_id = $1 and kind = $2 and state = 'waiting' and once = $3 and id <> $4`, x.tenant, portal.LetterTextCode, once, id); err != nil {
		return t, fmt.Errorf("taking a turn from a letter that waits: %w", err)
	}
	if _, err := x.tx.Exec(ctx, `update portalgate.outbox set once = $3 where tenant_id = $1 and id = $2 and state = 'waiting'`, x.tenant, id, once); err != nil {
		return t, fmt.Errorf("taking a turn: %w", err)
	}
	return t, nil
}

// Texted erases a text message that has left. What stays says that one has left for a number, as a digest, and when.
func (x *Tx) Texted(ctx context.Context, id portal.LetterID) error {
	return x.done(ctx, id, "sent", "", nil)
}
