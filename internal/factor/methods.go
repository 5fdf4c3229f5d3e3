package factor

import (
	"slices"

	"github.com/portalgate/portalgate/internal/portal"
)

// All are the methods that we bring along, the strongest first.
func All(v Vault) []Method {
	return []Method{WebAuthn{}, TOTP{}, SMS{v}, Email{v}, Backup{v}}
}

// Find is the method of a kind, or nil where there is none.
func Find(all []Method, kind portal.FactorKind) Method {
	if i := slices.IndexFunc(all, func(m Method) bool { return m.Kind() == kind }); i >= 0 {
		return all[i]
	}
	return nil
}
