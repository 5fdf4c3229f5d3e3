package auth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/portalgate/portalgate/internal/factor"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
)

// Holder is of whom a second proof is asked: somebody in the middle of signing in, or somebody signed in who is about to
// do something that matters.
type Holder struct {
	Attempt string          // the cookie of a sign-in under way
	Session *portal.Session // or the session; nil: it is the cookie
	Origin  string          // what the address bar says: scheme, host and port

	stamp *stamp // whether a code may be sent; nil: nobody has asked
}

// party is a holder as the database knows them, in one transaction.
type party struct {
	holder  Holder
	digest  []byte // what challenges are bound to
	attempt portal.Attempt
	rows    []store.Account // the rows this is about, the one to start with first
	email   portal.Email
	factors []store.Factor
	usable  []factor.Method // what may be asked now, the strongest first
	known   store.Known     // the browser, where the account knows it
	sit     portal.Situation
}

func (p *party) user() portal.User { return p.rows[0].User }

func (p *party) users() []portal.UserID { return users(p.rows) }

// signedIn says whether the holder has a session.
func (p *party) signedIn() bool { return p.holder.Session != nil }

// purpose is what an answer of the holder is for.
func (p *party) purpose() factor.Purpose {
	if p.signedIn() {
		return factor.PurposeStepUp
	}
	return factor.PurposeSignIn
}

var errAgain = &portal.Problem{Kind: portal.ProblemSessionRequired, Public: "Your sign-in took too long, or was ended somewhere else. Please sign in again."}

// party finds out whom a second proof is asked of.
func (s *Service) party(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, h Holder) (*party, error) {
	p := &party{holder: h}
	var ids []portal.UserID
	if h.Session != nil {
		d := secret.Bound(string(h.Session.ID))
		p.digest, ids = d[:], append([]portal.UserID{h.Session.User}, h.Session.Choices...)
	} else {
		token, err := secret.ParseToken(h.Attempt)
		if err != nil {
			return nil, errAgain
		}
		d := token.Digest(secret.KindAttempt, string(t.ID))
		p.attempt, err = x.Attempt(ctx, d)
		if errors.Is(err, store.ErrNone) || err == nil && len(p.attempt.Users) == 0 {
			return nil, errAgain
		}
		if err != nil {
			return nil, err
		}
		p.digest, ids = d[:], p.attempt.Users
	}
	seen := map[portal.UserID]bool{}
	for i, id := range ids {
		if seen[id] || len(p.rows) == maxRows {
			continue
		}
		seen[id] = true
		a, err := x.Account(ctx, id)
		if errors.Is(err, store.ErrNone) && i > 0 {
			continue
		}
		if errors.Is(err, store.ErrNone) || err == nil && i == 0 && !a.User.Active {
			return nil, errAgain
		}
		if err != nil {
			return nil, err
		}
		if a.User.Active {
			p.rows = append(p.rows, a)
		}
	}
	var err error
	if p.email, err = portal.ParseEmail(p.user().Email); err != nil {
		return nil, fmt.Errorf("address of user %s: %w", p.user().ID, err)
	}
	if len(c.Device) > 0 {
		if p.known, err = x.Device(ctx, []byte(c.Device), p.users()); err != nil && !errors.Is(err, store.ErrNone) {
			return nil, err
		}
	}
	p.sit, p.factors, err = s.situation(ctx, x, t, c, p.rows, p.known)
	if err != nil {
		return nil, err
	}
	for _, m := range s.Methods {
		if slices.Contains(p.sit.Factors, m.Kind()) {
			p.usable = append(p.usable, m)
		}
	}
	slices.SortStableFunc(p.usable, func(a, b factor.Method) int { return b.Traits().Strength - a.Traits().Strength })
	return p, nil
}

// situation is what a sign-in of these rows is judged by. The factors are read only where there are any.
func (s *Service) situation(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, rows []store.Account, known store.Known) (portal.Situation, []store.Factor, error) {
	sit := portal.Situation{MFA: portal.MFAOff, Trusted: t.MFA.Remember && known.TrustedUntil.After(c.At), Now: c.At,
		Known: known.First, Passkeys: s.method(portal.FactorWebAuthn) != nil && t.MFA.Allows(portal.FactorWebAuthn)}
	var factors []store.Factor
	has := slices.ContainsFunc(rows, func(a store.Account) bool { return a.Second.Has })
	if has {
		var err error
		if factors, err = x.Factors(ctx, rows[0].User.ID); err != nil {
			return sit, nil, err
		}
	}
	byMail := false
	for _, a := range rows {
		sit.MFA = stricter(sit.MFA, t.MFA.For(a.User.Role, s.Policy.MFA))
		byMail, sit.Offered = byMail || a.Second.ByMail, sit.Offered || a.Second.Offered
		if !a.Second.Claimed {
			continue
		}
		// What the ERP's row calls a second step: a real secret is one, once a code of it was right; anything else never was.
		if state, ok := factor.Adopt(a.Second.Claim); ok && !slices.ContainsFunc(factors, func(f store.Factor) bool { return f.Kind == portal.FactorTOTP }) {
			factors = append(factors, store.Factor{Factor: portal.Factor{User: a.User.ID, Kind: portal.FactorTOTP}, State: string(state)})
			continue
		}
		sit.Claimed = len(factors) == 0
	}
	told := rows[0].Second.ToldAt
	if told.IsZero() || told.Before(t.MFA.Since) {
		told = c.At
	}
	sit.Grace = told.Add(time.Duration(t.MFA.GraceDays) * 24 * time.Hour)
	email, _ := portal.ParseEmail(rows[0].User.Email) // none: no code by mail reaches it
	sit.Factors = s.kinds(t, factors, email, byMail)
	return sit, factors, nil
}

// kinds are the kinds of these factors that may be used. One that comes by mail proves nothing to whoever set the
// password by mail, where there is another (OOB-01); and what cannot stand alone stands beside something that can.
func (s *Service) kinds(t *portal.Tenant, factors []store.Factor, email portal.Email, byMail bool) (out []portal.FactorKind) {
	alone, better := false, false
	for _, m := range s.Methods {
		mine := func(f store.Factor) bool {
			// A code to a mailbox that is no longer the person's would keep them out.
			return f.Kind == m.Kind() && (!m.Traits().ByMail || f.Facts[factor.FactMailbox] == factor.Mailbox(email))
		}
		if t.MFA.Allows(m.Kind()) && slices.ContainsFunc(factors, mine) {
			out = append(out, m.Kind())
			alone = alone || m.Traits().Alone
			better = better || m.Traits().Assures
		}
	}
	if !alone {
		return nil
	}
	if byMail && better {
		out = slices.DeleteFunc(out, func(k portal.FactorKind) bool { return s.method(k).Traits().ByMail })
	}
	return out
}

func stricter(a, b portal.MFA) portal.MFA {
	order := []portal.MFA{portal.MFAOff, portal.MFAOptional, portal.MFARequired}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}

// method is the method of a kind, or nil.
func (s *Service) method(k portal.FactorKind) factor.Method {
	for _, m := range s.Methods {
		if m.Kind() == k {
			return m
		}
	}
	return nil
}

// can finds a method among those that may be asked now.
func (p *party) can(k portal.FactorKind) factor.Method {
	for _, m := range p.usable {
		if m.Kind() == k {
			return m
		}
	}
	return nil
}

// assured says whether the person has something that counts where a second proof is required. Backup codes are for the
// day when it is not at hand: whoever has nothing else beside them would be asked for one at every change.
func (p *party) assured() bool {
	return slices.ContainsFunc(p.usable, func(m factor.Method) bool { return m.Traits().Assures && !m.Traits().Along })
}

// fresh says whether a session has shown the strongest that its person has within the last ten minutes (SES-09).
func (p *party) fresh(now time.Time) bool {
	at := p.holder.Session.AuthTime
	switch {
	case p.assured():
		at = p.holder.Session.MFAAt
	case len(p.usable) > 0 && !slices.ContainsFunc(p.usable, func(m factor.Method) bool { return slices.Contains(p.holder.Session.AMR, m.Traits().AMR) }):
		return false // a remembered device has shown the password alone
	}
	return !at.IsZero() && now.Sub(at) < portal.FreshFor
}

var errStale = &portal.Problem{Kind: portal.ProblemMFARequired, Public: "Show once more that it is you. Then you can go on where you were."}

// ready is errStale, unless a session has just shown what it can.
func (p *party) ready(now time.Time) error {
	if p.signedIn() && !p.fresh(now) {
		return errStale
	}
	return nil
}

// rests is the answer while codes are not taken. Of a passkey hears only who has one: the others would look for it.
func (p *party) rests(d time.Duration) error {
	rest := &portal.Problem{Kind: portal.ProblemLimit, Public: "There were several wrong codes, so codes are not taken for a while. Please try again later.", RetryAfter: d, Rule: RuleSecond}
	if p.can(portal.FactorWebAuthn) != nil {
		rest.Public = "There were several wrong codes, so codes are not taken for a while. Your passkey works all the same."
	}
	return rest
}

// Ready says whether a session may do what matters now, or must first show who it is.
func (s *Service) Ready(ctx context.Context, t *portal.Tenant, c portal.Client, h Holder) error {
	return s.within(ctx, t, c.At, func(x *store.Tx) error {
		p, err := s.party(ctx, x, t, c, h)
		if err != nil {
			return err
		}
		return p.ready(c.At)
	})
}

// SecondFresh refuses somebody who has a second proof and has not just shown it. It is for what asks for the password
// itself; a page asks before it shows a form, so that nothing that was typed is lost.
func (s *Service) SecondFresh(ctx context.Context, t *portal.Tenant, c portal.Client, ses portal.Session) error {
	return s.within(ctx, t, c.At, func(x *store.Tx) error {
		p, err := s.party(ctx, x, t, c, Holder{Session: &ses})
		if err != nil || len(p.usable) == 0 {
			return err
		}
		return p.ready(c.At)
	})
}

// scene is where a method works.
func (p *party) scene(t *portal.Tenant, purpose factor.Purpose, now time.Time) factor.Scene {
	u := p.user()
	return factor.Scene{Tenant: t.ID, Portal: t.Name, Origin: p.holder.Origin, Host: hostOf(p.holder.Origin), User: u.ID, Email: string(p.email), Name: u.Name(), Purpose: purpose, Now: now,
		Handle: p.rows[0].Second.Handle}
}

// hostOf is the host of an origin, without its port: the RP ID of passkeys (WA-04).
func hostOf(origin string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// held opens the states of a person's factors of a kind. One that does not open is no factor, and somebody must hear of
// it: its key is gone, or somebody has moved a row (TOTP-06).
func (s *Service) held(t *portal.Tenant, p *party, k portal.FactorKind, now time.Time) ([]factor.Held, error) {
	var out []factor.Held
	for _, f := range p.factors {
		if f.Kind != k {
			continue
		}
		state := []byte(f.State)
		if f.ID != "" {
			var err error
			if state, err = s.Keys.Unseal(f.State, factorPlace(t.ID, f.User, f.ID), now); err != nil {
				return nil, fmt.Errorf("factor %s of user %s: %w", f.ID, f.User, err)
			}
		}
		out = append(out, factor.Held{ID: f.ID, State: state, Facts: f.Facts})
	}
	return out, nil
}

// factorPlace is where the state of a factor stands: with its tenant, its person and its row, so that a copy in another
// row opens nothing.
func factorPlace(t portal.TenantID, u portal.UserID, id portal.FactorID) secret.Place {
	return secret.Place{Tenant: string(t), Table: "factors", Column: "state", Row: string(u) + "/" + string(id)}
}

func challengePlace(t portal.TenantID, id portal.ChallengeID) secret.Place {
	return secret.Place{Tenant: string(t), Table: "challenges", Column: "state", Row: string(id)}
}

// sealFactor seals the state of a factor.
func (s *Service) sealFactor(t portal.TenantID, f *store.Factor, state []byte, now time.Time) (err error) {
	f.State, err = s.Keys.Seal(state, factorPlace(t, f.User, f.ID), now)
	f.KeyID = secret.SealedWith(f.State)
	return err
}

// put stores a question, and lets a code that belongs to it travel, in one transaction. Each code is a letter of its own: of
// two that wait only the newer is good, and it is the one that must arrive. It returns how many answers may be tried.
func (s *Service) put(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, p *party, holder []byte, purpose factor.Purpose, m factor.Method, ch factor.Challenge) (int, error) {
	if ch.State == nil {
		return ch.Tries, nil
	}
	row := store.Challenge{ID: portal.ChallengeID(portal.FormatID(secret.NewID())), Holder: holder, Purpose: string(purpose), Kind: m.Kind(), Tries: ch.Tries, ExpiresAt: c.At.Add(ch.Life)}
	var err error
	if row.State, err = s.Keys.Seal(ch.State, challengePlace(t.ID, row.ID), c.At); err != nil {
		return 0, err
	}
	row.KeyID = secret.SealedWith(row.State)
	if ch.Letter != nil {
		if before, err := x.Challenge(ctx, holder, row.Purpose, row.Kind); err != nil && !errors.Is(err, store.ErrNone) {
			return 0, err
		} else if err == nil && before.Tries == 0 {
			// It would arrive and not be taken, and put off the moment from when on one is.
			return 0, &portal.Problem{Kind: portal.ProblemLimit, Public: "Too many codes were wrong. Wait some minutes before you ask for another.", RetryAfter: before.ExpiresAt.Sub(c.At), Rule: RuleCodes}
		}
		if err := s.mayDispatch(ctx, x, c, p, ch.Letter.Kind); err != nil {
			return 0, err
		}
	}
	// Whoever sees what an app is set up with need not guess its codes, and begins anew as often as they like.
	seen := purpose == factor.PurposeEnrol && ch.Letter == nil
	left, err := x.PutChallenge(ctx, row, m.Traits().Guessable && !seen)
	if err != nil || ch.Letter == nil {
		return left, err
	}
	u := p.user()
	return left, s.post(ctx, x, t, portal.Letter{Kind: ch.Letter.Kind, User: u.ID, To: portal.Email(ch.Letter.To), Language: u.Language, Expires: row.ExpiresAt,
		Facts: asked(c, map[string]string{"code": ch.Letter.Code})})
}

// What a person may have sent in codes (OOB-05).
const (
	codesApart = time.Minute
	codesAHour = 5
)

// mayDispatch says whether another code may be sent to a person, before it takes the place of the one of before: a page must
// not speak of a code that never leaves.
func (s *Service) mayDispatch(ctx context.Context, x *store.Tx, c portal.Client, p *party, k portal.LetterKind) error {
	n, last, err := x.LettersSince(ctx, k, p.user().ID, c.At.Add(-time.Hour))
	if err != nil {
		return err
	}
	switch {
	case n > 0 && c.At.Before(last.Add(codesApart)):
		return &portal.Problem{Kind: portal.ProblemLimit, Public: "A code was sent a moment ago. Wait a minute before you ask for another.", RetryAfter: last.Add(codesApart).Sub(c.At), Rule: RuleCodes}
	case n >= codesAHour:
		return &portal.Problem{Kind: portal.ProblemLimit, Public: "Enough codes were sent for now. Use another way, or try again later.", RetryAfter: time.Hour, Rule: RuleCodes}
	}
	return p.holder.stamp.good(k, p.known.ID != "")
}

// opened is the state of a question.
func (s *Service) opened(t portal.TenantID, ch store.Challenge, now time.Time) ([]byte, error) {
	if ch.State == "" {
		return nil, nil
	}
	return s.Keys.Unseal(ch.State, challengePlace(t, ch.ID), now)
}
