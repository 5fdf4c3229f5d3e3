package caddymodule

import (
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/portalgate/portalgate/internal/portal"
)

// Fresh is how long ago the second factor may have been shown for some paths.
type Fresh struct {
	// From 1m to 24h. Required.
	Within caddy.Duration `json:"within,omitempty"`
	// The paths: exact, or a prefix ending in `/*`. Required.
	Paths []string `json:"paths,omitempty"`
}

// What a freshness may be: shorter, nobody could fill in a form; longer, `require mfa` without one is what is meant.
const (
	leastFresh = time.Minute
	mostFresh  = 24 * time.Hour
)

// requireOption reads lines of guarded paths, with how fresh the second step must be or without.
func requireOption(ever *[]string, fresh *[]Fresh) option {
	return func(d *caddyfile.Dispenser) error { return requireMFA(d, ever, fresh) }
}

func requireMFA(d *caddyfile.Dispenser, ever *[]string, fresh *[]Fresh) error {
	args := d.RemainingArgs()
	if len(args) < 2 || args[0] != "mfa" {
		return d.Err("require is written `require mfa /path/*`, or `require mfa 5m /path/*`")
	}
	if args = args[1:]; strings.HasPrefix(args[0], "/") {
		return addPatterns(d, "require mfa", args, ever)
	}
	within, err := caddy.ParseDuration(args[0])
	if err != nil {
		return d.Errf("require mfa: %q is neither a path nor a time such as 5m", args[0])
	}
	if within < leastFresh || within > mostFresh {
		return d.Errf("require mfa: %s is not between 1m and 24h; leave the time out where the second step counts for the whole session", args[0])
	}
	if len(args) == 1 {
		return d.Errf("require mfa %s has no path: write `require mfa %s /path/*`", args[0], args[0])
	}
	f := Fresh{Within: caddy.Duration(within)}
	if err := addPatterns(d, "require mfa", args[1:], &f.Paths); err != nil {
		return err
	}
	*fresh = append(*fresh, f)
	return nil
}

var errSecondStep = &portal.Problem{Kind: portal.ProblemMFARequired, Public: "This page needs a second step. Show it, and go on where you were."}

// stale says whether a second step was not shown, or too long ago for what a path asks.
func stale(shown, now time.Time, within time.Duration) bool {
	return shown.IsZero() || within > 0 && now.Sub(shown) >= within
}
