package graphql

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/portal"
)

const pages = "https://acme.portal.example/auth"

func gate(t testing.TB, allow ...string) *Gate {
	t.Helper()
	n, err := ParseNames(allow)
	if err != nil {
		t.Fatal(err)
	}
	return &Gate{Allow: n}
}

func posted(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func asking(doc string) *http.Request { return posted(`{"query":` + string(text(doc)) + `}`) }

// kind is how a request is judged: "" where it passes.
func kind(t testing.TB, err error) (portal.ProblemKind, string) {
	t.Helper()
	if err == nil {
		return "", ""
	}
	p, ok := errors.AsType[*portal.Problem](err)
	if !ok {
		t.Fatalf("no Problem: %v", err)
	}
	return p.Kind, p.Public
}

// forwarded is what the upstream would be asked.
func forwarded(t testing.TB, r *http.Request) (query, operation, variables string) {
	t.Helper()
	if r.Method != http.MethodPost {
		v := r.URL.Query()
		return v.Get("query"), v.Get("operationName"), v.Get("variables")
	}
	b, err := io.ReadAll(r.Body)
	if err != nil || int64(len(b)) != r.ContentLength {
		t.Fatalf("%d bytes of %d, %v", len(b), r.ContentLength, err)
	}
	var in struct {
		Query, OperationName string
		Variables            json.RawMessage
	}
	if err := json.Unmarshal(b, &in); err != nil {
		t.Fatal(err)
	}
	return in.Query, in.OperationName, string(in.Variables)
}

func TestWhatAnOperationBeginsWithIsFoundThroughEveryDisguise(t *testing.T) {
	t.Parallel()
	const refused, moved = portal.ProblemOperation, portal.ProblemMoved
	for _, c := range []struct {
		what, document string
		want           portal.ProblemKind
	}{
		{"a named one", `{ myOrders { id } }`, ""},
		{"one by its beginning", `{ customerCompanies { id } }`, ""},
		{"the beginning itself", `{ customer }`, ""},
		{"nearly the beginning", `{ Customer }`, refused},
		{"the type's name", `{ __typename a: __typename }`, ""},
		{"another", `{ suppliers { id } }`, refused},
		{"another beside a named one", `{ myOrders { id } suppliers { id } }`, refused},
		{"another under a named alias", `{ myOrders: suppliers { id } }`, refused},
		{"a named one under another alias", `{ suppliers: myOrders { id } }`, ""},
		{"another below a named one", `{ myOrders { suppliers { id } } }`, ""},
		{"another in an inline fragment", `{ ... { suppliers } }`, refused},
		{"another in a typed inline fragment", `{ ... on Query { ... on Query @include(if: true) { suppliers } } }`, refused},
		{"another for a type that the schema has not", `{ myOrders { id } ... on Nothing { suppliers } }`, refused},
		{"another in a fragment", `{ ...F } fragment F on Query { suppliers }`, refused},
		{"another in a fragment's fragment", `{ ...F } fragment F on Query { myOrders { id } ...G } fragment G on Query { ... { x: suppliers } }`, refused},
		{"a fragment before its use", `fragment F on Query { suppliers } { ...F }`, refused},
		{"a fragment that two operations share", `query A { ...F } query B { ...F } fragment F on Query { suppliers }`, portal.ProblemRequest},
		{"another that is skipped", `{ suppliers @skip(if: true) myOrders { id } }`, refused},
		{"another for later", `{ myOrders { id } ... @defer { suppliers } }`, refused},
		{"another after a comment that ends with a carriage return", "{ myOrders { id } #\r suppliers }", refused},
		{"another after a comment", "{ myOrders { id } #\n suppliers }", refused},
		{"another in a comment", "{ myOrders { id } # suppliers\n }", ""},
		{"another in a text", `{ myOrders(a: "} { suppliers }", b: """ } { suppliers """) { id } }`, ""},
		{"another behind a byte order mark", "\ufeff{ \ufeffsuppliers }", refused},
		{"another behind commas", `{,,,suppliers,}`, refused},
		{"a change", `mutation { createSupplier { id } }`, refused},
		{"a named change", `mutation { customerUpdateProfile(input: {}) { id } }`, ""},
		{"a subscription", `subscription { suppliersChanged { id } }`, refused},
		{"a named subscription", `subscription { myOrders { id } }`, ""},
		{"the schema", `{ __schema { types { name } } }`, refused},
		{"a type", `{ x: __type(name: "User") { name } }`, refused},
		{"the schema in a fragment", `{ myOrders { id } ...F } fragment F on Query { __schema { types { name } } }`, refused},
		{"the schema below a field that hands queries on", `{ myOrders { query { __schema { types { name } } } } }`, refused},
		{"the old sign-in", `mutation { customerLogin(email: "a", password: "b") { accessToken } }`, moved},
		{"the old sign-in as a query", `{ customerLogin }`, moved},
		{"the old sign-in by alias", `mutation { a: customerUpdateProfile { id } b: customerVerifyMFA(code: "1") }`, moved},
		{"the old sign-in in a fragment", `mutation { ...F } fragment F on Mutation { ...G } fragment G on Mutation { x: customerResetPassword(token: "t", newPassword: "p") }`, moved},
		{"the old sign-in in a fragment nobody uses", `{ myOrders { id } } fragment F on Mutation { customerLogout }`, moved},
		{"the old sign-in below a field", `{ myOrders { query { customerMe { id } } } }`, moved},
		{"the old sign-in beside the schema", `{ __schema { types { name } } customerMe { id } }`, moved},
	} {
		for _, named := range []bool{true, false} {
			g, want := gate(t), c.want
			if named {
				g = gate(t, "customer*", "myOrders")
			} else if want == refused && !strings.Contains(c.document, "__") {
				want = "" // nothing is named, and everything passes
			}
			if got, said := kind(t, g.Admit(httptest.NewRecorder(), asking(c.document), pages)); got != want {
				t.Errorf("%s, named %v: %q %s, want %q", c.what, named, got, said, want)
			}
		}
	}
}

func TestTheOldSignInIsToldWhereThePagesAre(t *testing.T) {
	t.Parallel()
	for operation := range doors {
		if operation == "customerUpdateProfile" {
			t.Error("customerUpdateProfile is no part of the sign-in")
		}
		text := "mutation M($x: String!) { " + operation + "(x: $x) { accessToken user { id } } }"
		for who, judge := range map[string]func(http.ResponseWriter, *http.Request, string) error{"somebody": gate(t, "customer*").Admit, "nobody": Moved} {
			got, said := kind(t, judge(httptest.NewRecorder(), asking(text), pages))
			if got != portal.ProblemMoved || got.Status() != http.StatusOK || !strings.HasSuffix(said, ": "+pages+doors[operation].page) {
				t.Errorf("%s of %s: %s %q", operation, who, got, said)
			}
		}
	}
	for what, r := range map[string]*http.Request{
		"another operation": asking(`{ myOrders { id } }`), "what cannot be read": posted("{"), "a body that is too long": asking("{ customerLogin }" + strings.Repeat(" ", int(ofStrangers.bytes))),
		"nothing": posted(""), "the profile": asking(`mutation { customerUpdateProfile { id } }`),
	} {
		if err := Moved(httptest.NewRecorder(), r, pages); err != nil {
			t.Errorf("%s of nobody: %v", what, err)
		}
	}
}

func TestADocumentHasBounds(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return strings.Repeat("{a", n) + strings.Repeat("}", n) }
	var aliases, operations, chain, bomb strings.Builder
	for i := range mostAliases + 1 {
		aliases.WriteString(" x" + strings.Repeat("i", i) + ": a")
	}
	for i := range mostOperations + 1 {
		operations.WriteString(" query x" + strings.Repeat("i", i) + " { a }")
	}
	for i := range deepest {
		chain.WriteString("fragment f" + strings.Repeat("i", i) + " on Q { a { ...f" + strings.Repeat("i", i+1) + " } } ")
	}
	for i := range 100 {
		bomb.WriteString("fragment f" + strings.Repeat("i", i) + " on Q { ...f" + strings.Repeat("i", i+1) + " ...f" + strings.Repeat("i", i+1) + " } ")
	}
	for what, c := range map[string]struct {
		document string
		passes   bool
	}{
		"as deep as may be":             {nested(deepest), true},
		"deeper":                        {nested(deepest + 1), false},
		"far deeper":                    {nested(5000), false},
		"inline fragments are no level": {strings.Repeat("{...", 30) + nested(deepest) + strings.Repeat("}", 30), true},
		"deeper by fragments":           {"{ ...f } " + chain.String() + "fragment f" + strings.Repeat("i", deepest) + " on Q { a }", false},
		"fragments that double":         {"{ ...f } " + bomb.String() + "fragment f" + strings.Repeat("i", 100) + " on Q { a }", true},
		"a fragment that holds itself":  {"{ ...f } fragment f on Q { a { ...f } }", false},
		"a fragment that is not there":  {"{ ...f }", false},
		"a fragment twice":              {"{ ...f } fragment f on Q { a } fragment f on Q { b }", false},
		"as many aliases":               {"{" + strings.TrimSuffix(aliases.String(), " x"+strings.Repeat("i", mostAliases)+": a") + "}", true},
		"more aliases":                  {"{" + aliases.String() + "}", false},
		"more operations":               {operations.String(), false},
		"many fields":                   {"{" + strings.Repeat(" a", mostTokens-10) + "}", true},
		"more tokens":                   {"{" + strings.Repeat(" a", mostTokens) + "}", false},
		"a deep value":                  {"{ a(x: " + strings.Repeat("[", deepestValue+2) + "1" + strings.Repeat("]", deepestValue+2) + ") }", false},
		"no operation":                  {"fragment f on Q { a }", false},
		"nothing":                       {"# nothing", false},
		"a schema":                      {"type Query { a: Int }", false},
		"broken":                        {"{ a", false},
	} {
		got, said := kind(t, gate(t).Admit(httptest.NewRecorder(), asking(c.document), pages))
		if (got == "") != c.passes || !c.passes && got != portal.ProblemRequest {
			t.Errorf("%s: %q %s", what, got, said)
		}
	}
}

func TestADocumentIsPrintedInOneForm(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{a}`:                       `query{a}`,
		"# x\nquery   Q{ a,b , c }": `query Q{a b c}`,
		`{ x:a(b:1,c:"d"){e ...F} }` + "\n" + `fragment F on T @x { y ... { z } ... on U @d(e: $f) { w } }`:              `query{x:a(b:1 c:"d"){e ...F}} fragment F on T @x{y ...{z} ... on U @d(e:$f){w}}`,
		`query Q($a: [Int!]! = [1, 2] @x(y: 1), $b: T = {c: D, e: null, f: true, g: -1.5e3}) @live { a(b: $b) }`:         `query Q($a:[Int!]! = [1,2] @x(y:1) $b:T = {c:D,e:null,f:true,g:-1.5e3}) @live{a(b:$b)}`,
		"{ a(b: \"\"\"\n   block \\\"\"\" \"quoted\"\n     more\n   \"\"\", c: \"\\u0041\\n\\\"\\\\ \\ud83d\\ude00\") }": `query{a(b:"block \"\"\" \"quoted\"\n  more" c:"A\n\"\\ 😀")}`,
		`mutation { a @include(if: $b) @skip(if: false) }`:                                                               `mutation{a @include(if:$b) @skip(if:false)}`,
	} {
		d, err := parse(&query{document: in})
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		got := d.print()
		if got != want {
			t.Errorf("%s is printed\n%s, want\n%s", in, got, want)
		}
		again, err := parse(&query{document: got})
		if err != nil {
			t.Errorf("%s cannot be read: %v", got, err)
		} else if twice := again.print(); twice != got {
			t.Errorf("%s is printed anew as %s", got, twice)
		}
	}
}

func TestTheNamesOfAConfigurationAreHeldToTheirForm(t *testing.T) {
	t.Parallel()
	for name, good := range map[string]bool{"a": true, "_x9": true, "customer*": true, "customerMeAndYou": true, "customerLogin*": true, "": false, "*": false, "a*b": false, "**": false, "9a": false, "a-b": false, "ä": false, "a b": false, "a.b": false,
		"__schema": false, "__type": false, "__*": false, "__typename": false, "customerLogin": false, "customerMe": false} {
		if err := ParseName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestAGETAsksAndDoesNotChange(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]portal.ProblemKind{
		"query=" + url.QueryEscape(`query A($x: Int) { myOrders(x: $x) { id } }`) + "&operationName=A&variables=" + url.QueryEscape(`{ "x" : 1 }`) + "&extensions={}&id=7&Query=%7Bsuppliers%7D": "",
		"query={myOrders{id}}&operationName=&variables=": "", "query={suppliers}": portal.ProblemOperation, "query=mutation{customerUpdateProfile{id}}": portal.ProblemMethod,
		"query=query+A{myOrders{id}}mutation+B{customerUpdateProfile{id}}&operationName=A": portal.ProblemMethod,
		"query=mutation{customerLogin}": portal.ProblemMoved, "query=subscription{myOrders{id}}": "", "query={myOrders{id}}&query={suppliers}": portal.ProblemRequest, "query={myOrders{id}};query={suppliers}": portal.ProblemRequest, "": portal.ProblemRequest,
		"query={myOrders{id}}&variables=[]": portal.ProblemRequest, "query={myOrders{id}}&variables={\"a\":1,\"a\":2}": portal.ProblemRequest, "query=%ff": portal.ProblemRequest, "query=%zz": portal.ProblemRequest, "query=[{myOrders{id}}]": portal.ProblemRequest,
		"extensions={\"persistedQuery\":{\"version\":1,\"sha256Hash\":\"x\"}}": portal.ProblemPersisted,
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r := httptest.NewRequest(method, "/graphql", strings.NewReader(`{"query":"{ suppliers }"}`))
			r.URL.RawQuery = query
			r.Header.Set("Content-Type", "application/json")
			got, said := kind(t, gate(t, "my*", "customer*").Admit(httptest.NewRecorder(), r, pages))
			if got != want {
				t.Errorf("%s %s: %q %s, want %q", method, query, got, said, want)
			}
			if got != "" {
				continue
			}
			if r.Body != http.NoBody || r.ContentLength != 0 || len(r.Header) != 0 {
				t.Errorf("%s %s goes on with a body, or with what describes one: %v", method, query, r.Header)
			}
			if v := r.URL.Query(); len(v) > 3 || r.RequestURI != r.URL.RequestURI() || strings.Contains(r.RequestURI, "suppliers") {
				t.Errorf("%s %s goes on as %s", method, query, r.RequestURI)
			}
		}
	}
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch, "QUERY"} {
		r := asking("{ myOrders { id } }")
		r.Method = method
		if got, said := kind(t, gate(t).Admit(httptest.NewRecorder(), r, pages)); got != portal.ProblemMethod {
			t.Errorf("%s: %q %s", method, got, said)
		}
	}
}
