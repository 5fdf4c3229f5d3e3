package mail

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Events reads what a provider sends to us about mails of ours, once it is sure that the provider has sent it.
type Events interface {
	// Read checks who has signed a request and returns what it reports; header gives the request's by name. Its error is
	// ErrUnsigned when nobody vouches for the request, and ErrNotNow when the same request may be taken later.
	Read(ctx context.Context, header func(string) string, body []byte) ([]Report, error)
}

// The reasons for which an event is not taken. ErrVouching is said beside ErrUnsigned: what lies where the provider keeps
// its certificate is not to be believed, whatever a request says.
var (
	ErrUnsigned = errors.New("not signed by the provider, or not lately")
	ErrVouching = errors.New("nobody whom the machine trusts vouches for the provider's certificate")
	ErrNotNow   = errors.New("it cannot be seen now who has signed it")
)

// eventClock is how far a request's time may be from ours: what was signed once is no key to this door for ever.
const eventClock = 10 * time.Minute

// SendGridEvents reads the signed Event Webhook of SendGrid.
type SendGridEvents struct {
	Key *ecdsa.PublicKey
	Now func() time.Time
}

// ParseSendGridKey reads the verification key as SendGrid shows it: DER in base64, or the same as PEM.
func ParseSendGridKey(s string) (*ecdsa.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s))
	if block, _ := pem.Decode([]byte(s)); block != nil {
		der, err = block.Bytes, nil
	}
	if err != nil {
		return nil, errors.New("is neither base64 nor PEM; copy the verification key that SendGrid shows beside the webhook")
	}
	any, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errors.New("is no public key; copy the verification key that SendGrid shows beside the webhook")
	}
	key, ok := any.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("is not a key of the curve P-256, which SendGrid signs with")
	}
	return key, nil
}

// The headers of SendGrid's signature.
const (
	sendGridSignature = "X-Twilio-Email-Event-Webhook-Signature"
	sendGridTimestamp = "X-Twilio-Email-Event-Webhook-Timestamp"
)

// Read checks the signature over time and body, and then reads the body.
func (s *SendGridEvents) Read(_ context.Context, header func(string) string, body []byte) ([]Report, error) {
	stamp := header(sendGridTimestamp)
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || s.Now().Sub(time.Unix(seconds, 0)).Abs() > eventClock {
		return nil, ErrUnsigned
	}
	signature, err := base64.StdEncoding.DecodeString(header(sendGridSignature))
	if err != nil {
		return nil, ErrUnsigned
	}
	h := sha256.New()
	h.Write([]byte(stamp))
	h.Write(body)
	if !ecdsa.VerifyASN1(s.Key, h.Sum(nil), signature) {
		return nil, ErrUnsigned
	}
	return readSendGrid(body)
}

// sendGridEvent is what we look at of one event.
type sendGridEvent struct {
	Event  string `json:"event"`
	Type   string `json:"type"`
	Email  string `json:"email"`
	Status string `json:"status"`
	Reason string `json:"reason"`
	Class  string `json:"bounce_classification"`
	SMTPID string `json:"smtp-id"` // our Message-ID, which reports that come late do not have
	Letter string `json:"portalgate_letter"`
}

// sendGridLetter is the argument by which each mail's Message-ID comes back with every event about it.
const sendGridLetter = "portalgate_letter"

// readSendGrid reads a list of events. One that cannot be read says nothing, and spoils none of the others.
func readSendGrid(body []byte) (out []Report, err error) {
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("reading events: %w", err)
	}
	for _, raw := range list {
		var e sendGridEvent
		if json.Unmarshal(raw, &e) != nil {
			continue
		}
		if r, ok := e.report(); ok {
			out = append(out, r)
		}
	}
	return out, nil
}

// The provider's own lists of addresses that it sends nothing to.
const onTheirList = "on the provider's own list"

// report is an event as a report; false when it is about neither a bounce nor a complaint.
func (e sendGridEvent) report() (r Report, ok bool) {
	if r.MessageID = ourID(e.Letter); r.MessageID == "" {
		r.MessageID = ourID(e.SMTPID)
	}
	r.names(e.Email)
	switch {
	case e.Event == "spamreport", e.Event == "dropped" && e.Reason == "Spam Reporting Address":
		r.Complaint = true
	case e.Event == "dropped" && e.Reason == "Bounced Address":
		r.Dead, r.Status = true, onTheirList
	case e.Event == "bounce":
		r.Status = statusForm.FindString(e.Status)
		of := []string{"", "Invalid Address", "Unclassified"}
		r.Dead = e.Type == "bounce" && (dead(r.Status) || silent(r.Status) && slices.Contains(of, e.Class))
	default:
		return Report{}, false
	}
	return r, true
}

// silent says whether a status does not say what is wrong with the mailbox, so that the provider's word decides.
func silent(status string) bool { return status == "" || status == "5.0.0" }

// ourID is a Message-ID as we make them, without its brackets; empty when it is none.
func ourID(s string) string {
	if s = strings.Trim(strings.TrimSpace(s), "<>"); messageID.MatchString(s) {
		return s
	}
	return ""
}

// sesEvent is what we look at of a notification, or of a published event, of Amazon SES.
type sesEvent struct {
	Notification string `json:"notificationType"`
	Event        string `json:"eventType"`
	Mail         struct {
		Common struct {
			ID string `json:"messageId"`
		} `json:"commonHeaders"`
		Headers []struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		} `json:"headers"`
	} `json:"mail"`
	Bounce struct {
		Type       string `json:"bounceType"`
		Kind       string `json:"bounceSubType"`
		Recipients []struct {
			Email  string `json:"emailAddress"`
			Status string `json:"status"`
		} `json:"bouncedRecipients"`
	} `json:"bounce"`
	Complaint struct {
		Kind       string `json:"complaintSubType"`
		Feedback   string `json:"complaintFeedbackType"`
		Recipients []struct {
			Email string `json:"emailAddress"`
		} `json:"complainedRecipients"`
	} `json:"complaint"`
}

// readSES reads one notification. SES gives each mail a Message-ID of its own; ours stands in the original's headers.
func readSES(text string) (out []Report, err error) {
	var e sesEvent
	if json.Unmarshal([]byte(text), &e) != nil {
		return nil, nil // SES says in plain words that it has taken a topic into use
	}
	r := Report{MessageID: ourID(e.Mail.Common.ID)}
	for _, h := range e.Mail.Headers {
		if r.MessageID == "" && strings.EqualFold(h.Name, "Message-ID") {
			r.MessageID = ourID(h.Value)
		}
	}
	switch kind := e.Notification + e.Event; kind {
	case "Bounce":
		for _, to := range e.Bounce.Recipients {
			r.names(to.Email)
			r.Status = statusForm.FindString(to.Status)
			r.Dead = r.Dead || e.Bounce.Type == "Permanent" && (dead(r.Status) || silent(r.Status))
		}
		if e.Bounce.Type == "Permanent" && slices.Contains([]string{"NoEmail", "Suppressed", "OnAccountSuppressionList"}, e.Bounce.Kind) {
			r.Dead = true
			if e.Bounce.Kind != "NoEmail" {
				r.Status = onTheirList
			}
		}
	case "Complaint":
		for _, to := range e.Complaint.Recipients {
			r.names(to.Email)
		}
		r.Complaint = slices.Contains([]string{"", "abuse"}, e.Complaint.Feedback)
	default:
		return nil, nil
	}
	return []Report{r}, nil
}
