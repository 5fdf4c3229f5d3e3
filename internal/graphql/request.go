package graphql

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/portalgate/portalgate/internal/portal"
)

// bounds are what a body may have, and for how long it may arrive (DOS-02).
type bounds struct {
	bytes int64
	wait  time.Duration
}

var (
	ofPeople    = bounds{1 << 20, 30 * time.Second}
	ofStrangers = bounds{16 << 10, 10 * time.Second} // one operation of the old sign-in is far less
)

// query is what a request asks.
type query struct {
	document, operation string
	variables           json.RawMessage // an object in its normal form; nil: none
}

var (
	errForm      = refuse(portal.ProblemRequest, "This endpoint takes one JSON object in UTF-8, sent as application/json and not compressed.")
	errNot       = refuse(portal.ProblemRequest, "This is no JSON object that can be read in one way only.")
	errBatch     = refuse(portal.ProblemRequest, "This endpoint takes one operation at a time.")
	errAddress   = refuse(portal.ProblemRequest, "The query of this address cannot be read in one way only.")
	errMissing   = refuse(portal.ProblemRequest, "This request holds no document.")
	errVariables = refuse(portal.ProblemRequest, "The variables are no JSON object.")
	errOperation = refuse(portal.ProblemRequest, "operationName is no text.")
	errBig       = refuse(portal.ProblemTooLarge, "This is more than the endpoint takes.")
	errMethod    = refuse(portal.ProblemMethod, "This endpoint takes POST, and GET for queries.")

	// The words are those by which a client knows that it must send the document itself.
	errPersisted = refuse(portal.ProblemPersisted, "PersistedQueryNotSupported")
)

func read(w http.ResponseWriter, r *http.Request, most bounds) (*query, error) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return readAddress(r.URL.RawQuery)
	case http.MethodPost:
		b, err := readBody(w, r, most)
		if err != nil {
			return nil, err
		}
		return readJSON(b)
	}
	return nil, errMethod
}

func readAddress(raw string) (*query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, errAddress
	}
	parts := map[string]json.RawMessage{}
	for _, key := range []string{"query", "operationName", "variables", "extensions"} {
		switch v := values[key]; {
		case len(v) == 0 || len(v) == 1 && v[0] == "":
		case len(v) > 1 || !utf8.ValidString(v[0]):
			return nil, errAddress
		case key == "query" || key == "operationName":
			parts[key] = text(v[0])
		default:
			if parts[key], err = normal([]byte(v[0])); err != nil {
				return nil, err
			}
		}
	}
	return asked(parts)
}

// readBody takes a body that has one reading: its kind and charset are what is written over it, once, and it is as it is.
func readBody(w http.ResponseWriter, r *http.Request, most bounds) ([]byte, error) {
	kinds := r.Header["Content-Type"]
	if len(kinds) != 1 {
		return nil, errForm
	}
	kind, params, err := mime.ParseMediaType(kinds[0])
	if err != nil || kind != "application/json" {
		return nil, errForm
	}
	for p, v := range params {
		if p != "charset" || !strings.EqualFold(v, "utf-8") {
			return nil, errForm
		}
	}
	if len(r.Header["Content-Encoding"]) > 0 {
		return nil, errForm
	}
	if r.ContentLength > most.bytes {
		return nil, errBig
	}
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(most.wait)) // a writer that cannot is no connection
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most.bytes))
	if _, big := errors.AsType[*http.MaxBytesError](err); big {
		return nil, errBig
	}
	if err != nil {
		return nil, refuse(portal.ProblemRequest, "What was sent did not arrive whole.")
	}
	// The answer may be a stream of hours, and the server goes on reading meanwhile to see whether the client is there.
	_ = c.SetReadDeadline(time.Time{})
	if !utf8.Valid(b) {
		return nil, errForm
	}
	return b, nil
}

func readJSON(b []byte) (*query, error) {
	b, err := normal(b)
	if err != nil {
		return nil, err
	}
	if b[0] == '[' {
		return nil, errBatch
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(b, &parts); err != nil || parts == nil {
		return nil, errNot
	}
	return asked(parts)
}

// asked takes what it knows out of the parts of a request. What else stands there goes nowhere: by an id or a hash some
// servers find another document than the one that was sent along.
func asked(parts map[string]json.RawMessage) (*query, error) {
	q := &query{}
	if !texts(parts["query"], &q.document) {
		return nil, errNot
	}
	if q.document == "" {
		for _, known := range []string{"extensions", "id", "documentId", "queryId", "hash"} {
			if v := parts[known]; v != nil && !bytes.Equal(v, null) {
				return nil, errPersisted
			}
		}
		return nil, errMissing
	}
	if !texts(parts["operationName"], &q.operation) {
		return nil, errOperation
	}
	if v := parts["variables"]; v != nil && !bytes.Equal(v, null) {
		if v[0] != '{' {
			return nil, errVariables
		}
		q.variables = v
	}
	return q, nil
}

var null = []byte("null")

// texts reads a text, or none.
func texts(raw json.RawMessage, to *string) bool {
	return raw == nil || bytes.Equal(raw, null) || json.Unmarshal(raw, to) == nil
}

// replace makes a request ask what was read, and nothing else.
func (q *query) replace(r *http.Request) {
	for name := range r.Header {
		if describes(name) {
			delete(r.Header, name)
		}
	}
	r.Trailer, r.TransferEncoding = nil, nil
	if r.Method == http.MethodPost {
		var b bytes.Buffer
		b.WriteString(`{"query":`)
		b.Write(text(q.document))
		if q.operation != "" {
			b.WriteString(`,"operationName":`)
			b.Write(text(q.operation))
		}
		if q.variables != nil {
			b.WriteString(`,"variables":`)
			b.Write(q.variables)
		}
		b.WriteByte('}')
		r.URL.RawQuery, r.URL.ForceQuery = "", false
		r.Body, r.ContentLength = io.NopCloser(&b), int64(b.Len())
		r.Header["Content-Type"] = []string{"application/json"}
		r.Header["Content-Length"] = []string{strconv.Itoa(b.Len())}
	} else {
		values := url.Values{"query": {q.document}}
		if q.operation != "" {
			values.Set("operationName", q.operation)
		}
		if q.variables != nil {
			values.Set("variables", string(q.variables))
		}
		r.URL.RawQuery = values.Encode()
		r.Body, r.ContentLength = http.NoBody, 0
	}
	r.RequestURI = r.URL.RequestURI()
}

// describes says whether a header is about the body, in any spelling that some server folds into that.
func describes(name string) bool {
	folded := strings.Map(func(c rune) rune {
		switch {
		case c >= 'A' && c <= 'Z':
			return c | 0x20
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			return c
		}
		return -1
	}, name)
	for _, about := range []string{"content", "transferencoding", "trailer", "expect", "digest", "reprdigest"} {
		if strings.HasPrefix(folded, about) {
			return true
		}
	}
	return false
}
