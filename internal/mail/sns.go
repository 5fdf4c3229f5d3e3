package mail

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// SESEvents reads what Amazon SES publishes to a topic of SNS, which hands it to us.
//
// What a request says of itself is believed in this order: it names the one topic that is configured, its time is ours,
// the certificate that it names lies at the topic's region's own host, Amazon's authority has given it to SNS, and the
// signature is that certificate's. No host is asked anything but that one and Amazon's authority, whatever a request
// names: the address of a certificate is what forged requests have always been about.
type SESEvents struct {
	// Fetch gets a document. Default: FetchFrom.
	Fetch func(ctx context.Context, address string) ([]byte, error)
	Now   func() time.Time
	// Roots are the authorities that vouch for Amazon's. Default: nil, those that the machine trusts.
	Roots *x509.CertPool

	topic, host string
	names       []string // of which a certificate of SNS has one
	certificate *regexp.Regexp

	mu        sync.Mutex // held by who fetches; nobody else waits for it
	certs     sync.Map   // address to *snsSigner
	kept      []string   // those addresses, the oldest first
	fetched   []time.Time
	confirmed []string // the messages that were
}

var snsTopic = regexp.MustCompile(`^arn:(?:aws|aws-us-gov):sns:([a-z]{2}(?:-[a-z]+)+-[1-9]):[0-9]{12}:[A-Za-z0-9_-]{1,256}$`)

// NewSESEvents makes a reader for one topic, named as Amazon does.
func NewSESEvents(topic string, now func() time.Time) (*SESEvents, error) {
	m := snsTopic.FindStringSubmatch(topic)
	if m == nil {
		return nil, fmt.Errorf("%q is no topic such as arn:aws:sns:eu-central-1:123456789012:portal-mail", topic)
	}
	host := "sns." + m[1] + ".amazonaws.com"
	return &SESEvents{Fetch: FetchFrom, Now: now, topic: topic, host: host, names: snsNames(m[1]),
		certificate: regexp.MustCompile(`^https://` + regexp.QuoteMeta(host) + `/[A-Za-z0-9_-]{1,100}\.pem$`)}, nil
}

// Numbers of SNS. It tries a request again for an hour at most, with the time at which it was published.
const (
	snsOldest     = 2 * time.Hour
	snsCerts      = 4 // kept; a region has one at a time, and another one after a while
	snsFetches    = 6 // in a minute: a stranger who knows the topic cannot make us ask more often
	snsConfirmed  = 64
	snsFetchSize  = 64 << 10
	snsFetchWait  = 5 * time.Second
	snsSignatures = 1024 // characters of one, at most
)

// snsMessage is what SNS posts. A field that is there and empty is signed, one that is not there is not.
type snsMessage struct {
	Type             string
	MessageID        string `json:"MessageId"`
	TopicArn         string
	Subject          *string
	Message          string
	Timestamp        string
	Token            string
	SubscribeURL     string
	SignatureVersion string
	Signature        string
	SigningCertURL   string
}

// The kinds of messages.
const (
	snsNotification = "Notification"
	snsSubscribe    = "SubscriptionConfirmation"
	snsUnsubscribe  = "UnsubscribeConfirmation"
)

// Read checks a message and reads what SES says in it. A subscription to the topic is confirmed.
func (s *SESEvents) Read(ctx context.Context, _ func(string) string, body []byte) ([]Report, error) {
	var m snsMessage
	if json.Unmarshal(body, &m) != nil || m.TopicArn != s.topic {
		return nil, ErrUnsigned
	}
	at, err := time.Parse(time.RFC3339, m.Timestamp)
	if age := s.Now().Sub(at); err != nil || age > snsOldest || age < -eventClock {
		return nil, ErrUnsigned
	}
	signed, err := m.signed()
	if err != nil {
		return nil, err
	}
	if err := s.check(ctx, m, at, signed); err != nil {
		return nil, err
	}
	switch m.Type {
	case snsSubscribe:
		return nil, s.confirm(ctx, m)
	case snsNotification:
		return readSES(m.Message)
	}
	return nil, nil
}

// signed is the text that SNS signs.
func (m snsMessage) signed() (string, error) {
	var b strings.Builder
	add := func(name, value string) { b.WriteString(name + "\n" + value + "\n") }
	add("Message", m.Message)
	add("MessageId", m.MessageID)
	switch m.Type {
	case snsNotification:
		if m.Subject != nil {
			add("Subject", *m.Subject)
		}
		add("Timestamp", m.Timestamp)
	case snsSubscribe, snsUnsubscribe:
		add("SubscribeURL", m.SubscribeURL)
		add("Timestamp", m.Timestamp)
		add("Token", m.Token)
	default:
		return "", ErrUnsigned
	}
	add("TopicArn", m.TopicArn)
	add("Type", m.Type)
	return b.String(), nil
}

// check asks the certificate whether it has signed a text.
func (s *SESEvents) check(ctx context.Context, m snsMessage, at time.Time, signed string) error {
	var (
		hash crypto.Hash
		sum  []byte
	)
	switch m.SignatureVersion {
	case "1": // what topics use that nobody has set otherwise
		digest := sha1.Sum([]byte(signed))
		hash, sum = crypto.SHA1, digest[:]
	case "2":
		digest := sha256.Sum256([]byte(signed))
		hash, sum = crypto.SHA256, digest[:]
	default:
		return ErrUnsigned
	}
	signature, err := base64.StdEncoding.DecodeString(m.Signature)
	if err != nil || len(m.Signature) > snsSignatures || !s.certificate.MatchString(m.SigningCertURL) {
		return ErrUnsigned
	}
	c, err := s.signer(ctx, m.SigningCertURL)
	if err != nil {
		return err
	}
	key, err := s.vouched(c, at)
	if err != nil {
		return err
	}
	if rsa.VerifyPKCS1v15(key, hash, sum, signature) != nil {
		return ErrUnsigned
	}
	return nil
}

// fetch gets a document; the lock is held.
func (s *SESEvents) fetch(ctx context.Context, address string) ([]byte, error) {
	now := s.Now()
	for len(s.fetched) > 0 && now.Sub(s.fetched[0]) >= time.Minute {
		s.fetched = s.fetched[1:]
	}
	if len(s.fetched) >= snsFetches {
		return nil, ErrNotNow
	}
	s.fetched = append(s.fetched, now)
	ctx, cancel := context.WithTimeout(ctx, snsFetchWait)
	defer cancel()
	text, err := s.Fetch(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotNow, err)
	}
	return text, nil
}

// confirm answers that we want the topic's messages. A message that was answered is not answered again.
func (s *SESEvents) confirm(ctx context.Context, m snsMessage) error {
	if !s.ours(m.SubscribeURL) {
		return ErrUnsigned
	}
	if !s.mu.TryLock() {
		return ErrNotNow
	}
	defer s.mu.Unlock()
	for _, id := range s.confirmed {
		if id == m.MessageID {
			return nil
		}
	}
	if _, err := s.fetch(ctx, m.SubscribeURL); err != nil {
		return err
	}
	if s.confirmed = append(s.confirmed, m.MessageID); len(s.confirmed) > snsConfirmed {
		s.confirmed = s.confirmed[1:]
	}
	return nil
}

// ours says whether an address confirms a subscription to our topic, at the topic's own host, and does nothing else.
func (s *SESEvents) ours(address string) bool {
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(address, "https://"+s.host+"/?") || u.Host != s.host || u.User != nil || u.Path != "/" || u.Fragment != "" {
		return false
	}
	q, err := url.ParseQuery(u.RawQuery)
	return err == nil && len(q["Action"]) == 1 && q.Get("Action") == "ConfirmSubscription" && len(q["TopicArn"]) == 1 && q.Get("TopicArn") == s.topic && q.Get("Token") != ""
}

var snsClient = &http.Client{Timeout: snsFetchWait, CheckRedirect: func(*http.Request, []*http.Request) error {
	return errors.New("it leads elsewhere")
}}

// FetchFrom gets a small document over https from a host whose certificate the machine trusts, or the certificate of an
// authority of Amazon's from where that publishes it, over http. It follows no redirect.
func FetchFrom(ctx context.Context, address string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if r.URL.Scheme != "https" && !amazonAuthority.MatchString(address) {
		return nil, errors.New("only over https")
	}
	w, err := snsClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer w.Body.Close()
	if w.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", r.URL.Host, w.Status)
	}
	b, err := io.ReadAll(io.LimitReader(w.Body, snsFetchSize+1))
	if err == nil && len(b) > snsFetchSize {
		err = errors.New("the document is too long")
	}
	return b, err
}
