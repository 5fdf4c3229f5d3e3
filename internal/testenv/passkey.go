package testenv

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/descope/virtualwebauthn"
)

// Passkey is a device that makes one passkey and answers with it, as a browser hands it on. Its zero value has none yet.
type Passkey struct {
	Synced     bool // it says that the passkey can be synced, and is
	Unverified bool // it is used without a finger, a face or a PIN
	Counts     bool // it counts how often it was used

	Model  string // the AAGUID; empty: drawn
	ID     []byte // of the credential; empty: drawn
	Handle []byte // whose it is, as it was told

	device virtualwebauthn.Authenticator
	key    virtualwebauthn.Credential
}

// Signed is what a device answers, before it is written down: any part of it can be falsified.
type Signed struct {
	Type, ID, RawID string
	Client          map[string]any // type, challenge, origin
	Data            []byte         // host's digest (32), flags (1), counter (4)
	Handle          string
	Signature       []byte // nil: rightly signed, whatever was changed
}

// Answer answers the options of a page at an origin: it makes the passkey, or uses it.
func (p *Passkey) Answer(t testing.TB, origin string, options any) string {
	t.Helper()
	text, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), `"pubKeyCredParams"`) {
		return p.make(t, origin, string(text))
	}
	return p.Falsified(t, origin, options, nil)
}

func (p *Passkey) rp(origin, host string) virtualwebauthn.RelyingParty {
	return virtualwebauthn.RelyingParty{ID: host, Origin: origin}
}

func (p *Passkey) make(t testing.TB, origin, options string) string {
	t.Helper()
	asked, err := virtualwebauthn.ParseAttestationOptions(options)
	if err != nil {
		t.Fatal(err)
	}
	p.device = virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{UserNotVerified: p.Unverified, BackupEligible: p.Synced, BackupState: p.Synced})
	if p.Model != "" {
		aaguid, err := hex.DecodeString(strings.ReplaceAll(p.Model, "-", ""))
		if err != nil {
			t.Fatal(err)
		}
		copy(p.device.Aaguid[:], aaguid)
	}
	// Whoever made the library writes a coordinate without its leading zeros, which is no COSE key.
	for p.key = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2); len(p.key.Key.AttestationData()) != 77; {
		p.key = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	}
	if len(p.ID) > 0 {
		p.key.ID = p.ID
	}
	if p.key.IsExcludedForAttestation(*asked) {
		t.Fatal("the device has a passkey of this person already")
	}
	p.ID, p.Handle = p.key.ID, []byte(asked.UserID)
	return virtualwebauthn.CreateAttestationResponse(p.rp(origin, asked.RelyingPartyID), p.device, p.key, *asked)
}

// Falsified uses the passkey, and changes what the device says before it is signed.
func (p *Passkey) Falsified(t testing.TB, origin string, options any, change func(s *Signed)) string {
	t.Helper()
	text, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	asked, err := virtualwebauthn.ParseAssertionOptions(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(asked.AllowCredentials) > 0 && !p.key.IsAllowedForAssertion(*asked) {
		t.Fatal("the device has none of the passkeys that are asked for")
	}
	if p.Counts {
		p.key.Counter++
	}
	p.device.Options.UserHandle, p.device.Options.UserNotVerified = p.Handle, p.Unverified
	answer := virtualwebauthn.CreateAssertionResponse(p.rp(origin, asked.RelyingPartyID), p.device, p.key, *asked)
	if change == nil {
		return answer
	}
	var a struct {
		Type     string `json:"type"`
		ID       string `json:"id"`
		RawID    string `json:"rawId"`
		Response struct {
			AuthenticatorData string `json:"authenticatorData"`
			ClientDataJSON    string `json:"clientDataJSON"`
			Signature         string `json:"signature"`
			UserHandle        string `json:"userHandle,omitempty"`
		} `json:"response"`
	}
	if err := json.Unmarshal([]byte(answer), &a); err != nil {
		t.Fatal(err)
	}
	s := Signed{Type: a.Type, ID: a.ID, RawID: a.RawID, Handle: a.Response.UserHandle, Client: map[string]any{}}
	client, err := base64.RawURLEncoding.DecodeString(a.Response.ClientDataJSON)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(client, &s.Client); err != nil {
		t.Fatal(err)
	}
	if s.Data, err = base64.RawURLEncoding.DecodeString(a.Response.AuthenticatorData); err != nil {
		t.Fatal(err)
	}
	change(&s)
	if client, err = json.Marshal(s.Client); err != nil {
		t.Fatal(err)
	}
	if s.Signature == nil {
		s.Signature = p.sign(t, s.Data, client)
	}
	a.Type, a.ID, a.RawID = s.Type, s.ID, s.RawID
	a.Response.AuthenticatorData, a.Response.ClientDataJSON = base64.RawURLEncoding.EncodeToString(s.Data), base64.RawURLEncoding.EncodeToString(client)
	a.Response.Signature, a.Response.UserHandle = base64.RawURLEncoding.EncodeToString(s.Signature), s.Handle
	out, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func (p *Passkey) sign(t testing.TB, data, client []byte) []byte {
	t.Helper()
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(append([]byte{}, data...), hash[:]...))
	signature, err := p.key.Key.Sign(digest[:])
	if err != nil {
		t.Fatal(fmt.Errorf("signing with a passkey: %w", err))
	}
	return signature
}
