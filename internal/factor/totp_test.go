package factor_test

import (
	"errors"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/demo/servers"
	"github.com/portalgate/portalgate/internal/factor"
	"github.com/portalgate/portalgate/internal/testenv"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func scene() factor.Scene {
	return factor.Scene{Tenant: "acme", Portal: "Grüße & Söhne: Portal", Origin: "https://acme.portal.test:8443", Host: "acme.portal.test", User: "ann",
		Email: "ann+1@buyer.example", Name: "Ann", Purpose: factor.PurposeSignIn, Now: noon}
}

// set is somebody with a confirmed app.
func set(t testing.TB, s factor.Scene) (*app, factor.Held) {
	t.Helper()
	c, err := factor.TOTP{}.Setup(t.Context(), s, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := &app{}
	e, err := factor.TOTP{}.Confirm(t.Context(), s, c.State, a.Answer(t, s, c))
	if err != nil {
		t.Fatal(err)
	}
	return a, factor.Held{ID: "1", State: e.State, Facts: e.Facts}
}

// RFC 6238 appendix B. Its codes have eight digits; a code of six is their end, because both are the same number modulo
// a power of ten.
func TestTheCodesAreThoseOfTheStandard(t *testing.T) { // M09
	t.Parallel()
	const seed = `{"secret":"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}` // 12345678901234567890
	for at, code := range map[int64]string{59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130"} {
		s := scene()
		s.Now = time.Unix(at, 0)
		if _, err := (factor.TOTP{}).Check(t.Context(), s, []factor.Held{{ID: "1", State: []byte(seed)}}, nil, code[2:]); err != nil {
			t.Errorf("at %d: %v", at, err)
		}
		if _, err := (factor.TOTP{}).Check(t.Context(), s, []factor.Held{{ID: "1", State: []byte(seed)}}, nil, other(code[2:])); !errors.Is(err, factor.ErrWrong) {
			t.Errorf("another code at %d: %v", at, err)
		}
	}
}

func TestAnotherProgramMakesTheSameCodes(t *testing.T) { // M09
	t.Parallel()
	program, found := servers.Find(servers.OATHTool)
	if !found {
		testenv.Missing(t, "oathtool is not installed; this installs it: "+servers.Advice(servers.OATHTool))
	}
	for i := range 20 {
		s := scene()
		s.Now = noon.Add(time.Duration(i) * 977 * time.Hour)
		c, err := factor.TOTP{}.Setup(t.Context(), s, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, seed := range []string{c.Show.(factor.Sheet).Key, mustParse(t, c.Show.(factor.Sheet).URI).Query().Get("secret")} {
			out, err := exec.CommandContext(t.Context(), program, "--totp", "--base32", "--now", s.Now.Format("2006-01-02 15:04:05 UTC"), seed).CombinedOutput()
			if err != nil {
				t.Fatalf("oathtool: %v: %s", err, out)
			}
			if _, err := (factor.TOTP{}).Confirm(t.Context(), s, c.State, string(out)); err != nil {
				t.Errorf("oathtool says %s at %s: %v", out, s.Now, err)
			}
		}
	}
}

func mustParse(t testing.TB, uri string) *url.URL {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TOTP-04.
func TestEverySeedIsAnotherAndHas160Bits(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 20 {
		c, err := factor.TOTP{}.Setup(t.Context(), scene(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		sheet := c.Show.(factor.Sheet)
		if !regexp.MustCompile(`^([A-Z2-7]{4} ){7}[A-Z2-7]{4}$`).MatchString(sheet.Key) {
			t.Errorf("the key is %q", sheet.Key)
		}
		seen[sheet.Key] = true
	}
	if len(seen) != 20 {
		t.Errorf("20 people have %d seeds", len(seen))
	}
}

func TestTheSheetSaysWhoseKeyItIsAndShowsTheSameAgain(t *testing.T) { // ux 33 to 35
	t.Parallel()
	s := scene()
	c, err := factor.TOTP{}.Setup(t.Context(), s, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	sheet := c.Show.(factor.Sheet)
	u := mustParse(t, sheet.URI)
	if u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/Grüße & Söhne  Portal:ann+1@buyer.example" || strings.Contains(sheet.URI, "+") && !strings.Contains(u.EscapedPath(), "+") {
		t.Errorf("%s: the label is %q", sheet.URI, u.Path)
	}
	q := u.Query()
	if q.Get("issuer") != "Grüße & Söhne  Portal" || q.Get("secret") != strings.ReplaceAll(sheet.Key, " ", "") || q.Get("digits") != "6" || q.Get("period") != "30" || q.Get("algorithm") != "SHA1" {
		t.Errorf("%s: %v", sheet.URI, q)
	}
	again, err := factor.TOTP{}.Setup(t.Context(), s, nil, c.State)
	if err != nil || again.Show != c.Show {
		t.Errorf("asked for the same page again: %+v, %v", again.Show, err)
	}
	s.Portal = ""
	if c, err = (factor.TOTP{}).Setup(t.Context(), s, nil, nil); err != nil || mustParse(t, c.Show.(factor.Sheet).URI).Path != "/ann+1@buyer.example" {
		t.Errorf("without a name: %+v, %v", c.Show, err)
	}
}

// TOTP-01, TOTP-03.
func TestAStepIsAcceptedOnceAndNoneBeforeIt(t *testing.T) {
	t.Parallel()
	a, enrolled := set(t, scene())
	at := func(step int) string { return a.at(t, noon.Add(time.Duration(step)*30*time.Second)) }
	s := scene()
	s.Now = noon.Add(10 * time.Minute) // step 20
	for name, try := range map[string]struct {
		first, then int
		want        error
	}{
		"the same":                  {20, 20, factor.ErrUsed},
		"the one after, then it":    {21, 20, factor.ErrUsed},
		"the one before, then it":   {19, 20, nil},
		"it, then the one after":    {20, 21, nil},
		"it, then the one before":   {20, 19, factor.ErrUsed},
		"it, then one long used":    {20, 15, factor.ErrUsed},
		"two steps after":           {20, 22, factor.ErrWrong},
		"two steps after, at first": {22, 20, nil},
	} {
		have := []factor.Held{enrolled}
		if got, err := (factor.TOTP{}).Check(t.Context(), s, have, nil, at(try.first)); err == nil {
			have[0].State = got.State
		} else if try.first != 22 {
			t.Errorf("%s: the first: %v", name, err)
		}
		s := s
		s.Purpose = factor.PurposeStepUp
		if _, err := (factor.TOTP{}).Check(t.Context(), s, have, nil, at(try.then)); !errors.Is(err, try.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Of this seed the codes of one step and of the next but one are the same six digits, at noon's neighbours.
func TestACodeOfTwoStepsIsUsedUpForBoth(t *testing.T) {
	t.Parallel()
	held := factor.Held{ID: "1", State: []byte(`{"secret":"AAAAAAAAAJ6XSAAAAAAAAAAAAAAAAAAA"}`)}
	got, err := factor.TOTP{}.Check(t.Context(), scene(), []factor.Held{held}, nil, "778089")
	if err != nil {
		t.Fatal(err)
	}
	held.State = got.State
	if _, err := (factor.TOTP{}).Check(t.Context(), scene(), []factor.Held{held}, nil, "778089"); !errors.Is(err, factor.ErrUsed) {
		t.Errorf("again: %v", err)
	}
}

func TestAClockThatIsOffIsToldAndItsCodeOpensNothing(t *testing.T) { // ux 28
	t.Parallel()
	a, enrolled := set(t, scene())
	s := scene()
	s.Now = noon.Add(time.Hour)
	check := func(off int) (factor.Checked, error) {
		return factor.TOTP{}.Check(t.Context(), s, []factor.Held{enrolled}, nil, a.at(t, s.Now.Add(time.Duration(off)*30*time.Second)))
	}
	for off, told := range map[int]bool{-2: true, -10: true, -11: false, 2: false, 3: false, 10: false} {
		_, err := check(off)
		var d *factor.DriftError
		if !errors.Is(err, factor.ErrWrong) || errors.As(err, &d) != told || told && d.Off != time.Duration(off)*30*time.Second {
			t.Errorf("%d steps off: %v", off, err)
		}
	}
	for off, clock := range map[int]string{-1: "-1", 0: "+0", 1: "+1"} {
		if got, err := check(off); err != nil || got.Facts["clock"] != clock || len(got.Facts) != 1 {
			t.Errorf("%d steps off: %v, %v", off, got.Facts, err)
		}
	}
	// While the key is on the screen, both ways are told.
	c, err := factor.TOTP{}.Setup(t.Context(), s, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	a.Answer(t, s, c)
	for off, told := range map[int]bool{-10: true, -2: true, 2: true, 10: true, -11: false, 11: false} {
		_, err := factor.TOTP{}.Confirm(t.Context(), s, c.State, a.at(t, s.Now.Add(time.Duration(off)*30*time.Second)))
		var d *factor.DriftError
		if !errors.Is(err, factor.ErrWrong) || errors.As(err, &d) != told || told && d.Off != time.Duration(off)*30*time.Second {
			t.Errorf("%d steps off while it is set up: %v", off, err)
		}
	}
	if (&factor.DriftError{Off: -time.Minute}).Error() != "the device's clock is off by -1m0s" {
		t.Error(&factor.DriftError{Off: -time.Minute})
	}
}

func TestACodeIsReadInEveryScriptAndSpelling(t *testing.T) { // TOTP-03, ux 26
	t.Parallel()
	a, enrolled := set(t, scene())
	s := scene()
	s.Now = noon.Add(time.Hour)
	code := a.at(t, s.Now)
	script := func(zero rune) string {
		return strings.Map(func(r rune) rune { return zero + r - '0' }, code)
	}
	for name, typed := range map[string]string{"plain": code, "a space": code[:3] + " " + code[3:], "a dash": code[:3] + "-" + code[3:], "a line end": code + "\r\n",
		"a thin space": code[:3] + "\u202f" + code[3:], "an en dash": code[:3] + "\u2013" + code[3:], "writing direction": "\u2066" + code + "\u2069",
		"full width": script('\uff10'), "Arabic": script('\u0660'), "Persian": script('\u06f0'), "Devanagari": script('\u0966'), "mathematical": script('\U0001d7f6')} {
		if _, err := (factor.TOTP{}).Check(t.Context(), s, []factor.Held{enrolled}, nil, typed); err != nil {
			t.Errorf("%s, %q: %v", name, typed, err)
		}
	}
	for _, none := range []string{code[:5], code + "0", "0" + code, "+" + code[1:], code[:5] + "²", code[:5] + "Ⅷ", code[:5] + "l", code + ".", "1e5000", code + "\x00"} {
		if _, err := (factor.TOTP{}).Check(t.Context(), s, []factor.Held{enrolled}, nil, none); !errors.Is(err, factor.ErrInput) {
			t.Errorf("%q: %v", none, err)
		}
	}
}

// TOTP-06: a state that is somebody else's, or none, opens nothing.
func TestAnAppWithoutASeedHasNoCodes(t *testing.T) {
	t.Parallel()
	empty := app{seed: ""}
	for _, state := range []string{`{}`, `null`, `{"secret":""}`, `{"secret":"GEZDGNBVGY3TQOJQ"}`, `{"secret":"not base32!"}`} {
		held := []factor.Held{{ID: "1", State: []byte(state)}}
		if got, err := (factor.TOTP{}).Check(t.Context(), scene(), held, nil, empty.at(t, noon)); err == nil || errors.Is(err, factor.ErrWrong) {
			t.Errorf("%s: %+v, %v", state, got, err)
		}
		if _, err := (factor.TOTP{}).Setup(t.Context(), scene(), nil, []byte(state)); err == nil {
			t.Errorf("%s is shown", state)
		}
	}
}
