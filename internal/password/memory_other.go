//go:build !linux

package password

// mapped takes memory for n blocks.
func mapped(n int) []block { return make([]block, n) }

// unmap leaves it to the collector.
func unmap([]block) {}
