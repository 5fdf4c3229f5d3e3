package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portalgate/portalgate/internal/factor"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
)

// KindPassword stands where somebody without a second proof shows the password again, and KindMailbox where they show
// that they read their mail before they add their first one. Neither is a factor.
const (
	KindPassword portal.FactorKind = "password"
	KindMailbox  portal.FactorKind = "mailbox"
)

// Question is what the page of the second step asks.
type Question struct {
	Kind     portal.FactorKind // a factor's, KindPassword or KindMailbox
	Title    string            // "Authenticator app"
	Hint     string            // where to look
	Script   bool              // it cannot be asked without scripts
	Sends    bool              // a code must be sent first
	SentTo   string            // where one is on its way to, masked; empty: none is
	SentAt   time.Time
	Earlier  bool // for the sign-in before this one, in the same browser
	Expires  time.Time
	Tries    int // left of a code that was sent
	Others   []Way
	CanTrust bool   // "don't ask again on this device" may be offered
	Email    string // for the hidden field that password managers read
	ReturnTo string
	SignedIn bool      // it is asked of somebody who has a session
	Rests    time.Time // codes are not taken until then; a passkey is
	Last     time.Time // when a code was sent elsewhere that puts off the next; zero: none was
	NoneYet  bool      // there is no second proof; what is asked for here cannot be shown
}

// Way is one of several ways to show it.
type Way struct {
	Kind  portal.FactorKind
	Title string
}

// Second says what is asked of a holder, and changes nothing. enrol: a first factor is about to be added. wanted may name
// a way; the strongest is asked first. Where nothing is asked the error is ErrNothing.
func (s *Service) Second(ctx context.Context, t *portal.Tenant, c portal.Client, h Holder, wanted portal.FactorKind, enrol bool) (q Question, err error) {
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		p, err := s.party(ctx, x, t, c, h)
		if err != nil {
			return err
		}
		kind, err := s.due(ctx, x, c, p, enrol)
		if err != nil {
			return err
		}
		q = Question{Kind: kind, Email: p.user().Email, SignedIn: p.signedIn(), ReturnTo: p.attempt.ReturnTo}
		purpose := p.purpose()
		switch kind {
		case KindPassword:
			q.Title = "Password"
			return nil
		case KindMailbox:
			q.Title, q.Sends, purpose, kind = "Code by e-mail", true, factor.PurposeProve, portal.FactorEmail
		default:
			m := p.usable[0]
			if other := p.can(wanted); other != nil {
				m = other
			}
			kind = m.Kind()
			tr := m.Traits()
			q.Kind, q.Title, q.Hint, q.Script, q.Sends = kind, tr.Title, tr.Hint, tr.Script, tr.Sent
			q.CanTrust = !p.signedIn() && t.MFA.Remember
			for _, o := range p.usable {
				if o.Kind() != kind {
					q.Others = append(q.Others, Way{o.Kind(), o.Traits().Title})
				}
			}
			rest, err := x.CodeRest(ctx, p.email, p.known.ID)
			if err != nil {
				return err
			}
			if rest.After(c.At) {
				// Every kind of code rests with the others: none of them is a way on.
				q.Others = slices.DeleteFunc(q.Others, func(o Way) bool { return s.method(o.Kind).Traits().Guessable })
				if tr.Guessable {
					q.Rests = rest
				}
			}
		}
		if !q.Sends {
			return nil
		}
		to := s.sentTo(t, p, kind)
		q.Hint = fmt.Sprintf("We send a code to %s.", to)
		ch, err := x.Challenge(ctx, p.digest, string(purpose), kind)
		if errors.Is(err, store.ErrNone) {
			letter := portal.LetterCode
			if m := s.method(kind); m != nil && !m.Traits().ByMail {
				letter = portal.LetterTextCode
			}
			_, q.Last, err = x.LettersSince(ctx, letter, p.user().ID, c.At.Add(-codesApart))
			return err
		}
		if err != nil {
			return err
		}
		q.SentTo, q.SentAt, q.Expires = to, ch.CreatedAt, ch.ExpiresAt
		q.Tries, q.Earlier = ch.Tries, !p.signedIn() && ch.CreatedAt.Before(p.attempt.CreatedAt)
		return nil
	})
	return q, err
}

// ErrNothing means that nothing is asked: the holder may go on.
var ErrNothing = errors.New("nothing is asked")

// due is what a holder must show next.
func (s *Service) due(ctx context.Context, x *store.Tx, c portal.Client, p *party, enrol bool) (portal.FactorKind, error) {
	if !p.signedIn() {
		switch step := portal.Next(p.attempt, p.sit); step {
		case portal.StepSecond:
			return "", nil
		case portal.StepEnrol:
			ok, err := s.proved(ctx, x, c, p)
			if err == nil && ok {
				err = ErrNothing
			}
			return KindMailbox, err
		default:
			return "", ErrNothing
		}
	}
	switch {
	case len(p.usable) > 0 && !p.fresh(c.At):
		return "", nil
	case len(p.usable) > 0:
		return "", ErrNothing
	case !p.fresh(c.At):
		return KindPassword, nil
	case enrol:
		ok, err := s.proved(ctx, x, c, p)
		if err == nil && ok {
			err = ErrNothing
		}
		return KindMailbox, err
	}
	return "", ErrNothing
}

// proved says whether a first factor may be added: the mailbox was proved just now, or the browser has been known for a
// week. Whoever has only learned the password must not be able to lock its owner out with a factor of theirs.
func (s *Service) proved(ctx context.Context, x *store.Tx, c portal.Client, p *party) (bool, error) {
	if p.known.ID != "" && !c.At.Before(p.known.First.Add(portal.KnownFor)) {
		return true, nil
	}
	return x.Passed(ctx, p.digest, string(factor.PurposeProve), factor.Mailbox(p.email))
}

// sentTo is where a code of a kind goes, masked.
func (s *Service) sentTo(t *portal.Tenant, p *party, k portal.FactorKind) string {
	for _, f := range p.factors {
		if f.Kind == k && f.Facts["phone"] != "" {
			return f.Facts["phone"]
		}
	}
	return p.email.Masked()
}

// Options are the options of a passkey's question, for the script of a page: of the second step, or of showing it again.
func (s *Service) Options(ctx context.Context, t *portal.Tenant, c portal.Client, h Holder) (show any, err error) {
	err = s.question(ctx, t, c, h, portal.FactorWebAuthn, false, func(ch factor.Challenge) { show = ch.Show })
	return show, err
}

// Send sends the code of a way that sends one.
func (s *Service) Send(ctx context.Context, t *portal.Tenant, c portal.Client, h Holder, k portal.FactorKind, enrol bool) error {
	return s.question(ctx, t, c, h, k, enrol, func(factor.Challenge) {})
}

// question asks a holder.
func (s *Service) question(ctx context.Context, t *portal.Tenant, c portal.Client, h Holder, k portal.FactorKind, enrol bool, shown func(factor.Challenge)) error {
	return s.sending(ctx, t, c, func(x *store.Tx, paid *stamp) error {
		h.stamp = paid
		p, err := s.party(ctx, x, t, c, h)
		if err != nil {
			return err
		}
		due, err := s.due(ctx, x, c, p, enrol)
		if errors.Is(err, ErrNothing) {
			return input("method", "This is not asked for any more. Go back and try again.")
		}
		if err != nil {
			return err
		}
		if due == KindMailbox {
			m := s.method(portal.FactorEmail)
			if m == nil {
				return &portal.Problem{Kind: portal.ProblemForbidden, Public: "No code can be sent from here. Please ask for help."}
			}
			return s.pose(ctx, x, t, c, p, factor.PurposeProve, m, nil, shown)
		}
		m := p.can(k)
		if m == nil || due != "" {
			return input("method", "Choose one of the ways that are offered.")
		}
		return s.pose(ctx, x, t, c, p, p.purpose(), m, p.factors, shown)
	})
}

// sendFirst sends at once what somebody would have to ask for at the next page: the code of the way that is asked first,
// or the one that proves the mailbox. Where enough codes were sent, the one that the browser was sent for the sign-in before
// this goes on to be asked for; was is that sign-in's cookie.
func (s *Service) sendFirst(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, h Holder, was string) error {
	p, err := s.party(ctx, x, t, c, h)
	if err != nil {
		return err
	}
	due, err := s.due(ctx, x, c, p, false)
	purpose, m, have := factor.PurposeSignIn, factor.Method(nil), p.factors
	switch {
	case errors.Is(err, ErrNothing):
		return nil
	case err != nil:
		return err
	case due == KindMailbox:
		purpose, m, have = factor.PurposeProve, s.method(portal.FactorEmail), nil
	case due == "" && p.usable[0].Traits().Sent:
		m = p.usable[0]
	}
	if m == nil {
		return nil
	}
	err = s.pose(ctx, x, t, c, p, purpose, m, have, func(factor.Challenge) {})
	if !s.noCodeLeft(err) {
		return err
	}
	token, err := secret.ParseToken(was)
	if err != nil {
		return nil // a browser without one: the page says from when on it can have a code
	}
	before := token.Digest(secret.KindAttempt, string(t.ID))
	at, err := x.Attempt(ctx, before)
	if errors.Is(err, store.ErrNone) || err == nil && !slices.Contains(at.Users, p.user().ID) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = x.HandChallenge(ctx, before[:], p.digest, string(purpose), m.Kind())
	return err
}

// pose asks one method's question and stores it.
func (s *Service) pose(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, p *party, purpose factor.Purpose, m factor.Method, have []store.Factor, shown func(factor.Challenge)) error {
	var held []factor.Held
	if have != nil {
		var err error
		if held, err = s.held(t, p, m.Kind(), c.At); err != nil {
			return err
		}
	}
	ch, err := m.Ask(ctx, p.scene(t, purpose, c.At), held, nil)
	if err != nil {
		return err
	}
	if _, err := s.put(ctx, x, t, c, p, p.digest, purpose, m, ch); err != nil {
		return err
	}
	shown(ch)
	return nil
}

// wrongCode is what somebody hears of a code that is not the one, with what to do about it.
func wrongCode(m factor.Method) string {
	switch tr := m.Traits(); {
	case tr.Sent:
		return "This code is not correct. Type the newest one that we have sent."
	case tr.Along:
		return "This code is not correct. Compare it with your list."
	case tr.Guessable:
		return "This code is not correct. Type the one that is shown now."
	}
	return "This is not correct. Try again."
}

// usedCode is what somebody hears who types a code that was right once.
func usedCode(m factor.Method) string {
	if m.Traits().Along {
		return "You have used this code already. Take the next one on your list."
	}
	return "This code was already used. Wait for the next one."
}

// overCode is what somebody hears at a set-up that takes no answer any more.
func overCode(m factor.Method) string {
	if m.Traits().Sent {
		return "This took too long, or too many codes were wrong. Have a new one sent."
	}
	return "This took too long, or too many codes were wrong. Begin anew."
}

// lateCode is what somebody hears of an answer to a question that is open no more.
func lateCode(m factor.Method) string {
	if m.Traits().Sent {
		return "The code that we have sent does not work any more. Have a new one sent."
	}
	return "This took too long. Please try again."
}

// noCode is what somebody hears of an answer that cannot be one.
func noCode(m factor.Method, typed string) string {
	switch tr := m.Traits(); {
	case strings.TrimSpace(typed) == "" && tr.Guessable && !tr.Along:
		return "Enter the 6 digits."
	case tr.Sent:
		return "Enter the whole code that we have sent. It has only digits."
	case tr.Along:
		return "Enter the whole code as it stands in your list."
	}
	return "Enter the code as it is shown. It has only the characters that you see there."
}
