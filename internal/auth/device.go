package auth

import (
	"context"

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

// meet makes a browser one that a person is known on.
func (s *Service) meet(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, u portal.UserID) (m meeting, err error) {
	digest := []byte(c.Device)
	if len(digest) == 0 {
		token := secret.NewToken()
		d := token.Digest(secret.KindDevice, string(t.ID))
		digest, m.given = d[:], &token
	}
	m.Meeting, err = x.SawDevice(ctx, u, digest, whereabouts.Device(c.Agent), c.Agent, c.Addr)
	return m, err
}
