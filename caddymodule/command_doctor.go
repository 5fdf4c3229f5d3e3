package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/migrations"
)

// finding is one line of the doctor's.
type finding struct {
	Check string `json:"check"`
	State string `json:"state"` // ok, note, wrong
	Says  string `json:"says"`
}

func doctorCommand() *cobra.Command {
	var (
		d             desk
		config, redis string
	)
	c := command("doctor", "Checks the configuration, both servers, the role, the keys and the clocks, and says what to mend",
		"  portalgate doctor --config Caddyfile\n  portalgate doctor --database \"$PORTALGATE_DATABASE_URL\" --keyring keyring.json", cobra.NoArgs,
		func(c *cobra.Command, _ []string) error {
			var found []finding
			app, err := configured(config)
			switch {
			case err != nil:
				found = append(found, finding{"configuration", "wrong", err.Error()})
			case app != nil:
				s, err := app.resolve()
				if err != nil {
					found = append(found, finding{"configuration", "wrong", err.Error()})
				} else {
					found = append(found, finding{"configuration", "ok", config + ": policy " + s.policyName}, meaning(s))
					d.database, d.keyring, redis = s.database, s.keyring, s.redis
				}
				for _, n := range s.plaintext {
					found = append(found, finding{"configuration", "note", "PostgreSQL and Redis may be reached without TLS in " + n.String()})
				}
				if app.LiteralSecrets {
					found = append(found, finding{"configuration", "note", "literal_secrets is on: secrets stand in the admin API and in Caddy's autosave file"})
				}
				if app.Mail != nil {
					found = append(found, checkSMTP(c.Context(), app.Mail.SMTP))
				}
			}
			found = append(found, checkDatabase(c.Context(), &d)...)
			found = append(found, checkRedis(c.Context(), redis))
			wrong := 0
			for _, f := range found {
				if f.State == "wrong" {
					wrong++
				}
			}
			if err := d.print(c, found, func(w io.Writer) {
				for _, f := range found {
					fmt.Fprintf(w, "%s\t%s\t%s\n", f.State, f.Check, strings.ReplaceAll(f.Says, "\n", "\n\t\t"))
				}
			}); err != nil {
				return err
			}
			if wrong > 0 {
				return fmt.Errorf("%d of %d checks found something to mend", wrong, len(found))
			}
			return nil
		})
	d.flags(c, true, true)
	c.Flags().StringVar(&config, "config", "", "Caddyfile or JSON configuration to take the addresses from")
	c.Flags().StringVar(&redis, "redis", os.Getenv("PORTALGATE_REDIS_URL"), "address of Redis (default $PORTALGATE_REDIS_URL)")
	c.Flag("redis").DefValue = ""
	return c
}

// configured reads the app out of a configuration file.
func configured(file string) (*App, error) {
	if file == "" {
		return nil, nil
	}
	b, _, _, err := caddycmd.LoadConfig(file, "")
	if err != nil {
		return nil, err
	}
	var whole struct {
		Apps map[string]json.RawMessage `json:"apps"`
	}
	if err := json.Unmarshal(b, &whole); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	raw, ok := whole.Apps["portalgate"]
	if !ok {
		return nil, fmt.Errorf("%s has no `portalgate { … }` in its global options", file)
	}
	app := new(App)
	if err := json.Unmarshal(raw, app); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return app, nil
}

// meaning says what the chosen numbers mean.
func meaning(s settings) finding {
	p := s.policy
	return finding{"policy", "note", fmt.Sprintf("sessions end %s after the last request and %s after sign-in; kept signed in: %s and %s. NIST SP 800-63B-4 would say 1h and 24h for two factors. Passwords have %d characters or more; without a required second factor NIST would say 15. %s",
		p.Idle, p.Absolute, p.RememberIdle, p.RememberAbsolute, p.PasswordMin, limitsMean(p))}
}

func checkDatabase(ctx context.Context, d *desk) (found []finding) {
	if d.database == "" {
		return []finding{{"database", "wrong", "no address: give --config, --database or PORTALGATE_DATABASE_URL"}}
	}
	s, err := d.open(ctx)
	if err != nil {
		return []finding{{"database", "wrong", err.Error()}}
	}
	defer s.Close()
	if err := s.Inspect(ctx, store.Versions{Oldest: migrations.Oldest(), Latest: migrations.Latest()}); err != nil {
		found = append(found, finding{"database", "wrong", err.Error()})
	} else {
		found = append(found, finding{"database", "ok", fmt.Sprintf("version %d, the role cannot cross tenants, row-level security is forced on every table", migrations.Latest())})
	}
	before := time.Now()
	if at, err := s.Clock(ctx); err == nil {
		skew := at.Sub(before.Add(time.Since(before) / 2)).Abs().Round(time.Millisecond)
		state := "ok"
		if skew > 2*time.Second {
			state = "wrong"
		}
		found = append(found, finding{"clock", state, fmt.Sprintf("%s away from the database's", skew)})
	}
	if rows, err := tenants(ctx, s); err != nil {
		found = append(found, finding{"tenants", "wrong", err.Error()})
	} else {
		hosts := 0
		for _, r := range rows {
			hosts += len(r.Hosts)
		}
		state := "ok"
		if hosts == 0 {
			state = "wrong"
		}
		found = append(found, finding{"tenants", state, fmt.Sprintf("%d tenants with %d hosts", len(rows), hosts)})
	}
	if d.keyring == "" {
		return append(found, finding{"keyring", "wrong", "no file: give --config, --keyring or PORTALGATE_KEYRING"})
	}
	return append(found, checkKeys(ctx, s, d.keyring)...)
}

func checkKeys(ctx context.Context, s *store.Store, file string) (found []finding) {
	ring, err := secret.Open(file)
	if err != nil {
		return []finding{{"keyring", "wrong", err.Error()}}
	}
	var prints []store.KeyPrint
	for _, k := range ring.Keys() {
		prints = append(prints, store.KeyPrint{ID: k.ID, Purpose: string(k.Purpose), Fingerprint: k.Fingerprint()})
	}
	if err := s.CheckKeys(ctx, prints); err != nil {
		return []finding{{"keyring", "wrong", file + ": " + err.Error()}}
	}
	found = append(found, finding{"keyring", "ok", fmt.Sprintf("%s: %d keys, the ones this database knows", file, len(prints))})
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o077 != 0 {
		found = append(found, finding{"keyring", "note", fmt.Sprintf("%s can be read by others than its owner (%s); chmod 600", file, info.Mode().Perm())})
	}
	if !ring.Has(secret.PurposePassword) {
		found = append(found, finding{"keyring", "note", "no key for passwords: a dump of the database alone is enough to guess at them"})
	}
	return found
}

func checkRedis(ctx context.Context, address string) finding {
	if address == "" {
		return finding{"redis", "note", "none: right for a single gateway; limits by network are kept by its process"}
	}
	c, err := openRedis(address, nil)
	if err != nil {
		return finding{"redis", "wrong", err.Error()}
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := c.Ping(ctx).Err(); err != nil {
		return finding{"redis", "wrong", "does not answer: " + err.Error() + "; the gateway goes on with limits of its own process, at half the numbers"}
	}
	return finding{"redis", "ok", "answers"}
}

// checkSMTP sees whether somebody who speaks SMTP is there.
func checkSMTP(ctx context.Context, address string) finding {
	dialer := net.Dialer{Timeout: 3 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return finding{"mail", "wrong", "the SMTP server cannot be reached: " + err.Error()}
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(3 * time.Second)) // a connection without a deadline is read all the same
	greeting := make([]byte, 4)
	if _, err := io.ReadFull(conn, greeting); err != nil || string(greeting) != "220 " && string(greeting) != "220-" {
		return finding{"mail", "wrong", address + " does not greet as an SMTP server does"}
	}
	return finding{"mail", "ok", address + " answers"}
}
