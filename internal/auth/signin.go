package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/ratelimit"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/store"
)

// maxRows bounds how many companies' rows of one address are tried with a password: each costs a hash.
const maxRows = 4

// SignIn checks an address and a password. Every answer that depends on the account is released at the same moment.
func (s *Service) SignIn(ctx context.Context, t *portal.Tenant, c portal.Client, cookies session.Cookies, in Credentials) (out Outcome, err error) {
	defer func() {
		s.counts.signIn(out, err)
		var p *portal.Problem
		if errors.As(err, &p) && p.Kind == portal.ProblemLimit && p.Public != PublicPause {
			s.tallies.add(t.ID, c, refusedByLimit)
		}
	}()
	email, err := portal.ParseEmail(in.Email)
	if err != nil {
		return Outcome{}, input("email", "Enter your e-mail address, like name@example.com.")
	}
	if in.Password == "" {
		return Outcome{}, input("password", "Enter your password.")
	}
	typed, err := password.Prepare(in.Password)
	if err != nil {
		return Outcome{}, input("password", "A password has at most 128 characters. Check what you have typed or pasted.")
	}
	g := guess{email: email, typed: typed, paid: s.count(ctx, t, c, email)}
	if err := limited(g.paid.Decision(c.Device != "")); err != nil {
		g.paid.Settle(ctx, c.At, ratelimit.Unchecked)
		return Outcome{}, err
	}
	leave, err := s.Hasher.Enter()
	if err != nil { // a full house says so at once, to everybody alike
		g.paid.Settle(ctx, c.At, ratelimit.Unchecked)
		g.paid.HandBack(ctx, c.At)
		return Outcome{}, troubled(err)
	}
	defer leave()
	out, err = s.signIn(ctx, t, c, cookies, in, &g)
	g.paid.Settle(ctx, s.Now(), g.verdict)
	if errors.Is(err, password.ErrBusy) {
		g.paid.HandBack(ctx, s.Now())
	}
	release := s.release(c.At).Add(g.paid.Slower(g.device != ""))
	if err != nil {
		return Outcome{}, &Held{Err: troubled(err), Release: release}
	}
	out.Release = release
	return out, nil
}

// guess is a sign-in between its two transactions.
type guess struct {
	email    portal.Email
	typed    password.Prepared
	accounts []store.Account
	device   portal.DeviceID // a device the account knows, or empty
	try      store.Try
	known    store.Known      // that browser
	session  portal.SessionID // who guesses is signed in: a change of password

	paid    *ratelimit.Paid // the charge on the limits by network and tenant; nil where only the account's own purse counts
	verdict ratelimit.Verdict
}

func (s *Service) signIn(ctx context.Context, t *portal.Tenant, c portal.Client, cookies session.Cookies, in Credentials, g *guess) (Outcome, error) {
	g.verdict = ratelimit.Unchecked
	err := s.pay(ctx, t, c, g)
	if errors.Is(err, errStranger) {
		g.paid.AsStranger(ctx, c.At)
		err = s.pay(ctx, t, c, g)
	}
	if err != nil {
		return Outcome{}, err
	}
	if g.try.Resting {
		// The right password gets this answer too: whoever guesses during a rest learns nothing (M04).
		return Outcome{}, s.pause(t, c, g)
	}
	opened, rehash, err := s.check(ctx, g)
	if err != nil {
		// Nobody was told anything, so nobody pays.
		return Outcome{}, errors.Join(troubled(err), s.giveBack(ctx, t, c, g))
	}
	if len(opened) == 0 {
		g.verdict = ratelimit.Wrong
		return Outcome{}, s.refuse(ctx, t, c, g)
	}
	out, err := s.admit(ctx, t, c, cookies, in, g, opened, rehash)
	if err == nil {
		g.verdict = ratelimit.Right
	}
	return out, err
}

// pay is transaction one: who might this be, and one try is paid before anything is checked.
func (s *Service) pay(ctx context.Context, t *portal.Tenant, c portal.Client, g *guess) error {
	return s.within(ctx, t, c.At, func(x *store.Tx) (err error) {
		if g.accounts, err = x.People(ctx, g.email); err != nil {
			return err
		}
		g.accounts = g.accounts[:min(len(g.accounts), maxRows)]
		if c.Device != "" && len(g.accounts) > 0 {
			g.known, err = x.Device(ctx, []byte(c.Device), users(g.accounts))
			if err != nil && !errors.Is(err, store.ErrNone) {
				return err
			}
			g.device = g.known.ID
		}
		if err := g.mayCheck(); err != nil {
			return err
		}
		g.try, err = x.SpendTry(ctx, g.email, g.device)
		return err
	})
}

func (s *Service) giveBack(ctx context.Context, t *portal.Tenant, c portal.Client, g *guess) error {
	return s.afterwards(ctx, t.ID, c.At, func(ctx context.Context, x *store.Tx) error { return x.RefundTry(ctx, g.email, g.device) })
}

func users(accounts []store.Account) []portal.UserID {
	ids := make([]portal.UserID, len(accounts))
	for i := range accounts {
		ids[i] = accounts[i].User.ID
	}
	return ids
}

// check hashes outside any transaction. It works as hard for an unknown address as for a known one; what a bcrypt
// hash or a second company costs more is hidden by the fixed release of the answer.
func (s *Service) check(ctx context.Context, g *guess) (opened []store.Account, rehash map[portal.UserID]bool, err error) {
	defer still(ctx)()
	rehash = map[portal.UserID]bool{}
	hashed := 0
	for _, a := range g.accounts {
		if a.Secret.PHC == "" && a.Secret.Legacy == "" {
			continue
		}
		v, err := s.Hasher.Check(ctx, g.typed, password.Stored{PHC: a.Secret.PHC, KeyID: a.Secret.KeyID, Legacy: a.Secret.Legacy})
		if errors.Is(err, password.ErrStoredParameters) {
			// A row that somebody has tampered with opens nothing and is never executed (PWD-08).
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		hashed++
		if v.Match && a.User.Active {
			opened = append(opened, a)
			rehash[a.User.ID] = v.Rehash
		}
	}
	if hashed == 0 {
		return nil, nil, s.Hasher.Decoy(ctx, g.typed)
	}
	return opened, rehash, nil
}

// pause is the answer while a purse rests, to the right password as to any.
func (s *Service) pause(t *portal.Tenant, c portal.Client, g *guess) error {
	s.tallies.add(t.ID, c, refusedByRest)
	wait, _ := g.try.Lockout.Resting(c.At)
	return g.rests(wait)
}

// rests is the answer while a purse rests. The strangers' has a mail to the owner behind it.
func (g *guess) rests(d time.Duration) error {
	p := &portal.Problem{Kind: portal.ProblemLimit, Public: PublicPause, RetryAfter: d, Rule: RuleLockout}
	if g.device == "" && g.session == "" {
		p.Instead = publicMailed
	}
	return p
}

// refuse is the answer to everything but the right password of somebody who may be here. A failure of a known person
// is a row of theirs; one at an address without an account is counted (AUD-02, DOS-04).
func (s *Service) refuse(ctx context.Context, t *portal.Tenant, c portal.Client, g *guess) error {
	if len(g.accounts) == 0 {
		s.tallies.add(t.ID, c, failedUnknown)
		if err := s.within(ctx, t, c.At, func(x *store.Tx) error { return x.Knock(ctx, g.email, g.device) }); err != nil {
			return err
		}
		return g.answer(c, s.Policy.Lockout)
	}
	err := s.within(ctx, t, c.At, func(x *store.Tx) error {
		a := portal.Activity{Verb: portal.VerbLoginFailed, User: g.accounts[0].User.ID, Session: g.session, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "refused",
			Facts: map[string]string{"failures": fmt.Sprint(g.try.Lockout.Failures)}}
		if err := x.Record(ctx, a); err != nil {
			return err
		}
		if g.device == "" {
			if err := x.Mirror(ctx, g.email); err != nil {
				return err
			}
		}
		if g.try.Lockout.RestsUntil.After(c.At) {
			a.Verb, a.Suspicious, a.Note = portal.VerbAccountLocked, true, "too many failures"
			a.Facts["until"] = g.try.Lockout.RestsUntil.UTC().Format(time.RFC3339)
			if err := x.Record(ctx, a); err != nil || !g.firstRest(s.Policy.Lockout) {
				return err
			}
			return s.notify(ctx, x, t, c, g.accounts[0].User, portal.LetterPaused, map[string]string{"until": g.try.Lockout.RestsUntil.Add(time.Minute - 1).Truncate(time.Minute).UTC().Format(time.RFC3339)}) // as the page rounds it
		}
		return nil
	})
	if err != nil {
		return err
	}
	return g.answer(c, s.Policy.Lockout)
}

// firstRest says whether strangers have to wait for the first time: the owner gets one mail about it, with a link that
// lets that browser try now.
func (g *guess) firstRest(r portal.LockoutRule) bool {
	return g.device == "" && g.session == "" && g.try.Lockout.Failures == r.Free+1
}

// answer is what everybody hears of a failure.
func (g *guess) answer(c portal.Client, r portal.LockoutRule) error {
	if wait, resting := g.try.Lockout.Resting(c.At); resting {
		return g.rests(wait)
	}
	return wrong(g.try.Lockout.Failures == r.Free)
}

// errMoved means that the password was changed by somebody else while we were checking it.
var errMoved = errors.New("the password was changed during the sign-in")

// admit is transaction two: the try is handed back, the hash is made anew where it should be, and what comes next is
// decided. One commit for all of it.
func (s *Service) admit(ctx context.Context, t *portal.Tenant, c portal.Client, cookies session.Cookies, in Credentials, g *guess, opened []store.Account, rehash map[portal.UserID]bool) (Outcome, error) {
	at := portal.Attempt{ID: portal.AttemptID(portal.FormatID(secret.NewID())), Tenant: t.ID, Shown: []portal.AMR{portal.AMRPassword},
		Remember: in.Remember, ReturnTo: portal.ReturnTo(in.ReturnTo), CreatedAt: c.At, ExpiresAt: c.At.Add(s.Policy.AttemptLife)}
	var fit []store.Account
	for _, a := range opened {
		if a.User.Verified {
			fit = append(fit, a)
		}
	}
	if at.Verified = len(fit) > 0; !at.Verified {
		fit = opened
	}
	at.Users = users(fit)
	// One temporary password among them, and its maker could still act for that company.
	at.Expired = slices.ContainsFunc(fit, func(a store.Account) bool { return a.Secret.MustChange })

	fresh := map[portal.UserID]password.Stored{}
	for _, a := range opened {
		if rehash[a.User.ID] {
			again := still(ctx)
			h, err := s.Hasher.Hash(ctx, g.typed)
			again()
			if errors.Is(err, password.ErrBusy) {
				continue // it is their password all the same; a quieter sign-in makes it anew
			}
			if err != nil {
				return Outcome{}, errors.Join(err, s.giveBack(ctx, t, c, g))
			}
			fresh[a.User.ID] = h
		}
	}
	previous, _ := s.Sessions.Current(ctx, t, cookies, c.At) // no session, or none that can be read now: nothing to end

	out := Outcome{ReturnTo: at.ReturnTo, Left: -1}
	var ended []portal.SessionID
	err := s.sending(ctx, t, c, func(x *store.Tx, paid *stamp) error {
		ended = nil
		if err := x.TakeTurns(ctx, users(opened)); err != nil {
			return err
		}
		for _, a := range opened {
			now, err := x.Account(ctx, a.User.ID)
			if err != nil {
				return err
			}
			if now.Secret.Version != a.Secret.Version || now.Secret.Legacy != a.Secret.Legacy || !now.User.Active {
				return errMoved
			}
			if h, ok := fresh[a.User.ID]; ok {
				if ok, err := x.PutSecret(ctx, a.User.ID, h.PHC, h.KeyID, a.Secret.Version, a.Secret.MustChange); err != nil || !ok {
					return errors.Join(err, errMoved)
				}
			}
		}
		if err := x.ReturnTry(ctx, g.email, g.device); err != nil {
			return err
		}
		sit, _, err := s.situation(ctx, x, t, c, fit, g.known)
		if err != nil {
			return err
		}
		sit.Makes = in.Makes
		if err := decide(ctx, x, at, sit, fit[0].User, &out); err != nil {
			return err
		}
		if out.Grace = s.grace(at, sit); !out.Grace.IsZero() && !fit[0].Second.ToldAt.Equal(c.At) && (fit[0].Second.ToldAt.IsZero() || fit[0].Second.ToldAt.Before(t.MFA.Since)) {
			if err := x.Told(ctx, fit[0].User.ID); err != nil {
				return err
			}
		}
		if g.try.Lockout.Failures > manyFailures && out.Step != portal.StepConfirmAddress {
			if err := s.notify(ctx, x, t, c, fit[0].User, portal.LetterAfterFailures, map[string]string{"count": fmt.Sprint(g.try.Lockout.Failures - 1)}); err != nil {
				return err
			}
		}
		if waits[out.Step] {
			token := secret.NewToken()
			out.Attempt = &token
			digest := token.Digest(secret.KindAttempt, string(t.ID))
			if err := x.PutAttempt(ctx, at, digest); err != nil {
				return err
			}
			if out.Step == portal.StepConfirmAddress {
				if err := s.confirm(ctx, x, t, c, fit[0].User, digest); err != nil {
					return err
				}
			}
			if out.Step == portal.StepSecond || out.Step == portal.StepEnrol {
				return s.sendFirst(ctx, x, t, c, Holder{Attempt: token.Reveal(), stamp: paid}, cookies.Attempt)
			}
			return x.Record(ctx, portal.Activity{Verb: portal.VerbLoginFailed, User: fit[0].User.ID, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: string(out.Step)})
		}
		grant, over, err := s.begin(ctx, x, t, c, at, fit[0].User, before{previous: previous})
		out.Grant, ended = &grant, over
		return err
	})
	if errors.Is(err, errMoved) {
		g.verdict = ratelimit.Wrong
		return Outcome{}, s.refuse(ctx, t, c, g)
	}
	if err != nil {
		return Outcome{}, errors.Join(err, s.giveBack(ctx, t, c, g))
	}
	s.Sessions.Forget(c.At, ended...)
	return out, nil
}
