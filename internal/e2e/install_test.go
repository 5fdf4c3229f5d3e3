package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portalgate/portalgate/internal/demo/servers"
	"github.com/portalgate/portalgate/internal/testenv"
)

// The first installation on an empty database, word for word as it stands in the contract and in the README (contract 9).
const firstInstallation = `
portalgate keys generate --out keyring.json
portalgate migrate up --database "$OWNER_URL"            # makes the group roles portalgate_gateway and portalgate_operator (no login)
psql "$OWNER_URL" -c "create role app login password '…' in role portalgate_gateway"   # what the gateway connects as; needs nothing else
portalgate tenant add acme --name "Acme Packaging" --host acme.portal.example --database "$OWNER_URL"
printf '%s' "$PASSWORD" | portalgate user add --tenant acme --email ann@buyer.example --name "Ann Buyer" --role CUSTOMER_USER --verified --password-stdin --database "$OWNER_URL" --keyring keyring.json
`

// passwordServer brings up a PostgreSQL on TCP that asks everybody but us for a password, with an empty database that
// belongs to a role which is no superuser.
func passwordServer(t *testing.T) (ownerURL string, urlOf func(role, password string) string) {
	t.Helper()
	pg, err := servers.StartPostgres(t.Context(), servers.Options{Offline: !testenv.Everything()})
	if errors.Is(err, servers.ErrMissing) {
		testenv.Missing(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Close)
	root, err := pgx.Connect(t.Context(), pg.URL("postgres", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close(context.Background())
	var file string
	if err := root.QueryRow(t.Context(), "show hba_file").Scan(&file); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"create role owner login createrole password 'owner-of-the-tables'",
		"create database portal owner owner",
		"copy (select unnest(array['local all postgres trust', 'local all all scram-sha-256'])) to '" + file + "'",
		"select pg_reload_conf()",
	} {
		if _, err := root.Exec(t.Context(), sql); err != nil {
			t.Fatal(sql, ": ", err)
		}
	}
	proxy := testenv.NewProxy(t, pg.Socket()+"/.s.PGSQL.5432")
	urlOf = func(role, password string) string {
		return "postgres://" + url.UserPassword(role, password).String() + "@" + proxy.Addr() + "/portal?sslmode=disable"
	}
	return urlOf("owner", "owner-of-the-tables"), urlOf
}

func TestTheFirstInstallationWordForWord(t *testing.T) {
	if _, err := exec.LookPath("psql"); err != nil {
		testenv.Missing(t, "psql is not installed; it comes with PostgreSQL: "+servers.Advice(servers.PostgreSQL))
	}
	ownerURL, urlOf := passwordServer(t)
	upstream := testenv.NewRaw(t)
	dir, err := os.MkdirTemp("/tmp", "portalgate-first-") // short: a socket's path has 108 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := "PATH=" + filepath.Dir(binary(t)) + ":" + os.Getenv("PATH")

	sh := exec.Command("/bin/sh", "-eu", "-c", strings.Replace(firstInstallation, "…", "what-the-gateway-says", 1))
	sh.Dir = dir
	sh.Env = []string{path, "HOME=" + dir, "OWNER_URL=" + ownerURL, "PASSWORD=" + testenv.Password}
	if out, err := sh.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	// The contract's Caddyfile, with certificates of its own making and away from the ports of the whole machine.
	text := fmt.Sprintf(`{
	admin unix/%s/admin.sock
	grace_period 30s
	skip_install_trust
	auto_https disable_redirects
	on_demand_tls {
		permission portalgate
	}
	portalgate {
		database {env.PORTALGATE_DATABASE_URL}
		keyring {env.PORTALGATE_KEYRING}
	}
}

https://:%s {
	bind 127.0.0.1
	tls internal {
		on_demand
	}
	portalgate {
		public /assets/* /favicon.ico
		require mfa /billing/*
		graphql /graphql
	}
	reverse_proxy %s {
		stream_close_delay 5m
	}
}
`, dir, port, upstream.Addr())
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"PORTALGATE_DATABASE_URL=" + urlOf("app", "what-the-gateway-says"), "PORTALGATE_KEYRING=" + filepath.Join(dir, "keyring.json")}
	if out, err := command(t, env, "", "doctor", "--config", file); err != nil {
		t.Errorf("the doctor is not content: %v\n%s", err, out)
	}
	p := run(t, env, "run", "--config", file)
	p.await(t, "serving initial configuration")

	ann := secureClient(t, port)
	site := "https://acme.portal.example:" + port
	req, err := http.NewRequest(http.MethodGet, site+"/orders?x=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	res, err := ann.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(res.Header.Get("Location"), "/auth/login?return_to=") {
		t.Fatalf("without a session: %s to %q", res.Status, res.Header.Get("Location"))
	}
	res = post(t, ann, site+"/auth/login", url.Values{"email": {"ann@buyer.example"}, "password": {testenv.Password}, "return_to": {"/orders?x=1"}})
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/orders?x=1" {
		t.Fatalf("signing in: %s to %q\n%s", res.Status, res.Header.Get("Location"), readAll(t, res))
	}
	if res := get(t, ann, site+"/orders?x=1"); res.StatusCode != http.StatusOK || readAll(t, res) != "ok" {
		t.Fatalf("signed in: %s", res.Status)
	}
	sent := upstream.Await(t, 0)
	if !bytes.HasPrefix(sent, []byte("GET /orders?x=1 HTTP/1.1\r\n")) {
		t.Errorf("the upstream received %s", sent)
	}
	for name, want := range map[string]string{"X-Portal-Tenant-Slug": "acme", "X-Portal-User-Email": "ann@buyer.example", "X-Portal-User-Name": "Ann%20Buyer", "X-Portal-User-Roles": "CUSTOMER_USER"} {
		if got := testenv.Heads(sent, name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := testenv.Heads(sent, "X-Portal-Customer-Id"); len(got) > 0 {
		t.Errorf("the tenant's own company is told to the upstream: %q", got)
	}
	// Nobody gets a certificate for a name that is not a tenant's.
	if res, err := ann.Get("https://other.portal.example:" + port + "/"); err == nil {
		res.Body.Close()
		t.Errorf("a host that nobody knows is answered %s", res.Status)
	}
}

// secureClient is client over TLS: every name is here, and certificates are believed.
func secureClient(t testing.TB, port string) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // whom we reach is certain: the address below
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: tr, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
