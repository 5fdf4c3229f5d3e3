package sms_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/sms"
)

const shared = "kX4v0tq9Zb2Wm7Ls1Dg8Hy3Nc6Rf5Pj0"

func webhook(t *testing.T, receive http.HandlerFunc) *sms.Webhook {
	t.Helper()
	server := httptest.NewServer(receive)
	t.Cleanup(server.Close)
	key, err := secret.NewSigner(shared)
	if err != nil {
		t.Fatal(err)
	}
	w := &sms.Webhook{URL: server.URL + "/send?token=in-the-address", Key: key, Now: func() time.Time { return time.Unix(1774000000, 0) }}
	if err := w.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func TestAWebhookIsHandedASignedMessage(t *testing.T) {
	t.Parallel()
	var body []byte
	var header http.Header
	w := webhook(t, func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header
		body, _ = io.ReadAll(r.Body)
	})
	if err := w.Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal(body, &got); err != nil || len(got) != 4 || got["id"] != "0197f3c2" || got["to"] != "+4915112345678" || got["text"] != message().Text || got["tenant"] != "acme" {
		t.Errorf("%s, %v", body, err)
	}
	// Verified as docs/sms.md tells receivers to.
	at, signature, _ := strings.Cut(strings.TrimPrefix(header.Get(sms.SignatureHeader), "t="), ",v1=")
	m := hmac.New(sha256.New, []byte(shared))
	io.WriteString(m, at+".")
	m.Write(body)
	if at != "1774000000" || signature != hex.EncodeToString(m.Sum(nil)) || header.Get("Content-Type") != "application/json" {
		t.Errorf("the header is %q", header)
	}
}

func TestAWebhooksAnswersAreToldApart(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{
		200: "taken", 202: "taken", 204: "taken",
		400: "for good", 410: "for good", 422: "for good",
		401: "later", 403: "later", 404: "later", 405: "later", 408: "later", 409: "later", 425: "later", 429: "later", 500: "later", 502: "later", 302: "later", 308: "later",
	} {
		w := webhook(t, func(w http.ResponseWriter, r *http.Request) {
			if status/100 == 3 {
				w.Header().Set("Location", "/elsewhere")
			}
			w.WriteHeader(status)
			if status != 204 {
				body, _ := io.ReadAll(r.Body)
				_, _ = w.Write(body)
			}
		})
		err := w.Send(t.Context(), message())
		got := "taken"
		if err != nil {
			got = "later"
		}
		if errors.Is(err, sms.ErrRejected) {
			got = "for good"
		}
		if got != want {
			t.Errorf("%d: %s, %v", status, got, err)
		}
		clean(t, err)
	}
}

func TestAReceiversAddressStaysOutOfErrors(t *testing.T) {
	t.Parallel()
	w := webhook(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	err := w.Send(t.Context(), message())
	if err == nil || strings.Contains(err.Error(), "in-the-address") || errors.Is(err, sms.ErrRejected) {
		t.Errorf("%v", err)
	}
}

func TestASecretThatAnybodyCouldGuessSignsNothing(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "hunter2", strings.Repeat("a", 40), strings.Repeat("abcdef", 8), "your-secret-key-change-in-production", "customer-jwt-secret"} {
		if _, err := secret.NewSigner(key); err == nil {
			t.Errorf("%q is taken", key)
		} else if key != "" && strings.Contains(err.Error(), key) {
			t.Errorf("the error shows it: %v", err)
		}
	}
}
