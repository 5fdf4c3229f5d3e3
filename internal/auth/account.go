package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/store"
)

// SignOut ends the session of a request, or with all every session of the person. It works with an access token that
// has expired, and does nothing, without an error, for somebody who is not signed in.
func (s *Service) SignOut(ctx context.Context, t *portal.Tenant, c portal.Client, cookies session.Cookies, all bool) error {
	id, err := s.Sessions.Current(ctx, t, cookies, c.At)
	var p *portal.Problem
	if errors.As(err, &p) && p.Kind == portal.ProblemSessionRequired {
		return nil
	}
	if err != nil {
		return err
	}
	ended := []portal.SessionID{id}
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		ses, err := x.Session(ctx, id)
		if errors.Is(err, store.ErrNone) {
			return nil
		}
		if err != nil {
			return err
		}
		if all {
			if err := x.TakeTurns(ctx, ses.Choices); err != nil {
				return err
			}
		}
		was, err := x.EndSession(ctx, id, portal.EndSignOut)
		if err != nil {
			return err
		}
		// A session that had ended, or run out, may not be used to end the others: its cookie may be the stolen one.
		if alive, _ := ses.Alive(c.At); all && was && alive {
			more, err := x.EndSessions(ctx, ses.Choices, id, portal.EndSignOut)
			if err != nil {
				return err
			}
			ended = append(ended, more...)
		}
		if !was {
			return nil
		}
		return x.Record(ctx, portal.Activity{Verb: portal.VerbLogout, User: ses.User, Session: id, Addr: c.Addr, Agent: c.Agent, At: c.At,
			Result: "ok", Facts: map[string]string{"sessions": fmt.Sprint(len(ended))}})
	})
	if err != nil {
		return err
	}
	s.Sessions.Forget(c.At, ended...)
	return nil
}

// Companies are the customer companies a session may act for.
func (s *Service) Companies(ctx context.Context, t *portal.Tenant, c portal.Client, ses portal.Session) ([]portal.User, error) {
	var rows []portal.User
	err := s.within(ctx, t, c.At, func(x *store.Tx) error {
		rows = nil
		for _, id := range ses.Choices {
			a, err := x.Account(ctx, id)
			if errors.Is(err, store.ErrNone) {
				continue
			}
			if err != nil {
				return err
			}
			if a.User.Active && a.User.Verified {
				rows = append(rows, a.User)
			}
		}
		return nil
	})
	return rows, err
}

// ChooseCompany makes a session act for another of its companies. The cookies are replaced, and what was issued for
// the company before is renewed at its next use.
func (s *Service) ChooseCompany(ctx context.Context, t *portal.Tenant, c portal.Client, cookies session.Cookies, ses portal.Session, user portal.UserID) (session.Grant, error) {
	err := s.within(ctx, t, c.At, func(x *store.Tx) error {
		a, err := x.Account(ctx, user)
		if err != nil && !errors.Is(err, store.ErrNone) {
			return err
		}
		ok := false
		if err == nil && a.User.Active && a.User.Verified {
			if ok, err = x.ChooseCompany(ctx, ses.ID, user); err != nil {
				return err
			}
		}
		if !ok {
			return input("id", "Choose one of the companies in the list.")
		}
		name := a.User.CustomerName
		if a.User.OwnCompany {
			name = t.Name
		}
		return x.Record(ctx, portal.Activity{Verb: portal.VerbCompanyChosen, User: user, Session: ses.ID, Addr: c.Addr, Agent: c.Agent, At: c.At,
			Result: "ok", Facts: map[string]string{"company": a.User.CustomerCode, "name": name}})
	})
	if err != nil {
		return session.Grant{}, err
	}
	s.Sessions.Forget(c.At, ses.ID)
	return s.Sessions.Regrant(ctx, t, cookies, c)
}

// Live lists a person's sessions that are alive, this one first and then the most recently used.
func (s *Service) Live(ctx context.Context, t *portal.Tenant, c portal.Client, ses portal.Session) ([]portal.Session, error) {
	var rows []portal.Session
	err := s.within(ctx, t, c.At, func(x *store.Tx) (err error) {
		rows, err = x.Sessions(ctx, ses.Choices)
		return err
	})
	if err != nil {
		return nil, err
	}
	live := make([]portal.Session, 0, len(rows))
	for _, r := range rows {
		if ok, _ := r.Alive(c.At); !ok {
			continue
		}
		if r.ID == ses.ID {
			live = append([]portal.Session{r}, live...)
		} else {
			live = append(live, r)
		}
	}
	return live, nil
}

// PasswordChanged is when the password that this session's person signs in with was set last; zero: that is not known, or
// they have none here.
func (s *Service) PasswordChanged(ctx context.Context, t *portal.Tenant, c portal.Client, ses portal.Session) (at time.Time, err error) {
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		a, err := x.Account(ctx, ses.User)
		if at = a.Secret.ChangedAt; a.Secret.Missing {
			at = time.Time{}
		}
		return err
	})
	return at, err
}

// EndSession ends one of a person's own sessions. One that is not theirs is not found, here and in every tenant.
func (s *Service) EndSession(ctx context.Context, t *portal.Tenant, c portal.Client, ses portal.Session, id portal.SessionID) error {
	if id != ses.ID {
		if err := s.Ready(ctx, t, c, Holder{Session: &ses}); err != nil {
			return err
		}
	}
	err := s.within(ctx, t, c.At, func(x *store.Tx) error {
		target, err := x.Session(ctx, id)
		if errors.Is(err, store.ErrNone) || err == nil && !shares(target.Choices, ses.Choices) {
			return &portal.Problem{Kind: portal.ProblemNotFound, Public: "This device is not signed in any more."}
		}
		if err != nil {
			return err
		}
		was, err := x.EndSession(ctx, id, portal.EndRevoked)
		if err != nil || !was {
			return err
		}
		return x.Record(ctx, portal.Activity{Verb: portal.VerbSessionRevoked, User: ses.User, Session: ses.ID, Addr: c.Addr, Agent: c.Agent, At: c.At,
			Result: "ok", Facts: map[string]string{"ended": string(id)}})
	})
	if err == nil {
		s.Sessions.Forget(c.At, id)
	}
	return err
}

func shares(a, b []portal.UserID) bool {
	for _, x := range a {
		for _, y := range b {
			if x == y {
				return true
			}
		}
	}
	return false
}

// EndOthers ends every session of the person but this one.
func (s *Service) EndOthers(ctx context.Context, t *portal.Tenant, c portal.Client, ses portal.Session) (int, error) {
	if err := s.Ready(ctx, t, c, Holder{Session: &ses}); err != nil {
		return 0, err
	}
	var ended []portal.SessionID
	err := s.within(ctx, t, c.At, func(x *store.Tx) (err error) {
		if ended, err = x.EndSessions(ctx, ses.Choices, ses.ID, portal.EndRevoked); err != nil || len(ended) == 0 {
			return err
		}
		return x.Record(ctx, portal.Activity{Verb: portal.VerbSessionsRevoked, User: ses.User, Session: ses.ID, Addr: c.Addr, Agent: c.Agent, At: c.At,
			Result: "ok", Facts: map[string]string{"sessions": fmt.Sprint(len(ended))}})
	})
	if err != nil {
		return 0, err
	}
	s.Sessions.Forget(c.At, ended...)
	return len(ended), nil
}

// EndAll ends every session of the person, this one too. As for the others it must be them: whoever holds a stolen
// session must not be able to turn its owner out (SES-08). Signing out with all=1 asks for nothing, and is fixed so.
func (s *Service) EndAll(ctx context.Context, t *portal.Tenant, c portal.Client, cookies session.Cookies, ses portal.Session) error {
	if err := s.Ready(ctx, t, c, Holder{Session: &ses}); err != nil {
		return err
	}
	return s.SignOut(ctx, t, c, cookies, true)
}

// Activity lists what happened to a person's account, newest first.
func (s *Service) Activity(ctx context.Context, t *portal.Tenant, c portal.Client, ses portal.Session, limit int, before time.Time) ([]portal.Activity, error) {
	var rows []portal.Activity
	err := s.within(ctx, t, c.At, func(x *store.Tx) (err error) {
		rows, err = x.Activities(ctx, ses.Choices, limit, before)
		return err
	})
	return rows, err
}
