package caddymodule

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/store"
)

func init() {
	caddy.RegisterModule(new(MailEvents))
	httpcaddyfile.RegisterHandlerDirective("portalgate_mail_events", parseMailEvents)
	httpcaddyfile.RegisterDirectiveOrder("portalgate_mail_events", httpcaddyfile.After, "try_files") // and so before the gate
}

// MailEvents takes the bounces and complaints that a mail provider posts, when it has signed them. An address whose
// mailbox is dead, or whose owner complains, gets no further mail of its tenant. It belongs at a path of its own, in any
// site that the provider reaches, and tells nobody anything.
type MailEvents struct {
	// The signed Event Webhook of SendGrid. Default: none; this or `ses` is required.
	SendGrid *SendGridHook `json:"sendgrid,omitempty"`
	// Notifications of Amazon SES by a topic of SNS. Default: none; this or `sendgrid` is required.
	SES *SESHook `json:"ses,omitempty"`
	// Where in the Caddyfile the options stand, for error messages; the adapter writes it. Default: none.
	Places map[string]string `json:"places,omitempty"`

	provider string
	events   mail.Events
	w        *world
}

// SendGridHook is who signs for SendGrid.
type SendGridHook struct {
	// The verification key that SendGrid shows beside the webhook, or a placeholder for it. Required.
	PublicKey string `json:"public_key,omitempty"`
}

// SESHook is where SES publishes.
type SESHook struct {
	// The topic's name, as `arn:aws:sns:eu-central-1:123456789012:portal-mail`. Required.
	Topic string `json:"topic,omitempty"`
}

// CaddyModule returns the module's registration.
func (*MailEvents) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.portalgate_mail_events", New: func() caddy.Module { return new(MailEvents) }}
}

// parseMailEvents reads the directive.
//
//	portalgate_mail_events [<matcher>] {
//		sendgrid {
//			public_key <placeholder>
//		}
//		ses {
//			topic <arn>
//		}
//	}
func parseMailEvents(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	m := new(MailEvents)
	if err := m.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	return m, nil
}

// UnmarshalCaddyfile reads the directive; its grammar stands above parseMailEvents.
func (m *MailEvents) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	at := noting{places: &m.Places}
	at.note("", d)
	return block(d, "portalgate_mail_events", at, map[string]option{
		"sendgrid": func(d *caddyfile.Dispenser) error {
			m.SendGrid = new(SendGridHook)
			return block(d, "sendgrid", at.in("sendgrid"), map[string]option{"public_key": one(&m.SendGrid.PublicKey)})
		},
		"ses": func(d *caddyfile.Dispenser) error {
			m.SES = new(SESHook)
			return block(d, "ses", at.in("ses"), map[string]option{"topic": one(&m.SES.Topic)})
		},
	})
}

// Provision reads who may sign, and finds the app. It asks nobody anything.
func (m *MailEvents) Provision(ctx caddy.Context) error {
	var wrong complaints
	now := func() time.Time { return m.w.now() }
	switch {
	case (m.SendGrid == nil) == (m.SES == nil):
		wrong.add(bad("portalgate_mail_events", "takes one provider, `sendgrid { … }` or `ses { … }`; each has a path of its own"))
	case m.SendGrid != nil && m.SendGrid.PublicKey == "":
		wrong.add(bad("sendgrid", "needs `public_key`"))
	case m.SendGrid != nil:
		text, err := filled(m.SendGrid.PublicKey)
		if err != nil {
			wrong.add(bad("sendgrid public_key", "%v", err))
			break
		}
		key, err := mail.ParseSendGridKey(text)
		if err != nil {
			wrong.add(bad("sendgrid public_key", "%v", err))
		}
		m.provider, m.events = "sendgrid", &mail.SendGridEvents{Key: key, Now: now}
	default:
		events, err := mail.NewSESEvents(m.SES.Topic, now)
		if err != nil {
			wrong.add(bad("ses topic", "%v", err))
		}
		m.provider, m.events = "ses", events
	}
	if err := wrong.err(); err != nil {
		return places(m.Places).at(err)
	}
	app, err := ctx.AppIfConfigured("portalgate")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return errors.New("portalgate: the global options have no `portalgate { … }`, which names the database and the keyring")
	}
	if err != nil {
		return err
	}
	m.w = app.(*App).world
	mailEvents.open(m.provider)
	return nil
}

// Bounds of a request. Providers send less, and wait for 10 s and more.
const (
	mostEvents    = 1 << 20 // bytes
	eventsWait    = 8 * time.Second
	eventsAtATime = 32
)

var eventSeats = make(chan struct{}, eventsAtATime)

// ServeHTTP answers 204 to what was taken, 403 to what the provider has not signed, and 503 to what it shall send again;
// never with a word.
func (m *MailEvents) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	status := m.take(w, r)
	switch status {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "30")
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	return nil
}

func (m *MailEvents) take(w http.ResponseWriter, r *http.Request) int {
	if r.Method != http.MethodPost {
		return http.StatusMethodNotAllowed
	}
	select {
	case eventSeats <- struct{}{}:
		defer func() { <-eventSeats }()
	default:
		return http.StatusServiceUnavailable
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(eventsWait)) // where that is not possible, Caddy's own limits hold
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostEvents))
	if err != nil {
		mailEvents.add(m.provider, "refused", 1)
		var long *http.MaxBytesError
		if errors.As(err, &long) {
			return http.StatusRequestEntityTooLarge
		}
		return http.StatusBadRequest
	}
	ctx, cancel := context.WithTimeout(r.Context(), eventsWait)
	defer cancel()
	reports, err := m.events.Read(ctx, r.Header.Get, body)
	switch {
	case errors.Is(err, mail.ErrUnsigned):
		mailEvents.add(m.provider, "refused", 1)
		if errors.Is(err, mail.ErrVouching) { // a stranger cannot cause it, or could fill the log
			m.w.log.Load().Warn("a mail provider's certificate is not believed", zap.String("provider", m.provider), zap.Error(err))
		}
		return http.StatusForbidden
	case errors.Is(err, mail.ErrNotNow):
		mailEvents.add(m.provider, "later", 1)
		m.w.log.Load().Warn("a mail provider's event is not taken yet", zap.String("provider", m.provider), zap.Error(err))
		return http.StatusServiceUnavailable
	case err != nil: // the provider's own hand: another try would read the same
		mailEvents.add(m.provider, "unreadable", 1)
		m.w.log.Load().Warn("a mail provider's event has a form that is not known", zap.String("provider", m.provider), zap.Error(err))
		return http.StatusNoContent
	}
	for _, report := range reports {
		heard, err := m.w.hear(ctx, report, m.provider)
		if err != nil {
			mailEvents.add(m.provider, "later", 1)
			m.w.log.Load().Warn("a mail provider's event cannot be written down; it will send it again", zap.String("provider", m.provider), zap.Error(err))
			return http.StatusServiceUnavailable
		}
		mailEvents.add(m.provider, string(heard), 1)
	}
	return http.StatusNoContent
}

// hear acts on a report about a letter of whichever tenant has the host of its Message-ID.
func (w *world) hear(ctx context.Context, r mail.Report, provider string) (heard auth.Heard, err error) {
	_, host, _ := strings.Cut(r.MessageID, "@")
	t, ok := w.hosts.Of(host)
	if !ok {
		return auth.HeardNothing, nil
	}
	err = w.store.Within(ctx, t.ID, w.now(), func(x *store.Tx) (err error) {
		heard, _, err = auth.Heed(ctx, x, w.keys, t.ID, r, store.Deed{Operator: "webhook of " + provider})
		return err
	})
	return heard, err
}

// eventTally counts by provider what became of its events. It outlives every configuration.
type eventTally struct {
	mu sync.Mutex
	by map[[2]string]int64
}

var mailEvents eventTally

// open makes a provider's counters visible before anything has come.
func (t *eventTally) open(provider string) {
	for _, result := range []string{"refused", "later", "unreadable", string(auth.HeardNothing), string(auth.HeardNoted), string(auth.HeardSuppressed), string(auth.HeardKnown)} {
		t.add(provider, result, 0)
	}
}

func (t *eventTally) add(provider, result string, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = map[[2]string]int64{}
	}
	t.by[[2]string{provider, result}] += n
}

func (t *eventTally) each(do func(provider, result string, n int64)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, n := range t.by {
		do(k[0], k[1], n)
	}
}

// orNothing takes a number that may be zero, where that is something else than leaving it out.
func orNothing(to **int) option {
	return func(d *caddyfile.Dispenser) error {
		name := d.Val()
		var s string
		if err := one(&s)(d); err != nil {
			return err
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return d.Errf("%s takes a whole number from 0, not %q", name, s)
		}
		*to = &n
		return nil
	}
}

var (
	_ caddyhttp.MiddlewareHandler = (*MailEvents)(nil)
	_ caddyfile.Unmarshaler       = (*MailEvents)(nil)
	_ caddy.Provisioner           = (*MailEvents)(nil)
)
