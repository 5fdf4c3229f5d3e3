package password

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func prepare(t testing.TB, s string) Prepared {
	t.Helper()
	p, err := Prepare(s)
	if err != nil {
		t.Fatalf("preparing %q: %v", s, err)
	}
	return p
}

// PWD-02: 128 code points and 1,024 bytes, and nothing else decides.
func TestAPasswordIsMeasuredInCodePoints(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		len  int
		err  error
	}{
		"128 letters":                    {strings.Repeat("a", 128), 128, nil},
		"129 letters":                    {strings.Repeat("a", 129), 0, ErrTooLong},
		"128 emoji":                      {strings.Repeat("🦩", 128), 128, nil},
		"7 emoji":                        {strings.Repeat("🦩", 7), 7, nil},
		"mixed scripts":                  {strings.Repeat("aж日🦩 ", 20), 100, nil},
		"128 letters in 256 code points": {strings.Repeat("e\u0301", 128), 128, nil},
		"1,024 bytes of too much":        {strings.Repeat("a", 1024), 0, ErrTooLong},
		"1,025 bytes":                    {strings.Repeat("e\u0301", 341) + "ab", 0, ErrTooLong},
		"a megabyte":                     {strings.Repeat("a", 1<<20), 0, ErrTooLong},
		"no text":                        {"pass\xffword", 0, ErrNotText},
		"half a character":               {"pass\xe2\x82", 0, ErrNotText},
		"empty":                          {"", 0, nil},
		"spaces":                         {"   ", 3, nil},
		"NUL":                            {"x\x00y", 3, nil},
	} {
		p, err := Prepare(c.text)
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) || p.Len() != c.len {
			t.Errorf("%s: %d code points, %v", name, p.Len(), err)
		}
	}
}

// PWD-03: nothing is trimmed, folded or cut.
func TestPreparingChangesNothingButTheNormalForm(t *testing.T) {
	t.Parallel()
	for _, s := range []string{" a ", "\ta\n", "A", "a", "x\x00y", "ﬁ", "①", "\u00a0", "a\u200bb", "ｆｕｌｌ", "İ", strings.Repeat("ab", 50)} {
		if p := prepare(t, s); p.text() != s || p.raw() != s {
			t.Errorf("%q becomes %q", s, p.text())
		}
	}
	if composed, split := prepare(t, "Caf\u00e9 au lait"), prepare(t, "Cafe\u0301 au lait"); composed.text() != split.text() || composed.raw() == split.raw() {
		t.Errorf("%q and %q", composed.text(), split.text())
	}
}

func TestAPasswordDoesNotPrint(t *testing.T) {
	t.Parallel()
	const secret = "Correct horse battery"
	p := prepare(t, secret)
	kept := struct {
		name  string
		typed Prepared
	}{"x", p}
	for _, value := range []any{p, &p, kept, &kept, []Prepared{p}, map[string]Prepared{"a": p}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%U", "%t"} {
			if s := fmt.Sprintf(verb, value); strings.Contains(s, "horse") || strings.Contains(s, "686f727365") || strings.Contains(s, "686F727365") || strings.Contains(s, "104 111 114") {
				t.Errorf("%T prints by %s", value, verb)
			}
		}
		if b, err := json.Marshal(value); err == nil && strings.Contains(string(b), "horse") {
			t.Errorf("%T prints as JSON", value)
		}
	}
}
