package pages

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/portalgate/portalgate/internal/portal"
)

func code(err error) portal.ProblemKind {
	var p *portal.Problem
	if errors.As(err, &p) {
		return p.Kind
	}
	return ""
}

func posted(target, contentType, body string) (fields, error) {
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return read(httptest.NewRecorder(), r)
}

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
)

// LOG-05, LOG-06: fields come from a body of a kind that we know, each once, as text.
func TestAFormSaysEachThingOnceAsText(t *testing.T) {
	many := func(n int, form string, sep string) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(form, i))
		}
		return strings.Join(all, sep)
	}
	for name, c := range map[string]struct {
		target, kind, body string
		want               fields
		refused            portal.ProblemKind
	}{
		"form":                   {"/", formType, "email=a%40b&password=p+q", fields{"email": "a@b", "password": "p q"}, ""},
		"form with charset":      {"/", formType + "; charset=utf-8", "a=1", fields{"a": "1"}, ""},
		"form, kind in capitals": {"/", strings.ToUpper(formType), "a=1", fields{"a": "1"}, ""},
		"JSON":                   {"/", jsonType, `{"email":"a@b","remember":true,"x":false}`, fields{"email": "a@b", "remember": "1", "x": ""}, ""},
		"JSON, spaced":           {"/", jsonType + ";charset=utf-8", " {\n} ", fields{}, ""},
		"nothing":                {"/", "", "", fields{}, ""},
		"a name twice":           {"/", formType, "password=a&password=b", nil, portal.ProblemRequest},
		"a name twice in JSON":   {"/", jsonType, `{"password":"a","password":"b"}`, nil, portal.ProblemRequest},
		"twice by an escape":     {"/", jsonType, `{"password":"a","p\u0061ssword":"b"}`, nil, portal.ProblemRequest},
		"an array":               {"/", jsonType, `{"password":["p"]}`, nil, portal.ProblemRequest},
		"an object":              {"/", jsonType, `{"password":{"$ne":1}}`, nil, portal.ProblemRequest},
		"a number":               {"/", jsonType, `{"code":123456}`, nil, portal.ProblemRequest},
		"null":                   {"/", jsonType, `{"code":null}`, nil, portal.ProblemRequest},
		"a bare array":           {"/", jsonType, `["a"]`, nil, portal.ProblemRequest},
		"a bare text":            {"/", jsonType, `"a"`, nil, portal.ProblemRequest},
		"two objects":            {"/", jsonType, `{"a":"b"}{"a":"c"}`, nil, portal.ProblemRequest},
		"a comment":              {"/", jsonType, `{"a":"b"}//`, nil, portal.ProblemRequest},
		"cut off":                {"/", jsonType, `{"a":"b"`, nil, portal.ProblemRequest},
		"a comma too many":       {"/", jsonType, `{"a":"b",}`, nil, portal.ProblemRequest},
		"JSON, not UTF-8":        {"/", jsonType, "{\"a\":\"\xff\"}", nil, portal.ProblemRequest},
		"form, not UTF-8":        {"/", formType, "a=%ff", nil, portal.ProblemRequest},
		"a bad escape":           {"/", formType, "a=%zz", nil, portal.ProblemRequest},
		"a semicolon":            {"/", formType, "a=1;b=2", nil, portal.ProblemRequest},
		"another kind":           {"/", "text/plain", "email=a", nil, portal.ProblemRequest},
		"multipart":              {"/", "multipart/form-data; boundary=x", "--x--", nil, portal.ProblemRequest},
		"no kind":                {"/", "", "email=a", nil, portal.ProblemRequest},
		"two kinds":              {"/", formType + ", " + jsonType, "email=a", nil, portal.ProblemRequest},
		"65 fields":              {"/", formType, many(65, "f%d=1", "&"), nil, portal.ProblemRequest},
		"65 fields of JSON":      {"/", jsonType, "{" + many(65, `"f%d":"1"`, ",") + "}", nil, portal.ProblemRequest},
		"2,000 fields":           {"/", formType, many(2000, "f%d=", "&"), nil, portal.ProblemRequest},
		"deep":                   {"/", jsonType, strings.Repeat(`{"a":`, 3_000), nil, portal.ProblemRequest},
		"more than 16 KiB":       {"/", formType, "a=" + strings.Repeat("x", 16<<10), nil, portal.ProblemTooLarge}, // DOS-02
		"a secret in the query":  {"/?password=right", formType, "password=wrong", nil, portal.ProblemRequest},
		"a code in the query":    {"/?code=1", formType, "", nil, portal.ProblemRequest},
		"the query is not read":  {"/?return_to=/x&all=1", formType, "a=1", fields{"a": "1"}, ""},
	} {
		got, err := posted(c.target, c.kind, c.body)
		if code(err) != c.refused || fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// FuzzForm: what is read is what a plain parser reads, when that is unambiguous text.
func FuzzForm(f *testing.F) {
	for _, s := range []string{"email=a%40b&password=p+q", "a=1&a=2", "a", "=", "&&", "a=%", "a=%ff", "a;b", "%00=%00", "a[]=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := parseForm([]byte(body))
		want, perr := url.ParseQuery(body)
		if err != nil {
			if got != nil || code(err) != portal.ProblemRequest {
				t.Fatalf("%q: %v, %v", body, got, err)
			}
			return
		}
		if perr != nil || len(got) != len(want) || len(got) > 64 {
			t.Fatalf("%q: %v, %v, %v", body, got, want, perr)
		}
		for name, value := range got {
			if all := want[name]; len(all) != 1 || all[0] != value || !utf8.ValidString(name+value) || strings.Count(body, "=") < 1 && value != "" {
				t.Fatalf("%q: %q is %q", body, name, value)
			}
		}
	})
}

// FuzzJSON: what is read is a flat object of texts and truths that a plain parser reads alike.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"email":"a","remember":true}`, `{}`, `{"a":"b","a":"c"}`, `[{"a":1}]`, `{"a":1e400}`, `{"a":"\ud800"}`, "{\"a\":\"\x00\"}", `{"a":{}}`, `{"a":"b"}x`, `{"":""}`, "\ufeff{}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := parseJSON([]byte(body))
		if err != nil {
			if got != nil || code(err) != portal.ProblemRequest {
				t.Fatalf("%q: %v, %v", body, got, err)
			}
			return
		}
		var want map[string]any
		if err := json.Unmarshal([]byte(body), &want); err != nil || len(want) != len(got) || len(got) > 64 {
			t.Fatalf("%q: %v, %v, %v", body, got, want, err)
		}
		for name, value := range got {
			switch w := want[name].(type) {
			case string:
				if w != value {
					t.Fatalf("%q: %q is %q, and plainly %q", body, name, value, w)
				}
			case bool:
				if (value == "1") != w {
					t.Fatalf("%q: %q is %q, and plainly %v", body, name, value, w)
				}
			default:
				t.Fatalf("%q: %q is %q, and plainly %v", body, name, value, w)
			}
		}
	})
}
