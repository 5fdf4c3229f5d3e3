package secret

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// outlives says for how long a key that is no longer used must go on verifying: as long as the longest thing it made
// may live. Zero is for ever: what it made stands in the database.
var outlives = map[Purpose]time.Duration{
	PurposeAccess:     MaxAccessLife,
	PurposeAssertion:  time.Hour,           // an assertion lives a minute; after a leak that is all it gets
	PurposeForm:       48 * time.Hour,      // a page opened from a mail
	PurposeRefresh:    15 * 24 * time.Hour, // the longest session, and a day
	PurposeRefreshMAC: 15 * 24 * time.Hour,
}

// atOnce are the purposes whose old key can be dropped in the very moment of a leak without signing anybody out: what
// it signed is made anew from the refresh token, or within a minute.
var atOnce = []Purpose{PurposeAccess, PurposeForm}

// Rotation says what to rotate and how urgently.
type Rotation struct {
	Purposes []Purpose // none: every purpose that the keyring has
	Leak     bool      // the new keys are used at once, and the old ones are trusted no longer than they must be
}

// ParsePurpose reads a purpose as it stands in the file.
func ParsePurpose(s string) (Purpose, error) {
	if p := Purpose(s); slices.Contains(purposes, p) {
		return p, nil
	}
	return "", fmt.Errorf("%q is no purpose of a key; there are: %s", s, known())
}

// Rotate adds a key for each purpose to a keyring's JSON, to be used UseDelay from now, by when every gateway has read
// it, and gives the keys before it their end. It returns the new JSON and the ids of the new keys. Two rotations that
// have not come into use yet are refused: somebody has pressed twice.
func Rotate(b []byte, r Rotation, now time.Time) (out []byte, made []string, err error) {
	set, err := parse(b)
	if err != nil {
		return nil, nil, err
	}
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, nil, fmt.Errorf("reading a keyring: %w", err)
	}
	wanted := r.Purposes
	if len(wanted) == 0 {
		for _, p := range purposes {
			if slices.ContainsFunc(set.all, func(k *Key) bool { return k.Purpose == p }) {
				wanted = append(wanted, p)
			}
		}
	}
	from := now.Add(UseDelay)
	if r.Leak {
		from = now
	}
	past := now.UTC().Truncate(time.Second).Add(-time.Second)
	for _, p := range wanted {
		for i := range f.Keys {
			k := &f.Keys[i]
			if k.Purpose != p {
				continue
			}
			if !r.Leak && k.UseFrom.After(now) {
				return nil, nil, fmt.Errorf("key %s comes into use at %s and no other is needed before; `--now` is for a leak", k.ID, k.UseFrom.Format(time.RFC3339))
			}
			// One that waits for its turn has leaked with the file, and must not come after the new one. It is not taken
			// out: the database may know it, and a gateway whose clock is ahead may have used it.
			if r.Leak && k.UseFrom.After(past) {
				k.UseFrom = past
			}
			end := from.Add(outlives[p])
			switch {
			case outlives[p] == 0:
				continue
			case r.Leak && slices.Contains(atOnce, p):
				end = now
			case r.Leak && p == PurposeAssertion:
				end = now.Add(AssertionLife)
			}
			if end = end.UTC().Truncate(time.Second); k.VerifyUntil == nil || end.Before(*k.VerifyUntil) {
				k.VerifyUntil = &end
			}
		}
		key, err := draw(p, now, from)
		if err != nil {
			return nil, nil, err
		}
		f.Keys = append(f.Keys, key)
		made = append(made, key.ID)
	}
	if out, err = encode(f); err != nil {
		return nil, nil, err
	}
	if _, err := parse(out); err != nil {
		return nil, nil, fmt.Errorf("checking the new keyring: %w", err)
	}
	return out, made, nil
}

// RotateFile rotates a keyring file. The new file takes the old one's place in one step, with the same owner and
// permissions, so that a gateway never reads half of it; a second rotation at the same time is refused.
func RotateFile(path string, r Rotation, now time.Time) (made []string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &KeyringError{path, "", "cannot be read: " + err.Error()}
	}
	next := path + ".new" // its being there is the lock
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if errors.Is(err, fs.ErrExist) {
		return nil, &KeyringError{path, "", "is being rotated by somebody else; when nobody is, remove " + next}
	}
	if err != nil {
		return nil, &KeyringError{path, "", "cannot be replaced: " + err.Error()}
	}
	defer func() {
		if err != nil {
			_ = os.Remove(next) // ours, and of no use
		}
	}()
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, errors.Join(&KeyringError{path, "", "cannot be read: " + err.Error()}, f.Close())
	}
	out, made, err := Rotate(b, r, now)
	if err != nil {
		return nil, errors.Join(named(err, path), f.Close())
	}
	if _, err = f.Write(out); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close(), keepOwner(next, info)); err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return nil, &KeyringError{path, "", "cannot be replaced: " + err.Error()}
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync() // a file system without it keeps its own promises
		_ = dir.Close()
	}
	return made, nil
}

// named puts the file's name into an error about a keyring.
func named(err error, path string) error {
	var ke *KeyringError
	if errors.As(err, &ke) && ke.Path == "" {
		ke.Path = path
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}
