//go:build unix

package servers

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheVersionIsRead(t *testing.T) {
	for text, want := range map[string]string{
		"postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)": "15.14",
		"postgres (PostgreSQL) 18beta1":                        "18",
		"postgres (PostgreSQL) 12.4":                           "",
		"mysqld 8.0":                                           "",
	} {
		b, err := version("/x", text)
		if b.version != want || (want == "") != (err != nil) {
			t.Errorf("%q: got %q, %v", text, b.version, err)
		}
	}
}

func TestTheNewestIsTaken(t *testing.T) {
	var dirs []string
	for _, v := range []string{"15.2", "16.10", "16.9"} {
		dir := t.TempDir()
		for _, program := range []string{"initdb", "postgres"} {
			if err := os.WriteFile(filepath.Join(dir, program), []byte("#!/bin/sh\necho 'postgres (PostgreSQL) "+v+"'\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		dirs = append(dirs, dir)
	}
	b, ok := newest(append(dirs, t.TempDir(), ""))
	if !ok || b.version != "16.10" || b.dir != dirs[1] {
		t.Fatalf("got %+v, %v", b, ok)
	}
	if _, ok := newest([]string{t.TempDir()}); ok {
		t.Fatal("found one in an empty directory")
	}
}

func TestTheAdviceIsOneCommand(t *testing.T) {
	only := func(name string) func(string) bool { return func(s string) bool { return s == name } }
	for _, c := range []struct{ os, manager, want string }{
		{"linux", "apt-get", "sudo apt-get install -y postgresql redis-server"},
		{"linux", "dnf", "sudo dnf install -y postgresql-server redis"},
		{"darwin", "brew", "brew install postgresql redis"},
		{"linux", "", "install PostgreSQL, Redis with this machine's package manager"},
	} {
		if got := advice(c.os, only(c.manager), PostgreSQL, Redis); got != c.want {
			t.Errorf("%s with %s: %q", c.os, c.manager, got)
		}
	}
}

func TestNpmsPostgreSQLStarts(t *testing.T) {
	b, err := packaged(t.Context(), Options{Offline: os.Getenv("PORTALGATE_TEST") != "all", Say: func(line string) { t.Log(line) }})
	if err != nil {
		if os.Getenv("PORTALGATE_TEST") != "all" {
			t.Skip("npm's PostgreSQL is not in the cache: ", err)
		}
		t.Fatal(err)
	}
	pg, err := start(t.Context(), b, "npm's")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Close)
	if got := query(t, pg, "select current_setting('server_version')"); got != b.version {
		t.Fatalf("got %q, expected %q", got, b.version)
	}
}
