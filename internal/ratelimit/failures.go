package ratelimit

import (
	"context"
	"math/bits"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
)

// Guess is a password that is about to be checked.
type Guess struct {
	Tenant   portal.TenantID
	Network  string       // as whereabouts.Network names it
	Account  portal.Email // canonical; only its digest is kept
	Stranger bool         // the browser brought no device cookie, so no account can know it
	Exempt   bool         // the network is on a list of offices: the limits by network do not hold
}

// Verdict is what came of a guess.
type Verdict string

// The verdicts.
const (
	Unchecked Verdict = "unchecked" // nothing was checked, and nobody was told anything: the charge is handed back
	Right     Verdict = "right"     // handed back, and what this account failed before in the same standing as well
	Wrong     Verdict = "wrong"
)

// Paid is a guess that was counted before it is checked. It must be settled.
type Paid struct {
	limiter              *Limiter
	guess                Guess
	strangers, everybody Decision
	slower               time.Duration
	held                 hold
	alone                bool // it is held by this process
	shadow               hold // what this process would hold if it were alone
	settled              bool
	drawn                []drawn
}

// drawn is a draw on a rate that can be handed back.
type drawn struct {
	Charge
	alone bool // this process has counted it
}

// hold is a guess's place among those under way.
type hold struct {
	account    member
	at, before int64 // microseconds; at is 0 when nothing is held
	counted    bool  // something was counted or looked up, and the verdict matters
}

// place is one network of one tenant.
type place struct{ tenant, network string }

// member is what is counted: an account, or by the review's rule one try. Strangers and the browsers that an account
// knows are counted apart, as their purses are: or the owner's own sign-in would give a sprayer's try back.
type member struct {
	name     string // canonical address
	stranger bool
	try      uint64 // 0: the account
}

// standing is what a kind answers about a place.
type standing struct {
	what                 string // free, counted, held, full, strangers, everybody
	strangers, everybody int64  // until when they wait; microseconds
	at, before           int64
	failed, level        int
}

// life is how long a guess may be under way. One that is never settled, because its gateway was killed, frees its place
// then: what it cost its account stands in PostgreSQL.
const life = 30 * time.Second

// A place for a guess is waited for this long, while others from the same network are under way.
const (
	patience = time.Second
	poll     = 20 * time.Millisecond
	comeBack = 3 * time.Second
)

// Pay counts a guess before it is checked, so that two hundred parallel guesses are not two hundred free ones (RL-04).
// When it may not be checked, Decision says so.
func (l *Limiter) Pay(ctx context.Context, now time.Time, g Guess) *Paid {
	yes := Decision{Allowed: true}
	p := &Paid{limiter: l, guess: g, strangers: yes, everybody: yes}
	key := []string{string(g.Tenant), g.Network}
	if !g.Exempt {
		if d := l.Spend(ctx, now, Charge{l.limits.Flood, key}); !d.Allowed {
			p.everybody = d
			return p
		}
		p.draw(ctx, now, Charge{l.limits.Network, key})
	}
	if p.strangers.Allowed {
		p.draw(ctx, now, Charge{l.limits.Tenant, key[:1]})
	}
	if g.Stranger && !p.strangers.Allowed {
		return p
	}
	p.slower = l.slower(ctx, now, g)
	p.hold(ctx, now, g.Stranger)
	return p
}

func (p *Paid) draw(ctx context.Context, now time.Time, c Charge) {
	if p.strangers = p.limiter.Spend(ctx, now, c); p.strangers.Allowed {
		p.drawn = append(p.drawn, drawn{c, p.limiter.shared == nil || p.strangers.Degraded})
	}
}

// HandBack hands back what a guess has drawn on the rates that hold for strangers, because there was no room to check it.
// Otherwise a few minutes in which all places are taken would keep out, for minutes more, just those who were asked to
// come again. Nobody gets a guess more by it than the limits allow, since none was checked; and what holds against a
// flood stays counted, or one network could ask without end while others fill the places.
func (p *Paid) HandBack(ctx context.Context, now time.Time) {
	l := p.limiter
	for _, d := range p.drawn {
		back := func(ctx context.Context, k kind, r *rule) error {
			if (k == l.local) != d.alone { // Redis has gone or come in between: what was drawn there ends by itself
				return nil
			}
			return k.handBack(ctx, now.UnixMicro(), l.under(r, d.Limit), d.Key)
		}
		if d.alone {
			l.here(ctx, back)
		} else {
			l.ask(ctx, back)
		}
	}
	p.drawn = nil
}

// AsStranger goes on with a guess whose browser brought a device cookie, but not one that the account knows.
func (p *Paid) AsStranger(ctx context.Context, now time.Time) {
	if !p.guess.Stranger && p.strangers.Allowed && p.everybody.Allowed {
		p.hold(ctx, now, true)
	}
	p.guess.Stranger = true
}

// Stranger says whether the guess was paid for as a stranger's.
func (p *Paid) Stranger() bool { return p.guess.Stranger }

// Decision says whether the guess may be checked; known means that the account knows the browser.
func (p *Paid) Decision(known bool) Decision {
	if !p.everybody.Allowed || known {
		return p.everybody
	}
	return p.strangers
}

// Slower is how much later the answer is to be given, because very many accounts are being tried at.
func (p *Paid) Slower(known bool) time.Duration {
	if known || p.guess.Exempt {
		return 0
	}
	return p.slower
}

// hold takes a place among the guesses of the network. When those under way could still all fail, it waits for them a
// little, in a line, holding nothing.
func (p *Paid) hold(ctx context.Context, now time.Time, stranger bool) {
	if p.guess.Exempt || p.held.at != 0 {
		return
	}
	l := p.limiter
	at, m := place{string(p.guess.Tenant), p.guess.Network}, member{name: string(p.guess.Account), stranger: stranger}
	if l.normal.byTry {
		m.try = nonce()
	}
	if p.held.account = m; p.pay(ctx, now, at, stranger) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, l.patience)
	defer cancel()
	leave, first := l.lines.stand(ctx, at)
	defer leave()
	for ; first; first = pause(ctx, poll) {
		if p.pay(ctx, now, at, stranger) {
			return
		}
	}
	p.everybody = Decision{Limit: l.limits.Guesses, Busy: true, RetryAfter: comeBack}
}

// pay asks for a place; false when there is none at the moment.
func (p *Paid) pay(ctx context.Context, now time.Time, at place, stranger bool) bool {
	l, m := p.limiter, p.held.account
	var s standing
	p.alone = l.ask(ctx, func(ctx context.Context, k kind, r *rule) (err error) {
		s, err = k.pay(ctx, now.UnixMicro(), r, at, m, stranger)
		return err
	})
	switch s.what {
	case "everybody":
		p.everybody = refused(l.limits.Refusal, s.everybody, now)
	case "strangers":
		p.strangers = refused(l.limits.Guesses, s.strangers, now)
	case "full":
		return false
	default:
		p.held = hold{m, s.at, s.before, true}
		if !p.alone {
			// Should Redis go now, this process knows what it has let through, and nobody begins anew.
			shadow, _ := l.local.pay(ctx, now.UnixMicro(), &l.strict, at, m, stranger) // the local kind has no errors
			p.shadow = hold{m, shadow.at, shadow.before, true}
		}
	}
	return true
}

func refused(l Limit, until int64, now time.Time) Decision {
	return Decision{Limit: l, RetryAfter: max(time.UnixMicro(until).Sub(now), time.Second)}
}

// pause waits, and says whether the context still stands.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Settle says what came of the guess. It is for everybody to call, also when the guess was refused, and the second call
// does nothing.
func (p *Paid) Settle(ctx context.Context, now time.Time, v Verdict) {
	if p.settled {
		return
	}
	p.settled = true
	l, g := p.limiter, p.guess
	if p.held.counted && (v != Unchecked || p.held.at != 0) {
		at := place{string(g.Tenant), g.Network}
		settle := func(ctx context.Context, k kind, r *rule) error {
			h := p.held
			if k == l.local && !p.alone {
				h = p.shadow
			}
			return k.settle(ctx, now.UnixMicro(), r, at, h, v)
		}
		// Where it was held; and should Redis have gone in between, here: what failed has failed.
		if p.alone {
			l.here(ctx, settle)
		} else if !l.ask(ctx, settle) {
			_ = settle(ctx, l.local, &l.strict) // as above
		}
	}
	if v != Unchecked {
		l.note(ctx, now, g, v)
	}
}

// slower is the growing delay above the limits by tenant and over everything: 250 ms for each time that the number of
// accounts has doubled, at most two seconds. They never refuse.
func (l *Limiter) slower(ctx context.Context, now time.Time, g Guess) (d time.Duration) {
	l.ask(ctx, func(ctx context.Context, k kind, r *rule) error {
		n, err := k.tally(ctx, now.UnixMicro(), r, string(g.Tenant))
		if err == nil {
			d = max(delay(n[0], r.tenant.Number), delay(n[1], r.all.Number))
		}
		return err
	})
	return d
}

const (
	delayStep = 250 * time.Millisecond
	maxDelay  = 2 * time.Second
)

func delay(n, limit int) time.Duration {
	if n <= limit {
		return 0
	}
	return min(time.Duration(bits.Len(uint((n-1)/limit)))*delayStep, maxDelay)
}

// tallyMost is how many accounts a tally holds at most: with so many over the limit the delay does not grow any more.
func tallyMost(l Limit) int { return l.Number << (maxDelay / delayStep) }

func (l *Limiter) note(ctx context.Context, now time.Time, g Guess, v Verdict) {
	l.ask(ctx, func(ctx context.Context, k kind, r *rule) error {
		return k.note(ctx, now.UnixMicro(), r, string(g.Tenant), string(g.Account), v)
	})
}
