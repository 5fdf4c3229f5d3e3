package password

import (
	"runtime"
	"sync"
	"testing"

	"github.com/ccojocar/zxcvbn-go/data"
)

// A release of zxcvbn with other words than those that are read here would be weaker with us than it is.
func TestTheDictionariesAreThoseOfTheLibrary(t *testing.T) {
	t.Parallel()
	graphs := map[string]bool{"data/Qwerty.json": true, "data/Dvorak.json": true, "data/Keypad.json": true, "data/MacKeypad.json": true, "data/L33t.json": true}
	for _, name := range data.AssetNames() {
		read := graphs[name]
		for _, l := range lists {
			read = read || name == "data/"+l+".json"
		}
		if !read {
			t.Errorf("the library brings %s, and it is not read", name)
		}
	}
	withDictionaries(func() {
		if len(dictionaryMatchers) != len(lists) || len(matchers) != len(lists)+6 || len(adjacencyGraphs) != 4 {
			t.Errorf("%d dictionaries, %d matchers and %d keyboards", len(dictionaryMatchers), len(matchers), len(adjacencyGraphs))
		}
		for _, last := range []string{"alonso", "allyn", "baysmore", "a'right", "eyphed"} { // of each list
			found := false
			for _, m := range dictionaryMatchers {
				for _, hit := range m.MatchingFunc(last) {
					found = found || hit.I == 0 && hit.J == len(last)-1
				}
			}
			if !found {
				t.Errorf("%q is in no dictionary", last)
			}
		}
	})
}

// They are read by whoever comes first, and nobody measures by half of them.
func TestAPasswordMeasuresTheSameWhileWordsComeAndGo(t *testing.T) {
	t.Parallel()
	p, err := Prepare("correct albuquerque battery")
	if err != nil {
		t.Fatal(err)
	}
	weak, err := Prepare("albuquerque1")
	if err != nil {
		t.Fatal(err)
	}
	want, low := Strength(p, nil), Strength(weak, nil)
	if want < 3 || low > 2 {
		t.Fatalf("strengths %d and %d", want, low)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 10 {
				if got, other := Strength(p, nil), Strength(weak, nil); got != want || other != low {
					t.Errorf("strengths %d and %d instead of %d and %d", got, other, want, low)
				}
				runtime.Gosched()
			}
		})
		all.Go(func() {
			for range 3 {
				forget()
				runtime.Gosched()
			}
		})
	}
	all.Wait()
}
