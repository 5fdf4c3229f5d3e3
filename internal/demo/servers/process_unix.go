//go:build unix && !linux

package servers

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// attributes put a server into a process group of its own, so that Ctrl-C reaches us and not it. That it stops when we
// are killed is the watch's work alone: only Linux has a signal for it.
func attributes(a *account, _ syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: a.credential()}
}

// mentions says whether a process was started with the path among its arguments.
func mentions(pid int, path string) bool {
	b, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(b), path+"/")
}
