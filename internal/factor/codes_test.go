package factor_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/factor"
	"github.com/portalgate/portalgate/internal/portal"
)

// BKP-01: 100 sheets, each letter of their codes as likely as the others; nothing of them is kept.
func TestBackupCodesHave75BitsAndAreNowhereButOnPaper(t *testing.T) {
	t.Parallel()
	b := factor.Backup{Vault: vault(t)}
	const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	form, seen, letters, total := regexp.MustCompile(`^(?:[`+alphabet+`]{5}-){2}[`+alphabet+`]{5}$`), map[string]bool{}, map[rune]int{}, 0
	for range 100 {
		c, err := b.Setup(t.Context(), scene(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		codes := c.Show.([]string)
		if len(codes) != 8 { // M10
			t.Errorf("%d codes", len(codes))
		}
		for _, code := range codes {
			if !form.MatchString(code) || seen[code] {
				t.Errorf("the code %q", code)
			}
			seen[code] = true
			for _, r := range strings.ReplaceAll(code, "-", "") {
				letters[r]++
				total++
			}
			for _, kept := range []string{code, strings.ReplaceAll(code, "-", "")} {
				if bytes.Contains(c.State, []byte(kept)) {
					t.Errorf("%s stands in the state", kept)
				}
			}
		}
	}
	chi, want := 0.0, float64(total)/32
	for _, r := range alphabet {
		d := float64(letters[r]) - want
		chi += d * d / want
	}
	if chi > 90 { // of 31 degrees of freedom, once in several millions
		t.Errorf("chi square is %.1f", chi)
	}
}

func TestTheLastBackupCodeLeavesNone(t *testing.T) { // M10, BKP-02, BKP-04
	t.Parallel()
	b := factor.Backup{Vault: vault(t)}
	c, err := b.Setup(t.Context(), scene(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.Setup(t.Context(), scene(), nil, c.State)
	if err != nil || fmt.Sprint(again.Show) == fmt.Sprint(c.Show) {
		t.Errorf("codes are shown twice: %v", err)
	}
	e, err := b.Confirm(t.Context(), scene(), c.State, "")
	if err != nil || e.Facts["left"] != "8" {
		t.Fatalf("%+v, %v", e, err)
	}
	held := factor.Held{ID: "1", State: e.State, Facts: e.Facts}
	codes := c.Show.([]string)
	for i, code := range codes {
		typed := []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", " "), strings.NewReplacer("0", "o", "1", "l").Replace(code)}[i%4]
		got, err := b.Check(t.Context(), scene(), []factor.Held{held}, nil, typed)
		if err != nil || got.Facts["left"] != fmt.Sprint(7-i) {
			t.Fatalf("%q, which is %s: %v, %v", typed, code, got.Facts, err)
		}
		held.State = got.State
		for _, used := range codes[:i+1] {
			if _, err := b.Check(t.Context(), scene(), []factor.Held{held}, nil, used); !errors.Is(err, factor.ErrUsed) {
				t.Errorf("%s again: %v", used, err)
			}
		}
	}
	for _, none := range []string{"", "-", "00000-00000-00000"} {
		if got, err := b.Check(t.Context(), scene(), []factor.Held{held}, nil, none); err == nil {
			t.Errorf("of an empty sheet %q is %+v", none, got)
		}
	}
	for _, book := range []string{`{}`, `{"set":"AA==","left":[]}`, `null`} {
		if _, err := b.Confirm(t.Context(), scene(), []byte(book), ""); err == nil {
			t.Errorf("the sheet %s counts", book)
		}
	}
	// It guards all rows of a person, and no other tenant's.
	s := scene()
	s.User = "ann's other row"
	if _, err := b.Check(t.Context(), s, []factor.Held{{ID: "1", State: e.State}}, nil, codes[0]); err != nil {
		t.Errorf("from another row of hers: %v", err)
	}
}

// OOB-02, OOB-04.
func TestASentCodeHasSixDigitsAndIsKeptAsAKeyedHash(t *testing.T) {
	t.Parallel()
	s, m := scene(), factor.SMS{Vault: vault(t)}
	s.Contact = "0049 (0)151 12345678"
	c, err := m.Setup(t.Context(), s, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if l := c.Letter; l == nil || l.Kind != portal.LetterTextCode || l.To != "+4915112345678" || !regexp.MustCompile(`^\d{6}$`).MatchString(l.Code) || c.To != "••• 678" || c.Tries != 5 || c.Life != 10*time.Minute {
		t.Errorf("%+v, %+v", c, c.Letter)
	}
	var kept struct{ Mac []byte }
	if err := json.Unmarshal(c.State, &kept); err != nil || len(kept.Mac) != 32 || bytes.Contains(c.State, []byte(c.Letter.Code)) {
		t.Errorf("kept as %s: %v", c.State, err)
	}
	e, err := m.Confirm(t.Context(), s, c.State, c.Letter.Code)
	if err != nil || e.Facts["phone"] != "••• 678" {
		t.Errorf("%+v, %v", e, err)
	}
	email, err := factor.Email{Vault: vault(t)}.Setup(t.Context(), s, nil, nil)
	if err != nil || email.Letter.Kind != portal.LetterCode || email.Letter.To != s.Email || email.To != "a•••@buyer.example" {
		t.Errorf("%+v, %v", email, err)
	}
	for _, contact := range []string{"", "0151 12345678", "ann@buyer.example"} {
		s.Contact = contact
		if c, err := m.Setup(t.Context(), s, nil, nil); !errors.Is(err, factor.ErrContact) || c.Letter != nil {
			t.Errorf("to %q: %+v, %v", contact, c, err)
		}
	}
}

func TestANewCodeReplacesTheOneBefore(t *testing.T) { // OOB-02, OOB-03
	t.Parallel()
	s, m := scene(), factor.SMS{Vault: vault(t)}
	s.Contact = "+49 151 12345678"
	c, err := m.Setup(t.Context(), s, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Contact = "" // the button that sends it again
	again, err := m.Setup(t.Context(), s, nil, c.State)
	if err != nil || again.Letter.To != c.Letter.To {
		t.Fatalf("again to %+v: %v", again.Letter, err)
	}
	e, err := m.Confirm(t.Context(), s, again.State, again.Letter.Code)
	if err != nil {
		t.Fatal(err)
	}
	have := []factor.Held{{ID: "1", State: e.State}}
	first, err := m.Ask(t.Context(), s, have, nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := m.Ask(t.Context(), s, have, first.State)
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]struct {
		asked factor.Challenge
		code  string
		later time.Duration
		want  error
	}{
		"the code before the last":      {second, first.Letter.Code, 0, factor.ErrWrong},
		"the last code, asked before":   {first, second.Letter.Code, 0, factor.ErrWrong},
		"a moment before its end":       {second, second.Letter.Code, 10*time.Minute - time.Nanosecond, nil},
		"at its end":                    {second, second.Letter.Code, 10 * time.Minute, factor.ErrWrong},
		"no code":                       {second, "", 0, factor.ErrInput},
		"two codes":                     {second, first.Letter.Code + second.Letter.Code, 0, factor.ErrInput},
		"the code of a set-up":          {again, again.Letter.Code, 0, factor.ErrWrong},
		"the last code, as it was sent": {second, second.Letter.Code, 0, nil},
	} {
		at := s
		at.Now = s.Now.Add(try.later)
		if _, err := m.Check(t.Context(), at, have, try.asked.State, try.code); !errors.Is(err, try.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := m.Ask(t.Context(), s, nil, nil); !errors.Is(err, factor.ErrNone) {
		t.Errorf("somebody without a number: %v", err)
	}
	// A hash is good in its own question: put into another of the same person, its code opens nothing.
	var one, two map[string]any
	if err := errors.Join(json.Unmarshal(first.State, &one), json.Unmarshal(second.State, &two)); err != nil {
		t.Fatal(err)
	}
	one["mac"] = two["mac"]
	moved, err := json.Marshal(one)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Check(t.Context(), s, have, moved, second.Letter.Code); !errors.Is(err, factor.ErrWrong) {
		t.Errorf("a hash that was moved: %v", err)
	}
}

func TestACodeByMailGoesToTheAddressOfNowOnly(t *testing.T) {
	t.Parallel()
	s, m := scene(), factor.Email{Vault: vault(t)}
	c, err := m.Setup(t.Context(), s, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	moved := s
	moved.Email = "new@buyer.example"
	if _, err := m.Confirm(t.Context(), moved, c.State, c.Letter.Code); !errors.Is(err, factor.ErrWrong) {
		t.Errorf("confirmed after the address was changed: %v", err)
	}
	e, err := m.Confirm(t.Context(), s, c.State, c.Letter.Code)
	if err != nil || e.Facts["email"] != "a•••@buyer.example" {
		t.Fatalf("%+v, %v", e, err)
	}
	have := []factor.Held{{ID: "1", State: e.State}}
	asked, err := m.Ask(t.Context(), s, have, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Check(t.Context(), moved, have, asked.State, asked.Letter.Code); !errors.Is(err, factor.ErrWrong) {
		t.Errorf("answered after the address was changed: %v", err)
	}
	if c, err := m.Ask(t.Context(), moved, have, nil); !errors.Is(err, factor.ErrNone) || c.Letter != nil {
		t.Errorf("to an address that was never confirmed: %+v, %v", c, err)
	}
}

func TestAMailboxIsProvedWithoutAnyFactor(t *testing.T) {
	t.Parallel()
	s, m := scene(), factor.Email{Vault: vault(t)}
	s.Purpose = factor.PurposeProve
	c, err := m.Ask(t.Context(), s, nil, nil)
	if err != nil || c.Letter.To != s.Email {
		t.Fatalf("%+v, %v", c, err)
	}
	got, err := m.Check(t.Context(), s, nil, c.State, c.Letter.Code)
	if err != nil || got.ID != "" || got.State != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := m.Check(t.Context(), s, nil, c.State, other(c.Letter.Code)); !errors.Is(err, factor.ErrWrong) {
		t.Errorf("another code: %v", err)
	}
	for _, p := range []factor.Purpose{factor.PurposeSignIn, factor.PurposeStepUp, factor.PurposeEnrol} {
		s.Purpose = p
		if _, err := m.Check(t.Context(), s, nil, c.State, c.Letter.Code); !errors.Is(err, factor.ErrWrong) {
			t.Errorf("for %s: %v", p, err)
		}
	}
	s.Purpose = factor.PurposeProve
	if s.Email = ""; func() error { _, err := m.Ask(t.Context(), s, nil, nil); return err }() == nil {
		t.Error("nobody's mailbox is asked")
	}
}

type lost struct{}

func (lost) Mac(string, string, string) ([]byte, string, error) {
	return nil, "", errors.New("the key is gone")
}

func TestWithoutItsKeyNoCodeIsSentOrAccepted(t *testing.T) {
	t.Parallel()
	v, s := vault(t), scene()
	s.Contact = "+49 151 12345678"
	for _, pair := range [][2]factor.Method{{factor.Email{Vault: v}, factor.Email{Vault: lost{}}}, {factor.SMS{Vault: v}, factor.SMS{Vault: lost{}}}, {factor.Backup{Vault: v}, factor.Backup{Vault: lost{}}}} {
		c, err := pair[0].Setup(t.Context(), s, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, code := "", ""
		if c.Letter != nil {
			answer, code = c.Letter.Code, c.Letter.Code
		} else {
			code = c.Show.([]string)[0]
		}
		e, err := pair[0].Confirm(t.Context(), s, c.State, answer)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pair[1].Setup(t.Context(), s, nil, nil); err == nil {
			t.Errorf("%s is set up", pair[1].Kind())
		}
		_, err = pair[1].Check(t.Context(), s, []factor.Held{{ID: "1", State: e.State}}, c.State, code)
		if err == nil || errors.Is(err, factor.ErrWrong) || errors.Is(err, factor.ErrInput) {
			t.Errorf("%s is checked: %v", pair[1].Kind(), err)
		}
	}
}
