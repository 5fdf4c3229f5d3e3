package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/migrations"
)

func keysCommand() *cobra.Command {
	var d, l desk
	var out string
	generate := command("generate", "Makes a keyring file with a key for each purpose",
		"  portalgate keys generate --out keyring.json", cobra.NoArgs,
		func(c *cobra.Command, _ []string) error {
			if out == "" {
				return errors.New("where to? give --out with the file to make; keep a copy of it where the database's backups are not")
			}
			b, err := secret.Generate(time.Now())
			if err != nil {
				return err
			}
			if err := secret.WriteNew(out, b); err != nil {
				return err
			}
			ring, err := secret.Open(out)
			if err != nil {
				return err
			}
			return d.print(c, map[string]any{"keyring": out, "keys": len(ring.Keys())}, func(w io.Writer) {
				fmt.Fprintf(w, "made %s with %d keys, readable by its owner alone; without it nobody can sign in, so keep a copy apart from the database's backups\n", out, len(ring.Keys()))
			})
		})
	generate.Flags().StringVar(&out, "out", "", "the file to make; it must not exist")
	generate.Flags().BoolVar(&d.json, "json", false, "answer in JSON")

	list := command("list", "Lists the keys of a keyring, without their secrets",
		"  portalgate keys list --keyring keyring.json", cobra.NoArgs,
		func(c *cobra.Command, _ []string) error {
			ring, err := l.keys()
			if err != nil {
				return err
			}
			type row struct {
				ID          string     `json:"id"`
				Purpose     string     `json:"purpose"`
				UseFrom     time.Time  `json:"use_from"`
				VerifyUntil *time.Time `json:"verify_until,omitempty"`
				Fingerprint string     `json:"fingerprint"`
			}
			rows := []row{}
			for _, k := range ring.Keys() {
				r := row{ID: k.ID, Purpose: string(k.Purpose), UseFrom: k.UseFrom, Fingerprint: fmt.Sprintf("%x", k.Fingerprint())}
				if !k.VerifyUntil.IsZero() {
					r.VerifyUntil = &k.VerifyUntil
				}
				rows = append(rows, r)
			}
			return l.print(c, rows, func(w io.Writer) {
				fmt.Fprintln(w, "KEY\tFOR\tUSED FROM\tVERIFIES UNTIL\tFINGERPRINT")
				for _, r := range rows {
					until := "no end"
					if r.VerifyUntil != nil {
						until = r.VerifyUntil.Format(time.RFC3339)
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.ID, r.Purpose, r.UseFrom.Format(time.RFC3339), until, r.Fingerprint)
				}
			})
		})
	l.flags(list, false, true)
	return group("keys", "Makes, shows and rotates the keyring", generate, list, keysRotate())
}

func migrateCommand() *cobra.Command {
	var u, s desk
	need := func(d desk) error {
		if d.database == "" {
			return errors.New("which database? give --database with the address of the role that shall own the tables, or set PORTALGATE_DATABASE_URL")
		}
		return nil
	}
	up := command("up", "Brings the database to this program's version",
		"  portalgate migrate up --database \"$OWNER_URL\"", cobra.NoArgs,
		func(c *cobra.Command, _ []string) error {
			if err := need(u); err != nil {
				return err
			}
			r, err := migrations.Up(c.Context(), u.database, migrations.Options{})
			if err != nil {
				return err
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
		"  portalgate migrate status --database \"$OWNER_URL\"", cobra.NoArgs,
		func(c *cobra.Command, _ []string) error {
			if err := need(s); err != nil {
				return err
			}
			st, err := migrations.Where(c.Context(), s.database)
			if err != nil {
				return err
			}
			return s.print(c, st, func(w io.Writer) {
				fmt.Fprintf(w, "version %d of %d\n", st.Version, st.Latest)
				for _, p := range st.Pending {
					fmt.Fprintf(w, "pending: %s\n", p)
				}
			})
		})
	s.flags(status, true, false)
	printSQL := command("print", "Prints the SQL that `migrate up` runs on a new database",
		"  portalgate migrate print > portalgate.sql", cobra.NoArgs,
		func(c *cobra.Command, _ []string) error { return migrations.Print(c.OutOrStdout()) })
	return group("migrate", "Makes and updates the tables", up, status, migrateCheck(), printSQL)
}
