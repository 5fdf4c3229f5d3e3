package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/portalgate/portalgate/internal/admission"
	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/factor"
	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/pages"
	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/ratelimit"
	"github.com/portalgate/portalgate/internal/revocation"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/upstream"
	"github.com/portalgate/portalgate/internal/whereabouts"
)

// world is everything that outlives a reload: connections, keys, limits, sessions, the feed. One world serves all
// configurations with the same settings.
type world struct {
	settings settings
	clock    atomic.Pointer[func() time.Time] // set by tests only, which move time by hand

	keys    *secret.Keyring
	store   *store.Store
	redis   redis.UniversalClient
	hasher  *password.Hasher
	breach  *breachWatch // nil: no source of stolen passwords
	limits  *ratelimit.Limiter
	memory  *memory
	ended   *revocation.Set
	keeper  *session.Keeper
	auth    *auth.Service
	site    *pages.Site
	prefix  upstream.Prefix
	stamper *upstream.Stamper
	streams *upstream.Streams
	refused *pages.Refusals
	hosts   *admission.Hosts
	feed    *revocation.Feed
	verdict *verdict
	letters chan struct{} // wakes the courier
	posts   posts         // how mail leaves: the configurations' that run, the newest last
	texts   texts         // the same for text messages

	used []string // parts to give back

	log    atomic.Pointer[zap.Logger]
	fit    *atomic.Bool          // the database has been judged fit; the verdict's
	why    atomic.Pointer[error] // the last complaint, for health
	judged chan struct{}         // closed when the database was asked for the first time
	once   sync.Once             // that

	plainPort atomic.Int64 // where a gate listens without TLS; 0: nowhere

	isCut atomic.Bool // neither server answers
	watch watch       // what was seen of the neighbours

	mu      sync.Mutex
	stop    context.CancelFunc
	running sync.WaitGroup
}

// memory is what is known of sessions: which are verified, what was read of them, and what has changed since. It belongs to
// a database, a keyring and a realm, whatever else is configured.
type memory struct {
	ended    *revocation.Set
	sessions *session.Memory
	position revocation.Position
}

// newWorld builds and dials nothing.
func newWorld(s settings, log *zap.Logger) (w *world, err error) {
	w = &world{settings: s, judged: make(chan struct{}), letters: make(chan struct{}, 1)}
	w.log.Store(log)
	half := w // a failed return sets w to nil
	defer func() {
		if err != nil {
			if back := half.giveBack(); back != nil {
				err = errors.Join(err, back)
			}
		}
	}()
	if err := w.furnish(s); err != nil {
		return nil, err
	}
	w.keeper = session.New(session.Options{Store: w.store, Keys: w.keys, Ended: w.ended, Policy: s.policy, Realm: s.realm, Now: w.now, CutOff: w.isCut.Load, Memory: w.memory.sessions})
	w.posts.builtIn, err = mail.BuiltIn()
	if err != nil {
		return nil, fmt.Errorf("portalgate: mail: %w", err)
	}
	var breaches password.Breaches
	if w.breach != nil {
		breaches = w.breach
	}
	w.auth = auth.New(auth.Deps{
		Keys: w.keys, Prefix: s.prefix, Tenant: w.hosts.Tenant, Origin: w.origin, Print: w.posts.Print, Mail: auth.Post{Sender: &w.posts, From: w.posts.From, Pace: w.posts.Pace}, Wake: w.wake,
		Text:    auth.Texts{Sender: &w.texts, Print: w.posts.PrintText, Possible: w.texts.possible},
		Methods: factor.All(w.keys.Codes(w.now)),
		Store:   w.store, Hasher: w.hasher, Breaches: breaches, Sessions: w.keeper, Limits: w.limits, Policy: s.policy, AnswerAfter: s.answerAfter, Now: w.now,
		Exempt: func(c portal.Client) bool { return holds(s.exempt, c.Addr) },
	})
	w.prefix = upstream.NewPrefix(s.headerPrefix)
	w.stamper = upstream.NewStamper(w.keys, w.prefix, s.audience, s.bearer)
	w.site, err = pages.New(pages.Options{
		Auth: w.auth, Sessions: w.keeper, Keys: w.keys, Prefix: s.prefix, Policy: s.policy, Now: w.now,
		Log: func() *zap.Logger { return w.log.Load() }, Refusals: w.refused,
	})
	if err != nil {
		return nil, fmt.Errorf("portalgate: pages: %w", err)
	}
	w.feed = &revocation.Feed{
		Source: revocation.Source{Changes: w.changes, Listen: w.store.Listen},
		Apply:  w.apply,
		First:  w.ended.All,
		From:   &w.memory.position,
		Failed: w.feedFailed,
	}
	return w, nil
}

// furnish takes the parts that a reload keeps.
func (w *world) furnish(s settings) (err error) {
	w.keys, err = use(w, "keyring", s.keyring, func() (*secret.Keyring, func(), error) {
		k, err := secret.Open(s.keyring)
		return k, func() {}, err
	})
	if err == nil {
		err = w.keys.Reload() // it may be another configuration's, read a while ago
	}
	if err != nil {
		return fmt.Errorf("portalgate: keyring: %w", err)
	}
	w.store, err = use(w, "database", fmt.Sprintf("%q %d %v", s.database, s.conns, s.plaintext), func() (*store.Store, func(), error) {
		x, err := store.Open(s.database, store.Options{MaxConns: s.conns, Plaintext: s.plaintext})
		return x, func() { x.Close() }, err
	})
	if err != nil {
		return fmt.Errorf("portalgate: database: %w", err)
	}
	w.store = w.store.WithLockout(s.policy.Lockout)
	if s.redis != "" {
		w.redis, err = use(w, "redis", fmt.Sprintf("%q %v", s.redis, s.plaintext), func() (redis.UniversalClient, func(), error) {
			c, err := openRedis(s.redis, s.plaintext)
			return c, func() { _ = c.Close() }, err // nothing is waiting for its answer any more
		})
		if err != nil {
			return fmt.Errorf("portalgate: redis: %w", err)
		}
	}
	w.hasher, err = use(w, "hashing", fmt.Sprintf("%d %q", s.slots, s.keyring), func() (*password.Hasher, func(), error) {
		var pepper password.Pepper
		if p := w.keys.Pepper(w.now); p != nil {
			pepper = p
		}
		h, err := password.New(password.Config{Slots: s.slots, Pepper: pepper})
		return h, func() {}, err
	})
	if err != nil {
		return fmt.Errorf("portalgate: hashing: %w", err)
	}
	if s.breach != nil {
		w.breach, err = use(w, "breach", s.breachKey, func() (*breachWatch, func(), error) {
			source, err := s.breach()
			return &breachWatch{Breaches: source}, func() { _ = closed(source) }, err // nothing was written
		})
		if err != nil {
			return complaints{bad("password breach", "%v", err)}
		}
	}
	w.limits, err = use(w, "limits", fmt.Sprintf("%q %v", s.redis, s.plaintext), func() (*ratelimit.Limiter, func(), error) {
		return ratelimit.New(w.redis, s.policy.Limits), func() {}, nil
	})
	if err != nil {
		return fmt.Errorf("portalgate: limits: %w", err)
	}
	w.limits = w.limits.With(s.policy.Limits)
	w.limits.Tell(func(err error) {
		if err != nil {
			w.log.Load().Warn("Redis does not answer; limits by network are kept by this process, at half their numbers", zap.Error(err))
			return
		}
		w.log.Load().Info("Redis answers again; limits by network are shared")
	})
	w.refused, err = use(w, "refusals", s.database, func() (*pages.Refusals, func(), error) {
		return pages.NewRefusals(), func() {}, nil
	})
	if err != nil {
		return fmt.Errorf("portalgate: refusals: %w", err)
	}
	w.verdict, err = use(w, "verdict", fmt.Sprintf("%q %q %v", s.database, s.keyring, s.plaintext), func() (*verdict, func(), error) {
		return new(verdict), func() {}, nil
	})
	if err != nil {
		return fmt.Errorf("portalgate: verdict: %w", err)
	}
	w.fit, w.hosts = &w.verdict.fit, &w.verdict.hosts
	w.memory, err = use(w, "memory", fmt.Sprintf("%q %q %v %q", s.database, s.keyring, s.plaintext, s.realm), func() (*memory, func(), error) {
		return &memory{ended: revocation.NewSet(2 * session.FactsLife), sessions: session.NewMemory(0, 0)}, func() {}, nil
	})
	if err != nil {
		return fmt.Errorf("portalgate: sessions: %w", err)
	}
	w.ended = w.memory.ended
	w.streams, err = use(w, "streams", s.database, func() (*upstream.Streams, func(), error) {
		return upstream.NewStreams(), func() {}, nil
	})
	if err != nil {
		return fmt.Errorf("portalgate: streams: %w", err)
	}
	return nil
}

// now is the time of everything in this world.
func (w *world) now() time.Time {
	if clock := w.clock.Load(); clock != nil {
		return (*clock)()
	}
	return time.Now()
}

func holds(nets []netip.Prefix, a netip.Addr) bool {
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// start begins to follow the database, once for all configurations that share the world. A database that answers and
// is unfit is an error; one that does not answer leaves the gate shut.
func (w *world) start(ctx context.Context, log *zap.Logger) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stop != nil && w.fit.Load() {
		return nil
	}
	err := w.judge(ctx)
	w.once.Do(func() { close(w.judged) })
	if err != nil && !errors.Is(err, store.ErrUnavailable) {
		return err
	}
	if w.stop != nil {
		return nil
	}
	if err != nil && !w.fit.Load() && w.othersAreServed(ctx) {
		return complaints{bad("database", "does not answer, while that of the configuration that runs does, which goes on; is it running, and is the address right? (%v)", err)}
	}
	run, stop := context.WithCancel(context.Background())
	w.stop = stop
	if err != nil {
		if w.fit.Load() {
			log.Error("the database does not answer; the gate goes on with what the last configuration knew", zap.Error(err))
		} else {
			log.Error("the database does not answer; the gate stays shut until it does", zap.Error(err))
		}
		w.running.Go(func() { w.retry(run) })
	}
	w.running.Go(func() { w.feed.Run(run) })
	w.running.Go(func() {
		w.keeper.Run(run, func(err error) { w.log.Load().Warn("writing session activity", zap.Error(err)) })
	})
	w.running.Go(func() {
		w.auth.Run(run, func(err error) { w.log.Load().Warn("writing counted refusals", zap.Error(err)) })
	})
	w.running.Go(func() { w.refresh(run) })
	w.running.Go(func() { w.courier(run) })
	w.running.Go(func() { w.sweepNowAndThen(run) })
	w.running.Go(func() { w.watchBoth(run) })
	return nil
}

// logTo has what the world says written where a configuration wants it.
func (w *world) logTo(log *zap.Logger) {
	w.log.Store(log)
	if w.breach != nil {
		w.breach.log.Store(log)
	}
}

// refresh reads the directory and the keyring again now and then: a change is announced, this is for what was missed.
func (w *world) refresh(ctx context.Context) {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	known, complaint := w.keys.Turn(), ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if w.fit.Load() {
			w.reload(ctx)
		}
		if err := w.keys.Reload(); err == nil {
			complaint = ""
		} else if text := err.Error(); text != complaint {
			complaint = text
			w.log.Load().Error("reading the keyring again; the keys already loaded go on", zap.Error(err))
		}
		if turn := w.keys.Turn(); turn != known && w.fit.Load() {
			if err := w.registerKeys(ctx); err != nil {
				w.log.Load().Error("noting the rotated keys in the database", zap.Error(err))
				continue
			}
			known = turn
			w.log.Load().Info("the keyring was read again", zap.Int("keys", len(w.keys.Keys())))
		}
	}
}

func (w *world) reload(ctx context.Context) {
	if err := w.directory(ctx); err != nil && ctx.Err() == nil {
		w.log.Load().Warn("reading the tenants again; those already known go on", zap.Error(err))
	}
}

func (w *world) changes(ctx context.Context, since uint64) (revocation.Reading, error) {
	rows, mark, err := w.store.Changes(ctx, since)
	r := revocation.Reading{Watermark: mark}
	for _, c := range rows {
		r.Changes = append(r.Changes, revocation.Change{ID: c.ID, Tenant: c.Tenant, Kind: revocation.Kind(c.Kind), Subject: c.Subject, At: c.At})
	}
	return r, err
}

// apply makes what has changed felt: facts are stale, sockets end, counts are forgotten, hosts are read again.
func (w *world) apply(changes []revocation.Change) {
	again := false
	for _, c := range changes {
		w.ended.Apply(c.Kind, c.Subject, w.now())
		w.streams.End(string(c.Kind), c.Subject)
		if raw, ok := portal.IDBytes(c.Subject); ok && c.Kind == revocation.KindLimits {
			w.limits.Forget(c.Tenant, whereabouts.Network(netip.AddrFrom16(raw)))
		}
		again = again || c.Kind == revocation.KindDirectory || c.Kind == revocation.KindTenant
	}
	if again && w.fit.Load() {
		w.reload(context.Background())
	}
}

func (w *world) feedFailed(err error) {
	if !w.fit.Load() {
		return // the gate is shut, as was said; nobody goes on
	}
	if err != nil {
		w.log.Load().Warn("asking for revocations; signed-in people go on, and will be asked about when it answers", zap.Error(err))
		return
	}
	w.log.Load().Info("revocations are followed again")
}

// Destruct ends the world when the last configuration that used it is gone.
func (w *world) Destruct() error {
	w.mu.Lock()
	stop := w.stop
	w.mu.Unlock()
	if stop != nil {
		stop()
		w.running.Wait()
		if err := errors.Join(w.keeper.Settle(context.Background()), w.auth.Settle(context.Background())); err != nil {
			w.log.Load().Warn("writing what was put off", zap.Error(err))
		}
	}
	return w.giveBack()
}

var (
	_ caddy.Destructor = (*world)(nil)
)
