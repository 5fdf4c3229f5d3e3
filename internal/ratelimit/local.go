package ratelimit

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

// local keeps limits in this process. What it holds is bounded: a flood of networks pushes out networks in whose way
// nothing stands. Keys are hashes with a seed of this process.
type local struct {
	seed maphash.Seed
	size int

	mu       sync.Mutex
	rates    map[uint64]int64 // when the next try would come if they came evenly (GCRA, as redis_rate does it)
	networks map[uint64]*network
	tallies  map[uint64]*tally
}

func newLocal(size int) *local {
	return &local{seed: maphash.MakeSeed(), size: size, rates: map[uint64]int64{}, networks: map[uint64]*network{}, tallies: map[uint64]*tally{}}
}

type named struct{ a, b, c string }

func (l *local) hash(a, b, c string) uint64 { return maphash.Comparable(l.seed, named{a, b, c}) }

func (l *local) rate(_ context.Context, now int64, limit Limit, by []string) (Decision, error) {
	key := l.rateKey(limit, by)
	each := limit.Period.Microseconds() / int64(limit.Number)
	l.mu.Lock()
	defer l.mu.Unlock()
	at, known := l.rates[key]
	if at > now+limit.Period.Microseconds() {
		at = 0 // the clock was put back; nobody waits for it to come round again
	}
	next := max(at, now) + each
	if wait := next - each*int64(limit.Number) - now; wait > 0 {
		return Decision{RetryAfter: max(time.Duration(wait)*time.Microsecond, time.Second)}, nil
	}
	if !known && len(l.rates) >= l.size {
		for k, t := range l.rates { // some that are over, else any
			if delete(l.rates, k); len(l.rates) < l.size && t >= now {
				break
			}
		}
	}
	l.rates[key] = next
	return Decision{Allowed: true}, nil
}

func (l *local) rateKey(limit Limit, by []string) uint64 {
	var network string
	if len(by) > 1 {
		network = by[1]
	}
	return l.hash(limit.Name, by[0], network)
}

func (l *local) handBack(_ context.Context, now int64, limit Limit, by []string) error {
	key := l.rateKey(limit, by)
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, known := l.rates[key]; known && at > now {
		l.rates[key] = at - limit.Period.Microseconds()/int64(limit.Number)
	}
	return nil
}

// network is what failures.lua keeps in three keys.
type network struct {
	failed, pending      []entry
	strangers, everybody int64
	reached              int64
	level                int
	touched              int64
}

type entry struct {
	account uint64
	at      int64
}

func find(in []entry, account uint64) *entry {
	for i := range in {
		if in[i].account == account {
			return &in[i]
		}
	}
	return nil
}

func drop(in []entry, account uint64) []entry {
	for i := range in {
		if in[i].account == account {
			in[i] = in[len(in)-1]
			return in[:len(in)-1]
		}
	}
	return in
}

// between keeps the entries of a span. Entries beyond its end are from before the clock was put back.
func between(in []entry, at, end int64) []entry {
	out := in[:0]
	for _, e := range in {
		if e.at > at && e.at <= end {
			out = append(out, e)
		}
	}
	return out
}

// network returns a place as it is now, making it when it is to be written to.
func (l *local) network(now int64, r *rule, at place, keep bool) *network {
	key := l.hash("network", at.tenant, at.network)
	n := l.networks[key]
	if n == nil {
		n = &network{}
		if keep {
			if len(l.networks) >= l.size {
				l.evict(now)
			}
			l.networks[key] = n
		}
	}
	n.touched = now
	window := r.guesses.Period.Microseconds()
	n.strangers = min(n.strangers, now+r.guesses.longest().Microseconds())
	n.everybody = min(n.everybody, now+r.refusal.Wait.Microseconds())
	cutoff := now - window
	for _, ended := range []int64{n.strangers, n.everybody} {
		if ended <= now { // after a wait the set begins empty; what fails at its very end is new
			cutoff = max(cutoff, ended-1)
		}
	}
	n.failed, n.pending = between(n.failed, cutoff, now+window), between(n.pending, now-life.Microseconds(), now+window)
	return n
}

// evict forgets a network: of a few that come to hand the one that is missed least.
func (l *local) evict(now int64) {
	var worst uint64
	best, seen := int64(0), 0
	for k, n := range l.networks {
		worth := n.touched
		if n.strangers > now || n.everybody > now || len(n.pending) > 0 {
			worth += again.Microseconds()
		}
		if seen == 0 || worth < best {
			worst, best = k, worth
		}
		if seen++; seen == 8 {
			break
		}
	}
	delete(l.networks, worst)
}

func (n *network) reach(now int64, limit Limit) {
	if n.reached > 0 && now-n.reached < again.Microseconds() {
		n.level++
	} else {
		n.level = 0
	}
	n.reached, n.strangers = now, now+limit.wait(n.level).Microseconds()
}

func (n *network) answer(what string) standing {
	return standing{what: what, strangers: n.strangers, everybody: n.everybody, failed: len(n.failed), level: n.level}
}

func (l *local) member(m member) uint64 {
	if m.try != 0 {
		return m.try
	}
	if m.stranger {
		return l.hash("stranger", m.name, "")
	}
	return l.hash("known", m.name, "")
}

func (l *local) pay(_ context.Context, now int64, r *rule, at place, m member, stranger bool) (standing, error) {
	account := l.member(m)
	l.mu.Lock()
	defer l.mu.Unlock()
	hold := stranger || r.byTry
	n := l.network(now, r, at, hold)
	switch {
	case n.everybody > now:
		return n.answer("everybody"), nil
	case !hold:
		return n.answer("free"), nil
	case stranger && n.strangers > now:
		return n.answer("strangers"), nil
	case find(n.failed, account) != nil:
		return n.answer("counted"), nil
	}
	out := n.answer("held")
	if mine := find(n.pending, account); mine != nil {
		out.before, out.at = mine.at, max(now, mine.at+1)
		mine.at = out.at
		return out, nil
	}
	switch {
	case len(n.failed) >= r.guesses.Number: // the number was lowered in between
		if n.reach(now, r.guesses); stranger {
			return n.answer("strangers"), nil
		}
	case len(n.failed)+len(n.pending) >= r.guesses.Number:
		return n.answer("full"), nil
	}
	out.at = now
	n.pending = append(n.pending, entry{account, now})
	return out, nil
}

func (l *local) settle(_ context.Context, now int64, r *rule, at place, h hold, v Verdict) error {
	account := l.member(h.account)
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.network(now, r, at, v == Wrong)
	if v == Unchecked {
		// somebody else's guess at the same account keeps its place
		if e := find(n.pending, account); h.at > 0 && e != nil && e.at == h.at {
			if e.at = h.before; h.before == 0 {
				n.pending = drop(n.pending, account)
			}
		}
		return nil
	}
	n.pending = drop(n.pending, account)
	if v == Right {
		n.failed = drop(n.failed, account)
		return nil
	}
	if e := find(n.failed, account); e != nil {
		e.at = now
	} else {
		n.failed = append(n.failed, entry{account, now})
	}
	if len(n.failed) >= r.guesses.Number && n.strangers <= now {
		n.reach(now, r.guesses)
	}
	if len(n.failed) >= r.refusal.Number && n.everybody <= now {
		n.everybody = now + r.refusal.Wait.Microseconds()
	}
	return nil
}

func (l *local) look(_ context.Context, now int64, r *rule, at place) (standing, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.network(now, r, at, false).answer("free"), nil
}

func (l *local) clear(_ context.Context, at place, rates []Limit) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.networks, l.hash("network", at.tenant, at.network))
	for _, r := range rates {
		delete(l.rates, l.hash(r.Name, at.tenant, at.network))
	}
	return nil
}

// tally is a set of accounts with the moment at which each last failed.
type tally struct {
	last  map[uint64]int64
	order []entry // by time; what was dropped or came again is passed over
}

func (t *tally) prune(now int64, window time.Duration) {
	if n := len(t.order); n > 0 && t.order[n-1].at > now+time.Minute.Microseconds() { // the clock was put back
		clear(t.last)
		t.order = nil
	}
	i, cutoff := 0, now-window.Microseconds()
	for ; i < len(t.order) && t.order[i].at <= cutoff; i++ {
		if e := t.order[i]; t.last[e.account] == e.at {
			delete(t.last, e.account)
		}
	}
	t.order = t.order[i:]
}

func (l *local) tallyOf(tenant string) *tally {
	key := l.hash("tally", tenant, "")
	t := l.tallies[key]
	if t == nil {
		t = &tally{last: map[uint64]int64{}}
		l.tallies[key] = t
	}
	return t
}

func (l *local) tally(_ context.Context, now int64, r *rule, tenant string) (out [2]int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, limit := range [...]*Limit{&r.tenant, &r.all} {
		t := l.tallyOf([...]string{tenant, ""}[i])
		t.prune(now, limit.Period)
		out[i] = len(t.last)
	}
	return out, nil
}

func (l *local) note(_ context.Context, now int64, r *rule, tenant, account string, v Verdict) error {
	who := l.hash("account", tenant, account)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, limit := range [...]*Limit{&r.tenant, &r.all} {
		t := l.tallyOf([...]string{tenant, ""}[i])
		if v == Right {
			delete(t.last, who)
			continue
		}
		t.prune(now, limit.Period)
		if _, known := t.last[who]; known || len(t.last) < tallyMost(*limit) {
			t.last[who] = now
			t.order = append(t.order, entry{who, now})
		}
	}
	return nil
}

var _ kind = (*local)(nil)
