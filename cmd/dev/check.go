package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// check runs everything that needs no server, and goes on after a failure: one run names them all.
func check(ctx context.Context, r *run) error {
	var failed []string
	for _, step := range []struct {
		name string
		run  func(context.Context, *run) error
	}{
		{"gofmt", formatted},
		{"go vet", command("go", "vet", "./...")},
		{"staticcheck", command("go", "tool", "staticcheck", "./...")},
		{"go mod tidy", command("go", "mod", "tidy", "-diff")},
		{"go generate", generated},
	} {
		began := time.Now()
		err := step.run(ctx, r)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		took := time.Since(began).Round(100 * time.Millisecond)
		if err != nil {
			r.say("FAIL  %s (%s)\n%s", step.name, took, indent(err.Error()))
			failed = append(failed, step.name)
			continue
		}
		r.say("ok    %s (%s)", step.name, took)
	}
	if len(failed) > 0 {
		return errors.New("failed: " + strings.Join(failed, ", "))
	}
	return nil
}

func indent(s string) string {
	return "      " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n      ")
}

func command(program string, args ...string) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Dir = r.root
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s%w", out, err)
		}
		return nil
	}
}

// vuln asks the database of Go's vulnerabilities about everything that is called (CFG-06). It is no part of check: what a
// commit is worth must not hang on another's server, and a check that is left out where it does not answer is none.
func vuln(ctx context.Context, r *run, _ []string) error {
	if err := command("go", "run", "golang.org/x/vuln/cmd/govulncheck@v1.9.0", "./...")(ctx, r); err != nil {
		return err
	}
	r.say("ok    no known hole in what is called")
	return nil
}

// sources calls do for every Go file of the repository.
func sources(root string, do func(path string, content []byte) error) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return do(path, b)
	})
}

func formatted(_ context.Context, r *run) error {
	var bad []string
	err := sources(r.root, func(path string, content []byte) error {
		want, err := format.Source(content)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if !bytes.Equal(want, content) {
			bad = append(bad, path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(bad) > 0 {
		return errors.New("not formatted; `gofmt -w` does it:\n" + strings.Join(bad, "\n"))
	}
	return nil
}

// generated runs the generators and complains about what they change. The files are right afterwards; the failure is
// there so that they are committed.
func generated(ctx context.Context, r *run) error {
	any := false
	if err := sources(r.root, func(_ string, content []byte) error {
		any = any || bytes.Contains(content, []byte("\n//go:generate "))
		return nil
	}); err != nil {
		return err
	}
	if !any {
		return nil
	}
	before, err := fingerprint(r.root)
	if err != nil {
		return err
	}
	if err := command("go", "generate", "./...")(ctx, r); err != nil {
		return err
	}
	after, err := fingerprint(r.root)
	if err != nil {
		return err
	}
	var stale []string
	for path, sum := range after {
		if before[path] != sum {
			stale = append(stale, path)
		}
	}
	for path := range before {
		if _, still := after[path]; !still {
			stale = append(stale, path)
		}
	}
	if len(stale) > 0 {
		return errors.New("these were stale and have been written anew; look at them and commit them:\n" + strings.Join(stale, "\n"))
	}
	return nil
}

func fingerprint(root string) (map[string][sha256.Size]byte, error) {
	sums := map[string][sha256.Size]byte{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sums[path] = sha256.Sum256(b)
		return nil
	})
	return sums, err
}
