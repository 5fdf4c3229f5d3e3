package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
)

// guesses lets very many guess at the same moment, half at each of two gateways, and compares how many guesses were
// checked with how many may be: at many accounts from one network, which Redis counts, and at one account from many
// networks, which PostgreSQL counts. A guess that was checked is one that was hashed, by the gateways' own account.
func guesses(ctx context.Context, b *bench) (s series, note string, err error) {
	here, there, stop, err := b.twins(ctx, nil)
	if err != nil {
		return nil, "", err
	}
	defer stop()
	crowd := 60
	if b.brief {
		crowd = 30
	}
	kinds := []struct {
		name  string
		limit int
		guess func(round, i int) (email string, network int)
	}{
		{"accounts from one network", portal.DefaultLimits().Network, func(round, i int) (string, int) {
			return fmt.Sprintf("spray%d-%d@bench.example", round, i), 20_000 + round
		}},
		{"tries at one account", portal.FreeFailures + 1, func(round, i int) (string, int) {
			return fmt.Sprintf("target%d@bench.example", round), 30_000 + round*crowd + i
		}},
	}
	admitted := make([]int, len(kinds))
	for round := range b.rounds {
		worst := 1.0
		for k, kind := range kinds {
			if err := ctx.Err(); err != nil {
				return nil, "", err
			}
			n, err := b.guess(ctx, []*gateway{here, there}, crowd, func(i int) []byte {
				email, network := kind.guess(round, i)
				return post(network, "/auth/login", "same-origin", `{"email":"`+email+`","password":"not the right one"}`)
			})
			if err != nil {
				return nil, "", fmt.Errorf("%s: %w", kind.name, err)
			}
			if n < kind.limit {
				return nil, "", fmt.Errorf("%s: %d of %d guesses were checked, and %d may be", kind.name, n, crowd, kind.limit)
			}
			admitted[k] += n
			if ratio := float64(n) / float64(kind.limit); math.Abs(ratio-1) > math.Abs(worst-1) {
				worst = ratio
			}
		}
		s = append(s, worst)
	}
	for k, kind := range kinds {
		note += fmt.Sprintf("%s: %d checked of %d in parallel, %d may be; ", kind.name, admitted[k], crowd*b.rounds, kind.limit*b.rounds)
	}
	return s, strings.TrimSuffix(note, "; "), nil
}

// guess sends guesses at the same moment, and again where a gateway was too busy to decide; it returns how many were
// checked.
func (b *bench) guess(ctx context.Context, gateways []*gateway, n int, request func(i int) []byte) (checked int, err error) {
	hashed := func() (all int, err error) {
		for _, g := range gateways {
			one, e := g.metric(ctx, `portalgate_hashed_total{result="done"}`)
			all, err = all+int(one), errors.Join(err, e)
		}
		return all, err
	}
	before, err := hashed()
	if err != nil {
		return 0, err
	}
	var all sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		all.Go(func() {
			c := caller{addr: gateways[i%len(gateways)].addr}
			defer c.close()
			for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
				a, err := c.ask(request(i))
				switch {
				case err != nil:
					errs[i] = err
				case a.status == 503 && time.Since(began) < 30*time.Second:
					continue
				case a.status != 401 && a.status != 429:
					errs[i] = fmt.Errorf("a guess was answered %d: %.200s", a.status, a.body)
				}
				return
			}
		})
	}
	all.Wait()
	after, err := hashed()
	return after - before, errors.Join(append(errs, err)...)
}

// client speaks to a gateway's admin endpoint, each time on a connection of its own: a reload replaces the endpoint.
func (g *gateway) client() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", g.socket)
	}}}
}

// metric reads one figure of a gateway's own.
func (g *gateway) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/metrics", nil)
	if err != nil {
		return 0, fmt.Errorf("reading metrics: %w", err)
	}
	res, err := g.client().Do(req)
	if err != nil {
		return 0, fmt.Errorf("reading metrics: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, fmt.Errorf("reading metrics: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("reading metrics: the %s gateway has no %s", g.name, name)
}
