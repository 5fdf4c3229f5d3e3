package auth

import (
	"context"
	"errors"
	"slices"

	"github.com/portalgate/portalgate/internal/factor"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/store"
)

// finder is a method by which somebody can sign in without saying who they are.
type finder interface {
	factor.Method
	Claimed(answer string) (lookup []byte, err error)
}

func (s *Service) finder() (finder, error) {
	f, ok := s.method(portal.FactorWebAuthn).(finder)
	if !ok {
		return nil, &portal.Problem{Kind: portal.ProblemForbidden, Public: "Passkeys are not taken here. Sign in with your password."}
	}
	return f, nil
}

// EnterOptions are the options of a sign-in by passkey. Nobody is named, so there is nothing that an answer could tell
// about an account (WA-07). The question is bound to the browser by the cookie of a sign-in under way, which a browser
// that has none of ours is given (SES-04); of one browser there is one question at a time, so that strangers fill no table.
func (s *Service) EnterOptions(ctx context.Context, t *portal.Tenant, c portal.Client, h Holder) (show any, given *secret.Token, err error) {
	m, err := s.finder()
	if err != nil {
		return nil, nil, err
	}
	if err := s.mayEnter(ctx, t, c); err != nil {
		return nil, nil, err
	}
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		digest, ours := secret.Digest{}, false
		given = nil
		if token, err := secret.ParseToken(h.Attempt); err == nil {
			digest = token.Digest(secret.KindAttempt, string(t.ID))
			if ours, err = x.Issued(ctx, digest, []byte(browserOf(digest))); err != nil {
				return err
			}
		}
		if !ours {
			token := secret.NewToken()
			digest, given = token.Digest(secret.KindAttempt, string(t.ID)), &token
		}
		scene := factor.Scene{Tenant: t.ID, Portal: t.Name, Origin: h.Origin, Host: hostOf(h.Origin), Purpose: factor.PurposeEnter, Now: c.At}
		ch, err := m.Ask(ctx, scene, nil, nil)
		if err != nil {
			return err
		}
		show = ch.Show
		_, err = s.put(ctx, x, t, c, nil, digest[:], factor.PurposeEnter, m, ch)
		return err
	})
	return show, given, err
}

// mayEnter draws on the limits of what anybody may ask for.
func (s *Service) mayEnter(ctx context.Context, t *portal.Tenant, c portal.Client) error {
	err := limited(s.Limits.Passkey(ctx, c.At, s.guessOf(t, c, "")))
	if err != nil {
		s.tallies.add(t.ID, c, refusedByLimit)
	}
	return err
}

// Enter signs in by passkey alone: the passkey is something that the person has, and it has verified them (WA-03). It
// works while the password rests, since nobody can guess it.
func (s *Service) Enter(ctx context.Context, t *portal.Tenant, c portal.Client, cookies session.Cookies, h Holder, credential string, in Credentials) (out Outcome, err error) {
	out.Left = -1
	defer func() { s.counts.second(portal.FactorWebAuthn, err == nil) }()
	m, err := s.finder()
	if err != nil {
		return out, err
	}
	if err := s.mayEnter(ctx, t, c); err != nil {
		return out, err
	}
	refused := &portal.Problem{Kind: portal.ProblemCredentials, Public: "This passkey could not be used here. Sign in with your password, or try again."}
	var f store.Factor // the passkey that was claimed
	defer func() {
		if errors.Is(err, refused) {
			err = errors.Join(err, s.passkeyRefused(ctx, t, c, f.User))
		}
	}()
	lookup, err := m.Claimed(credential)
	if err != nil {
		return out, refused
	}
	token, err := secret.ParseToken(h.Attempt)
	if err != nil {
		return out, refused
	}
	digest := token.Digest(secret.KindAttempt, string(t.ID))
	var (
		ch    store.Challenge
		state []byte
		rows  []store.Account
	)
	err = s.within(ctx, t, c.At, func(x *store.Tx) (err error) {
		if ch, err = x.SpendChallenge(ctx, digest[:], string(factor.PurposeEnter), m.Kind()); err == nil {
			state, err = s.opened(t.ID, ch, c.At)
		}
		if err == nil {
			f, err = x.FactorAt(ctx, lookup)
		}
		if err == nil {
			rows, err = s.admitted(ctx, x, f.User)
		}
		return err
	})
	if errors.Is(err, store.ErrNone) || err == nil && len(rows) == 0 {
		return out, refused
	}
	if err != nil {
		return out, err
	}
	plain, err := s.Keys.Unseal(f.State, factorPlace(t.ID, f.User, f.ID), c.At)
	if err != nil {
		return out, err
	}
	email, err := portal.ParseEmail(rows[0].User.Email)
	if err != nil {
		return out, err
	}
	p := &party{holder: h, rows: rows, email: email, factors: []store.Factor{f}}
	right, err := m.Check(ctx, p.scene(t, factor.PurposeEnter, c.At), []factor.Held{{ID: f.ID, State: plain, Facts: f.Facts}}, state, credential)
	switch {
	case err == nil && right.Alarm != "":
		return out, s.failed(ctx, t, c, &codeGuess{p: p, method: m}, right.Alarm, nil)
	case errors.Is(err, factor.ErrWrong), errors.Is(err, factor.ErrInput), errors.Is(err, factor.ErrUsed):
		return out, refused
	case err != nil:
		return out, err
	}
	previous, _ := s.Sessions.Current(ctx, t, cookies, c.At) // no session, or none that can be read now: nothing to end
	var ended []portal.SessionID
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		ended = nil
		if err := x.TakeTurns(ctx, users(rows)); err != nil {
			return err
		}
		if rows, err = s.admitted(ctx, x, f.User); err != nil || len(rows) == 0 {
			return errors.Join(err, refused)
		}
		if ok, err := x.EndChallenge(ctx, ch.ID); err != nil || !ok {
			return errors.Join(err, refused)
		}
		if err := s.step(ctx, x, t, c, p, m, right, refused); err != nil {
			return err
		}
		at := portal.Attempt{Tenant: t.ID, Users: users(rows), Verified: true, Shown: shown(nil, m.Traits()), Remember: in.Remember}
		out.ReturnTo = portal.ReturnTo(in.ReturnTo)
		if out.Step = portal.StepDone; len(rows) > 1 {
			out.Step = portal.StepChoose
		}
		if err := x.SetByMail(ctx, users(rows), false); err != nil {
			return err
		}
		grant, over, err := s.begin(ctx, x, t, c, at, rows[0].User, before{previous: previous})
		out.Grant, ended = &grant, over
		return err
	})
	if err != nil {
		return Outcome{Left: -1}, err
	}
	s.Sessions.Forget(c.At, ended...)
	return out, nil
}

// passkeyRefused is a failed sign-in by passkey in the trail: a row of its owner's, or where it is nobody's counted with
// its network and minute (AUD-02, DOS-04).
func (s *Service) passkeyRefused(ctx context.Context, t *portal.Tenant, c portal.Client, owner portal.UserID) error {
	if owner == "" {
		s.tallies.add(t.ID, c, failedPasskey)
		return nil
	}
	return s.within(ctx, t, c.At, func(x *store.Tx) error {
		return x.Record(ctx, portal.Activity{Verb: portal.VerbLoginFailed, User: owner, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "refused", Facts: map[string]string{"method": string(portal.FactorWebAuthn)}})
	})
}

// admitted are the rows of a person who may sign in, the one that was asked for first.
func (s *Service) admitted(ctx context.Context, x *store.Tx, id portal.UserID) ([]store.Account, error) {
	a, err := x.Account(ctx, id)
	if err != nil {
		return nil, err
	}
	email, err := portal.ParseEmail(a.User.Email)
	if err != nil {
		return nil, store.ErrNone
	}
	rows, err := x.People(ctx, email)
	if err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(rows, func(o store.Account) bool { return !o.User.Active || !o.User.Verified })
	slices.SortStableFunc(rows, func(x, y store.Account) int {
		if (x.User.ID == id) == (y.User.ID == id) {
			return 0
		}
		if x.User.ID == id {
			return -1
		}
		return 1
	})
	return rows[:min(len(rows), maxRows)], nil
}
