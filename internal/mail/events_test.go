package mail_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
)

var hookTime = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// sendGrid is a reader of events, and the provider that signs them.
func sendGrid(t testing.TB) (*mail.SendGridEvents, func(at time.Time, body string) map[string]string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public, err := mail.ParseSendGridKey(base64.StdEncoding.EncodeToString(der) + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return &mail.SendGridEvents{Key: public, Now: func() time.Time { return hookTime }}, func(at time.Time, body string) map[string]string {
		stamp := fmt.Sprint(at.Unix())
		sum := sha256.Sum256([]byte(stamp + body))
		signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{"X-Twilio-Email-Event-Webhook-Signature": base64.StdEncoding.EncodeToString(signature), "X-Twilio-Email-Event-Webhook-Timestamp": stamp}
	}
}

func header(h map[string]string) func(string) string {
	return func(name string) string { return h[name] }
}

func TestSendGridsEventsAreReadAndOnlyWhatEndsAMailboxIsDead(t *testing.T) {
	t.Parallel()
	events, sign := sendGrid(t)
	ann := []portal.Email{"ann@buyer.example"}
	for name, c := range map[string]struct {
		event string
		want  []mail.Report
	}{
		"no such user":              {`"event":"bounce","type":"bounce","status":"5.1.1"`, []mail.Report{{Dead: true, Status: "5.1.1"}}},
		"a code without a meaning":  {`"event":"bounce","type":"bounce","status":"5.0.0","bounce_classification":"Invalid Address"`, []mail.Report{{Dead: true, Status: "5.0.0"}}},
		"no code at all":            {`"event":"bounce","type":"bounce"`, []mail.Report{{Dead: true}}},
		"our reputation":            {`"event":"bounce","type":"bounce","status":"5.0.0","bounce_classification":"Reputation"`, []mail.Report{{Status: "5.0.0"}}},
		"a mailbox is full":         {`"event":"bounce","type":"bounce","status":"5.2.2"`, []mail.Report{{Status: "5.2.2"}}},
		"blocked":                   {`"event":"bounce","type":"blocked","status":"5.1.1"`, []mail.Report{{Status: "5.1.1"}}},
		"gave up":                   {`"event":"bounce","type":"expired","status":"4.4.7"`, []mail.Report{{Status: "4.4.7"}}},
		"on their list":             {`"event":"dropped","reason":"Bounced Address"`, []mail.Report{{Dead: true, Status: "on the provider's own list"}}},
		"a complaint":               {`"event":"spamreport"`, []mail.Report{{Complaint: true}}},
		"a complaint on their list": {`"event":"dropped","reason":"Spam Reporting Address"`, []mail.Report{{Complaint: true}}},
		"dropped for its content":   {`"event":"dropped","reason":"Spam Content"`, nil},
		"later":                     {`"event":"deferred","status":"4.2.2"`, nil},
		"arrived":                   {`"event":"delivered"`, nil},
		"an event of another form":  {`"event":7`, nil},
	} {
		for how, id := range map[string]string{"smtp-id": "<" + letterID + ">", "portalgate_letter": letterID} {
			body := fmt.Sprintf(`[{"email":"Ann@Buyer.example","%s":"%s",%s}]`, how, id, c.event)
			got, err := events.Read(t.Context(), header(sign(hookTime, body)), []byte(body))
			for i := range c.want {
				c.want[i].MessageID, c.want[i].Recipients = letterID, ann
			}
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s by %s: %+v, %v\nwant %+v", name, how, got, err, c.want)
			}
		}
	}
	body := `[{"event":7},{"event":"spamreport","email":"ann@buyer.example","smtp-id":"<` + letterID + `>"},{"event":"bounce","type":"bounce","smtp-id":"<someone@else>\r\n"}]`
	if got, err := events.Read(t.Context(), header(sign(hookTime, body)), []byte(body)); err != nil || len(got) != 2 || got[1].MessageID != "someone@else" {
		t.Errorf("several at once: %+v, %v", got, err)
	}
	if got, err := events.Read(t.Context(), header(sign(hookTime, "{}")), []byte("{}")); err == nil || got != nil {
		t.Errorf("no list: %+v, %v", got, err)
	}
}

func TestWhatSendGridHasNotSignedLatelyIsNotRead(t *testing.T) {
	t.Parallel()
	events, sign := sendGrid(t)
	_, stranger := sendGrid(t)
	const body = `[{"event":"spamreport","email":"ann@buyer.example","smtp-id":"<x@y>"}]`
	right := func() map[string]string { return sign(hookTime, body) }
	with := func(change func(h map[string]string)) map[string]string {
		h := right()
		change(h)
		return h
	}
	const signature, stamp = "X-Twilio-Email-Event-Webhook-Signature", "X-Twilio-Email-Event-Webhook-Timestamp"
	for name, c := range map[string]struct {
		header map[string]string
		body   string
	}{
		"no headers":             {nil, body},
		"no signature":           {with(func(h map[string]string) { delete(h, signature) }), body},
		"no time":                {with(func(h map[string]string) { delete(h, stamp) }), body},
		"a byte of the body":     {right(), strings.Replace(body, "ann", "bob", 1)},
		"a space behind it":      {right(), body + " "},
		"the time a second on":   {with(func(h map[string]string) { h[stamp] = fmt.Sprint(hookTime.Unix() + 1) }), body},
		"a digit moved":          {with(func(h map[string]string) { h[stamp] = "0" + h[stamp] }), body},
		"a signature in pieces":  {with(func(h map[string]string) { h[signature] = h[signature][:20] }), body},
		"a signature of nothing": {with(func(h map[string]string) { h[signature] = "MAYCAQACAQA=" }), body}, // r and s are 0
		"another key":            {stranger(hookTime, body), body},
		"eleven minutes old":     {sign(hookTime.Add(-11*time.Minute), body), body},
		"eleven minutes ahead":   {sign(hookTime.Add(11*time.Minute), body), body},
	} {
		if got, err := events.Read(t.Context(), header(c.header), []byte(c.body)); !errors.Is(err, mail.ErrUnsigned) || got != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, at := range []time.Duration{-9 * time.Minute, 9 * time.Minute} {
		if _, err := events.Read(t.Context(), header(sign(hookTime.Add(at), body)), []byte(body)); err != nil {
			t.Errorf("signed %s from now: %v", at, err)
		}
	}
}

func TestAKeyOfSendGridIsOneOfItsCurve(t *testing.T) {
	t.Parallel()
	encode := func(c elliptic.Curve) []byte {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	right := encode(elliptic.P256())
	for _, ok := range []string{base64.StdEncoding.EncodeToString(right), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: right}))} {
		if _, err := mail.ParseSendGridKey(ok); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	for _, bad := range []string{"", "x", base64.StdEncoding.EncodeToString([]byte("key")), base64.StdEncoding.EncodeToString(encode(elliptic.P384()))} {
		if k, err := mail.ParseSendGridKey(bad); err == nil {
			t.Errorf("%q is taken for %v", bad, k)
		}
	}
}

func FuzzSendGridEvents(f *testing.F) {
	events, sign := sendGrid(f)
	f.Add(`[{"event":"bounce","type":"bounce","status":"5.1.1","email":"ann@buyer.example","smtp-id":"<`+letterID+`>"}]`, "1", "MAYCAQACAQA=")
	f.Add(`[{"event":"dropped","reason":"Bounced Address","email":["a"]}]`, "", "")
	f.Fuzz(func(t *testing.T, body, stamp, signature string) {
		if got, err := events.Read(t.Context(), header(map[string]string{"X-Twilio-Email-Event-Webhook-Signature": signature, "X-Twilio-Email-Event-Webhook-Timestamp": stamp}), []byte(body)); !errors.Is(err, mail.ErrUnsigned) || got != nil {
			t.Errorf("unsigned, and yet %+v, %v", got, err)
		}
		got, err := events.Read(t.Context(), header(sign(hookTime, body)), []byte(body))
		usable(t, got, err)
	})
}

// usable complains about a report that could not be used as it is.
func usable(t *testing.T, got []mail.Report, err error) {
	t.Helper()
	if err != nil && got != nil {
		t.Errorf("%v, and yet %+v", err, got)
	}
	for _, r := range got {
		for _, e := range r.Recipients {
			if again, err := portal.ParseEmail(string(e)); err != nil || again != e {
				t.Errorf("recipient %q", e)
			}
		}
		if len(r.Recipients) > 10 || strings.ContainsAny(r.MessageID, "\r\n<> ") || strings.ContainsAny(r.Status, "\r\n<>") {
			t.Errorf("%+v", r)
		}
	}
}
