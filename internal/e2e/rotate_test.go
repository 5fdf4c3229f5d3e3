package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/testenv"
)

// ringKey is what a test reads of a key in the keyring's file.
type ringKey struct {
	ID          string     `json:"id"`
	Purpose     string     `json:"purpose"`
	UseFrom     time.Time  `json:"use_from"`
	VerifyUntil *time.Time `json:"verify_until,omitempty"`
	Secret      string     `json:"secret"`
}

// ages makes the keyring's file what it would be had everything in it happened that much earlier: time passes for the
// keys, without waiting for it.
func ages(t testing.TB, file string, by time.Duration) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var ring struct {
		Version int       `json:"version"`
		Keys    []ringKey `json:"keys"`
	}
	if err := json.Unmarshal(b, &ring); err != nil {
		t.Fatal(err)
	}
	for i := range ring.Keys {
		k := &ring.Keys[i]
		k.UseFrom = k.UseFrom.Add(-by)
		if k.VerifyUntil != nil {
			at := k.VerifyUntil.Add(-by)
			k.VerifyUntil = &at
		}
	}
	if b, err = json.Marshal(ring); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".aged", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".aged", file); err != nil {
		t.Fatal(err)
	}
}

// signedBy is the key that an access token names.
func signedBy(t testing.TB, token string) string {
	t.Helper()
	head, _, _ := strings.Cut(token, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	var h struct {
		Kid string `json:"kid"`
	}
	if err != nil || json.Unmarshal(b, &h) != nil || h.Kid == "" {
		t.Fatalf("%q is no access token", token)
	}
	return h.Kid
}

// held is a browser's cookie of that name, here without the prefix of https.
func held(g *gateway, c *http.Client, name string) string {
	u := &url.URL{Scheme: "http", Host: g.site.tenant.Hosts[0] + ":" + g.port, Path: "/"}
	for _, k := range c.Jar.Cookies(u) {
		if k.Name == name {
			return k.Value
		}
	}
	return ""
}

// throng is people who go on asking at two gateways, with both cookies and now and then with the refresh cookie alone.
type throng struct {
	stop    chan struct{}
	all     sync.WaitGroup
	asked   atomic.Int64
	renewed atomic.Int64

	mu    sync.Mutex
	wrong []string
}

func (x *throng) walk(gates []*gateway, c *http.Client) {
	x.all.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-x.stop:
				return
			default:
			}
			g := gates[n%len(gates)]
			req, err := http.NewRequest([]string{"GET", "GET", "HEAD"}[n%3], g.url("/orders"), nil)
			if err != nil {
				x.say(err.Error())
				return
			}
			if n%4 == 0 { // the access token is gone, as when its time is over
				c.Jar.SetCookies(req.URL, []*http.Cookie{{Name: "portalgate", Path: "/", MaxAge: -1}})
			}
			res, err := c.Do(req)
			if err != nil {
				x.say(err.Error())
				continue
			}
			res.Body.Close()
			x.asked.Add(1)
			if len(res.Header["Set-Cookie"]) > 0 {
				x.renewed.Add(1)
			}
			if res.StatusCode != http.StatusOK {
				x.say(fmt.Sprintf("%s at gateway %d is answered %s", req.Method, n%len(gates), res.Status))
			}
		}
	})
}

func (x *throng) say(what string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.wrong = append(x.wrong, what)
}

// Keys are rotated while people work at two gateways: in good time, and at once as after a leak, twice in a row. Nobody
// is signed out, nobody is answered wrongly, and what one gateway makes with a new key the other takes.
func TestKeysAreRotatedUnderLoadOnTwoGatewaysAndNobodyIsSignedOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.raw.Answer(func([]byte) []byte { return testenv.Answered(http.StatusOK, "", "") }) // for HEAD as well
	one, two := s.start(t), s.start(t)
	gates := []*gateway{one, two}
	x := &throng{stop: make(chan struct{})}
	const people = 4
	var browsers []*http.Client
	for i := range people {
		email := fmt.Sprintf("p%d@buyer.example", i)
		s.house.Person(t, s.tenant, testenv.Visitor{Email: email, Name: "Some Body"})
		c := client(t)
		if res := gates[i%2].try(t, c, email, testenv.Password); res.StatusCode != http.StatusSeeOther {
			t.Fatalf("signing in: %s", res.Status)
		}
		browsers = append(browsers, c)
	}
	ann := one.signedIn(t)
	first := signedBy(t, held(one, ann, "portalgate"))
	for i, c := range browsers {
		x.walk([]*gateway{gates[i%2], gates[(i+1)%2]}, c)
	}
	// turned waits until a gateway makes tokens with another key, and gives the key.
	turned := func(g *gateway, c *http.Client, from string) (to string) {
		t.Helper()
		g.until(t, "token of a new key", func() bool {
			c.Jar.SetCookies(address(t, g), []*http.Cookie{{Name: "portalgate", Path: "/", MaxAge: -1}})
			if got := status(t, c, g.url("/orders")); got != http.StatusOK {
				t.Fatalf("renewing is answered %d", got)
			}
			to = signedBy(t, held(g, c, "portalgate"))
			return to != from
		})
		return to
	}
	crosses := func(c *http.Client, g *gateway) {
		t.Helper()
		probe := client(t)
		probe.Jar.SetCookies(address(t, g), []*http.Cookie{{Name: "portalgate", Value: held(g, c, "portalgate"), Path: "/"}})
		if got := status(t, probe, g.url("/orders")); got != http.StatusOK {
			t.Errorf("a token that the other gateway has just made is answered %d", got)
		}
	}
	// stranger is a token of a key that nobody has: it makes the gateway look into the file, as a real one would.
	stranger := func(g *gateway) {
		t.Helper()
		c := client(t)
		head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"access-unknown","typ":"at+jwt"}`))
		c.Jar.SetCookies(address(t, g), []*http.Cookie{{Name: "portalgate", Value: head + ".e30.c2ln", Path: "/"}})
		if got := status(t, c, g.url("/orders")); got != http.StatusUnauthorized {
			t.Errorf("a token of an unknown key is answered %d", got)
		}
	}

	t.Run("in good time", func(t *testing.T) {
		said := s.operate(t, "", "keys", "rotate", "--json")
		var out struct{ Made []string }
		if err := json.Unmarshal([]byte(said), &out); err != nil || len(out.Made) == 0 {
			t.Fatalf("%v: %s", err, said)
		}
		stranger(one) // it has the file now, and the other has not
		if got := turned(one, ann, ""); got != first {
			t.Errorf("%s is used before its time", got)
		}
		// Nine minutes and 58 seconds later; the gateways read the file by themselves, or where a token asks for it.
		ages(t, s.keyring, 10*time.Minute-2*time.Second)
		stranger(one)
		second := turned(one, ann, first)
		if !slices.Contains(out.Made, second) {
			t.Errorf("the new key is %s, made were %v", second, out.Made)
		}
		crosses(ann, two)
		turned(two, ann, first)
	})
	t.Run("at once, and at once again", func(t *testing.T) {
		before := signedBy(t, held(one, ann, "portalgate"))
		old := held(one, ann, "portalgate")
		s.operate(t, "", "keys", "rotate", "--now")
		stranger(one)
		third := turned(one, ann, before)
		crosses(ann, two)
		s.operate(t, "", "keys", "rotate", "--now")
		stranger(two)
		turned(two, ann, third)
		crosses(ann, one)
		for i, g := range gates {
			c := client(t)
			c.Jar.SetCookies(address(t, g), []*http.Cookie{{Name: "portalgate", Value: old, Path: "/"}})
			if got := status(t, c, g.url("/orders")); got != http.StatusUnauthorized {
				t.Errorf("gateway %d takes a token of a key that has leaked: %d", i, got)
			}
		}
	})
	close(x.stop)
	x.all.Wait()
	t.Logf("%d requests, %d renewals", x.asked.Load(), x.renewed.Load())
	if x.asked.Load() < 100 || x.renewed.Load() < 20 {
		t.Error("that was no load")
	}
	if len(x.wrong) > 0 {
		t.Errorf("%d went wrong, the first: %s", len(x.wrong), x.wrong[0])
	}
	for i, c := range browsers {
		for j, g := range gates {
			if got := status(t, c, g.url("/orders")); got != http.StatusOK {
				t.Errorf("afterwards person %d at gateway %d is answered %d", i, j, got)
			}
		}
	}
	var ended int
	s.house.DB.Row(t, `select count(*) from portalgate.sessions where ended_at is not null`, nil, &ended)
	if ended > 0 {
		t.Errorf("%d sessions have ended", ended)
	}
}

// Another keyring in the file's place, as after a mix-up of two installations: nobody notices, and the log says it once.
func TestAForeignKeyringUnderARunningGatewayIsNotRead(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	g := s.start(t)
	ann := g.signedIn(t)
	if err := os.Rename(otherKeys(t, nil), s.keyring); err != nil {
		t.Fatal(err)
	}
	c := client(t)
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"access-unknown","typ":"at+jwt"}`))
	c.Jar.SetCookies(address(t, g), []*http.Cookie{{Name: "portalgate", Value: head + ".e30.c2ln", Path: "/"}})
	if got := status(t, c, g.url("/orders")); got != http.StatusUnauthorized { // which has the file looked into
		t.Errorf("a token of an unknown key is answered %d", got)
	}
	if got := status(t, ann, g.url("/orders")); got != http.StatusOK {
		t.Errorf("somebody signed in is answered %d", got)
	}
	if res := g.try(t, client(t), "bob@buyer.example", testenv.Password); res.StatusCode != http.StatusSeeOther {
		t.Errorf("the right password is answered %s", res.Status)
	}
	g.until(t, "line in the log", func() bool { return strings.Contains(g.said(), "the keys already loaded go on") })
}
