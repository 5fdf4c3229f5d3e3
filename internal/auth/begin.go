package auth

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/whereabouts"
)

// waits are the steps that a sign-in waits at behind its cookie.
var waits = map[portal.Step]bool{portal.StepConfirmAddress: true, portal.StepNewPassword: true, portal.StepSecond: true, portal.StepEnrol: true}

// grace is until when somebody without a second step may go on, where one is required of them.
func (s *Service) grace(at portal.Attempt, sit portal.Situation) time.Time {
	if sit.MFA != portal.MFARequired || len(sit.Factors) > 0 || at.Second() || !at.Verified || !sit.Now.Before(sit.Grace) {
		return time.Time{}
	}
	return sit.Grace
}

// manyFailures before a good sign-in are worth a word to the owner: one more, and the password would have rested.
const manyFailures = portal.FreeFailures - 1

// before is what a browser had when its session begins.
type before struct {
	previous portal.SessionID // a session that is over now
	anew     bool             // the device gets another identifier
	// The session that this one goes on from, where nothing but the password was asked for: it is no fresher than that and
	// ends no later. A stolen password would otherwise keep the second proof of a stolen session fresh for ever.
	from *portal.Session
}

// begin makes the session of a finished sign-in in the caller's transaction: the device is known from here on, the
// session that this browser had before is over (LOG-04), and the trail says so.
func (s *Service) begin(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, at portal.Attempt, u portal.User, was before) (session.Grant, []portal.SessionID, error) {
	met, err := s.meet(ctx, x, t, c, append([]portal.UserID{u.ID}, at.Users...), was.anew)
	if err != nil {
		return session.Grant{}, nil, err
	}
	var ended []portal.SessionID
	if was.previous != "" {
		if ok, err := x.EndSession(ctx, was.previous, portal.EndReplaced); err != nil {
			return session.Grant{}, nil, err
		} else if ok {
			ended = append(ended, was.previous)
		}
	}
	b := session.Beginning{User: u, Choices: at.Users, Device: met.ID, Remember: at.Remember, AMR: at.Shown, MFAAt: secondAt(at, c.At)}
	if was.from != nil {
		b.MFAAt, b.End = was.from.MFAAt, was.from.End
	}
	grant, over, err := s.Sessions.Begin(ctx, x, t, c, b)
	if err != nil {
		return session.Grant{}, nil, err
	}
	grant.Device = met.given
	if err := x.SignedIn(ctx, u.ID, c.Addr, c.At); err != nil {
		return session.Grant{}, nil, err
	}
	facts := map[string]string{"device": whereabouts.Device(c.Agent), "methods": portal.JoinAMR(at.Shown)}
	if met.IsNew {
		facts["new_device"] = "true"
	}
	if met.IsNew && met.Others && !met.Seen {
		if err := s.notify(ctx, x, t, c, u, portal.LetterNewDevice, nil); err != nil {
			return session.Grant{}, nil, err
		}
	}
	if ended = append(ended, over...); len(ended) > 0 {
		facts["sessions_ended"] = fmt.Sprint(len(ended)) // the one this browser had, or the oldest of too many
	}
	return grant, ended, x.Record(ctx, portal.Activity{Verb: portal.VerbLogin, User: u.ID, Session: grant.Session.ID,
		Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "ok", Facts: facts})
}

// secondAt is when a second proof that counts was shown: now, if it was.
func secondAt(at portal.Attempt, now time.Time) time.Time {
	if slices.Contains(at.Shown, portal.AMRMulti) {
		return now
	}
	return time.Time{}
}

// Waiting reads the sign-in that waits behind the attempt cookie, for its page.
func (s *Service) Waiting(ctx context.Context, t *portal.Tenant, c portal.Client, attempt string) (Waiting, error) {
	_, w, err := s.waiting(ctx, t, c, attempt)
	return w, err
}

func (s *Service) waiting(ctx context.Context, t *portal.Tenant, c portal.Client, attempt string) (portal.Attempt, Waiting, error) {
	gone := &portal.Problem{Kind: portal.ProblemSessionRequired, Public: "Please sign in again."}
	token, err := secret.ParseToken(attempt)
	if err != nil {
		return portal.Attempt{}, Waiting{}, gone
	}
	var p *party
	err = s.within(ctx, t, c.At, func(x *store.Tx) (err error) {
		p, err = s.party(ctx, x, t, c, Holder{Attempt: token.Reveal()})
		return err
	})
	if err != nil {
		return portal.Attempt{}, Waiting{}, err
	}
	return p.attempt, Waiting{Step: portal.Next(p.attempt, p.sit), Masked: p.email.Masked(), Email: p.user().Email, ReturnTo: p.attempt.ReturnTo, situation: p.sit}, nil
}
