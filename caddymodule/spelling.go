package caddymodule

import "strings"

// nearest is the known name that a misspelt one is closest to, or is the beginning of; empty when none is near.
func nearest(name string, known []string) string {
	best, at := "", min(4, len(name))
	for _, o := range known {
		if n := distance(name, o); n < at || n == at && o < best {
			best, at = o, n
		}
	}
	if best == "" && len(name) > 2 {
		for _, o := range known {
			if strings.HasPrefix(o, name) && (best == "" || len(o) < len(best)) {
				best = o
			}
		}
	}
	return best
}

// distance counts the single-letter edits between two words (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := before
			if a[i-1] != b[j-1] {
				cost++
			}
			before, row[j] = row[j], min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

// belongs is the other one of our two blocks, when an option stands there.
func belongs(where, name string, options map[string]option) string {
	if where != "portalgate" {
		return ""
	}
	if _, global := options["database"]; global {
		if new(Handler).options(noting{})[name] != nil {
			return "the `portalgate` of a site, and not into the global options"
		}
	} else if new(App).options(noting{})[name] != nil {
		return "the `portalgate { … }` of the global options, and not into a site"
	}
	return ""
}
