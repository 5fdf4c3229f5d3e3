package e2e

import (
	"bufio"
	"context"
	"fmt"
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
	"syscall"
	"testing"
	"time"
)

var built struct {
	sync.Once
	dir, path string
	err       error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if !endShared() && code == 0 {
		code = 1
	}
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// binary builds portalgate once for all tests.
func binary(t testing.TB) string {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "portalgate-e2e-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "portalgate")
		out, err := exec.Command("go", "build", "-o", built.path, "../../cmd/portalgate").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("building: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// process is a running portalgate.
type process struct {
	cmd   *exec.Cmd
	lines chan string
	log   strings.Builder
	mu    sync.Mutex
	done  chan struct{}
}

// run starts the binary; it is interrupted when the test ends, and must then stop by itself.
func run(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary(t), args...), lines: make(chan string, 1000), done: make(chan struct{})}
	home := t.TempDir()
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_DATA_HOME=" + home, "XDG_CONFIG_HOME=" + home}, env...)
	p.cmd.Dir = home
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go func() {
		s := bufio.NewScanner(r)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			p.mu.Lock()
			p.log.WriteString(s.Text() + "\n")
			p.mu.Unlock()
			select {
			case p.lines <- s.Text():
			default:
			}
		}
		r.Close()
		_ = p.cmd.Wait() // its code is in ProcessState
		close(p.done)
	}()
	t.Cleanup(func() { p.stop(t) })
	return p
}

func (p *process) stop(t testing.TB) {
	_ = p.cmd.Process.Signal(syscall.SIGINT) // it may have ended
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill() // as above
		t.Errorf("did not stop when interrupted; it said:\n%s", p.said())
	}
	if t.Failed() {
		t.Logf("the program said:\n%s", p.said())
	}
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// await returns the first line that a pattern finds.
func (p *process) await(t testing.TB, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	give := time.After(60 * time.Second)
	for {
		select {
		case line := <-p.lines:
			if re.MatchString(line) {
				return line
			}
		case <-p.done:
			t.Fatalf("ended before saying %s:\n%s", pattern, p.said())
		case <-give:
			t.Fatalf("did not say %s:\n%s", pattern, p.said())
		}
	}
}

// portal is a demo that a test may visit.
type portalDemo struct {
	*process
	port, oldPort string
	env           []string // for commands
}

// startDemo runs `portalgate demo` on free ports.
func startDemo(t testing.TB) *portalDemo {
	t.Helper()
	return shown(t, run(t, nil, "demo"))
}

// shown waits for a demo's screen and reads it.
func shown(t testing.TB, p *process) *portalDemo {
	t.Helper()
	d := &portalDemo{process: p}
	_, after, _ := strings.Cut(d.await(t, `Acme Packaging\s+http://acme\.localhost:`), "acme.localhost:")
	d.port = strings.TrimSpace(after)
	_, after, _ = strings.Cut(d.await(t, `old backend\s+http://`), "acme.localhost:")
	d.oldPort = strings.TrimSpace(after)
	line := d.await(t, `export PORTALGATE_DATABASE_URL`)
	m := regexp.MustCompile(`PORTALGATE_DATABASE_URL='([^']*)' PORTALGATE_KEYRING='([^']*)'`).FindStringSubmatch(line)
	d.env = []string{"PORTALGATE_DATABASE_URL=" + m[1], "PORTALGATE_KEYRING=" + m[2]}
	d.await(t, "Ctrl-C")
	return d
}

func (d *portalDemo) url(tenant, path string) string {
	return "http://" + tenant + ".localhost:" + d.port + path
}

// command runs the binary to its end and returns what it said.
func command(t testing.TB, env []string, stdin string, args ...string) (string, error) {
	t.Helper()
	c := exec.Command(binary(t), args...)
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	return string(out), err
}

// client is a browser without a screen: it keeps cookies, knows every name here, and follows no redirect.
func client(t testing.TB) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
	}
	tr := &http.Transport{DialContext: dial}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: tr, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// post sends a form as a browser does.
func post(t testing.TB, c *http.Client, to string, form url.Values) *http.Response {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", req.URL.Scheme+"://"+req.URL.Host)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set("Accept", "text/html")
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}
