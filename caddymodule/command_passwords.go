package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/breach"
)

func passwordsCommand() *cobra.Command {
	var d desk
	var in, out string
	build := command("build-filter", "Makes a filter of stolen passwords from a downloaded list of their SHA-1 digests",
		"  portalgate passwords build-filter --in pwned.txt.gz --out /var/lib/portalgate/breach.filter", takes(),
		func(c *cobra.Command, _ []string) error {
			switch {
			case in == "":
				return errors.New("from what? give --in with the list of SHA-1 digests, plain or as .gz, or - for standard input")
			case out == "":
				return errors.New("where to? give --out with the filter to make; one that is there is replaced when the new one is whole")
			}
			list := c.InOrStdin()
			if in != "-" {
				f, err := os.Open(in)
				if err != nil {
					return fmt.Errorf("opening the list: %w", err)
				}
				defer f.Close() //nolint:errcheck // nothing was written to it
				list = f
			}
			b, err := breach.Build(list, out)
			if err != nil {
				return fmt.Errorf("%s: %w", in, err)
			}
			return d.print(c, map[string]any{"filter": out, "passwords": b.Passwords, "bytes": b.Bytes}, func(w io.Writer) {
				fmt.Fprintf(w, "made %s of %d passwords, %d bytes; `password { breach file %s }` asks it from the next reload\n", out, b.Passwords, b.Bytes, out)
			})
		})
	f := build.Flags()
	f.StringVar(&in, "in", "", "the list, sorted, DIGEST:times a line; - for standard input")
	f.StringVar(&out, "out", "", "the filter to make")
	d.answers(build)
	return group("passwords", "Makes what new passwords are compared with", "  portalgate passwords build-filter --in pwned.txt.gz --out breach.filter", build)
}
