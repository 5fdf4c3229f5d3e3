// Package timing owns the question whether two kinds of answer can be told apart by how long they take (TIM-01): the
// Mann-Whitney statistic, the difference of the medians, and how sure that difference is.
//
// It refuses to judge by averages, which one pause of the machine decides, and it takes its chances from a generator
// with a fixed beginning, so that the same measurements get the same verdict. It has no neighbour.
package timing

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Class is one kind of answer and how long each of its samples took.
type Class struct {
	Name    string
	Samples []time.Duration
}

// Bounds are what a pair of classes must stay within.
type Bounds struct {
	AUC float64       // how far from a half
	Gap time.Duration // between the medians
}

// The bounds of TIM-01: for every run of the tests, with 300 samples a class on a machine that does other things too,
// and the sharp ones before a release, with 2,000.
var (
	Everyday = Bounds{AUC: 0.10, Gap: 4 * time.Millisecond}
	Sharp    = Bounds{AUC: 0.05, Gap: 2 * time.Millisecond}
)

// Pair is how two classes compare.
type Pair struct {
	A, B string
	// AUC is how often a sample of B takes longer than one of A, ties counting half: one half says that nothing can be
	// told, zero or one that each single answer gives its kind away.
	AUC float64
	// Gap is the median of B less that of A, and Low and High enclose it with a probability of 95 in 100.
	Gap, Low, High time.Duration
}

// Within says whether the two cannot be told apart, as far as the bounds ask.
func (p Pair) Within(b Bounds) bool {
	return math.Abs(p.AUC-0.5) <= b.AUC && p.Gap.Abs() < b.Gap
}

// String is one line for a person.
func (p Pair) String() string {
	r := func(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
	return fmt.Sprintf("%s / %s: AUC %.3f, medians differ by %s (%s to %s)", p.A, p.B, p.AUC, r(p.Gap), r(p.Low), r(p.High))
}

// Compare compares every pair of classes.
func Compare(classes []Class) []Pair {
	var out []Pair
	for i := range classes {
		for _, b := range classes[i+1:] {
			a := classes[i]
			p := Pair{A: a.Name, B: b.Name, AUC: AUC(a.Samples, b.Samples), Gap: Quantile(b.Samples, 0.5) - Quantile(a.Samples, 0.5)}
			p.Low, p.High = bootstrap(a.Samples, b.Samples)
			out = append(out, p)
		}
	}
	return out
}

// AUC is the Mann-Whitney statistic U over the number of pairs: the probability that a sample of b is the longer one,
// ties counting half.
func AUC(a, b []time.Duration) float64 {
	if len(a) == 0 || len(b) == 0 {
		return math.NaN()
	}
	type sample struct {
		took time.Duration
		b    bool
	}
	all := make([]sample, 0, len(a)+len(b))
	for _, d := range a {
		all = append(all, sample{d, false})
	}
	for _, d := range b {
		all = append(all, sample{d, true})
	}
	slices.SortFunc(all, func(x, y sample) int { return int(max(-1, min(1, x.took-y.took))) })
	ranks := 0.0 // of b, samples of one length sharing the middle of their ranks
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].took == all[i].took {
			j++
		}
		for _, s := range all[i:j] {
			if s.b {
				ranks += float64(i+j+1) / 2
			}
		}
		i = j
	}
	n := float64(len(b))
	return (ranks - n*(n+1)/2) / (n * float64(len(a)))
}

// Quantile is the sample below which a share of them lies.
func Quantile(samples []time.Duration, share float64) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	s := slices.Clone(samples)
	slices.Sort(s)
	return s[min(len(s)-1, int(share*float64(len(s))))]
}

// rounds is how often the samples are drawn anew for the interval around a difference.
const rounds = 400

// bootstrap draws both classes anew from themselves, many times, and returns what 95 of 100 differences lie between.
func bootstrap(a, b []time.Duration) (low, high time.Duration) {
	if len(a) == 0 || len(b) == 0 {
		return 0, 0
	}
	state := uint64(0x9e3779b97f4a7c15)
	below := func(n int) int { // SplitMix64: nothing here is a secret
		state += 0x9e3779b97f4a7c15
		z := state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return int((z ^ z>>31) % uint64(n))
	}
	draw := func(from []time.Duration) time.Duration {
		s := make([]time.Duration, len(from))
		for i := range s {
			s[i] = from[below(len(from))]
		}
		return Quantile(s, 0.5)
	}
	gaps := make([]time.Duration, rounds)
	for i := range gaps {
		gaps[i] = draw(b) - draw(a)
	}
	return Quantile(gaps, 0.025), Quantile(gaps, 0.975)
}

// Report is a table of the classes, and the pairs that can be told apart the easiest.
func Report(classes []Class, pairs []Pair) string {
	var b strings.Builder
	r := func(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
	for _, c := range classes {
		fmt.Fprintf(&b, "%-40s %5d samples  p5 %-9s p50 %-9s p95 %s\n", c.Name, len(c.Samples), r(Quantile(c.Samples, 0.05)), r(Quantile(c.Samples, 0.5)), r(Quantile(c.Samples, 0.95)))
	}
	worst := slices.Clone(pairs)
	slices.SortFunc(worst, func(x, y Pair) int {
		switch dx, dy := math.Abs(x.AUC-0.5), math.Abs(y.AUC-0.5); {
		case dx > dy:
			return -1
		case dx < dy:
			return 1
		}
		return 0
	})
	for _, p := range worst[:min(5, len(worst))] {
		fmt.Fprintln(&b, p)
	}
	return b.String()
}
