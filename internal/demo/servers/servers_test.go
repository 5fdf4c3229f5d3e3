//go:build unix

package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// childVar makes this test binary start both servers, say where they are, and wait to be stopped.
const childVar = "PORTALGATE_SERVERS_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVar) != "" {
		os.Exit(child())
	}
	os.Exit(m.Run())
}

func child() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	pg, err := StartPostgres(ctx, Options{Offline: true})
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	defer pg.Close()
	rd, err := StartRedis(ctx, Options{})
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	defer rd.Close()
	fmt.Println(pg.process.cmd.Process.Pid, pg.Dir())
	fmt.Println(rd.process.cmd.Process.Pid, rd.Dir())
	<-ctx.Done()
	return 0
}

// needed skips, or fails where everything must run, when a server is not installed.
func needed(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if errors.Is(err, ErrMissing) && os.Getenv("PORTALGATE_TEST") != "all" {
		t.Skip(err)
	}
	t.Fatal(err)
}

func postgres(t *testing.T) *Postgres {
	t.Helper()
	pg, err := StartPostgres(t.Context(), Options{Offline: true, Say: func(line string) { t.Log(line) }})
	needed(t, err)
	t.Cleanup(pg.Close)
	return pg
}

func query(t *testing.T, pg *Postgres, sql string) string {
	t.Helper()
	c, err := pgx.Connect(t.Context(), pg.URL("postgres", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	var out string
	if err := c.QueryRow(t.Context(), sql).Scan(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

func eventually(t *testing.T, what string, true func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(10 * time.Second)
	for !true() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("still not so after 10 s: " + what)
		}
	}
}

func runs(pid int) bool { return syscall.Kill(pid, 0) == nil }

func there(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func TestAPrivatePostgreSQLServesItsSocketAndLeavesNothing(t *testing.T) {
	pg := postgres(t)
	if got := query(t, pg, "select 'here'"); got != "here" {
		t.Fatalf("got %q", got)
	}
	if got := query(t, pg, "select current_setting('listen_addresses')"); got != "" {
		t.Errorf("it listens on %q, not on its socket only", got)
	}
	info, err := os.Stat(pg.Socket())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("others may enter the socket's directory: %v", info.Mode())
	}
	pid := pg.process.cmd.Process.Pid
	pg.Close()
	pg.Close()
	if runs(pid) || there(pg.Dir()) {
		t.Errorf("after Close: runs %v, directory there %v", runs(pid), there(pg.Dir()))
	}
}

func TestAPrivateRedisAnswersAndLeavesNothing(t *testing.T) {
	rd, err := StartRedis(t.Context(), Options{})
	needed(t, err)
	t.Cleanup(rd.Close)
	if err := ping(t.Context(), rd.Socket()); err != nil {
		t.Fatal(err)
	}
	pid := rd.process.cmd.Process.Pid
	rd.Close()
	if runs(pid) || there(rd.Dir()) {
		t.Errorf("after Close: runs %v, directory there %v", runs(pid), there(rd.Dir()))
	}
}

func TestTwoAtOnceDoNotMeet(t *testing.T) {
	a, b := postgres(t), postgres(t)
	if a.Dir() == b.Dir() {
		t.Fatal("one directory for two")
	}
	if x, y := query(t, a, "select system_identifier::text from pg_control_system()"), query(t, b, "select system_identifier::text from pg_control_system()"); x == y {
		t.Fatal("one server for two")
	}
	a.Close()
	if got := query(t, b, "select 'still'"); got != "still" {
		t.Fatalf("got %q", got)
	}
}

// offspring is what a child process started.
type offspring struct {
	cmd  *exec.Cmd
	pids []int
	dirs []string
}

func bear(t *testing.T) offspring {
	t.Helper()
	if _, ok := system(); !ok {
		needed(t, ErrMissing)
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		needed(t, ErrMissing)
	}
	o := offspring{cmd: exec.Command(os.Args[0])}
	o.cmd.Env = append(os.Environ(), childVar+"=1")
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.cmd.Process.Kill(); _ = o.cmd.Wait() })
	lines := bufio.NewScanner(out)
	for len(o.pids) < 2 && lines.Scan() {
		first, rest, _ := strings.Cut(lines.Text(), " ")
		pid, err := strconv.Atoi(first)
		if err != nil {
			t.Fatalf("the child says: %s", lines.Text())
		}
		o.pids, o.dirs = append(o.pids, pid), append(o.dirs, rest)
	}
	if len(o.pids) != 2 {
		t.Fatal("the child ended early")
	}
	return o
}

func TestInterruptLeavesNothing(t *testing.T) {
	o := bear(t)
	if err := o.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := o.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	for i, pid := range o.pids {
		if runs(pid) || there(o.dirs[i]) {
			t.Errorf("server %d: runs %v, directory there %v", i, runs(pid), there(o.dirs[i]))
		}
	}
}

func TestAKilledProgramLeavesNothing(t *testing.T) {
	o := bear(t)
	if err := o.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = o.cmd.Wait() // it reports the kill
	for i, pid := range o.pids {
		eventually(t, fmt.Sprintf("server %d has ended", pid), func() bool { return !runs(pid) })
		eventually(t, o.dirs[i]+" is gone", func() bool { return !there(o.dirs[i]) })
	}
}

// On systems without a death signal the watch alone stops the server, so it is tried alone here.
func TestTheWatchStopsTheServerByItself(t *testing.T) {
	rd, err := StartRedis(t.Context(), Options{})
	needed(t, err)
	t.Cleanup(rd.Close)
	rd.process.watched.Lock()
	err = rd.process.watch.Close()
	rd.process.watched.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-rd.Gone():
	case <-time.After(10 * time.Second):
		t.Fatal("nobody stopped the server")
	}
	eventually(t, "the directory is gone", func() bool { return !there(rd.Dir()) })
}

func TestTheNextStartSweepsWhatWasAbandoned(t *testing.T) {
	r, err := enter("test")
	if err != nil {
		t.Fatal(err)
	}
	// A server that outlived both its program and its watch.
	left := exec.Command("/bin/sh", "-c", "while :; do read x || exit; done", r.run()+"/data")
	stdin, err := left.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.path, "server.pid"), []byte(strconv.Itoa(left.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = r.pid.Close() // as if the program had been killed
	sweep()
	if there(r.path) {
		t.Error("the room is still there")
	}
	var exit *exec.ExitError
	if err := left.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGQUIT {
		t.Errorf("the server ended with %v", err)
	}
}

func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	r, err := enter("test")
	if err != nil {
		t.Fatal(err)
	}
	p, err := launch(r, []syscall.Signal{syscall.SIGTERM}, "/bin/sh", "-c", "echo no such luck >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	err = p.await(t.Context(), "it", func(context.Context) error { return errors.New("not yet") })
	if err == nil || !strings.Contains(err.Error(), "no such luck") || !strings.Contains(err.Error(), "exit status 3") {
		t.Fatalf("got %v", err)
	}
}

func TestSweepKeepsToWhatIsAbandonedAndOurs(t *testing.T) {
	living, err := enter("test")
	if err != nil {
		t.Fatal(err)
	}
	defer living.leave()
	trap, err := os.MkdirTemp(rooms, prefix+"test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(trap)
	// A pipe in the place of the pid file would hold a careless reader for ever.
	if err := syscall.Mkfifo(filepath.Join(trap, "pid"), 0o600); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	aside := filepath.Join(rooms, prefix+"test-link")
	if err := os.Symlink(filepath.Dir(outside), aside); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(aside)
	sweep()
	if !there(living.path) {
		t.Error("a living program's room was swept")
	}
	if !there(outside) {
		t.Error("the sweep followed a link")
	}
}
