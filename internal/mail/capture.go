package mail

import (
	"context"
	"fmt"
)

// Capture keeps mails in place of sending them, for staging and tests. Where and for how long is the keeper's.
type Capture struct {
	Keep func(ctx context.Context, m Message) error
}

// Send keeps the mail. What could not leave is not kept either, so that staging refuses what production would.
func (c Capture) Send(ctx context.Context, m Message) error {
	if _, err := compose(m, nil); err != nil {
		return err
	}
	m.Subject, m.From.Name, m.ReplyTo.Name = plain(m.Subject, 200), plain(m.From.Name, 100), plain(m.ReplyTo.Name, 100) // as it would have left
	if err := c.Keep(ctx, m); err != nil {
		return fmt.Errorf("keeping a mail: %w", err)
	}
	if m.Taken != nil {
		m.Taken("capture", "kept, not sent")
	}
	return nil
}
