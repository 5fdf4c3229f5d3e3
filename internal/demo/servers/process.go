//go:build unix

package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is how long a server may take to start or to stop.
const patience = 30 * time.Second

// process is a running server. It ends when it is told to, or when we are killed.
type process struct {
	room *room
	cmd  *exec.Cmd
	quit []syscall.Signal // from polite to certain
	gone chan struct{}    // closed when the server has ended

	watched sync.Mutex
	watch   *os.File // our end of the pipe that tells the watch we live

	closed sync.Once
	ended  error
}

// launch starts a server in its room and keeps it bound to our life, in two ways. On Linux the kernel signals it when
// the thread that started it ends, hence the thread that does nothing else. And everywhere a small shell waits at a
// pipe that only we hold open: when it closes without a word, the shell stops the server and clears its room. Neither survives a machine
// that loses power, and nothing has to.
func launch(r *room, quit []syscall.Signal, program string, args ...string) (*process, error) {
	out, err := os.Create(r.log())
	if err != nil {
		return nil, fmt.Errorf("opening the server's log: %w", err)
	}
	defer out.Close()

	p := &process{room: r, quit: quit, gone: make(chan struct{})}
	p.cmd = exec.Command(program, args...)
	p.cmd.Dir = r.run() // the directory we are in may be closed to the server's user
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = plainEnvironment()
	p.cmd.SysProcAttr = attributes(r.user, quit[0])

	started := make(chan error)
	go func() {
		// Linux sends the signal when the thread ends, not when the process does: this one must live as long as the server.
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.ended = p.cmd.Wait()
		close(p.gone)
		p.dismiss() // or the watch would one day signal whoever has the number then
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(program), r.user.explain(err))
	}
	_ = os.WriteFile(filepath.Join(r.path, "server.pid"), []byte(strconv.Itoa(p.cmd.Process.Pid)+"\n"), 0o600) // only a sweep reads it
	if err := p.guard(); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// guard starts the shell that outlives us.
func (p *process) guard() error {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("opening the watch's pipe: %w", err)
	}
	defer theirs.Close()
	// A word means that the server has ended; the end of the pipe, that we have.
	sh := exec.Command("/bin/sh", "-c", `
		read -r word && exit
		kill -s "$1" "$2" 2>/dev/null
		tries=0
		while kill -0 "$2" 2>/dev/null && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
		rm -rf -- "$3"
	`, "watch", signalName(p.quit[0]), strconv.Itoa(p.cmd.Process.Pid), p.room.path)
	sh.Stdin = theirs
	sh.Dir = "/"
	sh.Env = plainEnvironment()
	sh.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := sh.Start(); err != nil {
		_ = ours.Close()
		return fmt.Errorf("starting the watch: %w", err)
	}
	go func() { _ = sh.Wait() }()
	p.watched.Lock()
	p.watch = ours
	p.watched.Unlock()
	select {
	case <-p.gone: // while the watch came up
		p.dismiss()
	default:
	}
	return nil
}

// dismiss sends the watch home.
func (p *process) dismiss() {
	p.watched.Lock()
	defer p.watched.Unlock()
	if p.watch == nil {
		return
	}
	_, _ = p.watch.WriteString("ended\n") // a watch that is gone already needs no word
	_ = p.watch.Close()
	p.watch = nil
}

// stop ends the server and waits until it is gone.
func (p *process) stop() {
	p.closed.Do(func() {
		for _, signal := range append(p.quit, syscall.SIGKILL) {
			_ = p.cmd.Process.Signal(signal)
			select {
			case <-p.gone:
			case <-time.After(5 * time.Second):
				continue
			}
			break
		}
		<-p.gone
		p.dismiss()
		p.room.leave()
	})
}

// await calls ready until it succeeds, the server ends, or patience does.
func (p *process) await(ctx context.Context, name string, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		if last = ready(ctx); last == nil {
			return nil
		}
		select {
		case <-p.gone:
			return fmt.Errorf("%s ended at once (%w); its last words: %s", name, p.reason(), p.room.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%s did not become ready: %w; its last words: %s", name, errors.Join(ctx.Err(), last), p.room.lastWords())
		case <-tick.C:
		}
	}
}

func (p *process) reason() error {
	if p.ended == nil {
		return errors.New("exit status 0")
	}
	return p.ended
}

func (r *room) log() string { return filepath.Join(r.path, "log") }

// lastWords are the last lines of the server's log, for an error message.
func (r *room) lastWords() string {
	b, err := os.ReadFile(r.log())
	if err != nil {
		return "none"
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) > 5 {
		lines = lines[len(lines)-5:]
	}
	return strings.Join(lines, " / ")
}

// plainEnvironment is what a server gets of ours: nothing that changes how it behaves (PGDATA, PGPORT, a locale) and
// nothing that is secret.
func plainEnvironment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}

func signalName(s syscall.Signal) string {
	if s == syscall.SIGINT {
		return "INT"
	}
	return "TERM"
}
