package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/store"
)

// ChangePassword replaces a password by one that its owner chose. The current one is asked for again and counts
// against the same purse as at the door (RL-07); every session of the person ends, and this browser gets a new one.
func (s *Service) ChangePassword(ctx context.Context, t *portal.Tenant, c portal.Client, ses portal.Session, current, next string) (session.Grant, error) {
	if err := s.SecondFresh(ctx, t, c, ses); err != nil {
		return session.Grant{}, err
	}
	var wanted password.Prepared
	opened, g, err := s.reprove(ctx, t, c, ses, current, func(u portal.User) (err error) {
		wanted, err = s.judge(ctx, t, u, next)
		return err
	})
	if err != nil {
		return session.Grant{}, err
	}
	if next == current {
		return session.Grant{}, errors.Join(input("password", publicSame), s.giveBack(ctx, t, c, &g))
	}
	at := portal.Attempt{Tenant: t.ID, Users: ses.Choices, Verified: true, Shown: ses.AMR, Remember: ses.Remember}
	out, err := s.replace(ctx, t, c, at, portal.Situation{MFA: portal.MFAOff}, opened, wanted, &ses)
	if err != nil { // the current password was right: whatever went wrong was no guess
		return session.Grant{}, errors.Join(err, s.giveBack(ctx, t, c, &g))
	}
	return *out.Grant, nil
}

// reprove checks the current password of somebody who is signed in. It is a guess like any at the door and is paid from
// the same purse (RL-07); after a right one the caller hands the try back, with what it was needed for or by giveBack.
// first judges what it is needed for, before anything is paid.
func (s *Service) reprove(ctx context.Context, t *portal.Tenant, c portal.Client, ses portal.Session, current string, first func(portal.User) error) ([]store.Account, guess, error) {
	if current == "" {
		return nil, guess{}, input("current_password", "Enter your current password.")
	}
	typed, err := password.Prepare(current)
	if err != nil {
		return nil, guess{}, input("current_password", "A password has at most 128 characters. Check what you have typed or pasted.")
	}
	rows, err := s.rows(ctx, t, c, append([]portal.UserID{ses.User}, ses.Choices...))
	if err != nil {
		return nil, guess{}, err
	}
	account := rows[0]
	if err := first(account.User); err != nil {
		return nil, guess{}, err
	}
	email, err := portal.ParseEmail(account.User.Email)
	if err != nil {
		return nil, guess{}, fmt.Errorf("address of user %s: %w", ses.User, err)
	}
	g := guess{email: email, typed: typed, session: ses.ID}
	if err := s.pay(ctx, t, c, &g); err != nil {
		return nil, guess{}, err
	}
	hold := func(err error) error { return &Held{Err: troubled(err), Release: s.release(c.At)} }
	if g.try.Resting {
		return nil, guess{}, hold(paused(s.pause(t, c, &g)))
	}
	g.accounts = rows
	opened, _, err := s.check(ctx, &g)
	if err != nil {
		return nil, guess{}, hold(errors.Join(err, s.giveBack(ctx, t, c, &g)))
	}
	if len(opened) == 0 || opened[0].User.ID != ses.User {
		err := s.refuse(ctx, t, c, &g)
		var p *portal.Problem
		if errors.As(err, &p) && p.Kind == portal.ProblemCredentials {
			said := "The current password is not correct."
			if strings.HasSuffix(p.Public, publicLast) {
				said += " One more that is wrong, and it is not taken for a while."
			}
			err = &portal.Problem{Kind: portal.ProblemCredentials, Field: "current_password", Public: said}
		}
		return nil, guess{}, hold(paused(err))
	}
	return opened, g, nil
}

// paused is a rest as somebody hears of it who is signed in: nothing of theirs rests but the password.
func paused(err error) error {
	var p *portal.Problem
	if errors.As(err, &p) && p.Rule == RuleLockout {
		q := *p
		q.Public = "There were several tries with a password that is not right, so it is not taken for a while. You stay signed in."
		return &q
	}
	return err
}

// rows reads the rows of a person, the first of them first, as many as a password is tried on. One address is one
// person: a password that opens several companies is changed for all of them.
func (s *Service) rows(ctx context.Context, t *portal.Tenant, c portal.Client, ids []portal.UserID) ([]store.Account, error) {
	var rows []store.Account
	err := s.within(ctx, t, c.At, func(x *store.Tx) error {
		rows = nil
		seen := map[portal.UserID]bool{}
		for i, id := range ids {
			if seen[id] || len(rows) == maxRows {
				continue
			}
			seen[id] = true
			a, err := x.Account(ctx, id)
			if i > 0 && errors.Is(err, store.ErrNone) {
				continue // this row was deleted since
			}
			if err != nil {
				return err
			}
			rows = append(rows, a)
		}
		return nil
	})
	return rows, err
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
	rows, err := s.rows(ctx, t, c, at.Users)
	if err != nil {
		return Outcome{}, err
	}
	wanted, err := s.judge(ctx, t, rows[0].User, next)
	if err != nil {
		return Outcome{}, err
	}
	if same, _, err := s.check(ctx, &guess{typed: wanted, accounts: rows}); err != nil {
		return Outcome{}, troubled(err)
	} else if len(same) > 0 {
		return Outcome{}, input("password", "Choose a password other than the one you were given.")
	}
	token, _ := secret.ParseToken(attempt) // waiting has parsed it
	at.Expired = false
	return s.replace(ctx, t, c, at, w.situation, rows, wanted, nil, token.Digest(secret.KindAttempt, string(t.ID)))
}

// replace sets a password on rows of one person, the first of which this is about, and in the same transaction ends
// all that hung on the old one: every session, every sign-in under way, every other known device (REC-05). A new
// session begins here, from the one in which the password was changed, or the sign-in goes on waiting for a second proof that its person must add first.
func (s *Service) replace(ctx context.Context, t *portal.Tenant, c portal.Client, at portal.Attempt, sit portal.Situation, rows []store.Account, wanted password.Prepared, from *portal.Session, spend ...secret.Digest) (Outcome, error) {
	made, err := s.hashes(ctx, wanted, len(rows))
	if err != nil {
		return Outcome{}, err
	}
	account := rows[0]
	var (
		out   Outcome
		ended []portal.SessionID
	)
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		ended, out = nil, Outcome{Step: portal.Next(at, sit), ReturnTo: at.ReturnTo, Left: -1, Grace: s.grace(at, sit)}
		if err := x.TakeTurns(ctx, at.Users); err != nil {
			return err
		}
		for _, d := range spend {
			if _, err := x.SpendAttempt(ctx, d); errors.Is(err, store.ErrNone) {
				return &portal.Problem{Kind: portal.ProblemSessionRequired, Public: "Please sign in again."}
			} else if err != nil {
				return err
			}
		}
		over, err := s.renew(ctx, x, rows, made, at.Users, []byte(c.Device))
		if err != nil {
			return err
		}
		ended = over
		if err := x.Record(ctx, portal.Activity{Verb: portal.VerbPasswordChange, User: account.User.ID, Addr: c.Addr, Agent: c.Agent, At: c.At,
			Result: "ok", Facts: map[string]string{"sessions_ended": fmt.Sprint(len(over))}}); err != nil {
			return err
		}
		if err := s.notify(ctx, x, t, c, account.User, portal.LetterPassword, nil); err != nil {
			return err
		}
		if waits[out.Step] {
			token := secret.NewToken()
			out.Attempt = &token
			at.ID, at.CreatedAt, at.ExpiresAt = portal.AttemptID(portal.FormatID(secret.NewID())), c.At, c.At.Add(s.Policy.AttemptLife)
			return x.PutAttempt(ctx, at, token.Digest(secret.KindAttempt, string(t.ID)))
		}
		grant, more, err := s.begin(ctx, x, t, c, at, account.User, before{from: from})
		out.Grant, ended = &grant, append(over, more...)
		return err
	})
	if err != nil {
		return Outcome{}, err
	}
	s.Sessions.Forget(c.At, ended...)
	return out, nil
}
