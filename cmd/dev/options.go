package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// reference is a file that holds a generated part between two marks.
type reference struct {
	file, mark string
	write      func(*settingsSource) string
}

// references are the generated parts of the documentation.
var references = []reference{
	{"README.md", "options", func(m *settingsSource) string { return m.syntax() }},
	{"docs/configuration.md", "options", func(m *settingsSource) string { return m.tables() }},
}

// options writes the option reference from the configuration structs and their comments.
func options(_ context.Context, r *run, _ []string) error {
	m, err := readModule(filepath.Join(r.root, "caddymodule"))
	if err != nil {
		return err
	}
	if err := m.complete(); err != nil {
		return err
	}
	for _, ref := range references {
		file := filepath.Join(r.root, ref.file)
		before, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading %s: %w", ref.file, err)
		}
		after, err := between(before, ref.mark, ref.write(m))
		if err != nil {
			return fmt.Errorf("%s: %w", ref.file, err)
		}
		if bytes.Equal(before, after) {
			continue
		}
		if err := os.WriteFile(file, after, 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", ref.file, err)
		}
		r.say("wrote the options into %s", ref.file)
	}
	return nil
}

// between replaces what stands between the marks <!-- name --> and <!-- /name -->.
func between(text []byte, name, with string) ([]byte, error) {
	first, last := []byte("<!-- "+name+" -->\n"), []byte("<!-- /"+name+" -->")
	head, rest, ok := bytes.Cut(text, first)
	if !ok {
		return nil, fmt.Errorf("has no mark %q", bytes.TrimSpace(first))
	}
	_, tail, ok := bytes.Cut(rest, last)
	if !ok {
		return nil, fmt.Errorf("has no mark %q", last)
	}
	return bytes.Join([][]byte{head, first, []byte(with), last, tail}, nil), nil
}

// syntax is the grammar of everything, as it stands above the parsers.
func (m *settingsSource) syntax() string {
	var b strings.Builder
	for _, s := range m.sections {
		if s.grammar != "" {
			fmt.Fprintf(&b, "%s:\n\n```text\n%s```\n\n", s.title, s.grammar)
		}
	}
	return b.String()
}

// tables are the options one by one.
func (m *settingsSource) tables() string {
	var b strings.Builder
	for _, s := range m.sections {
		fmt.Fprintf(&b, "### %s\n\n%s Caddy module `%s`.\n\n", s.title, s.comment, s.id)
		if s.grammar != "" {
			fmt.Fprintf(&b, "```text\n%s```\n\n", s.grammar)
		}
		if len(s.options) == 0 {
			continue
		}
		b.WriteString("| Caddyfile | JSON | Type | Default | Meaning |\n| --- | --- | --- | --- | --- |\n")
		for _, o := range s.options {
			caddyfile := jsonOnly[s.id+" "+o.json]
			if len(o.caddyfile) > 0 {
				caddyfile = "`" + strings.Join(o.caddyfile, "`, `") + "`"
			}
			fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s |\n", cell(caddyfile), o.json, o.kind, cell(o.def), cell(o.says))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// complete says what is missing before a reference can be written: a field without a sentence, without a default, or
// without a place in the grammar.
func (m *settingsSource) complete() error {
	var all []error
	for _, s := range m.sections {
		drawn := map[string]bool{}
		for _, p := range grammarPaths(s.grammar) {
			drawn[p] = true
			if !s.names[p] {
				all = append(all, fmt.Errorf("%s: the grammar has %q, which no parser reads", s.title, p))
			}
		}
		for p := range s.names {
			if !drawn[p] {
				all = append(all, fmt.Errorf("%s: the parser reads %q, which the grammar above it does not have", s.title, p))
			}
		}
		for _, o := range s.options {
			switch {
			case o.says == "":
				all = append(all, fmt.Errorf("%s: the comment of %s has no sentence", s.title, o.json))
			case o.def == "":
				all = append(all, fmt.Errorf("%s: the comment of %s says neither `Default: ….` nor `Required.`", s.title, o.json))
			case len(o.caddyfile) == 0 && jsonOnly[s.id+" "+o.json] == "":
				all = append(all, fmt.Errorf("%s: %s cannot be written in a Caddyfile; give it a subdirective, or a reason in jsonOnly", s.title, o.json))
			case len(o.caddyfile) > 0 && jsonOnly[s.id+" "+o.json] != "":
				all = append(all, fmt.Errorf("%s: %s can be written in a Caddyfile; take it out of jsonOnly", s.title, o.json))
			}
		}
	}
	return errors.Join(all...)
}

// jsonOnly are fields without a subdirective, with the reason.
var jsonOnly = map[string]string{
	"http.handlers.portalgate require_mfa_within[].within": "part of `require mfa <freshness> <paths...>`",
	"http.handlers.portalgate require_mfa_within[].paths":  "part of `require mfa <freshness> <paths...>`",
	"portalgate places":                            "written by the adapter",
	"http.handlers.portalgate places":              "written by the adapter",
	"http.handlers.portalgate_mail_events places":  "written by the adapter",
	"http.handlers.portalgate cross_site[].method": "part of `cross_site <METHOD> <path>`",
	"http.handlers.portalgate cross_site[].path":   "part of `cross_site <METHOD> <path>`",
	"portalgate mail.sender":                       "a subdirective with the provider's name",
	"portalgate mail.tenants.*.sender":             "as above",
	"portalgate mail.regions.*.sender":             "as above",
	"portalgate sms.sender":                        "a subdirective with the provider's name",
	"portalgate.sms.webhook url":                   "the argument of `webhook <url>`",
	"portalgate.mail.capture trial":                "part of `capture trial`",
	"portalgate.sms.capture trial":                 "part of `capture trial`",
	"portalgate.mail.smtp server":                  "the argument of `smtp <host:port>`",
	"portalgate.mail.ses region":                   "the argument of `ses <region>`",
	"portalgate.mail.failover senders":             "one provider a line",
	"portalgate.mail.failover senders[].weight":    "means nothing here",
	"portalgate.mail.failover senders[].sender":    "the line",
	"portalgate.mail.split senders":                "one provider a line",
	"portalgate.mail.split senders[].weight":       "the line's first word",
	"portalgate.mail.split senders[].sender":       "the rest of the line",
}
