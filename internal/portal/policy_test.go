package portal_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
)

// The values of all policies: the decisions, and where the review or NIST SP 800-63B-4 say otherwise. A number that is
// changed is changed here too.
func TestTheNumbersOfThePolicies(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	lockout := portal.LockoutRule{Free: 4, First: 30 * time.Minute, Longest: 4 * time.Hour, Kept: day, Close: 100}
	limits := portal.Limits{
		Window: 15 * time.Minute, Network: 10, Wait: 15 * time.Minute, WaitMost: 2 * time.Hour, Refuse: 100, Refusal: 15 * time.Minute,
		Tenant: 1000, Global: 10_000, SignInsNetwork: 300, SignInsFlood: 3000, SignInsTenant: 6000,
		AsksAddress: 10, AsksNetwork: 60, AsksTenant: 600, PasskeysNetwork: 600, PasskeysTenant: 6000, CodesNetwork: 100, CodesTenant: 600, TextsNetwork: 30, TextsTenant: 600,
	}
	def := portal.Policy{
		AccessLife: 30 * time.Minute, RenewBefore: 5 * time.Minute, RefreshGrace: 30 * time.Second,
		Idle: 10 * time.Hour, Absolute: 14 * time.Hour, RememberIdle: 7 * day, RememberAbsolute: 14 * day,
		SessionsPerUser: 5, PasswordMin: 8, PasswordMax: 128, PasswordScore: 3, MFA: portal.MFAOptional, AttemptLife: 10 * time.Minute, Lockout: lockout, Limits: limits,
		Retention: portal.Retention{Activity: 395 * day, Coarse: 90 * day},
	}
	review := def
	review.Limits.Network, review.Limits.Refuse, review.Limits.ByTry, review.Limits.WaitMost = 5, 5, true, 15*time.Minute
	nist := def
	nist.AccessLife, nist.RefreshGrace = 10*time.Minute, 10*time.Second
	nist.Idle, nist.RememberIdle, nist.RememberAbsolute = time.Hour, time.Hour, day
	nist.PasswordMin, nist.PasswordWithSecond = 15, 8
	for name, c := range map[string]struct{ got, want portal.Policy }{
		"default": {portal.DefaultPolicy(), def}, "review": {portal.ReviewPolicy(), review}, "nist": {portal.NISTPolicy(), nist},
	} {
		got, want := reflect.ValueOf(c.got), reflect.ValueOf(c.want)
		for i := range got.NumField() {
			if g, w := got.Field(i).Interface(), want.Field(i).Interface(); g != w {
				t.Errorf("policy %s: %s is %+v, want %+v", name, got.Type().Field(i).Name, g, w)
			}
		}
	}
}

// `policy nist` takes, row by row, the stricter of the default and of NIST's.
func TestPolicyNISTIsNowhereLaxerThanTheDefault(t *testing.T) {
	t.Parallel()
	d, n := portal.DefaultPolicy(), portal.NISTPolicy()
	if n.AccessLife > d.AccessLife || n.RefreshGrace > d.RefreshGrace || n.Idle > d.Idle || n.Absolute > d.Absolute || n.RememberIdle > d.RememberIdle ||
		n.RememberAbsolute > d.RememberAbsolute || n.PasswordMin < d.PasswordMin || n.PasswordScore < d.PasswordScore || n.SessionsPerUser > d.SessionsPerUser {
		t.Errorf("%+v is laxer than %+v", n, d)
	}
	if n.Lockout.Close > 100 || n.Lockout.Free > 4 || n.Lockout.First < 30*time.Second {
		t.Errorf("the lock-out %+v is laxer than SP 800-63B-4 section 3.2.2", n.Lockout)
	}
}

func TestRestsDoubleUpToTheLongest(t *testing.T) {
	t.Parallel()
	r := portal.DefaultLockout()
	for n, want := range map[int]time.Duration{0: 0, 1: 0, 4: 0, 5: 30 * time.Minute, 6: time.Hour, 7: 2 * time.Hour, 8: 4 * time.Hour, 9: 4 * time.Hour, 100: 4 * time.Hour, 1 << 40: 4 * time.Hour} {
		if got := r.Rest(n); got != want {
			t.Errorf("after failure %d a purse rests %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int]bool{99: false, 100: true, 101: true} {
		if got := r.Closed(portal.Lockout{Failures: n}); got != want {
			t.Errorf("after %d failures closed is %v", n, got)
		}
	}
}
