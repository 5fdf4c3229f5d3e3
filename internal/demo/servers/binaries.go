//go:build unix

package servers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// binaries is a directory that holds initdb and postgres.
type binaries struct {
	dir     string
	version string
	major   int
	minor   int
}

// system finds the newest PostgreSQL that is installed. Distributions keep initdb out of PATH, one directory for each
// version.
func system() (binaries, bool) {
	var dirs []string
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
		"/usr/lib/postgresql*/bin",          // SUSE
		"/usr/libexec/postgresql*",          // Alpine
		"/usr/pgsql-*/bin",                  // PostgreSQL's own packages for Fedora and its kin
		"/usr/local/pgsql/bin",              // from source
		"/opt/homebrew/opt/postgresql*/bin", // Homebrew on Apple silicon
		"/usr/local/opt/postgresql*/bin",    // Homebrew on Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	} {
		found, err := filepath.Glob(pattern)
		if err == nil {
			dirs = append(dirs, found...)
		}
	}
	dirs = append(dirs, filepath.SplitList(os.Getenv("PATH"))...)
	return newest(dirs)
}

func findPostgres() (string, bool) {
	b, ok := system()
	return b.dir, ok
}

func newest(dirs []string) (best binaries, found bool) {
	seen := map[string]bool{}
	for _, dir := range dirs {
		if dir == "" || seen[dir] {
			continue
		}
		seen[dir] = true
		b, err := look(dir)
		if err != nil {
			continue // no PostgreSQL in there
		}
		if !found || b.major > best.major || b.major == best.major && b.minor > best.minor {
			best, found = b, true
		}
	}
	return best, found
}

var versionText = regexp.MustCompile(`\(PostgreSQL\) (\d+)(?:\.(\d+))?`)

// oldest is the oldest PostgreSQL that can hold the schema: a reference there sets one column of two to null. It is
// also the oldest that is still mended.
const oldest = 15

func look(dir string) (binaries, error) {
	for _, program := range []string{"initdb", "postgres"} {
		info, err := os.Stat(filepath.Join(dir, program))
		if err != nil {
			return binaries{}, fmt.Errorf("looking for %s: %w", program, err)
		}
		if info.IsDir() || info.Mode()&0o111 == 0 {
			return binaries{}, fmt.Errorf("%s in %s is not a program", program, dir)
		}
	}
	out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return binaries{}, fmt.Errorf("asking postgres for its version: %w", err)
	}
	return version(dir, string(out))
}

func version(dir, text string) (binaries, error) {
	m := versionText.FindStringSubmatch(text)
	if m == nil {
		return binaries{}, fmt.Errorf("%q names no version", text)
	}
	b := binaries{dir: dir}
	b.major, _ = strconv.Atoi(m[1]) // digits, by the pattern
	b.minor, _ = strconv.Atoi(m[2]) // a beta has no minor version: zero
	if b.major < oldest {
		return binaries{}, fmt.Errorf("PostgreSQL %d is too old", b.major)
	}
	b.version = m[1]
	if m[2] != "" {
		b.version += "." + m[2]
	}
	return b, nil
}
