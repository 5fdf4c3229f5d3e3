package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// builder is the part of xcaddy's Builder that we use, by the names it has in JSON. xcaddy itself reads flags and
// environment only; build services read this.
type builder struct {
	CaddyVersion string        `json:"caddy_version"`
	Plugins      []plugin      `json:"plugins"`
	Replacements []replacement `json:"replacements,omitempty"`
	BuildFlags   string        `json:"build_flags,omitempty"`
}

type plugin struct {
	ModulePath string `json:"module_path"`
	Version    string `json:"version,omitempty"`
}

type replacement struct {
	Old string `json:"old"`
	New string `json:"new"`
}

func readBuilder(root string) (builder, error) {
	var b builder
	raw, err := os.ReadFile(filepath.Join(root, "xcaddy.json"))
	if err != nil {
		return b, fmt.Errorf("reading xcaddy.json: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields() // a misspelt field would be left out of the command line in silence
	if err := d.Decode(&b); err != nil {
		return b, fmt.Errorf("reading xcaddy.json: %w", err)
	}
	if b.CaddyVersion == "" || len(b.Plugins) == 0 {
		return b, errors.New("xcaddy.json names no version of Caddy, or no plugin")
	}
	return b, nil
}

// commandLine is what to type for the same build.
func (b builder) commandLine() string {
	var s strings.Builder
	if b.BuildFlags != "" {
		fmt.Fprintf(&s, "XCADDY_GO_BUILD_FLAGS=%s ", quoted(b.BuildFlags))
	}
	fmt.Fprintf(&s, "xcaddy build %s", quoted(b.CaddyVersion))
	for _, p := range b.Plugins {
		with := p.ModulePath
		if p.Version != "" {
			with += "@" + p.Version
		}
		fmt.Fprintf(&s, " --with %s", quoted(with))
	}
	for _, r := range b.Replacements {
		fmt.Fprintf(&s, " --replace %s", quoted(r.Old+"="+r.New))
	}
	return s.String()
}

// quoted protects a word from the shell.
func quoted(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./@=:,+", r)
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func xcaddy(_ context.Context, r *run, _ []string) error {
	b, err := readBuilder(r.root)
	if err != nil {
		return err
	}
	r.say("%s", b.commandLine())
	return nil
}
