package auth

import (
	"context"
	"errors"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/whereabouts"
)

// meeting is how a browser and a person know each other.
type meeting struct {
	store.Meeting
	given *secret.Token // the browser's new device cookie
}

// meet makes a browser one that a person is known on, by the first of their rows. Its identifier is one that we have made,
// and made for them (SES-04): whoever has sat at a shared computer before may have copied the one that it has, and would be
// known elsewhere as the colleague who signs in there next. So it gets another, unless it is one of theirs already; and also
// where anew is set, since it is about to be worth more. Who else is known on that browser stays so, by the new one: people
// who sign in there by turns are asked no more than before, and the copy is nobody's.
func (s *Service) meet(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, person []portal.UserID, anew bool) (m meeting, err error) {
	digest := []byte(c.Device)
	theirs := false
	if len(digest) > 0 && !anew {
		_, err := x.Device(ctx, digest, person)
		if err != nil && !errors.Is(err, store.ErrNone) {
			return m, err
		}
		theirs = err == nil
	}
	if !theirs {
		token := secret.NewToken()
		d := token.Digest(secret.KindDevice, string(t.ID))
		if err := x.MoveDevices(ctx, digest, d[:]); err != nil {
			return m, err
		}
		digest, m.given = d[:], &token
	}
	m.Meeting, err = x.SawDevice(ctx, person[0], digest, whereabouts.Device(c.Agent), c.Agent, c.Addr)
	return m, err
}
