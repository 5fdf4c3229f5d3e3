package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
)

// waitsForMail is how long the letter of a recovery that is due waits for a provider: a recovery is carried out at the
// moment in which its mail leaves, and so not at all while none does.
const waitsForMail = 7 * 24 * time.Hour

// factRecovery names the recovery that a letter is about; no mail says it.
const factRecovery = "recovery"

// BeginRecovery begins a recovery from a command: it waits a day, and at once both addresses hear of it and can stop it.
// The operator neither sees nor picks a password (REC-10). Whether the new address is free is the caller's to ask, and
// is asked again when the recovery is due. The error is a store.TakenError where one of the person waits already.
//
// The letter with the link to a new password is queued here and due when the recovery is; whoever delivers it carries
// the recovery out first. So it happens once, on whichever gateway, and only where the mail can leave.
func BeginRecovery(ctx context.Context, x *store.Tx, keys *secret.Keyring, t portal.TenantID, u portal.User, from, to portal.Email, d store.Deed) (portal.Recovery, error) {
	now := x.Now()
	r := store.Recovery{Recovery: portal.Recovery{ID: portal.RecoveryID(portal.FormatID(secret.NewID())), User: u.ID, From: from, To: to, BegunBy: d.Operator, Reason: d.Reason,
		BegunAt: now, DueAt: now.Add(portal.RecoveryWait), State: portal.RecoveryWaits}}
	about := map[string]string{factRecovery: string(r.ID)}
	deed, err := Seal(keys, t, portal.Letter{Kind: portal.LetterRecover, User: u.ID, To: to, Language: u.Language, Facts: about, Expires: r.DueAt.Add(waitsForMail)}, now)
	if err != nil {
		return r.Recovery, err
	}
	deed.At, r.Letter = r.DueAt, deed.ID
	b, err := json.Marshal([]portal.Email{from, to})
	if err != nil {
		return r.Recovery, fmt.Errorf("encoding a recovery: %w", err)
	}
	if r.Addresses, err = keys.Seal(b, recoveryPlace(t, r.ID), now); err != nil {
		return r.Recovery, err
	}
	r.KeyID = secret.SealedWith(r.Addresses)
	if err := x.BeginRecovery(ctx, r, d); err != nil {
		return r.Recovery, err
	}
	letters := []store.Queued{deed}
	for _, at := range []portal.Email{from, to} {
		q, err := Seal(keys, t, portal.Letter{Kind: portal.LetterRecovery, User: u.ID, To: at, Language: u.Language, Facts: about}, now)
		if err != nil {
			return r.Recovery, err
		}
		letters = append(letters, q)
	}
	for _, q := range letters {
		if err := x.Post(ctx, q); err != nil {
			return r.Recovery, err
		}
	}
	return r.Recovery, nil
}

func recoveryPlace(t portal.TenantID, id portal.RecoveryID) secret.Place {
	return secret.Place{Tenant: string(t), Table: "recoveries", Column: "addresses", Row: string(id)}
}

// OpenRecovery fills in which addresses a recovery that waits is about.
func OpenRecovery(keys *secret.Keyring, t portal.TenantID, r *store.Recovery, now time.Time) error {
	if r.Addresses == "" {
		return nil
	}
	b, err := keys.Unseal(r.Addresses, recoveryPlace(t, r.ID), now)
	if err != nil {
		return err
	}
	var both [2]portal.Email
	if err := json.Unmarshal(b, &both); err != nil {
		return fmt.Errorf("reading a recovery: %w", err)
	}
	r.From, r.To = both[0], both[1]
	return nil
}

// recovery reads a recovery and its addresses.
func (s *Service) recovery(ctx context.Context, x *store.Tx, t portal.TenantID, id string) (store.Recovery, error) {
	r, err := x.Recovery(ctx, portal.RecoveryID(id))
	if err != nil {
		return r, err
	}
	return r, OpenRecovery(s.Keys, t, &r, x.Now())
}

// departWarning tells one of the two addresses that a recovery has begun, with a link that stops it. The new one hears
// besides which account it is about, and how a browser that the account knows ends the wait.
func (s *Service) departWarning(ctx context.Context, x *store.Tx, l letter, n mail.Note, a store.Account) (departure, error) {
	r, err := s.recovery(ctx, x, n.Tenant.ID, l.facts[factRecovery])
	if errors.Is(err, store.ErrNone) || err == nil && r.State != portal.RecoveryWaits {
		return dropped("the recovery is over"), nil
	}
	if err != nil {
		return departure{}, err
	}
	n.Facts = map[string]string{"until": r.DueAt.UTC().Format(time.RFC3339), "email": string(r.To)}
	if l.to == r.To {
		n.Facts["account"] = string(r.From)
	}
	return s.mint(ctx, x, n, a, portal.PurposeStop, "/stop-recovery", mintage{keep: true, content: map[string]string{factRecovery: string(r.ID)}})
}

// departRecovery carries a recovery out that is due, in the transaction in which its letter departs: the account has its
// new address, the password is shut, everybody is out, the old address hears of it, and the link to a new password is on
// its way. After a mail that did not leave there is nothing to carry out any more, and the link is made anew.
func (s *Service) departRecovery(ctx context.Context, x *store.Tx, l letter, n mail.Note) (departure, error) {
	id := l.facts[factRecovery]
	n.Facts = map[string]string{}
	r, err := s.recovery(ctx, x, n.Tenant.ID, id)
	if errors.Is(err, store.ErrNone) {
		return dropped("the recovery is gone"), nil
	}
	if err != nil {
		return departure{}, err
	}
	if r.State == portal.RecoveryWaits {
		if x.Now().Before(r.DueAt) {
			return departure{later: r.DueAt}, nil
		}
		rows, err := x.People(ctx, r.From)
		if err != nil {
			return departure{}, err
		}
		if err := x.TakeTurns(ctx, append(users(rows), r.User)); err != nil {
			return departure{}, err
		}
		if r, err = s.recovery(ctx, x, n.Tenant.ID, id); err != nil { // somebody may have been first
			return departure{}, err
		}
	}
	var ended []portal.SessionID
	switch r.State {
	case portal.RecoveryWaits:
		why := ""
		if ended, why, err = s.carryOut(ctx, x, n.Tenant.ID, r); err != nil {
			return departure{}, err
		}
		if why != "" {
			return dropped(why), s.failRecovery(ctx, x, r, why)
		}
	case portal.RecoveryDone:
	default:
		return dropped("the recovery is over"), nil
	}
	a, err := x.Account(ctx, r.User)
	if err != nil && !errors.Is(err, store.ErrNone) {
		return departure{}, err
	}
	if email, bad := portal.ParseEmail(a.User.Email); err != nil || bad != nil || email != l.to || !a.User.Active {
		return dropped("the account is another by now"), nil
	}
	address(&n, a.User)
	dep, err := s.mint(ctx, x, n, a, portal.PurposeRecover, "/reset-password", mintage{})
	dep.ended = ended
	return dep, err
}

// carryOut does what a recovery is for; why says why it cannot be done, and then nothing is.
func (s *Service) carryOut(ctx context.Context, x *store.Tx, t portal.TenantID, r store.Recovery) (ended []portal.SessionID, why string, err error) {
	rows, err := x.People(ctx, r.From)
	if err != nil {
		return nil, "", err
	}
	i := slices.IndexFunc(rows, func(a store.Account) bool { return a.User.ID == r.User })
	if i < 0 {
		return nil, "the account has another address by now", nil
	}
	rows[0], rows[i] = rows[i], rows[0]
	bounces, err := x.IsSuppressed(ctx, r.To)
	if err != nil {
		return nil, "", err
	}
	switch others, err := x.People(ctx, r.To); {
	case err != nil:
		return nil, "", err
	case bounces:
		return nil, "mail to the new address comes back", nil
	case !rows[0].User.Active:
		return nil, "the account may not be used any more", nil
	case len(others) > 0:
		return nil, "somebody else has the new address by now", nil
	}
	if ok, err := x.EndRecovery(ctx, r.ID, portal.RecoveryDone, orElse(r.ConfirmedBy, r.BegunBy), ""); err != nil || !ok {
		return nil, "", errors.Join(err, errors.New("a recovery was ended by somebody else at the same moment"))
	}
	if err := closeSecrets(ctx, x, rows); err != nil {
		return nil, "", err
	}
	if err := errors.Join(s.endFactors(ctx, x, r.User), x.UnlockCodes(ctx, r.From), x.Settle(ctx, r.User)); err != nil {
		return nil, "", err
	}
	// Whoever has had the account before, and whatever they may still take back: an operator has seen whose it is.
	if err := s.overrule(ctx, x, rows, r.To, time.Time{}); err != nil {
		return nil, "", err
	}
	if err := x.ChangeAddress(ctx, users(rows), r.To); err != nil {
		return nil, "", err
	}
	if ended, err = s.turnOut(ctx, x, rows, users(rows), nil, portal.EndOperator); err != nil {
		return nil, "", err
	}
	if err := x.VoidTickets(ctx, users(rows), "", portal.PurposeVerify, portal.PurposeNewAddress, portal.PurposeStop); err != nil {
		return nil, "", err
	}
	done, err := Seal(s.Keys, t, portal.Letter{Kind: portal.LetterRecoveryDone, User: r.User, To: r.From, Language: rows[0].User.Language, Facts: map[string]string{}}, x.Now())
	if err != nil {
		return nil, "", err
	}
	if err := x.Post(ctx, done); err != nil {
		return nil, "", err
	}
	return ended, "", s.recovered(ctx, x, r, portal.Activity{Result: "ok", Note: r.Reason, Facts: map[string]string{"from": r.From.Masked(), "to": r.To.Masked(), "sessions_ended": fmt.Sprint(len(ended))}})
}

// failRecovery ends a recovery that cannot be carried out; the account stays as it is.
func (s *Service) failRecovery(ctx context.Context, x *store.Tx, r store.Recovery, why string) error {
	if _, err := x.EndRecovery(ctx, r.ID, portal.RecoveryFailed, "", why); err != nil {
		return err
	}
	return s.recovered(ctx, x, r, portal.Activity{Result: "refused", Note: why, Facts: map[string]string{"reason": r.Reason}})
}

// recovered writes what came of a recovery into both trails: with the operator for the tenant, without for the person.
func (s *Service) recovered(ctx context.Context, x *store.Tx, r store.Recovery, a portal.Activity) error {
	a.Verb, a.User, a.Operator = portal.VerbRecovered, r.User, r.BegunBy
	a.Facts = maps.Clone(a.Facts)
	a.Facts[factRecovery], a.Facts["confirmed_by"] = string(r.ID), r.ConfirmedBy
	if err := x.Record(ctx, a); err != nil || a.Result != "ok" {
		return err
	}
	return x.Record(ctx, portal.Activity{Verb: a.Verb, User: a.User, Result: a.Result, Suspicious: true, Note: "an operator has opened the account anew"})
}

// stoppable is the recovery behind a ticket, while it waits.
func (s *Service) stoppable(ctx context.Context, x *store.Tx, t *portal.Tenant, ticket store.Redeemed) (store.Recovery, error) {
	content, err := s.content(t.ID, ticket, x.Now())
	if err != nil {
		return store.Recovery{}, err
	}
	r, err := s.recovery(ctx, x, t.ID, content[factRecovery])
	if errors.Is(err, store.ErrNone) || err == nil && (r.State != portal.RecoveryWaits || r.User != ticket.User) {
		return r, errLink
	}
	return r, err
}

// vouches says whether a browser may end the wait: it has read the mail to the new address, and the account knew it
// before anybody spoke to the help desk.
func (s *Service) vouches(ctx context.Context, x *store.Tx, c portal.Client, ticket store.Redeemed, r store.Recovery) (bool, error) {
	if ticket.Email != r.To || len(c.Device) == 0 || !r.ConfirmedAt.IsZero() {
		return false, nil
	}
	known, err := x.Device(ctx, []byte(c.Device), []portal.UserID{r.User})
	if errors.Is(err, store.ErrNone) {
		return false, nil
	}
	return err == nil && known.First.Before(r.BegunAt), err
}

// lookRecovery says what the page behind a link that stops a recovery shows.
func (s *Service) lookRecovery(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, ticket store.Redeemed, l *Link) error {
	r, err := s.stoppable(ctx, x, t, ticket)
	if err != nil {
		return err
	}
	l.Due = r.DueAt
	l.Vouches, err = s.vouches(ctx, x, c, ticket, r)
	return err
}

// StopRecovery stops a recovery, from either of its mailboxes. The account stays as it is.
func (s *Service) StopRecovery(ctx context.Context, t *portal.Tenant, c portal.Client, raw string) error {
	return s.answer(ctx, t, c, raw, func(x *store.Tx, ticket store.Redeemed, r store.Recovery) error {
		where := "the account's mailbox"
		if ticket.Email == r.To {
			where = "the new mailbox"
		}
		if ok, err := x.EndRecovery(ctx, r.ID, portal.RecoveryStopped, where, ""); err != nil {
			return err
		} else if !ok {
			return errLink
		}
		if err := x.VoidTickets(ctx, []portal.UserID{r.User}, "", portal.PurposeStop); err != nil {
			return err
		}
		return x.Record(ctx, portal.Activity{Verb: portal.VerbRecoveryStopped, User: r.User, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "ok", Suspicious: true,
			Note: "stopped from " + where, Facts: map[string]string{factRecovery: string(r.ID)}})
	})
}

// AgreeRecovery ends the wait of a recovery, from the new mailbox and a browser that the account knows.
func (s *Service) AgreeRecovery(ctx context.Context, t *portal.Tenant, c portal.Client, raw string) error {
	return s.answer(ctx, t, c, raw, func(x *store.Tx, ticket store.Redeemed, r store.Recovery) error {
		ok, err := s.vouches(ctx, x, c, ticket, r)
		if err == nil && ok {
			ok, err = x.HastenRecovery(ctx, r.ID, "a browser that the account knows")
		}
		if err != nil {
			return err
		}
		if !ok {
			return errLink
		}
		return x.Record(ctx, portal.Activity{Verb: portal.VerbRecoveryAgreed, User: r.User, Addr: c.Addr, Agent: c.Agent, At: c.At, Result: "ok", Facts: map[string]string{factRecovery: string(r.ID)}})
	})
}

// answer spends the ticket of somebody who was told of a recovery.
func (s *Service) answer(ctx context.Context, t *portal.Tenant, c portal.Client, raw string, act func(*store.Tx, store.Redeemed, store.Recovery) error) error {
	err := s.within(ctx, t, c.At, func(x *store.Tx) error {
		ticket, _, err := s.spend(ctx, x, t, raw, portal.PurposeStop)
		if err != nil {
			return err
		}
		r, err := s.stoppable(ctx, x, t, ticket)
		if err != nil {
			return err
		}
		return act(x, ticket, r)
	})
	if err == nil {
		s.wake()
	}
	return err
}
