package sms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/portalgate/portalgate/internal/secret"
)

// SignatureHeader has the signature of a message that a webhook is handed.
const SignatureHeader = "Portalgate-Signature"

// Webhook hands messages to a receiver of the operator's own, each signed, so that the receiver knows from whom it is.
type Webhook struct {
	URL  string
	Key  *secret.Signer
	Now  func() time.Time
	Wait time.Duration

	Transport http.RoundTripper // of tests; nil: the usual one

	client *http.Client
}

// Open judges the address and makes the client; it dials nothing.
func (w *Webhook) Open() error {
	if err := confidential(w.URL); err != nil {
		return err
	}
	w.client = client(w.Transport, w.Wait)
	return nil
}

// confidential refuses an address to which a message could be read on its way. Only this machine may do without TLS.
func confidential(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("cannot be read as a URL")
	case u.User != nil || u.Fragment != "":
		return errors.New("has a user or a fragment; messages are signed, which is how the receiver knows us")
	case u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
		return errors.New("must begin with https://, because a message holds a code; http:// is for this machine alone")
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// delivery is what the receiver reads.
type delivery struct {
	ID     string `json:"id"`
	To     string `json:"to"`
	Text   string `json:"text"`
	Tenant string `json:"tenant"`
}

// Send hands over one message.
func (w *Webhook) Send(ctx context.Context, m Message) error {
	if err := m.Check(); err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	body, err := json.Marshal(delivery{ID: m.ID, To: m.To, Text: m.Text, Tenant: m.Slug})
	if err != nil {
		return fmt.Errorf("webhook: encoding a message: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return errors.New("webhook: its address cannot be read as a URL")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(SignatureHeader, w.Key.Sign(body, w.Now()))
	status, _, failed := ask(w.client, "webhook", r)
	if failed == nil {
		failed = byStatus("webhook", status)
	}
	if failed != nil {
		return failed
	}
	return nil
}

// Close drops the connections that are kept.
func (w *Webhook) Close() {
	if w.client != nil {
		w.client.CloseIdleConnections()
	}
}
