package factor_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/hotp"

	"github.com/portalgate/portalgate/caddymodule/conformance"
	"github.com/portalgate/portalgate/internal/factor"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/testenv"
)

// vault is the real keyed hashing, with keys of this run.
func vault(t testing.TB) factor.Vault {
	t.Helper()
	b, err := secret.Generate(time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	k, err := secret.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return k.Codes(time.Now)
}

// app is somebody with an authenticator app, as the app: a second implementation of none of it, but with the key that
// was typed.
type app struct{ seed string }

func (a *app) Answer(t testing.TB, s factor.Scene, c factor.Challenge) string {
	t.Helper()
	if sheet, ok := c.Show.(factor.Sheet); ok {
		a.seed = strings.ReplaceAll(sheet.Key, " ", "")
	}
	return a.at(t, s.Now)
}

func (a *app) at(t testing.TB, now time.Time) string {
	t.Helper()
	code, err := hotp.GenerateCode(a.seed, uint64(now.Unix()/30))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func (a *app) Wrong(t testing.TB, s factor.Scene, c factor.Challenge) string {
	return other(a.Answer(t, s, c))
}

// other is another code than a given one.
func other(code string) string {
	last := code[len(code)-1]
	return code[:len(code)-1] + string("1234567890"[last-'0'])
}

// mailbox is somebody who reads what is sent.
type mailbox struct{}

func (mailbox) Answer(_ testing.TB, _ factor.Scene, c factor.Challenge) string { return c.Letter.Code }

func (mailbox) Wrong(_ testing.TB, _ factor.Scene, c factor.Challenge) string {
	return other(c.Letter.Code)
}

// paper is somebody who has printed the codes.
type paper struct{ codes []string }

func (p *paper) Answer(t testing.TB, _ factor.Scene, c factor.Challenge) string {
	if codes, ok := c.Show.([]string); ok {
		p.codes = codes
		return ""
	}
	if len(p.codes) == 0 {
		t.Fatal("no code is left")
	}
	code := p.codes[0]
	p.codes = p.codes[1:]
	return code
}

func (*paper) Wrong(testing.TB, factor.Scene, factor.Challenge) string { return "7K3M9-QXD2H-TVW4B" }

// device is somebody with a passkey.
type device struct{ testenv.Passkey }

func (d *device) Answer(t testing.TB, s factor.Scene, c factor.Challenge) string {
	return d.Passkey.Answer(t, s.Origin, c.Show)
}

func (d *device) Wrong(t testing.TB, s factor.Scene, c factor.Challenge) string {
	if bytes.Contains(c.Show.(json.RawMessage), []byte("pubKeyCredParams")) { // the set-up: an answer from elsewhere
		return d.Passkey.Answer(t, "https://evil.test", c.Show)
	}
	return d.Falsified(t, s.Origin, c.Show, func(a *testenv.Signed) { a.Signature = []byte("no signature") })
}

func TestEveryMethodKeepsTheContract(t *testing.T) { // M11
	t.Parallel()
	v := vault(t)
	for _, m := range factor.All(v) {
		o := conformance.MethodOptions{}
		switch m.Kind() {
		case portal.FactorTOTP:
			o.New = func(*testing.T) (factor.Method, conformance.Person) { return m, &app{} }
		case portal.FactorWebAuthn:
			o.New = func(*testing.T) (factor.Method, conformance.Person) { return m, &device{} }
		case portal.FactorEmail:
			o.New = func(*testing.T) (factor.Method, conformance.Person) { return m, mailbox{} }
		case portal.FactorSMS:
			o.New = func(*testing.T) (factor.Method, conformance.Person) { return m, mailbox{} }
			o.Contact = "+49 151 1234567"
		case portal.FactorBackup:
			o.New = func(*testing.T) (factor.Method, conformance.Person) { return m, &paper{} }
			o.Unchecked = true
		}
		t.Run(string(m.Kind()), func(t *testing.T) {
			t.Parallel()
			conformance.Method(t, o)
		})
	}
	// A passkey that is synced counts nothing, and one that is not may count.
	for name, key := range map[string]testenv.Passkey{"synced": {Synced: true}, "counts": {Counts: true}, "unverified": {Unverified: true}} {
		t.Run("webauthn, "+name, func(t *testing.T) {
			t.Parallel()
			conformance.Method(t, conformance.MethodOptions{New: func(*testing.T) (factor.Method, conformance.Person) {
				return factor.WebAuthn{}, &device{key}
			}})
		})
	}
}

func TestAMethodIsFoundByItsKindAndTheStrongestIsFirst(t *testing.T) {
	t.Parallel()
	all := factor.All(vault(t))
	for i, m := range all {
		if found := factor.Find(all, m.Kind()); found == nil || found.Kind() != m.Kind() {
			t.Errorf("%s: %v", m.Kind(), found)
		}
		if i > 0 && all[i-1].Traits().Strength <= m.Traits().Strength {
			t.Errorf("%s is asked before %s", all[i-1].Kind(), m.Kind())
		}
	}
	if m := factor.Find(all, "carrier pigeon"); m != nil {
		t.Errorf("found %v", m)
	}
	// OOB-01, OOB-05: what whoever reads mail has assures nothing, and no telephone is the only way.
	if is := factor.Find(all, portal.FactorEmail).Traits(); is.Assures || !is.ByMail {
		t.Errorf("%+v", is)
	}
	if is := factor.Find(all, portal.FactorSMS).Traits(); is.Alone {
		t.Errorf("%+v", is)
	}
}
