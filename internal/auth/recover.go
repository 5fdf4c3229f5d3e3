package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
)

// errLink is what everybody hears whose link opens nothing: too old, used, replaced by a newer one, another tenant's,
// or made up.
var errLink = &portal.Problem{Kind: portal.ProblemNotFound, Public: "This link does not work any more: it was used, it is too old, or a newer one was sent. Ask for a new one."}

// AskReset asks for a link to a new password. It looks nobody up and answers everybody alike; the courier looks when the
// mail leaves (REC-01).
func (s *Service) AskReset(ctx context.Context, t *portal.Tenant, c portal.Client, address string) (Outcome, error) {
	email, err := portal.ParseEmail(address)
	if err != nil {
		return Outcome{}, input("email", "Enter your e-mail address, like name@example.com.")
	}
	return s.ask(ctx, t, c, portal.Letter{Kind: portal.LetterRecover, To: email, Once: string(email), Facts: asked(c, map[string]string{"agent": c.Agent})})
}

// ask queues a letter that anybody may ask for, for any address.
func (s *Service) ask(ctx context.Context, t *portal.Tenant, c portal.Client, l portal.Letter) (Outcome, error) {
	if err := s.may(ctx, t, c, l.To); err != nil {
		return Outcome{}, err
	}
	err := s.within(ctx, t, c.At, func(x *store.Tx) error { return s.post(ctx, x, t, l) })
	if err != nil {
		return Outcome{}, &Held{Err: err, Release: s.release(c.At)}
	}
	return Outcome{Release: s.release(c.At)}, nil
}

// Link is what a page that was opened with a link may show. Nothing is spent by looking.
type Link struct {
	Purpose   portal.Purpose
	Email     string // the mailbox it was sent to: whoever has the link has read it there
	Name      string
	Expires   time.Time
	Elsewhere bool // opened in another browser than the one that asked

	// Of a link that stops a recovery: until when, and whether this browser may say that it is its person's instead.
	Due     time.Time
	Vouches bool
}

// Look says what a link opens.
func (s *Service) Look(ctx context.Context, t *portal.Tenant, c portal.Client, raw, attempt string, purposes ...portal.Purpose) (l Link, err error) {
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		ticket, rows, err := s.holder(ctx, x, t, raw, x.Ticket, purposes)
		if err != nil {
			return err
		}
		l = Link{Purpose: ticket.Purpose, Email: string(ticket.Email), Name: rows[0].User.Name(), Expires: ticket.ExpiresAt,
			Elsewhere: len(ticket.Browser) > 0 && !sameBrowser(t, ticket, attempt)}
		if ticket.Purpose == portal.PurposeStop {
			return s.lookRecovery(ctx, x, t, c, ticket, &l)
		}
		return nil
	})
	return l, err
}

// holder finds a ticket and the person it is for: the row it was made for first, and then the others that the same
// mailbox opens. An account that stands otherwise than when the mail left has no ticket any more.
func (s *Service) holder(ctx context.Context, x *store.Tx, t *portal.Tenant, raw string, get func(context.Context, secret.Digest, ...portal.Purpose) (store.Redeemed, error), purposes []portal.Purpose) (store.Redeemed, []store.Account, error) {
	token, err := secret.ParseToken(raw)
	if err != nil {
		return store.Redeemed{}, nil, errLink
	}
	ticket, err := get(ctx, token.Digest(secret.KindTicket, string(t.ID)), purposes...)
	if errors.Is(err, store.ErrNone) {
		return ticket, nil, errLink
	}
	if err != nil {
		return ticket, nil, err
	}
	a, err := x.Account(ctx, ticket.User)
	if errors.Is(err, store.ErrNone) || err == nil && a.User.Blocked == "deleted" {
		return ticket, nil, errLink
	}
	if err != nil {
		return ticket, nil, err
	}
	if stands[ticket.Purpose] && !secret.Equal(ticket.Stamp, a.Stamp()) {
		return ticket, nil, errLink
	}
	email, err := portal.ParseEmail(a.User.Email)
	if err != nil {
		return ticket, nil, errLink
	}
	others, err := x.People(ctx, email)
	if err != nil {
		return ticket, nil, err
	}
	rows := []store.Account{a}
	for _, o := range others {
		if o.User.ID != a.User.ID && len(rows) < maxRows {
			rows = append(rows, o)
		}
	}
	return ticket, rows, nil
}

// spend takes a ticket once, in the person's turn: whatever else changes the account waits, or was first.
func (s *Service) spend(ctx context.Context, x *store.Tx, t *portal.Tenant, raw string, purposes ...portal.Purpose) (store.Redeemed, []store.Account, error) {
	_, rows, err := s.holder(ctx, x, t, raw, x.Ticket, purposes)
	if err != nil {
		return store.Redeemed{}, nil, err
	}
	if err := x.TakeTurns(ctx, users(rows)); err != nil {
		return store.Redeemed{}, nil, err
	}
	return s.holder(ctx, x, t, raw, x.SpendTicket, purposes)
}

// stands are the purposes whose tickets are void when the account stands otherwise than when the mail left. The others
// are for exactly that case.
var stands = map[portal.Purpose]bool{portal.PurposeVerify: true, portal.PurposeInvite: true, portal.PurposeRecover: true, portal.PurposeNewAddress: true, portal.PurposeTryNow: true}

func sameBrowser(t *portal.Tenant, ticket store.Redeemed, attempt string) bool {
	token, err := secret.ParseToken(attempt)
	if err != nil {
		return false
	}
	d := token.Digest(secret.KindAttempt, string(t.ID))
	return secret.Equal(ticket.Browser, []byte(browserOf(d)))
}

// browserOf is how a ticket knows the browser that asked.
func browserOf(d secret.Digest) string { return fmt.Sprintf("%x", d[:]) }

// Reset sets a new password with a link. It signs nobody in and passes no second step; every session, every known
// browser and every sign-in under way of the person is over before it returns (REC-04, REC-05).
func (s *Service) Reset(ctx context.Context, t *portal.Tenant, c portal.Client, raw, next string) error {
	return s.redeemPassword(ctx, t, c, raw, next, portal.PurposeRecover)
}

// Accept takes an invitation: the mailbox is proved and the first password set.
func (s *Service) Accept(ctx context.Context, t *portal.Tenant, c portal.Client, raw, next string) error {
	return s.redeemPassword(ctx, t, c, raw, next, portal.PurposeInvite)
}

func (s *Service) redeemPassword(ctx context.Context, t *portal.Tenant, c portal.Client, raw, next string, p portal.Purpose) error {
	var rows []store.Account
	err := s.within(ctx, t, c.At, func(x *store.Tx) (err error) {
		_, rows, err = s.holder(ctx, x, t, raw, x.Ticket, []portal.Purpose{p})
		return err
	})
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(a store.Account) bool { return a.Secret.Elsewhere || !a.User.Active })
	if len(rows) == 0 {
		return errLink
	}
	wanted, err := s.judge(ctx, t, rows[0].User, next)
	if err == nil {
		err = s.other(ctx, wanted, closed(rows))
	}
	if err != nil {
		return err
	}
	made, err := s.hashes(ctx, wanted, len(rows))
	if err != nil {
		return err
	}
	var ended []portal.SessionID
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		ended = nil
		ticket, now, err := s.spend(ctx, x, t, raw, p)
		if err != nil {
			return err
		}
		now = slices.DeleteFunc(now, func(a store.Account) bool { return !slices.Contains(users(rows), a.User.ID) })
		if err := s.forfeit(ctx, x, now); err != nil {
			return err
		}
		if ended, err = s.renew(ctx, x, rows, made, users(rows), nil); err != nil {
			return err
		}
		if err := x.ConfirmAddress(ctx, users(rows)); err != nil {
			return err
		}
		verb, kind := portal.VerbPasswordReset, portal.LetterReset
		if p == portal.PurposeInvite {
			verb, kind = portal.VerbEmailVerified, ""
		} else if err := x.SetByMail(ctx, users(rows), true); err != nil {
			return err
		}
		if err := x.Record(ctx, portal.Activity{Verb: verb, User: ticket.User, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "ok",
			Facts: map[string]string{"sessions_ended": fmt.Sprint(len(ended))}}); err != nil || kind == "" {
			return err
		}
		return s.notify(ctx, x, t, c, rows[0].User, kind, nil)
	})
	if err != nil {
		return err
	}
	s.Sessions.Forget(c.At, ended...)
	return nil
}

// hashes makes n hashes of one password, each with a salt of its own: equal passwords give different rows.
func (s *Service) hashes(ctx context.Context, wanted password.Prepared, n int) ([]password.Stored, error) {
	defer still(ctx)()
	made := make([]password.Stored, n)
	for i := range made {
		h, err := s.Hasher.Hash(ctx, wanted)
		if err != nil {
			return nil, troubled(err)
		}
		made[i] = h
	}
	return made, nil
}

// renew sets a new password on rows of one person, and with it ends all that hung on the old one: every session, every
// sign-in under way, every known browser but one, every link (REC-02, REC-05). A password that is set anew has no
// failures yet, for nobody (M04).
func (s *Service) renew(ctx context.Context, x *store.Tx, rows []store.Account, made []password.Stored, who []portal.UserID, spare []byte) ([]portal.SessionID, error) {
	for i, row := range rows {
		now, err := x.Account(ctx, row.User.ID)
		if err != nil {
			return nil, err
		}
		ok := secret.Equal(now.Stamp(), row.Stamp())
		if ok {
			ok, err = x.PutSecret(ctx, row.User.ID, made[i].PHC, made[i].KeyID, row.Secret.Version, false)
		}
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, &portal.Problem{Kind: portal.ProblemInput, Field: "password", Public: "Your password has just been changed somewhere else. Sign in again."}
		}
	}
	if err := x.SetPasswords(ctx, users(rows)); err != nil {
		return nil, err
	}
	return s.turnOut(ctx, x, rows, who, spare, portal.EndPasswordChange)
}

// turnOut ends all that hangs on the password of a person.
func (s *Service) turnOut(ctx context.Context, x *store.Tx, rows []store.Account, who []portal.UserID, spare []byte, why portal.EndReason) ([]portal.SessionID, error) {
	email, err := portal.ParseEmail(rows[0].User.Email)
	if err != nil {
		return nil, fmt.Errorf("address of user %s: %w", rows[0].User.ID, err)
	}
	if _, err := x.Unlock(ctx, email); err != nil {
		return nil, err
	}
	// A mailbox that may still take a change of address back has the account by now, by whatever way: what was changed after
	// that is over, and nobody may take the account away again with it.
	since, err := x.OpenUndo(ctx, who, email)
	if err == nil && !since.IsZero() {
		err = x.Overrule(ctx, who, email, since.Add(time.Microsecond))
	}
	if err != nil {
		return nil, err
	}
	ended, err := x.EndSessions(ctx, who, "", why)
	if err != nil {
		return nil, err
	}
	return ended, errors.Join(x.ForgetAttempts(ctx, who), x.ForgetDevices(ctx, who, spare),
		x.VoidTickets(ctx, who, "", portal.PurposeRecover, portal.PurposeTryNow, portal.PurposeInvite))
}

// TryNow lets a browser try at once while the strangers' purse rests: it counts as one that the account knows.
func (s *Service) TryNow(ctx context.Context, t *portal.Tenant, c portal.Client, raw string) (*secret.Token, error) {
	var given *secret.Token
	err := s.within(ctx, t, c.At, func(x *store.Tx) error {
		ticket, rows, err := s.spend(ctx, x, t, raw, portal.PurposeTryNow)
		if err != nil {
			return err
		}
		met, err := s.meet(ctx, x, t, c, users(rows), false)
		if err != nil {
			return err
		}
		given = met.given
		return x.Record(ctx, portal.Activity{Verb: portal.VerbTriedNow, User: ticket.User, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "ok"})
	})
	return given, err
}

func parseAddr(s string) netip.Addr {
	a, _ := netip.ParseAddr(s) // none: not known
	return a
}

func orElse(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// content opens what a ticket is to do.
func (s *Service) content(t portal.TenantID, ticket store.Redeemed, now time.Time) (map[string]string, error) {
	if ticket.Content == "" {
		return nil, nil
	}
	b, err := s.Keys.Unseal(ticket.Content, ticketPlace(t, ticket.ID), now)
	if err != nil {
		return nil, err
	}
	var m map[string]string
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("reading a ticket: %w", err)
	}
	return m, nil
}
