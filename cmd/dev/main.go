// Command dev is this repository's task runner; `go run ./cmd/dev` lists its verbs. It needs Go and nothing else, and
// it owns how the project is checked: what runs on a developer's machine is what CI runs.
//
// It refuses to call a run good in which a test was skipped that should have run. Where a tool or a server is missing,
// setup installs it where it may, and otherwise prints the one command that does.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
)

// verb is one thing that the runner can do.
type verb struct {
	name string
	what string
	run  func(ctx context.Context, r *run, args []string) error
}

func verbs() []verb {
	return []verb{
		{"setup", "install what the tests need: PostgreSQL, Redis, Chromium, oathtool, hydra, node, axe-core", setup},
		{"test", "setup, every check and every test; nothing may be skipped [packages and flags of go test]", test},
		{"check", "format, vet, staticcheck, tidy, generated files; no tests", func(ctx context.Context, r *run, _ []string) error { return check(ctx, r) }},
		{"golden", "rewrite the golden files from what the tests get; the diff is the review [packages]", golden},
		{"options", "write the option reference into the documentation, from the configuration's comments", options},
		{"vuln", "look for known holes in what is built with, as before a release; asks vuln.go.dev", vuln},
		{"timing", "measure whether the time of a sign-in's answer tells anything, as before a release", timing},
		{"bench", "measure what is promised about speed [--brief] [--write] [rows, such as P1 P7]", benchVerb},
		{"xcaddy", "print the xcaddy command line that xcaddy.json stands for", xcaddy},
	}
}

// run is what a verb works with.
type run struct {
	root     string // of the repository
	out, err io.Writer
}

func (r *run) say(format string, a ...any) { fmt.Fprintf(r.out, format+"\n", a...) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := 1
	if err := sameFlags(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = dispatch(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	stop()
	os.Exit(code)
}

func dispatch(ctx context.Context, args []string, out, errs io.Writer) int {
	root, err := repository()
	if err != nil {
		fmt.Fprintln(errs, err)
		return 1
	}
	r := &run{root: root, out: out, err: errs}
	if len(args) == 0 {
		r.say("go run ./cmd/dev VERB\n")
		for _, v := range verbs() {
			r.say("  %-7s %s", v.name, v.what)
		}
		return 0
	}
	for _, v := range verbs() {
		if v.name != args[0] {
			continue
		}
		if err := v.run(ctx, r, args[1:]); err != nil {
			fmt.Fprintln(errs, v.name+":", err)
			return 1
		}
		return 0
	}
	fmt.Fprintf(errs, "there is no verb %q; `go run ./cmd/dev` lists them\n", args[0])
	return 2
}

// repository finds the directory of go.mod, from wherever in the tree the runner was started.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository: %w", err)
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("no go.mod in %s or above: run this inside the repository", dir)
		}
	}
}
