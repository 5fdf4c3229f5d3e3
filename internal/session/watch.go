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

// Watch reads a session anew for what goes on without asking: an open socket, a stream. What cannot be found out is
// over: without PostgreSQL a socket lives no longer than any request would (contract 12).
func (k *Keeper) Watch(ctx context.Context, t *portal.Tenant, id portal.SessionID, now time.Time) (*Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, neighbourWait)
	defer cancel()
	return k.read(ctx, t, id, now)
}

// Lasts says until when a session lives for certain, by facts that have just been read; then it is to be watched again,
// at the latest when an access token of now would end.
func (k *Keeper) Lasts(f *Facts, now time.Time) time.Time {
	return earlier(now.Add(k.o.Policy.AccessLife), earlier(f.Session.End, f.Session.IdleEnd))
}
