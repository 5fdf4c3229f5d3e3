package factor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
)

const (
	handleBytes   = 32
	ceremonyLife  = 5 * time.Minute // (WA-01)
	longestAnswer = 64 << 10        // of what a browser sends: with a certificate chain of a careless authenticator it has 8 KiB
)

// WebAuthn is passkeys and hardware keys: a second proof, and with the owner verified by the device a way in without a
// password.
type WebAuthn struct{}

// passkey is the state. All passkeys of a person have one handle, by which authenticators know whose they are; it is
// random, so that it tells them nothing else.
type passkey struct {
	Handle     []byte              `json:"handle"`
	Credential webauthn.Credential `json:"credential"` // whole: flags and counter are compared with at each use
	Spent      spent               `json:"spent,omitempty"`
}

// ceremony is what is remembered of a question. The library binds an answer to challenge, host and person; the rest of
// what it is bound to stands beside (WA-01).
type ceremony struct {
	Tenant  portal.TenantID      `json:"tenant"`
	User    portal.UserID        `json:"user,omitempty"`
	Purpose Purpose              `json:"purpose"`
	Until   time.Time            `json:"until"`
	Session webauthn.SessionData `json:"session"`
}

// owner is a person as the library asks for one.
type owner struct {
	handle      []byte
	name, shown string
	keys        []webauthn.Credential
}

func (o owner) WebAuthnID() []byte                         { return o.handle }
func (o owner) WebAuthnName() string                       { return o.name }
func (o owner) WebAuthnDisplayName() string                { return o.shown }
func (o owner) WebAuthnCredentials() []webauthn.Credential { return o.keys }

// Kind is what it is stored as.
func (WebAuthn) Kind() portal.FactorKind { return portal.FactorWebAuthn }

// Traits are what flows must know of it.
func (WebAuthn) Traits() Traits {
	return Traits{AMR: portal.AMRWebAuthn, Title: "Passkey", Hint: "Use your fingerprint, your face, your screen lock or your security key.", Strength: 50,
		Assures: true, Alone: true, Several: true, Script: true, Asked: true, Added: "passkey_added", Removed: "passkey_removed"}
}

// Lookup is what is stored of a credential id so that a sign-in finds its factor. The id is no secret; a digest has one
// length, whatever an authenticator makes up.
func Lookup(rawID []byte) []byte {
	sum := sha256.Sum256(rawID)
	return sum[:]
}

// Claimed reads from an answer which passkey it says to be of, as Lookup stores it. Nothing of it is proved.
func (WebAuthn) Claimed(answer string) (lookup []byte, err error) {
	a, err := readAssertion(answer)
	if err != nil {
		return nil, err
	}
	return Lookup(a.RawID), nil
}

// Setup offers to make a passkey. The challenge is another each time; the handle stays.
func (WebAuthn) Setup(_ context.Context, s Scene, have []Held, before []byte) (Challenge, error) {
	o, err := ownerOf(s, have)
	if err != nil {
		return Challenge{}, err
	}
	if o.handle == nil {
		o.handle = s.Handle // an authenticator then puts the new one in the place of one that was removed
	}
	if o.handle == nil && before != nil {
		var c ceremony
		if err := read(before, &c); err != nil {
			return Challenge{}, err
		}
		o.handle = c.Session.UserID
	}
	if o.handle == nil {
		o.handle = secret.Bytes(handleBytes)
	}
	rp, err := relyingParty(s)
	if err != nil {
		return Challenge{}, err
	}
	options, session, err := rp.BeginRegistration(o,
		webauthn.WithResidentKeyRequirement(protocol.ResidentKeyRequirementPreferred), // an old security key has no room, and is a second step all the same
		webauthn.WithCredentialParameters(webauthn.CredentialParametersRecommendedL3()),
		webauthn.WithExclusions(webauthn.Credentials(o.keys).CredentialDescriptors()))
	if err != nil {
		return Challenge{}, fmt.Errorf("offering to make a passkey: %w", err)
	}
	return asked(s, PurposeEnrol, session, options.Response)
}

// Confirm accepts a passkey that was made.
func (WebAuthn) Confirm(_ context.Context, s Scene, state []byte, answer string) (Enrolled, error) {
	c, err := begun(s, PurposeEnrol, state)
	if err != nil {
		return Enrolled{}, err
	}
	if len(answer) > longestAnswer {
		return Enrolled{}, ErrInput
	}
	made, err := protocol.ParseCredentialCreationResponseBytes([]byte(answer))
	if err != nil {
		return Enrolled{}, fmt.Errorf("%w: %w", ErrInput, err)
	}
	if err := sameOrigin(s, made.Response.CollectedClientData); err != nil {
		return Enrolled{}, err
	}
	rp, err := relyingParty(s)
	if err != nil {
		return Enrolled{}, err
	}
	key, err := rp.CreateCredential(owner{handle: c.Session.UserID}, c.Session, made)
	if err == nil {
		_, err = webauthncose.ParsePublicKey(key.PublicKey) // the library would find out at the first use
	}
	if err != nil {
		return Enrolled{}, fmt.Errorf("%w: %w", ErrWrong, err)
	}
	p := passkey{Handle: c.Session.UserID, Credential: *key}
	next, err := p.spend(c, s.Now)
	if err != nil {
		return Enrolled{}, err
	}
	name := provider(key.Authenticator.AAGUID)
	if name == "" {
		name = WebAuthn{}.Traits().Title
	}
	return Enrolled{State: next, Name: name, Lookup: Lookup(key.ID), Facts: p.facts(), Handle: p.Handle}, nil
}

// Ask asks for one of the person's passkeys; to enter, for whichever there is, so that the question tells nobody who has
// an account (WA-07). Instead of a password a passkey must have verified who holds it; beside one, holding it is enough.
func (WebAuthn) Ask(_ context.Context, s Scene, have []Held, _ []byte) (Challenge, error) {
	rp, err := relyingParty(s)
	if err != nil {
		return Challenge{}, err
	}
	if s.Purpose == PurposeEnter {
		options, session, err := rp.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
		if err != nil {
			return Challenge{}, fmt.Errorf("asking for any passkey: %w", err)
		}
		return asked(s, s.Purpose, session, options.Response)
	}
	if len(have) == 0 {
		return Challenge{}, ErrNone
	}
	o, err := ownerOf(s, have)
	if err != nil {
		return Challenge{}, err
	}
	options, session, err := rp.BeginLogin(o, webauthn.WithUserVerification(protocol.VerificationPreferred))
	if err != nil {
		return Challenge{}, fmt.Errorf("asking for a passkey: %w", err)
	}
	return asked(s, s.Purpose, session, options.Response)
}

// Check accepts a signature over the challenge with one of the passkeys. To enter, have is the one factor that Claimed
// found, whoever it belongs to: the handle in the answer must be its owner's.
func (WebAuthn) Check(_ context.Context, s Scene, have []Held, challenge []byte, answer string) (Checked, error) {
	a, err := readAssertion(answer)
	if err != nil {
		return Checked{}, err
	}
	c, err := begun(s, s.Purpose, challenge)
	if err != nil {
		return Checked{}, err
	}
	if err := sameOrigin(s, a.Response.CollectedClientData); err != nil {
		return Checked{}, err
	}
	o, err := ownerOf(s, have)
	if err != nil {
		return Checked{}, err
	}
	id, p, err := theOne(have, a.RawID)
	if err != nil {
		return Checked{}, err
	}
	if p.Spent.has(c.id()) {
		return Checked{}, ErrUsed
	}
	rp, err := relyingParty(s)
	if err != nil {
		return Checked{}, err
	}
	o.handle = p.Handle
	var key *webauthn.Credential
	if s.Purpose == PurposeEnter {
		key, err = rp.ValidateDiscoverableLogin(func([]byte, []byte) (webauthn.User, error) { return o, nil }, c.Session, a)
	} else {
		c.Session.UserID = p.Handle // two that were enrolled in the same moment may have a handle each
		key, err = rp.ValidateLogin(o, c.Session, a)
	}
	if err != nil {
		return Checked{}, fmt.Errorf("%w: %w", ErrWrong, err)
	}
	alarm := ""
	if key.Authenticator.CloneWarning { // the library leaves it to us to act on it (WA-05)
		alarm = fmt.Sprintf("the passkey counts %d after %d: it may have been copied", a.Response.AuthenticatorData.Counter, p.Credential.Authenticator.SignCount)
	} else {
		p.Credential = *key
	}
	next, err := p.spend(c, s.Now)
	return Checked{ID: id, State: next, Facts: p.facts(), Alarm: alarm}, err
}

// Accepted is what a browser may be told of a person's passkeys, as its signalAllAcceptedCredentials takes it (Web
// Authentication Level 3, section 5.1.10.2): whatever else it keeps for that person opens nothing any more.
type Accepted struct {
	Host string                      `json:"rpId"`
	User protocol.URLEncodedBase64   `json:"userId"`
	IDs  []protocol.URLEncodedBase64 `json:"allAcceptedCredentialIds"`
}

// Accepted lists a person's passkeys by handle. There is an empty list for the one that none is left of.
func (WebAuthn) Accepted(s Scene, have []Held) (out []Accepted, err error) {
	at := func(handle []byte) *Accepted {
		for i := range out {
			if bytes.Equal(out[i].User, handle) {
				return &out[i]
			}
		}
		out = append(out, Accepted{Host: s.Host, User: handle, IDs: []protocol.URLEncodedBase64{}})
		return &out[len(out)-1]
	}
	if len(s.Handle) > 0 {
		at(s.Handle)
	}
	for _, h := range have {
		var p passkey
		if err := read(h.State, &p); err != nil {
			return nil, err
		}
		one := at(p.Handle)
		one.IDs = append(one.IDs, protocol.URLEncodedBase64(p.Credential.ID))
	}
	return out, nil
}

// relyingParty is the tenant as browsers know it: one host, one origin, in no frame of anybody's (WA-04).
func relyingParty(s Scene) (*webauthn.WebAuthn, error) {
	shown := s.Portal
	if shown == "" {
		shown = s.Host
	}
	limit := webauthn.TimeoutConfig{Timeout: ceremonyLife, TimeoutUVD: ceremonyLife}
	rp, err := webauthn.New(&webauthn.Config{RPID: s.Host, RPDisplayName: shown, RPOrigins: []string{s.Origin},
		AttestationPreference:  protocol.PreferNoAttestation, // which make somebody's device is of decides nothing
		AuthenticatorSelection: protocol.AuthenticatorSelection{UserVerification: protocol.VerificationPreferred},
		Timeouts:               webauthn.TimeoutsConfig{Login: limit, Registration: limit},
		// Some password managers answer with more than they were asked for. Nothing here reads it, and nobody must be
		// locked out by it.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore})
	if err != nil {
		return nil, fmt.Errorf("passkeys for %q at %q: %w", s.Host, s.Origin, err)
	}
	return rp, nil
}

// sameOrigin refuses every origin but ours, to the letter: the library also takes other spellings of it.
func sameOrigin(s Scene, c protocol.CollectedClientData) error {
	if c.Origin != s.Origin || c.CrossOrigin || c.TopOrigin != "" {
		return fmt.Errorf("%w: it comes from %q, below %q", ErrWrong, c.Origin, c.TopOrigin)
	}
	return nil
}

// ownerOf is the person with all passkeys. The handle is that of the first.
func ownerOf(s Scene, have []Held) (owner, error) {
	o := owner{name: s.Email, shown: s.Name}
	if o.shown == "" {
		o.shown = s.Email
	}
	for _, h := range have {
		var p passkey
		if err := read(h.State, &p); err != nil {
			return owner{}, err
		}
		if o.handle == nil {
			o.handle = p.Handle
		}
		o.keys = append(o.keys, p.Credential)
	}
	return o, nil
}

// theOne is the passkey with a credential id.
func theOne(have []Held, rawID []byte) (portal.FactorID, passkey, error) {
	for _, h := range have {
		var p passkey
		if err := read(h.State, &p); err != nil {
			return "", passkey{}, err
		}
		if len(p.Handle) == 0 || len(p.Credential.ID) == 0 {
			return "", passkey{}, errors.New("the state of a passkey holds no passkey")
		}
		if bytes.Equal(p.Credential.ID, rawID) {
			return h.ID, p, nil
		}
	}
	return "", passkey{}, fmt.Errorf("%w: none of the passkeys", ErrWrong)
}

// asked is a question with what the browser is given for it.
func asked(s Scene, p Purpose, session *webauthn.SessionData, options any) (Challenge, error) {
	c := ceremony{Tenant: s.Tenant, User: s.User, Purpose: p, Until: s.Now.Add(ceremonyLife), Session: *session}
	state, err := json.Marshal(c)
	if err != nil {
		return Challenge{}, fmt.Errorf("keeping a challenge: %w", err)
	}
	show, err := json.Marshal(options)
	if err != nil {
		return Challenge{}, fmt.Errorf("writing options for a browser: %w", err)
	}
	return Challenge{State: state, Tries: 1, Life: ceremonyLife, Show: json.RawMessage(show)}, nil
}

// begun reads a question, and refuses one that was asked for something else, of somebody else, or too long ago.
func begun(s Scene, p Purpose, state []byte) (ceremony, error) {
	var c ceremony
	if err := read(state, &c); err != nil {
		return ceremony{}, err
	}
	switch {
	case c.Purpose != p, c.Tenant != s.Tenant, p != PurposeEnter && c.User != s.User, c.Session.RelyingPartyID != s.Host:
		return ceremony{}, fmt.Errorf("%w: it was asked for another purpose, or of somebody else", ErrWrong)
	case !s.Now.Before(c.Until):
		return ceremony{}, fmt.Errorf("%w: it was asked too long ago", ErrWrong)
	case (p == PurposeEnter) != (c.Session.UserVerification == protocol.VerificationRequired): // WA-03: what we asked for, not what a client says
		return ceremony{}, errors.New("a challenge asks for something else than its purpose")
	}
	return c, nil
}

func (c ceremony) id() []byte { return []byte(c.Session.Challenge) }

func (p passkey) spend(c ceremony, now time.Time) ([]byte, error) {
	p.Spent = p.Spent.add(c.id(), c.Until, now)
	state, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("keeping a passkey: %w", err)
	}
	return state, nil
}

func readAssertion(answer string) (*protocol.ParsedCredentialAssertionData, error) {
	if len(answer) > longestAnswer {
		return nil, ErrInput
	}
	a, err := protocol.ParseCredentialRequestResponseBytes([]byte(answer))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	return a, nil
}
