package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
)

// decision runs the benchmark of package ratelimit: a plain rate and the failures of a network, where this process
// decides alone. The slower of the two counts.
func decision(ctx context.Context, b *bench) (series, string, error) {
	text, err := b.benchmark(ctx, "ratelimit", "BenchmarkDecisionInProcess")
	if err != nil {
		return nil, "", err
	}
	return readDecisions(text)
}

func readDecisions(text string) (s series, note string, err error) {
	all, err := readBenchmarks(text, "BenchmarkDecisionInProcess")
	if err != nil {
		return nil, "", err
	}
	var rates, failures, whole series
	for _, one := range all {
		ns, ok := one.figures["ns/op"]
		switch {
		case !ok:
			return nil, "", fmt.Errorf("reading a benchmark: %s says %v", one.name, one.figures)
		case one.name == "rate":
			rates = append(rates, ns)
		case strings.HasPrefix(one.name, "stranger"):
			failures = append(failures, ns)
		default:
			whole = append(whole, ns)
		}
	}
	if len(rates) == 0 || len(rates) != len(failures) || len(whole) == 0 {
		return nil, "", fmt.Errorf("the benchmark said nothing that can be read:\n%s", text)
	}
	for i := range rates {
		s = append(s, max(rates[i], failures[i]))
	}
	return s, fmt.Sprintf("a rate %.0f ns, the failures of a network %.0f ns; all that one sign-in asks, counted and settled, %.0f ns", rates.median(), failures.median(), whole.median()), nil
}

// refusals compares a POST that the gate refuses for what it is with Caddy's own answer to the same POST: what is left
// is the gate's work before any limit or any check of a password. The most expensive kind counts.
func refusals(ctx context.Context, b *bench) (s series, note string, err error) {
	plain, err := b.start(ctx, "answering", site{answers: `respond "[]"`})
	if err != nil {
		return nil, "", err
	}
	defer plain.stop()
	kinds := []struct {
		name, path, site, body string
		status                 int
		code                   string
	}{
		{"from another site", "/auth/login", "cross-site", `{"email":"ann@buyer.example","password":"wrong"}`, 403, `"cross_site"`},
		{"not signed in", "/orders", "same-origin", `{"query":"pallets"}`, 401, `"session_required"`},
		{"an address that is none", "/auth/login", "same-origin", `{"email":"nobody","password":"wrong"}`, 422, `"field":"email"`},
		{"a password of 129 characters", "/auth/login", "same-origin", `{"email":"ann@buyer.example","password":"` + strings.Repeat("p", 129) + `"}`, 422, `"field":"password"`},
		{"a password of 60 KB", "/auth/login", "same-origin", `{"email":"ann@buyer.example","password":"` + strings.Repeat("p", 60<<10) + `"}`, 413, `"too_large"`},
		{"a password of 15 KB", "/auth/login", "same-origin", `{"email":"ann@buyer.example","password":"` + strings.Repeat("p", 15<<10) + `"}`, 422, `"field":"password"`},
	}
	var targets []*target
	for _, k := range kinds {
		for _, g := range []*gateway{b.gate, plain} {
			requests := make([][]byte, connections)
			for i := range requests {
				requests[i] = post(i, k.path, k.site, k.body)
			}
			targets = append(targets, &target{g, load{
				callers: callers(connections, g.addr),
				ask:     func(i, _ int) []byte { return requests[i] },
				right: func(_ int, a answer) bool {
					return g == plain && a.status == 200 || a.status == k.status && bytes.Contains(a.body, []byte(k.code))
				},
			}})
		}
	}
	defer hangUp(targets)
	rounds, err := b.alternate(ctx, targets)
	if err != nil {
		return nil, "", err
	}
	each := make([]series, len(kinds))
	for _, r := range rounds {
		worst := 0.0
		for i := range kinds {
			work := r[2*i].cpu - r[2*i+1].cpu
			each[i], worst = append(each[i], work), max(worst, work)
		}
		s = append(s, worst)
	}
	var notes []string
	for i, k := range kinds {
		notes = append(notes, fmt.Sprintf("%s %.1f", k.name, each[i].median()))
	}
	return s, strings.Join(notes, ", ") + " µs beyond an answer of Caddy's own", nil
}

// post is what a script sends.
func post(network int, path, site, body string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\n", path, benchHost)
	browser(&b, network)
	b = *bytes.NewBuffer(bytes.Replace(b.Bytes(), []byte("Sec-Fetch-Site: same-origin"), []byte("Sec-Fetch-Site: "+site), 1))
	fmt.Fprintf(&b, "Accept: application/json\r\nOrigin: https://%s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", benchHost, len(body), body)
	return b.Bytes()
}
