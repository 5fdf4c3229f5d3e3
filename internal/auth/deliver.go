package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// Numbers of the courier.
const (
	asksAnHour    = 3                // of the mails that anybody may ask for, so many reach one mailbox in an hour (REC-09)
	asksApart     = 2 * time.Minute  // and not sooner after one another
	noticesApart  = time.Hour        // of a kind to a person (ux 57)
	sendWithin    = 25 * time.Second // a connection that is stuck longer is cut
	couriers      = 4                // letters under way at the same time, so that one slow mailbox holds up nobody
	firstTryAgain = 30 * time.Second
	lastTryAgain  = time.Hour
)

// letter is a letter that departs: opened, and still in the tenant's transaction.
type letter struct {
	store.Queued
	to    portal.Email
	phone string // in place of to, of a text message
	facts map[string]string
}

// departure is what becomes of a letter.
type departure struct {
	note   mail.Note
	users  []portal.UserID // whose older tickets are void once this one has left
	ticket portal.TicketID
	void   []portal.Purpose
	ended  []portal.SessionID // by what the letter has carried out

	drop  string    // why it does not leave
	later time.Time // or when it does
}

func dropped(why string) departure { return departure{drop: why} }

// Deliver sends the letters that are due, at most n, and says how many there were. A ticket is minted when its letter
// departs: until then nobody has looked whether the address belongs to anybody, so that asking tells nothing (TIM-02),
// and a dump of what waits holds no link (TOK-01).
//
// A courier that dies between the provider's yes and the note of it is the only doubt: after two minutes the letter is
// claimed again, with the same Message-ID and, where it has one, a link of its own, which makes the one before void.
func (s *Service) Deliver(ctx context.Context, n int, failed func(error)) (int, error) {
	due, err := s.Store.Claim(ctx, s.Now(), n)
	if err != nil {
		return 0, err
	}
	var all sync.WaitGroup
	seats := make(chan struct{}, couriers)
	for _, lane := range s.paced(ctx, due, failed) {
		all.Go(func() {
			lane(func(d store.Due) {
				seats <- struct{}{}
				defer func() { <-seats }()
				if err := s.DeliverOne(ctx, d); err != nil {
					failed(err)
				}
			})
		})
	}
	all.Wait()
	return len(due), nil
}

// DeliverOne sends one letter that was claimed.
func (s *Service) DeliverOne(ctx context.Context, d store.Due) error {
	t, ok := s.Tenant(d.Tenant)
	now := s.Now()
	within := func(fn func(*store.Tx) error) error { return s.Store.Within(ctx, d.Tenant, s.Now(), fn) }
	if !ok || t.Canonical() == "" {
		return within(func(x *store.Tx) error {
			return x.Deferred(ctx, d.Letter, now.Add(5*time.Minute), "the tenant has no host that a link could lead to")
		})
	}
	var (
		dep    departure
		l      letter
		sealed error // it does not open: put aside, for whoever has the key, and told
	)
	err := within(func(x *store.Tx) (err error) {
		sealed = nil
		q, err := x.Queued(ctx, d.Letter)
		if errors.Is(err, store.ErrNone) {
			dep = departure{drop: "gone"} // somebody else has sent it
			return nil
		}
		if err != nil {
			return err
		}
		if l, err = s.unseal(t.ID, q, now); err != nil {
			sealed = fmt.Errorf("letter %s: %w", d.Letter, err)
			dep = dropped("the keyring cannot open it")
			return x.Undeliverable(ctx, d.Letter, dep.drop)
		}
		if !q.Expires.IsZero() && !now.Before(q.Expires) {
			if q.Kind == portal.LetterCode || q.Kind == portal.LetterTextCode {
				dep = dropped("too late")
				return x.Dropped(ctx, d.Letter, "too late")
			}
			dep = dropped("too late")
			return x.Undeliverable(ctx, d.Letter, orElse(q.LastError, "too late"))
		}
		if dep, err = s.depart(ctx, x, t, l); err != nil {
			return err
		}
		switch {
		case dep.drop != "":
			return x.Dropped(ctx, d.Letter, dep.drop)
		case !dep.later.IsZero():
			return x.Deferred(ctx, d.Letter, dep.later, "")
		case l.to != "":
			// Before it is in anybody's hands: a bounce may come sooner than the provider's yes is noted.
			x.Departs(d.Letter, l.to)
		}
		return nil
	})
	if err != nil || dep.drop != "" || !dep.later.IsZero() {
		return errors.Join(err, sealed)
	}
	s.Sessions.Forget(now, dep.ended...)
	if l.Kind == portal.LetterTextCode {
		return s.deliverText(ctx, t, l, dep.note)
	}
	m, err := s.Print(dep.note)
	if err != nil { // ours to mend, and not the provider's: the log says so
		err = fmt.Errorf("writing a %s mail: %w", l.Kind, err)
		return errors.Join(err, within(func(x *store.Tx) error {
			return x.Deferred(ctx, d.Letter, s.Now().Add(again(l.ID, l.Tries)), err.Error())
		}))
	}
	err = s.send(ctx, t, l, m)
	s.pace.learn(l.ID, l.to, s.Now(), err)
	after := context.WithoutCancel(ctx)
	return s.Store.Within(after, d.Tenant, s.Now(), func(x *store.Tx) error {
		switch {
		case err == nil:
			if err := x.VoidTickets(after, dep.users, dep.ticket, dep.void...); err != nil {
				return err
			}
			return errors.Join(s.resetAsked(after, x, l, dep), x.Delivered(after, d.Letter, l.to))
		case errors.Is(err, mail.ErrRejected):
			return x.Undeliverable(after, d.Letter, err.Error())
		}
		return x.Deferred(after, d.Letter, s.Now().Add(again(l.ID, l.Tries)), err.Error())
	})
}

// resetAsked records that somebody has asked for a link to a new password, once it is mailed: at the page nobody has
// looked whose address it is, and a row written there would take a time that says so (TIM-02). A command that asks has
// recorded it itself.
func (s *Service) resetAsked(ctx context.Context, x *store.Tx, l letter, dep departure) error {
	asked := l.facts["at"] // a command's letter does not say
	if l.Kind != portal.LetterRecover || asked == "" || l.facts[factRecovery] != "" || len(dep.users) == 0 {
		return nil
	}
	return x.Record(ctx, portal.Activity{Verb: portal.VerbResetAsked, User: dep.users[0], Addr: parseAddr(l.facts["address"]), Agent: l.facts["agent"], At: x.Now(), Result: "ok", Facts: map[string]string{"asked": asked}})
}

// again is how long a letter waits after its nth try: twice as long each time, and not all at the same moment.
func again(id portal.LetterID, tries int) time.Duration {
	d := firstTryAgain << min(max(tries-1, 0), 8)
	d = min(d, lastTryAgain)
	raw, _ := portal.IDBytes(id)
	return d + d*time.Duration(raw[0])/(4*256)
}

// send hands a mail to the provider.
func (s *Service) send(ctx context.Context, t *portal.Tenant, l letter, m mail.Message) error {
	m.ID = string(l.ID) + "@" + t.Canonical()
	m.Date, m.Region = s.Now(), t.Region
	m.From, m.ReplyTo = s.Mail.From(t)
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendWithin)
	defer cancel()
	return s.Mail.Sender.Send(sending, m)
}

func (s *Service) unseal(t portal.TenantID, q store.Queued, now time.Time) (l letter, err error) {
	l.Queued = q
	to, err := s.Keys.Unseal(q.Address, letterPlace(t, "address", q.ID), now)
	if err != nil {
		return l, err
	}
	facts, err := s.Keys.Unseal(q.Content, letterPlace(t, "content", q.ID), now)
	if err != nil {
		return l, err
	}
	if err := json.Unmarshal(facts, &l.facts); err != nil {
		return l, fmt.Errorf("reading a letter: %w", err)
	}
	if q.Kind == portal.LetterTextCode {
		l.phone = string(to)
		return l, nil
	}
	l.to, err = portal.ParseEmail(string(to))
	return l, err
}
