package factor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
)

const (
	codeTries = 5                // (OOB-02)
	codeLife  = 10 * time.Minute // (OOB-02; NIST SP 800-63B-4 section 4.2.1.2)
)

// Email is a code by mail. It is no second proof where one is required: whoever reads somebody's mail can also choose
// them a new password (NIST SP 800-63B-4 section 3.1.3.1).
type Email struct{ Vault Vault }

// SMS is a code by text message, to a number that was verified by one.
type SMS struct{ Vault Vault }

// reached is the state: where codes have arrived.
type reached struct {
	To    string `json:"to"`
	Spent spent  `json:"spent,omitempty"`
}

// sent is what is remembered of a code that has been sent.
type sent struct {
	ID    []byte    `json:"id"`
	To    string    `json:"to"`
	Mac   []byte    `json:"mac"`
	Key   string    `json:"key"`
	Until time.Time `json:"until"`
}

// Kind is what it is stored as.
func (Email) Kind() portal.FactorKind { return portal.FactorEmail }

// Kind is what it is stored as.
func (SMS) Kind() portal.FactorKind { return portal.FactorSMS }

// Traits are what flows must know of it.
func (Email) Traits() Traits {
	return Traits{AMR: portal.AMREmail, Title: "Code by e-mail", Hint: "Look into your mailbox.", Strength: 20,
		Alone: true, Guessable: true, ByMail: true, Asked: true, Sent: true, Added: "mail_codes_on", Removed: "mail_codes_off"}
}

// Traits are what flows must know of it. A number can be lost, or taken over by another: it is nobody's only factor
// (OOB-05).
func (SMS) Traits() Traits {
	return Traits{AMR: portal.AMRSMS, Title: "Code by text message", Hint: "Look at the messages on your telephone.", Strength: 30,
		Assures: true, Guessable: true, Asked: true, Sent: true, Contact: true, Added: "phone_codes_on", Removed: "phone_codes_off"}
}

// Setup sends a code to the person's address.
func (e Email) Setup(_ context.Context, s Scene, _ []Held, _ []byte) (Challenge, error) {
	return e.send(s, PurposeEnrol)
}

// Setup sends a code to the number that was typed, in s.Contact; where nothing was typed, again to the one of before.
func (m SMS) Setup(_ context.Context, s Scene, _ []Held, before []byte) (Challenge, error) {
	if s.Contact == "" && before != nil {
		var c sent
		if err := read(before, &c); err != nil {
			return Challenge{}, err
		}
		return m.send(s, PurposeEnrol, c.To)
	}
	number, err := readNumber(s.Contact)
	if err != nil {
		return Challenge{}, err
	}
	return m.send(s, PurposeEnrol, number)
}

// FactMailbox is the fact by which flows know, without opening a state, whether codes still go to the mailbox that a
// person has now: two that look alike when they are masked are two.
const FactMailbox = "mailbox"

// Mailbox is what that fact says of an address.
func Mailbox(e portal.Email) string {
	sum := sha256.Sum256([]byte("portalgate mailbox\x00" + string(e)))
	return hex.EncodeToString(sum[:16])
}

// Confirm accepts the address: a code has arrived there.
func (e Email) Confirm(_ context.Context, s Scene, state []byte, answer string) (Enrolled, error) {
	c, err := check(e.Vault, e.Kind(), s, PurposeEnrol, state, answer)
	if err != nil {
		return Enrolled{}, err
	}
	if c.To != s.Email {
		return Enrolled{}, ErrWrong
	}
	next, err := reached{To: c.To}.spend(c, s.Now)
	return e.enrolled(c.To, next), err
}

// Proved accepts the address without another code: a question for PurposeProve was answered for this very mailbox.
func (e Email) Proved(s Scene) (Enrolled, error) {
	state, err := json.Marshal(reached{To: s.Email})
	if err != nil {
		return Enrolled{}, fmt.Errorf("keeping where codes arrive: %w", err)
	}
	return e.enrolled(s.Email, state), nil
}

func (e Email) enrolled(to string, state []byte) Enrolled {
	return Enrolled{State: state, Name: e.Traits().Title, Facts: map[string]string{"email": portal.Email(to).Masked(), FactMailbox: Mailbox(portal.Email(to))}}
}

// Confirm accepts the number: a code has arrived there.
func (m SMS) Confirm(_ context.Context, s Scene, state []byte, answer string) (Enrolled, error) {
	c, err := check(m.Vault, m.Kind(), s, PurposeEnrol, state, answer)
	if err != nil {
		return Enrolled{}, err
	}
	next, err := reached{To: c.To}.spend(c, s.Now)
	return Enrolled{State: next, Name: m.Traits().Title, Facts: map[string]string{"phone": maskNumber(c.To)}}, err
}

// Ask sends a code to the address that the person has now, where it is the one that was confirmed. To prove a mailbox,
// nothing needs to be confirmed: that is what is proved.
func (e Email) Ask(_ context.Context, s Scene, have []Held, _ []byte) (Challenge, error) {
	if s.Purpose == PurposeProve {
		return e.send(s, s.Purpose)
	}
	for _, h := range have {
		var at reached
		if err := read(h.State, &at); err != nil {
			return Challenge{}, err
		}
		if at.To == s.Email {
			return e.send(s, s.Purpose)
		}
	}
	return Challenge{}, ErrNone
}

// Ask sends a code to the number.
func (m SMS) Ask(_ context.Context, s Scene, have []Held, _ []byte) (Challenge, error) {
	if len(have) == 0 {
		return Challenge{}, ErrNone
	}
	var at reached
	if err := read(have[0].State, &at); err != nil {
		return Challenge{}, err
	}
	return m.send(s, s.Purpose, at.To)
}

// Check accepts the code that was sent last. Proving a mailbox leaves nothing behind but the answer.
func (e Email) Check(_ context.Context, s Scene, have []Held, challenge []byte, answer string) (Checked, error) {
	c, err := check(e.Vault, e.Kind(), s, s.Purpose, challenge, answer)
	if err != nil {
		return Checked{}, err
	}
	if c.To != s.Email { // it was changed meanwhile
		return Checked{}, ErrWrong
	}
	if s.Purpose == PurposeProve {
		return Checked{}, nil
	}
	return c.settle(s, have)
}

// Check accepts the code that was sent last.
func (m SMS) Check(_ context.Context, s Scene, have []Held, challenge []byte, answer string) (Checked, error) {
	c, err := check(m.Vault, m.Kind(), s, s.Purpose, challenge, answer)
	if err != nil {
		return Checked{}, err
	}
	return c.settle(s, have)
}

// SentTo is where the code of a question has gone, masked, for a page that is shown again.
func SentTo(state []byte) (string, error) {
	var c sent
	if err := read(state, &c); err != nil {
		return "", err
	}
	if strings.Contains(c.To, "@") {
		return portal.Email(c.To).Masked(), nil
	}
	return maskNumber(c.To), nil
}

func (e Email) send(s Scene, p Purpose) (Challenge, error) {
	if s.Email == "" {
		return Challenge{}, ErrNone
	}
	return send(e.Vault, e.Kind(), s, p, Code{Kind: portal.LetterCode, To: s.Email}, portal.Email(s.Email).Masked())
}

func (m SMS) send(s Scene, p Purpose, number string) (Challenge, error) {
	return send(m.Vault, m.Kind(), s, p, Code{Kind: portal.LetterTextCode, To: number}, maskNumber(number))
}

// send draws a code for a letter. The one that was sent before is worth nothing from then on, because the question of
// before is replaced.
func send(v Vault, kind portal.FactorKind, s Scene, p Purpose, letter Code, masked string) (Challenge, error) {
	letter.Code = secret.Draw(codeDigits, "0123456789")
	c := sent{ID: secret.Bytes(16), To: letter.To, Until: s.Now.Add(codeLife)}
	var err error
	if c.Mac, c.Key, err = v.Mac("", c.place(kind, s, p), letter.Code); err != nil {
		return Challenge{}, fmt.Errorf("drawing a code: %w", err)
	}
	state, err := json.Marshal(c)
	if err != nil {
		return Challenge{}, fmt.Errorf("keeping a code's hash: %w", err)
	}
	return Challenge{State: state, Tries: codeTries, Life: codeLife, Letter: &letter, To: masked}, nil
}

// place is where a code's hash is good: in one question to one person, for one purpose and one mailbox (OOB-03).
func (c sent) place(kind portal.FactorKind, s Scene, p Purpose) string {
	return join(string(s.Tenant), string(s.User), string(kind), string(p), c.To, string(c.ID))
}

// check reads the question, and says whether the answer is its code.
func check(v Vault, kind portal.FactorKind, s Scene, p Purpose, state []byte, answer string) (sent, error) {
	code, err := digits(answer, codeDigits)
	if err != nil {
		return sent{}, err
	}
	var c sent
	if err := read(state, &c); err != nil {
		return sent{}, err
	}
	mac, _, err := v.Mac(c.Key, c.place(kind, s, p), code)
	if err != nil {
		return sent{}, fmt.Errorf("checking a code: %w", err)
	}
	if !secret.Equal(mac, c.Mac) || !s.Now.Before(c.Until) {
		return sent{}, ErrWrong
	}
	return c, nil
}

// settle finds the factor whose mailbox or number the code went to, and makes its next state.
func (c sent) settle(s Scene, have []Held) (Checked, error) {
	for _, h := range have {
		var at reached
		if err := read(h.State, &at); err != nil {
			return Checked{}, err
		}
		if at.To != c.To {
			continue
		}
		if at.Spent.has(c.ID) {
			return Checked{}, ErrUsed
		}
		next, err := at.spend(c, s.Now)
		return Checked{ID: h.ID, State: next, Facts: h.Facts}, err
	}
	return Checked{}, ErrWrong
}

func (r reached) spend(c sent, now time.Time) ([]byte, error) {
	r.Spent = r.Spent.add(c.ID, c.Until, now)
	state, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("keeping where codes arrive: %w", err)
	}
	return state, nil
}
