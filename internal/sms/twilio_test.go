package sms_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/sms"
)

var digits = strings.Repeat("0123456789abcdef", 2)

func message() sms.Message {
	return sms.Message{ID: "0197f3c2", Slug: "acme", To: "+4915112345678", Text: "123456 is your code.\n\n@acme.example #123456", Within: 9*time.Minute + 500*time.Millisecond}
}

// twilio is a client with this API behind it.
func twilio(t *testing.T, change func(*sms.Twilio), api http.HandlerFunc) *sms.Twilio {
	t.Helper()
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	c := &sms.Twilio{Account: "AC" + digits, Key: "SK" + digits, Secret: "swordfish", From: "+15005550006", BaseURL: server.URL}
	if change != nil {
		change(c)
	}
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// clean fails where an error shows what nobody may read in a log.
func clean(t *testing.T, err error) {
	t.Helper()
	for _, text := range []string{fmt.Sprint(err), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
		for _, secret := range []string{"123456", "15112345678", "swordfish", "acme.example"} {
			if strings.Contains(text, secret) {
				t.Errorf("the error shows %q: %s", secret, text)
			}
		}
	}
}

func TestTwilioIsAskedAsItsAPIWants(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		change       func(*sms.Twilio)
		user         string
		field, value string
	}{
		"with a key":             {nil, "SK" + digits, "From", "+15005550006"},
		"with the token":         {func(c *sms.Twilio) { c.Key = "" }, "AC" + digits, "From", "+15005550006"},
		"by a messaging service": {func(c *sms.Twilio) { c.From, c.Service = "", "MG"+digits }, "SK" + digits, "MessagingServiceSid", "MG" + digits},
	} {
		var asked atomic.Bool
		client := twilio(t, c.change, func(w http.ResponseWriter, r *http.Request) {
			asked.Store(true)
			user, password, _ := r.BasicAuth()
			if r.Method != "POST" || r.URL.Path != "/2010-04-01/Accounts/AC"+digits+"/Messages.json" || user != c.user || password != "swordfish" {
				t.Errorf("%s: %s %s as %s", what, r.Method, r.URL, user)
			}
			m := message()
			if r.FormValue("To") != m.To || r.FormValue("Body") != m.Text || r.FormValue(c.field) != c.value || r.FormValue("ValidityPeriod") != "540" || len(r.PostForm) != 4 {
				t.Errorf("%s: %v", what, r.PostForm)
			}
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"sid": "SM1", "status": "queued", "error_code": null}`)
		})
		if err := client.Send(t.Context(), message()); err != nil || !asked.Load() {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What the API says about one number or one message is for good, what it says about the account can be mended. Its words
// are not repeated: they hold numbers and messages.
func TestTwiliosErrorsAreToldApart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status, code int
		forGood      bool
		says         string
	}{
		{400, 21211, true, "nobody has this number"},
		{400, 21214, true, "cannot be reached"},
		{400, 21610, true, "no more messages"},
		{400, 21614, true, "none that takes messages"},
		{400, 21606, false, "sender"},
		{400, 21408, false, "country"},
		{400, 99999, true, "refuses"},
		{401, 20003, false, "credentials"},
		{403, 20003, false, "credentials"},
		{404, 20404, false, "account"},
		{409, 0, false, "now"},
		{429, 20429, false, "no more messages for the moment"},
		{500, 20500, false, "trouble"},
		{503, 0, false, "trouble"},
		{307, 0, false, "elsewhere"},
		{200, -1, true, "could not send"}, // its own status is "failed"
	} {
		client := twilio(t, nil, func(w http.ResponseWriter, r *http.Request) {
			if c.status == 307 {
				w.Header().Set("Location", "/elsewhere")
			}
			w.WriteHeader(c.status)
			if c.code < 0 {
				fmt.Fprint(w, `{"status": "failed", "error_code": 30008}`)
				return
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"code": c.code, "message": "'+4915112345678' with '123456' to " + r.FormValue("Body"), "more_info": "x"})
		})
		err := client.Send(t.Context(), message())
		if err == nil || errors.Is(err, sms.ErrRejected) != c.forGood || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%d with %d: %v", c.status, c.code, err)
		}
		if c.code > 0 && !strings.Contains(fmt.Sprint(err), fmt.Sprint(c.code)) {
			t.Errorf("%d does not show: %v", c.code, err)
		}
		if sms.Broken(err) == c.forGood {
			t.Errorf("%d with %d: is the provider broken? %v", c.status, c.code, sms.Broken(err))
		}
		clean(t, err)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	client := twilio(t, nil, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusPermanentRedirect)
	})
	if err := client.Send(t.Context(), message()); err == nil || errors.Is(err, sms.ErrRejected) {
		t.Errorf("%v", err)
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("the message went elsewhere %d times", n)
	}
}

func TestAProviderThatDoesNotAnswerIsCutOff(t *testing.T) {
	t.Parallel()
	stuck := make(chan struct{})
	client := twilio(t, func(c *sms.Twilio) { c.Wait = 300 * time.Millisecond }, func(http.ResponseWriter, *http.Request) { <-stuck })
	t.Cleanup(func() { close(stuck) })
	began := time.Now()
	err := client.Send(t.Context(), message())
	if took := time.Since(began); err == nil || errors.Is(err, sms.ErrRejected) || took > 10*time.Second {
		t.Errorf("after %s: %v", took, err)
	}
	clean(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := client.Send(ctx, message()); err == nil || errors.Is(err, sms.ErrRejected) {
		t.Errorf("nobody waits: %v", err)
	}
}

// An answer that has no end is read no further, and one that breaks off after a yes is a yes: the message is not sent
// twice.
func TestAnAnswerIsReadToABound(t *testing.T) {
	t.Parallel()
	client := twilio(t, nil, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusCreated)
		piece := strings.Repeat("x", 64<<10)
		for {
			if _, err := fmt.Fprint(w, piece); err != nil {
				return // whoever asked has read enough
			}
		}
	})
	if err := client.Send(t.Context(), message()); err != nil {
		t.Errorf("without an end: %v", err)
	}
	client = twilio(t, nil, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"sid"`)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	if err := client.Send(t.Context(), message()); err != nil {
		t.Errorf("broken off: %v", err)
	}
}

func TestAWayWithoutTLSIsRefused(t *testing.T) {
	t.Parallel()
	for address, fine := range map[string]bool{
		"": true, "https://api.dublin.ie1.example": true, "http://127.0.0.1:1": true, "http://[::1]:1": true, "http://localhost:1": true,
		"http://api.example": false, "http://127.0.0.1.example": false, "ftp://127.0.0.1": false, "https://user:pass@api.example": false, "api.example": false, "//api.example": false, "%": false,
	} {
		c := &sms.Twilio{Account: "AC" + digits, Secret: "x", From: "Acme", BaseURL: address}
		if err := c.Open(); (err == nil) != fine {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestTheCertificateIsVerified(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	c := &sms.Twilio{Account: "AC" + digits, Secret: "swordfish", From: "Acme", BaseURL: server.URL}
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Send(t.Context(), message()); err == nil || errors.Is(err, sms.ErrRejected) || asked.Load() != 0 {
		t.Errorf("a certificate that nobody vouches for: %v, asked %d times", err, asked.Load())
	}
}

func TestTwiliosSettingsAreJudged(t *testing.T) {
	t.Parallel()
	for field, c := range map[string]sms.Twilio{
		"account": {Account: "SK" + digits, From: "Acme"},
		"key":     {Account: "AC" + digits, Key: "SK1", From: "Acme"},
		"service": {Account: "AC" + digits, Service: "MG" + digits + "0"},
		"from":    {Account: "AC" + digits, From: "a name too long"},
		"":        {Account: "AC" + digits, From: "Acme", Service: "MG" + digits},
	} {
		err := c.Open()
		var wrong *sms.FieldError
		if !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("%q: %v", field, err)
		}
	}
}

func TestAMessageAndASecretDoNotPrint(t *testing.T) {
	t.Parallel()
	c := sms.Twilio{Secret: "swordfish"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, v := range []any{message(), &sms.Failure{Provider: "x"}, c.Secret, []sms.Message{message()}} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, "123456") || strings.Contains(got, "swordfish") || strings.Contains(got, "15112345678") {
				t.Errorf("%s prints %s", verb, got)
			}
		}
	}
	if b, err := json.Marshal(c); err != nil || strings.Contains(string(b), "swordfish") {
		t.Errorf("%s, %v", b, err)
	}
}

func TestWhatNobodyIsAskedToCarryIsRefusedForGood(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*sms.Message){
		"no plus":            func(m *sms.Message) { m.To = "4915112345678" },
		"a nought in front":  func(m *sms.Message) { m.To = "+04915112345678" },
		"two numbers":        func(m *sms.Message) { m.To = "+4915112345678,+15005550006" },
		"a line break":       func(m *sms.Message) { m.To += "\n" },
		"other digits":       func(m *sms.Message) { m.To = "+49151١٢٣٤٥٦٧٨" },
		"too long a number":  func(m *sms.Message) { m.To = "+1234567890123456" },
		"an address":         func(m *sms.Message) { m.To = "ann@buyer.example" },
		"nothing to say":     func(m *sms.Message) { m.Text = "" },
		"no end of it":       func(m *sms.Message) { m.Text = strings.Repeat("x", sms.Longest+1) },
		"a control sign":     func(m *sms.Message) { m.Text = "x\x1b[2J" },
		"no text":            func(m *sms.Message) { m.Text = "\xff" },
		"nothing to tell by": func(m *sms.Message) { m.ID = "" },
	} {
		m := message()
		change(&m)
		if err := m.Check(); !errors.Is(err, sms.ErrRejected) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := message().Check(); err != nil {
		t.Error(err)
	}
}
