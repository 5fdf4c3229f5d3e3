package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/demo"
)

// demoCommand is the whole product on this machine, with no configuration.
func demoCommand() *cobra.Command {
	var port int
	c := &cobra.Command{Use: "demo", Short: "Shows everything on this machine, with no configuration", SilenceUsage: true,
		Example: "  portalgate demo\n  portalgate demo --port 9000",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("demo takes no %q; write `%s`, or `%s --port 9000`", args[0], c.CommandPath(), c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			if port < 0 || port > 65535 {
				return fmt.Errorf("--port %d is not between 1 and 65535", port)
			}
			// A terminal that is closed ends the demo as Ctrl-C does.
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			say := func(format string, args ...any) { fmt.Fprintf(c.OutOrStdout(), format+"\n", args...) }
			return show(ctx, demo.Options{Port: port, Program: program(), Say: say})
		}}
	c.Flags().IntVar(&port, "port", 0, "port of the gate (default 8080, or the next that is free)")
	return c
}

// show runs the demo until it is told to stop, or until the database has ended.
func show(ctx context.Context, o demo.Options) error {
	w, err := demo.Start(ctx, o)
	if ctx.Err() != nil {
		if err == nil {
			w.Close()
		}
		return errors.New("stopped before it was running")
	}
	if err != nil {
		return err
	}
	defer w.Close()
	if err := serve(w); err != nil {
		return err
	}
	defer func() { _ = caddy.Stop() }() // the process ends anyway
	o.Say("%s", w.Screen())
	var redis <-chan struct{}
	if w.Redis != nil {
		redis = w.Redis.Gone()
	}
	for {
		select {
		case <-ctx.Done():
			o.Say("\nstopping")
			return nil
		case <-w.Postgres.Gone():
			return errors.New("PostgreSQL has ended, and the demo with it; start it again")
		case <-redis:
			o.Say("Redis has ended: the gate goes on, and keeps its limits by itself")
			redis = nil
		}
	}
}

// program is how this program is called from another terminal: by its name where that finds it, else by its path.
func program() string {
	self, err := os.Executable()
	if err != nil {
		return "portalgate"
	}
	if found, err := exec.LookPath("portalgate"); err == nil {
		if real, err := filepath.EvalSymlinks(found); err == nil && real == self {
			return "portalgate"
		}
	}
	return self
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
