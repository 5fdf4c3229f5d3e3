package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
)

func init() {
	// Any Caddy built with this module has the commands under `caddy portalgate …`.
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "portalgate",
		Short: "Runs the portal gate's own commands: keys, migrate, tenant, user, doctor",
		CobraFunc: func(cmd *cobra.Command) {
			cmd.Use = "portalgate"
			for _, c := range commands() {
				cmd.AddCommand(c)
			}
		},
	})
}

// Main is the main function of our own binary: Caddy's, with our commands at the top, more of them where given, and
// the collector set for a proxy.
func Main(more ...*cobra.Command) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "upgrade", "add-package", "remove-package":
			fmt.Fprintf(os.Stderr, "%s is not for this program: it would replace it by another Caddy without the gate. Build with xcaddy to add plugins (see xcaddy.json).\n", os.Args[1])
			os.Exit(1)
		}
	}
	caddy.CustomBinaryName = "portalgate"
	caddy.CustomLongDescription = "portalgate signs a portal's customers in, keeps their sessions, and forwards their requests with an identity that nobody can forge.\nIt is Caddy with one module more: everything that Caddy does, it does too."
	for _, c := range append(commands(), more...) {
		caddycmd.RegisterCommand(caddycmd.Command{Name: strings.Fields(c.Use)[0], Short: c.Short, CobraFunc: func(cmd *cobra.Command) { *cmd = *c }})
	}
	tune()
	caddycmd.Main()
}

// tune sets the collector once, unless the operator has: more heap for fewer collections, within a limit that the
// container or the machine gives. It is worth 5 to 8 percent of throughput (performance: collector settings).
func tune() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(1 << 30)
	}
}

func commands() []*cobra.Command {
	return []*cobra.Command{keysCommand(), migrateCommand(), tenantCommand(), userCommand(), doctorCommand()}
}

// desk is what every command needs: where the database and the keys are, who is asking, and how to answer.
type desk struct {
	database, keyring, operator, reason string
	json                                bool
}

func (d *desk) flags(c *cobra.Command, database, keyring bool) {
	if database {
		c.Flags().StringVar(&d.database, "database", os.Getenv("PORTALGATE_DATABASE_URL"), "address of the database (default $PORTALGATE_DATABASE_URL)")
		c.Flag("database").DefValue = ""
	}
	if keyring {
		c.Flags().StringVar(&d.keyring, "keyring", os.Getenv("PORTALGATE_KEYRING"), "keyring file (default $PORTALGATE_KEYRING)")
		c.Flag("keyring").DefValue = ""
	}
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

// command makes a cobra command that prints no usage for an error of ours.
func command(use, short, example string, args cobra.PositionalArgs, run func(c *cobra.Command, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Example: example, Args: args, SilenceUsage: true, RunE: run}
}

// group makes a command that has only subcommands; without a known one it is an error that lists them.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, SilenceUsage: true, Args: cobra.ArbitraryArgs}
	c.AddCommand(children...)
	c.RunE = func(c *cobra.Command, args []string) error {
		var names []string
		for _, x := range children {
			names = append(names, strings.Fields(x.Use)[0])
		}
		if len(args) == 0 {
			return fmt.Errorf("%s what? one of: %s", c.CommandPath(), strings.Join(names, ", "))
		}
		return fmt.Errorf("%s has no %q; it has: %s", c.CommandPath(), args[0], strings.Join(names, ", "))
	}
	return c
}

// open connects to the database of a command.
func (d *desk) open(ctx context.Context) (*store.Store, error) {
	if d.database == "" {
		return nil, errors.New("which database? give --database, or set PORTALGATE_DATABASE_URL")
	}
	s, err := store.Open(d.database, store.Options{MaxConns: 2, Wait: 10 * time.Second, Name: "portalgate command"})
	if err != nil {
		return nil, err
	}
	if err := s.Ready(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("connecting to the database: %w", err)
	}
	return s, nil
}

func (d *desk) keys() (*secret.Keyring, error) {
	if d.keyring == "" {
		return nil, errors.New("which keyring? give --keyring, or set PORTALGATE_KEYRING")
	}
	return secret.Open(d.keyring)
}

// find is a tenant by its slug.
func find(ctx context.Context, s *store.Store, slug string) (portal.TenantID, error) {
	if slug == "" {
		return "", errors.New("which tenant? give --tenant with its slug; `portalgate tenant list` shows them")
	}
	entries, err := s.Directory(ctx)
	if err != nil {
		return "", missing(err)
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

// missing explains a database that has not been migrated.
func missing(err error) error {
	if strings.Contains(err.Error(), "42P01") || strings.Contains(err.Error(), "3F000") || strings.Contains(err.Error(), "42883") {
		return fmt.Errorf("this database has no portalgate in it; run `portalgate migrate up --database \"$OWNER_URL\"` first (%w)", err)
	}
	return err
}

// print answers: a JSON value, or lines for people.
func (d *desk) print(c *cobra.Command, value any, lines func(w io.Writer)) error {
	if d.json {
		e := json.NewEncoder(c.OutOrStdout())
		e.SetIndent("", "  ")
		return e.Encode(value)
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 8, 2, ' ', 0)
	lines(w)
	return w.Flush()
}

// readSecret takes a secret from standard input or a file, never from an argument: arguments are for everybody to see.
func readSecret(c *cobra.Command, stdin bool, file string) (string, error) {
	var (
		b   []byte
		err error
	)
	switch {
	case stdin && file != "":
		return "", errors.New("give --password-stdin or --password-file, not both")
	case stdin:
		b, err = io.ReadAll(io.LimitReader(c.InOrStdin(), 1<<16))
	case file != "":
		b, err = os.ReadFile(file)
	default:
		return "", errors.New("the password comes from standard input with --password-stdin, or from a file with --password-file")
	}
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	s := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if s == "" {
		return "", errors.New("the password is empty")
	}
	return s, nil
}
