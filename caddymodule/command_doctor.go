package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/mail"
)

// finding is one line of the doctor's.
type finding struct {
	Check string `json:"check"`
	State string `json:"state"`
	Says  string `json:"says"`
}

// The states of a finding. What is wrong makes the command fail.
const (
	fine  = "ok"
	note  = "note"
	wrong = "wrong"
)

// examined are the findings so far.
type examined []finding

func (e *examined) add(check, state, format string, args ...any) {
	*e = append(*e, finding{check, state, fmt.Sprintf(format, args...)})
}

// complain adds each complaint as a line of its own.
func (e *examined) complain(check string, err error) {
	var all complaints
	if !errors.As(err, &all) {
		all = complaints{err}
	}
	for _, one := range all {
		e.add(check, wrong, "%v", one)
	}
}

func (e examined) wrong() (n int) {
	for _, f := range e {
		if f.State == wrong {
			n++
		}
	}
	return n
}

// doctor is one visit.
type doctor struct {
	desk
	config, redis string
	given         func(flag string) bool // on the command line, which holds more than the configuration
	mail          []mail.Sender          // whoever carries it
	found         examined
}

func doctorCommand() *cobra.Command {
	var d doctor
	c := command("doctor", "Checks the configuration, both servers, the role, the keys and the clocks, and says what to mend",
		"  portalgate doctor --config Caddyfile\n  portalgate doctor --database \"$PORTALGATE_DATABASE_URL\" --keyring keyring.json", takes(),
		func(c *cobra.Command, _ []string) error {
			d.given = c.Flags().Changed
			d.configuration()
			d.examineDatabase(c.Context())
			d.examineRedis(c.Context())
			d.examineMail(c.Context())
			if err := d.print(c, d.found, func(w io.Writer) {
				for _, f := range d.found {
					fmt.Fprintf(w, "%s\t%s\t%s\n", f.State, f.Check, strings.ReplaceAll(f.Says, "\n", "\n\t\t"))
				}
			}); err != nil {
				return err
			}
			if n := d.found.wrong(); n > 0 {
				return fmt.Errorf("%s to mend, of %d looked at", count(n, "thing"), len(d.found))
			}
			return nil
		})
	d.flags(c, true, true)
	c.Flags().StringVar(&d.config, "config", "", "Caddyfile or JSON configuration to check and to take the addresses from")
	c.Flags().StringVar(&d.redis, "redis", os.Getenv("PORTALGATE_REDIS_URL"), "address of Redis (default $PORTALGATE_REDIS_URL)")
	c.Flag("redis").DefValue = ""
	return c
}

// configuration judges a configuration file as `validate` does, and takes the servers' addresses from it.
func (d *doctor) configuration() {
	if d.config == "" {
		d.found.add("configuration", note, "none given; --config Caddyfile has it checked too")
		return
	}
	before := d.found.wrong()
	whole, warnings, err := readConfig(d.config)
	if err != nil {
		d.found.add("configuration", wrong, "%v", err)
		return
	}
	for _, w := range warnings {
		d.found.add("configuration", note, "%s", w.String())
	}
	raw, ok := whole.AppsRaw["portalgate"]
	if !ok {
		d.found.add("configuration", wrong, "%s has no `portalgate { … }` in its global options", d.config)
		return
	}
	app := new(App)
	if err := caddy.StrictUnmarshalJSON(raw, app); err != nil {
		d.found.add("configuration", wrong, "%s: %v", d.config, err)
		return
	}
	s, err := app.resolve()
	if err != nil {
		d.found.complain("configuration", err)
	}
	if _, err := checkEndpoint(whole.Admin); err != nil {
		d.found.complain("configuration", err)
	}
	if d.found.wrong() == before {
		d.validate(whole)
	}
	if d.found.wrong() == before {
		d.found.add("configuration", fine, "%s can be read, and every option is in its bounds", d.config)
		d.meaning(s)
	}
	d.exceptions(app, s)
	for flag, from := range map[string]struct {
		to   *string
		says string
	}{"database": {&d.database, s.database}, "keyring": {&d.keyring, s.keyring}, "redis": {&d.redis, s.redis}} {
		if !d.given(flag) {
			*from.to = from.says
		}
	}
	d.plaintext = app.PlaintextNetworks
	if app.Mail != nil {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
		defer cancel()
		p, err := app.Mail.post(ctx, app.LiteralSecrets)
		if err == nil { // `validate` has told it
			d.mail = mail.Leaves(p.Sender)
			d.mailExceptions()
		}
	}
	if app.SMS != nil {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
		defer cancel()
		if t, err := app.SMS.texting(ctx, app.LiteralSecrets); err == nil { // as above
			d.texting(t)
		}
	}
}

// validate has Caddy set everything up, as it would before it starts, and listens to what is logged meanwhile.
func (d *doctor) validate(whole *caddy.Config) {
	log, err := os.CreateTemp("", "portalgate-doctor-")
	if err != nil {
		d.found.add("configuration", note, "not validated as a whole: %v", err)
		return
	}
	defer os.Remove(log.Name())
	defer log.Close()
	// Caddy says on the old log that there is a new one, which is nobody's business here: the old one is made to be
	// silent first.
	quiet := &caddy.Config{Logging: &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "ERROR"}}}}}
	if err := caddy.Validate(quiet); err != nil {
		d.found.add("configuration", note, "not validated as a whole: %v", err)
		return
	}
	whole.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "WARN",
		WriterRaw:  caddyconfig.JSONModuleObject(map[string]any{"filename": log.Name()}, "output", "file", nil),
		EncoderRaw: json.RawMessage(`{"format": "json"}`),
	}}}}
	if err := caddy.Validate(whole); err != nil {
		_, own, found := strings.Cut(err.Error(), "portalgate: ")
		if !found {
			own = err.Error()
		}
		d.found.add("configuration", wrong, "%s", own)
	}
	for lines := json.NewDecoder(log); ; {
		var line struct {
			Logger string `json:"logger"`
			Text   string `json:"msg"`
			Place  string `json:"place"`
		}
		if lines.Decode(&line) != nil {
			return
		}
		if strings.HasSuffix(line.Logger, "portalgate") {
			d.found.add("configuration", note, "%s", strings.TrimSpace(line.Text+" "+line.Place))
		}
	}
}

// exceptions are repeated on every visit: each is a door that somebody opened once.
func (d *doctor) exceptions(app *App, s settings) {
	for _, n := range s.plaintext {
		d.found.add("configuration", note, "PostgreSQL and Redis may be reached without TLS in %s", n)
	}
	if app.LiteralSecrets {
		d.found.add("configuration", note, "literal_secrets is on: secrets stand in the admin API and in Caddy's autosave file")
	}
	for _, n := range s.exempt {
		d.found.add("configuration", note, "sign-ins from %s are not counted by network", n)
	}
}

// mailExceptions repeats those of each provider.
func (d *doctor) mailExceptions() {
	for _, s := range d.mail {
		if g, ok := s.(interface{ exceptions() []string }); ok {
			for _, says := range g.exceptions() {
				d.found.add("configuration", note, "%s", says)
			}
		}
	}
}

// texting says by whom text messages leave, and what that is worth.
func (d *doctor) texting(t *texting) {
	d.found.add("sms", note, "text messages leave by %s, for tenants that have turned codes by text message on; whoever takes over a number gets its codes, which is why NIST SP 800-63B-4 section 3.1.3 wants them offered with a warning and never alone",
		t.guest.(caddy.Module).CaddyModule().ID.Name())
	for _, says := range t.exceptions() {
		d.found.add("configuration", note, "%s", says)
	}
}

// meaning says what the chosen numbers mean.
func (d *doctor) meaning(s settings) {
	p := s.policy
	d.found.add("policy", note, "%s: sessions end %s after the last request and %s after sign-in; kept signed in: %s and %s. NIST SP 800-63B-4 would say 1h and 24h for two factors. Passwords have %d characters or more and strength %d of 4 at least; without a required second factor NIST would say 15 characters. %s",
		s.policyName, p.Idle, p.Absolute, p.RememberIdle, p.RememberAbsolute, p.PasswordMin, p.PasswordScore, limitsMean(p))
}

// readConfig reads a configuration as Caddy does, without its log lines.
func readConfig(file string) (*caddy.Config, []caddyconfig.Warning, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	var warnings []caddyconfig.Warning
	if !strings.HasSuffix(strings.ToLower(file), ".json") {
		adapter := caddyconfig.GetAdapter("caddyfile")
		if adapter == nil {
			return nil, nil, errors.New("this program reads no Caddyfile")
		}
		if b, warnings, err = adapter.Adapt(b, map[string]any{"filename": file}); err != nil {
			return nil, nil, err
		}
	}
	cfg := new(caddy.Config)
	if err := caddy.StrictUnmarshalJSON(caddy.RemoveMetaFields(b), cfg); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	return cfg, warnings, nil
}

func (d *doctor) examineRedis(ctx context.Context) {
	if d.redis == "" {
		d.found.add("redis", note, "none: right for a single gateway; limits by network are kept by its process")
		return
	}
	nets, err := d.networks()
	if err != nil {
		d.found.add("redis", wrong, "%v", err)
		return
	}
	c, err := openRedis(d.redis, nets)
	if err != nil {
		d.found.add("redis", wrong, "%v", err)
		return
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := c.Ping(ctx).Err(); err != nil {
		d.found.add("redis", wrong, "does not answer: %v; is it running, and is the address right? Meanwhile a gateway goes on with limits of its own process, at half the numbers", err)
		return
	}
	d.found.add("redis", fine, "answers")
}
