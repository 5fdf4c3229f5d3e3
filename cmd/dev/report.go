package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
)

// event is a line of `go test -json`.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of what could not be built
	Test        string
	Elapsed     float64
	Output      string
	FailedBuild string
}

// report gathers what tests say: quiet about those that pass, complete about those that do not.
type report struct {
	out                     io.Writer
	passed, failed, skipped int
	broken                  int // packages that failed without a failing test: a build, a panic, the time
	output                  map[string]*bytes.Buffer
	failing                 map[string]int // failing tests of a package
	skips                   []string
}

func newReport(out io.Writer) *report {
	return &report{out: out, output: map[string]*bytes.Buffer{}, failing: map[string]int{}}
}

func (r *report) read(from io.Reader) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(r.out, lines.Text()) // not an event; go itself says something
			continue
		}
		r.take(e)
	}
	return lines.Err()
}

func (r *report) take(e event) {
	key := e.Package + " " + e.Test
	if e.ImportPath != "" {
		key = "build " + e.ImportPath
	}
	switch e.Action {
	case "output", "build-output":
		if r.output[key] == nil {
			r.output[key] = &bytes.Buffer{}
		}
		r.output[key].WriteString(e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.finished(e)
		} else {
			r.tested(e, key)
		}
	}
}

func (r *report) tested(e event, key string) {
	switch e.Action {
	case "pass":
		r.passed++
		delete(r.output, key)
	case "fail":
		r.failed++
		r.failing[e.Package]++
		fmt.Fprintf(r.out, "FAIL  %s: %s\n%s\n", short(e.Package), e.Test, indent(r.said(key)))
	case "skip":
		r.skipped++
		r.skips = append(r.skips, short(e.Package)+": "+e.Test+": "+reason(r.said(key)))
	}
}

func (r *report) finished(e event) {
	key := e.Package + " "
	switch {
	case e.Action == "fail" && e.FailedBuild != "":
		r.broken++
		fmt.Fprintf(r.out, "FAIL  %s does not build\n%s\n", short(e.Package), indent(r.said("build "+e.FailedBuild)))
	case e.Action == "fail" && r.failing[e.Package] == 0:
		r.broken++
		fmt.Fprintf(r.out, "FAIL  %s\n%s\n", short(e.Package), indent(r.said(key)))
	case e.Action == "fail":
		fmt.Fprintf(r.out, "FAIL  %s (%.1fs, %d failed)\n", short(e.Package), e.Elapsed, r.failing[e.Package])
	case e.Action == "pass":
		fmt.Fprintf(r.out, "ok    %s (%.1fs)\n", short(e.Package), e.Elapsed)
	}
	delete(r.output, key)
}

func (r *report) said(key string) string {
	if b := r.output[key]; b != nil {
		delete(r.output, key)
		return b.String()
	}
	return ""
}

// summary names what was skipped and ends with the line that counts.
func (r *report) summary(all bool) {
	sort.Strings(r.skips)
	for _, s := range r.skips {
		fmt.Fprintln(r.out, map[bool]string{true: "FAIL  skipped: ", false: "skip  "}[all]+s)
	}
	if r.broken > 0 {
		fmt.Fprintf(r.out, "%d packages failed outside of a test\n", r.broken)
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
}

func short(pkg string) string {
	s := strings.TrimPrefix(strings.TrimPrefix(pkg, "github.com/portalgate/portalgate"), "/")
	if s == "" {
		return "."
	}
	return s
}

// reason is what a skipped test said: the last line before its verdict.
func reason(output string) string {
	out := "no reason given"
	for _, line := range strings.Split(output, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") {
			continue
		}
		out = line
	}
	return out
}
