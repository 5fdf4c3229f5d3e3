package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/demo"
)

// demoCommand is the whole product on this machine, with no configuration.
func demoCommand() *cobra.Command {
	var port int
	c := &cobra.Command{Use: "demo", Short: "Shows everything on this machine, with no configuration", SilenceUsage: true, Args: cobra.NoArgs,
		Example: "  portalgate demo",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			w, err := demo.Start(ctx, demo.Options{Port: port, Say: func(format string, args ...any) { fmt.Fprintf(c.OutOrStdout(), format+"\n", args...) }})
			if err != nil {
				return err
			}
			defer w.Close()
			if err := serve(w); err != nil {
				return err
			}
			defer func() { _ = caddy.Stop() }() // the process ends anyway
			fmt.Fprint(c.OutOrStdout(), w.Screen())
			select {
			case <-ctx.Done():
			case <-w.Postgres.Gone():
				return context.Cause(ctx)
			}
			fmt.Fprintln(c.OutOrStdout(), "\nstopping")
			return nil
		}}
	c.Flags().IntVar(&port, "port", 0, "port of the gate (default 8080, or the next that is free)")
	return c
}

// serve runs the gate in this process.
func serve(w *demo.World) error {
	for name, value := range w.Environment {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(w.Caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return fmt.Errorf("adapting the demo's Caddyfile: %w", err)
	}
	if err := caddy.Load(adapted, true); err != nil {
		return fmt.Errorf("starting the gate: %w", err)
	}
	return nil
}
