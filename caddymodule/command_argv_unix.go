//go:build unix

package caddymodule

import (
	"os"
	"syscall"
)

// again replaces this process by the same program with another command line; it returns only when that fails.
func again(line, environment []string) {
	if program, err := os.Executable(); err == nil {
		_ = syscall.Exec(program, line, environment) // then it goes on as it is
	}
}
