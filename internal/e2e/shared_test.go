package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// lasting is a testing.TB whose cleanups wait until all tests are done: what many tests share is set up with it by the
// first of them.
type lasting struct {
	testing.TB
	after  []func()
	failed bool
}

var shared []*lasting

func last(t testing.TB) *lasting {
	l := &lasting{TB: t}
	shared = append(shared, l)
	return l
}

// endShared ends what tests shared, and says whether it ended well.
func endShared() (well bool) {
	well = true
	for _, l := range shared {
		for i := len(l.after) - 1; i >= 0; i-- {
			l.after[i]()
		}
		well = well && !l.failed
	}
	return well
}

func (l *lasting) Cleanup(f func())         { l.after = append(l.after, f) }
func (l *lasting) Context() context.Context { return context.Background() }
func (l *lasting) Failed() bool             { return l.failed }
func (l *lasting) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}
func (l *lasting) Log(args ...any) { fmt.Fprintln(os.Stderr, args...) }
func (l *lasting) Errorf(format string, args ...any) {
	l.failed = true
	l.Logf(format, args...)
}
func (l *lasting) Error(args ...any) {
	l.failed = true
	l.Log(args...)
}

func (l *lasting) TempDir() string {
	dir, err := os.MkdirTemp("", "portalgate-e2e-")
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
