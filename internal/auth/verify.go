package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
)

// Registration is what the form of a new account sends.
type Registration struct {
	Email, Name, Password string
	Customer              string // the ERP's customer code; empty: the tenant's own company
}

// maxName is the longest name that is taken, in characters: the ERP's two columns hold a hundred each.
const maxName = 100

// Register asks for an account. The answer is the same whether or not somebody has the address; a row is made, and
// somebody looked up, when the mail leaves. The browser is given a cookie by which the confirmation knows it again.
func (s *Service) Register(ctx context.Context, t *portal.Tenant, c portal.Client, in Registration) (Outcome, error) {
	if t.Registration != portal.RegistrationOpen {
		return Outcome{}, &portal.Problem{Kind: portal.ProblemForbidden, Public: "Accounts for this portal are made for you: please ask for one."}
	}
	email, err := portal.ParseEmail(in.Email)
	if err != nil {
		return Outcome{}, input("email", "Enter your e-mail address, like name@example.com.")
	}
	name := strings.Join(strings.Fields(in.Name), " ")
	switch {
	case name == "":
		return Outcome{}, input("name", "Enter your name.")
	case utf8.RuneCountInString(name) > maxName || strings.ContainsFunc(name, unicode.IsControl):
		return Outcome{}, input("name", fmt.Sprintf("Enter your name in at most %d characters.", maxName))
	}
	first, last, _ := strings.Cut(name, " ")
	wanted, err := s.judge(ctx, t, portal.User{Email: in.Email, FirstName: first, LastName: last}, in.Password)
	if err != nil {
		return Outcome{}, err
	}
	if err := s.may(ctx, t, c, email); err != nil {
		return Outcome{}, err
	}
	leave, err := s.Hasher.Enter()
	if err != nil {
		return Outcome{}, troubled(err)
	}
	defer leave()
	customer := strings.TrimSpace(in.Customer)
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		_, err := x.Company(ctx, customer)
		return err
	})
	if errors.Is(err, store.ErrCustomer) {
		if customer == "" {
			return Outcome{}, input("customer", "Enter your customer number. It stands on every invoice.")
		}
		return Outcome{}, input("customer", "We do not know this customer number. It stands on every invoice.")
	}
	if err != nil {
		return Outcome{}, err
	}
	made, err := s.hashes(ctx, wanted, 1)
	if err != nil {
		return Outcome{}, &Held{Err: err, Release: s.release(c.At)}
	}
	token := secret.NewToken()
	facts := asked(c, map[string]string{"first": first, "last": last, "customer": customer, "phc": made[0].PHC, "key": made[0].KeyID, "agent": c.Agent,
		"browser": browserOf(token.Digest(secret.KindAttempt, string(t.ID)))})
	// Each registration is a letter of its own, or the first of two would decide over the password.
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		return s.post(ctx, x, t, portal.Letter{Kind: portal.LetterVerify, To: email, Facts: facts})
	})
	if err != nil {
		return Outcome{}, &Held{Err: err, Release: s.release(c.At)}
	}
	return Outcome{Step: portal.StepConfirmAddress, Attempt: &token, Release: s.release(c.At)}, nil
}

// confirm posts the link by which somebody who has just typed the right password proves the mailbox. The browser that
// asked is known again by its sign-in under way.
func (s *Service) confirm(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, u portal.User, attempt secret.Digest) error {
	to, err := portal.ParseEmail(u.Email)
	if err != nil {
		return nil // the ERP may have anything there; the page says whom to ask
	}
	return s.post(ctx, x, t, portal.Letter{Kind: portal.LetterVerify, User: u.ID, To: to, Language: u.Language, Once: string(u.ID),
		Facts: asked(c, map[string]string{"browser": browserOf(attempt)})})
}

// Resend asks for another confirmation of the address behind a sign-in under way.
func (s *Service) Resend(ctx context.Context, t *portal.Tenant, c portal.Client, attempt string) (Outcome, error) {
	at, w, err := s.waiting(ctx, t, c, attempt)
	if err != nil {
		return Outcome{}, err
	}
	if w.Step != portal.StepConfirmAddress {
		return Outcome{}, &portal.Problem{Kind: portal.ProblemSessionRequired, Public: "Please sign in again."}
	}
	email, err := portal.ParseEmail(w.Email)
	if err != nil {
		return Outcome{}, err
	}
	if err := s.may(ctx, t, c, email); err != nil {
		return Outcome{}, err
	}
	token, _ := secret.ParseToken(attempt) // waiting has parsed it
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		a, err := x.Account(ctx, at.Users[0])
		if err != nil {
			return err
		}
		return s.confirm(ctx, x, t, c, a.User, token.Digest(secret.KindAttempt, string(t.ID)))
	})
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Release: s.release(c.At)}, nil
}

// Confirmed is what the proof of a mailbox came to.
type Confirmed struct {
	Purpose portal.Purpose
	Attempt *secret.Token // set: the password that was there is forgotten, and a new one is chosen behind this
}

// Verify takes a link that proves a mailbox: of an account, or of an address that somebody wants to change to. What a
// stranger may have set before the proof is kept only where the browser is the one that asked, and otherwise forgotten:
// password, second steps, sessions, known browsers (REG-05).
func (s *Service) Verify(ctx context.Context, t *portal.Tenant, c portal.Client, raw, attempt string) (done Confirmed, err error) {
	var ended []portal.SessionID
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		ended, done = nil, Confirmed{}
		ticket, rows, err := s.spend(ctx, x, t, raw, portal.PurposeVerify, portal.PurposeNewAddress)
		if err != nil {
			return err
		}
		done.Purpose = ticket.Purpose
		if ticket.Purpose == portal.PurposeNewAddress {
			return s.moveAddress(ctx, x, t, c, ticket, rows)
		}
		a := rows[0]
		if a.User.Verified || !a.User.Active {
			return errLink
		}
		ended, done.Attempt, err = s.prove(ctx, x, t, c, ticket, a, sameBrowser(t, ticket, attempt))
		return err
	})
	if err != nil {
		return Confirmed{}, err
	}
	s.Sessions.Forget(c.At, ended...)
	return done, nil
}

func (s *Service) prove(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, ticket store.Redeemed, a store.Account, same bool) (ended []portal.SessionID, attempt *secret.Token, err error) {
	who := []store.Account{a}
	content, err := s.content(t.ID, ticket, x.Now())
	if err != nil {
		return nil, nil, err
	}
	if err := x.ConfirmAddress(ctx, users(who)); err != nil {
		return nil, nil, err
	}
	// Only of who has typed the password and proves the mailbox in one browser is what was there their own.
	if !same || content != nil {
		if err := s.forfeit(ctx, x, who); err != nil {
			return nil, nil, err
		}
	}
	kept := "password kept"
	switch {
	case same && content != nil:
		ok, err := x.PutSecret(ctx, a.User.ID, content["phc"], content["key"], a.Secret.Version, false)
		if err == nil && !ok {
			err = errLink
		}
		if err := errors.Join(err, x.SetPasswords(ctx, users(who))); err != nil {
			return nil, nil, err
		}
	case !same && !a.Secret.Elsewhere:
		kept = "password forgotten"
		if err := x.ForgetSecret(ctx, a); err != nil {
			return nil, nil, err
		}
		if ended, err = s.turnOut(ctx, x, who, users(who), nil, portal.EndPasswordChange); err != nil {
			return nil, nil, err
		}
		if err := x.SetByMail(ctx, users(who), true); err != nil {
			return nil, nil, err
		}
		token := secret.NewToken()
		attempt = &token
		at := portal.Attempt{ID: portal.AttemptID(portal.FormatID(secret.NewID())), Tenant: t.ID, Users: users(who), Verified: true, Expired: true,
			Shown: []portal.AMR{portal.AMRPassword}, ReturnTo: "/", CreatedAt: c.At, ExpiresAt: c.At.Add(s.Policy.AttemptLife)}
		if err := x.PutAttempt(ctx, at, token.Digest(secret.KindAttempt, string(t.ID))); err != nil {
			return nil, nil, err
		}
	}
	return ended, attempt, x.Record(ctx, portal.Activity{Verb: portal.VerbEmailVerified, User: a.User.ID, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "ok",
		Facts: map[string]string{"kept": kept}})
}

// AskAddress asks for another address. Nothing changes until the new mailbox is proved; whether somebody has the address
// is looked up when the mail leaves. The current password is asked for again, from the same purse as at the door.
func (s *Service) AskAddress(ctx context.Context, t *portal.Tenant, c portal.Client, ses portal.Session, wanted, current string) (Outcome, error) {
	email, err := portal.ParseEmail(wanted)
	if err != nil {
		return Outcome{}, input("email", "Enter the new e-mail address, like name@example.com.")
	}
	if err := s.SecondFresh(ctx, t, c, ses); err != nil {
		return Outcome{}, err
	}
	rows, g, err := s.reprove(ctx, t, c, ses, current, func(portal.User) error { return nil })
	if err != nil {
		return Outcome{}, err
	}
	u := rows[0].User
	if now, err := portal.ParseEmail(u.Email); err == nil && now == email {
		return Outcome{}, errors.Join(input("email", "This is your address already."), s.giveBack(ctx, t, c, &g))
	}
	if err := s.may(ctx, t, c, email); err != nil {
		return Outcome{}, errors.Join(err, s.giveBack(ctx, t, c, &g))
	}
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		if err := x.ReturnTry(ctx, g.email, g.device); err != nil {
			return err
		}
		if err := s.post(ctx, x, t, portal.Letter{Kind: portal.LetterNewAddress, User: u.ID, To: email, Language: u.Language, Facts: asked(c, map[string]string{factStamp: stampOf(rows[0])})}); err != nil {
			return err
		}
		return x.Record(ctx, portal.Activity{Verb: portal.VerbAddressAsked, User: u.ID, Session: ses.ID, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "ok",
			Facts: map[string]string{"to": email.Masked()}})
	})
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Release: s.release(c.At)}, nil
}

// moveAddress changes the address of a person who has proved the new one, tells the old one, and makes every other link
// void (REC-11).
func (s *Service) moveAddress(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, ticket store.Redeemed, rows []store.Account) error {
	if !rows[0].User.Active {
		return errLink
	}
	who, old := users(rows), rows[0].User
	others, err := x.People(ctx, ticket.Email)
	if err != nil {
		return err
	}
	taken := &store.TakenError{}
	if slices.ContainsFunc(others, func(a store.Account) bool { return !slices.Contains(who, a.User.ID) }) {
		err = taken
	} else {
		err = x.ChangeAddress(ctx, who, ticket.Email)
	}
	if errors.As(err, &taken) {
		return &portal.Problem{Kind: portal.ProblemInput, Public: "This address is used by another account. Please ask for help."}
	} else if err != nil {
		return err
	}
	if err := x.VoidTickets(ctx, who, "", portal.PurposeVerify, portal.PurposeInvite, portal.PurposeRecover, portal.PurposeNewAddress, portal.PurposeTryNow); err != nil {
		return err
	}
	if to, err := portal.ParseEmail(old.Email); err == nil {
		l := portal.Letter{Kind: portal.LetterOldAddress, User: old.ID, To: to, Language: old.Language, Facts: asked(c, map[string]string{"email": string(ticket.Email)})}
		if err := s.post(ctx, x, t, l); err != nil {
			return err
		}
	}
	return x.Record(ctx, portal.Activity{Verb: portal.VerbProfileUpdate, User: old.ID, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "ok",
		Facts: map[string]string{"changed": "email", "to": ticket.Email.Masked()}})
}
