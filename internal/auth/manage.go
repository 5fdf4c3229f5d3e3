package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// manage runs a change to a person's factors in their turn, after they have shown who they are.
func (s *Service) manage(ctx context.Context, t *portal.Tenant, c portal.Client, ses portal.Session, act func(*store.Tx, *party) error) error {
	return s.within(ctx, t, c.At, func(x *store.Tx) error {
		if err := x.TakeTurns(ctx, ses.Choices); err != nil {
			return err
		}
		p, err := s.party(ctx, x, t, c, Holder{Session: &ses})
		if err != nil {
			return err
		}
		if err := p.ready(c.At); err != nil {
			return err
		}
		return act(x, p)
	})
}

var errNoFactor = &portal.Problem{Kind: portal.ProblemNotFound, Public: "This is not there any more. Load the page again."}

func (p *party) factor(id portal.FactorID) (store.Factor, bool) {
	i := slices.IndexFunc(p.factors, func(f store.Factor) bool { return f.ID == id && id != "" })
	if i < 0 {
		return store.Factor{}, false
	}
	return p.factors[i], true
}

// NoSheet stands where there are no backup codes yet.
const NoSheet portal.FactorID = "none"

// RenewCodes makes new backup codes; the old ones stop working. instead is the sheet that they take the place of, or
// NoSheet, as the page had it; empty: whichever it is. A form that is sent again makes no other set: who has saved the first
// would hold codes that open nothing.
func (s *Service) RenewCodes(ctx context.Context, t *portal.Tenant, c portal.Client, ses portal.Session, instead portal.FactorID) (codes []string, err error) {
	m := s.method(portal.FactorBackup)
	if m == nil {
		return nil, errNotOffered
	}
	err = s.manage(ctx, t, c, ses, func(x *store.Tx, p *party) error {
		if len(p.usable) == 0 {
			return input("action", "Backup codes stand beside an authenticator app or a passkey. Add one of them first.")
		}
		var old []portal.FactorID
		for _, f := range p.factors {
			if f.Kind == portal.FactorBackup {
				old = append(old, f.ID)
			}
		}
		if instead != "" && instead != NoSheet && !slices.Contains(old, instead) || instead == NoSheet && len(old) > 0 {
			return input("action", "You have made new codes already. Make new ones once more if you have not saved them.")
		}
		if _, err := x.DropFactors(ctx, old); err != nil {
			return err
		}
		if codes, err = s.makeCodes(ctx, x, t, c, p, m); err != nil {
			return err
		}
		return errors.Join(x.Record(ctx, portal.Activity{Verb: portal.VerbCodesRenewed, User: p.user().ID, Session: ses.ID, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "ok"}),
			s.notify(ctx, x, t, c, p.user(), portal.LetterFactor, map[string]string{"what": m.Traits().Added}))
	})
	return codes, err
}

// Rename gives a factor another name, after its owner has shown that it is them: a thief who calls their own passkey like
// the owner's has it overlooked, and the owner's removed (SES-09).
func (s *Service) Rename(ctx context.Context, t *portal.Tenant, c portal.Client, ses portal.Session, id portal.FactorID, name string) error {
	name, err := factorName(name)
	if err == nil && name == "" {
		err = input("name", "Enter a name.")
	}
	if err != nil {
		return err
	}
	return s.manage(ctx, t, c, ses, func(x *store.Tx, _ *party) error {
		ok, err := x.RenameFactor(ctx, ses.User, id, name)
		if err == nil && !ok {
			err = errNoFactor
		}
		return errors.Join(err, x.Record(ctx, portal.Activity{Verb: portal.VerbFactorRenamed, User: ses.User, Session: ses.ID, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "ok", Facts: map[string]string{"name": name}}))
	})
}

// Remove takes a factor away, and with the last one the backup codes. Devices that were not asked are asked again
// (TOTP-07), the other sessions of the person end, and the owner hears of it. The last one stays where the tenant
// requires one.
func (s *Service) Remove(ctx context.Context, t *portal.Tenant, c portal.Client, ses portal.Session, id portal.FactorID) error {
	var ended []portal.SessionID
	err := s.manage(ctx, t, c, ses, func(x *store.Tx, p *party) error {
		f, ok := p.factor(id)
		if !ok || f.Kind == portal.FactorBackup {
			return errNoFactor
		}
		gone := []portal.FactorID{id}
		rest := slices.DeleteFunc(slices.Clone(p.factors), func(o store.Factor) bool { return o.ID == id })
		what := "two_step_off"
		if m := s.method(f.Kind); m != nil {
			what = m.Traits().Removed
		}
		if len(s.kinds(t, rest, p.email, false)) == 0 {
			if p.sit.MFA == portal.MFARequired {
				return &portal.Problem{Kind: portal.ProblemInput, Public: "A second step is required here, and this is your only one. Add another before you remove it."}
			}
			what = "two_step_off"
			for _, o := range rest {
				if o.ID != "" {
					gone = append(gone, o.ID)
				}
			}
		}
		if _, err := x.DropFactors(ctx, gone); err != nil {
			return err
		}
		var err error
		if ended, err = x.EndSessions(ctx, p.users(), ses.ID, portal.EndFactor); err != nil {
			return err
		}
		return errors.Join(x.DistrustDevices(ctx, p.users()), x.ForgetAttempts(ctx, p.users()),
			x.Record(ctx, portal.Activity{Verb: portal.VerbFactorRemoved, User: f.User, Session: ses.ID, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "ok", Facts: map[string]string{"method": string(f.Kind), "name": f.Name}}),
			s.notify(ctx, x, t, c, p.user(), portal.LetterFactor, map[string]string{"what": what}))
	})
	if err == nil {
		s.Sessions.Forget(c.At, ended...)
	}
	return err
}

// Distrust has every device of the person asked again.
func (s *Service) Distrust(ctx context.Context, t *portal.Tenant, c portal.Client, ses portal.Session) error {
	return s.within(ctx, t, c.At, func(x *store.Tx) error { return x.DistrustDevices(ctx, ses.Choices) })
}

// endFactors takes every factor of a person away, who has lost everything and can show none any more.
func (s *Service) endFactors(ctx context.Context, x *store.Tx, user portal.UserID) error {
	all, err := x.Factors(ctx, user)
	if err != nil || len(all) == 0 {
		return err
	}
	ids := make([]portal.FactorID, len(all))
	for i := range all {
		ids[i] = all[i].ID
	}
	if _, err = x.DropFactors(ctx, ids); err != nil {
		return err
	}
	return x.DropHandle(ctx, user)
}

// forfeit takes away what stands as a second step in rows whose mailbox is proved only now, by whichever door: somebody else
// may have set it up there, and would keep the owner out with it (REG-05).
func (s *Service) forfeit(ctx context.Context, x *store.Tx, rows []store.Account) error {
	rows = slices.DeleteFunc(slices.Clone(rows), func(a store.Account) bool { return a.User.Verified })
	if len(rows) == 0 {
		return nil
	}
	email, err := portal.ParseEmail(rows[0].User.Email)
	if err != nil {
		return fmt.Errorf("address of user %s: %w", rows[0].User.ID, err)
	}
	return errors.Join(x.Disarm(ctx, users(rows)), x.DropHandle(ctx, rows[0].User.ID), x.UnlockCodes(ctx, email))
}
