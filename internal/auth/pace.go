package auth

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// Numbers of the pace. Whoever sends a domain many mails in a short time, or goes on while it says "later", is taken for
// a sender of unwanted mail; and what waits for one domain must not hold up the others.
const (
	paceTogether  = 2                // mails under way to one domain, of one gateway
	paceAhead     = 10 * time.Second // what was not sent of this long may leave at once
	paceRest      = 30 * time.Second // a domain that says "later" is left alone for so long, then twice as long each time
	paceLongest   = 30 * time.Minute // and this long at most
	paceDomains   = 10_000           // that are remembered
	paceBatch     = 75 * time.Second // after which claimed letters are given back: they are ours for two minutes, and one may take 25 s
	heldByPace    = "held back: many mails to this domain at once"
	heldByDomain  = "held back: the domain has said that it wants no mail for a while"
	heldByCourier = "held back: the mails before it took long"
)

// paced arranges letters that were claimed in lanes, each of which hands its letters over one after the other: at most
// two lanes for a domain, and in each those first that somebody waits for. What a domain must not have yet is held back.
// Without a pace every letter is a lane.
func (s *Service) paced(ctx context.Context, due []store.Due, failed func(error)) (lanes []func(func(store.Due))) {
	perMinute := 0
	if s.Mail.Pace != nil {
		perMinute = s.Mail.Pace()
	}
	if perMinute <= 0 {
		for _, d := range due {
			lanes = append(lanes, func(deliver func(store.Due)) { deliver(d) })
		}
		return lanes
	}
	began := s.Now()
	domains := map[string][]looked{}
	for _, d := range due {
		l, ok := s.look(ctx, d)
		if !ok {
			lanes = append(lanes, func(deliver func(store.Due)) { deliver(d) }) // DeliverOne says what is wrong with it
			continue
		}
		domains[l.domain] = append(domains[l.domain], l)
	}
	for domain, list := range domains {
		slices.SortStableFunc(list, func(a, b looked) int { return cmp.Compare(b.rank(), a.rank()) })
		line := make(chan looked, len(list))
		for _, l := range list {
			line <- l
		}
		close(line)
		for range min(paceTogether, len(list)) {
			lanes = append(lanes, func(deliver func(store.Due)) {
				for l := range line {
					now := s.Now()
					at, why := s.pace.take(l.Letter, domain, l.awaited, perMinute, now)
					if now.Sub(began) > paceBatch && at.IsZero() {
						s.pace.giveBack(l.Letter)
						at, why = now, heldByCourier
					}
					if at.IsZero() {
						deliver(l.Due)
						s.pace.giveBack(l.Letter)
					} else if err := s.holdBack(ctx, l, at, why); err != nil {
						failed(err)
					}
				}
			})
		}
	}
	return lanes
}

// looked is what is to be known of a letter to give it its place.
type looked struct {
	store.Due
	domain  string
	awaited bool // somebody waits for it
}

func (l looked) rank() int {
	if l.awaited {
		return 1
	}
	return 0
}

// look reads whom a letter is for; false when DeliverOne must say what is the matter with it.
func (s *Service) look(ctx context.Context, d store.Due) (l looked, ok bool) {
	l.Due = d
	err := s.Store.Within(ctx, d.Tenant, s.Now(), func(x *store.Tx) error {
		ok = false
		q, err := x.Queued(ctx, d.Letter)
		if err != nil {
			return err
		}
		to, err := s.unseal(d.Tenant, q, s.Now())
		if err != nil || to.to == "" {
			return nil
		}
		l.domain, l.awaited, ok = domainOf(to.to), urgent[q.Kind] || q.Kind == portal.LetterCode, true
		return nil
	})
	return l, ok && err == nil
}

func domainOf(e portal.Email) string {
	_, domain, _ := strings.Cut(string(e), "@")
	return domain
}

func (s *Service) holdBack(ctx context.Context, l looked, at time.Time, why string) error {
	return s.Store.Within(ctx, l.Tenant, s.Now(), func(x *store.Tx) error { return x.HeldBack(ctx, l.Letter, at, why) })
}

// pace is how much mail has left for each domain lately, of this gateway. What it knows is gone with the process, which
// is no harm: a domain that wants less says so again.
type pace struct {
	mu      sync.Mutex
	domains map[string]*domainPace
	out     map[portal.LetterID]string // letters under way that nobody has tried yet, and their domains
}

type domainPace struct {
	room  float64   // mails that may leave now
	at    time.Time // of that number
	rests time.Time // until when the domain is left alone
	times int       // how often in a row

	notices, awaited time.Time // when the last of those that were held back comes again
}

// take says that a letter may leave now, or when it shall be asked about again, and why. Of the room that a domain has
// half is kept for letters that somebody waits for.
func (p *pace) take(id portal.LetterID, domain string, awaited bool, perMinute int, now time.Time) (again time.Time, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, perSecond := p.of(domain, now), float64(perMinute)/60
	most := max(2, perSecond*paceAhead.Seconds())
	if d.at.IsZero() {
		d.room, d.at = most, now
	}
	if passed := now.Sub(d.at); passed > 0 {
		d.room, d.at = min(most, d.room+perSecond*passed.Seconds()), now
	}
	apart := time.Duration(float64(time.Second) / perSecond)
	needs, queue := 1.0, &d.awaited
	if !awaited {
		needs, queue = 1+most/2, &d.notices
	}
	if now.Before(d.rests) {
		return place(queue, d.rests, apart), heldByDomain
	}
	if d.room >= needs {
		d.room--
		if p.out == nil {
			p.out = map[portal.LetterID]string{}
		}
		p.out[id] = domain
		return time.Time{}, ""
	}
	return place(queue, now, apart), heldByPace
}

// place is the end of a queue of those that were held back: they come again one after the other, and not all at once.
func place(queue *time.Time, from time.Time, apart time.Duration) time.Time {
	if queue.Before(from) {
		*queue = from
	}
	*queue = queue.Add(apart)
	return *queue
}

// giveBack returns the room of a letter that was not tried after all: it was dropped, or somebody else has sent it. So
// asking for mails to addresses that nobody has takes no room from those that somebody has.
func (p *pace) giveBack(id portal.LetterID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if domain, ok := p.out[id]; ok {
		delete(p.out, id)
		if d := p.domains[domain]; d != nil {
			d.room++
		}
	}
}

// learn hears what became of a letter.
func (p *pace) learn(id portal.LetterID, to portal.Email, now time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, paced := p.out[id]; !paced {
		return // there is no pace
	}
	delete(p.out, id)
	d := p.of(domainOf(to), now)
	switch {
	case !mail.Slow(err):
		if err == nil && !now.Before(d.rests) {
			d.times = 0
		}
	case !now.Before(d.rests): // not those that were under way when it began to rest
		d.rests = now.Add(min(paceRest<<min(d.times, 10), paceLongest))
		d.times++
	}
}

// of is what is known of a domain. What says nothing any more is forgotten when there are many.
func (p *pace) of(domain string, now time.Time) *domainPace {
	if d := p.domains[domain]; d != nil {
		return d
	}
	if p.domains == nil {
		p.domains = map[string]*domainPace{}
	}
	if len(p.domains) >= paceDomains {
		for name, d := range p.domains {
			if now.Sub(d.at) > time.Minute && d.notices.Before(now) && d.awaited.Before(now) && now.After(d.rests.Add(paceLongest)) {
				delete(p.domains, name)
			}
		}
		for name := range p.domains {
			if len(p.domains) < paceDomains {
				break
			}
			delete(p.domains, name)
		}
	}
	d := new(domainPace)
	p.domains[domain] = d
	return d
}
