package timing

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func ms(n ...int) (out []time.Duration) {
	for _, v := range n {
		out = append(out, time.Duration(v)*time.Millisecond)
	}
	return out
}

func TestTheStatisticCountsPairs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b []time.Duration
		want float64
	}{
		{ms(1, 2, 3), ms(4, 5, 6), 1}, {ms(4, 5, 6), ms(1, 2, 3), 0}, {ms(1, 2, 3), ms(1, 2, 3), 0.5}, {ms(5, 5), ms(5, 5, 5), 0.5},
		{ms(1, 3), ms(2), 0.5}, {ms(1, 3), ms(3), 0.75}, {ms(1, 2, 3, 4), ms(2, 5), 0.6875},
	} {
		// The definition, by counting.
		sum := 0.0
		for _, x := range c.a {
			for _, y := range c.b {
				switch {
				case y > x:
					sum++
				case y == x:
					sum += 0.5
				}
			}
		}
		if counted := sum / float64(len(c.a)*len(c.b)); AUC(c.a, c.b) != c.want || counted != c.want {
			t.Errorf("%v, %v: %v, counted %v, want %v", c.a, c.b, AUC(c.a, c.b), counted, c.want)
		}
	}
	if !math.IsNaN(AUC(nil, ms(1))) || (Pair{AUC: math.NaN()}).Within(Everyday) {
		t.Error("nothing measured is taken for nothing to be told")
	}
}

// The instrument must see what is there, with as few samples as every run of the tests takes, and nothing else.
func TestADifferenceIsSeenAndNoneIsNot(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	noisy := func(n int, shift time.Duration) (out []time.Duration) {
		for range n {
			out = append(out, 100*time.Millisecond+shift+time.Duration(r.ExpFloat64()*float64(2*time.Millisecond)))
		}
		return out
	}
	for _, c := range []struct {
		name  string
		n     int
		shift time.Duration
		b     Bounds
		same  bool
	}{
		{"the same, everyday", 300, 0, Everyday, true}, {"the same, sharp", 2000, 0, Sharp, true},
		{"five milliseconds, everyday", 300, 5 * time.Millisecond, Everyday, false}, {"one millisecond, everyday", 300, time.Millisecond, Everyday, false},
		{"half a millisecond, sharp", 2000, 500 * time.Microsecond, Sharp, false},
	} {
		p := Compare([]Class{{"a", noisy(c.n, 0)}, {"b", noisy(c.n, c.shift)}})[0]
		if p.Within(c.b) != c.same {
			t.Errorf("%s: %s", c.name, p)
		}
		if c.shift > 0 && (p.Low <= 0 || p.High < c.shift/2 || p.Low > p.Gap || p.High < p.Gap) {
			t.Errorf("%s: the interval is %s to %s", c.name, p.Low, p.High)
		}
	}
	// Two classes of one median whose tails differ are told apart by nobody in one guess, and the medians agree.
	if p := (Pair{AUC: 0.5, Gap: 5 * time.Millisecond}); p.Within(Everyday) {
		t.Error("a gap between medians passes")
	}
}

func TestTheReportNamesClassesAndTheWorstPairs(t *testing.T) {
	t.Parallel()
	classes := []Class{{"unknown", ms(1, 2, 3)}, {"wrong", ms(1, 2, 3)}, {"bcrypt", ms(7, 8, 9)}}
	pairs := Compare(classes)
	s := Report(classes, pairs)
	if len(pairs) != 3 || !strings.Contains(s, "unknown / bcrypt: AUC 1.000") || strings.Index(s, "unknown / bcrypt") > strings.Index(s, "unknown / wrong") {
		t.Errorf("%d pairs\n%s", len(pairs), s)
	}
}
