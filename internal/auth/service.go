package auth

import (
	"context"
	"errors"
	"time"

	"github.com/portalgate/portalgate/internal/factor"
	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/ratelimit"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/store"
)

// Deps are what the flows depend on.
type Deps struct {
	Store    *store.Store
	Hasher   *password.Hasher
	Methods  []factor.Method   // the kinds of second proofs; which of them somebody may use is the tenant's to say
	Breaches password.Breaches // nil: none is asked
	Sessions *session.Keeper
	Limits   *ratelimit.Limiter
	Policy   portal.Policy
	Exempt   func(portal.Client) bool // from the limits by network: the operator's list of offices

	// AnswerAfter is the fixed moment after a request's arrival at which the answer to a guess is released; when the
	// work took longer, the next multiple of it (TIM-01). Zero releases at once.
	AnswerAfter time.Duration
	Now         func() time.Time

	Keys   *secret.Keyring
	Prefix string                                       // of the pages that links lead to
	Tenant func(portal.TenantID) (*portal.Tenant, bool) // as the table of hosts has it
	Origin func(*portal.Tenant) string                  // what links in mails begin with; no request has a say in it
	Print  func(mail.Note) (mail.Message, error)        // what a mail says
	Mail   Post                                         // how it leaves
	Text   Texts                                        // the same for text messages
	Wake   func()                                       // tells the courier that there is something to do; nil: it looks by itself
}

// Post is how mail leaves.
type Post struct {
	Sender mail.Sender
	From   func(*portal.Tenant) (from, replyTo mail.Address)
	Pace   func() int // mails a minute to one domain; nil or 0: as many as there are
}

// Service has the flows as its methods. It may be used by many goroutines.
type Service struct {
	Deps
	counts  counts
	tallies tallies
	pace    pace
	behind  chan func(context.Context) error // what is done behind answers
}

// New makes a Service.
func New(d Deps) *Service {
	if d.Exempt == nil {
		d.Exempt = func(portal.Client) bool { return false }
	}
	s := &Service{Deps: d, behind: make(chan func(context.Context) error, 1024)}
	d.Sessions.OnCopy(func(ctx context.Context, x *store.Tx, t *portal.Tenant, c portal.Client, u portal.User) error {
		return s.notify(ctx, x, t, c, u, portal.LetterCopied, nil)
	})
	d.Sessions.OnForeign(func(t *portal.Tenant, c portal.Client) { s.tallies.add(t.ID, c, foreignSession) })
	return s
}

// RuleLockout names the lock-out where an operator is told which rule stands in somebody's way.
const RuleLockout = "lockout"

// RuleSecond names the rest of the second step there.
const RuleSecond = "second_step"

// RuleCodes names the limit on codes that are sent.
const RuleCodes = "codes_sent"

// The sentences that are the same for everybody.
const (
	publicWrong = "The e-mail address or password is not correct. After several tries we pause sign-in for a while and tell the owner by mail."
	// PublicPause is what everybody reads while a purse rests.
	PublicPause  = "There were several tries with a password that is not right, so sign-in rests for a while."
	publicMailed = "Or use the link we have mailed to you." // whether or not the address is anybody's
	publicLast   = " One more that is wrong pauses it."
	publicBusy   = "Many people are signing in. You are next in a few seconds; keep this page open."
	publicDown   = "Signing in is not possible at the moment. Please try again in a few minutes."
)

// wrong is what everybody hears of a password that opens nothing. Whether the purse bears no more is the same for an address
// that nobody has.
func wrong(last bool) error {
	p := &portal.Problem{Kind: portal.ProblemCredentials, Public: publicWrong}
	if last {
		p.Public += publicLast
	}
	return p
}

func input(field, public string) error {
	return &portal.Problem{Kind: portal.ProblemInput, Field: field, Public: public}
}

// troubled turns what the packages below return into what a person may read.
func troubled(err error) error {
	var p *portal.Problem
	switch {
	case err == nil:
		return nil
	case errors.As(err, &p):
		return err
	case errors.Is(err, password.ErrBusy):
		return &portal.Problem{Kind: portal.ProblemBusy, Public: publicBusy, RetryAfter: 3 * time.Second, Err: err}
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return &portal.Problem{Kind: portal.ProblemUnavailable, Public: publicDown, RetryAfter: 5 * time.Second, Err: err}
	}
	return err
}

// release is when the answer to a guess may leave.
func (s *Service) release(arrived time.Time) time.Time {
	if s.AnswerAfter <= 0 {
		return arrived
	}
	n := s.Now().Sub(arrived)/s.AnswerAfter + 1
	return arrived.Add(n * s.AnswerAfter)
}

// wake tells the courier that a letter waits.
func (s *Service) wake() {
	if s.Wake != nil {
		s.Wake()
	}
}
