package auth

import (
	"context"
	"errors"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/ratelimit"
	"github.com/portalgate/portalgate/internal/whereabouts"
)

// count draws on the limits by network, by tenant and over everything, before anything is looked up. A browser that
// brings a device cookie may be one that the account knows; only the database can tell, and until it has, the limits
// that hold for strangers wait.
func (s *Service) count(ctx context.Context, t *portal.Tenant, c portal.Client, email portal.Email) *ratelimit.Paid {
	defer still(ctx)() // a place among the guesses of a network has a bound of its own
	return s.Limits.Pay(ctx, c.At, s.guessOf(t, c, email))
}

func (s *Service) guessOf(t *portal.Tenant, c portal.Client, email portal.Email) ratelimit.Guess {
	return ratelimit.Guess{
		Tenant: t.ID, Network: whereabouts.Network(c.Addr), Account: email,
		Stranger: c.Device == "", Exempt: s.Exempt(c) || t.Office(c.Addr),
	}
}

// errStranger means that the browser's device cookie is not one that the account knows.
var errStranger = errors.New("not a device of this account")

// mayCheck says whether the limits let a guess be checked, now that it is known whose device this is.
func (g *guess) mayCheck() error {
	if g.paid == nil {
		return nil
	}
	known := g.device != ""
	if !known && !g.paid.Stranger() {
		return errStranger
	}
	return limited(g.paid.Decision(known))
}

func limited(d ratelimit.Decision) error {
	switch {
	case d.Allowed:
		return nil
	case d.Busy:
		return &portal.Problem{Kind: portal.ProblemBusy, Public: publicBusy, RetryAfter: d.RetryAfter, Rule: d.Limit.Name}
	}
	return &portal.Problem{Kind: portal.ProblemLimit, Public: d.Limit.Public, RetryAfter: d.RetryAfter, Rule: d.Limit.Name}
}
