package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// Dossier is everything that is stored about this session's person, as a JSON document. Whoever has only found a browser
// open must not walk away with it: it is for somebody who has just shown who they are.
func (s *Service) Dossier(ctx context.Context, t *portal.Tenant, c portal.Client, ses portal.Session) ([]byte, error) {
	if err := s.Ready(ctx, t, c, Holder{Session: &ses}); err != nil {
		return nil, err
	}
	var d store.Dossier
	err := s.within(ctx, t, c.At, func(x *store.Tx) (err error) {
		if d, err = x.Dossier(ctx, ses.Choices); err != nil {
			return err
		}
		return x.Record(ctx, portal.Activity{Verb: portal.VerbExported, User: ses.User, Session: ses.ID, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "ok"})
	})
	if err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing what is stored: %w", err)
	}
	return append(b, '\n'), nil
}

// AskErasure notes that this session's person wants to be erased, or wants so no longer. An operator of the company does
// it: whether it may be done, and when, is theirs to judge, and what reaches into the trails is not for the gateway.
func (s *Service) AskErasure(ctx context.Context, t *portal.Tenant, c portal.Client, ses portal.Session, wanted bool) error {
	if err := s.Ready(ctx, t, c, Holder{Session: &ses}); err != nil {
		return err
	}
	verb := portal.VerbErasureAsked
	if !wanted {
		verb = portal.VerbErasureTakenBack
	}
	return s.within(ctx, t, c.At, func(x *store.Tx) error {
		asked, err := x.ErasureAsked(ctx, ses.Choices)
		if err != nil || asked.IsZero() != wanted {
			return err // done already, by another press of the same button
		}
		return x.Record(ctx, portal.Activity{Verb: verb, User: ses.User, Session: ses.ID, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "ok"})
	})
}

// ErasureAsked is when this session's person has asked to be erased; zero: they have not, or have taken it back.
func (s *Service) ErasureAsked(ctx context.Context, t *portal.Tenant, c portal.Client, ses portal.Session) (at time.Time, err error) {
	err = s.within(ctx, t, c.At, func(x *store.Tx) (err error) {
		at, err = x.ErasureAsked(ctx, ses.Choices)
		return err
	})
	return at, err
}
