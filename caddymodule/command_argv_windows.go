package caddymodule

// again does nothing: Windows cannot replace a process.
func again(_, _ []string) {}
