package ratelimit

import (
	"time"

	"github.com/portalgate/portalgate/internal/portal"
)

// Kind says what a limit counts.
type Kind string

// The kinds.
const (
	Rate     Kind = "rate"     // everything that comes, right or wrong
	Failures Kind = "failures" // what failed and has not succeeded since
)

// Effect says what happens above a limit.
type Effect string

// The effects. A stranger is a browser on which the account was never signed in to.
const (
	RefusesStrangers Effect = "refuses strangers"
	RefusesEverybody Effect = "refuses everybody"
	SlowsStrangers   Effect = "answers strangers later"
)

// Limit is a rule, declared once.
type Limit struct {
	Name   string
	Kind   Kind
	Counts string // what is counted
	By     string // what it is counted by
	Number int
	Period time.Duration
	Effect Effect
	Wait   time.Duration // how long a reached limit of failures holds; a rate holds until it has room again
	Most   time.Duration // the longest Wait, when each is twice the one before; zero: it does not grow
	Public string        // what a person who is refused is told; says what to do
}

// Limits are all of a gateway's, with the numbers of its policy.
type Limits struct {
	Flood, Network, Tenant Limit // sign-ins
	Guesses, Refusal       Limit // failures of one network
	TenantGuesses          Limit
	AllGuesses             Limit

	AsksAddress, AsksNetwork, AsksTenant Limit // mails that anybody may ask for

	PasskeysNetwork, PasskeysTenant Limit // sign-ins by passkey, which are begun by looking at the sign-in page

	CodesNetwork, CodesTenant Limit // codes that are mailed
	TextsNetwork, TextsTenant Limit // codes that are sent as text messages, each of which costs money
}

const (
	publicFlood    = "Very many sign-ins come from your network, so nobody can sign in from there at the moment. Please try again a little later, or from another network."
	publicNetwork  = "Many sign-ins come from your network. Please try again a little later. A browser in which you have signed in before works as usual."
	publicTenant   = "Many people are signing in. Please try again in a minute. A browser in which you have signed in before works as usual."
	publicGuesses  = "Several sign-ins from your network have failed, so a browser that is new here has to wait. A browser in which you have signed in before works as usual."
	publicRefusal  = "Too many sign-ins from your network have failed. Please try again a little later, or from another network."
	publicPasskeys = "Many people are signing in from your network. Sign in with your password, or try again a little later."
	publicAsks     = "We were asked for several mails already. Look into your mailbox, and into the folder for unwanted mail, before you ask for another one."
	publicCodes    = "Many codes were sent. Use another way, or try again a little later. A browser in which you have signed in before gets one as usual."
	publicTexts    = "Many codes were sent by text message. Use another way, or try again a little later."
)

// Declare is the table of limits.
func Declare(p portal.Limits) Limits {
	const network, tenant, all = "tenant and network (IPv6 by /64)", "tenant", "everything"
	const asked = "mails asked for"
	const begun = "sign-ins by passkey begun"
	const mailed, texted = "codes mailed", "codes sent by text message"
	const accounts = "accounts that failed and have not succeeded since"
	counts := accounts
	if p.ByTry {
		counts = "failures"
	}
	most := p.WaitMost
	if most <= p.Wait {
		most = 0
	}
	return Limits{
		Flood:         Limit{"sign_in_flood", Rate, "sign-ins", network, p.SignInsFlood, p.Window, RefusesEverybody, 0, 0, publicFlood},
		Network:       Limit{"sign_in_network", Rate, "sign-ins", network, p.SignInsNetwork, p.Window, RefusesStrangers, 0, 0, publicNetwork},
		Tenant:        Limit{"sign_in_tenant", Rate, "sign-ins", tenant, p.SignInsTenant, time.Minute, RefusesStrangers, 0, 0, publicTenant},
		Guesses:       Limit{"failures_network", Failures, counts, network, p.Network, p.Window, RefusesStrangers, p.Wait, most, publicGuesses},
		Refusal:       Limit{"failures_network_refusal", Failures, counts, network, p.Refuse, p.Window, RefusesEverybody, p.Refusal, 0, publicRefusal},
		TenantGuesses: Limit{"failures_tenant", Failures, accounts, tenant, p.Tenant, p.Window, SlowsStrangers, 0, 0, ""},
		AllGuesses:    Limit{"failures_global", Failures, accounts, all, p.Global, p.Window, SlowsStrangers, 0, 0, ""},

		AsksAddress: Limit{"asks_address", Rate, asked, "tenant and address", p.AsksAddress, time.Hour, RefusesEverybody, 0, 0, publicAsks},
		AsksNetwork: Limit{"asks_network", Rate, asked, network, p.AsksNetwork, p.Window, RefusesEverybody, 0, 0, publicAsks},
		AsksTenant:  Limit{"asks_tenant", Rate, asked, tenant, p.AsksTenant, time.Minute, RefusesEverybody, 0, 0, publicAsks},

		PasskeysNetwork: Limit{"passkeys_network", Rate, begun, network, p.PasskeysNetwork, p.Window, RefusesEverybody, 0, 0, publicPasskeys},
		PasskeysTenant:  Limit{"passkeys_tenant", Rate, begun, tenant, p.PasskeysTenant, time.Minute, RefusesEverybody, 0, 0, publicPasskeys},

		CodesNetwork: Limit{"codes_network", Rate, mailed, network, p.CodesNetwork, p.Window, RefusesStrangers, 0, 0, publicCodes},
		CodesTenant:  Limit{"codes_tenant", Rate, mailed, tenant, p.CodesTenant, time.Minute, RefusesStrangers, 0, 0, publicCodes},
		TextsNetwork: Limit{"texts_network", Rate, texted, network, p.TextsNetwork, p.Window, RefusesEverybody, 0, 0, publicTexts},
		TextsTenant:  Limit{"texts_tenant", Rate, texted, tenant, p.TextsTenant, time.Hour, RefusesEverybody, 0, 0, publicTexts},
	}
}

// All lists the limits in the order in which they are asked.
func (l Limits) All() []Limit {
	return []Limit{l.Flood, l.Network, l.Tenant, l.Guesses, l.Refusal, l.TenantGuesses, l.AllGuesses, l.AsksAddress, l.AsksNetwork, l.AsksTenant, l.PasskeysNetwork, l.PasskeysTenant,
		l.CodesNetwork, l.CodesTenant, l.TextsNetwork, l.TextsTenant}
}

// halved is the limit with half its number: what a process takes when it decides alone although it has neighbours.
func (l Limit) halved() Limit {
	l.Number = max(1, l.Number/2)
	return l
}

// again is how long after it was reached a limit that is reached anew makes its wait grow.
const again = 24 * time.Hour

// longest is how long a limit holds at most.
func (l Limit) longest() time.Duration { return max(l.Wait, l.Most) }

// wait is how long a limit holds that was reached for the nth time, counted from 0.
func (l Limit) wait(n int) time.Duration {
	d := l.Wait
	for ; n > 0 && d < l.Most; n-- {
		d *= 2
	}
	if l.Most > 0 {
		d = min(d, l.Most)
	}
	return d
}
