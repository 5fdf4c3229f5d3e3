package auth

import (
	"errors"
	"sync/atomic"

	"github.com/portalgate/portalgate/internal/portal"
)

// counts are the sign-ins by what came of them, for metrics.
type counts struct {
	done, unfinished, wrong, limited, busy, unavailable, input, failed atomic.Int64
}

func (c *counts) signIn(out Outcome, err error) {
	var p *portal.Problem
	switch {
	case err == nil && out.Grant != nil:
		c.done.Add(1)
	case err == nil:
		c.unfinished.Add(1)
	case !errors.As(err, &p):
		c.failed.Add(1)
	case p.Kind == portal.ProblemCredentials:
		c.wrong.Add(1)
	case p.Kind == portal.ProblemLimit:
		c.limited.Add(1)
	case p.Kind == portal.ProblemBusy:
		c.busy.Add(1)
	case p.Kind == portal.ProblemUnavailable:
		c.unavailable.Add(1)
	case p.Kind == portal.ProblemInput:
		c.input.Add(1)
	default:
		c.failed.Add(1)
	}
}

// Counts are the sign-ins since the program began, by what came of them.
func (s *Service) Counts() map[string]int64 {
	c := &s.counts
	return map[string]int64{
		"signed_in": c.done.Load(), "unfinished": c.unfinished.Load(), "wrong": c.wrong.Load(), "limited": c.limited.Load(),
		"busy": c.busy.Load(), "unavailable": c.unavailable.Load(), "input": c.input.Load(), "failed": c.failed.Load(),
	}
}
