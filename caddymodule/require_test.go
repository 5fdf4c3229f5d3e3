package caddymodule

import (
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

func TestAFreshnessIsATimeAndPaths(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		within time.Duration
		paths  []string
		says   string
	}{
		{5 * time.Minute, []string{"/billing/*"}, ""},
		{5 * time.Minute, nil, "require: a freshness of 5m0s has no path"},
		{0, []string{"/billing/*"}, "require: 0s is not between 1m and 24h; leave the time out where the second step counts for the whole session"},
		{-time.Hour, []string{"/billing/*"}, "require: -1h0m0s is not between 1m and 24h; leave the time out where the second step counts for the whole session"},
		{time.Hour, []string{"billing"}, `require: "billing" does not begin with a slash`},
	} {
		rules, err := (&Handler{RequireMFAWithin: []Fresh{{caddy.Duration(c.within), c.paths}}}).judge("/auth")
		said := ""
		if err != nil {
			said = err.Error()
		}
		if said != c.says && said != "portalgate: "+c.says || c.says == "" && len(rules.MFA) != 1 {
			t.Errorf("%s %v: said %q, %d guards", c.within, c.paths, said, len(rules.MFA))
		}
	}
}

func TestASecondStepIsStaleWhenItWasNotShownOrTooLongAgo(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		shown  time.Time
		within time.Duration
		want   bool
	}{
		{time.Time{}, 0, true}, {time.Time{}, time.Hour, true}, {now.Add(-13 * time.Hour), 0, false}, {now, time.Minute, false},
		{now.Add(-5*time.Minute + time.Second), 5 * time.Minute, false}, {now.Add(-5 * time.Minute), 5 * time.Minute, true},
	} {
		if got := stale(c.shown, now, c.within); got != c.want {
			t.Errorf("shown %s ago, within %s: stale %t", now.Sub(c.shown), c.within, got)
		}
	}
}
