package factor

import (
	"errors"
	"strings"
	"testing"
	"unicode"
)

func TestEveryDecimalDigitHasItsValue(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, runs := range [][]unicode.Range32{wide(unicode.Nd.R16), unicode.Nd.R32} {
		for _, run := range runs {
			if run.Stride != 1 || (run.Hi-run.Lo+1)%10 != 0 {
				t.Fatalf("a run of digits from %U to %U, every %d", run.Lo, run.Hi, run.Stride)
			}
			for r := run.Lo; r <= run.Hi; r++ {
				seen++
				if got := decimal(rune(r)); got != rune(r-run.Lo)%10 {
					t.Errorf("%U is %d", r, got)
				}
			}
		}
	}
	if seen < 600 || decimal('x') != -1 || decimal('٣') != 3 || decimal('９') != 9 || decimal('𝟘') != 0 {
		t.Errorf("%d digits", seen)
	}
}

func wide(in []unicode.Range16) (out []unicode.Range32) {
	for _, r := range in {
		out = append(out, unicode.Range32{Lo: uint32(r.Lo), Hi: uint32(r.Hi), Stride: uint32(r.Stride)})
	}
	return out
}

func FuzzDigits(f *testing.F) {
	for _, s := range []string{"123456", "123 456", "١٢٣٤٥٦", "１２３-４５６", "\u2066123456\u2069", "12345\xff", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, err := digits(typed, codeDigits)
		if err != nil {
			if !errors.Is(err, ErrInput) || code != "" {
				t.Errorf("%q: %q, %v", typed, code, err)
			}
			return
		}
		if len(code) != codeDigits || strings.Trim(code, "0123456789") != "" {
			t.Errorf("%q is read as %q", typed, code)
		}
		n := 0
		for _, r := range typed {
			if unicode.IsDigit(r) {
				n++
			}
		}
		if again, err := digits(code, codeDigits); n != codeDigits || err != nil || again != code {
			t.Errorf("%q has %d digits, and is read as %q, then as %q", typed, n, code, again)
		}
	})
}

func TestABackupCodeIsReadAsItIsWrittenByHand(t *testing.T) { // ux 30
	t.Parallel()
	for typed, want := range map[string]string{
		"7K3M9-QXD2H-TVW4B": "7K3M9QXD2HTVW4B", "7k3m9qxd2htvw4b": "7K3M9QXD2HTVW4B", " 7k3m9 qxd2h\u2013tvw4b\n": "7K3M9QXD2HTVW4B",
		"OoIiL-l0001-11111": "001111000111111", "７K3M９-QXD２H-TVW４B": "7K3M9QXD2HTVW4B",
	} {
		if got, err := readBackup(typed); err != nil || got != want {
			t.Errorf("%q: %q, %v", typed, got, err)
		}
	}
	for _, none := range []string{"", "-----", "7K3M9-QXD2H-TVW4", "7K3M9-QXD2H-TVW4BB", "7K3M9-QXD2H-TVW4U", "7K3M9-QXD2H-TVW4!", "7K3M9-QXD2H-TVW4Ω", strings.Repeat("-", 1000)} {
		if got, err := readBackup(none); !errors.Is(err, ErrInput) || got != "" {
			t.Errorf("%q: %q, %v", none, got, err)
		}
	}
}

func FuzzBackupCode(f *testing.F) {
	for _, s := range []string{"7K3M9-QXD2H-TVW4B", "oOiIlL0000 11111", "ſſſſſſſſſſſſſſſ", "", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, err := readBackup(typed)
		if err != nil {
			return
		}
		if len(code) != backupParts*backupPart || strings.Trim(code, crockford) != "" {
			t.Errorf("%q is read as %q", typed, code)
		}
		if again, err := readBackup(code); err != nil || again != code {
			t.Errorf("%q is read as %q, and that as %q: %v", typed, code, again, err)
		}
	})
}

func TestATelephoneNumberIsSpelledAsTheNetworksDo(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"+49 151 12345678": "+4915112345678", "0049 151-12345678": "+4915112345678", "+49 (0)151 / 1234 5678": "+4915112345678", "＋49 151 １２３４５６７８": "+4915112345678",
		"+1 (212) 555-0100": "+12125550100", "+٤٩ ١٥١ ١٢٣٤٥٦٧": "+491511234567", "+44.20.7946.0000": "+442079460000", "+290 12345": "+29012345",
	} {
		if got, err := readNumber(typed); err != nil || got != want {
			t.Errorf("%q: %q, %v", typed, got, err)
		}
	}
	for _, none := range []string{"", "+", "00", "0151 12345678", "151 12345678", "+49", "+49 151 1", "+0151 12345678", "000 151 12345678", "+49 151 12345678 901 2345", "+49 151 CALL-ME-NOW", "++4915112345678",
		"+49151+12345678", "+4915112345678;ext=1", "+4915112345678\x00", "tel:+4915112345678", "+49151,12345678", strings.Repeat("+", 1000)} {
		if got, err := readNumber(none); !errors.Is(err, ErrContact) || got != "" {
			t.Errorf("%q: %q, %v", none, got, err)
		}
	}
	if got := maskNumber("+4915112345678"); got != "••• 678" {
		t.Errorf("shown as %q", got)
	}
}

func FuzzTelephoneNumber(f *testing.F) {
	for _, s := range []string{"+49 151 12345678", "0049(0)15112345678", "+١٢٣٤٥٦٧٨", "", "\xff+"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		number, err := readNumber(typed)
		if err != nil {
			return
		}
		if len(number) < 9 || len(number) > 16 || number[0] != '+' || number[1] == '0' || strings.Trim(number[1:], "0123456789") != "" {
			t.Errorf("%q is read as %q", typed, number)
		}
		if again, err := readNumber(number); err != nil || again != number {
			t.Errorf("%q is read as %q, and that as %q: %v", typed, number, again, err)
		}
	})
}
