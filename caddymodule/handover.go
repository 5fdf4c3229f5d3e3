package caddymodule

import (
	"context"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
)

// handover is the moment of a reload in which both configurations listen, and the old one is about to end. Each has a
// socket of its own, to which the system has handed half of those who came; what the old one has not accepted when it
// closes is reset, and what it has accepted and not read ends without an answer. So much of that has piled up while
// the new configuration was being made, on a small machine, that a pause in which it is worked off loses fewer requests than
// no gate at all would.
type handover struct{}

// handoverPause is some turns of everything that waits for a processor.
const handoverPause = 5 * time.Millisecond

// Handle waits.
func (handover) Handle(context.Context, caddy.Event) error {
	time.Sleep(handoverPause)
	return nil
}

// handOver asks for that pause at the end of a configuration.
func handOver(ctx caddy.Context) error {
	events, err := ctx.App("events")
	if err != nil {
		return fmt.Errorf("portalgate: asking to be told of a reload: %w", err)
	}
	return events.(*caddyevents.App).On("stopping", handover{})
}
