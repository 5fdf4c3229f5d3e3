package caddymodule

import (
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/portalgate/portalgate/internal/portal"
)

// Retention is how long is kept what is known of people. Zero values keep the decisions' numbers.
type Retention struct {
	// What happened, and when, is forgotten after this; from 30 days to 10 years, as `13mo`, `395d` or `9480h`. Default:
	// 13mo, which is 395d.
	Activity caddy.Duration `json:"activity,omitempty"`
	// Of an address only the network is kept after this (the first 24 bits, of IPv6 the first 48), and of an agent what the
	// browser and the system are called; from 7 days to what `activity` says. Default: 90d.
	CoarseAfter caddy.Duration `json:"coarse_after,omitempty"`
}

func retentionOption(to **Retention, at noting) option {
	return func(d *caddyfile.Dispenser) error {
		r := new(Retention)
		*to = r
		return block(d, "retention", at.in("retention"), map[string]option{"activity": months(&r.Activity), "coarse_after": months(&r.CoarseAfter)})
	}
}

// months is a duration that may be given in months, of which twelve are 365 days.
func months(to *caddy.Duration) option {
	return func(d *caddyfile.Dispenser) error {
		name := d.Val()
		var s string
		if err := one(&s)(d); err != nil {
			return err
		}
		if n, ok := strings.CutSuffix(s, "mo"); ok {
			if m, err := strconv.Atoi(n); err == nil && m > 0 && m <= 1200 {
				*to = caddy.Duration(m * 365 / 12 * int(day))
				return nil
			}
		}
		v, err := caddy.ParseDuration(s)
		if err != nil || v <= 0 {
			return d.Errf("%s takes a duration such as 13mo, 90d or 2160h, not %q", name, s)
		}
		*to = caddy.Duration(v)
		return nil
	}
}

const (
	day          = 24 * time.Hour
	mostActivity = 3653 * day
)

// lay puts the operator's numbers over the decisions'.
func (r *Retention) lay(p *portal.Retention) error {
	if r == nil {
		return nil
	}
	if r.Activity != 0 {
		p.Activity = time.Duration(r.Activity)
	}
	if r.CoarseAfter != 0 {
		p.Coarse = time.Duration(r.CoarseAfter)
	} else if p.Coarse > p.Activity && p.Activity >= portal.LeastActivity {
		p.Coarse = p.Activity // what is forgotten before has nothing left to be made coarse
	}
	var all complaints
	if p.Activity < portal.LeastActivity || p.Activity > mostActivity {
		all.add(bad("retention activity", "%s is not between %s and %s; people must be able to see what happened while they were away, and nobody needs it after ten years", days(p.Activity), days(portal.LeastActivity), days(mostActivity)))
	}
	if p.Coarse < portal.LeastCoarse || p.Coarse > p.Activity && p.Activity >= portal.LeastActivity {
		all.add(bad("retention coarse_after", "%s is not between %s and what activity says, %s", days(p.Coarse), days(portal.LeastCoarse), days(p.Activity)))
	}
	return all.err()
}

// days is a long duration in days where it is a whole number of them.
func days(d time.Duration) string {
	if d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return d.String()
}
