package auth

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/portalgate/portalgate/internal/portal"
)

// counts are the sign-ins by what came of them, for metrics.
type counts struct {
	done, unfinished, wrong, limited, busy, unavailable, input, failed atomic.Int64
	seconds                                                            sync.Map // portal.FactorKind, *[2]atomic.Int64
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

// second notes what came of an answer at the second step, or of a passkey at the door.
func (c *counts) second(k portal.FactorKind, right bool) {
	n, _ := c.seconds.LoadOrStore(k, new([2]atomic.Int64)) // one pair for each method there is
	if pair := n.(*[2]atomic.Int64); right {
		pair[1].Add(1)
	} else {
		pair[0].Add(1)
	}
}

// SecondSteps are the answers at the second step since the program began, by kind: the wrong ones, and the right.
func (s *Service) SecondSteps() map[portal.FactorKind][2]int64 {
	out := map[portal.FactorKind][2]int64{}
	s.counts.seconds.Range(func(k, n any) bool {
		pair := n.(*[2]atomic.Int64)
		out[k.(portal.FactorKind)] = [2]int64{pair[0].Load(), pair[1].Load()}
		return true
	})
	return out
}

// Counts are the sign-ins since the program began, by what came of them.
func (s *Service) Counts() map[string]int64 {
	c := &s.counts
	return map[string]int64{
		"signed_in": c.done.Load(), "unfinished": c.unfinished.Load(), "wrong": c.wrong.Load(), "limited": c.limited.Load(),
		"busy": c.busy.Load(), "unavailable": c.unavailable.Load(), "input": c.input.Load(), "failed": c.failed.Load(),
	}
}
