package session

import "testing"

// disguises are names that some program reads as one of ours: by trimming (spaces of any alphabet), folding case,
// unquoting, decoding, or making something else of a dot (SES-04).
var disguises = []string{
	"PORTALGATE", "Portalgate", "__host-portalgate", "__HOST-portalgate", "__Secure-portalgate", "__secure-portalgate-refresh", "__Host-Portalgate", "\u2003__Host-portalgate", "\u00a0portalgate", "portalgate\u2000",
	"\"portalgate\"", "\"__Host-portalgate", "'portalgate'", "portalgate\x0b", "portalgate\x0c", "\x00portalgate", "portalgate ", "..Host-portalgate", "_.Host-portalgate", "%5F%5FHost-portalgate", "%70ortalgate",
	"portalgate_refresh", "portalgate.device", "PORTALGATE-ATTEMPT", "portalgate-refreſh", "$portalgate", "__Http-portalgate", "__Host-Http-portalgate", "+portalgate", "portalgate-",
}

func TestADisguiseIsNeitherReadNorPassedNorSet(t *testing.T) {
	const good = "__Host-portalgate=A; __Host-portalgate-refresh=R"
	for _, name := range disguises {
		for _, lines := range [][]string{{good + "; " + name + "=evil; theirs=1"}, {name + "=evil; " + good, "theirs=1"}, {name + "=evil; theirs=1"}} {
			if got, rest := (Jar{Secure: true}).Split(lines); got != (Cookies{Confused: true}) || rest != "theirs=1" || !got.Any() {
				t.Errorf("%q in %d lines: confused %v, %q goes on", name, len(lines), got.Confused, rest)
			}
		}
		for _, line := range []string{name + "=x; Path=/", "=" + name + "=x", name, name + "; Max-Age=0"} { // SES-06
			if !Ours(line) {
				t.Errorf("%q may be set by the upstream", line)
			}
		}
	}
}
