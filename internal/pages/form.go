package pages

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/portalgate/portalgate/internal/portal"
)

// maxBody bounds what our own forms may send (DOS-02).
const maxBody = 16 << 10

// bodyWait is for how long a body may arrive that is ours to read or to refuse (DOS-02). Without it whoever sends a byte
// now and then holds a connection and all that was made for it; a refusal, too, leaves only once the body is there.
const bodyWait = 10 * time.Second

// hurry bounds that. The server gives the connection its own patience back after the answer.
func hurry(w http.ResponseWriter, r *http.Request) {
	if r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0 { // Caddy wraps the empty one as well
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyWait)) // a writer that cannot is no connection
	}
}

func unreadable(public string) error {
	return &portal.Problem{Kind: portal.ProblemRequest, Public: public}
}

// fields are what a form sent: each name once, as one text (LOG-05).
type fields map[string]string

func formPosted(r *http.Request) bool {
	t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return t == "application/x-www-form-urlencoded"
}

// read takes fields from the body of a POST and from nowhere else: a form, or a flat JSON object of texts and truths.
func read(w http.ResponseWriter, r *http.Request) (fields, error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return nil, &portal.Problem{Kind: portal.ProblemTooLarge, Public: "That is more than this page can take."}
	}
	if err != nil {
		return nil, unreadable("What was sent did not arrive whole. Please try again.")
	}
	for name := range r.URL.Query() {
		switch name {
		case "email", "password", "current_password", "code", "token":
			return nil, unreadable("Nothing secret may stand in an address.")
		}
	}
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && t == "application/x-www-form-urlencoded":
		return parseForm(b)
	case err == nil && t == "application/json":
		return parseJSON(b)
	case len(b) == 0:
		return fields{}, nil
	}
	return nil, unreadable("This page takes a form, or a JSON object.")
}

func parseForm(b []byte) (fields, error) {
	q, err := url.ParseQuery(string(b))
	if err != nil || len(q) > 64 {
		return nil, unreadable("This form cannot be read. Please load the page again.")
	}
	f := fields{}
	for name, values := range q {
		if len(values) != 1 || !utf8.ValidString(name) || !utf8.ValidString(values[0]) {
			return nil, unreadable("This form says one thing twice, or is no text. Please load the page again.")
		}
		f[name] = values[0]
	}
	return f, nil
}

// parseJSON reads a flat object. Arrays, objects, numbers and doubled names are refused: each of them has been read as
// a password by some program.
func parseJSON(b []byte) (fields, error) {
	bad := unreadable("This is not a flat JSON object of texts.")
	if !utf8.Valid(b) {
		return nil, bad
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, bad
	}
	f := fields{}
	for d.More() {
		name, err := d.Token()
		key, ok := name.(string)
		if err != nil || !ok {
			return nil, bad
		}
		if _, twice := f[key]; twice || len(f) >= 64 {
			return nil, bad
		}
		value, err := d.Token()
		if err != nil {
			return nil, bad
		}
		switch v := value.(type) {
		case string:
			f[key] = v
		case bool:
			if f[key] = ""; v {
				f[key] = "1"
			}
		default:
			return nil, bad
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, bad
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, bad
	}
	return f, nil
}

func ticked(s string) bool { return s == "1" || s == "on" || s == "true" }
