package session

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/revocation"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
)

// Options are what a Keeper depends on.
type Options struct {
	Store  *store.Store
	Keys   *secret.Keyring
	Ended  *revocation.Set
	Policy portal.Policy
	Realm  string
	Now    func() time.Time

	// CutOff says that no server has answered for so long that a revocation could have been missed; then nothing
	// passes. Nil: never.
	CutOff func() bool

	// Memory is what is known of tokens and sessions, where other keepers of the same database, keyring and realm know it
	// too. It belongs with one Ended. Nil: this keeper's alone.
	Memory *Memory

	Verified int // access tokens held as verified; 0: two million
	Known    int // sessions whose facts are held; 0: 100,000
}

// Memory is what a keeper has found out by signatures and by asking. It outlives a keeper whose settings are replaced,
// so that a reload asks nobody anew.
type Memory struct {
	marks  *secret.Fingerprints
	tokens *table
	facts  *factsTable
	turn   atomic.Uint64 // of the keyring, when the table was last known to be good
}

// NewMemory makes an empty one, bounded as Options say.
func NewMemory(verified, known int) *Memory {
	if verified == 0 {
		verified = 2 << 20
	}
	if known == 0 {
		known = 100_000
	}
	return &Memory{marks: secret.NewFingerprints(), tokens: newTable(verified), facts: newFacts(known)}
}

// FactsLife is how long facts are believed without a word of change. The revocation set remembers changes for twice
// as long.
const FactsLife = 30 * time.Minute

// touchEvery is how often "last active" is written: once a minute, behind the request.
const touchEvery = time.Minute

// neighbourWait bounds every question to PostgreSQL (RL-08: nothing hangs longer than two seconds).
const neighbourWait = 2 * time.Second

// Keeper begins, resumes, renews and ends sessions. It may be used by many goroutines.
type Keeper struct {
	*Memory
	o       Options
	flights singleflight.Group
	later   chan func(context.Context) error
	counts  counts
	copied  func(context.Context, *store.Tx, *portal.Tenant, portal.Client, portal.User) error
	foreign func(*portal.Tenant, portal.Client)
}

// OnCopy sets who is told, in the same transaction, that a copied sign-in was stopped: the owner hears of it by mail. It
// is set before the first request.
func (k *Keeper) OnCopy(f func(context.Context, *store.Tx, *portal.Tenant, portal.Client, portal.User) error) {
	k.copied = f
}

// OnForeign sets who is told that a sign-in of another tenant was brought here, which no browser does by itself. It is set
// before the first request.
func (k *Keeper) OnForeign(f func(*portal.Tenant, portal.Client)) { k.foreign = f }

// New makes a Keeper.
func New(o Options) *Keeper {
	if o.Memory == nil {
		o.Memory = NewMemory(o.Verified, o.Known)
	}
	if o.CutOff == nil {
		o.CutOff = func() bool { return false }
	}
	return &Keeper{Memory: o.Memory, o: o, later: make(chan func(context.Context) error, 1024)}
}

// Run does what was put off behind requests until the context ends. Its errors go to failed; a lost "last active" is
// written again a minute later.
func (k *Keeper) Run(ctx context.Context, failed func(error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case act := <-k.later:
			if err := k.act(ctx, act); err != nil && ctx.Err() == nil {
				failed(err)
			}
		}
	}
}

// act is let finish when the keeper is stopped, like any question to the database.
func (k *Keeper) act(ctx context.Context, act func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), neighbourWait)
	defer cancel()
	return act(ctx)
}

// Settle does what was put off so far, and returns what went wrong: a program that stops owes it to its database.
func (k *Keeper) Settle(ctx context.Context) error {
	var all []error
	for {
		select {
		case act := <-k.later:
			all = append(all, k.act(ctx, act))
		default:
			return errors.Join(all...)
		}
	}
}

// putOff says whether an act was put off. It is not while the queue is full: a busy minute, after which the next
// request puts it off again.
func (k *Keeper) putOff(act func(context.Context) error) bool {
	select {
	case k.later <- act:
		return true
	default:
		return false
	}
}

// Resumed is a request with a session.
type Resumed struct {
	Facts *Facts
	Grant *Grant // set when the session was renewed: the answer carries new cookies
}

func problem(kind portal.ProblemKind, public string, err error) *portal.Problem {
	return &portal.Problem{Kind: kind, Public: public, Err: err}
}

var errNoSession = problem(portal.ProblemSessionRequired, "Please sign in.", nil)

var errCutOff = errors.New("no server answers, and a revocation could have been missed")

func errEnded(cause error) error {
	return problem(portal.ProblemSessionExpired, "You have been signed out. Please sign in again.", cause)
}

func unavailable(err error) error {
	return &portal.Problem{Kind: portal.ProblemUnavailable, Public: "You are still signed in. This page is back soon.", RetryAfter: 5 * time.Second, Err: err}
}

// Resume finds the session of a request. renewable says whether the answer may carry cookies (contract 5: any
// request but public paths and HEAD). The warm road asks no server and allocates nothing.
func (k *Keeper) Resume(ctx context.Context, t *portal.Tenant, c Cookies, who portal.Client, renewable bool) (Resumed, error) {
	if c.Access == "" && c.Refresh == "" {
		return Resumed{}, errNoSession
	}
	if k.o.CutOff() {
		return Resumed{}, unavailable(errCutOff)
	}
	now := who.At
	v, err := k.verify(c.Access, t.ID, now)
	if err == nil {
		left := v.expires - now.Unix()
		if !renewable || c.Refresh == "" || left > int64(k.o.Policy.RenewBefore/time.Second) {
			f, err := k.know(ctx, t, v, now)
			if err != nil {
				return Resumed{}, err
			}
			if v.user == f.user {
				k.touch(t.ID, f, who, now)
				return Resumed{Facts: f}, nil
			}
			// Another company was chosen since: the token names somebody else and must be renewed.
		}
	}
	if k.foreign != nil && errors.Is(err, secret.ErrForeign) {
		k.foreign(t, who)
	}
	r, rerr := k.renew(ctx, t, c, who, renewable)
	if rerr == nil {
		return r, nil
	}
	var p *portal.Problem
	if err == nil && errors.As(rerr, &p) && p.Kind != portal.ProblemSessionExpired {
		// The access token is still good: PostgreSQL being away for a moment signs nobody out. It was waited for already.
		f := k.held(v, now)
		if f == nil && p.Kind != portal.ProblemUnavailable {
			f, _ = k.know(ctx, t, v, now) // the refresh token's error is the answer then
		}
		if f != nil && v.user == f.user {
			return Resumed{Facts: f}, nil
		}
	}
	if c.Refresh == "" && errors.Is(err, secret.ErrExpired) {
		return Resumed{}, errEnded(errors.New("nothing is left of the session but a token that has expired"))
	}
	return Resumed{}, rerr
}

// alone is the context of a question whose answer others may be waiting for too: it outlives the request that began it,
// and not the time which that request has for neighbours.
func alone(ctx context.Context) (context.Context, context.CancelFunc) {
	wait := neighbourWait
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end))
	}
	return context.WithTimeout(context.WithoutCancel(ctx), wait)
}

// verify says whose access token this is: from the table, or by its signature, once.
func (k *Keeper) verify(token string, t portal.TenantID, now time.Time) (verified, error) {
	d, ok := k.marks.Of(token)
	if token == "" || !ok {
		return verified{}, secret.ErrInvalid
	}
	// After a leak the old key ends in that moment, and what it signed must not live on in our memory.
	turn := k.o.Keys.Turn()
	if turn != k.turn.Load() {
		k.tokens.clear()
		k.turn.Store(turn)
	}
	tenant, _ := portal.IDBytes(t)
	if v, ok := k.tokens.get(d); ok {
		if v.tenant != tenant {
			return verified{}, secret.ErrForeign
		}
		switch {
		case v.expires <= now.Unix():
			return v, secret.ErrExpired
		case v.expires > now.Add(k.o.Policy.AccessLife+secret.ClockSkew).Unix():
			// The clock was set back: this token is from the future, and would live on until it came round again.
			return verified{}, secret.ErrInvalid
		}
		return v, nil
	}
	a, err := k.o.Keys.VerifyAccess(token, k.o.Realm, string(t), now)
	if err != nil {
		return verified{}, err
	}
	v, ok := entry(a)
	if !ok {
		return verified{}, secret.ErrInvalid
	}
	k.tokens.put(d, v, now)
	if k.o.Keys.Turn() != turn { // the keys changed while this one was being checked
		k.tokens.drop(d)
	}
	if a.Generation > 0 {
		k.presented(t, portal.SessionID(a.Session), a.Generation, d, now)
	}
	return v, nil
}

// presented notes, behind the request, that an access token was seen for the first time: this proves that the successor
// it was made with has arrived, and from here on its predecessor is spent (contract 5). Where that cannot be noted the
// token is forgotten, so that its next use tries again: an unspent predecessor would be of use to a thief.
func (k *Keeper) presented(t portal.TenantID, id portal.SessionID, generation int, token secret.Fingerprint, now time.Time) {
	noted := k.putOff(func(ctx context.Context) error {
		err := k.o.Store.Within(ctx, t, now, func(x *store.Tx) error { return x.Presented(ctx, id, generation) })
		if err != nil {
			k.tokens.drop(token)
		}
		return err
	})
	if !noted {
		k.tokens.drop(token)
	}
}

func entry(a secret.Access) (v verified, ok bool) {
	var a1, a2, a3 bool
	v.session, a1 = portal.IDBytes(a.Session)
	v.user, a2 = portal.IDBytes(a.User)
	v.tenant, a3 = portal.IDBytes(a.Tenant)
	v.expires, v.generation = a.Expires, int32(a.Generation)
	return v, a1 && a2 && a3
}

// held returns the facts of a session that are held, when nothing has changed since they were read; else nil.
func (k *Keeper) held(v verified, now time.Time) *Facts {
	// Facts from the future are of a clock that was set back since: what has changed is remembered by that clock too.
	if f := k.facts.get(v.session); f != nil && now.Sub(f.read) < FactsLife && now.Sub(f.read) > -secret.ClockSkew {
		epoch := k.o.Ended.Epoch()
		at := f.epoch.Load()
		if at == epoch {
			return f
		}
		// Asked with the user of the facts and of the token: either may be the one that changed.
		if !k.o.Ended.Since(at, v.session, f.user, v.tenant) && !k.o.Ended.Since(at, v.session, v.user, v.tenant) {
			f.epoch.CompareAndSwap(at, epoch)
			return f
		}
	}
	return nil
}

// know returns the facts of a session: those held, or else PostgreSQL's.
func (k *Keeper) know(ctx context.Context, t *portal.Tenant, v verified, now time.Time) (*Facts, error) {
	if f := k.held(v, now); f != nil {
		return f, nil
	}
	id := portal.FormatID(v.session)
	got, err, _ := k.flights.Do("facts "+string(t.ID)+id, func() (any, error) {
		ctx, cancel := alone(ctx)
		defer cancel()
		return k.read(ctx, t, portal.SessionID(id), now)
	})
	if err != nil {
		var p *portal.Problem
		if errors.As(err, &p) && p.Kind == portal.ProblemSessionExpired {
			k.counts.ended.Add(1)
			k.facts.drop(v.session)
		}
		return nil, err
	}
	return got.(*Facts), nil
}

// read asks PostgreSQL about a session.
func (k *Keeper) read(ctx context.Context, t *portal.Tenant, id portal.SessionID, now time.Time) (*Facts, error) {
	epoch := k.o.Ended.Epoch() // before the question: a change that comes during it makes the answer stale
	row, err := k.o.Store.Facts(ctx, t.ID, id, now)
	k.counts.read.Add(1)
	switch {
	case errors.Is(err, store.ErrNone):
		return nil, errEnded(err)
	case err != nil:
		return nil, unavailable(err)
	}
	if alive, why := row.Session.Alive(now); !alive {
		return nil, errEnded(fmt.Errorf("session ended: %s", why))
	}
	if row.TenantSuspended || !row.User.Active || !row.User.Verified {
		return nil, errEnded(fmt.Errorf("user may not be here: %s", row.User.Blocked))
	}
	return k.hold(t, row.Session, row.User, epoch, now), nil
}

// hold keeps facts that were just read.
func (k *Keeper) hold(t *portal.Tenant, s portal.Session, u portal.User, epoch uint64, now time.Time) *Facts {
	f := &Facts{Session: s, User: u, read: now, Identity: portal.Identity{
		Tenant: t.ID, Slug: t.Slug, User: u.ID, Email: u.Email, Name: u.Name(), Roles: []portal.Role{u.Role},
		Session: s.ID, AMR: s.AMR, AuthTime: s.AuthTime, MFAAt: s.MFAAt, Language: u.Language,
	}}
	if !u.OwnCompany {
		f.Identity.Customer = u.Customer
	}
	f.user, _ = portal.IDBytes(s.User)
	f.epoch.Store(epoch)
	f.touched.Store(s.LastActive.Unix())
	if id, ok := portal.IDBytes(s.ID); ok {
		k.facts.put(id, f)
	}
	return f
}

// touch writes "last active" behind the request, once a minute.
func (k *Keeper) touch(t portal.TenantID, f *Facts, who portal.Client, now time.Time) {
	last := f.touched.Load()
	if now.Unix()-last < int64(touchEvery/time.Second) || !f.touched.CompareAndSwap(last, now.Unix()) {
		return
	}
	idle, _ := k.o.Policy.Lives(f.Session.Remember)
	id := f.Session.ID
	k.putOff(func(ctx context.Context) error {
		return k.o.Store.Within(ctx, t, now, func(x *store.Tx) error {
			return x.Touch(ctx, id, now.Add(idle), who.Addr, who.Agent)
		})
	})
}

// Forget makes this gateway ask PostgreSQL again before the next request of a session; called by the deed itself, so
// that it is felt here at once and not when the note comes round.
func (k *Keeper) Forget(now time.Time, ids ...portal.SessionID) {
	for _, id := range ids {
		k.o.Ended.Apply(revocation.KindSession, string(id), now)
	}
}
