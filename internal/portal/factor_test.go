package portal_test

import (
	"testing"

	"github.com/portalgate/portalgate/internal/portal"
)

func TestARoleGoesBeforeTheTenantAndTheTenantBeforeTheConfiguration(t *testing.T) {
	t.Parallel()
	const off, optional, required = portal.MFAOff, portal.MFAOptional, portal.MFARequired
	admins := map[portal.Role]portal.MFA{portal.RoleAdmin: required}
	for _, c := range []struct {
		policy    portal.MFAPolicy
		role      portal.Role
		otherwise portal.MFA
		want      portal.MFA
	}{
		{portal.MFAPolicy{}, portal.RoleUser, "", optional}, {portal.MFAPolicy{}, portal.RoleUser, off, off}, {portal.MFAPolicy{Default: required}, portal.RoleUser, off, required},
		{portal.MFAPolicy{Default: off, Roles: admins}, portal.RoleAdmin, "", required}, {portal.MFAPolicy{Default: off, Roles: admins}, portal.RoleUser, "", off},
		{portal.MFAPolicy{Roles: admins, Paused: true}, portal.RoleAdmin, "", optional}, {portal.MFAPolicy{Default: off, Paused: true}, portal.RoleUser, "", off},
	} {
		if got := c.policy.For(c.role, c.otherwise); got != c.want {
			t.Errorf("%+v, %s, otherwise %q: %s, want %s", c.policy, c.role, c.otherwise, got, c.want)
		}
	}
}

// SP 800-63B-4 section 3.1.1.2: a password may be short only where nobody signs in with it alone.
func TestEverybodyMeansThatNobodySignsInWithAPasswordAlone(t *testing.T) {
	t.Parallel()
	required := portal.MFAPolicy{Default: portal.MFARequired}
	for name, c := range map[string]struct {
		change    func(*portal.MFAPolicy)
		otherwise portal.MFA
		want      bool
	}{
		"required":                      {func(*portal.MFAPolicy) {}, "", true},
		"required by the configuration": {func(p *portal.MFAPolicy) { p.Default = "" }, portal.MFARequired, true},
		"optional":                      {func(p *portal.MFAPolicy) { p.Default = portal.MFAOptional }, portal.MFARequired, false},
		"a role may do without": {func(p *portal.MFAPolicy) {
			p.Roles = map[portal.Role]portal.MFA{portal.RoleApprover: portal.MFAOptional}
		}, "", false},
		"every role that there is, for once": {func(p *portal.MFAPolicy) { p.Roles = map[portal.Role]portal.MFA{portal.RoleUser: portal.MFARequired} }, "", true},
		"paused":                             {func(p *portal.MFAPolicy) { p.Paused = true }, "", false},
		"put off":                            {func(p *portal.MFAPolicy) { p.GraceDays = 1 }, "", false},
		"a code by mail is enough":           {func(p *portal.MFAPolicy) { p.EmailCodes = true }, "", false},
		"a device may be spared":             {func(p *portal.MFAPolicy) { p.Remember = true }, "", false},
	} {
		p := required
		c.change(&p)
		if got := p.Everybody(c.otherwise); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
