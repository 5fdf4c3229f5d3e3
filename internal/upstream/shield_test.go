package upstream

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
)

// answered serves one request by a handler behind a shield, and returns what came out at the other end.
func answered(t *testing.T, cookies []string, method string, h func(w http.ResponseWriter)) (res *http.Response, early []textproto.MIMEHeader) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := prefix.Shield(w, cookies, nil)
		h(&s)
		s.End()
	}))
	t.Cleanup(srv.Close)
	req, err := http.NewRequest(method, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
		early = append(early, h)
		return nil
	}}))
	if res, err = srv.Client().Do(req); err != nil {
		t.Fatal(err)
	}
	if _, err = io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res, early
}

var ours = []string{"__Host-portalgate=new; Path=/; Secure"}

// SES-06: the upstream cannot set, overwrite or delete a cookie of ours, nor speak in our name, nor open us to others.
func TestTheUpstreamCannotTouchWhatIsOurs(t *testing.T) {
	res, _ := answered(t, ours, "GET", func(w http.ResponseWriter) {
		h := w.Header()
		for _, c := range []string{"__Host-portalgate=evil", "portalgate-refresh=; Max-Age=0", "=portalgate=evil", "theirs=1; Path=/", "lang=en"} {
			h.Add("Set-Cookie", c)
		}
		h.Set("Clear-Site-Data", `"cookies"`)
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("X-Portal-User-Id", "admin")
		h.Set("X_Portal_User", "admin")
		h.Set("Cache-Control", "public, max-age=600")
		h.Set("X-Kept", "1")
		_, _ = io.WriteString(w, "hello")
	})
	if got := res.Header["Set-Cookie"]; !slices.Equal(got, []string{"theirs=1; Path=/", "lang=en", ours[0]}) {
		t.Errorf("cookies: %q", got)
	}
	for _, name := range []string{"Clear-Site-Data", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "X-Portal-User-Id", "X_portal_user"} {
		if v, there := res.Header[name]; there {
			t.Errorf("%s: %q", name, v)
		}
	}
	if res.Header.Get("X-Kept") != "1" || res.Header.Get("Cache-Control") != "no-store" { // SES-05
		t.Errorf("%v", res.Header)
	}
}

func TestACookieOfOursIsNotPutWhereItWouldBeKept(t *testing.T) {
	for _, status := range []int{200, 204, 301, 404, 500} {
		if res, _ := answered(t, ours, "GET", func(w http.ResponseWriter) { w.WriteHeader(status) }); !slices.Equal(res.Header["Set-Cookie"], ours) || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d: %v", status, res.Header)
		}
	}
	res, _ := answered(t, ours, "GET", func(w http.ResponseWriter) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.WriteHeader(304)
	})
	if len(res.Header["Set-Cookie"]) > 0 || res.Header.Get("Cache-Control") != "max-age=60" {
		t.Errorf("304: %v", res.Header)
	}
	// without a renewal the upstream's caching stands
	res, _ = answered(t, nil, "GET", func(w http.ResponseWriter) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.WriteHeader(200)
	})
	if len(res.Header["Set-Cookie"]) > 0 || res.Header.Get("Cache-Control") != "max-age=60" {
		t.Errorf("no renewal: %v", res.Header)
	}
}

func TestEarlyHintsAreJudgedAndTheAnswerStillGetsItsCookies(t *testing.T) {
	res, early := answered(t, ours, "GET", func(w http.ResponseWriter) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.Header().Set("X-Portal-User-Id", "admin")
		w.Header().Set("Set-Cookie", "portalgate=evil")
		w.WriteHeader(103)
		w.Header().Del("Link")
		w.WriteHeader(200)
	})
	if len(early) != 1 || early[0].Get("Link") == "" || early[0].Get("X-Portal-User-Id") != "" || early[0].Get("Set-Cookie") != "" {
		t.Errorf("early: %v", early)
	}
	if res.StatusCode != 200 || !slices.Equal(res.Header["Set-Cookie"], ours) {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

// Trailers come last and by two ways: declared before the body, or by a prefix of net/http's own.
func TestTheUpstreamsTrailersAreJudgedToo(t *testing.T) {
	res, _ := answered(t, nil, "GET", func(w http.ResponseWriter) {
		w.Header().Set("Trailer", "X-Sum, X-Portal-User-Id, Set-Cookie, Access-Control-Allow-Origin")
		_, _ = io.WriteString(w, "hello")
		w.(http.Flusher).Flush()
		h := w.Header()
		for _, p := range []string{"", http.TrailerPrefix} {
			h.Set(p+"X-Portal-User-Id", "admin")
			h.Set(p+"X-Portal-Late", "admin")
			h.Set(p+"Set-Cookie", "portalgate=evil")
			h.Set(p+"Access-Control-Allow-Origin", "*")
		}
		h.Set("X-Sum", "1")
		h.Set(http.TrailerPrefix+"X-Late", "2")
	})
	if len(res.Trailer) != 2 || res.Trailer.Get("X-Sum") != "1" || res.Trailer.Get("X-Late") != "2" {
		t.Errorf("trailers: %v", res.Trailer)
	}
	if got := strings.Join(res.Header["Trailer"], ""); strings.Contains(got, "Portal") {
		t.Errorf("declared: %q", got)
	}
}

func TestAnAnswerWithoutAHeaderOfItsOwnIsJudged(t *testing.T) {
	for name, send := range map[string]func(http.ResponseWriter){
		"write":     func(w http.ResponseWriter) { _, _ = io.WriteString(w, "x") },
		"flush":     func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"read from": func(w http.ResponseWriter) { _, _ = w.(io.ReaderFrom).ReadFrom(strings.NewReader("x")) },
	} {
		res, _ := answered(t, ours, "GET", func(w http.ResponseWriter) {
			w.Header().Set("X-Portal-User-Id", "admin")
			send(w)
		})
		if res.Header.Get("X-Portal-User-Id") != "" || !slices.Equal(res.Header["Set-Cookie"], ours) {
			t.Errorf("%s: %v", name, res.Header)
		}
	}
}
