package auth

import (
	"context"
	"errors"

	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// product are words that stand on every page and are nobody's secret.
var product = []string{"portalgate", "customer portal", "portal"}

// PasswordMin is the least number of characters in a new password of a tenant's people: the policy's, and under `policy
// nist` eight where nobody there signs in with it alone (SP 800-63B-4 section 3.1.1.2). The pages say the same number.
func PasswordMin(p portal.Policy, t *portal.Tenant) int {
	if p.PasswordWithSecond > 0 && p.PasswordWithSecond < p.PasswordMin && t.MFA.Everybody(p.MFA) {
		return p.PasswordWithSecond
	}
	return p.PasswordMin
}

// Rules are the rules for a new password of a person, from what is known of them and the tenant: they are the same at
// every door, the operator's among them.
func Rules(p portal.Policy, t *portal.Tenant, u portal.User) password.Policy {
	known := append([]string{u.Email, u.FirstName, u.LastName, u.Name(), t.Slug, t.Name}, t.Hosts...)
	return password.Policy{Min: PasswordMin(p, t), Max: p.PasswordMax, Score: p.PasswordScore, Context: append(known, product...)}
}

const publicSame = "Choose a password other than the one you had."

// other refuses a password that opens one of these rows already.
func (s *Service) other(ctx context.Context, wanted password.Prepared, rows []store.Account) error {
	if len(rows) == 0 {
		return nil
	}
	same, _, err := s.check(ctx, &guess{typed: wanted, accounts: rows})
	if err == nil && len(same) > 0 {
		err = input("password", publicSame)
	}
	return troubled(err)
}

// closed are the rows whose password was shut, as they were before.
func closed(rows []store.Account) (out []store.Account) {
	for _, a := range rows {
		if a.Secret.Closed != nil {
			a.Secret = *a.Secret.Closed
			out = append(out, a)
		}
	}
	return out
}

// judge says whether a text may become a password. The same rules stand at every door: a change, the end of a temporary
// one, a reset, an invitation, a registration. It takes a hashing slot for a moment and may ask a source of stolen
// passwords far away, so that it runs in no transaction. A source that does not answer refuses nobody.
func (s *Service) judge(ctx context.Context, t *portal.Tenant, u portal.User, text string) (password.Prepared, error) {
	if text == "" {
		return password.Prepared{}, input("password", "Enter a new password.")
	}
	defer still(ctx)() // a slot and a source have bounds of their own
	wanted, err := password.Prepare(text)
	if err == nil {
		err = s.Hasher.Judge(ctx, Rules(s.Policy, t, u), wanted)
	}
	if err == nil && s.Breaches != nil {
		if stolen := wanted.Stolen(Unhurried(ctx), s.Breaches); errors.Is(stolen, password.ErrBreached) {
			err = stolen
		}
	}
	switch {
	case err == nil:
		return wanted, nil
	case errors.Is(err, password.ErrBusy):
		return password.Prepared{}, troubled(err)
	}
	return password.Prepared{}, input("password", password.Reason(err))
}
