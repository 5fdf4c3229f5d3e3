package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/portalgate/portalgate/internal/demo/npm"
	"github.com/portalgate/portalgate/internal/demo/servers"
)

// needs are the programs without which some test cannot run.
var needs = []servers.Program{servers.PostgreSQL, servers.Redis, servers.Chromium, servers.OATHTool, servers.Hydra, servers.Node}

func setup(ctx context.Context, r *run, _ []string) error {
	var missing []servers.Program
	for _, p := range needs {
		if where, ok := servers.Find(p); ok {
			r.say("setup: %s is here: %s", p, where)
		} else {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		if err := install(ctx, r, missing); err != nil {
			return err
		}
	}
	return fetchAxe(ctx, r)
}

// install adds programs with apt where we may, and otherwise says what to run.
func install(ctx context.Context, r *run, missing []servers.Program) error {
	_, err := exec.LookPath("apt-get")
	if err == nil && os.Geteuid() == 0 {
		return apt(ctx, r, servers.Packages(missing...))
	}
	// A PostgreSQL can be had without asking anybody.
	rest := missing[:0:0]
	for _, p := range missing {
		if p == servers.PostgreSQL && servers.FetchPostgres(ctx, servers.Options{Say: func(line string) { r.say("setup: %s", line) }}) == nil {
			r.say("setup: PostgreSQL is npm's")
			continue
		}
		rest = append(rest, p)
	}
	if len(rest) == 0 {
		return nil
	}
	return errors.New("this is missing here, and one command installs it: " + servers.Advice(rest...))
}

func apt(ctx context.Context, r *run, packages []string) error {
	r.say("setup: installing %s with apt", strings.Join(packages, ", "))
	for _, args := range [][]string{
		{"update", "-q"},
		append([]string{"install", "-q", "-y", "--no-install-recommends"}, packages...),
	} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}

func fetchAxe(ctx context.Context, r *run) error {
	if named := os.Getenv("PORTALGATE_AXE"); named != "" {
		r.say("setup: axe-core is the one that PORTALGATE_AXE names: %s", named)
		return nil
	}
	home, have := npm.AxeCore.Home()
	if have {
		r.say("setup: axe-core is here: %s", home)
		return nil
	}
	if _, err := exec.LookPath("npm"); err != nil {
		if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
			return errors.New("npm is missing, and axe-core comes from there; install npm, or name the file axe.min.js in PORTALGATE_AXE")
		}
		if err := apt(ctx, r, []string{"npm"}); err != nil {
			return err
		}
	}
	home, err := npm.AxeCore.Fetch(ctx)
	if err != nil {
		return err
	}
	r.say("setup: fetched axe-core: %s", home)
	return nil
}
