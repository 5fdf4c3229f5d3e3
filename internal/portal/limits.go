package portal

import "time"

// Limits are the numbers of the limits that count by network, by tenant and over everything. What counts per account is
// LockoutRule's.
type Limits struct {
	Window   time.Duration // failures are counted over this long
	Network  int           // accounts that failed from one network in the window; above it strangers wait
	Wait     time.Duration // the first such wait
	WaitMost time.Duration // the longest; each wait within a day of the one before is twice as long
	Refuse   int           // accounts that failed from one network in the window; above it everybody there is refused
	Refusal  time.Duration // for how long
	ByTry    bool          // Network and Refuse count failures rather than accounts that failed
	Tenant   int           // accounts that failed in one tenant in the window; above it strangers' answers come later
	Global   int           // the same over all tenants

	SignInsNetwork int // sign-ins from one network in the window, right or wrong; above it strangers are refused
	SignInsFlood   int // the same; above it everybody there is refused
	SignInsTenant  int // sign-ins at one tenant in a minute; above it strangers are refused

	AsksAddress int // mails asked for one address in an hour, whether or not somebody has it; above it nobody may ask
	AsksNetwork int // mails asked for from one network in the window
	AsksTenant  int // mails asked for at one tenant in a minute

	PasskeysNetwork int // sign-ins by passkey that were begun from one network in the window; above it nobody there may begin one
	PasskeysTenant  int // the same at one tenant in a minute

	CodesNetwork int // codes mailed for one network in the window; above it browsers that are new to their account get none
	CodesTenant  int // the same at one tenant in a minute
	TextsNetwork int // codes sent as text messages for one network in the window; above it nobody there gets one
	TextsTenant  int // the same at one tenant in an hour
}

// DefaultLimits are the row "limit by address" of the decisions: eighty colleagues who mistype eight times in a hundred
// never reach ten accounts in a quarter of an hour, and a spray gets ten tries.
func DefaultLimits() Limits {
	return Limits{
		Window: 15 * time.Minute, Network: 10, Wait: 15 * time.Minute, WaitMost: 2 * time.Hour, Refuse: 100, Refusal: 15 * time.Minute,
		Tenant: 1000, Global: 10_000,
		SignInsNetwork: 300, SignInsFlood: 3000, SignInsTenant: 6000,
		AsksAddress: 10, AsksNetwork: 60, AsksTenant: 600,
		PasskeysNetwork: 600, PasskeysTenant: 6000,
		CodesNetwork: 100, CodesTenant: 600, TextsNetwork: 30, TextsTenant: 600,
	}
}

// reviewLimits are the review's: five failures per address in 15 minutes, and a block of 15 minutes for everybody there.
func reviewLimits() Limits {
	l := DefaultLimits()
	l.Network, l.Refuse, l.ByTry = 5, 5, true
	l.Wait, l.WaitMost, l.Refusal = 15*time.Minute, 15*time.Minute, 15*time.Minute
	return l
}
