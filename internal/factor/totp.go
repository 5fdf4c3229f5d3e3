package factor

import (
	"context"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
)

// The numbers that every authenticator app understands. Others are allowed by RFC 6238, and ignored by many an app.
const (
	codeDigits = 6
	stepLength = 30 * time.Second
	seedBytes  = 20 // 160 bits (RFC 4226 section 4, R6)
	window     = 1  // steps that a clock may be off, either way (RFC 6238 section 5.2)
	tellDrift  = 10 // steps within which a clock that is off is told
)

var stepCode = hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}

// TOTP is the authenticator app (RFC 6238).
type TOTP struct{}

// Sheet is what a page shows to set up an authenticator app.
type Sheet struct {
	Key string // to be typed, in groups of four
	URI string // otpauth://…: what the picture says, and where a telephone opens its own app
	QR  string // the picture: an svg element, which holds nothing but numbers
}

// seed is the state: what the app and we know, and how far its codes are used up.
type seed struct {
	Secret string `json:"secret"`          // base32
	Last   int64  `json:"last,omitempty"`  // the last time step whose code was accepted; only a greater one counts
	Drift  int64  `json:"drift,omitempty"` // by how many steps the clock was off then
}

// Kind is what it is stored as.
func (TOTP) Kind() portal.FactorKind { return portal.FactorTOTP }

// Traits are what flows must know of it.
func (TOTP) Traits() Traits {
	return Traits{AMR: portal.AMROTP, Title: "Authenticator app", Hint: "Open your authenticator app.", Strength: 40,
		Assures: true, Alone: true, Guessable: true, Added: "app_added", Removed: "app_removed"}
}

// Setup draws a seed, or shows the one that was drawn before.
func (TOTP) Setup(_ context.Context, s Scene, _ []Held, before []byte) (Challenge, error) {
	g := seed{Secret: base32.StdEncoding.EncodeToString(secret.Bytes(seedBytes))}
	if before != nil {
		var err error
		if g, err = readSeed(before); err != nil {
			return Challenge{}, err
		}
	}
	uri := g.uri(s)
	picture, err := drawQR(uri)
	if err != nil {
		return Challenge{}, fmt.Errorf("drawing a QR code for %s: %w", s.Tenant, err)
	}
	state, err := json.Marshal(g)
	if err != nil {
		return Challenge{}, fmt.Errorf("keeping a seed: %w", err)
	}
	return Challenge{State: state, Tries: 10, Life: time.Hour, Show: Sheet{Key: g.grouped(), URI: uri, QR: picture}}, nil
}

// readSeed reads a state. Without its seed it is none: the codes of an empty one are known to everybody.
func readSeed(state []byte) (seed, error) {
	var g seed
	if err := read(state, &g); err != nil {
		return seed{}, err
	}
	if raw, err := base32.StdEncoding.DecodeString(g.Secret); err != nil || len(raw) != seedBytes {
		return seed{}, errors.New("the state of an authenticator app holds no seed")
	}
	return g, nil
}

// uri is the key as apps scan it. Neither name may hold a colon there, which parts the two.
func (g seed) uri(s Scene) string {
	name := func(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, ":", " ")) }
	issuer, label := name(s.Portal), url.PathEscape(name(s.Email))
	q := url.Values{"secret": {g.Secret}, "algorithm": {"SHA1"}, "digits": {fmt.Sprint(codeDigits)}, "period": {fmt.Sprint(int(stepLength.Seconds()))}}
	if issuer != "" {
		label = url.PathEscape(issuer) + ":" + label
		q.Set("issuer", issuer)
	}
	return "otpauth://totp/" + label + "?" + strings.ReplaceAll(q.Encode(), "+", "%20") // some apps show a plus as a plus
}

func (g seed) grouped() string {
	var b strings.Builder
	for i, r := range g.Secret {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Confirm accepts the seed with its first code, which is used up by that (TOTP-01).
func (TOTP) Confirm(_ context.Context, s Scene, state []byte, answer string) (Enrolled, error) {
	code, err := digits(answer, codeDigits)
	if err != nil {
		return Enrolled{}, err
	}
	g, err := readSeed(state)
	if err != nil {
		return Enrolled{}, err
	}
	now := step(s.Now)
	at, ok, err := g.match(code, now-window, now+window)
	if err != nil {
		return Enrolled{}, err
	}
	if !ok {
		// The seed is on their screen: a code of any time tells a stranger nothing, and the owner what to mend.
		return Enrolled{}, g.drift(code, now, now-tellDrift, now+tellDrift)
	}
	next, facts, err := g.accept(at, now)
	if err != nil {
		return Enrolled{}, err
	}
	return Enrolled{State: next, Name: TOTP{}.Traits().Title, Facts: facts}, nil
}

// Ask shows nothing: a field is enough.
func (TOTP) Ask(context.Context, Scene, []Held, []byte) (Challenge, error) {
	return Challenge{Tries: 5, Life: 10 * time.Minute}, nil
}

// Check accepts a code of a step that no code was accepted of, nor of any after it.
func (TOTP) Check(_ context.Context, s Scene, have []Held, _ []byte, answer string) (Checked, error) {
	code, err := digits(answer, codeDigits)
	if err != nil {
		return Checked{}, err
	}
	now, refusal := step(s.Now), ErrWrong
	for _, h := range have {
		g, err := readSeed(h.State)
		if err != nil {
			return Checked{}, err
		}
		at, ok, err := g.match(code, now-window, now+window)
		if err != nil {
			return Checked{}, err
		}
		if ok && at > g.Last {
			next, facts, err := g.accept(at, now)
			return Checked{ID: h.ID, State: next, Facts: facts}, err
		}
		if ok {
			refusal = ErrUsed
		} else if refusal == ErrWrong {
			// Only what is past is told: whoever heard that a guess is a code of the future would wait for it.
			refusal = g.drift(code, now, now-tellDrift, now-window-1)
		}
	}
	return Checked{}, refusal
}

// step is the time step of a moment.
func step(t time.Time) int64 { return t.Unix() / int64(stepLength.Seconds()) }

// match finds the latest step of a range whose code it is. It looks at all of them, right or wrong.
func (g seed) match(code string, from, to int64) (at int64, ok bool, err error) {
	for i := max(from, 0); i <= to; i++ {
		same, err := hotp.ValidateCustom(code, uint64(i), g.Secret, stepCode)
		if err != nil {
			return 0, false, fmt.Errorf("computing a code: %w", err)
		}
		if same {
			at, ok = i, true
		}
	}
	return at, ok, nil
}

// drift says how to refuse a code that is not right now: by telling that the clock is off, where it is.
func (g seed) drift(code string, now, from, to int64) error {
	at, ok, err := g.match(code, from, to)
	switch {
	case err != nil:
		return err
	case ok && at <= g.Last:
		return ErrUsed
	case ok:
		return &DriftError{Off: time.Duration(at-now) * stepLength}
	}
	return ErrWrong
}

// accept is the state after a code of a step was accepted.
func (g seed) accept(at, now int64) (state []byte, facts map[string]string, err error) {
	g.Last, g.Drift = at, at-now
	if state, err = json.Marshal(g); err != nil {
		return nil, nil, fmt.Errorf("keeping a seed: %w", err)
	}
	return state, map[string]string{"clock": fmt.Sprintf("%+d", g.Drift)}, nil
}
