package caddymodule

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// conceal keeps a password out of the list of processes (KEY-04). An address that was given as an argument stands there
// for everybody on the machine to read; the program starts itself again with the address in its environment, which only
// its own user can read. Where that is not possible it goes on as it is: the command was asked for in this form.
func conceal(c *cobra.Command, args []string) {
	f := c.Flags().Lookup("database")
	if f == nil || !f.Changed || !literalPassword(f.Value.String()) {
		return
	}
	again(concealed(c, args), append(without(os.Environ(), "PORTALGATE_DATABASE_URL="), "PORTALGATE_DATABASE_URL="+f.Value.String()))
}

// concealed is the command line of a command without the database's address.
func concealed(c *cobra.Command, args []string) []string {
	line := append([]string{os.Args[0]}, strings.Fields(c.CommandPath())[1:]...)
	c.Flags().Visit(func(f *pflag.Flag) {
		if f.Name == "database" {
			return
		}
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			line = append(line, "--"+f.Name+"="+v)
		}
	})
	return append(append(line, "--"), args...)
}

func without(list []string, prefix string) (out []string) {
	for _, s := range list {
		if !strings.HasPrefix(s, prefix) {
			out = append(out, s)
		}
	}
	return out
}
