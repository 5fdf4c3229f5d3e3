package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// sameFlags has everything that this runner starts build with the flags that the image is built with. The checks, the
// tests, the program in the browser's tests and the image's own build then share what they have compiled: the four
// hundred packages below us are compiled once and not three times.
func sameFlags(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "env", "GOFLAGS").Output()
	if err != nil {
		return fmt.Errorf("asking go for its flags: %w", err)
	}
	flags := strings.TrimSpace(string(out))
	if !strings.Contains(flags, "-trimpath") {
		flags = strings.TrimSpace(flags + " -trimpath")
	}
	for name, value := range map[string]string{"GOFLAGS": flags, "CGO_ENABLED": "0"} {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	return nil
}
