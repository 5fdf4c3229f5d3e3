package servers

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// attributes put a server into a process group of its own, so that Ctrl-C reaches us and not it: whoever uses it stops
// first. When we are killed, the kernel asks it to stop.
func attributes(a *account, death syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: death, Credential: a.credential()}
}

// mentions says whether a process was started with the path among its arguments.
func mentions(pid int, path string) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return err == nil && strings.Contains(string(b), path+"/")
}
