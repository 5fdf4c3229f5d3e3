package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// Disown is "this wasn't me": every session ends, the password is shut until it is set anew, and a link for that is on
// its way to the mailbox that the notice went to, if it is still the person's.
func (s *Service) Disown(ctx context.Context, t *portal.Tenant, c portal.Client, raw string) (mailed bool, err error) {
	return s.shut(ctx, t, c, raw, portal.PurposeNotMe, func(x *store.Tx, ticket store.Redeemed, rows []store.Account) (bool, error) {
		if err := s.undoFactor(ctx, x, t, c, ticket, rows); err != nil {
			return false, err
		}
		err := x.Record(ctx, portal.Activity{Verb: portal.VerbDisowned, User: rows[0].User.ID, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "ok", Suspicious: true, Note: "the owner says that it was somebody else"})
		email, bad := portal.ParseEmail(rows[0].User.Email)
		return bad == nil && email == ticket.Email, err
	})
}

// Undo takes a change of address back, from the old mailbox: the address is as before, and whoever changed it is out. What
// they have done since is undone with it: second steps, letters that are on their way to them, and their own ways back from
// later changes. That is why a first second step may be added while a change can be taken back: to shut that out would shut
// out whoever must have one to get in, and to ask the old mailbox whoever has changed the address because that one is lost.
func (s *Service) Undo(ctx context.Context, t *portal.Tenant, c portal.Client, raw string) error {
	_, err := s.shut(ctx, t, c, raw, portal.PurposeUndo, func(x *store.Tx, ticket store.Redeemed, rows []store.Account) (bool, error) {
		if err := errors.Join(s.dropSince(ctx, x, c, ticket, rows), s.overrule(ctx, x, rows, ticket.Email, ticket.CreatedAt)); err != nil {
			return false, err
		}
		var taken *store.TakenError
		err := x.ChangeAddress(ctx, users(rows), ticket.Email)
		if errors.As(err, &taken) {
			return false, &portal.Problem{Kind: portal.ProblemInput, Public: "Somebody else uses this address by now. Please ask for help."}
		}
		if err != nil {
			return false, err
		}
		// Nothing of who has taken it back: this is the mailbox of whoever had changed it.
		if to, bad := portal.ParseEmail(rows[0].User.Email); bad == nil && to != ticket.Email {
			if err := s.post(ctx, x, t, portal.Letter{Kind: portal.LetterUndone, User: rows[0].User.ID, To: to, Language: rows[0].User.Language, Facts: map[string]string{}}); err != nil {
				return false, err
			}
		}
		return true, x.Record(ctx, portal.Activity{Verb: portal.VerbAddressUndone, User: rows[0].User.ID, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "ok", Suspicious: true, Note: "a change of address was taken back by its owner"})
	})
	return err
}

// overrule gives the last word to a mailbox that has its account back: since a moment others had it. What waits to be mailed
// to them is dropped, or a mailbox that is slow to take its mail has a way back when all is over; but for an operator's
// recovery, which looks at the addresses itself.
func (s *Service) overrule(ctx context.Context, x *store.Tx, rows []store.Account, mailbox portal.Email, since time.Time) error {
	return errors.Join(x.Overrule(ctx, users(rows), mailbox, since), x.DropLetters(ctx, users(rows), since, portal.LetterRecover, portal.LetterReopen, portal.LetterRecovery))
}

// shut spends a ticket of an owner who was not asked: first and does what it is for, then turns everybody out and closes
// the password. The link to a new one goes to the mailbox of the ticket.
func (s *Service) shut(ctx context.Context, t *portal.Tenant, c portal.Client, raw string, p portal.Purpose, first func(*store.Tx, store.Redeemed, []store.Account) (bool, error)) (mailed bool, err error) {
	var ended []portal.SessionID
	err = s.within(ctx, t, c.At, func(x *store.Tx) error {
		ended, mailed = nil, false
		ticket, rows, err := s.spend(ctx, x, t, raw, p)
		if err != nil {
			return err
		}
		if mailed, err = first(x, ticket, rows); err != nil {
			return err
		}
		if err := closeSecrets(ctx, x, rows); err != nil {
			return err
		}
		if ended, err = s.turnOut(ctx, x, rows, users(rows), nil, portal.EndDisowned); err != nil {
			return err
		}
		if err := x.VoidTickets(ctx, users(rows), "", portal.PurposeVerify, portal.PurposeNewAddress); err != nil || !mailed {
			return err
		}
		return s.post(ctx, x, t, portal.Letter{Kind: portal.LetterReopen, To: ticket.Email, Language: rows[0].User.Language, Facts: asked(c, nil)})
	})
	if err != nil {
		return false, err
	}
	s.Sessions.Forget(c.At, ended...)
	return mailed, nil
}

// closeSecrets shuts the passwords of a person; who comes by single sign-on has none here.
func closeSecrets(ctx context.Context, x *store.Tx, rows []store.Account) error {
	for _, a := range rows {
		now, err := x.Account(ctx, a.User.ID)
		if err != nil {
			return err
		}
		if now.Secret.Elsewhere {
			continue
		}
		if err := x.CloseSecret(ctx, now); err != nil {
			return err
		}
	}
	return nil
}

// undoFactor takes the first factor of an account away again whose owner says in time that it was not them. Whoever added it
// has learned the password, and would keep the owner out with it.
func (s *Service) undoFactor(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, ticket store.Redeemed, rows []store.Account) error {
	content, err := s.content(t.ID, ticket, x.Now())
	if err != nil || content[factFirst] == "" {
		return err
	}
	return s.dropSince(ctx, x, c, ticket, rows)
}

// dropSince takes away what was added to the second steps of an account since that was done which a ticket takes back, with
// the backup codes that came along: it was added by whoever did that. What is there by now does not matter: a thief adds an
// app, with it a passkey, and takes the app away again.
func (s *Service) dropSince(ctx context.Context, x *store.Tx, c portal.Client, ticket store.Redeemed, rows []store.Account) error {
	user := rows[0].User.ID
	all, err := x.Factors(ctx, user)
	if err != nil {
		return err
	}
	var gone []portal.FactorID
	for _, f := range all {
		if !f.CreatedAt.Before(ticket.CreatedAt) {
			gone = append(gone, f.ID)
		}
	}
	if len(gone) == 0 {
		return x.DropHandle(ctx, user)
	}
	if _, err := x.DropFactors(ctx, gone); err != nil {
		return err
	}
	return errors.Join(x.DropHandle(ctx, user), x.UnlockCodes(ctx, ticket.Email),
		x.Record(ctx, portal.Activity{Verb: portal.VerbFactorRemoved, User: user, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "ok", Suspicious: true, Note: "the owner says that it was added by somebody else",
			Facts: map[string]string{"factors": fmt.Sprint(len(gone))}}))
}
