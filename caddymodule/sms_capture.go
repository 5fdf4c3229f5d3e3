package caddymodule

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/portalgate/portalgate/internal/sms"
)

func init() {
	caddy.RegisterModule(new(SMSCapture))
}

// SMSCapture sends nothing: it keeps text messages in the database, sealed with the keyring, for staging and for tests.
// They stand beside the mails that were captured, and are kept and shown like them.
type SMSCapture struct {
	// That this is a trial, in which nobody waits for a code; without the word the configuration is refused. Required.
	Trial bool `json:"trial,omitempty"`

	kept atomic.Pointer[func(context.Context, sms.Message) error] // nil: no gateway runs
}

// CaddyModule returns the module's registration.
func (*SMSCapture) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "portalgate.sms.capture", New: func() caddy.Module { return new(SMSCapture) }}
}

// UnmarshalCaddyfile reads the provider.
//
//	capture trial
func (m *SMSCapture) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return trialOnly(d, &m.Trial) }

// judgement refuses it where nobody has said that this is a trial (CFG-01).
func (m *SMSCapture) judgement() complaints { return onTrial(m.Trial) }

var errNoTextKept = errors.New("capture keeps text messages in the database of a gateway that runs, and none runs here")

// Send keeps the message.
func (m *SMSCapture) Send(ctx context.Context, what sms.Message) error {
	return sms.Capture{Keep: func(ctx context.Context, what sms.Message) error {
		if keep := m.kept.Load(); keep != nil {
			return (*keep)(ctx, what)
		}
		return errNoTextKept
	}}.Send(ctx, what)
}

// exceptions are what `doctor` repeats.
func (m *SMSCapture) exceptions() []string {
	return []string{"capture keeps text messages in place of sending them; nobody gets any"}
}

// keepBy is told who keeps messages when the configuration starts.
func (m *SMSCapture) keepBy(keep func(context.Context, sms.Message) error) { m.kept.Store(&keep) }

var (
	_ caddyfile.Unmarshaler = (*SMSCapture)(nil)
	_ sms.Sender            = (*SMSCapture)(nil)
)
