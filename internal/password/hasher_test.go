package password

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// keys is a keyed step whose keys a test holds in its hand; newest last.
type keys []string

func (k keys) Current() (string, bool) { return k[len(k)-1], true }

func (k keys) Mac(id string, b []byte) ([]byte, error) {
	for _, have := range k {
		if have == id {
			return append([]byte(id+"\x00"), b...), nil // a keyed step of no strength: what counts here is which key is asked for
		}
	}
	return nil, fmt.Errorf("no key %s", id)
}

func hasher(t testing.TB, c Config) *Hasher {
	t.Helper()
	if c.Memory == 0 {
		c.Memory, c.Passes = 64, 1
	}
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func hash(t testing.TB, h *Hasher, text string) Stored {
	t.Helper()
	s, err := h.Hash(t.Context(), prepare(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func opens(t testing.TB, h *Hasher, text string, s Stored) bool {
	t.Helper()
	v, err := h.Check(t.Context(), prepare(t, text), s)
	if err != nil {
		t.Fatal(err)
	}
	return v.Match
}

// PWD-07: the parameters of new hashes are OWASP's, and the form is the standard one that any argon2id reads.
func TestANewHashIsArgon2idAtTheDocumentedParameters(t *testing.T) {
	t.Parallel()
	h, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := hash(t, h, "Blue pallet trucks")
	part := strings.Split(s.PHC, "$")
	if len(part) != 6 || part[1] != "argon2id" || part[2] != "v=19" || part[3] != "m=19456,t=2,p=1" || s.KeyID != "" || s.Legacy != "" {
		t.Fatalf("%+v", s)
	}
	salt, err := base64.RawStdEncoding.DecodeString(part[4])
	if err != nil || len(salt) != 16 {
		t.Fatalf("a salt of %d bytes, %v", len(salt), err)
	}
	want := argon2.IDKey([]byte("Blue pallet trucks"), salt, 2, 19456, 1, 32)
	if got, _ := base64.RawStdEncoding.DecodeString(part[5]); !bytes.Equal(got, want) {
		t.Error("the hash is not argon2id of the password")
	}
	for _, c := range []Config{{Memory: maxMemory + 1}, {Passes: maxPasses + 1}, {Lanes: maxLanes + 1}} {
		if _, err := New(c); !errors.Is(err, ErrStoredParameters) {
			t.Errorf("%+v: %v; what it makes it would refuse to check", c, err)
		}
	}
}

// PWD-03: every byte counts, at every length; what is the same text in another normal form is the same password.
func TestTheWholePasswordCounts(t *testing.T) {
	t.Parallel()
	h := hasher(t, Config{})
	long := strings.Repeat("0123456789", 10) + "!"
	for _, c := range []struct {
		set, typed string
		opens      bool
	}{
		{long, long, true}, {long, long[:100], false}, {long, long[:72], false}, {long, long + "x", false}, {long, long[:100] + "?", false},
		{"x\x00y and more", "x\x00y and more", true}, {"x\x00y and more", "x\x00z and more", false}, {"x\x00y", "x", false},
		{" spaced ", " spaced ", true}, {" spaced ", "spaced", false}, {"Case", "case", false},
		{"Caf\u00e9 au lait", "Cafe\u0301 au lait", true}, {"Cafe\u0301 au lait", "Caf\u00e9 au lait", true}, {"Cafe au lait", "Caf\u00e9 au lait", false},
		{strings.Repeat("é", 128), strings.Repeat("e\u0301", 128), true}, {strings.Repeat("🦩", 128), strings.Repeat("🦩", 127), false},
		{"ﬁne", "fine", false}, {"", "", true},
	} {
		if got := opens(t, h, c.typed, hash(t, h, c.set)); got != c.opens {
			t.Errorf("%q opens %q: %v", c.typed, c.set, got)
		}
	}
}

// PWD-07: equal passwords give different rows, and a dump of the database alone verifies no guess.
func TestADumpAloneVerifiesNoGuess(t *testing.T) {
	t.Parallel()
	h := hasher(t, Config{Pepper: keys{"one"}})
	a, b := hash(t, h, "the same password"), hash(t, h, "the same password")
	if a.PHC == b.PHC || strings.Split(a.PHC, "$")[4] == strings.Split(b.PHC, "$")[4] {
		t.Error("two people with one password have one row, or one salt")
	}
	if a.KeyID != "one" || !opens(t, h, "the same password", a) {
		t.Errorf("key %q", a.KeyID)
	}
	stored, err := parsePHC(a.PHC)
	if err != nil {
		t.Fatal(err)
	}
	offline := argon2.IDKey([]byte("the same password"), stored.salt, stored.passes, stored.memory, stored.lanes, uint32(len(stored.key)))
	if bytes.Equal(offline, stored.key) {
		t.Error("the row verifies a guess without the key")
	}
	// A row of which the key's name was struck out does not open either.
	if opens(t, h, "the same password", Stored{PHC: a.PHC}) {
		t.Error("the row opens without its key")
	}
	if _, err := hasher(t, Config{}).Check(t.Context(), prepare(t, "the same password"), a); err == nil {
		t.Error("a gateway without the key checks it all the same")
	}
}

// The keyed step is a choice; taking it up, leaving it and rotating its key are noticed at the next sign-in.
func TestARotatedOrNewKeyHasThePasswordHashedAnew(t *testing.T) {
	t.Parallel()
	none, one, two := hasher(t, Config{}), hasher(t, Config{Pepper: keys{"one"}}), hasher(t, Config{Pepper: keys{"one", "two"}})
	for name, c := range map[string]struct {
		made, asked *Hasher
		rehash      bool
		key         string
	}{
		"no key, none":    {none, none, false, ""},
		"no key, one now": {none, one, true, "one"},
		"the same key":    {one, one, false, "one"},
		"a rotated key":   {one, two, true, "two"},
		"the newest key":  {two, two, false, "two"},
	} {
		s := hash(t, c.made, "Blue pallet trucks")
		v, err := c.asked.Check(t.Context(), prepare(t, "Blue pallet trucks"), s)
		if err != nil || !v.Match || v.Rehash != c.rehash {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
		if wrong, err := c.asked.Check(t.Context(), prepare(t, "another"), s); err != nil || wrong.Match || wrong.Rehash {
			t.Errorf("%s: a wrong password: %+v, %v", name, wrong, err)
		}
		if again := hash(t, c.asked, "Blue pallet trucks"); again.KeyID != c.key {
			t.Errorf("%s: made anew with key %q", name, again.KeyID)
		}
	}
	gone := hash(t, one, "Blue pallet trucks")
	if v, err := hasher(t, Config{Pepper: keys{"two"}}).Check(t.Context(), prepare(t, "Blue pallet trucks"), gone); err == nil || v.Match {
		t.Errorf("a key that is gone: %+v, %v", v, err)
	}
}

// PWD-08: parameters that rise have the password hashed anew; parameters that fall do not weaken what is stored.
func TestRaisedParametersHaveThePasswordHashedAnew(t *testing.T) {
	t.Parallel()
	low, high := hasher(t, Config{Memory: 64, Passes: 1}), hasher(t, Config{Memory: 128, Passes: 2})
	old, fresh := hash(t, low, "Blue pallet trucks"), hash(t, high, "Blue pallet trucks")
	for name, c := range map[string]struct {
		h      *Hasher
		s      Stored
		rehash bool
	}{"raised": {high, old, true}, "the same": {high, fresh, false}, "lowered": {low, fresh, false}} {
		if v, err := c.h.Check(t.Context(), prepare(t, "Blue pallet trucks"), c.s); err != nil || !v.Match || v.Rehash != c.rehash {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

// The ERP's hashes: all its prefixes, of the first 72 bytes of what was typed, in the normal form it was typed in.
func TestTheERPsBcryptOpensAsItDoesThere(t *testing.T) {
	t.Parallel()
	h := hasher(t, Config{})
	made := func(text string) string {
		b, err := bcrypt.GenerateFromPassword([]byte(text), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	long := strings.Repeat("0123456789", 10)
	for _, c := range []struct {
		stored, typed string
		opens         bool
	}{
		{made("customer123"), "customer123", true}, {made("customer123"), "customer124", false}, {made("customer123"), "Customer123", false}, {made("customer123"), "", false},
		{made(long[:72]), long, true}, {made(long[:72]), long[:72] + "different", true}, {made(long[:72]), long[:71], false},
		{made("Caf\u00e9"), "Cafe\u0301", true}, {made("Cafe\u0301"), "Cafe\u0301", true}, {made("Cafe\u0301"), "Caf\u00e9", false},
	} {
		for _, kind := range []string{"$2a$", "$2b$", "$2y$"} {
			v, err := h.Check(t.Context(), prepare(t, c.typed), Stored{Legacy: kind + c.stored[4:]})
			if err != nil || v.Match != c.opens || v.Rehash != c.opens {
				t.Errorf("%q against %s: %+v, %v", c.typed, kind, v, err)
			}
		}
	}
	// The ERP's word counts when there is one: our hash beside it is not asked.
	if v, err := h.Check(t.Context(), prepare(t, "ours"), Stored{PHC: hash(t, h, "ours").PHC, Legacy: made("theirs")}); err != nil || v.Match {
		t.Errorf("%+v, %v", v, err)
	}
	for _, bad := range []string{"!portalgate", "$2b$31$" + strings.Repeat("a", 53), "x"} {
		if _, err := h.Check(t.Context(), prepare(t, "x"), Stored{Legacy: bad}); !errors.Is(err, ErrStoredParameters) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if h.Stats().Done == 0 {
		t.Error("nothing was hashed in the pool")
	}
}

// held fills a hasher's slots until let go is called.
func held(t *testing.T, h *Hasher, n int) (letGo func()) {
	t.Helper()
	stop, begun := make(chan struct{}), make(chan struct{}, n)
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if err := h.do(context.Background(), func() { begun <- struct{}{}; <-stop }); err != nil {
				t.Error(err)
			}
		})
	}
	for range n {
		<-begun
	}
	return sync.OnceFunc(func() { close(stop); all.Wait() })
}

// DOS-01: the excess is refused at once, what waits is bounded in number and time, and no hash is computed beyond.
func TestBeyondItsQueueThePoolSaysBusyAtOnce(t *testing.T) {
	t.Parallel()
	h := hasher(t, Config{Slots: 2, Queue: 3, Wait: time.Minute})
	letGo := held(t, h, 2)
	defer letGo()
	waiting := make(chan error, 3)
	for range 3 {
		go func() {
			_, err := h.Hash(context.Background(), prepare(t, "waits"))
			waiting <- err
		}()
	}
	for h.Stats().Waiting < 3 {
		if len(waiting) > 0 {
			t.Fatal("one that should wait does not")
		}
		runtime.Gosched()
	}
	began := time.Now()
	for _, refused := range []func() error{
		func() error { _, err := h.Hash(t.Context(), prepare(t, "x")); return err },
		func() error { _, err := h.Check(t.Context(), prepare(t, "x"), Stored{PHC: goodPHC}); return err },
		func() error {
			_, err := h.Check(t.Context(), prepare(t, "x"), Stored{Legacy: "$2b$04$" + strings.Repeat("a", 53)})
			return err
		},
		func() error { return h.Decoy(t.Context(), prepare(t, "x")) },
	} {
		if err := refused(); !errors.Is(err, ErrBusy) {
			t.Errorf("beyond the queue: %v", err)
		}
	}
	if took := time.Since(began); took > 500*time.Millisecond {
		t.Errorf("four refusals took %s", took)
	}
	if s := h.Stats(); s.Done != 0 || s.Refused != 4 || s.Running != 2 {
		t.Errorf("%+v", s)
	}
	letGo()
	for range 3 {
		if err := <-waiting; err != nil {
			t.Errorf("one that waited: %v", err)
		}
	}
	if s := h.Stats(); s.Waiting != 0 || s.Running != 0 || s.Done != 5 {
		t.Errorf("at the end %+v", s)
	}
}

func TestWhoWaitsTooLongOrGivesUpIsTold(t *testing.T) {
	t.Parallel()
	h := hasher(t, Config{Slots: 1, Queue: 5, Wait: 50 * time.Millisecond})
	defer held(t, h, 1)()
	if _, err := h.Hash(t.Context(), prepare(t, "x")); !errors.Is(err, ErrBusy) {
		t.Errorf("after its waiting time: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Hash(ctx, prepare(t, "x")); !errors.Is(err, ErrBusy) || !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if s := h.Stats(); s.Waiting != 0 {
		t.Errorf("%d still wait", s.Waiting)
	}
}

// DOS-01: memory stays within slots times the parameters, whatever comes at once.
func TestAHundredAtOnceNeverHashMoreThanTheSlotsAllow(t *testing.T) {
	t.Parallel()
	h := hasher(t, Config{Slots: 2, Queue: 100, Wait: time.Minute})
	stored := hash(t, h, "right")
	var all sync.WaitGroup
	var right atomic.Int64
	gate := make(chan struct{})
	for i := range 100 {
		all.Go(func() {
			<-gate
			text := "wrong"
			if i%2 == 0 {
				text = "right"
			}
			if v, err := h.Check(context.Background(), prepare(t, text), stored); err != nil {
				t.Error(err)
			} else if v.Match {
				right.Add(1)
			}
		})
	}
	close(gate)
	all.Wait()
	if s := h.Stats(); s.Peak > 2 || s.Done != 101 || right.Load() != 50 {
		t.Errorf("%+v, %d right", s, right.Load())
	}
}

// A hash in the pool that panics gives its slot back.
func TestAPanicGivesTheSlotBack(t *testing.T) {
	t.Parallel()
	h := hasher(t, Config{Slots: 1})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = h.do(t.Context(), func() { panic("x") })
	}()
	if !opens(t, h, "a", hash(t, h, "a")) || h.Stats().Running != 0 {
		t.Error("the slot is lost")
	}
}
