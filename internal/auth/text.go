package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/sms"
	"github.com/portalgate/portalgate/internal/store"
)

// Texts is how text messages leave. The zero value sends none.
type Texts struct {
	Sender   sms.Sender
	Print    func(mail.Note) (string, error) // what a message says
	Possible func() bool                     // whether anybody carries them now; nil: nobody does
}

// CanText says whether a text message would leave. Where it would not, no flow offers one.
func (s *Service) CanText() bool { return s.Text.Possible != nil && s.Text.Possible() }

// Numbers of text messages (OOB-05). What reaches a telephone is counted by its number, whoever asks for it: an attacker
// who adds the number of somebody else to accounts of his own disturbs that person no more often.
const (
	textsAnHour      = 5
	textsApart       = time.Minute
	textUnderWay     = 5 * time.Second // until somebody looks again whether another courier has sent to the same number
	textFirstRetry   = 5 * time.Second // a code holds for minutes: its tries lie closer together than a mail's
	textLongestRetry = time.Minute
)

var errNoText = errors.New("no provider of text messages is configured; write `sms { … }` into the global options")

// departText decides whether a text message leaves now. A code that is overtaken by a newer one of the same person is
// dropped: it would open nothing, and cost the newer one its turn.
func (s *Service) departText(ctx context.Context, x *store.Tx, l letter, n mail.Note) (departure, error) {
	if !sms.IsNumber(l.phone) {
		return dropped("not a telephone number"), nil
	}
	if l.User != "" {
		a, err := x.Account(ctx, l.User)
		if errors.Is(err, store.ErrNone) || err == nil && a.User.Blocked == "deleted" {
			return dropped("the person is gone"), nil
		}
		if err != nil {
			return departure{}, err
		}
		address(&n, a.User)
	}
	turn, err := x.TakeTurn(ctx, l.ID, l.phone, x.Now().Add(-time.Hour))
	switch {
	case err != nil:
		return departure{}, err
	case turn.Overtaken:
		return dropped("a newer code takes its place"), nil
	case turn.Sent >= textsAnHour:
		return dropped("enough of them for an hour"), nil
	case turn.Sent > 0 && x.Now().Before(turn.Last.Add(textsApart)):
		return departure{later: turn.Last.Add(textsApart)}, nil
	case turn.UnderWay:
		return departure{later: x.Now().Add(textUnderWay)}, nil
	}
	n.To, n.Code, n.Valid = "", l.facts["code"], l.Expires.Sub(x.Now())
	return departure{note: n}, nil
}

// deliverText prints a text message, hands it to the provider, and notes what came of it.
func (s *Service) deliverText(ctx context.Context, t *portal.Tenant, l letter, n mail.Note) error {
	err := s.sendText(ctx, t, l, n)
	after := context.WithoutCancel(ctx)
	return s.Store.Within(after, t.ID, s.Now(), func(x *store.Tx) error {
		switch {
		case err == nil:
			return x.Texted(after, l.ID)
		case errors.Is(err, sms.ErrRejected):
			return x.Undeliverable(after, l.ID, err.Error())
		}
		return x.Deferred(after, l.ID, s.Now().Add(againText(l.ID, l.Tries)), err.Error())
	})
}

func (s *Service) sendText(ctx context.Context, t *portal.Tenant, l letter, n mail.Note) error {
	if !s.CanText() {
		return errNoText
	}
	says, err := s.Text.Print(n)
	if err != nil {
		return fmt.Errorf("writing a %s: %w", l.Kind, err)
	}
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendWithin)
	defer cancel()
	return s.Text.Sender.Send(sending, sms.Message{ID: string(l.ID), Tenant: t.ID, Slug: t.Slug, To: l.phone, Text: says, Within: n.Valid})
}

// againText is how long a text message waits after its nth try.
func againText(id portal.LetterID, tries int) time.Duration {
	d := min(textFirstRetry<<min(max(tries-1, 0), 8), textLongestRetry)
	raw, _ := portal.IDBytes(id)
	return d + d*time.Duration(raw[0])/(4*256)
}
