package sms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// TwilioURL is where Twilio's API is, unless a region's is named.
const TwilioURL = "https://api.twilio.com"

// Twilio sends by Twilio's API for messages, as an API key or with the account's own token.
type Twilio struct {
	Account string // its SID, AC…
	Key     string // SID of an API key, SK…; empty: Secret is the account's token
	Secret  Secret
	From    string // a number, or a name of up to 11 letters and digits
	Service string // SID of a messaging service, MG…, in place of From
	BaseURL string // empty: TwilioURL. Only tests lead elsewhere than to Twilio
	Wait    time.Duration

	Transport http.RoundTripper // of tests; nil: the usual one

	client *http.Client
}

// The forms of Twilio's names.
var (
	twilioSID    = regexp.MustCompile(`^(AC|SK|MG)[0-9a-fA-F]{32}$`)
	twilioSender = regexp.MustCompile(`^[A-Za-z0-9 ]{0,10}[A-Za-z][A-Za-z0-9 ]{0,10}$`)
)

// Open judges the settings and makes the client; it dials nothing. The error is all that is wrong, each naming its field.
func (t *Twilio) Open() error {
	var wrong []error
	say := func(field, format string, a ...any) {
		wrong = append(wrong, &FieldError{field, fmt.Sprintf(format, a...)})
	}
	sid := func(field, v, kind string) {
		if v != "" && !(twilioSID.MatchString(v) && strings.HasPrefix(v, kind)) {
			say(field, "is not like %s and 32 hexadecimal digits", kind)
		}
	}
	sid("account", t.Account, "AC")
	sid("key", t.Key, "SK")
	sid("service", t.Service, "MG")
	switch {
	case (t.From == "") == (t.Service == ""):
		say("", "needs one of `from` and `service`")
	case t.From != "" && !IsNumber(t.From) && !(len(t.From) <= 11 && twilioSender.MatchString(t.From)):
		say("from", "%q is neither a number like +15005550006 nor a name of up to 11 letters and digits", t.From)
	}
	if t.BaseURL == "" {
		t.BaseURL = TwilioURL
	}
	if err := confidential(t.BaseURL); err != nil {
		say("url", "%v", err)
	}
	t.client = client(t.Transport, t.Wait)
	return errors.Join(wrong...)
}

// FieldError is what is wrong with one setting.
type FieldError struct{ Field, Says string }

// Error says it.
func (e *FieldError) Error() string { return strings.TrimSpace(e.Field + " " + e.Says) }

// twilioSays are the errors of Twilio that concern one message or its recipient and that no other try mends, and those
// that the operator can mend, so that the message waits as long as it is of use.
var twilioSays = map[int]struct {
	text    string
	forGood bool
}{
	21211: {"nobody has this number", true},
	21214: {"the number cannot be reached", true},
	21217: {"nobody has this number", true},
	21219: {"a trial account sends to numbers only that were verified with Twilio", false},
	21265: {"the number is a short code", true},
	21408: {"the account may not send to this country; allow it in Twilio's geographic permissions", false},
	21602: {"the message is empty", true},
	21603: {"the sender is missing", false},
	21606: {"the sender is no number of this account that can send", false},
	21610: {"the owner of the number has asked for no more messages", true},
	21611: {"the sender's queue is full", false},
	21612: {"the number cannot be reached from this sender", true},
	21614: {"the number is none that takes messages", true},
	21617: {"the message is too long", true},
	21212: {"the sender is no number", false},
	21635: {"the number is a landline", true},
	21659: {"the sender is no number of this account", false},
	21660: {"the sender belongs to another account", false},
	21701: {"there is no such messaging service", false},
	21703: {"the messaging service has no sender", false},
	30007: {"a carrier filters the message", true},
	60410: {"Twilio holds back messages to this prefix, because of fraud", true},
}

// Send hands over one message.
func (t *Twilio) Send(ctx context.Context, m Message) error {
	if err := m.Check(); err != nil {
		return fmt.Errorf("twilio: %w", err)
	}
	form := url.Values{"To": {m.To}, "Body": {m.Text}}
	if t.Service != "" {
		form.Set("MessagingServiceSid", t.Service)
	} else {
		form.Set("From", t.From)
	}
	if m.Within > 0 { // what Twilio's queue holds longer than that is not sent at all
		form.Set("ValidityPeriod", strconv.Itoa(int(min(max(m.Within, 10*time.Second), 4*time.Hour)/time.Second)))
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(t.BaseURL, "/")+"/2010-04-01/Accounts/"+t.Account+"/Messages.json", strings.NewReader(form.Encode()))
	if err != nil {
		return errors.New("twilio: its address cannot be read as a URL")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	user := t.Key
	if user == "" {
		user = t.Account
	}
	r.SetBasicAuth(user, string(t.Secret))
	status, body, failed := ask(t.client, "twilio", r)
	if failed == nil {
		failed = t.judge(status, body)
	}
	if failed != nil {
		return failed
	}
	return nil
}

// judge reads an answer.
func (t *Twilio) judge(status int, body []byte) *Failure {
	f := byStatus("twilio", status)
	var said struct {
		Code      int    `json:"code"`
		Status    string `json:"status"`
		ErrorCode int    `json:"error_code"`
	}
	_ = json.Unmarshal(body, &said) // an answer that is none of the API has no code
	switch {
	case f == nil && said.Status != "failed" && said.Status != "undelivered":
		return nil
	case f == nil:
		f, said.Code = &Failure{Provider: "twilio", Status: status, Text: "it could not send the message", Rejected: true}, said.ErrorCode
	}
	f.Code = said.Code
	if known, ok := twilioSays[said.Code]; ok {
		f.Text, f.Rejected = known.text, known.forGood
	}
	return f
}

// Close drops the connections that are kept.
func (t *Twilio) Close() {
	if t.client != nil {
		t.client.CloseIdleConnections()
	}
}
