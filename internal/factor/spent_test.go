package factor

import (
	"fmt"
	"testing"
	"time"
)

func TestAnsweredQuestionsAreRememberedForAsLongAsTheyCouldBeAnswered(t *testing.T) {
	t.Parallel()
	var s spent
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	id := func(i int) []byte { return []byte(fmt.Sprint("question ", i)) }
	for i := range 100 {
		s = s.add(id(i), now.Add(5*time.Minute), now)
		for old := range i + 1 {
			if want := i-old < 5; s.has(id(old)) != want {
				t.Fatalf("%d minutes later it is remembered: %t", i-old, !want)
			}
		}
		if len(s) > 5 {
			t.Fatalf("%d questions are remembered", len(s))
		}
		now = now.Add(time.Minute)
	}
	if s.has(nil) || s.has([]byte{}) {
		t.Error("no question was answered")
	}
}
