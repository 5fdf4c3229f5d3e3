package servers

import (
	"os"
	"os/exec"
	"runtime"
)

// Program is something that this package can advise how to install.
type Program int

// String is the program's name as people write it.
func (p Program) String() string {
	return map[Program]string{PostgreSQL: "PostgreSQL", Redis: "Redis", Chromium: "Chromium", OATHTool: "oathtool", Hydra: "hydra", Node: "node"}[p]
}

// The programs that the demo and the tests look for.
const (
	PostgreSQL Program = iota
	Redis
	Chromium
	OATHTool
	Hydra
	Node
)

// managers are the package managers we know, in the order in which they are looked for, with what they call a program.
var managers = []struct {
	program string
	install string
	names   map[Program]string
}{
	{"apt-get", "apt-get install -y", map[Program]string{PostgreSQL: "postgresql", Redis: "redis-server", Chromium: "chromium", OATHTool: "oathtool", Hydra: "hydra", Node: "nodejs"}},
	{"dnf", "dnf install -y", map[Program]string{PostgreSQL: "postgresql-server", Redis: "redis", Chromium: "chromium-headless", OATHTool: "oathtool", Hydra: "hydra", Node: "nodejs"}},
	{"apk", "apk add", map[Program]string{PostgreSQL: "postgresql", Redis: "redis", Chromium: "chromium", OATHTool: "oath-toolkit-oathtool", Hydra: "hydra", Node: "nodejs"}},
	{"pacman", "pacman -S --noconfirm", map[Program]string{PostgreSQL: "postgresql", Redis: "redis", Chromium: "chromium", OATHTool: "oath-toolkit", Hydra: "hydra", Node: "nodejs"}},
	{"zypper", "zypper install -y", map[Program]string{PostgreSQL: "postgresql-server", Redis: "redis", Chromium: "chromium", OATHTool: "oath-toolkit", Hydra: "hydra", Node: "nodejs"}},
	{"brew", "brew install", map[Program]string{PostgreSQL: "postgresql", Redis: "redis", Chromium: "--cask chromium", OATHTool: "oath-toolkit", Hydra: "hydra", Node: "node"}},
}

// Find returns where a program is, and whether it is here.
func Find(p Program) (string, bool) {
	var names []string
	switch p {
	case PostgreSQL:
		return findPostgres()
	case Redis:
		names = []string{"redis-server"}
	case OATHTool:
		names = []string{"oathtool"}
	case Hydra:
		names = []string{"hydra"}
	case Node:
		names = []string{"node"}
	case Chromium:
		names = []string{"chromium", "chromium-headless-shell", "chromium-browser", "google-chrome", "google-chrome-stable",
			"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium"}
		if named := os.Getenv("CHROME"); named != "" {
			names = []string{named}
		}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, true
		}
	}
	return "", false
}

// Advice is the one command that installs the programs on this machine, to be shown to a person.
func Advice(programs ...Program) string {
	return advice(runtime.GOOS, func(name string) bool {
		_, err := exec.LookPath(name)
		return err == nil
	}, programs...)
}

func advice(goos string, has func(string) bool, programs ...Program) string {
	for _, m := range managers {
		if !has(m.program) {
			continue
		}
		line := m.install
		if goos != "darwin" {
			line = "sudo " + line
		}
		for _, p := range programs {
			line += " " + m.names[p]
		}
		return line
	}
	if goos == "windows" {
		return "wsl --install, and then the same again inside it"
	}
	return "install " + plain(programs) + " with this machine's package manager"
}

func plain(programs []Program) string {
	out := ""
	for i, p := range programs {
		if i > 0 {
			out += ", "
		}
		out += p.String()
	}
	return out
}

// Packages are the names under which this machine's package manager knows the programs, if it is apt.
func Packages(programs ...Program) []string {
	var out []string
	for _, p := range programs {
		out = append(out, managers[0].names[p])
	}
	return out
}
