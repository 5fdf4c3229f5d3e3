package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/demo/servers"
	"github.com/portalgate/portalgate/internal/testenv"
)

// needDemo lets a test go on where a demo with both servers can run.
func needDemo(t testing.TB) {
	t.Helper()
	for _, p := range []servers.Program{servers.PostgreSQL, servers.Redis} {
		if _, found := servers.Find(p); !found {
			testenv.Missing(t, p.String()+" is not installed; this installs it: "+servers.Advice(p))
		}
	}
}

// remains are what a demo has made, by its own files: the directories of its servers, and their processes.
type remains struct {
	rooms map[string]int // by directory, the server's process
	ports []string
}

func (d *portalDemo) remains(t testing.TB, servers int) remains {
	t.Helper()
	r := remains{map[string]int{}, []string{d.port, d.oldPort}}
	for _, room := range rooms(t, d.cmd.Process.Pid) {
		pid, err := number(filepath.Join(room, "server.pid"))
		if err != nil || pid <= 1 {
			t.Fatalf("%s: %d, %v", room, pid, err)
		}
		r.rooms[room] = pid
	}
	if len(r.rooms) != servers {
		t.Fatalf("the demo has %v, want %d servers", r.rooms, servers)
	}
	return r
}

// rooms are the directories of a program's servers.
func rooms(t testing.TB, program int) (out []string) {
	t.Helper()
	files, err := filepath.Glob("/tmp/portalgate-room-*/pid")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if pid, err := number(f); err == nil && pid == program {
			out = append(out, filepath.Dir(f))
		}
	}
	return out
}

func number(file string) (int, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

func (r remains) of(kind string) int {
	for room, pid := range r.rooms {
		if strings.HasPrefix(filepath.Base(room), "portalgate-room-"+kind+"-") {
			return pid
		}
	}
	return 0
}

// gone waits until nothing is left of a demo: no process, no directory, nobody at its ports.
func (r remains) gone(t testing.TB) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(20 * time.Second); ; {
		left := r.left()
		if left == "" {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("left behind: ", left)
		}
	}
}

func (r remains) left() string {
	for room, pid := range r.rooms {
		if err := syscall.Kill(pid, 0); err == nil {
			return fmt.Sprintf("process %d of %s", pid, room)
		}
		if _, err := os.Stat(room); !errors.Is(err, fs.ErrNotExist) {
			return room
		}
	}
	for _, port := range r.ports {
		for _, host := range []string{"127.0.0.1", "::1"} {
			if c, err := net.Dial("tcp", net.JoinHostPort(host, port)); err == nil {
				c.Close()
				return "somebody listens at " + net.JoinHostPort(host, port)
			}
		}
	}
	return ""
}

// ends waits for the end of a demo and returns its code.
func (d *portalDemo) ends(t testing.TB) int {
	t.Helper()
	select {
	case <-d.done:
	case <-time.After(30 * time.Second):
		t.Fatalf("it does not end; it said:\n%s", d.said())
	}
	return d.cmd.ProcessState.ExitCode()
}

// signIn is how an account of the demo is answered, at one of its two ports.
func (d *portalDemo) signIn(t testing.TB, port, tenant, email, password string) (*http.Client, *http.Response) {
	t.Helper()
	c := client(t)
	return c, post(t, c, "http://"+tenant+".localhost:"+port+"/auth/login", url.Values{"email": {email}, "password": {password}})
}

func (d *portalDemo) works(t testing.TB) *http.Client {
	t.Helper()
	c, res := d.signIn(t, d.port, "acme", "ann@buyer.example", testenv.Password)
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("signing in at the demo: %s", res.Status)
	}
	if got := status(t, c, d.url("acme", "/orders")); got != http.StatusOK {
		t.Fatalf("signed in at the demo: %d", got)
	}
	return c
}

func TestADemoWithoutRedisSaysSoAndKeepsItsLimits(t *testing.T) {
	t.Parallel()
	needDemo(t)
	bin := t.TempDir()
	for _, name := range []string{"sh", "rm", "sleep", "kill", "pg_config", "perl", "initdb", "postgres"} {
		if path, err := exec.LookPath(name); err == nil {
			if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	d := shown(t, run(t, []string{"PATH=" + bin}, "demo"))
	r := d.remains(t, 1)
	if said := d.said(); !strings.Contains(said, "no redis-server is installed: the gate keeps its limits by itself") || !regexp.MustCompile(`Redis +none installed`).MatchString(said) {
		t.Errorf("it says:\n%s", said)
	}
	d.works(t)
	last := 0
	for i := range 12 {
		_, res := d.signIn(t, d.port, "acme", fmt.Sprintf("nobody%d@buyer.example", i), "Spring2026!")
		last = res.StatusCode
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the twelfth guess from one address is answered %d", last)
	}
	d.stop(t)
	r.gone(t)
}

func TestAKilledDemoLeavesNothingBehindAndStartsAgain(t *testing.T) {
	t.Parallel()
	needDemo(t)
	d := startDemo(t)
	r := d.remains(t, 2)
	d.works(t)
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	d.ends(t)
	r.gone(t)
	again := shown(t, run(t, nil, "demo", "--port", d.port))
	if again.port != d.port {
		t.Errorf("asked for port %s, it took %s", d.port, again.port)
	}
	again.works(t)
}

func TestTwoDemosAtOnceKeepOutOfEachOthersWay(t *testing.T) {
	t.Parallel()
	needDemo(t)
	first, second := run(t, nil, "demo"), run(t, nil, "demo")
	one, two := shown(t, first), shown(t, second)
	if ports := map[string]bool{one.port: true, one.oldPort: true, two.port: true, two.oldPort: true}; len(ports) != 4 {
		t.Fatalf("the ports are %v", ports)
	}
	one.works(t)
	ann := two.works(t)
	r := one.remains(t, 2)
	one.stop(t)
	r.gone(t)
	if got := status(t, ann, two.url("acme", "/orders")); got != http.StatusOK {
		t.Errorf("after the other demo's end: %d", got)
	}
	two.works(t)
}

// Somebody may be watching the live page meanwhile: that keeps nobody waiting.
func TestADemoThatIsToldToEndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	needDemo(t)
	// The next demo takes the port of the one before; it is not among those that others take by themselves.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		d := shown(t, run(t, nil, "demo", "--port", port))
		r := d.remains(t, 2)
		ann := d.works(t)
		ann.Timeout = 0
		events := get(t, ann, d.url("acme", "/events"))
		if line, err := bufio.NewReader(events.Body).ReadString('\n'); err != nil || !strings.HasPrefix(line, "data: ") {
			t.Fatalf("the live page says %q, %v", line, err)
		}
		openSocket(t, ann, d.url("acme", "/feed"))
		if err := d.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		if code := d.ends(t); code != 0 {
			t.Errorf("%v: it ends with code %d:\n%s", s, code, d.said())
		}
		// Nothing is waited for: what it leaves it would leave for ever.
		if left := r.left(); left != "" {
			t.Errorf("%v: left behind: %s", s, left)
		}
	}
}

func TestADemoThatIsStoppedWhileItStartsLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	needDemo(t)
	p := run(t, nil, "demo")
	p.await(t, "PostgreSQL .* from") // it is making a database now
	d := &portalDemo{process: p}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := d.ends(t); code == 0 || !strings.Contains(d.said(), "stopped before it was running") {
		t.Errorf("code %d:\n%s", code, d.said())
	}
	if left := rooms(t, p.cmd.Process.Pid); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestADemoOnATakenPortNamesTheWayOut(t *testing.T) {
	t.Parallel()
	needDemo(t)
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Log("this machine has no ", address)
			continue
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		p := run(t, nil, "demo", "--port", port)
		d := &portalDemo{process: p}
		if code := d.ends(t); code != 1 || strings.TrimSpace(d.said()) != "Error: port "+port+" is taken; choose another with --port, or leave it out for the next that is free" {
			t.Errorf("%s: code %d, it says:\n%s", address, code, d.said())
		}
		if left := rooms(t, p.cmd.Process.Pid); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestADemoWhoseServersDieSaysSo(t *testing.T) {
	t.Parallel()
	needDemo(t)
	d := startDemo(t)
	r := d.remains(t, 2)
	ann := d.works(t)
	ann.Timeout = 0
	get(t, ann, d.url("acme", "/events"))

	if err := syscall.Kill(r.of("redis"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d.await(t, "Redis has ended: the gate goes on, and keeps its limits by itself")
	d.works(t)

	if err := syscall.Kill(r.of("pg"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := d.ends(t); code != 1 || !strings.Contains(d.said(), "PostgreSQL has ended, and the demo with it; start it again") {
		t.Errorf("code %d:\n%s", code, d.said())
	}
	if left := r.left(); left != "" {
		t.Error("left behind: ", left)
	}
}

// What the screen says is true: each account signs in at each tenant's hosts and in front of both backends, and the
// commands work as they are printed.
func TestWhatTheDemosScreenSaysIsTrue(t *testing.T) {
	t.Parallel()
	needDemo(t)
	d := startDemo(t)
	screen := d.said()
	for _, address := range regexp.MustCompile(`http://[a-z.]+localhost:\d+`).FindAllString(screen, -1) {
		res := get(t, client(t), address+"/auth/login")
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", address, res.Status)
		}
	}
	accounts := regexp.MustCompile(`(?m)^  (acme|globex) +(\S+@\S+) {2,}(\S.*?) {2,}(\S.*)$`).FindAllStringSubmatch(screen, -1)
	if len(accounts) != 6 {
		t.Fatalf("the screen shows %d accounts:\n%s", len(accounts), screen)
	}
	for _, a := range accounts {
		tenant, email, password, who := a[1], a[2], a[3], a[4]
		for _, port := range []string{d.port, d.oldPort} {
			at := "http://" + tenant + ".localhost:" + port
			c, res := d.signIn(t, port, tenant, email, password)
			to := res.Header.Get("Location")
			switch {
			case strings.Contains(who, "not confirmed"), strings.Contains(who, "temporary password"):
				if res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/auth/") {
					t.Errorf("%s at %s, %s: %s to %q", email, at, who, res.Status, to)
				}
				if got := status(t, c, at+"/orders"); got != http.StatusUnauthorized {
					t.Errorf("%s at %s, %s, sees orders: %d", email, at, who, got)
				}
				continue
			case strings.Contains(who, "two companies"):
				if res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/auth/account/company") {
					t.Errorf("%s at %s, %s: %s to %q", email, at, who, res.Status, to)
				}
			case res.StatusCode != http.StatusSeeOther || to != "/":
				t.Errorf("%s at %s, %s: %s to %q", email, at, who, res.Status, to)
			}
			// Both backends believe who it is, each in its own way.
			req, err := http.NewRequest(http.MethodPost, at+"/graphql", strings.NewReader(`{"query":"{ me { email } orders { number } }"}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Origin", at)
			if res, err = c.Do(req); err != nil {
				t.Fatal(err)
			}
			if body := readAll(t, res); !strings.Contains(body, `"email":"`+email+`"`) || !strings.Contains(body, `"number":"`) {
				t.Errorf("%s at %s: the backend says %s", email, at, body)
			}
			res.Body.Close()
		}
	}
	ann := d.works(t)
	if out, err := command(t, d.env, "", "user", "revoke-sessions", "--tenant", "acme", "--email", "ann@buyer.example"); err != nil {
		t.Errorf("the command on the screen: %v\n%s", err, out)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(20 * time.Second); status(t, ann, d.url("acme", "/orders")) != http.StatusUnauthorized; {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("the session that the screen's command ended goes on")
		}
	}
}
