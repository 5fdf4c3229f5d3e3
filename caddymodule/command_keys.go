package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/secret"
)

func keysCommand() *cobra.Command {
	var d, l desk
	var out string
	generate := command("generate", "Makes a keyring file with a key for each purpose",
		"  portalgate keys generate --out keyring.json", takes(),
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
	d.answers(generate)

	list := command("list", "Lists the keys of a keyring, without their secrets",
		"  portalgate keys list --keyring keyring.json", takes(),
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
	return group("keys", "Makes, shows and rotates the keyring", "  portalgate keys generate --out keyring.json\n  portalgate keys list --keyring keyring.json", generate, list, keysRotate())
}
