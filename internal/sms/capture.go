package sms

import (
	"context"
	"fmt"
)

// Capture keeps messages in place of sending them, for staging and tests. Where and for how long is the keeper's.
type Capture struct {
	Keep func(ctx context.Context, m Message) error
}

// Send keeps the message. What could not leave is not kept either, so that staging refuses what production would.
func (c Capture) Send(ctx context.Context, m Message) error {
	if err := m.Check(); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	if err := c.Keep(ctx, m); err != nil {
		return fmt.Errorf("keeping a text message: %w", err)
	}
	return nil
}
