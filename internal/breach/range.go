// Package breach owns the question whether a password was stolen somewhere else, as two sources answer it: a service that
// is told the beginning of a digest, and a filter file that is made from a downloaded list and asked on this machine.
// Both are asked by SHA-1, under which the lists are kept, and never see a password.
//
// It refuses a service without TLS, an answer that is none of the protocol, and a filter that is damaged, each with an
// error that names it. When a source is down, slow or gone under way that is an error too, soon; whoever asks takes the
// password then, so that a source that is down keeps nobody from changing one.
package breach

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// DigestBytes is the length of a SHA-1.
const DigestBytes = 20

// What a range is asked with.
const (
	RangeURL     = "https://api.pwnedpasswords.com/range/" // where RangeAPI asks unless it is told otherwise
	rangeWait    = 1500 * time.Millisecond
	rangePrefix  = 5
	rangeMost    = 1 << 20 // bytes; a padded answer has some 60 KB
	rangeAtOnce  = 16      // requests under way; the next ones are told that the source is busy
	rangeLine    = 128     // bytes
	rangeForeign = 40 * time.Second
)

// RangeAPI asks a service that speaks the range protocol of Have I Been Pwned: it is told the first five digits of the
// digest and answers with all it knows that begin so, padded to a length that tells nothing. It never learns
// the whole digest, nor whether it was found.
type RangeAPI struct {
	base   string
	client *http.Client
	room   chan struct{}
}

// NewRangeAPI makes a RangeAPI; it dials nothing. The address is an https URL to which five digits are appended, empty for
// RangeURL. The transport is for tests; nil dials directly, with no proxy of the environment: whether a digest's
// beginning may leave through one is not the environment's to say.
func NewRangeAPI(base string, transport http.RoundTripper) (*RangeAPI, error) {
	if base == "" {
		base = RangeURL
	}
	u, err := url.Parse(base)
	switch {
	case err != nil:
		return nil, errors.New("the address cannot be read as a URL")
	case u.Scheme != "https" || u.Host == "":
		return nil, errors.New("the address must begin with https://, because whoever reads along learns the beginning of a password's digest")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the address has a user, a query or a fragment; it is a path to which five digits are appended, like " + RangeURL)
	}
	if !strings.HasSuffix(base, "/") {
		base += "/"
	}
	if transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.Proxy, t.MaxIdleConnsPerHost, t.MaxConnsPerHost, t.IdleConnTimeout = nil, 2, rangeAtOnce, rangeForeign
		t.TLSHandshakeTimeout, t.ResponseHeaderTimeout, t.MaxResponseHeaderBytes = rangeWait, rangeWait, 64<<10
		transport = t
	}
	return &RangeAPI{base: base, room: make(chan struct{}, rangeAtOnce), client: &http.Client{Transport: transport,
		// An answer from elsewhere is no answer of the service that was named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// Breached asks the service, for 1.5 s at most.
func (a *RangeAPI) Breached(ctx context.Context, sum [DigestBytes]byte) (found bool, err error) {
	select {
	case a.room <- struct{}{}:
		defer func() { <-a.room }()
	default:
		return false, errors.New("asking for stolen passwords: too many questions are under way")
	}
	ctx, cancel := context.WithTimeout(ctx, rangeWait)
	defer cancel()
	name := strings.ToUpper(hex.EncodeToString(sum[:]))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+name[:rangePrefix], nil)
	if err != nil {
		return false, fmt.Errorf("asking for stolen passwords: %w", err)
	}
	request.Header.Set("Add-Padding", "true")
	request.Header.Set("User-Agent", "portalgate")
	answer, err := a.client.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // its text has the digest's beginning
		}
		return false, fmt.Errorf("asking for stolen passwords: %w", err)
	}
	defer answer.Body.Close() //nolint:errcheck // what was read is judged by itself
	if answer.StatusCode != http.StatusOK {
		return false, fmt.Errorf("asking for stolen passwords: answered %d", answer.StatusCode)
	}
	return inRange(io.LimitReader(answer.Body, rangeMost+1), name[rangePrefix:])
}

// Close drops the connections that are kept.
func (a *RangeAPI) Close() error {
	a.client.CloseIdleConnections()
	return nil
}

// inRange reads an answer to its end, whatever is found: how long it takes tells nothing.
func inRange(r io.Reader, rest string) (found bool, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, rangeLine), rangeLine)
	read := 0
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		if read += len(lines.Text()) + 1; read > rangeMost {
			return false, errors.New("reading stolen passwords: the answer is too long")
		}
		suffix, times, ok := strings.Cut(line, ":")
		n, bad := strconv.ParseUint(times, 10, 63)
		if !ok || bad != nil || len(suffix) != len(rest) {
			return false, errors.New("reading stolen passwords: the answer is none of the protocol")
		}
		found = found || n > 0 && strings.EqualFold(suffix, rest) // none: padding
	}
	if err := lines.Err(); err != nil {
		return false, fmt.Errorf("reading stolen passwords: %w", err)
	}
	return found, nil
}
