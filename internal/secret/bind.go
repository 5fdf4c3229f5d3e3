package secret

import (
	"fmt"
	"time"
)

// Bind says that a database is written with these keys. From then on a file that has lost one of them is not read: with
// another keyring no password is right, nothing sealed opens, and everybody is signed out.
func (k *Keyring) Bind() { k.bound.Store(true) }

// continues refuses a reading that lacks a key of those loaded. One whose end has come may go.
func (k *Keyring) continues(next *keyset, now time.Time) error {
	if !k.bound.Load() {
		return nil
	}
	loaded := k.set.Load().all
	lost, first := 0, ""
	for _, key := range loaded {
		same := next.byID[key.ID]
		if same != nil && same.Purpose == key.Purpose && Equal(same.raw(), key.raw()) || !key.VerifyUntil.IsZero() && !now.Before(key.VerifyUntil) {
			continue
		}
		if lost++; lost == 1 {
			first = key.ID
		}
	}
	if lost == 0 {
		return nil
	}
	return &KeyringError{k.path, "", fmt.Sprintf("is not read: it lacks %d of the %d keys that are in use, %s first; put the file back that has them, from a copy of it", lost, len(loaded), first)}
}
