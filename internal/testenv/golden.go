package testenv

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Golden compares what a test got with a file that was reviewed. `go run ./cmd/dev golden` rewrites the files; the diff
// is the review.
func Golden(t testing.TB, file string, got []byte) {
	t.Helper()
	if os.Getenv("PORTALGATE_GOLDEN") == "write" {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal("making the directory of a golden file: ", err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal("writing a golden file: ", err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; `go run ./cmd/dev golden` writes it", err)
	}
	if bytes.Equal(got, want) {
		return
	}
	g, w := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range max(len(g), len(w)) {
		var a, b []byte
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s differs first in line %d:\n got  %s\n want %s\n`go run ./cmd/dev golden` rewrites it, if this is meant", file, i+1, a, b)
			return
		}
	}
}
