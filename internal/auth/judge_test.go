package auth_test

import (
	"testing"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
)

// PWD-01, and the row "password length" of the decisions.
func TestAPasswordIsAsLongAsNISTWantsUnlessEverybodyShowsASecondStep(t *testing.T) {
	t.Parallel()
	own := portal.NISTPolicy()
	own.PasswordMin, own.PasswordWithSecond = 20, 0
	for _, c := range []struct {
		policy portal.Policy
		mfa    portal.MFA
		want   int
	}{
		{portal.DefaultPolicy(), portal.MFAOptional, 8}, {portal.DefaultPolicy(), portal.MFARequired, 8}, {portal.NISTPolicy(), portal.MFAOptional, 15}, {portal.NISTPolicy(), portal.MFAOff, 15},
		{portal.NISTPolicy(), portal.MFARequired, 8}, {own, portal.MFARequired, 20},
	} {
		tenant := &portal.Tenant{MFA: portal.MFAPolicy{Default: c.mfa}}
		if got, rules := auth.PasswordMin(c.policy, tenant), auth.Rules(c.policy, tenant, portal.User{}); got != c.want || rules.Min != c.want {
			t.Errorf("%s with %d: %d, and the rules say %d; want %d", c.mfa, c.policy.PasswordMin, got, rules.Min, c.want)
		}
	}
}
