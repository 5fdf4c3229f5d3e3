package graphql

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/portalgate/portalgate/internal/portal"
)

func TestABodyHasOneReading(t *testing.T) {
	t.Parallel()
	const orders = `{"query":"{ myOrders { id } }"}`
	const wrong, ok = portal.ProblemRequest, portal.ProblemKind("")
	for _, c := range []struct {
		what, kind, body string
		want             portal.ProblemKind
	}{
		{"an object", "application/json", orders, ok},
		{"with its charset", "application/json; charset=UTF-8", orders, ok},
		{"by another name", "Application/JSON ; charset=\"utf-8\"", orders, ok},
		{"spaced", "application/json", " \n\t" + orders + "\r\n ", ok},
		{"with all its parts", "application/json", `{"operationName":"A","query":"query A{myOrders{id}}","variables":{"x":[1,{"y":null}]},"extensions":{"clientLibrary":{"name":"x"}}}`, ok},
		{"with parts that are none", "application/json", `{"operationName":null,"query":"{myOrders{id}}","variables":null,"extensions":null}`, ok},
		{"with a hash beside the document", "application/json", `{"query":"{myOrders{id}}","extensions":{"persistedQuery":{"version":1,"sha256Hash":"ab"}},"id":"x"}`, ok},
		{"with other keys", "application/json", `{"query":"{myOrders{id}}","Query":"{suppliers}","QUERY":"{suppliers}","mutation":"{suppliers}"}`, ok},
		{"another document", "application/json", `{"query":"{ suppliers { id } }"}`, portal.ProblemOperation},
		{"the document twice", "application/json", `{"query":"{myOrders{id}}","query":"{suppliers}"}`, wrong},
		{"the document twice, once escaped", "application/json", `{"query":"{myOrders{id}}","\u0071uery":"{suppliers}"}`, wrong},
		{"variables with a key twice", "application/json", `{"query":"{myOrders{id}}","variables":{"a":{"b":1,"b":2}}}`, wrong},
		{"a list", "application/json", `[` + orders + `]`, wrong},
		{"an empty list", "application/json", `[]`, wrong},
		{"two objects", "application/json", orders + orders, wrong},
		{"more behind it", "application/json", orders + "x", wrong},
		{"no JSON", "application/json", `query={myOrders{id}}`, wrong},
		{"a text", "application/json", `"{myOrders{id}}"`, wrong},
		{"null", "application/json", `null`, wrong},
		{"nothing", "application/json", ``, wrong},
		{"no document", "application/json", `{"variables":{}}`, wrong},
		{"a document that is a list", "application/json", `{"query":["{myOrders{id}}"]}`, wrong},
		{"a name that is a list", "application/json", `{"query":"{myOrders{id}}","operationName":["A"]}`, wrong},
		{"a name of no operation", "application/json", `{"query":"query A{myOrders{id}}","operationName":"B"}`, wrong},
		{"no name for two operations", "application/json", `{"query":"query A{myOrders{id}} query B{myOrders{id}}"}`, wrong},
		{"an operation that is not meant", "application/json", `{"query":"query A{myOrders{id}} query B{suppliers}","operationName":"A"}`, portal.ProblemOperation},
		{"two operations of one name", "application/json", `{"query":"query A{myOrders{id}} query A{suppliers}","operationName":"A"}`, wrong},
		{"variables that are a text", "application/json", `{"query":"{myOrders{id}}","variables":"{}"}`, wrong},
		{"variables that are deep", "application/json", `{"query":"{myOrders{id}}","variables":{"a":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}}`, wrong},
		{"only a hash", "application/json", `{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"ab"}}}`, portal.ProblemPersisted},
		{"only an id", "application/json", `{"id":"customerLogin","variables":{}}`, portal.ProblemPersisted},
		{"in UTF-16, and said so", "application/json; charset=utf-16", wide(orders), wrong},
		{"in UTF-16", "application/json", wide(orders), wrong},
		{"in a charset of the past", "application/json; charset=iso-8859-1", orders, wrong},
		{"no UTF-8", "application/json", "{\"query\":\"{myOrders{id}}\",\"variables\":{\"a\":\"\xff\"}}", wrong},
		{"behind a byte order mark", "application/json", "\ufeff" + orders, wrong},
		{"with another parameter", "application/json; version=2", orders, wrong},
		{"of no kind", "", orders, wrong},
		{"a document by itself", "application/graphql", `{ myOrders { id } }`, wrong},
		{"a form", "application/x-www-form-urlencoded", `query={myOrders{id}}`, wrong},
		{"a form with files", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"operations\"\r\n\r\n" + orders + "\r\n--x--\r\n", wrong},
		{"plain text", "text/plain", orders, wrong},
		{"of another kind of JSON", "application/vnd.api+json", orders, wrong},
		{"of two kinds", "application/json, text/plain", orders, wrong},
		{"too long", "application/json", `{"query":"{myOrders{id}}","variables":{"a":"` + strings.Repeat("a", int(ofPeople.bytes)) + `"}}`, portal.ProblemTooLarge},
	} {
		for _, chunked := range []bool{false, true} {
			r := posted(c.body)
			r.Header["Content-Type"] = nil
			if c.kind != "" {
				r.Header.Set("Content-Type", c.kind)
			}
			if chunked {
				r.ContentLength, r.TransferEncoding = -1, []string{"chunked"}
			}
			got, said := kind(t, gate(t, "my*").Admit(httptest.NewRecorder(), r, pages))
			if got != c.want {
				t.Errorf("%s: %q %s, want %q", c.what, got, said, c.want)
			}
			if got != "" {
				continue
			}
			b, err := io.ReadAll(r.Body)
			if err != nil || strings.Contains(string(b), "suppliers") || strings.Contains(string(b), "sha256") || !strings.HasPrefix(string(b), `{"query":"query`) {
				t.Errorf("%s: forwarded is %s, %v", c.what, b, err)
			}
		}
	}
}

// wide is a text in UTF-16, as some servers read it unasked.
func wide(s string) string {
	b := []byte{0xff, 0xfe}
	for _, c := range utf16.Encode([]rune(s)) {
		b = append(b, byte(c), byte(c>>8))
	}
	return string(b)
}

func TestWhatDescribesABodyIsWrittenAnew(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(`{"query":"{myOrders{id}}"}`)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	for _, coding := range []string{"gzip", "identity", "", "br", "x-gzip"} {
		r := posted(packed.String())
		r.Header.Set("Content-Encoding", coding)
		if got, _ := kind(t, gate(t).Admit(httptest.NewRecorder(), r, pages)); got != portal.ProblemRequest {
			t.Errorf("a body of the coding %q: %q", coding, got)
		}
	}
	twice := posted(`{"query":"{myOrders{id}}"}`)
	twice.Header["Content-Type"] = []string{"application/json", "application/graphql"}
	if got, _ := kind(t, gate(t).Admit(httptest.NewRecorder(), twice, pages)); got != portal.ProblemRequest {
		t.Errorf("a body of two kinds: %q", got)
	}
	r := posted(`{ "query" : "{ myOrders { id } }", "variables": {"b": 1.50, "a": "\u0041<"}, "x": 1 }`)
	r.URL.RawQuery = "query={suppliers}"
	r.TransferEncoding, r.Trailer = []string{"chunked"}, http.Header{"X-Late": nil}
	for _, name := range []string{"Content_Type", "Content-Type-", "ContentType", "Content.Encoding", "Content-Digest", "Transfer-Encoding", "Transfer_encoding", "Trailer", "Expect", "Digest", "Content-Length"} {
		r.Header[name] = []string{"application/x-www-form-urlencoded"}
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("X-Request-Id", "7")
	if err := gate(t).Admit(httptest.NewRecorder(), r, pages); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r.Body)
	const want = `{"query":"query{myOrders{id}}","variables":{"b":1.50,"a":"A\u003c"}}`
	if err != nil || string(b) != want {
		t.Errorf("forwarded is %s, %v", b, err)
	}
	var names []string
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"Content-Length", "Content-Type", "X-Request-Id"}) || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Content-Length") != "68" || r.ContentLength != 68 || r.Trailer != nil || r.TransferEncoding != nil || r.RequestURI != "/graphql" {
		t.Errorf("forwarded with %v to %s, %d bytes, trailers %v, codings %v", r.Header, r.RequestURI, r.ContentLength, r.Trailer, r.TransferEncoding)
	}
}

// Whatever is forwarded is one JSON object, or one query of an address, of a document that begins with what is named and
// with nothing else, and is read the second time as the first.
func FuzzWhatIsForwardedBeginsWithWhatIsNamed(f *testing.F) {
	for _, body := range []string{
		`{"query":"{ myOrders { id } }"}`, `{"query":"query A($x: [Int!]! = [1] @y) { a: customerX(x: $x) { ...F } } fragment F on T { b }","operationName":"A","variables":{"x":[1]}}`,
		`{"query":"{ myOrders { id } }","query":"{ suppliers }"}`, `[{"query":"{ suppliers }"}]`, `{"query":"{ ...F } fragment F on Q { suppliers }"}`, `{"query":"{ myOrders #\r suppliers }"}`,
		`{"query":"{ myOrders(a: \"\"\"x\\\"\"\" } { suppliers\"\"\") }"}`, `{"query":"{ myOrders(a: \"\\u{1F600} \\ud83d\") }"}`, `{"query":"mutation { customerUpdateProfile(a: {b: [C, null, -1e3]}) { id } }"}`,
		`{"query":"subscription { __typename ... @defer(label: \"x\") { myOrders } }"}`, `{"extensions":{"persistedQuery":{}}}`, "\ufeff{}", wide(`{"query":"{ suppliers }"}`), `{"query":"\"\"\"d\"\"\" query A(\"d\" $a: I) { myOrders }"}`,
	} {
		f.Add([]byte(body), false)
		f.Add([]byte(body), true)
	}
	f.Add([]byte(`{ myOrders { id } }`), true)
	f.Fuzz(func(t *testing.T, body []byte, address bool) {
		r := posted(string(body))
		if address {
			r = httptest.NewRequest(http.MethodGet, "/graphql", nil)
			r.URL.RawQuery = "query=" + string(body)
		}
		g := gate(t, "customer*", "myOrders")
		if g.Admit(httptest.NewRecorder(), r, pages) != nil {
			return
		}
		q, operation, variables := forwarded(t, r)
		d, err := parse(&query{document: q, operation: operation})
		if err != nil {
			t.Fatalf("%s is forwarded and cannot be read: %v", q, err)
		}
		for _, o := range d.operations {
			d.begin(o.SelectionSet, map[string]bool{})
		}
		for _, root := range d.roots {
			if root != "__typename" && root != "myOrders" && !strings.HasPrefix(root, "customer") || doors[root].page != "" {
				t.Fatalf("%s is forwarded and begins with %s", q, root)
			}
		}
		if again := d.print(); again != q {
			t.Fatalf("%s is read anew as %s", q, again)
		}
		if variables != "" && variables[0] != '{' {
			t.Fatalf("variables are %s", variables)
		}
		r.Header.Set("Content-Type", "application/json")
		if r.Method == http.MethodPost {
			r = posted(`{"query":` + string(text(q)) + `,"operationName":` + string(text(operation)) + `}`)
		}
		if err := g.Admit(httptest.NewRecorder(), r, pages); err != nil {
			t.Fatalf("%s is forwarded, and refused when it comes again: %v", q, err)
		}
	})
}
