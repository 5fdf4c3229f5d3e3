package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const events = `{"Action":"run","Package":"github.com/portalgate/portalgate/internal/a","Test":"TestGood"}
{"Action":"output","Package":"github.com/portalgate/portalgate/internal/a","Test":"TestGood","Output":"chatter\n"}
{"Action":"pass","Package":"github.com/portalgate/portalgate/internal/a","Test":"TestGood","Elapsed":0.1}
{"Action":"output","Package":"github.com/portalgate/portalgate/internal/a","Test":"TestBad","Output":"    a_test.go:1: it is wrong\n"}
{"Action":"fail","Package":"github.com/portalgate/portalgate/internal/a","Test":"TestBad","Elapsed":0.1}
{"Action":"output","Package":"github.com/portalgate/portalgate/internal/a","Test":"TestGone","Output":"=== RUN   TestGone\n"}
{"Action":"output","Package":"github.com/portalgate/portalgate/internal/a","Test":"TestGone","Output":"    a_test.go:2: no browser\n"}
{"Action":"output","Package":"github.com/portalgate/portalgate/internal/a","Test":"TestGone","Output":"--- SKIP: TestGone (0.00s)\n"}
{"Action":"skip","Package":"github.com/portalgate/portalgate/internal/a","Test":"TestGone","Elapsed":0}
{"Action":"fail","Package":"github.com/portalgate/portalgate/internal/a","Elapsed":0.2}
{"ImportPath":"github.com/portalgate/portalgate/internal/b","Action":"build-output","Output":"b.go:1:1: syntax error\n"}
{"ImportPath":"github.com/portalgate/portalgate/internal/b","Action":"build-fail"}
{"Action":"fail","Package":"github.com/portalgate/portalgate/internal/b","Elapsed":0,"FailedBuild":"github.com/portalgate/portalgate/internal/b"}
{"Action":"output","Package":"github.com/portalgate/portalgate/internal/c","Output":"panic: out of time\n"}
{"Action":"fail","Package":"github.com/portalgate/portalgate/internal/c","Elapsed":1}
{"Action":"skip","Package":"github.com/portalgate/portalgate/web","Elapsed":0}
`

func TestTheReportCountsAndNamesWhatIsNotGood(t *testing.T) {
	var out bytes.Buffer
	r := newReport(&out)
	if err := r.read(strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	r.summary(true)
	for _, want := range []string{
		"FAIL  internal/a: TestBad", "it is wrong", "FAIL  internal/b does not build", "syntax error",
		"FAIL  internal/c", "out of time", "FAIL  skipped: internal/a: TestGone: a_test.go:2: no browser",
		"\n1 passed, 1 failed, 1 skipped\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "chatter") {
		t.Error("it repeats what a good test said")
	}
	if r.broken != 2 {
		t.Errorf("%d broken packages", r.broken)
	}
}

// module makes a small module with one test file.
func module(t *testing.T, test string) *run {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module example.test/x\n\ngo 1.26\n", "x_test.go": test} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &run{root: dir, out: io.Discard, err: io.Discard}
}

func TestASkippedTestIsAFailureWhereAllMustRun(t *testing.T) {
	skipping := module(t, "package x\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) {}\nfunc TestB(t *testing.T) { t.Skip(\"no\") }\n")
	if err := goTest(t.Context(), skipping, nil, "PORTALGATE_TEST=all"); err == nil || !strings.Contains(err.Error(), "skipped") {
		t.Errorf("all must run, and it says %v", err)
	}
	if err := goTest(t.Context(), skipping, nil); err != nil {
		t.Errorf("not all must run, and it says %v", err)
	}
	failing := module(t, "package x\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) { t.Fail() }\n")
	if err := goTest(t.Context(), failing, nil); err == nil {
		t.Error("a failing test goes unnoticed")
	}
	broken := module(t, "package x\n\nfunc {\n")
	if err := goTest(t.Context(), broken, nil); err == nil {
		t.Error("a test that does not build goes unnoticed")
	}
	none := module(t, "package x\n")
	if err := goTest(t.Context(), none, nil); err == nil {
		t.Error("that no test ran goes unnoticed")
	}
}

func TestAFileThatIsNotFormattedIsNamed(t *testing.T) {
	r := module(t, "package  x\n")
	if err := formatted(context.Background(), r); err == nil || !strings.Contains(err.Error(), "x_test.go") {
		t.Errorf("it says %v", err)
	}
}

func TestAStaleGeneratedFileIsNamed(t *testing.T) {
	r := module(t, "package x\n\n//go:generate sh -c \"echo new > made.txt\"\n")
	if err := os.WriteFile(filepath.Join(r.root, "made.txt"), []byte("old\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := generated(t.Context(), r); err == nil || !strings.Contains(err.Error(), "made.txt") {
		t.Errorf("it says %v", err)
	}
	if err := generated(t.Context(), r); err != nil {
		t.Errorf("the second time it says %v", err)
	}
}

func TestWithoutAVerbTheVerbsAreListed(t *testing.T) {
	var out, errs bytes.Buffer
	if code := dispatch(t.Context(), nil, &out, &errs); code != 0 {
		t.Errorf("exit %d", code)
	}
	for _, v := range verbs() {
		if !strings.Contains(out.String(), "  "+v.name+" ") {
			t.Errorf("%s is not listed", v.name)
		}
	}
	if code := dispatch(t.Context(), []string{"nonsense"}, &out, &errs); code != 2 || !strings.Contains(errs.String(), "nonsense") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}

func TestCIRunsTheTestCommandOfTheReadme(t *testing.T) {
	const line = "go run ./cmd/dev test"
	if !strings.Contains(read(t, ".ci/run"), "\nexec "+line+"\n") {
		t.Errorf(".ci/run does not run %q", line)
	}
	if !strings.Contains(read(t, "README.md"), line) {
		t.Errorf("README.md does not name %q", line)
	}
}
