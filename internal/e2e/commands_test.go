package e2e

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/testenv"
)

// operate runs a command as an operator does: a member of portalgate_operator, with the gateway's keyring.
func (s *site) operate(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	out, err := command(t, []string{"PORTALGATE_DATABASE_URL=" + s.house.DB.OperatorURL, "PORTALGATE_KEYRING=" + s.keyring}, stdin, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// felt waits until something holds, and complains when that took longer than two seconds from now: what a command
// changes is in force on every gateway by then (contract 9).
func (g *gateway) felt(t testing.TB, what string, holds func() bool) {
	t.Helper()
	began := time.Now()
	g.until(t, what, holds)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("%s: felt after %s", what, took.Round(time.Millisecond))
	}
}

// Without Redis, as a single gateway runs.
func TestWhatACommandChangesIsFeltByARunningGatewayWithinTwoSeconds(t *testing.T) {
	s := newSite(t)
	g := s.start(t)
	slug := s.tenant.Slug
	host := func(name string) *http.Request {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+name+":"+g.port+"/orders", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "application/json")
		return req
	}
	answered := func(c *http.Client, name string) int {
		res, err := c.Do(host(name))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	here := s.tenant.Hosts[0]

	ann, bob := g.signedIn(t), client(t)
	if res := g.try(t, bob, "bob@buyer.example", testenv.Password); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("Bob signs in: %s", res.Status)
	}
	if a, b := answered(ann, here), answered(bob, here); a != 200 || b != 200 {
		t.Fatalf("signed in: %d and %d", a, b)
	}

	if out := s.operate(t, "", "user", "revoke-sessions", "--tenant", slug, "--email", "ann@buyer.example", "--operator", "ops", "--reason", "lost laptop"); !strings.Contains(out, "1 session of ann@buyer.example ended") {
		t.Errorf("it says %s", out)
	}
	g.felt(t, "the end of Ann's session", func() bool { return answered(ann, here) == http.StatusUnauthorized })
	if got := answered(bob, here); got != 200 {
		t.Errorf("Bob's session is answered %d", got)
	}

	s.operate(t, "Temporary box 4711\n", "user", "set-password", "--tenant", slug, "--email", "bob@buyer.example", "--password-stdin", "--reason", "called, identity checked")
	g.felt(t, "the end of Bob's session", func() bool { return answered(bob, here) == http.StatusUnauthorized })
	if res := g.try(t, client(t), "bob@buyer.example", testenv.Password); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("the old password is answered %s", res.Status)
	}
	res := g.try(t, bob, "bob@buyer.example", "Temporary box 4711")
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") == "/" {
		t.Errorf("a temporary password is answered %s to %q", res.Status, res.Header.Get("Location"))
	}
	if got := answered(bob, here); got != http.StatusUnauthorized {
		t.Errorf("a temporary password opens the portal: %d", got)
	}

	second := "second-" + here
	if got := answered(client(t), second); got != http.StatusMisdirectedRequest {
		t.Errorf("a host that nobody knows is answered %d", got)
	}
	s.operate(t, "", "tenant", "host", "add", slug, second)
	g.felt(t, "the new host", func() bool { return answered(client(t), second) == http.StatusUnauthorized })
	s.operate(t, "", "tenant", "host", "remove", slug, second)
	g.felt(t, "the host that was taken away", func() bool { return answered(client(t), second) == http.StatusMisdirectedRequest })

	s.operate(t, "", "tenant", "mode", slug, "off")
	g.felt(t, "the gate taken off", func() bool { return answered(client(t), here) == http.StatusOK })
	s.operate(t, "", "tenant", "mode", slug, "on")
	g.felt(t, "the gate put on", func() bool { return answered(client(t), here) == http.StatusUnauthorized })

	ann2 := client(t)
	leads := func() string {
		return g.try(t, ann2, "ann@buyer.example", testenv.Password).Header.Get("Location")
	}
	s.operate(t, "", "policy", "set", "mfa", "required", "--tenant", slug, "--reason", "the auditors ask for it")
	g.felt(t, "the second step that is required", func() bool { return strings.HasPrefix(leads(), "/auth/mfa") })
	s.operate(t, "", "policy", "pause", "--tenant", slug)
	g.felt(t, "the pause", func() bool { return leads() == "/" })

	third := "new-" + here
	s.operate(t, "", "tenant", "add", "new-"+slug, "--name", "New Company", "--host", third)
	g.felt(t, "the new tenant", func() bool { return answered(client(t), third) == http.StatusUnauthorized })
	s.operate(t, testenv.Password, "user", "add", "--tenant", "new-"+slug, "--email", "eve@buyer.example", "--name", "Eve", "--verified", "--password-stdin")
	if res := post(t, client(t), "http://"+third+":"+g.port+"/auth/login", url.Values{"email": {"eve@buyer.example"}, "password": {testenv.Password}}); res.StatusCode != http.StatusSeeOther {
		t.Errorf("somebody added by a command is answered %s", res.Status)
	}
	s.operate(t, "", "tenant", "brand", slug, "--name", "Acme under a new name")
	g.felt(t, "the new name", func() bool {
		res, err := client(t).Get(g.url("/auth/login"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(readAll(t, res), "Acme under a new name")
	})

	var trail string
	s.house.DB.Row(t, `select string_agg(operator || ': ' || note, '; ' order by id) from portalgate.events where note <> ''`, nil, &trail)
	for _, want := range []string{"ops: lost laptop", "called, identity checked"} {
		if !strings.Contains(trail, want) {
			t.Errorf("the trail does not say %q: %s", want, trail)
		}
	}
}

// KEY-04: neither the person's password nor that of the database stands where `ps` shows it.
func TestNoPasswordStandsInTheListOfProcesses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the list of processes is read from /proc")
	}
	s := newSite(t)
	address, err := url.Parse(s.house.DB.OperatorURL)
	if err != nil {
		t.Fatal(err)
	}
	q := address.Query()
	q.Del("user")
	address.User, address.RawQuery = url.UserPassword("operator", "hunter2-of-the-database"), q.Encode()

	c := exec.Command(binary(t), "user", "add", "--tenant", s.tenant.Slug, "--email=cleo@buyer.example", "--name", "Cleo Buyer", "--role", "APPROVER", "--verified", "--password-stdin",
		"--reason", "a reason with --database in it", "--database", address.String(), "--keyring", s.keyring, "--json")
	c.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() }) // it has ended, as a rule
	proc := filepath.Join("/proc", strconv.Itoa(c.Process.Pid))
	list := func() string {
		b, err := os.ReadFile(filepath.Join(proc, "cmdline"))
		if err != nil {
			t.Fatalf("%v\n%s", err, said.String())
		}
		return strings.ReplaceAll(string(b), "\x00", " ")
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	// It starts itself anew; in between the list shows the old line, or none.
	for late := time.After(20 * time.Second); strings.Contains(list(), "hunter2-of-the-database") || !strings.Contains(list(), "user"); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("the database's password stays in the list of processes: %s", list())
		}
	}
	if got := list(); !strings.Contains(got, "user add") || !strings.Contains(got, "cleo@buyer.example") {
		t.Errorf("the list of processes says %s", got)
	}
	if info, err := os.Stat(filepath.Join(proc, "environ")); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the environment may be read by others: %v %v", info.Mode(), err)
	}
	if _, err := io.WriteString(stdin, testenv.Password); err != nil {
		t.Fatal(err)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	if !strings.Contains(said.String(), `"role": "APPROVER"`) || strings.Contains(said.String(), testenv.Password) {
		t.Errorf("it says %s", said.String())
	}
	var note string
	s.house.DB.Row(t, `select note from portalgate.events where note <> '' order by id desc limit 1`, nil, &note)
	if note != "a reason with --database in it" {
		t.Errorf("the trail says %q", note)
	}
}
