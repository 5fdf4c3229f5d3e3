package auth

import (
	"context"
	"time"

	"github.com/portalgate/portalgate/internal/factor"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// decide says what comes next. An offer is noted as it is made, and not when somebody has answered it: whoever closes the
// page has said no, and is not asked again.
func decide(ctx context.Context, x *store.Tx, at portal.Attempt, sit portal.Situation, u portal.User, out *Outcome) error {
	if out.Step = portal.Next(at, sit); out.Step != portal.StepOffer {
		return nil
	}
	sit.Makes = false
	out.After = portal.Next(at, sit)
	return x.Offer(ctx, u.ID)
}

// lister is a method whose factors a browser keeps, and may be told about.
type lister interface {
	Accepted(s factor.Scene, have []factor.Held) ([]factor.Accepted, error)
}

// accepted is what a browser may be told of a person's passkeys. Where one cannot be opened it is told nothing: the page
// that lists them is of use all the same, and the sign-in with that one says what is wrong.
func (s *Service) accepted(t *portal.Tenant, p *party, now time.Time) []factor.Accepted {
	m, ok := s.method(portal.FactorWebAuthn).(lister)
	if !ok {
		return nil
	}
	have, err := s.held(t, p, portal.FactorWebAuthn, now)
	if err != nil {
		return nil
	}
	list, err := m.Accepted(p.scene(t, p.purpose(), now), have)
	if err != nil {
		return nil
	}
	return list
}
