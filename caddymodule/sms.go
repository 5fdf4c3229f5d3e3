package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/sms"
	"github.com/portalgate/portalgate/internal/store"
)

// SMS says who carries text messages.
type SMS struct {
	// Who carries them: a module of `portalgate.sms.*`, named by its key `provider`. In the Caddyfile a subdirective with
	// the provider's name, such as `twilio`. Required.
	Sender json.RawMessage `json:"sender,omitempty" caddy:"namespace=portalgate.sms inline_key=provider"`
}

const smsNamespace = "portalgate.sms"

// smsTally outlives every configuration, as mailTally does.
var smsTally sms.Tally

// texting is how text messages leave.
type texting struct {
	sms.Sender
	guest any
}

// texting loads the guest. It dials nothing. Its error is complaints.
func (m *SMS) texting(ctx caddy.Context, literals bool) (*texting, error) {
	var wrong complaints
	if m.Sender == nil {
		return nil, append(wrong, bad("sms", "needs somebody who carries messages, such as `twilio { … }`"))
	}
	guest := loadGuest(ctx, m, m.Sender, "sms", literals, &wrong)
	if guest == nil {
		return nil, wrong.err()
	}
	s, ok := guest.(sms.Sender)
	if !ok {
		return nil, append(wrong, bad("sms", "the module %T carries no text messages", guest))
	}
	return &texting{Sender: smsTally.Of(guest.(caddy.Module).CaddyModule().ID.Name(), s), guest: guest}, wrong.err()
}

// exceptions are what `doctor` repeats.
func (t *texting) exceptions() []string {
	if g, ok := t.guest.(interface{ exceptions() []string }); ok {
		return g.exceptions()
	}
	return nil
}

// keepBy tells a guest that keeps messages in place of sending them who does so: a guest knows no database.
func (t *texting) keepBy(keep func(context.Context, sms.Message) error) {
	if t == nil {
		return
	}
	if g, ok := t.guest.(interface {
		keepBy(func(context.Context, sms.Message) error)
	}); ok {
		g.keepBy(keep)
	}
}

// smsOption reads the block. Each registered provider is a subdirective by its own name: a new one touches nothing here.
func smsOption(to **SMS, at noting) option {
	return func(d *caddyfile.Dispenser) error {
		*to = &SMS{}
		m, below := *to, at.in("sms")
		options := map[string]option{}
		for _, module := range caddy.GetModules(smsNamespace) {
			name := module.ID.Name()
			options[name] = func(d *caddyfile.Dispenser) error {
				if m.Sender != nil {
					return d.Errf("sms has one provider, and %s is one more", name)
				}
				raw, err := provider(d, smsNamespace, "text message", name, below)
				m.Sender = raw
				return err
			}
		}
		return block(d, "sms", below, options)
	}
}

// texts are how text messages leave in the configurations that share a world, as posts are for mail.
type texts struct{ running[texting] }

var errNoText = errors.New("no provider of text messages is configured; write `sms { … }` into the global options")

// Send hands one message to the newest configuration's provider. Without one it waits: the error is not for good.
func (t *texts) Send(ctx context.Context, m sms.Message) error {
	if now := t.newest(); now != nil {
		return now.Send(ctx, m)
	}
	return errNoText
}

// possible says whether a configuration that runs has a provider.
func (t *texts) possible() bool { return t.newest() != nil }

// keepText seals a text message and keeps it in its tenant, beside the mails that were captured.
func (w *world) keepText(ctx context.Context, m sms.Message) error {
	c := store.Captured{ID: portal.FormatID(secret.NewID()), Kind: portal.LetterTextCode}
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding a text message: %w", err)
	}
	return w.keepSealed(ctx, m.Tenant, c, b)
}

// The metrics of text messages.
var (
	metricTexts    = prometheus.NewDesc("portalgate_sms_tries_total", "Text messages handed to a provider, by what came of it: sent, deferred, rejected.", []string{"provider", "result"}, nil)
	metricTextTime = prometheus.NewDesc("portalgate_sms_seconds_total", "How long all tries with a provider of text messages took together.", []string{"provider"}, nil)
	metricTextUp   = prometheus.NewDesc("portalgate_sms_up", "Whether a provider of text messages did its work at the last try; refusing a number is doing it.", []string{"provider"}, nil)
)

// collectTexts reads the counters of text messages.
func collectTexts(to chan<- prometheus.Metric) {
	for _, c := range smsTally.Counts() {
		for result, n := range map[string]uint64{"sent": c.Sent, "deferred": c.Deferred, "rejected": c.Rejected} {
			to <- prometheus.MustNewConstMetric(metricTexts, prometheus.CounterValue, float64(n), c.Provider, result)
		}
		to <- prometheus.MustNewConstMetric(metricTextTime, prometheus.CounterValue, c.Seconds, c.Provider)
		up := 1.0
		if sms.Broken(c.Err) {
			up = 0
		}
		to <- prometheus.MustNewConstMetric(metricTextUp, prometheus.GaugeValue, up, c.Provider)
	}
}

var _ sms.Sender = (*texts)(nil)
