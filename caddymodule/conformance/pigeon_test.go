package conformance_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/portalgate/portalgate/caddymodule"
	"github.com/portalgate/portalgate/caddymodule/conformance"
	"github.com/portalgate/portalgate/internal/mail"
)

// Pigeon carries mails into a loft, which is a directory. It is written outside, as anybody could: nothing of ours knows
// that it exists.
type Pigeon struct {
	Loft string `json:"loft,omitempty"`

	now atomic.Value // a conformance.Fault
}

func init() { caddy.RegisterModule(new(Pigeon)) }

func (*Pigeon) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "portalgate.mail.pigeon", New: func() caddy.Module { return new(Pigeon) }}
}

func (p *Pigeon) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.Args(&p.Loft) {
		return d.ArgErr()
	}
	return nil
}

func (p *Pigeon) Send(ctx context.Context, m mail.Message) error {
	return mail.Capture{Keep: func(ctx context.Context, m mail.Message) error {
		switch p.now.Load() {
		case conformance.Refuses:
			return mail.ErrRejected
		case conformance.Defers, conformance.HangsUp:
			return errors.New("a hawk is about")
		case conformance.Stalls:
			<-ctx.Done()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b, err := json.Marshal(m)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(p.Loft, m.ID), b, 0o600)
	}}.Send(ctx, m)
}

// landed are the mails of a loft.
func landed(t testing.TB, loft string) (out []mail.Message) {
	t.Helper()
	names, err := os.ReadDir(loft)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		b, err := os.ReadFile(filepath.Join(loft, n.Name()))
		if err != nil {
			t.Fatal(err)
		}
		var m mail.Message
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

// asProgram has this test binary be our program, with a pigeon in it.
const asProgram = "PORTALGATE_TEST_PIGEON"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		caddymodule.Main()
		return
	}
	os.Exit(m.Run())
}

func TestAProviderFromOutsidePassesTheSuite(t *testing.T) {
	t.Parallel()
	conformance.Sender(t, func(t *testing.T) conformance.Subject {
		p := &Pigeon{Loft: t.TempDir()}
		return conformance.Subject{Sender: p,
			Behave: func(f conformance.Fault) bool { p.now.Store(f); return true },
			Arrived: func(t testing.TB) (out []conformance.Arrival) {
				for _, m := range landed(t, p.Loft) {
					out = append(out, conformance.Arrival{From: m.From.Email, ReplyTo: m.ReplyTo.Email, To: string(m.To), Subject: m.Subject, Text: m.Text, HTML: m.HTML})
				}
				return out
			}}
	})
}

// It is configured by its name, by itself and among ours, and carries what the program sends.
func TestAProviderFromOutsideIsConfiguredByItsName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run := func(args ...string) (string, error) {
		c := exec.Command(os.Args[0], args...)
		c.Env = append(os.Environ(), asProgram+"=1", "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	lofts := map[string]string{}
	for _, name := range []string{"north", "south", "east"} {
		lofts[name] = filepath.Join(dir, name)
		if err := os.Mkdir(lofts[name], 0o700); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "Caddyfile")
	text := "{\n\tportalgate {\n\t\tdatabase postgres://localhost/x\n\t\tkeyring keyring.json\n\t\tmail {\n\t\t\tfrom no-reply@acme.example\n\t\t\tpigeon " + lofts["north"] +
		"\n\t\t\ttenant acme {\n\t\t\t\tfailover {\n\t\t\t\t\tsmtp 127.0.0.1:1\n\t\t\t\t\tpigeon " + lofts["south"] + "\n\t\t\t\t}\n\t\t\t}\n\t\t\tregion eu {\n\t\t\t\tpigeon " + lofts["east"] + "\n\t\t\t}\n\t\t}\n\t}\n}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for loft, args := range map[string][]string{"north": nil, "south": {"--tenant", "acme"}, "east": {"--tenant", "globex", "--region", "eu"}} {
		out, err := run(append([]string{"mail", "test", "--config", file, "--to", "ann@buyer.example"}, args...)...)
		if mails := landed(t, lofts[loft]); err != nil || len(mails) != 1 || mails[0].To != "ann@buyer.example" {
			t.Errorf("%s: %d mails, %v: %s", loft, len(mails), err, out)
		}
	}
	if out, err := run("mail", "test", "--config", filepath.Join(dir, "none"), "--to", "ann@buyer.example"); err == nil || !strings.Contains(out, "none") {
		t.Errorf("a file that is not there: %s", out)
	}
}

var (
	_ caddyfile.Unmarshaler = (*Pigeon)(nil)
	_ mail.Sender           = (*Pigeon)(nil)
)
