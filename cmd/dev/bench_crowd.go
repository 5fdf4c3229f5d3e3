package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/demo"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
)

// How many users with a session each are in a database with many, and in one with few. A brief run has fewer.
const (
	manyPeople  = 1_000_000
	briefPeople = 3_000
	fewPeople   = 1_000
	knownPeople = 100_000 // as many sessions as a gateway keeps facts of
)

// crowd is a second world with very many people beside the first one, and a gateway to each that holds a token of
// everybody. Both have the same upstream, and each its own servers.
type crowd struct {
	benchWorld
	many, few *gateway
	n         int
	tenant    portal.TenantID
	facts     float64 // MiB of heap that 100,000 sessions hold in a gateway
	rounds    [][]turn
	lates     [][]float64
	rate      float64
}

func (c *crowd) close() {
	if c == nil {
		return
	}
	c.leave()
	c.world.Close()
}

func (c *crowd) leave() {
	for _, g := range []*gateway{c.many, c.few} {
		if g != nil {
			g.stop()
		}
	}
	c.many, c.few = nil, nil
}

// gather makes the crowd's database, once.
func (b *bench) gather(ctx context.Context) (err error) {
	if b.crowd != nil {
		return nil
	}
	c := &crowd{benchWorld: benchWorld{dir: b.dir, measured: b.measured, load: b.load, upstream: b.upstream}, n: b.many}
	if c.world, err = demo.Start(ctx, demo.Options{}); err != nil {
		return err
	}
	b.crowd = c
	b.r.say("a second database with %d people", c.n)
	if c.tenant, err = populate(ctx, c.world, c.n); err != nil {
		return err
	}
	err = pin(c.world.Postgres.PID(), b.measured)
	if c.world.Redis != nil {
		err = errors.Join(err, pin(c.world.Redis.PID(), b.measured))
	}
	return err
}

const (
	userOf    = `('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid`
	sessionOf = `('00000000-0000-4000-9000-' || lpad(to_hex(i), 12, '0'))::uuid`
)

// populate adds people to a world's tenant, each with a password and a session, by statements that know no triggers.
func populate(ctx context.Context, w *demo.World, n int) (tenant portal.TenantID, err error) {
	conn, err := pgx.Connect(ctx, w.Postgres.URL("postgres", "postgres"))
	if err != nil {
		return "", fmt.Errorf("connecting as the owner: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, sql := range []string{
		`alter system set autovacuum = off`, // it would come to tidy up while something else is measured
		`select pg_reload_conf()`,
		`set session_replication_role = replica`,
		`create temp table at as select h.tenant_id tenant, c.id customer, k.phc, k.key_id, k.legacy_digest from portalgate.hosts h
			join public.customers c on c.tenant_id = h.tenant_id and c.customer_code = 'C-1003'
			join portalgate.credentials k on k.tenant_id = h.tenant_id where h.host = '` + benchHost + `' limit 1`,
		`insert into public.customer_users (id, customer_id, tenant_id, email, password_hash, first_name, last_name, role, is_email_verified)
			select ` + userOf + `, customer, tenant, 'crowd' || i || '@bench.example', '!portalgate', 'Cleo', 'Crowd ' || i, 'CUSTOMER_USER', true from at, generate_series(1, $1::int) i`,
		`insert into portalgate.addresses (tenant_id, user_id, account)
			select tenant, ` + userOf + `, portalgate.account(tenant, 'crowd' || i || '@bench.example') from at, generate_series(1, $1::int) i`,
		`insert into portalgate.credentials (user_id, tenant_id, phc, key_id, legacy_digest, changed_at)
			select ` + userOf + `, tenant, phc, key_id, legacy_digest, now() from at, generate_series(1, $1::int) i`,
		`insert into portalgate.sessions (id, tenant_id, user_id, choices, remember, amr, auth_time, created_at, last_active_at, idle_end, ends_at, agent, address)
			select ` + sessionOf + `, tenant, ` + userOf + `, array[` + userOf + `], false, '{pwd}', now(), now(), now(), now() + interval '10 hours', now() + interval '14 hours', '` + agent + `', '198.18.0.1'
			from at, generate_series(1, $1::int) i`,
		`insert into portalgate.refresh_tokens (digest, tenant_id, session_id, generation, key_id, created_at)
			select sha256(i::text::bytea), tenant, ` + sessionOf + `, 0, '', now() from at, generate_series(1, $1::int) i`,
		`vacuum analyze`,
	} {
		var args []any
		if strings.Contains(sql, "$1") {
			args = append(args, n)
		}
		if _, err := conn.Exec(ctx, sql, args...); err != nil {
			return "", fmt.Errorf("making %d people: %.60s: %w", n, sql, err)
		}
	}
	err = conn.QueryRow(ctx, `select tenant::text from at`).Scan(&tenant)
	return tenant, err
}

// mint gives a person of the crowd, counted from 1, an access token as the gateway would.
func mint(keys *secret.Keyring, tenant portal.TenantID, i int, now time.Time) (person, error) {
	p := person{id: portal.UserID(fmt.Sprintf("00000000-0000-4000-8000-%012x", i)), network: i}
	token, err := keys.SignAccess(secret.Access{Issuer: secret.Issuer, Audience: "customers", User: string(p.id), Tenant: string(tenant),
		Session: fmt.Sprintf("00000000-0000-4000-9000-%012x", i), AMR: []string{string(portal.AMRPassword)}, AuthTime: now.Unix(),
		IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: now.Add(portal.DefaultPolicy().AccessLife).Unix(), ID: portal.FormatID(secret.NewID())}, now)
	p.cookie = "__Host-portalgate=" + token
	return p, err
}

// crowded measures both gateways with the same number of people at them, once; the rows of P8 share it.
func (b *bench) crowded(ctx context.Context) (err error) {
	if err := b.gather(ctx); err != nil || b.crowd.rounds != nil {
		return err
	}
	c := b.crowd
	defer c.leave() // other rows have the core for themselves
	if c.many, err = c.start(ctx, "many", site{gated: true, admin: true}); err != nil {
		return err
	}
	if c.few, err = b.start(ctx, "few", site{gated: true}); err != nil {
		return err
	}
	tenant, err := populate(ctx, b.world, fewPeople)
	if err != nil {
		return err
	}
	if err := c.present(ctx, b.upstream); err != nil {
		return err
	}
	many, err := c.visits(c.many, c.world, c.tenant, c.n/fewPeople)
	if err != nil {
		return err
	}
	few, err := c.visits(c.few, b.world, tenant, 1)
	if err != nil {
		return err
	}
	targets := []*target{many, few}
	defer hangUp(targets)
	b.upstream.counts()
	for _, t := range targets { // each of them is known
		if err := everybody(t, fewPeople); err != nil {
			return err
		}
	}
	if c.rounds, err = b.alternate(ctx, targets); err != nil {
		return err
	}
	if c.rate, err = b.saturation(few); err != nil {
		return err
	}
	c.rate /= 2
	if c.lates, err = b.paced(ctx, targets, c.rate); err != nil {
		return err
	}
	if _, unnamed, wrong := b.upstream.counts(); unnamed+wrong > 0 {
		return fmt.Errorf("the upstream got %d requests without and %d with a wrong identity", unnamed, wrong)
	}
	return nil
}

// present has everybody come once, so that the gateway holds a million tokens. PostgreSQL has the other core meanwhile.
func (c *crowd) present(ctx context.Context, u *benchUpstream) error {
	keys, err := secret.Open(c.world.Environment["PORTALGATE_KEYRING"])
	if err != nil {
		return err
	}
	if err := pin(c.world.Postgres.PID(), c.load); err != nil {
		return err
	}
	before, err := c.many.heap(ctx)
	if err != nil {
		return err
	}
	for from, to := 0, min(c.n, knownPeople); from < c.n; from, to = to, c.n {
		var next atomic.Int64
		next.Store(int64(from))
		if _, err := everyone(callers(connections, c.many.addr), func(_ int, w *caller) (int, error) {
			defer w.close()
			for i := int(next.Add(1)); i <= to && ctx.Err() == nil; i = int(next.Add(1)) {
				p, err := mint(keys, c.tenant, i, time.Now())
				if err != nil {
					return 0, err
				}
				if a, err := w.ask(ask("/small/"+string(p.id), p.cookie, p.network)); err != nil || a.status != 200 || !bytes.Equal(a.body, u.small) {
					return 0, fmt.Errorf("person %d: status %d, %w", i, a.status, errors.Join(err))
				}
			}
			return 0, ctx.Err()
		}); err != nil {
			return err
		}
		if from == 0 {
			after, err := c.many.heap(ctx)
			if err != nil {
				return err
			}
			c.facts = (after - before) / float64(to) * knownPeople / (1 << 20)
		}
	}
	return pin(c.world.Postgres.PID(), c.measured)
}

// visits are of a thousand people, every so manieth of a world.
func (c *crowd) visits(g *gateway, w *demo.World, tenant portal.TenantID, every int) (*target, error) {
	keys, err := secret.Open(w.Environment["PORTALGATE_KEYRING"])
	if err != nil {
		return nil, err
	}
	requests := make([][]byte, fewPeople)
	now := time.Now()
	for i := range requests {
		p, err := mint(keys, tenant, 1+i*every, now)
		if err != nil {
			return nil, err
		}
		requests[i] = ask("/small/"+string(p.id), p.cookie, p.network)
	}
	var turn sync.Mutex
	at := 0
	next := func() []byte {
		turn.Lock()
		defer turn.Unlock()
		at = (at + 1) % len(requests)
		return requests[at]
	}
	return &target{g, load{
		callers: callers(connections, g.addr),
		ask:     func(int, int) []byte { return next() },
		right:   func(_ int, a answer) bool { return a.status == 200 && bytes.Equal(a.body, c.upstream.small) },
	}}, nil
}

// everybody asks so many times, so that whoever a target stands for has come once.
func everybody(t *target, n int) error {
	var next atomic.Int64
	_, err := everyone(t.load.callers, func(i int, w *caller) (int, error) {
		for k := next.Add(1); k <= int64(n); k = next.Add(1) {
			if a, err := w.ask(t.load.ask(i, 0)); err != nil || !t.load.right(i, a) {
				return 0, fmt.Errorf("%s, before the timed part: status %d, %w", t.g.name, a.status, errors.Join(err))
			}
		}
		return 0, nil
	})
	return err
}

func crowdThroughput(ctx context.Context, b *bench) (s series, note string, err error) {
	if err := b.crowded(ctx); err != nil {
		return nil, "", err
	}
	var many, few, cost series
	for _, r := range b.crowd.rounds {
		s = append(s, r[0].rate/r[1].rate)
		many, few, cost = append(many, r[0].rate), append(few, r[1].rate), append(cost, r[0].cpu/r[1].cpu)
	}
	return s, fmt.Sprintf("%.0f against %.0f requests a second, CPU %.3f; %d held against %d", many.median(), few.median(), cost.median(), b.crowd.n, fewPeople), nil
}

func crowdLateness(ctx context.Context, b *bench) (series, string, error) {
	if err := b.crowded(ctx); err != nil {
		return nil, "", err
	}
	s, many, few := ratios(b.crowd.lates)
	return s, fmt.Sprintf("%.0f against %.0f µs at %.0f requests a second", many.median(), few.median(), b.crowd.rate), nil
}

// heap is what a gateway's heap holds after a collection, in bytes, by its own profile.
func (g *gateway) heap(ctx context.Context) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/debug/pprof/heap?gc=1&debug=1", nil)
	if err != nil {
		return 0, fmt.Errorf("reading the heap: %w", err)
	}
	res, err := g.client().Do(req)
	if err != nil {
		return 0, fmt.Errorf("reading the heap: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, fmt.Errorf("reading the heap: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "# HeapAlloc = "); ok {
			var n float64
			_, err := fmt.Sscan(value, &n)
			return n, err
		}
	}
	return 0, errors.New("reading the heap: the profile does not say")
}
