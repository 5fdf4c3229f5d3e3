package caddymodule

import (
	"context"
	"crypto/sha1"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/portalgate/portalgate/internal/breach"
	"github.com/portalgate/portalgate/internal/password"
)

// A source that stops answering is said once, and once that it answers again; each answer is counted.
func TestTheAnswersOfASourceAreCountedAndItsSilenceIsSaidOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list, name := filepath.Join(dir, "list"), filepath.Join(dir, "filter")
	known := sha1.Sum([]byte("passwordpassword"))
	if err := os.WriteFile(list, []byte(hexOf(known)+":1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(list)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close() //nolint:errcheck // a test's end
	if _, err := breach.Build(in, name); err != nil {
		t.Fatal(err)
	}
	guest := &BreachFile{Path: name}
	source, err := guest.Open()
	if err != nil {
		t.Fatal(err)
	}
	core, said := observer.New(zap.InfoLevel)
	w := &breachWatch{Breaches: source}
	w.log.Store(zap.New(core))
	ask := func(text string) { _, _ = w.Breached(context.Background(), sha1.Sum([]byte(text))) }
	ask("passwordpassword")
	ask("Blue pallet trucks at dawn")
	if err := closed(source); err != nil {
		t.Fatal(err)
	}
	ask("passwordpassword")
	ask("passwordpassword")
	if w.Breaches, err = guest.Open(); err != nil {
		t.Fatal(err)
	}
	defer closed(w.Breaches) //nolint:errcheck // a test's end
	ask("passwordpassword")
	if got := w.results(); got["breached"] != 2 || got["clear"] != 1 || got["unavailable"] != 2 {
		t.Errorf("counted %v", got)
	}
	if said.Len() != 2 {
		t.Errorf("said %v", said.All())
	}
	if (*breachWatch)(nil).results() != nil {
		t.Error("without a source something is counted")
	}
}

// A filter that was replaced is another source, which a reload opens; one that was not is kept.
func TestAReplacedFilterIsAnotherSource(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "filter")
	if err := os.WriteFile(name, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	guest := &BreachFile{Path: name}
	before := guest.Settings()
	if guest.Settings() != before {
		t.Error("nothing has changed")
	}
	if err := os.WriteFile(name, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if guest.Settings() == before {
		t.Error("the file was replaced")
	}
}

func hexOf(sum [sha1.Size]byte) string {
	const digits = "0123456789ABCDEF"
	var out []byte
	for _, b := range sum {
		out = append(out, digits[b>>4], digits[b&15])
	}
	return string(out)
}

var _ password.Breaches = (*breachWatch)(nil)
