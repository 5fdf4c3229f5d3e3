package testenv

import (
	"os"
	"testing"
)

// Everything says whether each test must run: in CI, and in `go run ./cmd/dev test`.
func Everything() bool { return os.Getenv("PORTALGATE_TEST") == "all" }

// Missing ends a test that cannot run here. What is a sentence: what is missing, and how to get it.
func Missing(t testing.TB, what string) {
	t.Helper()
	if Everything() {
		t.Fatalf("%s (and PORTALGATE_TEST=all lets no test be skipped)", what)
	}
	t.Skip(what)
}
