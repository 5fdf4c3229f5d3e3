package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/demo/erp"
	"github.com/portalgate/portalgate/internal/testenv"
)

// GQL-01, M19: in front of a backend that executes whatever can be understood somehow, none of the old portal's resolvers
// is reached, nor one that nothing guards: by no disguise, signed in or not. What is named is reached, or the count
// would prove nothing.
func TestTheOldPortalsResolversAreReachedByNobody(t *testing.T) {
	t.Parallel()
	needDemo(t)
	d := startDemo(t)
	at := "http://acme.localhost:" + d.oldPort
	ann, res := d.signIn(t, d.oldPort, "acme", "ann@buyer.example", testenv.Password)
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("signing in: %s", res.Status)
	}
	ask := func(c *http.Client, method, query, kind, coding, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, at+"/graphql"+query, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", at)
		if kind != "" {
			req.Header.Set("Content-Type", kind)
		}
		if coding != "" {
			req.Header.Set("Content-Encoding", coding)
		}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode, readAll(t, res)
	}
	object := func(document string) string { return fmt.Sprintf(`{"query":%q}`, document) }
	const asJSON = "application/json"
	for operation, document := range erp.OldOperations {
		kind, body, _ := strings.Cut(document, "{")
		body = strings.TrimSuffix(strings.TrimSpace(body), "}")
		on := "Mutation"
		if kind = strings.TrimSpace(kind); kind == "" {
			kind, on = "query", "Query"
		}
		for who, c := range map[string]*http.Client{"Ann": ann, "nobody": client(t)} {
			status, said := ask(c, http.MethodPost, "", asJSON, "", object(document))
			switch old := operation != "supplierPrices"; {
			case old && (status != 200 || !strings.Contains(said, `"code":"FORBIDDEN"`) || !strings.Contains(said, `"data":null`) || !strings.Contains(said, at+"/auth/")),
				!old && who == "Ann" && (status != 403 || !strings.Contains(said, `"code":"FORBIDDEN"`)), !old && who == "nobody" && status != 401:
				t.Errorf("%s by %s: %d %s", operation, who, status, said)
			}
			for what, form := range map[string][4]string{
				"by alias":                    {"", asJSON, "", object(kind + " { me: " + body + "}")},
				"in a fragment":               {"", asJSON, "", object(kind + " { ...F } fragment F on " + on + " { ... { ...G } } fragment G on " + on + " { " + body + "}")},
				"as one operation of two":     {"", asJSON, "", fmt.Sprintf(`{"query":%q,"operationName":"A"}`, "query A { me { id } } "+kind+" B { "+body+"}")},
				"behind a carriage return":    {"", asJSON, "", object(kind + " { __typename #\r " + body + "}")},
				"in a list":                   {"", asJSON, "", "[" + object(document) + "]"},
				"under a key that is doubled": {"", asJSON, "", fmt.Sprintf(`{"query":"{me{id}}","query":%q}`, document)},
				"packed":                      {"", asJSON, "gzip", packed(t, object(document))},
				"in UTF-16":                   {"", "application/json; charset=utf-16", "", utf16le(object(document))},
				"by itself":                   {"", "application/graphql", "", document},
				"in the address of a POST":    {"?query=" + url.QueryEscape(document), asJSON, "", object("{ me { id } }")},
				"by its hash":                 {"", asJSON, "", fmt.Sprintf(`{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"%x"}}}`, sha256.Sum256([]byte(document)))},
				"planted under a hash":        {"", asJSON, "", fmt.Sprintf(`{"query":"{ me { id } }","extensions":{"persistedQuery":{"version":1,"sha256Hash":"%x"}}}`, sha256.Sum256([]byte(document)))},
			} {
				if status, said := ask(c, http.MethodPost, form[0], form[1], form[2], form[3]); status == 200 && strings.Contains(said, operation+`"`) {
					t.Errorf("%s %s by %s: %d %s", operation, what, who, status, said)
				}
			}
			ask(c, http.MethodGet, "?query="+url.QueryEscape(document), "", "", "")
			ask(c, http.MethodGet, "?query={me{id}}", asJSON, "", object(document))
			ask(c, http.MethodGet, "?extensions="+url.QueryEscape(fmt.Sprintf(`{"persistedQuery":{"sha256Hash":"%x"}}`, sha256.Sum256([]byte(document)))), "", "", "")
		}
	}
	if status, said := ask(ann, http.MethodPost, "", asJSON, "", object(`mutation { customerUpdateProfile(input: {firstName: "Ann"}) { email } }`)); status != 200 || !strings.Contains(said, `"email":"ann@buyer.example"`) {
		t.Errorf("her profile: %d %s", status, said)
	}
	var reached map[string]int
	if err := json.Unmarshal([]byte(readAll(t, get(t, ann, at+"/reached.json"))), &reached); err != nil {
		t.Fatal(err)
	}
	if len(reached) != 1 || reached["customerUpdateProfile"] != 1 {
		t.Errorf("reached were %v", reached)
	}
}
