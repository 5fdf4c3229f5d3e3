package erp

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// The double is alive: in every form in which the old backend takes an operation, each of its resolvers is reached by
// whoever finds a way to it. What a gate is tested with must be something that it could let through.
func TestTheOldPortalsResolversAreReachedInEveryForm(t *testing.T) {
	t.Parallel()
	e, err := Start(Options{OldGuard: &OldGuard{Secret: "w3Rk8sPq0ZxLmN5vT7yBc2dF", Lookup: func(context.Context, string) (OldUser, bool, error) { return OldUser{}, false, nil }}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	at := "http://" + e.Addr() + "/graphql"
	send := func(kind, coding, body string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		if coding != "" {
			req.Header.Set("Content-Encoding", coding)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if b, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || bytes.Contains(b, []byte("Cannot query")) {
			t.Fatalf("%.80q: %d %s, %v", body, res.StatusCode, b, err)
		}
	}
	for operation, document := range OldOperations {
		t.Run(operation, func(t *testing.T) {
			object := fmt.Sprintf(`{"query":%q}`, document)
			var packed bytes.Buffer
			z := gzip.NewWriter(&packed)
			if _, err := io.WriteString(z, object); err != nil || z.Close() != nil {
				t.Fatal(err)
			}
			var wide strings.Builder
			for _, c := range object {
				wide.WriteString(string([]byte{byte(c), 0}))
			}
			before := e.Reached()[operation]
			send("application/json", "", object)
			send("application/json", "", fmt.Sprintf(`{"query":"{__typename}","query":%q}`, document))
			send("application/json", "", "["+object+","+object+"]")
			send("application/json", "gzip", packed.String())
			send("application/json; charset=utf-16", "", wide.String())
			send("application/graphql", "", document)
			send("application/json", "", fmt.Sprintf(`{"extensions":{"persistedQuery":{"sha256Hash":"%x"}}}`, sha256.Sum256([]byte(document))))
			res, err := http.Get(at + "?query=" + url.QueryEscape(document))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if n := e.Reached()[operation] - before; n != 9 {
				t.Errorf("reached %d times of 9", n)
			}
		})
	}
	if len(e.Reached()) != len(OldOperations) {
		t.Errorf("reached were %v", e.Reached())
	}
}
