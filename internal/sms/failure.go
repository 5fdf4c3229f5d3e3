package sms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Secret is a password or a key of a provider. It does not print.
type Secret string

// Format does not reveal the secret, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[secret]") }

// MarshalText does not reveal it either.
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// Failure is why a provider did not take a message. It is ErrRejected when it was refused for good. What it says is ours:
// providers repeat numbers and messages in their answers.
type Failure struct {
	Provider string
	Status   int    // of HTTP; 0: there was no answer
	Code     int    // the provider's own; 0: it gave none
	Text     string // what that means
	Rejected bool
}

// Error says it in one line.
func (f *Failure) Error() string {
	switch {
	case f.Code != 0:
		return fmt.Sprintf("%s answered %d, error %d: %s", f.Provider, f.Status, f.Code, f.Text)
	case f.Status != 0:
		return fmt.Sprintf("%s answered %d: %s", f.Provider, f.Status, f.Text)
	}
	return f.Provider + ": " + f.Text
}

// Is makes a rejection ErrRejected.
func (f *Failure) Is(target error) bool { return target == ErrRejected && f.Rejected }

// Broken says whether an error is about the provider and not about this one message: the next one would fail as well.
func Broken(err error) bool {
	return err != nil && !errors.Is(err, ErrRejected) && !errors.Is(err, context.Canceled)
}

const (
	longestWait   = 20 * time.Second // for one message, unless its context ends before
	longestDial   = 10 * time.Second
	longestAnswer = 64 << 10 // bytes that are read of an answer
	quietFor      = 60 * time.Second
	atOnce        = 16 // connections to one provider
)

// client asks one provider. It follows no redirect: an answer from elsewhere is no answer of the provider that was named,
// and a message must not go there. Proxies of the environment are not used, because what is sent is a secret.
func client(transport http.RoundTripper, wait time.Duration) *http.Client {
	if transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.Proxy, t.MaxIdleConnsPerHost, t.MaxConnsPerHost, t.IdleConnTimeout = nil, 2, atOnce, quietFor
		t.DialContext = (&net.Dialer{Timeout: longestDial}).DialContext
		t.TLSHandshakeTimeout, t.MaxResponseHeaderBytes = longestDial, longestAnswer
		transport = t
	}
	if wait <= 0 || wait > longestWait {
		wait = longestWait
	}
	return &http.Client{Transport: transport, Timeout: wait,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// ask makes one request. It returns the status and the beginning of the answer; there is a failure where there was none.
func ask(c *http.Client, provider string, r *http.Request) (status int, body []byte, f *Failure) {
	r.Header.Set("User-Agent", "portalgate")
	r.Header.Set("Accept", "application/json")
	answer, err := c.Do(r)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // its text has the address, in which a receiver may have put a key
		}
		return 0, nil, &Failure{Provider: provider, Text: "cannot be reached: " + err.Error()}
	}
	defer answer.Body.Close() //nolint:errcheck // what was read is judged by itself
	body, err = io.ReadAll(io.LimitReader(answer.Body, longestAnswer))
	if err != nil && answer.StatusCode/100 == 2 {
		return answer.StatusCode, nil, nil // it has taken the message; a second one would be the worse mistake
	}
	return answer.StatusCode, body, nil
}

// byStatus is what an answer of HTTP means for the message where nothing better is known; nil: it was taken.
func byStatus(provider string, status int) *Failure {
	f := &Failure{Provider: provider, Status: status}
	switch {
	case status/100 == 2:
		return nil
	case status/100 == 3:
		f.Text = "it leads elsewhere, where no message is sent; name the address that answers itself"
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		f.Text = "it does not accept our credentials, or they may not send; look at the account and its secret"
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		f.Text = "nobody takes messages at this address; look at the account or the URL"
	case status == http.StatusTooManyRequests:
		f.Text = "it takes no more messages for the moment"
	case status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusTooEarly, status == http.StatusProxyAuthRequired:
		f.Text = "it could not take the message now"
	case status/100 == 4:
		f.Text, f.Rejected = "it refuses the message", true
	default:
		f.Text = "it is in trouble"
	}
	return f
}
