package breach

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func digest(text string) [DigestBytes]byte { return sha1.Sum([]byte(text)) }

func named(t testing.TB, text string) string {
	t.Helper()
	sum := digest(text)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

var stolen = []string{"passwordpassword", "correct horse battery staple", "Caf\u00e9 au lait und mehr", "日本語の長い合言葉", "x\x00y und mehr"}

// conform is what every source must do.
func conform(t *testing.T, source interface {
	Breached(context.Context, [DigestBytes]byte) (bool, error)
}) {
	t.Helper()
	for _, text := range stolen {
		if found, err := source.Breached(context.Background(), digest(text)); err != nil || !found {
			t.Errorf("%q was stolen, and is not known: %v", text, err)
		}
	}
	wrong := 0
	for i := range 1000 {
		found, err := source.Breached(context.Background(), digest(fmt.Sprintf("one of my own, number %d", i)))
		if err != nil {
			t.Fatal(err)
		}
		if found {
			wrong++
		}
	}
	if wrong > 20 { // a filter may take one in 256 for another
		t.Errorf("%d of 1000 that nobody stole are known", wrong)
	}
	for _, text := range []string{"Passwordpassword", "passwordpassword ", "x\x00z und mehr"} {
		if found, err := source.Breached(context.Background(), digest(text)); err != nil || found {
			t.Errorf("%q is another password: %t, %v", text, found, err)
		}
	}
	done := make(chan error, 8)
	for range cap(done) {
		go func() {
			found, err := source.Breached(context.Background(), digest(stolen[0]))
			if err == nil && !found {
				err = errors.New("not known")
			}
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Errorf("asked by several at once: %v", err)
		}
	}
}

// service speaks the range protocol, of the list above and padding.
func service(t *testing.T, saw func(*http.Request)) *httptest.Server {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		saw(r)
		prefix := r.URL.Path[len("/range/"):]
		for i := range 20 {
			fmt.Fprintf(w, "%035X:%d\r\n", i, i)
		}
		for _, text := range stolen {
			if n := named(t, text); n[:5] == prefix {
				fmt.Fprintf(w, "%s:42\r\n", n[5:])
			}
		}
		// The padding of a password that nobody stole.
		fmt.Fprintf(w, "%s:0\r\n", named(t, "passwordpassword ")[5:])
	}))
	t.Cleanup(s.Close)
	return s
}

func TestTheServiceConforms(t *testing.T) {
	t.Parallel()
	s := service(t, func(r *http.Request) {
		if len(r.URL.Path) != len("/range/")+5 || r.URL.RawQuery != "" || r.Header.Get("Add-Padding") != "true" || r.Method != http.MethodGet || r.ContentLength != 0 {
			t.Errorf("it is told more than five digits, or does not pad: %s %s", r.Method, r.URL)
		}
	})
	a, err := NewRangeAPI(s.URL+"/range", s.Client().Transport)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close() //nolint:errcheck // a test's end
	conform(t, a)
}

func TestPaddingIsNoPassword(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{"": false, "A:1": true, "A:1\r\n": true, "a:3\n": true, "B:1\nA:0\n": false, "A:0\nA:2": true} {
		if found, err := inRange(strings.NewReader(body), "A"); err != nil || found != want {
			t.Errorf("%q: %t, %v", body, found, err)
		}
	}
}

// Whatever a service does instead of answering is an error, and soon: the caller takes the password then.
func TestAServiceThatDoesNotAnswerIsAnError(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	for name, answer := range map[string]http.HandlerFunc{
		"down":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"limiting": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
		"elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
		},
		"a page":        func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>Please accept our terms</html>") },
		"endless":       func(w http.ResponseWriter, _ *http.Request) { endless(w, fmt.Sprintf("%035X:1\r\n", 1), stop) },
		"one long line": func(w http.ResponseWriter, _ *http.Request) { endless(w, "AAAAAAAAAAAAAAAAAAAAAAAAAAA", stop) },
		"silent":        func(w http.ResponseWriter, r *http.Request) { wait(r, stop) },
		"stuck in a line": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "AA")
			w.(http.Flusher).Flush()
			wait(r, stop)
		},
		"counts no number": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "%035X:many\r\n", 1) },
	} {
		s := httptest.NewTLSServer(answer)
		a, err := NewRangeAPI(s.URL+"/range/", s.Client().Transport)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = a.Breached(context.Background(), digest("passwordpassword"))
		if took := time.Since(start); err == nil || took > 10*time.Second {
			t.Errorf("%s: %v after %s", name, err, took)
		}
		if err != nil && strings.Contains(strings.ToUpper(err.Error()), named(t, "passwordpassword")[:5]) {
			t.Errorf("%s: the error tells what was asked: %v", name, err)
		}
		t.Cleanup(s.Close)
	}
	close(stop)
}

func endless(w http.ResponseWriter, line string, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		if _, err := fmt.Fprint(w, line); err != nil {
			return
		}
	}
}

func wait(r *http.Request, stop chan struct{}) {
	select {
	case <-r.Context().Done():
	case <-stop:
	}
}

func TestAServiceIsAskedOverTLSOnly(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"http://mirror.example/range/", "mirror.example", "https://", "https://user:pass@mirror.example/", "https://mirror.example/?q=", "ftp://mirror.example/", "https://a b/", "https://mirror.example/#x"} {
		if _, err := NewRangeAPI(address, nil); err == nil {
			t.Errorf("%s is taken", address)
		}
	}
	for _, address := range []string{"", RangeURL, "https://mirror.example", "https://mirror.example:8443/pwned/range/"} {
		if _, err := NewRangeAPI(address, nil); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestAServiceOfAnUnknownAuthorityIsNotBelieved(t *testing.T) {
	t.Parallel()
	s := service(t, func(*http.Request) {})
	a, err := NewRangeAPI(s.URL+"/range/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := a.Breached(context.Background(), digest(stolen[0])); err == nil || found {
		t.Errorf("believed: %t", found)
	}
}

func listOf(t testing.TB, more int) string {
	t.Helper()
	var lines []string
	for _, text := range stolen {
		lines = append(lines, named(t, text)+":3")
	}
	for i := range more {
		sum := sha1.Sum(fmt.Appendf(nil, "filler %d", i))
		lines = append(lines, strings.ToUpper(hex.EncodeToString(sum[:]))+fmt.Sprintf(":%d", i))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\r\n") + "\r\n"
}

func built(t *testing.T, list string) (string, Built) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "filter")
	b, err := Build(strings.NewReader(list), name)
	if err != nil {
		t.Fatal(err)
	}
	return name, b
}

func TestTheFileConforms(t *testing.T) {
	t.Parallel()
	for _, more := range []int{0, 1, 5, 100_000} {
		name, b := built(t, listOf(t, more))
		f, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // a test's end
		if want := uint64(len(stolen) + more); b.Passwords != want || b.Lines != want || f.Count() != want {
			t.Errorf("%+v of %d", b, want)
		}
		if info, err := os.Stat(name); err != nil || info.Size() != b.Bytes || info.Mode().Perm() != 0o644 || more == 100_000 && b.Bytes > 130_000 {
			t.Errorf("%+v: %v, %v", b, info, err)
		}
		conform(t, f)
		for i := range more {
			if found, err := f.Breached(context.Background(), digest(fmt.Sprintf("filler %d", i))); err != nil || !found {
				t.Fatalf("%d of %d is not known: %v", i, more, err)
			}
		}
	}
}
