package password

import (
	"errors"
	"strings"
	"testing"
)

const goodPHC = "$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

// PWD-08: a stored hash beyond the bounds is never executed, and neither is anything that only looks like a hash.
func TestAStoredHashBeyondTheBoundsIsRefused(t *testing.T) {
	t.Parallel()
	if h, err := parsePHC(goodPHC); err != nil || h.memory != 19456 || h.passes != 2 || h.lanes != 1 || len(h.salt) != 16 || len(h.key) != 32 || h.String() != goodPHC {
		t.Fatalf("%+v, %v", h, err)
	}
	change := func(old, new string) string {
		if !strings.Contains(goodPHC, old) {
			t.Fatalf("%q is not in the hash", old)
		}
		return strings.Replace(goodPHC, old, new, 1)
	}
	for name, s := range map[string]string{
		"nothing": "", "ours is elsewhere": "!portalgate", "argon2i": change("argon2id", "argon2i"), "argon2d": change("argon2id", "argon2d"),
		"an older version": change("v=19", "v=16"), "no version": change("v=19$", ""),
		"memory beyond": change("m=19456", "m=262145"), "memory of a terabyte": change("m=19456", "m=1073741824"), "memory that wraps": change("m=19456", "m=4294986752"),
		"memory too small for the lanes": change("m=19456", "m=7"), "no memory": change("m=19456", "m=0"), "memory negative": change("m=19456", "m=-1"),
		"passes beyond": change("t=2", "t=11"), "no passes": change("t=2", "t=0"), "passes of a year": change("t=2", "t=4294967295"),
		"lanes beyond": change("p=1", "p=5"), "no lanes": change("p=1", "p=0"), "lanes that wrap": change("p=1", "p=257"),
		"a leading zero": change("t=2", "t=02"), "a sign": change("t=2", "t=+2"), "a space": change("t=2", "t= 2"), "hexadecimal": change("t=2", "t=0x2"),
		"another order": change("m=19456,t=2", "t=2,m=19456"), "a parameter more": change("p=1", "p=1,x=1"), "a parameter fewer": change(",p=1", ""),
		"a short salt": change("AAECAwQFBgcICQoLDA0ODw", "AAECAwQFBg"), "no salt": change("AAECAwQFBgcICQoLDA0ODw$", "$"),
		"a long salt": change("AAECAwQFBgcICQoLDA0ODw$", strings.Repeat("A", 87)+"$"),
		"a short key": change("$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "$AAECAwQFBgcICQoLDA0O"), "no key": change("$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "$"),
		"a long key": goodPHC + strings.Repeat("A", 45), "padding": goodPHC + "=", "a line end": goodPHC + "\n", "a line end within": change("AAEC", "AA\nEC"),
		"base64url": change("Hh8", "H_8"), "unused bits": change("Hh8", "Hh9"), "a field more": goodPHC + "$", "a field before": "x" + goodPHC, "600 bytes": goodPHC + strings.Repeat(" ", 600),
		"bcrypt": "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
	} {
		if _, err := parsePHC(s); !errors.Is(err, ErrStoredParameters) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, s := range []string{change("m=19456", "m=262144"), change("t=2", "t=10"), change("p=1", "p=4"), change("m=19456", "m=8")} {
		if _, err := parsePHC(s); err != nil {
			t.Errorf("%s is within the bounds: %v", s, err)
		}
	}
}

func TestABcryptHashBeyondTheBoundsIsRefused(t *testing.T) {
	t.Parallel()
	const tail = "N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
	for _, c := range []struct {
		hash string
		cost int
	}{
		{"$2a$10$" + tail, 10}, {"$2b$10$" + tail, 10}, {"$2y$10$" + tail, 10}, {"$2b$04$" + tail, 4}, {"$2b$14$" + tail, 14},
		{"$2b$15$" + tail, 0}, {"$2b$31$" + tail, 0}, {"$2b$03$" + tail, 0}, {"$2b$99$" + tail, 0}, {"$2b$-1$" + tail, 0}, {"$2b$+9$" + tail, 0},
		{"$2x$10$" + tail, 0}, {"$2$10$" + tail, 0}, {"$1$10$" + tail, 0}, {"$2b$10$" + tail[:52], 0}, {"$2b$10$" + tail + "x", 0}, {"", 0}, {"$2b$1x$" + tail, 0},
	} {
		cost, err := bcryptCost(c.hash)
		if cost != c.cost || (err == nil) != (c.cost > 0) || err != nil && !errors.Is(err, ErrStoredParameters) {
			t.Errorf("%s: cost %d, %v", c.hash, cost, err)
		}
	}
}

func FuzzPHC(f *testing.F) {
	for _, s := range []string{goodPHC, "", "$", "$$$$$", "$argon2id$v=19$m=8,t=1,p=1$AAECAwQFBgc$AAECAwQFBgcICQoLDA0ODw", strings.Replace(goodPHC, "19456", "4294967296", 1), goodPHC + "\n", "$argon2id$v=19$m=,t=,p=$$"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parsePHC(s)
		if err != nil {
			return
		}
		if h.String() != s {
			t.Fatalf("%q is read as %q: one hash has two spellings", s, h)
		}
		if h.memory > maxMemory || h.passes > maxPasses || h.lanes > maxLanes || h.lanes < 1 || h.passes < 1 || h.memory < 8*uint32(h.lanes) || len(h.salt) < minSalt || len(h.key) < minKey {
			t.Fatalf("%q is beyond the bounds", s)
		}
	})
}
