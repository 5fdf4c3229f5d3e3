package factor_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/factor"
	"github.com/portalgate/portalgate/internal/testenv"
)

// options are what the page gives the browser, as far as the tests read them.
type options struct {
	Challenge string `json:"challenge"`
	RP        struct {
		ID, Name string
	} `json:"rp"`
	RPID string `json:"rpId"`
	User struct {
		ID, Name, DisplayName string
	} `json:"user"`
	Exclude []struct {
		ID string `json:"id"`
	} `json:"excludeCredentials"`
	Allow []struct {
		ID string `json:"id"`
	} `json:"allowCredentials"`
	UV        string `json:"userVerification"`
	Selection struct {
		UV       string `json:"userVerification"`
		Resident string `json:"residentKey"`
	} `json:"authenticatorSelection"`
	Attestation string `json:"attestation"`
	Timeout     int    `json:"timeout"`
}

func read(t testing.TB, c factor.Challenge) (o options) {
	t.Helper()
	if err := json.Unmarshal(c.Show.(json.RawMessage), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// made is somebody with a passkey.
func made(t testing.TB, s factor.Scene, key testenv.Passkey, have ...factor.Held) (*testenv.Passkey, factor.Held, factor.Enrolled) {
	t.Helper()
	c, err := factor.WebAuthn{}.Setup(t.Context(), s, have, nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := factor.WebAuthn{}.Confirm(t.Context(), s, c.State, key.Answer(t, s.Origin, c.Show))
	if err != nil {
		t.Fatal(err)
	}
	return &key, factor.Held{ID: "1", State: e.State, Facts: e.Facts}, e
}

func ask(t testing.TB, s factor.Scene, have ...factor.Held) factor.Challenge {
	t.Helper()
	c, err := factor.WebAuthn{}.Ask(t.Context(), s, have, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// WA-02, WA-04: each field alone, and rightly signed wherever it can be.
func TestAnAnswerWithOneFieldFalsifiedIsRefused(t *testing.T) {
	t.Parallel()
	s := scene()
	for _, purpose := range []factor.Purpose{factor.PurposeSignIn, factor.PurposeEnter} {
		s.Purpose = purpose
		key, held, _ := made(t, s, testenv.Passkey{Synced: true})
		foreign := sha256.Sum256([]byte("portal.test"))
		flag := func(set, clear byte) func(*testenv.Signed) {
			return func(a *testenv.Signed) { a.Data[32] = a.Data[32]&^clear | set }
		}
		client := func(name string, value any) func(*testenv.Signed) {
			return func(a *testenv.Signed) { a.Client[name] = value }
		}
		for name, change := range map[string]func(a *testenv.Signed){
			"the type of the credential": func(a *testenv.Signed) { a.Type = "password" },
			"the id":                     func(a *testenv.Signed) { a.ID = base64.RawURLEncoding.EncodeToString([]byte("another")) },
			"the raw id":                 func(a *testenv.Signed) { a.RawID = base64.RawURLEncoding.EncodeToString([]byte("another")) },
			"both ids": func(a *testenv.Signed) {
				a.RawID = base64.RawURLEncoding.EncodeToString([]byte("another"))
				a.ID = a.RawID
			},
			"the user handle":         func(a *testenv.Signed) { a.Handle = base64.RawURLEncoding.EncodeToString([]byte("another")) },
			"the ceremony":            client("type", "webauthn.create"),
			"the challenge":           client("challenge", base64.RawURLEncoding.EncodeToString(make([]byte, 32))),
			"no challenge":            client("challenge", ""),
			"the origin's host":       client("origin", "https://globex.portal.test:8443"),
			"the origin's parent":     client("origin", "https://portal.test:8443"),
			"the origin's scheme":     client("origin", "http://acme.portal.test:8443"),
			"the origin's port":       client("origin", "https://acme.portal.test"),
			"the origin's spelling":   client("origin", "https://ACME.portal.test:8443"),
			"the origin and a path":   client("origin", "https://acme.portal.test:8443/x"),
			"in a frame of another's": client("crossOrigin", true),
			"below another's page": func(a *testenv.Signed) {
				a.Client["crossOrigin"], a.Client["topOrigin"] = true, "https://evil.test"
			},
			"below our page":           func(a *testenv.Signed) { a.Client["crossOrigin"], a.Client["topOrigin"] = true, s.Origin },
			"below a page, not across": client("topOrigin", s.Origin),
			"the host's digest":        func(a *testenv.Signed) { copy(a.Data, foreign[:]) },
			"nobody was present":       flag(0, 1<<0),
			"not synced, never able":   flag(0, 1<<3|1<<4),
			"synced without able":      flag(1<<4, 1<<3),
			"bytes at the end":         func(a *testenv.Signed) { a.Data = append(a.Data, 0) },
			"a byte less":              func(a *testenv.Signed) { a.Data = a.Data[:36] },
			"no data":                  func(a *testenv.Signed) { a.Data = nil },
			"the signature":            func(a *testenv.Signed) { a.Signature = bytes.Repeat([]byte{7}, 70) },
			"no signature":             func(a *testenv.Signed) { a.Signature = []byte{} },
		} {
			c := ask(t, s, held)
			answer := key.Falsified(t, s.Origin, c.Show, change)
			got, err := factor.WebAuthn{}.Check(t.Context(), s, []factor.Held{held}, c.State, answer)
			if !errors.Is(err, factor.ErrWrong) && !errors.Is(err, factor.ErrInput) || got.State != nil {
				t.Errorf("%s, %s: %+v, %v", purpose, name, got, err)
			}
		}
		c := ask(t, s, held)
		if _, err := (factor.WebAuthn{}).Check(t.Context(), s, []factor.Held{held}, c.State, key.Falsified(t, s.Origin, c.Show, func(*testenv.Signed) {})); err != nil {
			t.Errorf("%s, nothing: %v", purpose, err)
		}
	}
}

// The same for what is not covered by the signature, or signed by the wrong hand.
func TestAnAnswerToAnotherQuestionIsRefused(t *testing.T) { // WA-01, WA-02
	t.Parallel()
	s := scene()
	key, held, _ := made(t, s, testenv.Passkey{})
	stranger, theirs, _ := made(t, s, testenv.Passkey{})
	stranger.ID = key.ID
	mine, other := ask(t, s, held), ask(t, s, held)
	entering := s
	entering.Purpose = factor.PurposeEnter
	enter := ask(t, entering)
	setUp, err := factor.WebAuthn{}.Setup(t.Context(), s, []factor.Held{held}, nil)
	if err != nil {
		t.Fatal(err)
	}
	late := s
	late.Now = s.Now.Add(5 * time.Minute)
	ours := func(c factor.Challenge) string { return key.Answer(t, s.Origin, c.Show) }
	get := func(c factor.Challenge) string { // an assertion over whatever challenge
		return key.Answer(t, s.Origin, json.RawMessage(fmt.Sprintf(`{"challenge":%q,"rpId":%q}`, read(t, c).Challenge, s.Host)))
	}
	for name, try := range map[string]struct {
		scene  factor.Scene
		have   factor.Held
		asked  factor.Challenge
		answer string
	}{
		"session 1's challenge in session 2":    {s, held, other, ours(mine)},
		"a registration's challenge":            {s, held, setUp, get(setUp)},
		"a challenge to enter as a second step": {s, held, enter, ours(enter)},
		"a second step's challenge to enter":    {entering, held, mine, ours(mine)},
		"five minutes later":                    {late, held, mine, ours(mine)},
		"somebody else's passkey":               {s, theirs, ask(t, s, theirs), ours(mine)},
		"somebody else's question":              {s, held, ask(t, s, theirs), ours(mine)},
		"somebody else's passkey that says it's his": {s, held, mine, func() string {
			return stranger.Falsified(t, s.Origin, json.RawMessage(fmt.Sprintf(`{"challenge":%q,"rpId":%q}`, read(t, mine).Challenge, s.Host)), func(*testenv.Signed) {})
		}()},
	} {
		if got, err := (factor.WebAuthn{}).Check(t.Context(), try.scene, []factor.Held{try.have}, try.asked.State, try.answer); !errors.Is(err, factor.ErrWrong) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := (factor.WebAuthn{}).Check(t.Context(), s, []factor.Held{held}, mine.State, ours(mine)); err != nil {
		t.Errorf("the right one: %v", err)
	}
}

// WA-03: what replaces a password has verified who holds it, whatever a client says it was asked for.
func TestToEnterADeviceMustHaveVerifiedItsOwner(t *testing.T) {
	t.Parallel()
	s := scene()
	key, held, _ := made(t, s, testenv.Passkey{Synced: true})
	entering := s
	entering.Purpose, entering.User = factor.PurposeEnter, ""
	c := ask(t, entering)
	if o := read(t, c); o.UV != "required" || len(o.Allow) != 0 || o.RPID != s.Host {
		t.Errorf("asked for %+v", o)
	}
	key.Unverified = true
	if got, err := (factor.WebAuthn{}).Check(t.Context(), entering, []factor.Held{held}, c.State, key.Answer(t, s.Origin, c.Show)); !errors.Is(err, factor.ErrWrong) {
		t.Errorf("unverified it enters: %+v, %v", got, err)
	}
	second := ask(t, s, held)
	if _, err := (factor.WebAuthn{}).Check(t.Context(), s, []factor.Held{held}, second.State, key.Answer(t, s.Origin, second.Show)); err != nil {
		t.Errorf("as a second step: %v", err)
	}
	key.Unverified = false
	answer := key.Answer(t, s.Origin, c.Show)
	claimed, err := factor.WebAuthn{}.Claimed(answer)
	if err != nil || !bytes.Equal(claimed, factor.Lookup(key.ID)) {
		t.Errorf("it claims to be %x: %v", claimed, err)
	}
	found := entering
	found.User = "ann" // whom the claim led to
	if got, err := (factor.WebAuthn{}).Check(t.Context(), found, []factor.Held{held}, c.State, answer); err != nil || got.ID != "1" {
		t.Errorf("%+v, %v", got, err)
	}
	key.Handle = nil
	if _, err := (factor.WebAuthn{}).Check(t.Context(), found, []factor.Held{held}, c.State, key.Answer(t, s.Origin, c.Show)); !errors.Is(err, factor.ErrWrong) {
		t.Errorf("without a handle: %v", err)
	}
	if _, err := (factor.WebAuthn{}).Check(t.Context(), found, nil, c.State, answer); !errors.Is(err, factor.ErrWrong) {
		t.Errorf("a passkey that nobody knows: %v", err)
	}
}

// WA-07: what is asked of nobody in particular is the same for everybody.
func TestTheQuestionToEnterTellsNothing(t *testing.T) {
	t.Parallel()
	known, nobody := scene(), scene()
	_, held, _ := made(t, known, testenv.Passkey{})
	known.Purpose, nobody.Purpose = factor.PurposeEnter, factor.PurposeEnter
	nobody.User, nobody.Email, nobody.Name = "", "", ""
	a, b := ask(t, known, held), ask(t, nobody)
	blank := func(c factor.Challenge) string {
		return strings.ReplaceAll(string(c.Show.(json.RawMessage)), read(t, c).Challenge, "")
	}
	if blank(a) != blank(b) || len(read(t, a).Challenge) != 43 || read(t, a).Challenge == read(t, b).Challenge {
		t.Errorf("%s\n%s", a.Show, b.Show)
	}
}

// WA-05.
func TestAPasskeyThatCountsBackwardsRaisesAnAlarm(t *testing.T) {
	t.Parallel()
	s := scene()
	key, held, _ := made(t, s, testenv.Passkey{Counts: true})
	use := func(count uint32) (factor.Checked, error) {
		c := ask(t, s, held)
		return factor.WebAuthn{}.Check(t.Context(), s, []factor.Held{held}, c.State, key.Falsified(t, s.Origin, c.Show, func(a *testenv.Signed) { binary.BigEndian.PutUint32(a.Data[33:], count) }))
	}
	for _, step := range []struct {
		count uint32
		alarm bool
	}{{7, false}, {7, true}, {6, true}, {0, true}, {8, false}, {8, true}, {1 << 31, false}, {9, true}} {
		got, err := use(step.count)
		if err != nil || (got.Alarm != "") != step.alarm || got.ID != "1" {
			t.Errorf("it counts %d: %+v, %v", step.count, got.Alarm, err)
		}
		if step.alarm && !strings.Contains(got.Alarm, fmt.Sprintf("counts %d after", step.count)) {
			t.Errorf("the alarm is %q", got.Alarm)
		}
		held.State = got.State // the alarm's too: a copy that runs ahead is not made right by it
	}
}

func TestFlagsAreKeptFromUseToUse(t *testing.T) { // WA-05, ux 38
	t.Parallel()
	s := scene()
	key, held, e := made(t, s, testenv.Passkey{Synced: true})
	if e.Facts["synced"] != "true" || len(e.Facts["aaguid"]) != 36 || e.Name != "Passkey" || !bytes.Equal(e.Lookup, factor.Lookup(key.ID)) {
		t.Errorf("%+v", e)
	}
	for _, synced := range []bool{false, true} {
		c := ask(t, s, held)
		got, err := factor.WebAuthn{}.Check(t.Context(), s, []factor.Held{held}, c.State, key.Falsified(t, s.Origin, c.Show, func(a *testenv.Signed) {
			if a.Data[32] |= 1 << 4; !synced {
				a.Data[32] &^= 1 << 4
			}
		}))
		if err != nil || got.Facts["synced"] != fmt.Sprint(synced) {
			t.Errorf("synced is %t: %v, %v", synced, got.Facts, err)
		}
		held.State = got.State
	}
}

func TestAllPasskeysOfAPersonHaveOneHandle(t *testing.T) { // ux 38, 39
	t.Parallel()
	s := scene()
	first, one, _ := made(t, s, testenv.Passkey{})
	second, two, _ := made(t, s, testenv.Passkey{}, one)
	two.ID = "2"
	if len(first.Handle) != 32 || !bytes.Equal(first.Handle, second.Handle) || bytes.Contains(first.Handle, []byte("ann")) {
		t.Errorf("%x and %x", first.Handle, second.Handle)
	}
	c, err := factor.WebAuthn{}.Setup(t.Context(), s, []factor.Held{one, two}, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := read(t, c)
	if len(o.Exclude) != 2 || o.RP.ID != s.Host || o.RP.Name != s.Portal || o.User.Name != s.Email || o.User.DisplayName != s.Name || o.Selection.UV != "preferred" || o.Selection.Resident != "preferred" || o.Attestation != "none" || o.Timeout != 300_000 {
		t.Errorf("%s", c.Show)
	}
	asked := ask(t, s, one, two)
	if allow := read(t, asked).Allow; len(allow) != 2 {
		t.Errorf("%d may answer", len(allow))
	}
	for id, key := range map[string]*testenv.Passkey{"1": first, "2": second} {
		if got, err := (factor.WebAuthn{}).Check(t.Context(), s, []factor.Held{one, two}, asked.State, key.Answer(t, s.Origin, asked.Show)); err != nil || string(got.ID) != id {
			t.Errorf("%s: %+v, %v", id, got, err)
		}
	}
	// Two that were enrolled side by side, before either was stored, have a handle each; both go on working.
	beside, three, _ := made(t, s, testenv.Passkey{})
	three.ID = "3"
	asked = ask(t, s, one, three)
	if got, err := (factor.WebAuthn{}).Check(t.Context(), s, []factor.Held{one, three}, asked.State, beside.Answer(t, s.Origin, asked.Show)); err != nil || got.ID != "3" {
		t.Errorf("beside: %+v, %v", got, err)
	}
	// The page again: another challenge, the same person.
	again, err := factor.WebAuthn{}.Setup(t.Context(), s, nil, c.State)
	if err != nil || read(t, again).User.ID != o.User.ID || read(t, again).Challenge == o.Challenge {
		t.Errorf("%s\n%s, %v", c.Show, again.Show, err)
	}
	// A passkey that is gone answers no question that was asked when it was there.
	if _, err := (factor.WebAuthn{}).Check(t.Context(), s, []factor.Held{two}, ask(t, s, one, two).State, first.Answer(t, s.Origin, asked.Show)); !errors.Is(err, factor.ErrWrong) {
		t.Errorf("removed: %v", err)
	}
	if _, err := (factor.WebAuthn{}).Ask(t.Context(), s, nil, nil); !errors.Is(err, factor.ErrNone) {
		t.Errorf("somebody without a passkey: %v", err)
	}
}

func TestAPasskeyIsNamedByWhoKeepsIt(t *testing.T) {
	t.Parallel()
	s := scene()
	for aaguid, name := range map[string]string{"fbfc3007-154e-4ecc-8c0b-6e020557d7bd": "iCloud Keychain", "bada5566-a7aa-401f-bd96-45619a55120d": "1Password", "00000000-0000-0000-0000-000000000000": "Passkey"} {
		key := testenv.Passkey{Model: aaguid}
		if _, _, e := made(t, s, key); e.Name != name || e.Facts["aaguid"] != aaguid || name != "Passkey" && e.Facts["provider"] != name {
			t.Errorf("%s: %+v", aaguid, e)
		}
	}
}

func TestAHostThatIsNoneIsRefusedBeforeAnybodyIsAsked(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"", "127.0.0.1", "acme.portal.test:8443", "https://acme.portal.test"} {
		s := scene()
		s.Host = host
		if c, err := (factor.WebAuthn{}).Setup(t.Context(), s, nil, nil); err == nil {
			t.Errorf("%q: %s", host, c.Show)
		}
	}
	s := scene()
	s.Host, s.Origin = "localhost", "http://localhost:8080"
	made(t, s, testenv.Passkey{})
}
