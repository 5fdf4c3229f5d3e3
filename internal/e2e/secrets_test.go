package e2e

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/portalgate/portalgate/internal/demo/servers"
	"github.com/portalgate/portalgate/internal/testenv"
)

// hunt is every secret that a run has used, and every place in which it must not be found (AUD-01).
type hunt struct {
	mu      sync.Mutex
	secrets map[string][]byte
	places  map[string][]byte
}

func newHunt() *hunt { return &hunt{secrets: map[string][]byte{}, places: map[string][]byte{}} }

func (h *hunt) secret(name, value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(value) >= 8 {
		h.secrets[name+" "+fmt.Sprint(len(h.secrets))] = []byte(value)
	}
}

// token is a secret whose last part alone would do: the head of a JWT is no secret, and the rest may be written apart.
func (h *hunt) token(name, value string) {
	h.secret(name, value)
	if cut := strings.LastIndexByte(value, '.'); cut >= 0 {
		h.secret(name+", the signature", value[cut+1:])
	}
}

func (h *hunt) place(name string, content []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.places[name] = append(h.places[name], content...)
}

// forms are the ways in which a secret may have been written down.
func forms(secret []byte) map[string][]byte {
	text := string(secret)
	out := map[string][]byte{
		"plain":     secret,
		"base64":    []byte(base64.RawStdEncoding.EncodeToString(secret)),
		"base64url": []byte(base64.RawURLEncoding.EncodeToString(secret)),
		"hex":       []byte(hex.EncodeToString(secret)),
		"HEX":       []byte(strings.ToUpper(hex.EncodeToString(secret))),
		"query":     []byte(url.QueryEscape(text)),
		"path":      []byte(url.PathEscape(text)),
	}
	if quoted, err := json.Marshal(text); err == nil {
		out["JSON"] = bytes.Trim(quoted, `"`)
	}
	return out
}

// found names every secret in every place where it stands, and what stands before it there.
func (h *hunt) found() (out []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, secret := range h.secrets {
		for place, content := range h.places {
			for form, text := range forms(secret) {
				if at := bytes.Index(content, text); at >= 0 {
					out = append(out, fmt.Sprintf("%s stands as %s in %s: …%q…", name, form, place, content[max(at-60, 0):at+4]))
					break
				}
			}
		}
	}
	return out
}

// huntingClient lets a client of ours pass, and notes each cookie it is given and each answer.
type huntingClient struct {
	http.RoundTripper
	h *hunt
}

// RoundTrip asks and notes.
func (c huntingClient) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	for _, cookie := range res.Cookies() {
		c.h.token("cookie "+cookie.Name, cookie.Value)
	}
	b, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(b))
	var head bytes.Buffer
	given := res.Header.Clone()
	given.Del("Set-Cookie") // there they belong
	_ = given.Write(&head)  // into memory
	c.h.place("the answers of the gate", append(head.Bytes(), b...))
	for _, m := range regexp.MustCompile(`name="(\w*token\w*|csrf)" value="([^"]{16,})"`).FindAllStringSubmatch(string(b), -1) {
		c.h.secret("form field "+m[1], m[2])
	}
	return res, nil
}

func (h *hunt) client(t testing.TB) *http.Client {
	c := client(t)
	c.Transport = huntingClient{c.Transport, h}
	return c
}

// upstream notes what only the upstream may know.
func (h *hunt) upstream(raw *testenv.Raw) {
	for _, r := range raw.Requests() {
		for _, name := range []string{"X-Portal-Assertion", "Authorization"} {
			for _, v := range testenv.Heads(r, name) {
				h.token(name, strings.TrimPrefix(v, "Bearer "))
			}
		}
	}
}

// monitor notes everything that Redis is told, from now on.
func (h *hunt) monitor(t testing.TB, socket, password string) {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(c)
	for _, order := range []string{"CONFIG SET requirepass " + password, "AUTH " + password, "MONITOR"} {
		if _, err := fmt.Fprintf(c, "%s\r\n", order); err != nil {
			t.Fatal(err)
		}
		if line, err := lines.ReadString('\n'); err != nil || line != "+OK\r\n" {
			t.Fatalf("Redis says %q, %v", line, err)
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			line, err := lines.ReadBytes('\n')
			h.place("what Redis is told", line)
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { c.Close(); <-ended })
}

// dump is the whole database as text.
func dump(t testing.TB, address string) []byte {
	t.Helper()
	program, err := exec.LookPath("pg_dump")
	if dir, found := servers.Find(servers.PostgreSQL); found {
		if own := filepath.Join(dir, "pg_dump"); exists(own) {
			program, err = own, nil
		}
	}
	if err != nil {
		testenv.Missing(t, "pg_dump is not installed; it comes with PostgreSQL: "+servers.Advice(servers.PostgreSQL))
	}
	out, err := exec.Command(program, "--dbname", address).Output()
	if err != nil {
		t.Fatalf("pg_dump: %v", err)
	}
	return out
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// AUD-01, KEY-04, CFG-04, at debug level, in logs that the operator has set up in every way: whatever is secret was used
// in here, and is nowhere to be read.
func TestNoSecretIsWrittenAnywhere(t *testing.T) {
	t.Parallel()
	const (
		databasePassword = "of-the-database-58117"
		redisPassword    = "of-redis-a-longer-one-90210"
		oldSecret        = "Vt8kqJ2mXz4cWn7bLr9sYp3dHg6fTa1e"
		newPassword      = "Seven green bottles, on a wall"
		wrongPassword    = "Autumn-rain-on-the-roof-3"
	)
	h := newHunt()
	for name, value := range map[string]string{"the database's password": databasePassword, "Redis's password": redisPassword, "the old backend's secret": oldSecret,
		"a password": testenv.Password, "a new password": newPassword, "a wrong password": wrongPassword} {
		h.secret(name, value)
	}
	s := newSite(t)
	s.house.Person(t, s.tenant, testenv.Visitor{Email: "first@buyer.example", Name: "Fred First", MustChange: true})
	postgres, through := testenv.ProxyPostgres(t, s.database)
	s.database = through
	address, err := url.Parse(s.database)
	if err != nil {
		t.Fatal(err)
	}
	q := address.Query()
	q.Del("user")
	address.User, address.RawQuery = url.UserPassword("app", databasePassword), q.Encode()
	s.database = address.String()
	redis := testenv.LoneRedis(t)
	h.monitor(t, redis.Socket(), redisPassword)
	limits, through := testenv.ProxyRedis(t, redis.URL())
	s.redis = strings.Replace(through, "redis://", "redis://:"+redisPassword+"@", 1)
	ring, err := os.ReadFile(s.keyring)
	if err != nil {
		t.Fatal(err)
	}
	var keys struct {
		Keys []struct{ ID, Secret string }
	}
	if err := json.Unmarshal(ring, &keys); err != nil || len(keys.Keys) == 0 {
		t.Fatalf("reading the keyring: %v", err)
	}
	for _, k := range keys.Keys {
		b, err := base64.StdEncoding.DecodeString(k.Secret)
		if err != nil {
			t.Fatal(err)
		}
		h.secret("key "+k.ID, string(b))
	}

	// A console and a file, two encoders, a filter of the operator's, and an access log.
	logs := t.TempDir()
	s.caddy = fmt.Sprintf(`debug
	log {
		level DEBUG
		format console
	}
	log second {
		output file %[1]s/second.json
		level DEBUG
	}
	log third {
		output file %[1]s/third.json
		level DEBUG
		exclude admin.api
		format filter {
			request>headers>User-Agent delete
		}
	}
	servers {
		metrics
	}`, logs)
	s.block = "upstream_token jwt {\n\t\t\tsecret {file." + filepath.Join(logs, "old") + "}\n\t\t}"
	if err := os.WriteFile(filepath.Join(logs, "old"), []byte(oldSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	g := s.launch(t)
	g.ready(t)
	// Caddy keeps what it was given, and each site has its access log.
	text := strings.Replace(s.caddyfile(g.port, filepath.Dir(g.file)), "persist_config off", "", 1)
	text = strings.Replace(text, "bind 127.0.0.1\n", "bind 127.0.0.1\n\tlog\n", 1)
	if err := os.WriteFile(g.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"PORTALGATE_DATABASE_URL=" + s.database, "PORTALGATE_KEYRING=" + s.keyring, "PORTALGATE_REDIS_URL=" + s.redis}
	for _, args := range [][]string{
		{"reload", "--config", g.file, "--address", g.admin()}, {"adapt", "--config", g.file, "--pretty"}, {"validate", "--config", g.file}, {"doctor", "--config", g.file},
	} {
		out, err := command(t, env, "", args...)
		if err != nil {
			t.Fatalf("%s: %v\n%s", args[0], err, out)
		}
		h.place("what `portalgate "+args[0]+"` says", []byte(out))
	}

	h.visits(t, g, wrongPassword, newPassword)
	// What is said of neighbours that are gone: their addresses hold passwords.
	bob := h.client(t)
	for _, p := range []*testenv.Proxy{postgres, limits} {
		p.Cut()
		post(t, bob, g.url("/auth/login"), url.Values{"email": {"bob@buyer.example"}, "password": {newPassword}})
		out, _ := command(t, env, "", "doctor", "--config", g.file, "--json") // it complains
		h.place("what the doctor complains of", []byte(out))
		p.Heal()
	}
	g.until(t, "sign-in that works again", func() bool {
		return post(t, h.client(t), g.url("/auth/login"), url.Values{"email": {"ann@buyer.example"}, "password": {newPassword}}).StatusCode == http.StatusSeeOther
	})
	for _, args := range [][]string{
		{"keys", "list", "--json"}, {"user", "list", "--tenant", s.tenant.Slug, "--json"}, {"user", "show", "--tenant", s.tenant.Slug, "--email", "ann@buyer.example", "--json"},
		{"limits", "list", "--rules", "--admin", g.admin(), "--json"}, {"why", "bob@buyer.example", "--admin", g.admin(), "--json"},
	} {
		h.place("what `portalgate "+strings.Join(args[:2], " ")+"` says", []byte(s.operate(t, "", args...)))
	}

	h.upstream(s.raw)
	admin := g.adminClient(t)
	for _, path := range []string{"/config/", "/metrics", "/portalgate/health", "/portalgate/ready", "/portalgate/limits", "/reverse_proxy/upstreams", "/debug/vars"} {
		res, err := admin.Get("http://127.0.0.1" + path)
		if err != nil {
			t.Fatal(err)
		}
		h.place("the admin endpoint's "+path, []byte(readAll(t, res)))
		res.Body.Close()
	}
	saved := filepath.Join(g.cmd.Dir, "caddy", "autosave.json")
	h.file(t, saved, "portalgate")
	h.place("the database", dump(t, s.house.DB.RootURL))
	h.file(t, filepath.Join(logs, "second.json"), "upstream roundtrip")
	h.file(t, filepath.Join(logs, "third.json"), "upstream roundtrip")
	h.place("the console's log", []byte(g.said()))
	g.until(t, "a command in Redis's monitor", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return bytes.Contains(h.places["what Redis is told"], []byte("lua"))
	})
	for _, name := range []string{"second.json", "third.json", "the console's log"} {
		if log := string(h.places[name]); strings.Contains(log, "ann@buyer.example") || !strings.Contains(log, "REDACTED") {
			t.Errorf("%s names somebody by the full address, or leaves nothing out", name)
		}
	}
	if !strings.Contains(g.said(), "upstream roundtrip") || !strings.Contains(g.said(), "handled request") {
		t.Error("the log is not at debug level, or lacks the access log: the hunt shows nothing")
	}

	for _, needed := range []string{"cookie portalgate ", "cookie portalgate-refresh ", "cookie portalgate-device ", "cookie portalgate-attempt ", "X-Portal-Assertion ", "Authorization ", "key "} {
		n := 0
		for name := range h.secrets {
			if strings.HasPrefix(name, needed) {
				n++
			}
		}
		if n == 0 {
			t.Errorf("no %swas used; the hunt shows nothing", needed)
		}
	}
	t.Logf("%d secrets looked for in %d places", len(h.secrets), len(h.places))
	for _, f := range h.found() {
		t.Error(f)
	}
}

// file is a place that must exist and hold what it is there for.
func (h *hunt) file(t testing.TB, path, has string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), has) {
		t.Errorf("%s does not hold %q; the hunt shows nothing", path, has)
	}
	h.place(filepath.Base(path), b)
}

// visits walk through what a person does, and what goes wrong.
func (h *hunt) visits(t *testing.T, g *gateway, wrong, next string) {
	t.Helper()
	expect := func(what string, res *http.Response, want int) *http.Response {
		t.Helper()
		if res.StatusCode != want {
			t.Errorf("%s: %s", what, res.Status)
		}
		return res
	}
	login := func(c *http.Client, email, password string) *http.Response {
		return post(t, c, g.url("/auth/login"), url.Values{"email": {email}, "password": {password}, "remember": {"1"}})
	}
	ann := h.client(t)
	expect("a wrong password", login(ann, "ann@buyer.example", wrong), http.StatusUnauthorized)
	expect("a stranger", login(ann, "nobody@buyer.example", wrong), http.StatusUnauthorized)
	expect("nothing typed", login(ann, "", ""), http.StatusUnprocessableEntity)
	expect("signing in", login(ann, "ann@buyer.example", testenv.Password), http.StatusSeeOther)
	expect("a page", get(t, ann, g.url("/orders?x=1")), http.StatusOK)
	expect("the session", get(t, ann, g.url("/auth/api/session")), http.StatusOK)
	for _, path := range []string{"/auth/account", "/auth/account/sessions", "/auth/account/password", "/auth/account/activity", "/auth/jwks.json"} {
		expect(path, get(t, ann, g.url(path)), http.StatusOK)
	}

	// Only the refresh cookie is left: the gateway renews, and the new cookies are secrets too.
	site, err := url.Parse(g.url("/"))
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range ann.Jar.Cookies(site) {
		if c.Name != "portalgate" {
			jar.SetCookies(site, []*http.Cookie{c})
		}
	}
	ann.Jar = jar
	if res := expect("renewal", get(t, ann, g.url("/orders")), http.StatusOK); len(res.Cookies()) == 0 {
		t.Error("nothing was renewed")
	}

	expect("a new password that is short", post(t, ann, g.url("/auth/account/password"), url.Values{"current_password": {testenv.Password}, "password": {"x"}}), http.StatusUnprocessableEntity)
	expect("a new password", post(t, ann, g.url("/auth/account/password"), url.Values{"current_password": {testenv.Password}, "password": {next}}), http.StatusSeeOther)

	// A temporary password: between the two of them only the attempt's cookie says who it is.
	fred := h.client(t)
	expect("a temporary password", login(fred, "first@buyer.example", testenv.Password), http.StatusSeeOther)
	expect("the page for a new one", get(t, fred, g.url("/auth/account/password")), http.StatusOK)
	expect("a new one that is short", post(t, fred, g.url("/auth/account/password"), url.Values{"password": {"x"}}), http.StatusUnprocessableEntity)
	expect("a new one", post(t, fred, g.url("/auth/account/password"), url.Values{"password": {next + " too"}}), http.StatusSeeOther)

	// The upstream fails after it has been told who asks.
	g.site.raw.Answer(func([]byte) []byte { return nil })
	const old = "t0ken-of-the-upstreams-own-link-77"
	h.secret("a token of the upstream's", old)
	expect("the upstream hangs up", get(t, ann, g.url("/invoices?token="+old)), http.StatusBadGateway)
	g.site.raw.Answer(func([]byte) []byte { return []byte("HTTP/1.1 2oo nonsense\r\n\r\n") })
	expect("the upstream talks nonsense", get(t, ann, g.url("/invoices")), http.StatusBadGateway)
	g.site.raw.Answer(func([]byte) []byte {
		return []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\nnonsense\r\n")
	})
	if res, err := ann.Get(g.url("/invoices")); err == nil {
		t.Errorf("an answer that breaks off: %s", res.Status)
		res.Body.Close()
	}
	g.site.raw.Answer(func([]byte) []byte { return testenv.Answered(200, "", "ok") })

	// A link with a token in it, and a password where none belongs.
	const linked = "tok3n-of-a-link-0123456789abcdef"
	h.secret("a link's token", linked)
	get(t, ann, g.url("/auth/reset-password?token="+linked))
	get(t, ann, g.url("/auth/login?token="+linked))
	// A form that is sent as a query (LOG-05), with nothing escaped in it; and where somebody comes from with a link.
	const asked, typed = "P4ssw0rd-in-an-address-19", "739104-2286"
	h.secret("a password in a query", asked)
	h.secret("a code in a query", typed)
	for query, want := range map[string]int{"email=ann@buyer.example&password=" + asked + "&code=" + typed: http.StatusBadRequest, "pw=" + asked: http.StatusUnauthorized} {
		expect("a form as a query", post(t, h.client(t), g.url("/auth/login?"+query), url.Values{"email": {"nobody@buyer.example"}, "password": {wrong}}), want)
	}
	for _, path := range []string{"/auth/login", "/orders"} {
		req, err := http.NewRequest(http.MethodGet, g.url(path), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Referer", g.url("/auth/reset-password?token="+linked))
		res, err := ann.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	stranger := h.client(t)
	expect("no session", get(t, stranger, g.url("/orders")), http.StatusUnauthorized)
	expect("no page", get(t, stranger, g.url("/auth/none")), http.StatusNotFound)
	expect("a path that climbs", get(t, stranger, g.url("/a/%2e%2e/b")), http.StatusBadRequest)
	expect("an unknown host", get(t, stranger, "http://nobody.localhost:"+g.port+"/"), http.StatusMisdirectedRequest)
	req, err := http.NewRequest(http.MethodPost, g.url("/auth/login"), strings.NewReader("email=ann%40buyer.example&password="+url.QueryEscape(next)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "https://evil.example")
	res, err := stranger.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	expect("another site's form", res, http.StatusForbidden)
	res.Body.Close()
	res, err = stranger.Post(g.url("/auth/login"), "application/json", strings.NewReader(`{"email":"ann@buyer.example","password":["`+next+`"]}`))
	if err != nil {
		t.Fatal(err)
	}
	expect("a password in a list", res, http.StatusBadRequest)
	res.Body.Close()

	expect("signing out", post(t, ann, g.url("/auth/logout"), url.Values{"all": {"1"}}), http.StatusSeeOther)
	expect("the old cookies", get(t, ann, g.url("/orders")), http.StatusUnauthorized)
	expect("the new password", login(h.client(t), "ann@buyer.example", next), http.StatusSeeOther)
	for range 6 {
		login(h.client(t), "bob@buyer.example", wrong)
	}
}
