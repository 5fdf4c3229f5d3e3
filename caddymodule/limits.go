package caddymodule

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/portalgate/portalgate/internal/portal"
)

// Lockout says when a password rests after wrong tries: an account's own purse, and one for each browser it knows. Zero
// values keep the policy's numbers.
type Lockout struct {
	// The failure after which a purse rests; those before are answered at once. Default: 5.
	Failures int `json:"failures,omitempty"`
	// The first rest; each further failure doubles it. Default: 30m.
	Rest caddy.Duration `json:"rest,omitempty"`
	// No rest is longer. Default: 4h.
	LongestRest caddy.Duration `json:"longest_rest,omitempty"`
	// A purse without a failure for this long is empty again. Default: 24h.
	Kept caddy.Duration `json:"kept,omitempty"`
	// At this many failures the password is closed until it is set anew. Default: 100, which NIST SP 800-63B-4 allows at
	// most.
	Close int `json:"close,omitempty"`
}

// LimitNumbers are the limits by network, tenant and over everything. Zero values keep the policy's numbers.
type LimitNumbers struct {
	// Accounts that may fail from one network in the window, until browsers that are new to their account have to wait;
	// at ten times the number everybody there has to. An account that signs in gives its own failures back. Default: 10
	// (`policy review`: 5 failures, and then everybody).
	Network int `json:"network,omitempty"`
	// The window in which failures and sign-ins are counted. Default: 15m.
	Window caddy.Duration `json:"window,omitempty"`
	// Accounts that may fail in one tenant in the window, until browsers that are new to their account are answered
	// later. Nobody is refused. Default: 1000.
	Tenant int `json:"tenant,omitempty"`
	// The same over all tenants. Default: 10000.
	Global int `json:"global,omitempty"`
	// Sign-ins from one network in the window, right or wrong, until browsers that are new to their account are refused;
	// at ten times the number everybody there is. Default: 300.
	SignInsNetwork int `json:"sign_ins_network,omitempty"`
	// Sign-ins at one tenant in a minute, until browsers that are new to their account are refused. Default: 6000.
	SignInsTenant int `json:"sign_ins_tenant,omitempty"`
	// Mails that may be asked for at one address in an hour, whether or not somebody has it; above it nobody may ask
	// there. Default: 10.
	AsksAddress int `json:"asks_address,omitempty"`
	// Mails that may be asked for from one network in the window. Default: 60.
	AsksNetwork int `json:"asks_network,omitempty"`
	// Mails that may be asked for at one tenant in a minute. Default: 600.
	AsksTenant int `json:"asks_tenant,omitempty"`
	// Codes that are mailed for one network in the window, until browsers that are new to their account get none.
	// Default: 100.
	CodesNetwork int `json:"codes_network,omitempty"`
	// The same at one tenant in a minute. Default: 600.
	CodesTenant int `json:"codes_tenant,omitempty"`
	// Codes that are sent as text messages for one network in the window; above it nobody there gets one. Default: 30.
	TextsNetwork int `json:"texts_network,omitempty"`
	// The same at one tenant in an hour: with the price of a message it is the most that an hour of toll fraud costs.
	// Default: 600.
	TextsTenant int `json:"texts_tenant,omitempty"`
}

func lockoutOption(to **Lockout, at noting) option {
	return func(d *caddyfile.Dispenser) error {
		l := new(Lockout)
		*to = l
		return block(d, "lockout", at.in("lockout"), map[string]option{
			"failures": number(&l.Failures), "rest": duration(&l.Rest), "longest_rest": duration(&l.LongestRest),
			"kept": duration(&l.Kept), "close": number(&l.Close),
		})
	}
}

func limitsOption(to **LimitNumbers, at noting) option {
	return func(d *caddyfile.Dispenser) error {
		l := new(LimitNumbers)
		*to = l
		return block(d, "limits", at.in("limits"), map[string]option{
			"network": number(&l.Network), "window": duration(&l.Window), "tenant": number(&l.Tenant), "global": number(&l.Global),
			"sign_ins_network": number(&l.SignInsNetwork), "sign_ins_tenant": number(&l.SignInsTenant),
			"asks_address": number(&l.AsksAddress), "asks_network": number(&l.AsksNetwork), "asks_tenant": number(&l.AsksTenant),
			"codes_network": number(&l.CodesNetwork), "codes_tenant": number(&l.CodesTenant), "texts_network": number(&l.TextsNetwork), "texts_tenant": number(&l.TextsTenant),
		})
	}
}

// lay puts the operator's numbers over the policy's.
func (l *Lockout) lay(p *portal.LockoutRule) error {
	if l == nil {
		return nil
	}
	if l.Failures != 0 {
		p.Free = l.Failures - 1
	}
	for to, from := range map[*time.Duration]caddy.Duration{&p.First: l.Rest, &p.Longest: l.LongestRest, &p.Kept: l.Kept} {
		if from != 0 {
			*to = time.Duration(from)
		}
	}
	if l.Close != 0 {
		p.Close = l.Close
	}
	var all complaints
	complain := func(ok bool, option, format string, args ...any) {
		if !ok {
			all.add(bad("lockout "+option, format, args...))
		}
	}
	complain(p.Free >= 0 && p.Free < 100, "failures", "%d is not between 1 and 100", p.Free+1)
	complain(p.First >= time.Second && p.First <= p.Longest, "rest", "%s is not between 1s and the longest rest, %s", p.First, p.Longest)
	complain(p.Longest <= 24*time.Hour, "longest_rest", "%s is more than a day; a rest that long is a way to keep somebody out", p.Longest)
	complain(p.Kept >= p.Longest && p.Kept <= 30*24*time.Hour, "kept", "%s is not between the longest rest, %s, and 30 days", p.Kept, p.Longest)
	complain(p.Free >= 100 || p.Close > p.Free && p.Close <= 100, "close", "%d is not between %d and 100, which is the most that NIST SP 800-63B-4 section 3.2.2 allows", p.Close, p.Free+1)
	return all.err()
}

// passwords lays the operator's rules for new passwords over the policy's.
func (a *App) passwords(p *portal.Policy) error {
	var all complaints
	rules, option, least := PasswordRules{}, "password min", a.PasswordMin
	if a.Password != nil {
		rules = *a.Password
	}
	switch {
	case rules.Min != 0 && a.PasswordMin != 0:
		all.add(bad("password_min", "says what `password { min … }` says too; leave one"))
	case rules.Min != 0:
		least = rules.Min
	default:
		option = "password_min"
	}
	if least != 0 && (least < 8 || least > 64) {
		all.add(bad(option, "%d is not between 8 and 64", least))
	} else if least != 0 {
		p.PasswordMin, p.PasswordWithSecond = least, 0 // the operator has said what holds
	}
	if rules.Score < 0 || rules.Score > 4 {
		all.add(bad("password score", "%d is not between 1 and 4", rules.Score))
	} else if rules.Score != 0 {
		p.PasswordScore = rules.Score
	}
	return all.err()
}

// lay puts the operator's numbers over the policy's.
func (l *LimitNumbers) lay(p *portal.Limits) error {
	if l == nil {
		return nil
	}
	var all complaints
	for _, n := range []struct {
		option   string
		to       *int
		from, at int
	}{
		{"network", &p.Network, l.Network, 10_000}, {"tenant", &p.Tenant, l.Tenant, 1_000_000}, {"global", &p.Global, l.Global, 10_000_000},
		{"sign_ins_network", &p.SignInsNetwork, l.SignInsNetwork, 1_000_000}, {"sign_ins_tenant", &p.SignInsTenant, l.SignInsTenant, 10_000_000},
		{"asks_address", &p.AsksAddress, l.AsksAddress, 1000}, {"asks_network", &p.AsksNetwork, l.AsksNetwork, 100_000}, {"asks_tenant", &p.AsksTenant, l.AsksTenant, 1_000_000},
		{"codes_network", &p.CodesNetwork, l.CodesNetwork, 100_000}, {"codes_tenant", &p.CodesTenant, l.CodesTenant, 1_000_000},
		{"texts_network", &p.TextsNetwork, l.TextsNetwork, 100_000}, {"texts_tenant", &p.TextsTenant, l.TextsTenant, 1_000_000},
	} {
		if n.from < 0 || n.from > n.at {
			all.add(bad("limits "+n.option, "%d is not between 1 and %d", n.from, n.at))
		} else if n.from > 0 {
			*n.to = n.from
		}
	}
	if l.Network > 0 {
		if p.Refuse = 10 * p.Network; p.ByTry {
			p.Refuse = p.Network
		}
	}
	if l.SignInsNetwork > 0 {
		p.SignInsFlood = 10 * p.SignInsNetwork
	}
	if l.Window != 0 {
		p.Window = time.Duration(l.Window)
	}
	if p.Window < time.Minute || p.Window > 24*time.Hour {
		all.add(bad("limits window", "%s is not between 1m and 24h", p.Window))
	}
	return all.err()
}

// limitsMean says what the chosen limits mean for people and for guessers.
func limitsMean(p portal.Policy) string {
	l, k := p.Limits, p.Lockout
	by := fmt.Sprintf("%d accounts that failed from one address in %s make browsers that are new to their account wait there, known ones never; the review would block everybody behind an address after 5 failures (`policy review`).", l.Network, short(l.Window))
	if l.ByTry {
		by = fmt.Sprintf("%d failures from one address in %s block everybody behind it for %s, an office with all its people; `policy default` makes only new browsers wait, after 10 accounts.", l.Network, short(l.Window), short(l.Refusal))
	}
	return fmt.Sprintf("%s A password rests from failure %d, for %s and then up to %s, and is closed at %d.", by, k.Free+1, short(k.First), short(k.Longest), k.Close)
}
