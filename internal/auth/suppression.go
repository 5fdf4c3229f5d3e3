package auth

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
)

// Heard is what a report about a mail came to.
type Heard string

// What a report comes to.
const (
	HeardNothing    Heard = "not_ours"   // no letter of the tenant's has left for an address that it names
	HeardNoted      Heard = "noted"      // the letter was not delivered, which says nothing about the next one
	HeardSuppressed Heard = "suppressed" // no more mail leaves for the address
	HeardKnown      Heard = "known"      // none did before
)

// Heed acts on a report, in the transaction of a tenant, whoever has brought it: a mailbox or a provider. What it says is
// believed only where one of the addresses that it names is the one that the letter left for.
func Heed(ctx context.Context, x *store.Tx, keys *secret.Keyring, t portal.TenantID, r mail.Report, d store.Deed) (Heard, portal.Email, error) {
	id, _, _ := strings.Cut(r.MessageID, "@")
	letter, err := portal.ParseID[portal.LetterID](id)
	if err != nil {
		return HeardNothing, "", nil
	}
	for _, to := range r.Recipients {
		ours, err := x.Recipient(ctx, letter, to)
		if err != nil {
			return "", "", err
		}
		if !ours {
			continue
		}
		s := store.Suppression{Cause: "bounce", Detail: r.Status, Letter: letter}
		switch {
		case r.Complaint:
			s.Cause, s.Detail = "complaint", ""
		case !r.Dead:
			return HeardNoted, to, nil
		}
		fresh, err := Suppress(ctx, x, keys, t, to, s, d)
		if err != nil || fresh {
			return HeardSuppressed, to, err
		}
		return HeardKnown, to, nil
	}
	return HeardNothing, "", nil
}

// Suppress puts an address on the list of those that no mail is sent to.
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
