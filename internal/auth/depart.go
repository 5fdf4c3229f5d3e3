package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
)

// depart decides whether a letter leaves, and what it says.
func (s *Service) depart(ctx context.Context, x *store.Tx, t *portal.Tenant, l letter) (departure, error) {
	n := mail.Note{Kind: l.Kind, Language: l.Language, Tenant: *t, Origin: s.Origin(t), To: l.to, Zone: t.Zone, Facts: l.facts, At: l.CreatedAt}
	if n.Language == "" {
		n.Language = t.Language
	}
	if l.More > 0 {
		n.Facts["more"] = fmt.Sprint(l.More)
	}
	if l.Kind == portal.LetterTextCode {
		return s.departText(ctx, x, l, n)
	}
	// Whoever asked for a mail to an address that is dead has had the same answer as everybody, and long since.
	if dead, err := x.IsSuppressed(ctx, l.to); err != nil {
		return departure{}, err
	} else if dead && (l.Kind != portal.LetterRecover || l.facts[factRecovery] == "") {
		return dropped("suppressed"), nil
	}
	dep, err := s.allowed(ctx, x, l)
	if err != nil || dep.drop != "" || !dep.later.IsZero() {
		return dep, err
	}
	switch l.Kind {
	case portal.LetterRecover:
		if l.facts[factRecovery] != "" {
			return s.departRecovery(ctx, x, l, n)
		}
		return s.departRecover(ctx, x, l, n)
	case portal.LetterReopen:
		return s.departRecover(ctx, x, l, n)
	case portal.LetterVerify:
		return s.departVerify(ctx, x, t, l, n)
	}
	// In the person's turn: of what is being taken back at this moment no way back must be mailed that nobody voids.
	if err := x.TakeTurns(ctx, []portal.UserID{l.User}); err != nil {
		return departure{}, err
	}
	if _, err := x.Queued(ctx, l.ID); errors.Is(err, store.ErrNone) {
		return dropped("overtaken"), nil
	} else if err != nil {
		return departure{}, err
	}
	a, err := x.Account(ctx, l.User)
	if errors.Is(err, store.ErrNone) {
		return dropped("the person is gone"), nil
	}
	if err != nil {
		return departure{}, err
	}
	if a.User.Blocked == "deleted" {
		return dropped("the person is gone"), nil
	}
	address(&n, a.User)
	switch l.Kind {
	case portal.LetterInvite:
		if !a.User.Active || !a.Secret.Missing || a.Secret.Elsewhere {
			return dropped("not to be invited any more"), nil
		}
		return s.mint(ctx, x, n, a, portal.PurposeInvite, "/register", mintage{})
	case portal.LetterNewAddress:
		// Whoever asked had shown what opens the account, as it stood then. A thief's own mailbox may be slow to take the mail
		// until the owner has thrown them out; a link that is made then would take the account away again (REC-05, REC-11).
		if l.facts[factStamp] != stampOf(a) {
			return dropped("the account is another by now"), nil
		}
		taken, err := x.People(ctx, l.to)
		if err != nil {
			return departure{}, err
		}
		if len(taken) > 0 { // the mail is the only one to know (REG-01)
			n.Kind, n.Name = portal.LetterKnown, taken[0].User.Name()
			return departure{note: n}, nil
		}
		return s.mint(ctx, x, n, a, portal.PurposeNewAddress, "/verify-email", mintage{})
	case portal.LetterOldAddress:
		// Whatever the account is by now: the thief must not be able to make this link void by a change more.
		return s.mint(ctx, x, n, a, portal.PurposeUndo, "/undo", mintage{keep: true, since: l.CreatedAt})
	case portal.LetterRecovery:
		return s.departWarning(ctx, x, l, n, a)
	case portal.LetterPaused:
		return s.mint(ctx, x, n, a, portal.PurposeTryNow, "/try-now", mintage{})
	case portal.LetterKnown, portal.LetterCode, portal.LetterTest, portal.LetterUndone:
		if n.Code = l.facts["code"]; l.Kind == portal.LetterCode {
			n.Valid = l.Expires.Sub(x.Now())
		}
		return departure{note: n}, nil
	}
	m := mintage{keep: true, since: l.CreatedAt}
	if l.facts[factFirst] != "" {
		m.content = map[string]string{factFirst: l.facts[factFirst]}
	}
	return s.mint(ctx, x, n, a, portal.PurposeNotMe, "/not-me", m)
}

// address turns a note to a person.
func address(n *mail.Note, u portal.User) {
	n.Name = u.Name()
	if u.Language != "" {
		n.Language = u.Language
	}
	if u.Zone != "" && u.Zone != "UTC" {
		n.Zone = u.Zone
	}
}

// allowed holds back what a mailbox has had enough of.
func (s *Service) allowed(ctx context.Context, x *store.Tx, l letter) (departure, error) {
	if l.Once == nil {
		return departure{}, nil
	}
	n, last, err := x.SentSince(ctx, l.Kind, l.Once, x.Now().Add(-time.Hour))
	if err != nil || n == 0 {
		return departure{}, err
	}
	switch {
	case !urgent[l.Kind]:
		return departure{later: last.Add(noticesApart)}, nil
	case n >= asksAnHour:
		return dropped("enough of them for an hour"), nil
	case x.Now().Before(last.Add(asksApart)):
		return dropped("one has just left"), nil
	}
	return departure{}, nil
}

// mintage is what a ticket is bound to besides its account.
type mintage struct {
	browser string            // who has asked; empty: any browser may come
	content map[string]string // what is to be done, sealed
	keep    bool              // older ones stay good
	since   time.Time         // when that was done which it takes back; zero: it takes nothing back
}

// factStamp is how an account stood when a letter was asked for; no mail says it.
const factStamp = "stamp"

func stampOf(a store.Account) string { return fmt.Sprintf("%x", a.Stamp()) }

// mint makes the ticket of a mail that is about to leave, and its link.
func (s *Service) mint(ctx context.Context, x *store.Tx, n mail.Note, a store.Account, p portal.Purpose, path string, m mintage) (departure, error) {
	token := secret.NewToken()
	now := x.Now()
	t := store.NewTicket{Ticket: portal.Ticket{ID: portal.TicketID(portal.FormatID(secret.NewID())), Purpose: p, User: a.User.ID, Email: n.To, CreatedAt: now, ExpiresAt: now.Add(p.Life())},
		Digest: token.Digest(secret.KindTicket, string(n.Tenant.ID)), Stamp: a.Stamp(), Browser: []byte(m.browser)}
	if !m.since.IsZero() {
		t.CreatedAt = m.since
	}
	if m.content != nil {
		b, err := json.Marshal(m.content)
		if err != nil {
			return departure{}, fmt.Errorf("encoding a ticket: %w", err)
		}
		if t.Content, err = s.Keys.Seal(b, ticketPlace(n.Tenant.ID, t.ID), now); err != nil {
			return departure{}, err
		}
	}
	if err := x.PutTicket(ctx, t); err != nil {
		return departure{}, err
	}
	link := s.Prefix + path + "?" + url.Values{"token": {token.Reveal()}}.Encode()
	if n.Valid = p.Life(); p == portal.PurposeNotMe {
		n.NotMe = link
	} else {
		n.Link = link
	}
	dep := departure{note: n, users: []portal.UserID{a.User.ID}, ticket: t.ID}
	if !m.keep {
		dep.void = []portal.Purpose{p}
	}
	return dep, nil
}

func ticketPlace(t portal.TenantID, id portal.TicketID) secret.Place {
	return secret.Place{Tenant: string(t), Table: "tickets", Column: "content", Row: string(id)}
}

// departRecover looks for the first time who has the address.
func (s *Service) departRecover(ctx context.Context, x *store.Tx, l letter, n mail.Note) (departure, error) {
	rows, err := x.People(ctx, l.to)
	if err != nil {
		return departure{}, err
	}
	i := slices.IndexFunc(rows, func(a store.Account) bool { return a.User.Active && !a.Secret.Elsewhere })
	if i < 0 {
		return dropped("nobody who may have a new password"), nil
	}
	address(&n, rows[i].User)
	return s.mint(ctx, x, n, rows[i], portal.PurposeRecover, "/reset-password", mintage{})
}

// departVerify mints a confirmation: of a person's address, or of a registration. An address that is somebody's already
// hears so instead, and only there (REG-01).
func (s *Service) departVerify(ctx context.Context, x *store.Tx, t *portal.Tenant, l letter, n mail.Note) (departure, error) {
	if l.User != "" {
		a, err := x.Account(ctx, l.User)
		if errors.Is(err, store.ErrNone) || err == nil && (a.User.Verified || !a.User.Active) {
			return dropped("nothing to confirm"), nil
		}
		if err != nil {
			return departure{}, err
		}
		address(&n, a.User)
		return s.mint(ctx, x, n, a, portal.PurposeVerify, "/verify-email", mintage{browser: l.facts["browser"]})
	}
	rows, err := x.People(ctx, l.to)
	if err != nil {
		return departure{}, err
	}
	if i := slices.IndexFunc(rows, func(a store.Account) bool { return a.User.Verified }); i >= 0 {
		n.Kind = portal.LetterKnown
		address(&n, rows[i].User)
		return departure{note: n}, nil
	}
	if len(rows) == 0 {
		if rows, err = s.enter(ctx, x, t, l); err != nil {
			return departure{}, err
		}
	}
	if len(rows) == 0 || !rows[0].User.Active {
		return dropped("nobody may register for this company any more"), nil
	}
	address(&n, rows[0].User)
	return s.mint(ctx, x, n, rows[0], portal.PurposeVerify, "/verify-email",
		mintage{browser: l.facts["browser"], content: map[string]string{"phc": l.facts["phc"], "key": l.facts["key"]}})
}

// enter makes the row of a registration, not confirmed. Whoever registers an address that is not theirs gains nothing:
// what they chose is forgotten when the owner proves the mailbox (REG-05).
func (s *Service) enter(ctx context.Context, x *store.Tx, t *portal.Tenant, l letter) ([]store.Account, error) {
	if t.Registration != portal.RegistrationOpen {
		return nil, nil
	}
	company, err := x.Company(ctx, l.facts["customer"])
	if errors.Is(err, store.ErrCustomer) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	id := portal.UserID(portal.FormatID(secret.NewID()))
	if err := x.Enter(ctx, id, company, store.NewUser{Email: l.to, FirstName: l.facts["first"], LastName: l.facts["last"], Role: portal.RoleUser,
		Language: l.Language, PHC: l.facts["phc"], KeyID: l.facts["key"]}); err != nil {
		return nil, err
	}
	if err := x.Record(ctx, portal.Activity{Verb: portal.VerbRegistered, User: id, Addr: parseAddr(l.facts["address"]), Agent: l.facts["agent"], Result: "ok"}); err != nil {
		return nil, err
	}
	a, err := x.Account(ctx, id)
	return []store.Account{a}, err
}
