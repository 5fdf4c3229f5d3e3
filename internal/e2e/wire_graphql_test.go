package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// named is a gate that lets some operations pass; its upstream and its people are those of the others.
func named(t *testing.T) *front {
	t.Helper()
	like := wire(t)
	return newFront(t, frontOptions{like: like, gate: "graphql /api/graphql {\n\t\t\t\tallow myOrders customer*\n\t\t\t}"})
}

// asks is a request to a GraphQL endpoint over plain HTTP.
func (f *front) asks(line, heads, body string) string {
	if !strings.Contains(heads, "Transfer-Encoding") {
		heads += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return line + " HTTP/1.1\r\nHost: acme.localhost:" + f.plain + "\r\n" + f.ownOrigin() + heads + "\r\n" + body
}

func packed(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func utf16le(s string) string {
	var b strings.Builder
	for _, c := range utf16.Encode([]rune(s)) {
		b.WriteByte(byte(c))
		b.WriteByte(byte(c >> 8))
	}
	return b.String()
}

func chunks(s string) string {
	var b strings.Builder
	for _, c := range s {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(string(c)), string(c))
	}
	return b.String() + "0\r\nX-Late: f0rged\r\n\r\n"
}

const inJSON = "Content-Type: application/json\r\n"

// GQL-01, GQL-03: of a request to a GraphQL endpoint the upstream receives what the gate has read, and what is not named
// never, in whatever form it comes.
func TestAGraphQLEndpointIsAskedOnlyWhatIsNamed(t *testing.T) {
	f := named(t)
	const refused, moved, wrong, passes = "403 FORBIDDEN", "200 FORBIDDEN", "400 BAD_REQUEST", ""
	const orders, suppliers = `{"query":"{ myOrders { id } }"}`, `{"query":"{ suppliers(tenantId: \"f0rged\") { id } }"}`
	for _, c := range []struct{ line, heads, body, want, arrives string }{
		{"POST /graphql", inJSON, orders, passes, `{"query":"query{myOrders{id}}"}`},
		{"POST /graphql", "Content-Type: application/json;charset=UTF-8\r\n", "{ \"query\" : \"query A($f: F) { # f0rged\\n myOrders(f: $f) { id } }\", \"operationName\":\"A\",\"variables\":{ \"f\" : 1.0 }, \"extensions\": \"f0rged\", \"Query\": \"f0rged\" }", passes, `{"query":"query A($f:F){myOrders(f:$f){id}}","operationName":"A","variables":{"f":1.0}}`},
		{"POST /GraphQL/x?query={suppliers}&f0rged", inJSON, orders, passes, `{"query":"query{myOrders{id}}"}`},
		{"POST /api/graphql", inJSON + "Transfer-Encoding: chunked\r\nTrailer: X-Late\r\n", chunks(orders), passes, `{"query":"query{myOrders{id}}"}`},
		{"POST /graphql", inJSON + "Content_Type: f0rged\r\nContent_Encoding: f0rged\r\nContent-Language: f0rged\r\nDigest: f0rged\r\nExpect: 100-continue\r\n", orders, passes, `{"query":"query{myOrders{id}}"}`},
		{"POST /graphql", inJSON, `{"query":"mutation { customerUpdateProfile(input: {name: \"x\"}) { id } }"}`, passes, `{"query":"mutation{customerUpdateProfile(input:{name:\"x\"}){id}}"}`},
		{"GET /graphql?query=%7B+myOrders+%7B+id+%7D+%7D&extensions=%7B%7D&f0rged", "", "", passes, ""},
		{"GET /graphql?query={myOrders{id}}", inJSON, suppliers, passes, ""},
		{"POST /graphql", inJSON, suppliers, refused, ""},
		{"POST /graphql/", inJSON, suppliers, refused, ""},
		{"POST /%67raphQL;x", inJSON, suppliers, refused, ""},
		{"POST /api//graphql", inJSON, suppliers, refused, ""},
		{"POST /graphql", inJSON, `{"query":"{ myOrders: suppliers { id } }"}`, refused, ""},
		{"POST /graphql", inJSON, `{"query":"{ ...F } fragment F on Query { ... { myOrders { id } ...G } } fragment G on Query { suppliers { id } }"}`, refused, ""},
		{"POST /graphql", inJSON, `{"query":"query A { myOrders { id } } query B { suppliers { id } }","operationName":"A"}`, refused, ""},
		{"POST /graphql", inJSON, `{"query":"subscription { suppliers { id } }"}`, refused, ""},
		{"POST /graphql", inJSON, `{"query":"{ __schema { types { name } } }"}`, refused, ""},
		{"POST /graphql", inJSON, `{"query":"{ myOrders { id } t: __type(name: \"User\") { name } }"}`, refused, ""},
		{"GET /graphql?query={suppliers{id}}", "", "", refused, ""},
		{"GET /graphql?query={__schema{types{name}}}", "Accept: text/html\r\n", "", refused, ""},
		{"POST /graphql", inJSON, `{"query":"mutation { customerLogin(email: \"a\", password: \"b\") { accessToken } }"}`, moved, ""},
		{"POST /graphql", inJSON, `{"query":"mutation { ` + strings.Repeat("a: customerLogin ", 500) + `}"}`, wrong, ""},
		{"POST /graphql", inJSON, `{"query":"mutation { ` + strings.Repeat("customerVerifyMFA ", 500) + `}"}`, moved, ""},
		{"GET /graphql?query=mutation{customerLogout}", "", "", moved, ""},
		{"GET /graphql?query=mutation{customerUpdateProfile{id}}", "", "", "405 BAD_REQUEST", ""},
		{"POST /graphql", inJSON, "[" + orders + "," + suppliers + "]", wrong, ""},
		{"POST /graphql", inJSON, `{"query":"{ myOrders { id } }","query":"{ suppliers { id } }"}`, wrong, ""},
		{"POST /graphql", inJSON, `{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"f0rged"}}}`, "200 PERSISTED_QUERY_NOT_SUPPORTED", ""},
		{"GET /graphql?extensions={%22persistedQuery%22:{%22version%22:1,%22sha256Hash%22:%22f0rged%22}}", "", "", "200 PERSISTED_QUERY_NOT_SUPPORTED", ""},
		{"POST /graphql", inJSON + "Content-Encoding: gzip\r\n", packed(t, orders), wrong, ""},
		{"POST /graphql", inJSON, packed(t, suppliers), wrong, ""},
		{"POST /graphql", "Content-Type: application/json; charset=utf-16\r\n", utf16le(orders), wrong, ""},
		{"POST /graphql", inJSON, "\xff\xfe" + utf16le(suppliers), wrong, ""},
		{"POST /graphql", "Content-Type: multipart/form-data; boundary=x\r\n", "--x\r\nContent-Disposition: form-data; name=\"operations\"\r\n\r\n" + orders + "\r\n--x--\r\n", wrong, ""},
		{"POST /graphql", "Content-Type: application/graphql\r\n", "{ myOrders { id } }", wrong, ""},
		{"POST /graphql", "Content-Type: application/x-www-form-urlencoded\r\n", "query={myOrders{id}}", wrong, ""},
		{"POST /graphql", "Content-Type: text/plain\r\n", orders, wrong, ""},
		{"POST /graphql", inJSON + "Content-Type: application/graphql\r\n", orders, wrong, ""},
		{"POST /graphql", inJSON, "", wrong, ""},
		{"GET /graphql", "", "", wrong, ""},
		{"GET /graphql?query={myOrders{id}}&query={suppliers{id}}", "", "", wrong, ""},
		{"PUT /graphql", inJSON, orders, "405 BAD_REQUEST", ""},
		{"OPTIONS /graphql", inJSON, orders, "405 BAD_REQUEST", ""},
		{"POST /graphql", inJSON, `{"query":"{ myOrders { id } }","variables":{"a":"` + strings.Repeat("a", 1<<20) + `"}}`, "413 BAD_REQUEST", ""},
	} {
		f.raw.Forget()
		a := f.say(t, "", f.asks(c.line, f.cookie(false)+c.heads, c.body))
		got, what := f.arrived(""), fmt.Sprintf("%s %q %.120q", c.line, c.heads, c.body)
		if c.want != passes {
			if said := fmt.Sprint(a.status, " ", code(a)); said != c.want || len(got) != 0 {
				t.Errorf("%s: %s %s, want %s, and the upstream received %q", what, said, a.body, c.want, got)
			}
			if c.want == moved && !strings.Contains(a.body, `"data":null`) {
				t.Errorf("%s: %s", what, a.body)
			}
			continue
		}
		if a.status != 200 || len(got) != 1 {
			t.Errorf("%s: %d %s, and the upstream received %q", what, a.status, a.body, got)
			continue
		}
		for _, w := range f.pure(got[0], true) {
			t.Errorf("%s: the upstream received %s", what, w)
		}
		head, body, _ := bytes.Cut(got[0], []byte("\r\n\r\n"))
		if string(body) != c.arrives || bytes.Contains(head, []byte("suppliers")) || len(testenv.Heads(got[0], "Transfer-Encoding"))+len(testenv.Heads(got[0], "Trailer"))+len(testenv.Heads(got[0], "Expect")) != 0 {
			t.Errorf("%s: the upstream received %q", what, got[0])
		}
		if path, _, _ := strings.Cut(c.line, "?"); !bytes.HasPrefix(head, []byte(path)) {
			t.Errorf("%s: the upstream received %q", what, head)
		}
		if strings.HasPrefix(c.line, "GET") && !bytes.HasPrefix(head, []byte("GET /graphql?query=query%7BmyOrders%7Bid%7D%7D HTTP/1.1\r\n")) {
			t.Errorf("%s: the upstream received %q", what, head)
		}
	}
}

// code is what a refusal in the form of GraphQL says.
func code(a answer) string {
	var body struct {
		Errors []struct{ Extensions struct{ Code string } }
	}
	if json.Unmarshal([]byte(a.body), &body) != nil || len(body.Errors) != 1 {
		return "none"
	}
	return body.Errors[0].Extensions.Code
}

// Without a list of names everything passes but introspection and the old sign-in, and who is not signed in hears of our
// pages in answer to the latter. A tenant that is not on has its requests passed byte for byte.
func TestWithoutNamesOnlyTheOldSignInIsOutOfReach(t *testing.T) {
	f := wire(t)
	const login = `{"query":"mutation { x: customerRefreshToken(refreshToken: \"t\") { accessToken } }"}`
	for _, in := range []bool{true, false} {
		cookie := ""
		if in {
			cookie = f.cookie(false)
		}
		a := f.say(t, "", f.asks("POST /graphql", cookie+inJSON, login))
		if a.status != 200 || code(a) != "FORBIDDEN" || !strings.Contains(a.body, "http://acme.localhost:"+f.plain+"/auth/login") || !strings.Contains(a.body, `"data":null`) || len(f.arrived("")) != 0 {
			t.Errorf("the old sign-in, signed in %v: %d %s", in, a.status, a.body)
		}
		a = f.say(t, "", f.asks("POST /graphql", cookie+inJSON, "["+login+"]"))
		if in && code(a) != "BAD_REQUEST" || !in && code(a) != "UNAUTHENTICATED" || len(f.arrived("")) != 0 {
			t.Errorf("the old sign-in in a list, signed in %v: %d %s", in, a.status, a.body)
		}
		a = f.say(t, "", f.asks("POST /graphql", cookie+inJSON, `{"query":"{ suppliers { id } }"}`))
		if got := f.arrived(""); in && (a.status != 200 || len(got) != 1) || !in && (a.status != 401 || code(a) != "UNAUTHENTICATED" || len(got) != 0) {
			t.Errorf("another operation, signed in %v: %d %s, %q", in, a.status, a.body, got)
		}
		f.raw.Forget()
	}
	if a := f.say(t, "", f.asks("POST /graphql", f.cookie(false)+inJSON, `{"query":"{ __schema { types { name } } }"}`)); a.status != 403 || len(f.arrived("")) != 0 {
		t.Errorf("the schema: %d %s", a.status, a.body)
	}
	for _, n := range []portal.Tenant{f.off, f.observe} {
		for _, body := range []string{"[ " + login + " ]", login, packed(t, login), `{"query":"{ __schema { types { name } } }","query":""}`} {
			f.raw.Forget()
			f.say(t, "", fmt.Sprintf("POST /graphql?x=1 HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", n.Hosts[0], f.plain, len(body), body))
			if got := f.arrived(""); len(got) != 1 || !bytes.HasSuffix(got[0], []byte("\r\n\r\n"+body)) || !bytes.HasPrefix(got[0], []byte("POST /graphql?x=1 ")) {
				t.Errorf("%q of a tenant that is not on: %q", body, got)
			}
		}
	}
}
