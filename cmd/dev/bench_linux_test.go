package main

import (
	"bytes"
	"errors"
	"math"
	"os/exec"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/demo/servers"
	"github.com/portalgate/portalgate/internal/testenv"
)

// Each row once and briefly: that it works, not what comes out. A figure is a matter of a quiet machine.
func TestEachRowOfTheBenchWorks(t *testing.T) {
	if _, ok := servers.Find(servers.PostgreSQL); !ok {
		testenv.Missing(t, "a bench needs PostgreSQL: "+servers.Advice(servers.PostgreSQL))
	}
	if _, _, err := cores(); err != nil {
		testenv.Missing(t, err.Error())
	}
	if _, err := exec.LookPath("go"); err != nil {
		testenv.Missing(t, "a bench builds the gateway: "+err.Error())
	}
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	r := &run{root: root, out: &out, err: &out}
	if err := benchVerb(t.Context(), r, []string{"--brief"}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	table := out.String()[strings.Index(out.String(), "\nrow "):]
	for _, row := range benchRows() {
		if !strings.Contains(table, "\n"+row.name+" ") {
			t.Errorf("row %s is missing in\n%s", row.name, table)
		}
	}
	if strings.Contains(table, "NaN") || strings.Contains(table, "Inf") {
		t.Errorf("a figure is none:\n%s", table)
	}
	if !strings.Contains(table, "0 calls to PostgreSQL and 0 to Redis") {
		t.Errorf("warm requests ask servers:\n%s", table)
	}
}

func TestABenchSaysWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := &run{root: t.TempDir(), out: &out, err: &out}
	if err := benchVerb(t.Context(), r, []string{"P77"}); err == nil || !strings.Contains(err.Error(), "P77") {
		t.Errorf("an unknown row: %v", err)
	}
	for _, flag := range []string{"--fast", "--rounds=0", "--round=0s", "--crowd=10"} {
		if err := benchVerb(t.Context(), r, []string{flag}); err == nil || strings.Contains(err.Error(), "building") {
			t.Errorf("%s was taken: %v", flag, err)
		}
	}
}

func TestTheBareArgon2idHashesForAsLongAsItIsTold(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := hashAway(strings.NewReader("bare 1ms\nown 1ms\n"), &out); err != nil {
		t.Fatal(err)
	}
	var rates series
	for line := range strings.Lines(out.String()) {
		rates = append(rates, parseRate(t, line))
	}
	if len(rates) != 2 || !(min(rates[0], rates[1]) > 0) || math.IsInf(max(rates[0], rates[1]), 0) {
		t.Errorf("it said %q", out.String())
	}
	for _, line := range []string{"own soon", "1ms", "other 1ms"} {
		if err := hashAway(strings.NewReader(line+"\n"), &out); err == nil {
			t.Errorf("%q was taken", line)
		}
	}
}

func TestTwinsOfACoreAreReadFromAList(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		list string
		core int
		want bool
	}{{"0,4", 4, true}, {"0-1", 1, true}, {"0-1,8-9", 9, true}, {"0,4", 1, false}, {"", 0, false}, {"x-y", 0, false}} {
		if got := listed(c.list, c.core); got != c.want {
			t.Errorf("%q has core %d: %v", c.list, c.core, got)
		}
	}
}

func TestTheTimeOfAProcessIsReadAndItsChildrensWithIt(t *testing.T) {
	t.Parallel()
	measured, _, err := cores()
	if err != nil {
		testenv.Missing(t, err.Error())
	}
	cmd := exec.Command("/bin/sh", "-c", `n=0; while [ $n -lt 20000 ]; do n=$((n+1)); done; echo done; read -r word`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	ended, err := launch(cmd, measured)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := said.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	own, err1 := cpu(cmd.Process.Pid)
	all, err2 := cpuBelow(cmd.Process.Pid)
	if err := errors.Join(err1, err2); err != nil || own <= 0 || all < own {
		t.Errorf("%s alone and %s with its children, %v", own, all, err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if _, err := cpu(cmd.Process.Pid); err == nil {
		t.Error("a process that has ended has a time")
	}
}
