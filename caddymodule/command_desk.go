package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
)

// desk is what every command needs: where the database and the keys are, who is asking, and how to answer.
type desk struct {
	database, keyring, operator, reason string
	plaintext                           []string
	json                                bool
}

func (d *desk) flags(c *cobra.Command, database, keyring bool) {
	if database {
		c.Flags().StringVar(&d.database, "database", os.Getenv("PORTALGATE_DATABASE_URL"), "address of the database (default $PORTALGATE_DATABASE_URL)")
		c.Flag("database").DefValue = "" // what is in the environment may be secret
		c.Flags().StringArrayVar(&d.plaintext, "plaintext-network", nil, "a network in which the database may be reached without TLS")
	}
	if keyring {
		c.Flags().StringVar(&d.keyring, "keyring", os.Getenv("PORTALGATE_KEYRING"), "keyring file (default $PORTALGATE_KEYRING)")
		c.Flag("keyring").DefValue = ""
	}
	d.answers(c)
}

// answers lets a command answer in JSON.
func (d *desk) answers(c *cobra.Command) {
	c.Flags().BoolVar(&d.json, "json", false, "answer in JSON")
}

// deed adds who does it, and why; both go into the trail.
func (d *desk) deed(c *cobra.Command) {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	c.Flags().StringVar(&d.operator, "operator", name, "who does this; it goes into the activity log")
	c.Flags().StringVar(&d.reason, "reason", "", "why; it goes into the activity log")
}

func (d *desk) by() store.Deed { return store.Deed{Operator: d.operator, Reason: d.reason} }

// open connects to the database of a command.
func (d *desk) open(ctx context.Context) (*store.Store, error) {
	if d.database == "" {
		return nil, errors.New("which database? give --database, or set PORTALGATE_DATABASE_URL")
	}
	plaintext, err := d.networks()
	if err != nil {
		return nil, err
	}
	s, err := store.Open(d.database, store.Options{MaxConns: 2, Wait: 10 * time.Second, Plaintext: plaintext, Name: "portalgate command"})
	if err != nil {
		return nil, err
	}
	if err := s.Ready(ctx); err != nil {
		s.Close()
		return nil, connecting(err)
	}
	return s, nil
}

func (d *desk) networks() ([]netip.Prefix, error) {
	var wrong []error
	nets := prefixes("plaintext-network", d.plaintext, func(err error) { wrong = append(wrong, err) })
	return nets, errors.Join(wrong...)
}

func (d *desk) keys() (*secret.Keyring, error) {
	if d.keyring == "" {
		return nil, errors.New("which keyring? give --keyring, or set PORTALGATE_KEYRING")
	}
	return secret.Open(d.keyring)
}

// prints are a keyring's fingerprints.
func prints(ring *secret.Keyring) (out []store.KeyPrint) {
	for _, k := range ring.Keys() {
		out = append(out, store.KeyPrint{ID: k.ID, Purpose: string(k.Purpose), Fingerprint: k.Fingerprint()})
	}
	return out
}

// find is a tenant by its slug.
func find(ctx context.Context, s *store.Store, slug string) (portal.TenantID, error) {
	if slug == "" {
		return "", errors.New("which tenant? give --tenant with its slug; `portalgate tenant list` shows them")
	}
	entries, err := s.Directory(ctx)
	if err != nil {
		return "", explained(err)
	}
	var known []string
	for _, e := range entries {
		if e.Slug == slug {
			return e.Tenant, nil
		}
		if len(known) == 0 || known[len(known)-1] != e.Slug {
			known = append(known, e.Slug)
		}
	}
	if len(known) == 0 {
		return "", fmt.Errorf("there is no tenant %q, and no other; add one with `portalgate tenant add`", slug)
	}
	if len(known) > 10 {
		known = append(known[:10], "…")
	}
	return "", fmt.Errorf("there is no tenant %q; there are: %s", slug, strings.Join(known, ", "))
}

// connecting explains why there is no connection.
func connecting(err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "SQLSTATE 3D000"):
		return fmt.Errorf("the server has no database of that name; make it with `createdb`, or mend the address (%w)", err)
	case strings.Contains(text, "SQLSTATE 28"):
		return fmt.Errorf("the database refuses this login; look at the user and the password in its address (%w)", err)
	}
	return fmt.Errorf("%w; is it running, and is the address right?", err)
}

// explained says what to do about an error that the database answers when something around it is missing.
func explained(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	switch {
	case strings.Contains(text, "SQLSTATE 42P01"), strings.Contains(text, "SQLSTATE 3F000"), strings.Contains(text, "SQLSTATE 42883"):
		return fmt.Errorf("this database has no portalgate in it, or an older one; run `portalgate migrate up --database \"$OWNER_URL\"` first (%w)", err)
	case strings.Contains(text, "SQLSTATE 42501"):
		return fmt.Errorf("this login may not do that; commands run as the owner, or as a login made with `create role … login password '…' in role portalgate_operator` (%w)", err)
	}
	return err
}

// print answers: a JSON value, or lines for people.
func (d *desk) print(c *cobra.Command, value any, lines func(w io.Writer)) error {
	if d.json {
		e := json.NewEncoder(c.OutOrStdout())
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(value)
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 8, 2, ' ', 0)
	lines(w)
	return w.Flush()
}
