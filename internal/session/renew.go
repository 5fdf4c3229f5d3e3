package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
)

// Beginning is what a new session starts from.
type Beginning struct {
	User     portal.User
	Choices  []portal.UserID
	Device   portal.DeviceID
	Remember bool
	AMR      []portal.AMR
	MFAAt    time.Time // when a second proof that counts was shown; zero: none was
	End      time.Time // not later than this; zero: as the policy says. Who shows more does not stay longer (REF-05)
}

// Begin makes a session in the caller's transaction and returns the cookies for it. The sessions that had to end for
// it are returned too: the caller passes them to Forget once the transaction is committed.
func (k *Keeper) Begin(ctx context.Context, x *store.Tx, t *portal.Tenant, who portal.Client, b Beginning) (Grant, []portal.SessionID, error) {
	now := who.At
	idle, absolute := k.o.Policy.Lives(b.Remember)
	s := portal.Session{
		ID: portal.SessionID(portal.FormatID(secret.NewID())), Tenant: t.ID, User: b.User.ID, Choices: b.Choices, Device: b.Device,
		Remember: b.Remember, AMR: b.AMR, AuthTime: now, MFAAt: b.MFAAt, CreatedAt: now, LastActive: now,
		IdleEnd: now.Add(idle), End: now.Add(absolute), Agent: who.Agent, Address: who.Addr,
	}
	if !b.End.IsZero() {
		s.End = earlier(s.End, b.End)
	}
	s.IdleEnd = earlier(s.IdleEnd, s.End)
	first := secret.NewRefresh()
	ended, err := x.BeginSession(ctx, s, first.Digest(string(t.ID)), k.o.Keys.RefreshKey(now), k.o.Policy.SessionsPerUser)
	if err != nil {
		return Grant{}, nil, fmt.Errorf("beginning a session: %w", err)
	}
	g, err := k.grant(t, s, first, 0, now)
	return g, ended, err
}

// grant makes the cookies of a session at a generation.
func (k *Keeper) grant(t *portal.Tenant, s portal.Session, r secret.Refresh, generation int, now time.Time) (Grant, error) {
	a := secret.Access{
		Issuer: secret.Issuer, Audience: k.o.Realm, User: string(s.User), Tenant: string(t.ID), Session: string(s.ID),
		AuthTime: s.AuthTime.Unix(), IssuedAt: now.Unix(), NotBefore: now.Unix(), Millis: now.Nanosecond() / 1e6,
		Expires: earlier(now.Add(k.o.Policy.AccessLife), s.End).Unix(), ID: portal.FormatID(secret.NewID()), Generation: generation,
	}
	for _, m := range s.AMR {
		a.AMR = append(a.AMR, string(m))
	}
	if !s.MFAAt.IsZero() {
		a.MFAAt = s.MFAAt.Unix()
	}
	access, err := k.o.Keys.SignAccess(a, now)
	if err != nil {
		return Grant{}, err
	}
	refresh, err := k.o.Keys.RevealRefresh(r, string(t.ID), now)
	if err != nil {
		return Grant{}, err
	}
	if v, ok := entry(a); ok && generation == 0 {
		// Later generations go through verify once, which is how their arrival is noticed.
		if d, ok := k.marks.Of(access); ok {
			k.tokens.put(d, v, now)
		}
	}
	return Grant{Session: s, Access: access, Refresh: refresh, Until: s.End}, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// renew replaces the refresh token and makes a new access token. Parallel requests get the same successor, on every
// gateway, because it is derived. A token that comes back after its successor was in use ends the family.
func (k *Keeper) renew(ctx context.Context, t *portal.Tenant, c Cookies, who portal.Client, renewable bool) (Resumed, error) {
	now := who.At
	presented, err := k.o.Keys.ParseRefresh(c.Refresh, string(t.ID), now)
	if err != nil {
		return Resumed{}, errNoSession
	}
	if who.Device == "" {
		who.Device = c.Known(t.ID)
	}
	d := presented.Digest(string(t.ID))
	// The binding is part of the key: a thief's request must not ride on the owner's answer.
	flight := fmt.Sprintf("renew %s %x %v %q %q", t.ID, d, renewable, who.Device, who.Agent)
	got, err, _ := k.flights.Do(flight, func() (any, error) {
		ctx, cancel := alone(ctx)
		defer cancel()
		return k.rotate(ctx, t, presented, d, who, renewable)
	})
	if err != nil {
		return Resumed{}, err
	}
	return got.(Resumed), nil
}

func (k *Keeper) rotate(ctx context.Context, t *portal.Tenant, presented secret.Refresh, d secret.Digest, who portal.Client, renewable bool) (Resumed, error) {
	now := who.At
	epoch := k.o.Ended.Epoch()
	var (
		ref        store.Refresh
		next       secret.Refresh
		generation int
		refused    error
	)
	err := k.o.Store.Within(ctx, t.ID, now, func(x *store.Tx) (err error) {
		refused = nil
		if ref, err = x.Refresh(ctx, d); errors.Is(err, store.ErrNone) {
			refused = errNoSession
			return nil
		} else if err != nil {
			return err
		}
		if alive, why := ref.Session.Alive(now); !alive {
			refused = errEnded(fmt.Errorf("session ended: %s", why))
			return nil
		}
		if ref.TenantSuspended || !ref.User.Active || !ref.User.Verified {
			refused = errEnded(fmt.Errorf("user may not be here: %s", ref.User.Blocked))
			return nil
		}
		if ref.ReplacedAt.IsZero() {
			if err = x.Presented(ctx, ref.Session.ID, ref.Generation); err != nil {
				return err
			}
		} else if seen := ref.SuccessorPresentedAt; !seen.IsZero() && (now.Sub(seen) > k.o.Policy.RefreshGrace || !bound(ref, who)) {
			refused = errEnded(errors.New("a replaced refresh token came back"))
			return k.reused(ctx, x, t, ref, who)
		}
		if !renewable {
			// The answer may not carry cookies (a HEAD request): the session is good, and stays as it is.
			return nil
		}
		if next, err = k.o.Keys.Successor(presented, ref.KeyID, string(ref.Session.ID), now); err != nil {
			return err
		}
		generation = ref.Generation + 1
		if ref.ReplacedAt.IsZero() {
			ok, err := x.ReplaceRefresh(ctx, ref.Session.ID, d, next.Digest(string(t.ID)), k.o.Keys.RefreshKey(now))
			if err != nil {
				return err
			}
			if !ok {
				return errors.New("refresh token was replaced under the family's lock")
			}
			idle, _ := k.o.Policy.Lives(ref.Session.Remember)
			return x.Touch(ctx, ref.Session.ID, now.Add(idle), who.Addr, who.Agent)
		}
		return nil
	})
	switch {
	case err != nil:
		return Resumed{}, unavailable(err)
	case refused != nil:
		if ref.Session.ID != "" {
			k.Forget(now, ref.Session.ID)
		}
		return Resumed{}, refused
	}
	s := ref.Session
	s.LastActive = now
	f := k.hold(t, s, ref.User, epoch, now)
	if !renewable {
		return Resumed{Facts: f}, nil
	}
	g, err := k.grant(t, s, next, generation, now)
	if err != nil {
		return Resumed{}, unavailable(err)
	}
	k.counts.renewed.Add(1)
	return Resumed{Facts: f, Grant: &g}, nil
}

// reused ends the family of a replaced token that came back: one of the two who have it is not the owner, and nobody
// can tell which.
func (k *Keeper) reused(ctx context.Context, x *store.Tx, t *portal.Tenant, ref store.Refresh, who portal.Client) error {
	k.counts.reused.Add(1)
	if _, err := x.EndSession(ctx, ref.Session.ID, portal.EndReuse); err != nil {
		return err
	}
	if k.copied != nil {
		if err := k.copied(ctx, x, t, who, ref.User); err != nil {
			return err
		}
	}
	return x.Record(ctx, portal.Activity{
		Verb: portal.VerbTokenReuse, User: ref.User.ID, Session: ref.Session.ID, Addr: who.Addr, Agent: who.Agent, At: who.At,
		Result: "refused", Suspicious: true, Note: "a sign-in that was already renewed was used again: its copy may be in other hands",
	})
}

// bound says whether a request comes from the browser that the session began in: by the device cookie, and where
// either side has none by the agent's name.
func bound(ref store.Refresh, who portal.Client) bool {
	if who.Device != "" && len(ref.DeviceDigest) > 0 {
		return secret.Equal([]byte(who.Device), ref.DeviceDigest)
	}
	return who.Agent == ref.Session.Agent
}

// Current is the session a request stands in, without renewing it: for sign-out, which must work with an access token
// that has expired and with either cookie alone.
func (k *Keeper) Current(ctx context.Context, t *portal.Tenant, c Cookies, now time.Time) (portal.SessionID, error) {
	v, err := k.verify(c.Access, t.ID, now)
	if err == nil || errors.Is(err, secret.ErrExpired) && v.session != [16]byte{} {
		return portal.SessionID(portal.FormatID(v.session)), nil
	}
	if errors.Is(err, secret.ErrExpired) {
		if a, err := k.o.Keys.VerifyAccess(c.Access, k.o.Realm, string(t.ID), now); errors.Is(err, secret.ErrExpired) {
			return portal.SessionID(a.Session), nil
		}
	}
	presented, err := k.o.Keys.ParseRefresh(c.Refresh, string(t.ID), now)
	if err != nil {
		return "", errNoSession
	}
	var id portal.SessionID
	err = k.o.Store.Within(ctx, t.ID, now, func(x *store.Tx) error {
		ref, err := x.Refresh(ctx, presented.Digest(string(t.ID)))
		id = ref.Session.ID
		return err
	})
	switch {
	case errors.Is(err, store.ErrNone):
		return "", errNoSession
	case err != nil:
		return "", unavailable(err)
	}
	return id, nil
}

// Regrant makes new cookies for a session that was changed by its owner: another company, a second factor. It goes
// the way of every renewal, so the refresh token that came with the request is spent.
func (k *Keeper) Regrant(ctx context.Context, t *portal.Tenant, c Cookies, who portal.Client) (Grant, error) {
	r, err := k.renew(ctx, t, c, who, true)
	if err != nil {
		return Grant{}, err
	}
	return *r.Grant, nil
}
