package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portalgate/portalgate/internal/demo/servers"
)

// twins starts two gateways in front of the same servers.
func (b *bench) twins(ctx context.Context, env map[string]string) (here, there *gateway, stop func(), err error) {
	s := site{gated: true, admin: true, env: env}
	if here, err = b.start(ctx, "here", s); err != nil {
		return nil, nil, nil, err
	}
	if there, err = b.start(ctx, "there", s); err != nil {
		here.stop()
		return nil, nil, nil, err
	}
	return here, there, func() { here.stop(); there.stop() }, nil
}

// endings is how long a session that is ended at one gateway passes at another, with everything as it should be.
func endings(ctx context.Context, b *bench) (series, string, error) {
	here, there, stop, err := b.twins(ctx, nil)
	if err != nil {
		return nil, "", err
	}
	defer stop()
	each := 40
	if b.brief {
		each = 5
	}
	return b.endings(ctx, here, there, each)
}

// endingsCut is the same after Redis has gone. Endings are told by PostgreSQL, so that this holds what would be easy to
// lose: that they do not come to depend on Redis.
func endingsCut(ctx context.Context, b *bench) (s series, note string, err error) {
	redis, err := servers.StartRedis(ctx, servers.Options{})
	if err != nil {
		return nil, "", err
	}
	defer redis.Close()
	here, there, stop, err := b.twins(ctx, map[string]string{"PORTALGATE_REDIS_URL": redis.URL()})
	if err != nil {
		return nil, "", err
	}
	defer stop()
	if err := b.signInAt(here, b.people[:1]); err != nil { // they have used it
		return nil, "", err
	}
	redis.Close()
	each := 8
	if b.brief {
		each = 3
	}
	return b.endings(ctx, here, there, each)
}

// endings ends sessions one after the other. The time is from the moment in which the request to sign out leaves, so
// the deed itself is part of it, to the first refusal at the other gateway, which is asked twice in each millisecond.
func (b *bench) endings(ctx context.Context, here, there *gateway, each int) (s series, note string, err error) {
	people := b.people[connections : connections+min(each, len(b.people)-connections)]
	leaving, staying := caller{addr: here.addr}, caller{addr: there.addr}
	defer leaving.close()
	defer staying.close()
	var deeds series
	for range b.rounds {
		if err := b.signInAt(here, people); err != nil {
			return nil, "", err
		}
		for i := range people {
			if err := ctx.Err(); err != nil {
				return nil, "", err
			}
			took, deed, err := people[i].end(&leaving, &staying)
			if err != nil {
				return nil, "", fmt.Errorf("ending %d: %w", len(s)+1, err)
			}
			s, deeds = append(s, took), append(deeds, deed)
		}
	}
	return s, fmt.Sprintf("%d endings, median %.1f ms, the slowest %.1f ms; the deed itself, until it was answered, %.1f ms", len(s), s.median(), s.quantile(1), deeds.median()), nil
}

// end ends a session at one gateway and watches another; both times are in milliseconds.
func (p *person) end(leaving, staying *caller) (refused, done float64, err error) {
	read := ask("/small/"+string(p.id), p.cookie, p.network)
	if a, err := staying.ask(read); err != nil || a.status != 200 {
		return 0, 0, fmt.Errorf("before the deed, at the other gateway: status %d, %w", a.status, errors.Join(err))
	}
	answered := make(chan error, 1)
	began := time.Now()
	go func() {
		a, err := leaving.ask(p.signOut())
		if done = since(began); err == nil && a.status != 303 {
			err = fmt.Errorf("signing out: status %d: %.200s", a.status, a.body)
		}
		answered <- err
	}()
	for refused == 0 && err == nil && time.Since(began) < 10*time.Second {
		var a answer
		switch a, err = staying.ask(read); {
		case err == nil && a.status == 401:
			refused = since(began)
		case err == nil && a.status != 200:
			err = fmt.Errorf("at the other gateway: status %d", a.status)
		default:
			time.Sleep(time.Second / 2000)
		}
	}
	if err = errors.Join(err, <-answered); err == nil && refused == 0 {
		err = errors.New("the session still passes at the other gateway")
	}
	return refused, done, err
}

func since(at time.Time) float64 { return float64(time.Since(at).Microseconds()) / 1e3 }
