package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/portalgate/portalgate/internal/factor"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
)

// Steps are what the page about second steps shows.
type Steps struct {
	Have     []portal.Factor // the confirmed ones, the oldest first; backup codes are not among them
	Codes    int             // backup codes left; -1: there are none
	Sheet    portal.FactorID // that they are on
	Offers   []Offer         // what may be added
	Off      bool            // the tenant has switched second steps off
	Required bool            // the tenant asks for one
	Until    time.Time       // until when it can be put off; zero, or past: not
	Trusted  int             // devices that are not asked
	SignedIn bool            // false: somebody is led here in the middle of signing in
	ReturnTo string
	First    bool              // there is none yet
	Accepted []factor.Accepted // what a browser may be told of the passkeys; of nobody who is not signed in
}

// Offer is a kind that may be added.
type Offer struct {
	Kind    portal.FactorKind
	Title   string
	Script  bool
	Contact bool // it asks for a telephone number
}

// Steps shows a holder's second steps. Somebody in the middle of signing in sees them only where they have none and must
// add one: whoever knows a password must not set up a second proof beside the owner's (TOTP-05).
func (s *Service) Steps(ctx context.Context, t *portal.Tenant, c portal.Client, h Holder) (out Steps, err error) {
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		out = Steps{Codes: -1}
		p, err := s.enroller(ctx, x, t, c, h)
		if err != nil {
			return err
		}
		out.Off, out.Required, out.Until = p.sit.MFA == portal.MFAOff, p.sit.MFA == portal.MFARequired, p.sit.Grace
		out.SignedIn, out.First, out.ReturnTo = p.signedIn(), len(p.usable) == 0, p.attempt.ReturnTo
		if p.signedIn() {
			out.Accepted = s.accepted(t, p, c.At)
		}
		for _, f := range p.factors {
			if n := left(f.Facts); n >= 0 {
				out.Codes, out.Sheet = n, f.ID
				continue
			}
			if f.ID != "" {
				out.Have = append(out.Have, f.Factor)
			}
		}
		if out.Trusted, err = x.TrustedDevices(ctx, p.users()); err != nil || out.Off {
			return err
		}
		for _, m := range s.Methods {
			if tr := m.Traits(); s.offers(t, p, m) {
				out.Offers = append(out.Offers, Offer{m.Kind(), tr.Title, tr.Script, tr.Contact})
			}
		}
		return nil
	})
	return out, err
}

// offers says whether a person may add a factor of a kind.
func (s *Service) offers(t *portal.Tenant, p *party, m factor.Method) bool {
	tr := m.Traits()
	if tr.Along || !tr.Alone && len(p.usable) == 0 || !t.MFA.Allows(m.Kind()) || p.sit.MFA == portal.MFAOff || tr.Contact && !s.CanText() {
		return false
	}
	return tr.Several || !slices.ContainsFunc(p.factors, func(f store.Factor) bool { return f.Kind == m.Kind() && f.ID != "" })
}

// enroller is a holder who may be here at all.
func (s *Service) enroller(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, h Holder) (*party, error) {
	p, err := s.party(ctx, x, t, c, h)
	if err != nil {
		return nil, err
	}
	if !p.signedIn() && portal.Next(p.attempt, p.sit) != portal.StepEnrol {
		return nil, errAgain
	}
	return p, nil
}

// mayAdd is an enroller who has shown what adding a factor needs.
func (s *Service) mayAdd(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, h Holder) (*party, error) {
	p, err := s.enroller(ctx, x, t, c, h)
	if err != nil {
		return nil, err
	}
	if err := p.ready(c.At); err != nil {
		return nil, err
	}
	if len(p.usable) > 0 {
		return p, nil
	}
	if ok, err := s.proved(ctx, x, c, p); err != nil || !ok {
		return nil, errors.Join(err, errStale)
	}
	return p, nil
}

var errNotOffered = input("method", "This way is not offered here. Choose one of the list.")

// SettingUp is a set-up under way.
type SettingUp struct {
	Kind    portal.FactorKind
	Title   string
	Show    any    // what the method shows
	To      string // where a code is on its way to, masked; empty: none is
	SentAt  time.Time
	Expires time.Time
	Tries   int  // left of a code that was sent
	Contact bool // it goes to a number that was typed, and another may be
	Shown   bool // there is nothing left to ask: Confirm takes it as it is
	Email   string
}

// Begin begins to add a factor. Nothing counts until Confirm, and beginning again shows the same again, or sends another
// code. contact is the telephone number that was typed, where the kind asks for one; empty: the one of before.
func (s *Service) Begin(ctx context.Context, t *portal.Tenant, c portal.Client, h Holder, k portal.FactorKind, contact string) (out SettingUp, err error) {
	m := s.method(k)
	if m == nil {
		return out, errNotOffered
	}
	err = s.sending(ctx, t, c, func(x *store.Tx, paid *stamp) error {
		h.stamp = paid
		p, err := s.mayAdd(ctx, x, t, c, h)
		if err != nil {
			return err
		}
		if !s.offers(t, p, m) {
			return errNotOffered
		}
		if out.Shown, err = s.shownAlready(ctx, x, p, m); err != nil || out.Shown {
			return err
		}
		have, err := s.held(t, p, k, c.At)
		if err != nil {
			return err
		}
		var before []byte
		under, err := x.Challenge(ctx, p.digest, string(factor.PurposeEnrol), k)
		if err == nil {
			before, err = s.opened(t.ID, under, c.At)
		}
		if err != nil && !errors.Is(err, store.ErrNone) {
			return err
		}
		scene := p.scene(t, factor.PurposeEnrol, c.At)
		scene.Contact = contact
		ch, err := m.Setup(ctx, scene, have, before)
		if errors.Is(err, factor.ErrContact) {
			return input("contact", "Enter your telephone number with its country code, like +49 151 23456789.")
		}
		if err != nil {
			return err
		}
		if _, err := s.put(ctx, x, t, c, p, p.digest, factor.PurposeEnrol, m, ch); err != nil {
			return err
		}
		out = SettingUp{Kind: k, Title: m.Traits().Title, Show: ch.Show, To: ch.To, Email: string(p.email)}
		return nil
	})
	return out, err
}

// Added is a factor that counts from now on.
type Added struct {
	Codes   []string // the backup codes that were made along with it, to be shown this once; nil: there are some already
	Outcome Outcome  // the session that goes on, or begins
}

// Confirm ends the set-up with its first right answer. The first factor brings backup codes along; the owner hears of it
// and can undo it for a week.
func (s *Service) Confirm(ctx context.Context, t *portal.Tenant, c portal.Client, h Holder, k portal.FactorKind, answer, name string) (out Added, err error) {
	m := s.method(k)
	if m == nil {
		return out, errNotOffered
	}
	if name, err = factorName(name); err != nil {
		return out, err
	}
	var (
		p        *party
		ch       store.Challenge
		state    []byte
		enrolled factor.Enrolled
		proved   bool
	)
	err = s.within(ctx, t, c.At, func(x *store.Tx) (err error) {
		if p, err = s.mayAdd(ctx, x, t, c, h); err != nil {
			return err
		}
		if proved, err = s.shownAlready(ctx, x, p, m); err != nil || proved {
			return err
		}
		ch, err = x.SpendChallenge(ctx, p.digest, string(factor.PurposeEnrol), k)
		if errors.Is(err, store.ErrNone) {
			return input("code", overCode(m))
		}
		if err == nil {
			state, err = s.opened(t.ID, ch, c.At)
		}
		return err
	})
	if err != nil {
		return out, err
	}
	if scene := p.scene(t, factor.PurposeEnrol, c.At); proved {
		enrolled, err = m.(proving).Proved(scene)
	} else {
		enrolled, err = m.Confirm(ctx, scene, state, answer)
	}
	if err != nil {
		return out, errors.Join(notEnrolled(m, answer, err), s.notEnrolledIs(ctx, t, c, p, m, err))
	}
	var ended []portal.SessionID
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		out, ended = Added{Outcome: Outcome{Left: -1}}, nil
		if err := x.TakeTurns(ctx, p.users()); err != nil {
			return err
		}
		p, err := s.mayAdd(ctx, x, t, c, h)
		if err != nil {
			return err
		}
		if !s.offers(t, p, m) {
			return errNotOffered
		}
		if proved {
			ok, err := s.shownAlready(ctx, x, p, m)
			if err != nil || !ok {
				return errors.Join(err, errStale)
			}
		} else if ok, err := x.EndChallenge(ctx, ch.ID); err != nil || !ok {
			return errors.Join(err, input("code", "This was done already. Load the page again."))
		}
		first := len(p.usable) == 0
		if err := s.add(ctx, x, t, c, p, m, enrolled, name); err != nil {
			return err
		}
		if out.Codes, err = s.codesAlong(ctx, x, t, c, p); err != nil {
			return err
		}
		facts := map[string]string{"what": m.Traits().Added}
		if first {
			facts[factFirst] = "true"
		}
		if err := errors.Join(x.Settle(ctx, p.user().ID), x.UnlockCodes(ctx, p.email), s.notify(ctx, x, t, c, p.user(), portal.LetterFactor, facts)); err != nil {
			return err
		}
		if p, err = s.party(ctx, x, t, c, h); err != nil {
			return err
		}
		ended, err = s.goOn(ctx, x, t, c, p, m.Traits(), false, "", &out.Outcome)
		return err
	})
	if err != nil {
		return Added{}, err
	}
	s.Sessions.Forget(c.At, ended...)
	return out, nil
}

// factFirst marks the notice of a first factor, which undoes what was added from then on; no mail says it.
const factFirst = "first"

// proving is a method of which a mailbox that was proved is enough.
type proving interface {
	Proved(s factor.Scene) (factor.Enrolled, error)
}

// shownAlready says whether a holder has shown all that this method would ask for at its set-up: where their mailbox was
// proved just now, a second code to the same one would say no more.
func (s *Service) shownAlready(ctx context.Context, x *store.Tx, p *party, m factor.Method) (bool, error) {
	if _, ok := m.(proving); !ok {
		return false, nil
	}
	return x.Passed(ctx, p.digest, string(factor.PurposeProve), factor.Mailbox(p.email))
}

func notEnrolled(m factor.Method, answer string, err error) error {
	var drift *factor.DriftError
	switch {
	case errors.Is(err, factor.ErrInput):
		return input("code", noCode(m, answer))
	case errors.As(err, &drift):
		return input("code", "This code is not correct. The clock of your device seems to be wrong: set its time automatically, and try again.")
	case errors.Is(err, factor.ErrUsed), errors.Is(err, factor.ErrWrong):
		return input("code", wrongCode(m))
	}
	return err
}

// notEnrolledIs records a wrong answer at a set-up: whoever guesses there has somebody's session, or their password.
func (s *Service) notEnrolledIs(ctx context.Context, t *portal.Tenant, c portal.Client, p *party, m factor.Method, cause error) error {
	if errors.Is(cause, factor.ErrInput) || !errors.Is(cause, factor.ErrUsed) && !errors.Is(cause, factor.ErrWrong) {
		return nil
	}
	a := portal.Activity{Verb: portal.VerbSecondFailed, User: p.user().ID, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "refused", Facts: map[string]string{"method": string(m.Kind()), "at": "set_up"}}
	if p.signedIn() {
		a.Session = p.holder.Session.ID
	}
	return s.within(ctx, t, c.At, func(x *store.Tx) error { return x.Record(ctx, a) })
}

// factorName is how somebody calls a factor; empty: as its kind does.
func factorName(s string) (string, error) {
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) > 60 || strings.ContainsFunc(s, unicode.IsControl) {
		return "", input("name", "Choose a name of at most 60 characters.")
	}
	return s, nil
}

// add stores a confirmed factor.
func (s *Service) add(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, p *party, m factor.Method, e factor.Enrolled, name string) error {
	f := store.Factor{Factor: portal.Factor{ID: portal.FactorID(portal.FormatID(secret.NewID())), User: p.user().ID, Kind: m.Kind(), Name: orElse(name, orElse(e.Name, m.Traits().Title)), Facts: e.Facts}, Lookup: e.Lookup}
	if err := s.sealFactor(t.ID, &f, e.State, c.At); err != nil {
		return err
	}
	ok, err := x.PutFactor(ctx, f)
	if err == nil && !ok {
		err = input("code", "This passkey belongs to an account already.")
	}
	if err != nil {
		return err
	}
	if e.Handle != nil { // who has made a passkey needs no offer of one, also after they have removed it
		if err := errors.Join(x.PutHandle(ctx, f.User, e.Handle), x.Offer(ctx, f.User)); err != nil {
			return err
		}
	}
	if m.Traits().Along { // what it came along with, or took the place of, is what happened
		return nil
	}
	return x.Record(ctx, portal.Activity{Verb: portal.VerbFactorAdded, User: f.User, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "ok", Facts: map[string]string{"method": string(m.Kind()), "name": f.Name}})
}

// codesAlong makes backup codes where a person has none yet.
func (s *Service) codesAlong(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, p *party) ([]string, error) {
	m := s.method(portal.FactorBackup)
	if m == nil || slices.ContainsFunc(p.factors, func(f store.Factor) bool { return f.Kind == portal.FactorBackup }) {
		return nil, nil
	}
	return s.makeCodes(ctx, x, t, c, p, m)
}

func (s *Service) makeCodes(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, p *party, m factor.Method) ([]string, error) {
	scene := p.scene(t, factor.PurposeEnrol, c.At)
	ch, err := m.Setup(ctx, scene, nil, nil)
	if err != nil {
		return nil, err
	}
	e, err := m.Confirm(ctx, scene, ch.State, "")
	if err != nil {
		return nil, err
	}
	codes, ok := ch.Show.([]string)
	if !ok {
		return nil, fmt.Errorf("making backup codes: %T is no list of them", ch.Show)
	}
	return codes, s.add(ctx, x, t, c, p, m, e, "")
}
