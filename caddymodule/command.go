package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sort"
	"strings"
	"text/tabwriter"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func init() {
	// Any Caddy built with this module has the commands under `caddy portalgate …`.
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "portalgate",
		Short: "Runs the portal gate's own commands: keys, migrate, tenant, user, passwords, mail, doctor",
		CobraFunc: func(cmd *cobra.Command) {
			lift(group("portalgate", "Runs the portal gate's own commands", "  caddy portalgate doctor --config Caddyfile", commands()...), cmd)
			cmd.Hidden = caddy.CustomBinaryName == "portalgate" // there they stand at the top
		},
	})
}

// foreign are the commands of Caddy that would replace our binary by another one.
var foreign = []string{"upgrade", "add-package", "remove-package"}

// Main is the main function of our own binary: Caddy's, with our commands at the top, more of them where given, and
// the collector set for a proxy.
func Main(more ...*cobra.Command) {
	caddy.CustomBinaryName = "portalgate"
	if caddy.CustomVersion == "" {
		caddy.CustomVersion = ownVersion()
	}
	caddy.CustomLongDescription = "portalgate signs a portal's customers in, keeps their sessions, and forwards their requests with an identity that nobody can forge.\nIt is Caddy with one module more: everything that Caddy does, it does too."
	ours := append(more, commands()...)
	switch word := firstWord(); {
	case word == "" || (word == "help" || word == "-h" || word == "--help") && len(os.Args) == 2:
		overview(os.Stdout, ours)
		return
	case oneOf(word, foreign):
		fmt.Fprintf(os.Stderr, "Error: %s is not for this program: it would replace it by another Caddy without the gate; build with xcaddy to add plugins (see xcaddy.json)\n", word)
		os.Exit(1)
	}
	for _, c := range ours {
		caddycmd.RegisterCommand(caddycmd.Command{Name: c.Name(), Short: c.Short, CobraFunc: func(cmd *cobra.Command) { lift(c, cmd) }})
	}
	tune()
	caddycmd.Main()
}

// ownVersion is what `version` says of a program that was built without being told its version: what the source was, as
// far as the build knows. Caddy says its own behind it.
func ownVersion() string {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "portalgate"
	}
	return "portalgate " + strings.Trim(build.Main.Version, "()") + ", Caddy"
}

func firstWord() string {
	if len(os.Args) < 2 {
		return ""
	}
	return os.Args[1]
}

func oneOf(s string, list []string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// tune sets the collector once, unless the operator has: more heap for fewer collections, within a limit. It is worth 5
// to 8 percent of throughput (performance: collector settings). For `run` Caddy puts nine tenths of what the container or
// the machine has in the limit's place; ours is that of the other commands, and of systems where it finds out neither.
func tune() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(1 << 30)
	}
}

func commands() []*cobra.Command {
	return []*cobra.Command{keysCommand(), migrateCommand(), tenantCommand(), policyCommand(), userCommand(), passwordsCommand(), limitsCommand(), whyCommand(), mailCommand(), doctorCommand()}
}

// overview is what the program says about itself: our commands first, then Caddy's.
func overview(w io.Writer, ours []*cobra.Command) {
	fmt.Fprintf(w, "%s\n\nUsage:\n  portalgate COMMAND [flags]\n\n", caddy.CustomLongDescription)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(name, short string) { fmt.Fprintf(t, "  %s\t%s\n", name, short) }
	fmt.Fprintln(t, "The gate:")
	for _, c := range ours {
		line(c.Name(), c.Short)
	}
	serving := []string{"run", "validate", "reload", "stop", "adapt", "fmt", "list-modules", "version"}
	theirs := caddycmd.Commands()
	fmt.Fprintln(t, "\nServing, as in Caddy:")
	for _, name := range serving {
		line(name, theirs[name].Short)
	}
	fmt.Fprintln(t, "\nMore of Caddy's:")
	var rest []string
	for name := range theirs {
		if name != "portalgate" && !oneOf(name, serving) && !oneOf(name, foreign) {
			rest = append(rest, name)
		}
	}
	sort.Strings(rest)
	for _, name := range rest {
		line(name, theirs[name].Short)
	}
	_ = t.Flush() // nobody to tell
	fmt.Fprint(w, "\nFirst steps:\n  portalgate demo\n  portalgate keys generate --out keyring.json\n  portalgate run --config Caddyfile\n\n`portalgate COMMAND --help` says more about each.\n")
}

// command makes a cobra command that prints no usage for an error of ours.
func command(use, short, example string, args cobra.PositionalArgs, run func(c *cobra.Command, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Example: example, Args: args, SilenceUsage: true,
		RunE: func(c *cobra.Command, args []string) error {
			conceal(c, args)
			return run(c, args)
		}}
}

// group makes a command that has only subcommands; without a known one it is an error that lists them.
func group(use, short, example string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Example: example, SilenceUsage: true, Args: cobra.ArbitraryArgs}
	c.AddCommand(children...)
	c.RunE = func(c *cobra.Command, args []string) error {
		var names []string
		for _, x := range children {
			names = append(names, x.Name())
		}
		if len(args) == 0 {
			return fmt.Errorf("%s what? one of: %s", c.CommandPath(), strings.Join(names, ", "))
		}
		if near := nearest(args[0], names); near != "" {
			return fmt.Errorf("%s has no %q; did you mean %q?", c.CommandPath(), args[0], near)
		}
		return fmt.Errorf("%s has no %q; it has: %s", c.CommandPath(), args[0], strings.Join(names, ", "))
	}
	return c
}

// lift moves everything of a command into one that Caddy made, which is in Caddy's tree already or will be.
func lift(from, to *cobra.Command) {
	to.Use, to.Short, to.Long, to.Example = from.Use, from.Short, from.Long, from.Example
	to.Args, to.RunE, to.SilenceUsage = from.Args, from.RunE, true
	to.Flags().AddFlagSet(from.Flags())
	for _, child := range from.Commands() {
		from.RemoveCommand(child)
		to.AddCommand(child)
	}
	to.SetUsageTemplate(usage)
	to.SetHelpTemplate("{{.Short}}.\n\n{{.UsageString}}")
	to.SetFlagErrorFunc(flagError)
}

// acts marks a command that does something itself and has others below it.
const acts = "acts"

const usage = `Usage:
  {{if .HasAvailableSubCommands}}{{if index .Annotations "acts"}}{{.CommandPath}} [flags]
  {{end}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}
{{if .HasAvailableSubCommands}}
Commands:
{{range .Commands}}{{if .IsAvailableCommand}}  {{rpad .Name .NamePadding}}  {{.Short}}
{{end}}{{end}}{{end}}{{if .HasExample}}
Examples:
{{.Example}}
{{end}}{{if .HasAvailableLocalFlags}}
Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}{{if .HasAvailableSubCommands}}
` + "`{{.CommandPath}} COMMAND --help`" + ` says more about each.
{{end}}`

// flagError names the flag that was probably meant.
func flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return fmt.Errorf("%w; `%s --help` shows how it is written", err, c.CommandPath())
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near := nearest(unknown.GetSpecifiedName(), names); near != "" {
		return fmt.Errorf("%s has no flag --%s; did you mean --%s?", c.CommandPath(), unknown.GetSpecifiedName(), near)
	}
	return fmt.Errorf("%s has no flag --%s; `%s --help` lists them", c.CommandPath(), unknown.GetSpecifiedName(), c.CommandPath())
}

// takes says which arguments a command has, by name.
func takes(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		usage := strings.Join(append([]string{c.CommandPath()}, names...), " ")
		switch {
		case len(args) < len(names):
			return fmt.Errorf("%s is missing: write `%s`", names[len(args)], usage)
		case len(args) > len(names):
			return fmt.Errorf("%q is one argument too many: write `%s`; text with spaces needs quotes", args[len(names)], usage)
		}
		return nil
	}
}
