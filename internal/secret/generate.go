package secret

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Generate makes a keyring with one key for each purpose, as the JSON of a keyring file.
func Generate(now time.Time) ([]byte, error) {
	f := file{Version: 1}
	for _, p := range purposes {
		fk, err := draw(p, now, now)
		if err != nil {
			return nil, err
		}
		f.Keys = append(f.Keys, fk)
	}
	return encode(f)
}

func draw(p Purpose, now, useFrom time.Time) (fileKey, error) {
	id := NewID()
	fk := fileKey{
		ID:      fmt.Sprintf("%s-%s-%x", p, now.UTC().Format("20060102"), id[:4]),
		Purpose: p,
		UseFrom: useFrom.UTC().Truncate(time.Second),
	}
	raw := make([]byte, 32)
	if p == PurposeAssertion {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return fk, fmt.Errorf("drawing an assertion key: %w", err)
		}
		if raw, err = key.Bytes(); err != nil {
			return fk, fmt.Errorf("encoding an assertion key: %w", err)
		}
	} else {
		rand.Read(raw)
	}
	fk.Secret = base64.StdEncoding.EncodeToString(raw)
	return fk, nil
}

func encode(f file) ([]byte, error) {
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding a keyring: %w", err)
	}
	return append(b, '\n'), nil
}

// WriteNew puts a keyring into a file that must not exist yet, readable by its owner alone.
func WriteNew(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return &KeyringError{path, "", "exists already, and keys that are overwritten are lost for ever; choose another file or move it away"}
	}
	if err != nil {
		return &KeyringError{path, "", "cannot be written: " + err.Error()}
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(filepath.Clean(path))
		return &KeyringError{path, "", "cannot be written: " + err.Error()}
	}
	return nil
}
