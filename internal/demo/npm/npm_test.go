package npm

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

func sample(digest string) Package {
	return Package{Name: "sample", Version: "1", SHA512: digest, Inside: "native"}
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
	if err := sample(digest).unpack(file, into); err != nil {
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
	if err := AxeCore.unpack(file, into); err == nil || !strings.Contains(err.Error(), "SHA-512") {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Lstat(into); err == nil {
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
		_ = sample(digest).unpack(file, filepath.Join(dir, "a", "native")) // refused or ignored, either is fine
		_ = os.MkdirAll(filepath.Join(dir, "a"), 0o755)
		_ = sample(digest).unpack(file, filepath.Join(dir, "a", "native"))
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
