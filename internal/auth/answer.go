package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/portalgate/portalgate/internal/factor"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/store"
)

// Answer is what somebody says at the second step.
type Answer struct {
	Kind  portal.FactorKind
	Text  string // a code, a credential, or the password
	Trust bool   // don't ask again on this device
	Enrol bool   // a first factor is about to be added
	Makes bool   // the browser can make a passkey, and may be offered one
}

// Answer judges an answer. A right one of somebody in the middle of signing in leads to the next step, one of somebody
// signed in to a session of the same length that has shown it just now; the session before is over (LOG-04).
func (s *Service) Answer(ctx context.Context, t *portal.Tenant, c portal.Client, cookies session.Cookies, h Holder, in Answer) (out Outcome, err error) {
	out.Left = -1
	if in.Kind == KindPassword && h.Session != nil {
		return s.answerPassword(ctx, t, c, h, in.Text)
	}
	g, err := s.payCode(ctx, t, c, h, in)
	if err != nil {
		return out, err
	}
	right, err := g.method.Check(ctx, g.p.scene(t, g.purpose, c.At), g.held, g.state, in.Text)
	if err == nil && right.Alarm == "" {
		out, err = s.passed(ctx, t, c, cookies, g, in, right)
		s.counts.second(g.method.Kind(), err == nil)
		return out, err
	}
	s.counts.second(g.method.Kind(), false)
	return out, s.failed(ctx, t, c, g, right.Alarm, err)
}

// codeGuess is an answer between its two transactions.
type codeGuess struct {
	p       *party
	text    string
	method  factor.Method
	purpose factor.Purpose
	mailbox bool // it proves a mailbox and is no second step
	held    []factor.Held
	ch      store.Challenge
	state   []byte
	try     store.Try
	paid    bool
}

// payCode is the first of the two: one try is paid before anything is checked, of the question and of the person's purse,
// so that fifty parallel guesses cost fifty (RL-04).
func (s *Service) payCode(ctx context.Context, t *portal.Tenant, c portal.Client, h Holder, in Answer) (*codeGuess, error) {
	g := &codeGuess{text: in.Text}
	err := s.within(ctx, t, c.At, func(x *store.Tx) (err error) {
		*g = codeGuess{text: in.Text}
		if g.p, err = s.party(ctx, x, t, c, h); err != nil {
			return err
		}
		due, err := s.due(ctx, x, c, g.p, in.Enrol)
		if errors.Is(err, ErrNothing) {
			return errAgain
		}
		if err != nil {
			return err
		}
		g.purpose = g.p.purpose()
		switch {
		case due == KindMailbox:
			g.mailbox, g.purpose, g.method = true, factor.PurposeProve, s.method(portal.FactorEmail)
		case due == "":
			g.method = g.p.can(in.Kind)
		}
		if g.method == nil {
			return input("code", "Choose one of the ways that are offered.")
		}
		if !g.mailbox {
			if g.held, err = s.held(t, g.p, g.method.Kind(), c.At); err != nil {
				return err
			}
		}
		if g.method.Traits().Guessable {
			if g.try, err = x.SpendCode(ctx, g.p.email, g.p.known.ID); err != nil {
				return err
			}
			if g.try.Resting {
				wait, _ := g.try.Lockout.Resting(c.At)
				return g.p.rests(wait)
			}
			g.paid = true
		}
		if !g.method.Traits().Asked && !g.mailbox {
			return nil
		}
		g.ch, err = x.SpendChallenge(ctx, g.p.digest, string(g.purpose), g.method.Kind())
		if errors.Is(err, store.ErrNone) {
			return input("code", lateCode(g.method))
		}
		if err != nil {
			return err
		}
		g.state, err = s.opened(t.ID, g.ch, c.At)
		return err
	})
	return g, err
}

// failed is what happens after an answer that opens nothing.
func (s *Service) failed(ctx context.Context, t *portal.Tenant, c portal.Client, g *codeGuess, alarm string, cause error) error {
	var drift *factor.DriftError
	answer := &portal.Problem{Kind: portal.ProblemCredentials, Field: "code", Public: wrongCode(g.method)}
	switch {
	case alarm != "":
		answer.Public = "This passkey cannot be used: it looks as if it had been copied. Use another way, and ask for help."
	case errors.Is(cause, factor.ErrInput):
		return errors.Join(input("code", noCode(g.method, g.text)), s.refund(ctx, t, c, g))
	case errors.Is(cause, factor.ErrUsed):
		answer.Public = usedCode(g.method)
	case errors.As(cause, &drift):
		answer.Public = "This code is not correct. The clock of your device seems to be wrong: set its time automatically, and try again."
	case errors.Is(cause, factor.ErrWrong):
	default:
		return errors.Join(cause, s.refund(ctx, t, c, g))
	}
	err := s.within(ctx, t, c.At, func(x *store.Tx) error {
		u := g.p.user()
		a := portal.Activity{Verb: portal.VerbSecondFailed, User: u.ID, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "refused", Facts: map[string]string{"method": string(g.method.Kind())}}
		if g.p.signedIn() {
			a.Session = g.p.holder.Session.ID
		}
		if drift != nil {
			a.Facts["clock_off"] = drift.Off.String()
		}
		if alarm != "" {
			a.Verb, a.Suspicious, a.Note = portal.VerbFactorAlarm, true, alarm
		}
		if g.try.Lockout.RestsUntil.After(c.At) {
			a.Suspicious, a.Note = true, "too many wrong codes"
			a.Facts["until"] = g.try.Lockout.RestsUntil.UTC().Format(time.RFC3339)
		}
		if err := x.Record(ctx, a); err != nil || g.mailbox || g.p.signedIn() && alarm == "" {
			return err
		}
		return s.notify(ctx, x, t, c, u, portal.LetterWrongFactor, nil)
	})
	if err != nil {
		return err
	}
	if wait, resting := g.try.Lockout.Resting(c.At); resting {
		return g.p.rests(wait)
	}
	if g.paid && !g.method.Traits().Sent && g.try.Lockout.Failures == s.Policy.Lockout.Free { // of a code that was sent the page says so
		answer.Public += " You can try once more; then codes are not taken for a while."
	}
	return answer
}

// refund takes back what was paid for an answer that was not looked at: nobody was told anything, so nobody pays.
func (s *Service) refund(ctx context.Context, t *portal.Tenant, c portal.Client, g *codeGuess) error {
	if !g.paid {
		return nil
	}
	return s.afterwards(ctx, t.ID, c.At, func(ctx context.Context, x *store.Tx) error { return x.RefundCode(ctx, g.p.email, g.p.known.ID) })
}

// passed is the second transaction after a right answer: it counts if nobody has used the state or the question since.
func (s *Service) passed(ctx context.Context, t *portal.Tenant, c portal.Client, cookies session.Cookies, g *codeGuess, in Answer, right factor.Checked) (out Outcome, err error) {
	used := &portal.Problem{Kind: portal.ProblemCredentials, Field: "code", Public: usedCode(g.method)}
	previous, _ := s.Sessions.Current(ctx, t, cookies, c.At) // no session, or none that can be read now: nothing to end
	var ended []portal.SessionID
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		ended, out = nil, Outcome{Left: -1}
		if err := x.TakeTurns(ctx, g.p.users()); err != nil {
			return err
		}
		p, err := s.party(ctx, x, t, c, g.p.holder) // it may stand otherwise by now
		if err != nil {
			return err
		}
		if g.paid {
			if err := x.ReturnCode(ctx, p.email, p.known.ID); err != nil {
				return err
			}
		}
		if g.mailbox {
			return s.provedMailbox(ctx, x, c, p, g, &out)
		}
		if g.ch.ID != "" {
			if ok, err := x.EndChallenge(ctx, g.ch.ID); err != nil || !ok {
				return errors.Join(err, used)
			}
		}
		if slices.ContainsFunc(g.p.factors, func(f store.Factor) bool { return f.ID == "" }) && !slices.ContainsFunc(p.factors, func(f store.Factor) bool { return f.ID == "" }) {
			return used // a secret of the ERP's that has become a factor since
		}
		if err := s.step(ctx, x, t, c, g.p, g.method, right, used); err != nil {
			return err
		}
		tr := g.method.Traits()
		if tr.Assures {
			if err := x.SetByMail(ctx, p.users(), false); err != nil {
				return err
			}
		}
		if out.Left = left(right.Facts); out.Left >= 0 {
			if err := s.notify(ctx, x, t, c, p.user(), portal.LetterFactor, map[string]string{"what": fmt.Sprintf("code_used_%d", out.Left)}); err != nil {
				return err
			}
		}
		p.sit.Makes = in.Makes && !tr.Along // who has come to their backup codes has something else to mend
		ended, err = s.goOn(ctx, x, t, c, p, tr, in.Trust, previous, &out)
		return err
	})
	if err != nil {
		return Outcome{Left: -1}, err
	}
	s.Sessions.Forget(c.At, ended...)
	return out, nil
}

// left is how many codes a factor has left; -1 where it has none to count.
func left(facts map[string]string) int {
	n, err := strconv.Atoi(facts["left"])
	if err != nil {
		return -1
	}
	return n
}

// provedMailbox notes that a mailbox was proved.
func (s *Service) provedMailbox(ctx context.Context, x *store.Tx, c portal.Client, p *party, g *codeGuess, out *Outcome) error {
	ok, err := x.PassChallenge(ctx, g.ch.ID, factor.Mailbox(g.p.email), c.At.Add(time.Hour))
	if err != nil || !ok {
		return errors.Join(err, errAgain)
	}
	out.Step = portal.StepEnrol
	return x.Record(ctx, portal.Activity{Verb: portal.VerbMailboxProved, User: p.user().ID, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "ok"})
}

// step stores the state that a right answer has led to. A secret of the ERP's whose first code was right becomes a
// factor of ours.
func (s *Service) step(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, p *party, m factor.Method, right factor.Checked, used error) error {
	i := slices.IndexFunc(p.factors, func(f store.Factor) bool { return f.ID == right.ID && f.Kind == m.Kind() })
	if i < 0 {
		return used
	}
	f := p.factors[i]
	if f.ID == "" {
		f.ID, f.Name, f.Facts = portal.FactorID(portal.FormatID(secret.NewID())), m.Traits().Title, right.Facts
		if err := s.sealFactor(t.ID, &f, right.State, c.At); err != nil {
			return err
		}
		ok, err := x.PutFactor(ctx, f)
		if err == nil && !ok {
			err = used
		}
		return errors.Join(err, x.Settle(ctx, f.User))
	}
	if right.Facts != nil {
		f.Facts = right.Facts
	}
	if err := s.sealFactor(t.ID, &f, right.State, c.At); err != nil {
		return err
	}
	ok, err := x.StepFactor(ctx, f)
	if err != nil || !ok {
		return errors.Join(err, used)
	}
	return nil
}

// goOn takes a holder who has shown a second proof to what comes next.
func (s *Service) goOn(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, p *party, tr factor.Traits, trust bool, previous portal.SessionID, out *Outcome) ([]portal.SessionID, error) {
	if p.signedIn() {
		return s.stepUp(ctx, x, t, c, p, &tr, out)
	}
	at := p.attempt
	at.Shown = shown(at.Shown, tr)
	out.ReturnTo = at.ReturnTo
	old, _ := secret.ParseToken(p.holder.Attempt) // party has parsed it
	was := old.Digest(secret.KindAttempt, string(t.ID))
	if err := decide(ctx, x, at, p.sit, p.user(), out); err != nil {
		return nil, err
	}
	if out.Step == portal.StepNewPassword {
		token := secret.NewToken()
		is := token.Digest(secret.KindAttempt, string(t.ID))
		ok, err := x.AmendAttempt(ctx, was[:], is[:], at)
		if err == nil && !ok {
			err = errAgain
		}
		out.Attempt = &token
		return nil, err
	}
	if _, err := x.SpendAttempt(ctx, was); errors.Is(err, store.ErrNone) {
		return nil, errAgain
	} else if err != nil {
		return nil, err
	}
	trust = trust && t.MFA.Remember
	grant, ended, err := s.begin(ctx, x, t, c, at, p.user(), before{previous: previous, anew: trust})
	out.Grant = &grant
	if err == nil && trust {
		err = x.TrustDevice(ctx, grant.Session.Device, c.At.Add(portal.RememberDevice))
	}
	return ended, err
}

// shown adds what a method shows to what was shown. Two kinds are `mfa`, and so is one that stands for two: a passkey
// whose owner was verified. A code by mail never is (OOB-01).
func shown(before []portal.AMR, tr factor.Traits) []portal.AMR {
	out := slices.DeleteFunc(slices.Clone(before), func(m portal.AMR) bool { return m == portal.AMRMulti })
	had := slices.Contains(before, portal.AMRMulti)
	if !slices.Contains(out, tr.AMR) {
		out = append(out, tr.AMR)
	}
	if tr.Assures || had {
		out = append(out, portal.AMRMulti)
	}
	return out
}

// stepUp gives a session that has shown more another identity: the one before is over, and the end stays where it was.
// A nil method: it was the password.
func (s *Service) stepUp(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, p *party, tr *factor.Traits, out *Outcome) ([]portal.SessionID, error) {
	ses := *p.holder.Session
	if ok, err := x.EndSession(ctx, ses.ID, portal.EndStepUp); err != nil {
		return nil, err
	} else if !ok {
		return nil, errAgain
	}
	b := session.Beginning{User: p.user(), Choices: ses.Choices, Device: ses.Device, Remember: ses.Remember, AMR: ses.AMR, MFAAt: ses.MFAAt, End: ses.End}
	facts := map[string]string{"method": "password"}
	if tr != nil {
		b.AMR = shown(ses.AMR, *tr)
		if facts["method"] = string(tr.AMR); tr.Assures {
			b.MFAAt = c.At
		}
	}
	grant, ended, err := s.Sessions.Begin(ctx, x, t, c, b)
	if err != nil {
		return nil, err
	}
	out.Step, out.Grant = portal.StepDone, &grant
	return append(ended, ses.ID), x.Record(ctx, portal.Activity{Verb: portal.VerbSecondStep, User: p.user().ID, Session: grant.Session.ID, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "ok", Facts: facts})
}

// answerPassword is how somebody without a second proof shows again that it is them. It is a guess like any at the door,
// from the same purse (RL-07).
func (s *Service) answerPassword(ctx context.Context, t *portal.Tenant, c portal.Client, h Holder, text string) (Outcome, error) {
	out := Outcome{Left: -1}
	// Whoever has more to show is not told here whether a password is right.
	err := s.within(ctx, t, c.At, func(x *store.Tx) error {
		p, err := s.party(ctx, x, t, c, h)
		if err == nil && len(p.usable) > 0 {
			err = errStale
		}
		return err
	})
	if err != nil {
		return out, err
	}
	_, g, err := s.reprove(ctx, t, c, *h.Session, text, func(portal.User) error { return nil })
	if err != nil {
		return out, err
	}
	var ended []portal.SessionID
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		ended = nil
		p, err := s.party(ctx, x, t, c, h)
		if err != nil {
			return err
		}
		if len(p.usable) > 0 { // there is more to show by now
			return errStale
		}
		if err := errors.Join(x.TakeTurns(ctx, p.users()), x.ReturnTry(ctx, g.email, g.device)); err != nil {
			return err
		}
		ended, err = s.stepUp(ctx, x, t, c, p, nil, &out)
		return err
	})
	if err != nil {
		return Outcome{Left: -1}, errors.Join(err, s.giveBack(ctx, t, c, &g))
	}
	s.Sessions.Forget(c.At, ended...)
	out.Release = s.release(c.At)
	return out, nil
}
