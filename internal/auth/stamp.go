package auth

import (
	"context"
	"errors"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/ratelimit"
	"github.com/portalgate/portalgate/internal/store"
)

// stamp is what a code needs besides its person's leave to be sent: that not too many were for the same network and the
// same tenant (OOB-05). What one person may have bounds nobody who has many accounts, and lets text messages be sent to
// numbers of theirs that pay for each.
type stamp struct {
	text, known bool // for what it was asked
	refused     error
}

// errUnstamped means that a code would leave, and nobody has asked yet whether it may.
type errUnstamped struct{ text, known bool }

func (*errUnstamped) Error() string { return "a code has no stamp" }

// good says whether a code may leave under a stamp.
func (s *stamp) good(kind portal.LetterKind, known bool) error {
	text := kind == portal.LetterTextCode
	if s == nil || s.text != text || s.known != known {
		return &errUnstamped{text, known}
	}
	return s.refused
}

// sending runs fn in a transaction of a tenant, as within does. The limits are asked only when it turns out that a code
// would leave, and between two transactions: what is asked may hang, and a transaction holds the locks of others. A code
// that is refused by its person's own numbers has cost nobody anything.
func (s *Service) sending(ctx context.Context, t *portal.Tenant, c portal.Client, fn func(*store.Tx, *stamp) error) error {
	var paid *stamp
	for {
		err := s.within(ctx, t, c.At, func(x *store.Tx) error { return fn(x, paid) })
		due, ok := errors.AsType[*errUnstamped](err)
		if !ok || paid != nil && paid.text == due.text && paid.known == due.known {
			return err
		}
		g := s.guessOf(t, c, "")
		g.Stranger = !due.known
		paid = &stamp{text: due.text, known: due.known, refused: limited(s.Limits.Code(ctx, c.At, g, due.text))}
		if paid.refused != nil {
			s.tallies.add(t.ID, c, refusedCode)
		}
	}
}

// noCodeLeft says whether an error means that enough codes were sent.
func (s *Service) noCodeLeft(err error) bool {
	limit, ok := errors.AsType[*portal.Problem](err)
	if !ok || limit.Kind != portal.ProblemLimit {
		return false
	}
	l := s.Limits.Limits()
	for _, of := range []ratelimit.Limit{l.CodesNetwork, l.CodesTenant, l.TextsNetwork, l.TextsTenant} {
		if limit.Rule == of.Name {
			return true
		}
	}
	return limit.Rule == RuleCodes
}
