package session

import (
	"context"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
)

// Changed says whether anything has happened to a session since its facts were read. What is to end with it asks once
// more after it has made itself known, because a change that came in between found nothing to end.
func (k *Keeper) Changed(f *Facts) bool {
	epoch := f.epoch.Load()
	if epoch == k.o.Ended.Epoch() {
		return false
	}
	id, a := portal.IDBytes(f.Session.ID)
	tenant, b := portal.IDBytes(f.Session.Tenant)
	return !a || !b || k.o.Ended.Since(epoch, id, f.user, tenant)
}

// Watch says until when a session lives for certain, for what goes on without asking: an open socket, a stream. It is
// asked again then, at the latest when an access token of now would end, and what cannot be found out is over:
// without PostgreSQL a socket lives no longer than any request would (contract 12).
func (k *Keeper) Watch(ctx context.Context, t *portal.Tenant, id portal.SessionID, now time.Time) (until time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, neighbourWait)
	defer cancel()
	f, err := k.read(ctx, t, id, now)
	if err != nil {
		return time.Time{}, err
	}
	return k.Lasts(f, now), nil
}

// Lasts is the same from facts that have just been read.
func (k *Keeper) Lasts(f *Facts, now time.Time) time.Time {
	return earlier(now.Add(k.o.Policy.AccessLife), earlier(f.Session.End, f.Session.IdleEnd))
}
