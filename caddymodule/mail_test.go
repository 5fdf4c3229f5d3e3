package caddymodule

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// posted sets up a block `mail` with these lines in it, as a configuration does.
func posted(t *testing.T, lines string) (*post, error) {
	t.Helper()
	a := new(App)
	if err := a.UnmarshalCaddyfile(caddyfile.NewTestDispenser("portalgate {\n mail {\n" + lines + "\n}\n}")); err != nil {
		t.Fatal(err)
	}
	a = decoded(t, a)
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	p, err := a.Mail.post(ctx, a.LiteralSecrets)
	return p, places(a.Places).at(err)
}

// decoded is a module as it comes out of the JSON of its configuration.
func decoded(t *testing.T, a *App) *App {
	t.Helper()
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	out := new(App)
	if err := caddy.StrictUnmarshalJSON(b, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestATenantsOwnProviderComesFirstThenItsRegions(t *testing.T) {
	t.Parallel()
	everybody, europe := testenv.Mailbox(t), testenv.Mailbox(t)
	p, err := posted(t, `
		from hello@portal.example
		smtp `+everybody.Addr()+`
		tenant acme {
			from hello@acme.example
		}
		region eu eea {
			from hello@eu.example
			reply_to help@eu.example
			smtp `+europe.Addr()+`
		}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		slug, region  string
		box           *testenv.Box
		from, replyTo string
	}{
		{"globex", "", everybody, "hello@portal.example", ""},
		{"globex", "us", everybody, "hello@portal.example", ""},
		{"globex", "eu", europe, "hello@eu.example", "help@eu.example"},
		{"globex", "eea", europe, "hello@eu.example", "help@eu.example"},
		{"acme", "eu", everybody, "hello@acme.example", ""},
	} {
		n := portal.Tenant{Slug: c.slug, Region: c.region}
		m := testMail(p, n, "ann@buyer.example", testenv.NewClock().Now())
		before := len(c.box.Mails())
		if err := p.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		got := c.box.Mails()
		if len(got) != before+1 || got[before].From != c.from || m.ReplyTo != (mail.Address{Email: c.replyTo}) {
			t.Errorf("%s in %q: %d mails there, from %s, answers to %s", c.slug, c.region, len(got)-before, m.From, m.ReplyTo)
		}
	}
	if a, b := len(everybody.Mails()), len(europe.Mails()); a != 3 || b != 2 {
		t.Errorf("%d mails left by default, %d by the region's provider", a, b)
	}
}

func TestTheDoctorRepeatsTheExceptionsOfMail(t *testing.T) {
	t.Parallel()
	p, err := posted(t, `
		from hello@portal.example
		failover {
			smtp mail.example:587 {
				plaintext_network 10.1.0.0/16 10.2.0.0/16
			}
			smtp other.example:587
		}
		tenant acme {
			capture trial
		}`)
	if err != nil {
		t.Fatal(err)
	}
	d := doctor{mail: mail.Leaves(p.Sender)}
	d.mailExceptions()
	var said []string
	for _, f := range d.found {
		said = append(said, f.State+" "+f.Says)
	}
	want := []string{"note mail may be handed to mail.example:587 without TLS in 10.1.0.0/16", "note mail may be handed to mail.example:587 without TLS in 10.2.0.0/16",
		"note capture keeps mails in place of sending them; nobody gets any"}
	if !slices.Equal(said, want) {
		t.Errorf("%q", said)
	}
}

func TestMailsHaveTheNewestConfigurationsWords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "de.json"), []byte(`{"recover": {"subject": "Passwort für {portal}, neu"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	own, err := posted(t, "from hello@portal.example\n capture trial\n templates "+dir)
	if err != nil {
		t.Fatal(err)
	}
	other, err := posted(t, "from hello@portal.example\n capture trial")
	if err != nil {
		t.Fatal(err)
	}
	builtIn, err := mail.NewPress(nil)
	if err != nil {
		t.Fatal(err)
	}
	all := posts{builtIn: builtIn}
	n := mail.Sample(portal.LetterRecover)
	n.Language = "de"
	says := func(what, want string) {
		t.Helper()
		if m, err := all.Print(n); err != nil || m.Subject != want {
			t.Errorf("%s: %q, %v", what, m.Subject, err)
		}
	}
	const ours, theirs = "Neues Passwort für Acme Packaging wählen", "Passwort für Acme Packaging, neu"
	says("before anything is configured", ours)
	all.add(own)
	says("with templates", theirs)
	all.add(other)
	says("after a reload without", ours)
	all.remove(other)
	says("after a reload that failed", theirs)
}
