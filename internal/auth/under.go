package auth

import (
	"context"
	"errors"

	"github.com/portalgate/portalgate/internal/factor"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// Under is the set-up of a kind that is under way, to be shown again; it changes nothing. Where there is none the error is
// ErrNothing.
func (s *Service) Under(ctx context.Context, t *portal.Tenant, c portal.Client, h Holder, k portal.FactorKind) (out SettingUp, err error) {
	m := s.method(k)
	if m == nil {
		return out, errNotOffered
	}
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		p, err := s.mayAdd(ctx, x, t, c, h)
		if err != nil {
			return err
		}
		if !s.offers(t, p, m) {
			return errNotOffered
		}
		out = SettingUp{Kind: k, Title: m.Traits().Title, Email: string(p.email)}
		ch, err := x.Challenge(ctx, p.digest, string(factor.PurposeEnrol), k)
		if errors.Is(err, store.ErrNone) {
			return ErrNothing
		}
		if err != nil {
			return err
		}
		tr := m.Traits()
		if tr.Script { // it asks by itself
			return nil
		}
		if ch.Tries == 0 && !tr.Sent { // it takes no answer any more, and nobody else is waited for
			return ErrNothing
		}
		before, err := s.opened(t.ID, ch, c.At)
		if err != nil {
			return err
		}
		if tr.Sent {
			out.SentAt, out.Expires, out.Tries, out.Contact = ch.CreatedAt, ch.ExpiresAt, ch.Tries, tr.Contact
			out.To, err = factor.SentTo(before)
			return err
		}
		shown, err := m.Setup(ctx, p.scene(t, factor.PurposeEnrol, c.At), nil, before)
		out.Show = shown.Show
		return err
	})
	return out, err
}
