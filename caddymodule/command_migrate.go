package caddymodule

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/migrations"
)

func migrateCommand() *cobra.Command {
	var u, s, p desk
	need := func(d desk) error {
		if d.database == "" {
			return errNoDatabase
		}
		return nil
	}
	up := command("up", "Brings the database to this program's version",
		"  portalgate migrate up --database \"$OWNER_URL\"", takes(),
		func(c *cobra.Command, _ []string) error {
			if err := need(u); err != nil {
				return err
			}
			r, err := migrations.Up(c.Context(), u.database, migrations.Options{})
			if err != nil {
				return migrating(err)
			}
			return u.print(c, map[string]any{"from": r.From, "to": r.To, "applied": append([]string{}, r.Applied...)}, func(w io.Writer) {
				for _, f := range r.Applied {
					fmt.Fprintf(w, "applied %s\n", f)
				}
				if len(r.Applied) == 0 {
					fmt.Fprintf(w, "nothing to do: the database is at version %d\n", r.To)
					return
				}
				fmt.Fprintf(w, "the database is at version %d\n", r.To)
			})
		})
	u.flags(up, true, false)
	status := command("status", "Says where the database stands, and changes nothing",
		"  portalgate migrate status --database \"$OWNER_URL\"", takes(),
		func(c *cobra.Command, _ []string) error {
			if err := need(s); err != nil {
				return err
			}
			st, err := migrations.Where(c.Context(), s.database)
			if err != nil {
				return migrating(err)
			}
			st.Pending = append([]string{}, st.Pending...)
			return s.print(c, st, func(w io.Writer) {
				fmt.Fprintf(w, "version %d of %d\n", st.Version, st.Latest)
				for _, p := range st.Pending {
					fmt.Fprintf(w, "pending: %s\n", p)
				}
			})
		})
	s.flags(status, true, false)
	printSQL := command("print", "Prints the SQL that `migrate up` runs on a new database",
		"  portalgate migrate print > portalgate.sql", takes(),
		func(c *cobra.Command, _ []string) error {
			if !p.json {
				return migrations.Print(c.OutOrStdout())
			}
			var sql strings.Builder
			if err := migrations.Print(&sql); err != nil {
				return err
			}
			return p.print(c, map[string]string{"sql": sql.String()}, nil)
		})
	p.answers(printSQL)
	return group("migrate", "Makes and updates the tables", "  portalgate migrate status --database \"$OWNER_URL\"\n  portalgate migrate up --database \"$OWNER_URL\"", up, status, migrateCheck(), printSQL)
}

// migrating explains an error of a migration.
func migrating(err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "connecting to the database") && !strings.Contains(text, "SQLSTATE"):
		return fmt.Errorf("%w; is it running, and is the address right?", err)
	case strings.Contains(text, "SQLSTATE 28"), strings.Contains(text, "SQLSTATE 3D000"):
		return connecting(err)
	case strings.Contains(text, "SQLSTATE 42501"):
		return fmt.Errorf("this login may not make or read the tables; migrate as the role that owns the database (%w)", err)
	}
	return err
}
