package caddymodule

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/migrations"
)

var errNoDatabase = errors.New("which database? give --database with the address of the role that shall own the tables, or set PORTALGATE_DATABASE_URL")

func migrateCheck() *cobra.Command {
	var d desk
	c := command("check", "Says what `migrate up` would do and what stands in its way, and changes nothing",
		"  portalgate migrate check --database \"$OWNER_URL\"", takes(),
		func(c *cobra.Command, _ []string) error {
			if d.database == "" {
				return errNoDatabase
			}
			found, err := migrations.Check(c.Context(), d.database)
			if err != nil {
				return migrating(err)
			}
			wrong := 0
			for _, f := range found {
				if f.State == "wrong" {
					wrong++
				}
			}
			if err := d.print(c, found, func(w io.Writer) {
				for _, f := range found {
					fmt.Fprintf(w, "%s\t%s\t%s\n", f.State, f.Check, f.Says)
				}
			}); err != nil {
				return err
			}
			if wrong > 0 {
				return fmt.Errorf("%d of %d checks found something in the way", wrong, len(found))
			}
			return nil
		})
	d.flags(c, true, false)
	return c
}
