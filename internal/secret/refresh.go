package secret

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

const macBytes = 16

// RefreshTextLen is the length of a refresh token as text: 48 bytes in base64url.
const RefreshTextLen = (TokenBytes + macBytes) * 4 / 3

// Refresh is a refresh token whose MAC was right: it was made by a gateway with our keyring, for this tenant.
type Refresh struct{ token Token }

// String does not reveal the token.
func (Refresh) String() string { return "[refresh token]" }

// Format does not reveal the token, whatever the verb.
func (Refresh) Format(f fmt.State, _ rune) { io.WriteString(f, "[refresh token]") }

// MarshalJSON does not reveal the token.
func (Refresh) MarshalJSON() ([]byte, error) { return []byte(`"[refresh token]"`), nil }

// Digest is what is stored of it.
func (r Refresh) Digest(tenant string) Digest { return r.token.Digest(KindRefresh, tenant) }

// NewRefresh draws the first refresh token of a family.
func NewRefresh() Refresh { return Refresh{NewToken()} }

// RefreshKey is the id of the key that derives successors now; it is stored with the token that it will be used on.
func (k *Keyring) RefreshKey(now time.Time) string {
	if key := k.set.Load().current(PurposeRefresh, now); key != nil {
		return key.ID
	}
	return ""
}

// ErrKey means that a key is not, or no longer, in the keyring.
var ErrKey = errors.New("key is not in the keyring")

// Successor derives the token that replaces r. It depends on nothing but the key, the family and r, so every gateway
// hands parallel requests the same successor, and nobody has to store it (contract 5).
func (k *Keyring) Successor(r Refresh, keyID, family string, now time.Time) (Refresh, error) {
	key := k.find(keyID, PurposeRefresh, now)
	if key == nil {
		return Refresh{}, fmt.Errorf("deriving a successor with %s: %w", keyID, ErrKey)
	}
	info := "portalgate refresh successor\x00" + string(r.token.bytes())
	raw, err := hkdf.Key(sha256.New, key.raw(), []byte(family), info, TokenBytes)
	if err != nil {
		return Refresh{}, fmt.Errorf("deriving a successor: %w", err)
	}
	return Refresh{tokenOf([TokenBytes]byte(raw))}, nil
}

// RevealRefresh is the text for the cookie: the token and a MAC that binds it to our keyring and the tenant.
func (k *Keyring) RevealRefresh(r Refresh, tenant string, now time.Time) (string, error) {
	key := k.set.Load().current(PurposeRefreshMAC, now)
	if key == nil {
		return "", fmt.Errorf("binding a refresh token: %w", ErrKey)
	}
	sum := refreshMAC(key, r.token, tenant)
	return base64.RawURLEncoding.EncodeToString(append(slices.Clone(r.token.bytes()), sum[:macBytes]...)), nil
}

// ParseRefresh checks the MAC under every live key. A forged token costs no server call (P19).
func (k *Keyring) ParseRefresh(s, tenant string, now time.Time) (Refresh, error) {
	if len(s) != RefreshTextLen {
		return Refresh{}, ErrToken
	}
	var b [TokenBytes + macBytes]byte
	if n, err := strictURL.Decode(b[:], []byte(s)); err != nil || n != len(b) {
		return Refresh{}, ErrToken
	}
	r := Refresh{tokenOf([TokenBytes]byte(b[:TokenBytes]))}
	fits := func() bool {
		return slices.ContainsFunc(k.set.Load().live(PurposeRefreshMAC, now), func(key *Key) bool {
			sum := refreshMAC(key, r.token, tenant)
			return Equal(sum[:macBytes], b[TokenBytes:])
		})
	}
	if fits() {
		return r, nil
	}
	if k.path == "" {
		return Refresh{}, ErrToken
	}
	// A key that was rotated in at once, after a leak, may have reached another gateway before this one.
	if k.again(); fits() {
		return r, nil
	}
	return Refresh{}, ErrToken
}

func refreshMAC(key *Key, t Token, tenant string) [sha256.Size]byte {
	return key.macs.sum("portalgate refresh mac\x00", tenant, "\x00", string(t.bytes()))
}
