package ratelimit

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed" // failures.lua
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
)

//go:embed failures.lua
var failuresLua string

var failuresScript = redis.NewScript(failuresLua)

// shared keeps limits in Redis: one node, Sentinel or a cluster.
type shared struct {
	client redis.UniversalClient
	rates  *redis_rate.Limiter
}

func newShared(c redis.UniversalClient) *shared {
	return &shared{client: c, rates: redis_rate.NewLimiter(c)}
}

// digest is a key: what something is counted by, not to be read back.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// key names what belongs together; the braces keep it on one node of a cluster.
func key(name string, parts ...string) string {
	return "portalgate:" + name + ":{" + digest(parts...) + "}"
}

func (s *shared) rate(ctx context.Context, _ int64, l Limit, by []string) (Decision, error) {
	r, err := s.rates.Allow(ctx, key(l.Name, by...), l.redis())
	if err != nil {
		return Decision{}, fmt.Errorf("asking Redis for %s: %w", l.Name, err)
	}
	return Decision{Allowed: r.Allowed > 0, RetryAfter: max(r.RetryAfter, time.Second)}, nil
}

// handBack draws less than nothing. Of a bucket that would be empty then the rest of one draw stays, which leaks away.
func (s *shared) handBack(ctx context.Context, _ int64, l Limit, by []string) error {
	if _, err := s.rates.AllowN(ctx, key(l.Name, by...), l.redis(), -1); err != nil {
		return fmt.Errorf("handing back to Redis for %s: %w", l.Name, err)
	}
	return nil
}

func (l Limit) redis() redis_rate.Limit {
	return redis_rate.Limit{Rate: l.Number, Burst: l.Number, Period: l.Period}
}

func (p place) keys() []string {
	k := key("failures", p.tenant, p.network)
	return []string{k + ":failed", k + ":pending", k + ":state"}
}

func (m member) text() string {
	return digest(m.name, strconv.FormatBool(m.stranger), strconv.FormatUint(m.try, 16))
}

// nonce tells two tries apart, on any gateway.
func nonce() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:]) | 1
}

func (s *shared) script(ctx context.Context, op string, now int64, r *rule, at place, account string, a, b any) (out standing, err error) {
	g, f := r.guesses, r.refusal
	reply, err := failuresScript.Run(ctx, s.client, at.keys(), op, now, account,
		g.Period.Microseconds(), life.Microseconds(), g.Number, g.Wait.Microseconds(), g.Most.Microseconds(), again.Microseconds(),
		f.Number, f.Wait.Microseconds(), a, b).Slice()
	if err != nil {
		return out, fmt.Errorf("asking Redis for %s: %w", g.Name, err)
	}
	if len(reply) != 7 {
		return out, fmt.Errorf("asking Redis for %s: an answer of %d parts", g.Name, len(reply))
	}
	number := func(i int) (n int64) {
		switch v := reply[i].(type) {
		case int64:
			n = v
		case string:
			var bad error
			if n, bad = strconv.ParseInt(v, 10, 64); bad != nil {
				err = fmt.Errorf("asking Redis for %s: %w", g.Name, bad)
			}
		}
		return n
	}
	out.what, _ = reply[0].(string)
	out.strangers, out.everybody, out.at, out.before = number(1), number(2), number(3), number(4)
	out.failed, out.level = int(number(5)), int(number(6))
	return out, err
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (s *shared) pay(ctx context.Context, now int64, r *rule, at place, m member, stranger bool) (standing, error) {
	return s.script(ctx, "pay", now, r, at, m.text(), bit(stranger), bit(stranger || r.byTry))
}

func (s *shared) settle(ctx context.Context, now int64, r *rule, at place, h hold, v Verdict) error {
	_, err := s.script(ctx, string(v), now, r, at, h.account.text(), h.at, h.before)
	return err
}

func (s *shared) look(ctx context.Context, now int64, r *rule, at place) (standing, error) {
	return s.script(ctx, "look", now, r, at, "", 0, 0)
}

func (s *shared) clear(ctx context.Context, at place, rates []Limit) error {
	if err := s.client.Del(ctx, at.keys()...).Err(); err != nil {
		return fmt.Errorf("clearing in Redis: %w", err)
	}
	for _, l := range rates {
		if err := s.rates.Reset(ctx, key(l.Name, at.tenant, at.network)); err != nil {
			return fmt.Errorf("clearing %s in Redis: %w", l.Name, err)
		}
	}
	return nil
}

// tallies are the two sets of accounts that failed: of a tenant, and of all.
func tallies(tenant string) [2]string {
	return [2]string{key("failures_tenant", tenant), key("failures_global")}
}

func (s *shared) tally(ctx context.Context, now int64, r *rule, tenant string) (out [2]int, err error) {
	var n [2]*redis.IntCmd
	_, err = s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, l := range []Limit{r.tenant, r.all} {
			n[i] = p.ZCount(ctx, tallies(tenant)[i], "("+strconv.FormatInt(now-l.Period.Microseconds(), 10), "+inf")
		}
		return nil
	})
	if err != nil {
		return out, fmt.Errorf("asking Redis for %s: %w", r.tenant.Name, err)
	}
	return [2]int{int(n[0].Val()), int(n[1].Val())}, nil
}

func (s *shared) note(ctx context.Context, now int64, r *rule, tenant, account string, v Verdict) error {
	m := digest(tenant, account)
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, l := range []Limit{r.tenant, r.all} {
			k := tallies(tenant)[i]
			if v == Right {
				p.ZRem(ctx, k, m)
				continue
			}
			p.ZAdd(ctx, k, redis.Z{Score: float64(now), Member: m})
			p.ZRemRangeByScore(ctx, k, "-inf", strconv.FormatInt(now-l.Period.Microseconds(), 10))
			p.ZRemRangeByRank(ctx, k, 0, int64(-tallyMost(l)-1)) // the oldest, should there be too many
			p.PExpire(ctx, k, l.Period)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("noting a failure in Redis: %w", err)
	}
	return nil
}

var _ kind = (*shared)(nil)
