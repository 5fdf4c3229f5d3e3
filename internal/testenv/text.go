package testenv

import (
	"context"
	"sync"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/sms"
)

// OutgoingTexts is a provider of text messages that keeps what it is given, for flows.
type OutgoingTexts struct {
	mu    sync.Mutex
	sent  []sms.Message
	Fails func(sms.Message) error // nil: takes everything
	None  bool                    // as if no provider were configured
}

// Send keeps a message, or fails.
func (o *OutgoingTexts) Send(_ context.Context, m sms.Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.Fails != nil {
		if err := o.Fails(m); err != nil {
			return err
		}
	}
	o.sent = append(o.sent, m)
	return nil
}

// Sent are the messages of a tenant so far.
func (o *OutgoingTexts) Sent(t portal.TenantID) (out []sms.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range o.sent {
		if m.Tenant == t {
			out = append(out, m)
		}
	}
	return out
}
