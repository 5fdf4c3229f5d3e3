package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/store"
)

// ChangePassword replaces a password by one that its owner chose. The current one is asked for again and counts
// against the same purse as at the door (RL-07); every session of the person ends, and this browser gets a new one.
func (s *Service) ChangePassword(ctx context.Context, t *portal.Tenant, c portal.Client, ses portal.Session, current, next string) (session.Grant, error) {
	if current == "" {
		return session.Grant{}, input("current_password", "Enter your current password.")
	}
	typed, err := password.Prepare(current)
	if err != nil {
		return session.Grant{}, input("current_password", "A password has at most 128 characters. Check what you have typed or pasted.")
	}
	var account store.Account
	if err := s.within(ctx, t, c.At, func(x *store.Tx) (err error) { account, err = x.Account(ctx, ses.User); return err }); err != nil {
		return session.Grant{}, err
	}
	wanted, err := s.judge(t, account.User, next)
	if err != nil {
		return session.Grant{}, err
	}
	email, err := portal.ParseEmail(account.User.Email)
	if err != nil {
		return session.Grant{}, fmt.Errorf("address of user %s: %w", ses.User, err)
	}
	g := guess{email: email, typed: typed}
	if err := s.pay(ctx, t, c, &g); err != nil {
		return session.Grant{}, err
	}
	hold := func(err error) error { return &Held{Err: troubled(err), Release: s.release(c.At)} }
	if g.try.Resting {
		wait, _ := g.try.Lockout.Resting(c.At)
		return session.Grant{}, hold(rests(wait))
	}
	g.accounts = []store.Account{account}
	opened, _, err := s.check(ctx, &g)
	if err != nil {
		return session.Grant{}, hold(errors.Join(err, s.giveBack(ctx, t, c, &g)))
	}
	if len(opened) == 0 {
		err := s.refuse(ctx, t, c, &g)
		var p *portal.Problem
		if errors.As(err, &p) && p.Kind == portal.ProblemCredentials {
			err = &portal.Problem{Kind: portal.ProblemCredentials, Field: "current_password", Public: "The current password is not correct."}
		}
		return session.Grant{}, hold(err)
	}
	at := portal.Attempt{Tenant: t.ID, Users: ses.Choices, Shown: ses.AMR, Remember: ses.Remember}
	return s.replace(ctx, t, c, at, account, wanted)
}

// FinishPassword ends a sign-in whose password was a temporary one: the attempt that proved it is spent, the new
// password is set, and only then is there a session.
func (s *Service) FinishPassword(ctx context.Context, t *portal.Tenant, c portal.Client, attempt, next string) (Outcome, error) {
	at, w, err := s.waiting(ctx, t, c, attempt)
	if err != nil {
		return Outcome{}, err
	}
	if w.Step != portal.StepNewPassword {
		return Outcome{}, &portal.Problem{Kind: portal.ProblemSessionRequired, Public: "Please sign in again."}
	}
	var account store.Account
	if err := s.within(ctx, t, c.At, func(x *store.Tx) (err error) { account, err = x.Account(ctx, at.Users[0]); return err }); err != nil {
		return Outcome{}, err
	}
	wanted, err := s.judge(t, account.User, next)
	if err != nil {
		return Outcome{}, err
	}
	v, err := s.Hasher.Check(ctx, wanted, password.Stored{PHC: account.Secret.PHC, KeyID: account.Secret.KeyID, Legacy: account.Secret.Legacy})
	if err != nil {
		return Outcome{}, troubled(err)
	}
	if v.Match {
		return Outcome{}, input("password", "Choose a password other than the one you were given.")
	}
	token, _ := secret.ParseToken(attempt) // waiting has parsed it
	at.Expired = false
	grant, err := s.replace(ctx, t, c, at, account, wanted, token.Digest(secret.KindAttempt, string(t.ID)))
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Step: portal.Next(at), Grant: &grant, ReturnTo: at.ReturnTo}, nil
}

// judge says whether a text may become a password. The same rules stand at every door.
func (s *Service) judge(t *portal.Tenant, u portal.User, text string) (password.Prepared, error) {
	if text == "" {
		return password.Prepared{}, input("password", "Enter a new password.")
	}
	wanted, err := password.Prepare(text)
	if err != nil {
		return password.Prepared{}, input("password", fmt.Sprintf("A password has at most %d characters.", s.Policy.PasswordMax))
	}
	rule := password.Policy{Min: s.Policy.PasswordMin, Max: s.Policy.PasswordMax, Context: []string{u.Email, u.FirstName, u.LastName, t.Slug, t.Name}}
	if err := rule.Check(wanted); err != nil {
		return password.Prepared{}, input("password", password.Reason(err))
	}
	return wanted, nil
}

// replace sets a password and, in the same transaction, ends every session of the person and begins a new one here.
func (s *Service) replace(ctx context.Context, t *portal.Tenant, c portal.Client, at portal.Attempt, account store.Account, wanted password.Prepared, spend ...secret.Digest) (session.Grant, error) {
	h, err := s.Hasher.Hash(ctx, wanted)
	if err != nil {
		return session.Grant{}, troubled(err)
	}
	var (
		grant session.Grant
		ended []portal.SessionID
	)
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		ended = nil
		for _, d := range spend {
			if _, err := x.SpendAttempt(ctx, d); errors.Is(err, store.ErrNone) {
				return &portal.Problem{Kind: portal.ProblemSessionRequired, Public: "Please sign in again."}
			} else if err != nil {
				return err
			}
		}
		ok, err := x.PutSecret(ctx, account.User.ID, h.PHC, h.KeyID, account.Secret.Version, false)
		if err != nil {
			return err
		}
		if !ok {
			return &portal.Problem{Kind: portal.ProblemInput, Field: "password", Public: "Your password has just been changed somewhere else. Sign in again."}
		}
		// A password that is set anew has no failures yet, for nobody (M04: a reset empties every purse).
		email, err := portal.ParseEmail(account.User.Email)
		if err != nil {
			return fmt.Errorf("address of user %s: %w", account.User.ID, err)
		}
		if _, err := x.Unlock(ctx, email); err != nil {
			return err
		}
		over, err := x.EndSessions(ctx, at.Users, "", portal.EndPasswordChange)
		if err != nil {
			return err
		}
		if err := x.Record(ctx, portal.Activity{Verb: portal.VerbPasswordChange, User: account.User.ID, Addr: c.Addr, Agent: c.Agent, At: c.At,
			Result: "ok", Facts: map[string]string{"sessions_ended": fmt.Sprint(len(over))}}); err != nil {
			return err
		}
		var more []portal.SessionID
		grant, more, err = s.begin(ctx, x, t, c, at, account.User, "")
		ended = append(over, more...)
		return err
	})
	if err != nil {
		return session.Grant{}, err
	}
	s.Sessions.Forget(c.At, ended...)
	return grant, nil
}
