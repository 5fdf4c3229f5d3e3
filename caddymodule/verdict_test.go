package caddymodule

import (
	"errors"
	"testing"

	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// A configuration that follows another one at once does not have people wait while the database is looked through again;
// one that comes later, or with other keys, is judged.
func TestADatabaseJustFoundFitIsNotLookedThroughAgain(t *testing.T) {
	t.Parallel()
	house := testenv.NewHouse(t, testenv.Plan{})
	v := new(verdict)
	first := &world{keys: house.Keys, store: house.Store, verdict: v, fit: &v.fit, hosts: &v.hosts}
	if err := first.judge(t.Context()); err != nil {
		t.Fatal(err)
	}
	nowhere, err := store.Open("postgres://nobody@127.0.0.1:1/none", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nowhere.Close)
	next := &world{keys: house.Keys, store: nowhere, verdict: v, fit: &v.fit, hosts: &v.hosts}
	if err := next.judge(t.Context()); err != nil {
		t.Errorf("the database is asked in the moment after it was found fit: %v", err)
	}
	last := *v.last.Load()
	for what, then := range map[string]fitness{
		"a minute later": {last.at.Add(-fitFor), last.keys}, "with other keys": {last.at, last.keys + 1},
	} {
		v.last.Store(&then)
		if err := next.judge(t.Context()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s the database is not asked: %v", what, err)
		}
	}
	v.last.Store(&last)
	v.fit.Store(false)
	if err := next.judge(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a database that was not found fit is not asked: %v", err)
	}
}
