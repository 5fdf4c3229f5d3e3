package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
)

// Suppress puts an address on the list of those that no mail is sent to, for a command.
func Suppress(ctx context.Context, x *store.Tx, keys *secret.Keyring, t portal.TenantID, e portal.Email, s store.Suppression, d store.Deed) (bool, error) {
	s.Account = store.AddressDigest(t, e)
	var err error
	if s.Address, err = keys.Seal([]byte(e), suppressionPlace(t, s.Account), x.Now()); err != nil {
		return false, err
	}
	s.KeyID = secret.SealedWith(s.Address)
	return x.Suppress(ctx, s, d)
}

// OpenSuppression is the address that a suppression is about.
func OpenSuppression(keys *secret.Keyring, t portal.TenantID, s store.Suppression, now time.Time) (portal.Email, error) {
	b, err := keys.Unseal(s.Address, suppressionPlace(t, s.Account), now)
	return portal.Email(b), err
}

func suppressionPlace(t portal.TenantID, account []byte) secret.Place {
	return secret.Place{Tenant: string(t), Table: "suppressions", Column: "address", Row: fmt.Sprintf("%x", account)}
}
