package caddymodule

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
)

// settled reads a global option with these lines in it.
func settled(t *testing.T, lines string) (settings, error) {
	t.Helper()
	a, file := new(App), filepath.Join(t.TempDir(), "keyring.json")
	ring, err := secret.Generate(time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := secret.WriteNew(file, ring); err != nil {
		t.Fatal(err)
	}
	text := "portalgate {\n database postgres://localhost/x\n keyring " + file + "\n" + lines + "\n}"
	if err := a.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err != nil {
		return settings{}, err
	}
	return a.resolve()
}

func TestTheLimitsAndTheLockOutAreConfigured(t *testing.T) {
	t.Parallel()
	s, err := settled(t, `
		lockout {
			failures 3
			rest 1m
			longest_rest 1h
			kept 2h
			close 50
		}
		limits {
			network 20
			window 10m
			tenant 500
			global 5000
			sign_ins_network 100
			sign_ins_tenant 1000
			asks_address 5
			asks_network 40
			asks_tenant 300
			codes_network 50
			codes_tenant 200
			texts_network 10
			texts_tenant 100
		}`)
	if err != nil {
		t.Fatal(err)
	}
	if want := (portal.LockoutRule{Free: 2, First: time.Minute, Longest: time.Hour, Kept: 2 * time.Hour, Close: 50}); s.policy.Lockout != want {
		t.Errorf("lock-out %+v, want %+v", s.policy.Lockout, want)
	}
	want := portal.DefaultLimits()
	want.Network, want.Refuse, want.Window, want.Tenant, want.Global = 20, 200, 10*time.Minute, 500, 5000
	want.SignInsNetwork, want.SignInsFlood, want.SignInsTenant = 100, 1000, 1000
	want.AsksAddress, want.AsksNetwork, want.AsksTenant = 5, 40, 300
	want.CodesNetwork, want.CodesTenant, want.TextsNetwork, want.TextsTenant = 50, 200, 10, 100
	if s.policy.Limits != want {
		t.Errorf("limits %+v, want %+v", s.policy.Limits, want)
	}
	s, err = settled(t, "policy review\n limits {\n network 3\n }")
	if err != nil || s.policy.Limits.Network != 3 || s.policy.Limits.Refuse != 3 || !s.policy.Limits.ByTry {
		t.Errorf("the review's with another number: %+v, %v", s.policy.Limits, err)
	}
}

func TestPoliciesAreChosenByName(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]portal.Policy{
		"": portal.DefaultPolicy(), "policy default": portal.DefaultPolicy(), "policy review": portal.ReviewPolicy(), "policy nist": portal.NISTPolicy(),
	} {
		s, err := settled(t, line)
		if err != nil || s.policy != want {
			t.Errorf("%q: %+v, %v", line, s.policy, err)
		}
	}
}

func TestTheDoctorSaysWhatTheLimitsMean(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"":              "10 accounts that failed from one address in 15m make browsers that are new to their account wait there, known ones never",
		"policy review": "5 failures from one address in 15m block everybody behind it for 15m",
		"policy nist":   "rests from failure 5, for 30m and then up to 4h, and is closed at 100",
	} {
		s, err := settled(t, line)
		if err != nil {
			t.Fatal(err)
		}
		var d doctor
		if d.meaning(s); len(d.found) != 1 || !strings.Contains(d.found[0].Says, want) {
			t.Errorf("%q: it does not say %q: %+v", line, want, d.found)
		}
	}
}

func TestWhatOneMayAskAboutIsTold(t *testing.T) {
	t.Parallel()
	for question, want := range map[string]string{
		"7KQ2M9XD": askReference, "7kq2m9xd": askReference, "ann@buyer.example": askEmail, "203.0.113.7": askAddress, "2001:db8::1": askAddress, "[2001:db8::1]": askAddress,
		"2001:db8::/64": askAddress, "203.0.113.7/32": askAddress, "0197c1d0-0000-7000-8000-000000000001": askSession,
		"7KQ2M9X": "", "1OIl0000": "", "ann@": "", "203.0.113.0/24": "", "2001:db8::/48": "", "": "", "a b": "",
	} {
		got, err := kindOf(question)
		if got != want || (want == "") != (err != nil) {
			t.Errorf("%q is about %q, %v; want %q", question, got, err, want)
		}
	}
}
