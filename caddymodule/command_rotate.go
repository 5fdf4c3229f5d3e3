package caddymodule

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/secret"
)

func keysRotate() *cobra.Command {
	var (
		d    desk
		only []string
		leak bool
	)
	c := command("rotate", "Adds new keys, to be used ten minutes later when every gateway has read them",
		"  portalgate keys rotate --keyring keyring.json\n  portalgate keys rotate --keyring keyring.json --purpose access --now", takes(),
		func(c *cobra.Command, _ []string) error {
			if _, err := d.keys(); err != nil {
				return err
			}
			r := secret.Rotation{Leak: leak}
			for _, name := range only {
				p, err := secret.ParsePurpose(name)
				if err != nil {
					return err
				}
				r.Purposes = append(r.Purposes, p)
			}
			now := time.Now()
			made, err := secret.RotateFile(d.keyring, r, now)
			if err != nil {
				return err
			}
			from := now.Add(secret.UseDelay)
			if leak {
				from = now
			}
			return d.print(c, map[string]any{"keyring": d.keyring, "made": made, "use_from": from.UTC().Format(time.RFC3339)}, func(w io.Writer) {
				for _, id := range made {
					fmt.Fprintf(w, "made %s\n", id)
				}
				if leak {
					fmt.Fprintln(w, "they are used at once; a gateway that has not read the file yet reads it when it meets one")
				} else {
					fmt.Fprintf(w, "they are used from %s; bring this file to every gateway before then\n", from.Local().Format("15:04:05"))
				}
				fmt.Fprintln(w, "keep a copy of the file apart from the database's backups; nobody is signed out")
			})
		})
	d.flags(c, false, true)
	c.Flags().StringArrayVar(&only, "purpose", nil, "rotate the key for this purpose only; may be given several times (default all)")
	c.Flags().BoolVar(&leak, "now", false, "after a leak: use the new keys at once, and trust the old ones no longer than must be")
	return c
}
