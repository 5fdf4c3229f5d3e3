package mail_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
)

const (
	topic   = "arn:aws:sns:eu-central-1:123456789012:portal-mail"
	certURL = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem"
)

// amazon is SNS: it signs, and has its certificate to be fetched; and it is the authority that vouches for it.
type amazon struct {
	key   *rsa.PrivateKey
	cert  []byte // PEM, as it lies at SNS
	above []byte // DER, as the authority publishes it
	roots *x509.CertPool

	mu      sync.Mutex
	fetched []string
	down    error
	now     time.Time
}

const authorityURL = "http://crt.r2m01.amazontrust.com/r2m01.cer"

// issue makes a certificate; without an issuer it is its own.
func issue(t testing.TB, c *x509.Certificate, by *x509.Certificate, with *rsa.PrivateKey) (*x509.Certificate, *rsa.PrivateKey) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if by == nil {
		by, with = c, key
	}
	c.SerialNumber = big.NewInt(1)
	der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, with)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c, key
}

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// selfSigned has a certificate that nobody vouches for, and that names nobody who does.
func selfSigned(t testing.TB, from, until time.Time) *amazon {
	t.Helper()
	a := newAmazon(t, "sns.amazonaws.com", from, until)
	c := snsCert("sns.amazonaws.com", from, until)
	c.IssuingCertificateURL, c.Subject.Organization = nil, []string{"Amazon"}
	own, key := issue(t, c, nil, nil)
	a.key, a.cert = key, pemOf(own)
	return a
}

func authority(name, organization string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name, Organization: []string{organization}}, NotBefore: hookTime.AddDate(-1, 0, 0), NotAfter: hookTime.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
}

// snsCert is a certificate as SNS has one.
func snsCert(name string, from, until time.Time) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IssuingCertificateURL: []string{authorityURL}}
}

func newAmazon(t testing.TB, name string, from, until time.Time) *amazon {
	t.Helper()
	return newAmazonOf(t, "Amazon", snsCert(name, from, until))
}

// newAmazonOf has an authority of some organisation, and any certificate.
func newAmazonOf(t testing.TB, organization string, c *x509.Certificate) *amazon {
	t.Helper()
	root, top := issue(t, authority("Root CA 1", organization), nil, nil)
	above, middle := issue(t, authority("RSA 2048 M01", organization), root, top)
	cert, key := issue(t, c, above, middle)
	a := &amazon{key: key, cert: pemOf(cert), above: above.Raw, roots: x509.NewCertPool(), now: hookTime}
	a.roots.AddCert(root)
	return a
}

// reader is a reader of what it signs.
func (a *amazon) reader(t testing.TB) *mail.SESEvents {
	t.Helper()
	events, err := mail.NewSESEvents(topic, func() time.Time { a.mu.Lock(); defer a.mu.Unlock(); return a.now })
	if err != nil {
		t.Fatal(err)
	}
	events.Roots = a.roots
	events.Fetch = func(_ context.Context, address string) ([]byte, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.fetched = append(a.fetched, address)
		if address == authorityURL {
			return a.above, a.down
		}
		return a.cert, a.down
	}
	return events
}

// sign signs a message as SNS does.
func (a *amazon) sign(t testing.TB, m map[string]string) map[string]string {
	t.Helper()
	names := []string{"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"}
	if m["Type"] != "Notification" {
		names = []string{"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
	}
	text := ""
	for _, n := range names {
		if v, ok := m[n]; ok {
			text += n + "\n" + v + "\n"
		}
	}
	var (
		signature []byte
		err       error
	)
	if m["SignatureVersion"] == "1" {
		sum := sha1.Sum([]byte(text))
		signature, err = rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA1, sum[:])
	} else {
		sum := sha256.Sum256([]byte(text))
		signature, err = rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, sum[:])
	}
	if err != nil {
		t.Fatal(err)
	}
	m["Signature"] = base64.StdEncoding.EncodeToString(signature)
	return m
}

// notification is a message about a bounce, not signed yet.
func notification(version, says string) map[string]string {
	return map[string]string{"Type": "Notification", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": topic, "Subject": "Amazon SES Email Event Notification",
		"Message": says, "Timestamp": "2026-03-02T08:59:58.655Z", "SignatureVersion": version, "SigningCertURL": certURL}
}

func posted(t testing.TB, m map[string]string) []byte {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ses is a notification of SES.
func ses(kind, says string) string {
	return fmt.Sprintf(`{"notificationType":"%s",%s,"mail":{"messageId":"0102-000000","destination":["ann@buyer.example"],"commonHeaders":{"messageId":"<%s>"}}}`, kind, says, letterID)
}

const gone = `"bounce":{"bounceType":"Permanent","bounceSubType":"General","bouncedRecipients":[{"emailAddress":"Ann@buyer.example","status":"5.1.1","action":"failed"}]}`

func TestWhatSESPublishesIsReadInBothWaysOfSigning(t *testing.T) {
	t.Parallel()
	a := newAmazon(t, "sns.amazonaws.com", hookTime.Add(-time.Hour), hookTime.Add(time.Hour))
	events := a.reader(t)
	ann := []portal.Email{"ann@buyer.example"}
	bounce := func(kind, sub, status string) string {
		return ses("Bounce", fmt.Sprintf(`"bounce":{"bounceType":"%s","bounceSubType":"%s","bouncedRecipients":[{"emailAddress":"ann@buyer.example","status":"%s"}]}`, kind, sub, status))
	}
	for name, c := range map[string]struct {
		says string
		want []mail.Report
	}{
		"no such user":     {ses("Bounce", gone), []mail.Report{{Dead: true, Status: "5.1.1"}}},
		"published":        {strings.Replace(ses("Bounce", gone), "notificationType", "eventType", 1), []mail.Report{{Dead: true, Status: "5.1.1"}}},
		"original headers": {strings.Replace(ses("Bounce", gone), `"commonHeaders":{"messageId":"<`+letterID+`>"}`, `"headers":[{"name":"From","value":"a"},{"name":"Message-ID","value":"<`+letterID+`>"}]`, 1), []mail.Report{{Dead: true, Status: "5.1.1"}}},
		"no code":          {bounce("Permanent", "General", ""), []mail.Report{{Dead: true}}},
		"a policy":         {bounce("Permanent", "General", "5.7.1"), []mail.Report{{Status: "5.7.1"}}},
		"their list":       {bounce("Permanent", "OnAccountSuppressionList", ""), []mail.Report{{Dead: true, Status: "on the provider's own list"}}},
		"a full mailbox":   {bounce("Transient", "MailboxFull", "5.1.1"), []mail.Report{{Status: "5.1.1"}}},
		"nobody knows":     {bounce("Undetermined", "Undetermined", ""), []mail.Report{{}}},
		"a complaint":      {ses("Complaint", `"complaint":{"complaintFeedbackType":"abuse","complainedRecipients":[{"emailAddress":"ann@buyer.example"}]}`), []mail.Report{{Complaint: true}}},
		"it is wanted":     {ses("Complaint", `"complaint":{"complaintFeedbackType":"not-spam","complainedRecipients":[{"emailAddress":"ann@buyer.example"}]}`), []mail.Report{{}}},
		"arrived":          {ses("Delivery", `"delivery":{}`), nil},
		"plain words":      {"Successfully validated SNS topic for Amazon SES event publishing.", nil},
	} {
		for _, version := range []string{"1", "2"} {
			for i := range c.want {
				c.want[i].MessageID, c.want[i].Recipients = letterID, ann
			}
			got, err := events.Read(t.Context(), nil, posted(t, a.sign(t, notification(version, c.says))))
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s, signed by %s: %+v, %v\nwant %+v", name, version, got, err, c.want)
			}
		}
	}
	plain := notification("2", ses("Bounce", gone))
	delete(plain, "Subject")
	if got, err := events.Read(t.Context(), nil, posted(t, a.sign(t, plain))); err != nil || len(got) != 1 {
		t.Errorf("without a subject: %+v, %v", got, err)
	}
	if want := []string{certURL, authorityURL}; !slices.Equal(a.fetched, want) {
		t.Errorf("fetched: %q", a.fetched)
	}
}

func TestNoFieldOfASignedMessageCanBeChanged(t *testing.T) {
	t.Parallel()
	a := newAmazon(t, "sns.amazonaws.com", hookTime.Add(-time.Hour), hookTime.Add(time.Hour))
	stranger := newAmazon(t, "sns.amazonaws.com", hookTime.Add(-time.Hour), hookTime.Add(time.Hour))
	events := a.reader(t)
	subscribe := map[string]string{"Type": "SubscriptionConfirmation", "MessageId": "1", "Token": "t", "TopicArn": topic, "Message": "You have chosen",
		"SubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=" + topic + "&Token=t", "Timestamp": "2026-03-02T08:59:58.655Z", "SignatureVersion": "2", "SigningCertURL": certURL}
	for _, m := range []map[string]string{notification("1", ses("Bounce", gone)), notification("2", ses("Bounce", gone)), subscribe} {
		a.sign(t, m)
		for field := range m {
			for how, change := range map[string]func(string) string{"longer": func(s string) string { return s + "1" }, "empty": func(string) string { return "" }} {
				if field == "SigningCertURL" && how == "longer" { // it names the same host and another certificate, or none
					continue
				}
				wrong := map[string]string{}
				for k, v := range m {
					wrong[k] = v
				}
				wrong[field] = change(m[field])
				if got, err := events.Read(t.Context(), nil, posted(t, wrong)); !errors.Is(err, mail.ErrUnsigned) || got != nil {
					t.Errorf("%s: %s is %s: %+v, %v", m["Type"], field, how, got, err)
				}
			}
		}
		if m["Type"] == "Notification" {
			without := notification(m["SignatureVersion"], m["Message"])
			without["Signature"] = m["Signature"]
			delete(without, "Subject")
			if _, err := events.Read(t.Context(), nil, posted(t, without)); !errors.Is(err, mail.ErrUnsigned) {
				t.Errorf("the subject is gone: %v", err)
			}
		}
	}
	for name, m := range map[string]map[string]string{
		"a stranger's key":    stranger.sign(t, notification("2", ses("Bounce", gone))),
		"another topic":       a.sign(t, changed(notification("2", "x"), "TopicArn", "arn:aws:sns:eu-central-1:999999999999:portal-mail")),
		"another version":     a.sign(t, changed(notification("2", "x"), "SignatureVersion", "3")),
		"another kind":        a.sign(t, changed(notification("2", "x"), "Type", "Confirmation")),
		"three hours old":     a.sign(t, changed(notification("2", "x"), "Timestamp", "2026-03-02T05:59:58Z")),
		"of tomorrow":         a.sign(t, changed(notification("2", "x"), "Timestamp", "2026-03-03T09:00:00Z")),
		"no time":             a.sign(t, changed(notification("2", "x"), "Timestamp", "yesterday")),
		"nothing but a topic": {"TopicArn": topic},
	} {
		if got, err := events.Read(t.Context(), nil, posted(t, m)); !errors.Is(err, mail.ErrUnsigned) || got != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if len(a.fetched) != 2 { // the certificate, and the one above it
		t.Errorf("fetched: %q", a.fetched)
	}
}

func changed(m map[string]string, field, value string) map[string]string {
	m[field] = value
	return m
}

// The oldest attack: the forger names a certificate of their own.
func TestACertificateIsFetchedFromTheTopicsOwnHostOnly(t *testing.T) {
	t.Parallel()
	a := newAmazon(t, "sns.amazonaws.com", hookTime.Add(-time.Hour), hookTime.Add(time.Hour))
	events := a.reader(t)
	for _, address := range []string{
		"http://sns.eu-central-1.amazonaws.com/x.pem", "https://sns.eu-central-1.amazonaws.com.evil.example/x.pem", "https://sns.eu-central-1.amazonaws.com@evil.example/x.pem",
		"https://evil.example/sns.eu-central-1.amazonaws.com/x.pem", "https://evil.example#sns.eu-central-1.amazonaws.com/x.pem", "https://sns.eu-central-1.amazonaws.com:8443/x.pem",
		"https://sns.us-east-1.amazonaws.com/x.pem", "https:" + "//bucket.s3.eu-central-1.amazonaws.com/x.pem", "https://sns.eu-central-1.amazonaws.com/x.pem?x", "https://sns.eu-central-1.amazonaws.com/x.txt",
		"https://sns.eu-central-1.amazonaws.com/../x.pem", "https://sns.eu-central-1.amazonaws.com\\@evil.example/x.pem", "https:" + "//snsxeu-central-1.amazonaws.com/x.pem", "https://sns.eu-central-1.amazonaws.com/x.pem\n", "//sns.eu-central-1.amazonaws.com/x.pem",
		"HTTPS://sns.eu-central-1.amazonaws.com/x.pem", "https://user@sns.eu-central-1.amazonaws.com/x.pem", "file:///etc/x.pem", "",
	} {
		if _, err := events.Read(t.Context(), nil, posted(t, a.sign(t, changed(notification("2", "x"), "SigningCertURL", address)))); !errors.Is(err, mail.ErrUnsigned) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if len(a.fetched) != 0 {
		t.Errorf("fetched: %q", a.fetched)
	}
}

// A certificate that cannot be had now is no forgery: SNS asks again. A stranger cannot have us ask without end.
func TestFetchingCertificatesIsBounded(t *testing.T) {
	t.Parallel()
	a := newAmazon(t, "sns.amazonaws.com", hookTime.Add(-time.Hour), hookTime.Add(time.Hour))
	events := a.reader(t)
	a.down = errors.New("no route")
	body := posted(t, a.sign(t, notification("2", ses("Bounce", gone))))
	if _, err := events.Read(t.Context(), nil, body); !errors.Is(err, mail.ErrNotNow) {
		t.Errorf("unreachable: %v", err)
	}
	a.down = nil
	for i := range 100 {
		forged := changed(notification("2", "x"), "SigningCertURL", fmt.Sprintf("https://sns.eu-central-1.amazonaws.com/%d.pem", i))
		forged["Signature"] = "AAAA"
		if _, err := events.Read(t.Context(), nil, posted(t, forged)); err == nil {
			t.Error("forged and read")
		}
	}
	if n := len(a.fetched); n > 6 {
		t.Errorf("%d certificates were fetched in a minute", n)
	}
	a.mu.Lock()
	a.now = a.now.Add(time.Minute)
	a.mu.Unlock()
	if got, err := events.Read(t.Context(), nil, body); err != nil || len(got) != 1 {
		t.Errorf("a minute later: %+v, %v", got, err)
	}
}

func TestASubscriptionIsConfirmedOnceAndAtTheTopicsHostOnly(t *testing.T) {
	t.Parallel()
	a := newAmazon(t, "sns.amazonaws.com", hookTime.Add(-time.Hour), hookTime.Add(time.Hour))
	events := a.reader(t)
	const right = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=" + topic + "&Token=2336412f"
	message := func(address string) []byte {
		return posted(t, a.sign(t, map[string]string{"Type": "SubscriptionConfirmation", "MessageId": "165545c9", "Token": "2336412f", "TopicArn": topic, "Message": "You have chosen",
			"SubscribeURL": address, "Timestamp": "2026-03-02T08:59:58.655Z", "SignatureVersion": "1", "SigningCertURL": certURL}))
	}
	for _, address := range []string{"http://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=" + topic + "&Token=t", strings.Replace(right, ".com/", ".com.evil.example/", 1), strings.Replace(right, "https://", "https://x@", 1),
		strings.Replace(right, "ConfirmSubscription", "DeleteTopic", 1), strings.Replace(right, "portal-mail", "another", 1), right + "&Action=DeleteTopic", strings.Replace(right, "?", "?Action=DeleteTopic&", 1), strings.Replace(right, "/?", "/x?", 1), right + "#x"} {
		if _, err := events.Read(t.Context(), nil, message(address)); !errors.Is(err, mail.ErrUnsigned) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if len(a.fetched) != 2 { // the certificate, and the one above it
		t.Errorf("fetched: %q", a.fetched)
	}
	for range 3 {
		if got, err := events.Read(t.Context(), nil, message(right)); err != nil || got != nil {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if len(a.fetched) != 3 || a.fetched[2] != right {
		t.Errorf("fetched: %q", a.fetched)
	}
}

func TestATopicIsNamedAsAmazonNamesIt(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "portal-mail", "arn:aws:sqs:eu-central-1:123456789012:x", "arn:aws:sns:eu-central-1.evil.example/:123456789012:x", "arn:aws:sns:eu-central-1:123456789012:x:subscription", topic + "\n"} {
		if _, err := mail.NewSESEvents(bad, time.Now); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestADocumentIsFetchedOverTLSWithoutRedirectsAndNotWithoutEnd(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	defer untrusted.Close()
	for _, address := range []string{plain.URL, untrusted.URL, "ftp://x", "::", strings.Replace(plain.URL, "://", "://crt.r2m01.amazontrust.com@", 1) + "/r2m01.cer"} {
		if b, err := mail.FetchFrom(t.Context(), address); err == nil {
			t.Errorf("%s: %q", address, b)
		}
	}
}

func FuzzSESEvents(f *testing.F) {
	a := newAmazon(f, "sns.amazonaws.com", hookTime.Add(-time.Hour), hookTime.Add(time.Hour))
	events := a.reader(f)
	f.Add(string(posted(f, a.sign(f, changed(notification("2", "x"), "Signature", "")))), ses("Bounce", gone))
	f.Add(`{"TopicArn":"`+topic+`"}`, ses("Complaint", `"complaint":{}`))
	f.Fuzz(func(t *testing.T, raw, says string) {
		if got, err := events.Read(t.Context(), nil, []byte(raw)); got != nil && !strings.Contains(raw, `"Signature"`) {
			t.Errorf("unsigned, and yet %+v, %v", got, err)
		}
		if strings.ToValidUTF8(says, "") != says { // JSON could not carry it
			return
		}
		got, err := events.Read(t.Context(), nil, posted(t, a.sign(t, notification("2", says))))
		if err != nil {
			t.Errorf("%v", err)
		}
		usable(t, got, err)
	})
}
