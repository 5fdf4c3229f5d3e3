package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

func test(ctx context.Context, r *run, args []string) error {
	began := time.Now()
	if err := setup(ctx, r, nil); err != nil {
		return err
	}
	checked := check(ctx, r)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	tested := everything(ctx, r, args)
	r.say("took %s", time.Since(began).Round(time.Second))
	return errors.Join(checked, tested)
}

// measured are the tests that compare times: they are run last, with the machine to themselves.
const measured = "^TestTheTimeOfA(nAnswer|sking)"

// everything runs all tests, or those that the arguments name.
func everything(ctx context.Context, r *run, args []string) error {
	if len(args) > 0 {
		return goTest(ctx, r, args, "PORTALGATE_TEST=all")
	}
	tested := goTest(ctx, r, []string{"-skip", measured}, "PORTALGATE_TEST=all")
	if ctx.Err() != nil {
		return tested
	}
	r.say("and those that compare times, alone")
	return errors.Join(tested, goTest(ctx, r, []string{"-p", "1", "-run", measured, "./internal/auth"}, "PORTALGATE_TEST=all"))
}

func golden(ctx context.Context, r *run, args []string) error {
	return goTest(ctx, r, args, "PORTALGATE_GOLDEN=write")
}

// goTest runs tests, reads what they say as they say it, and ends with one line that counts them.
func goTest(ctx context.Context, r *run, args []string, environment ...string) error {
	packages := false
	for _, a := range args {
		packages = packages || strings.HasPrefix(a, ".") || strings.HasPrefix(a, "github.com/")
	}
	if !packages {
		// The longest first: whatever begins last is what everybody waits for.
		for _, longest := range []string{"./internal/e2e", "./internal/auth"} {
			if _, err := os.Stat(filepath.Join(r.root, longest)); err == nil {
				args = append(args, longest)
			}
		}
		args = append(args, "./...")
	}
	// Two packages at once on a small machine, half its cores on a large one: each may bring its own servers and a browser.
	line := append([]string{"test", "-json", "-p", strconv.Itoa(max(2, runtime.NumCPU()/2)), "-timeout", "16m"}, args...)
	cmd := exec.CommandContext(ctx, "go", line...)
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stderr = r.err
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // go passes it on to the tests, which clean up
	cmd.WaitDelay = 20 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("running go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("running go test: %w", err)
	}
	report := newReport(r.out)
	read := report.read(out)
	ended := cmd.Wait()
	all := false
	for _, e := range environment {
		all = all || e == "PORTALGATE_TEST=all"
	}
	report.summary(all)
	switch {
	case read != nil:
		return fmt.Errorf("reading what go test says: %w", read)
	case report.failed > 0 || report.broken > 0:
		return errors.New("tests failed")
	case ended != nil:
		return fmt.Errorf("go test: %w", ended)
	case all && report.skipped > 0:
		return errors.New("tests were skipped, and all must run")
	case report.passed == 0:
		return errors.New("no test ran")
	}
	return nil
}
