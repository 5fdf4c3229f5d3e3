//go:build unix

package servers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// rooms is where the directories of all servers lie. Not os.TempDir: on macOS that is too long for the path of a socket,
// which must stay below 104 bytes.
const rooms = "/tmp"

// prefix begins the name of every directory that is ours, and of no other of this program's: what bears it is swept.
const prefix = "portalgate-room-"

// room is the directory of one server, held by a locked pid file for as long as the program lives.
//
// The room belongs to us; inside it "run" belongs to the user the server runs as, and nobody else may enter: whoever
// reaches the socket is trusted by the server.
type room struct {
	path string
	pid  *os.File
	user *account
}

// enter makes a room, after sweeping those whose program is gone.
func enter(kind string) (*room, error) {
	sweep()
	user, err := stepDown()
	if err != nil {
		return nil, err
	}
	for range 10 {
		path, err := os.MkdirTemp(rooms, prefix+kind+"-")
		if err != nil {
			return nil, fmt.Errorf("making a directory for the server: %w", err)
		}
		pid, err := claim(path)
		if errors.Is(err, errSwept) {
			continue
		}
		if err != nil {
			_ = os.RemoveAll(path)
			return nil, err
		}
		r := &room{path: path, pid: pid, user: user}
		if err := r.furnish(); err != nil {
			r.leave()
			return nil, err
		}
		return r, nil
	}
	return nil, errors.New("making a directory for the server: another program removes each one at once")
}

func (r *room) furnish() error {
	// The server's user must be able to walk through, and only that.
	if err := os.Chmod(r.path, 0o711); err != nil {
		return fmt.Errorf("preparing the server's directory: %w", err)
	}
	if err := os.Mkdir(r.run(), 0o700); err != nil {
		return fmt.Errorf("preparing the server's directory: %w", err)
	}
	if r.user != nil {
		if err := os.Chown(r.run(), int(r.user.uid), int(r.user.gid)); err != nil {
			return fmt.Errorf("giving the server's directory to user %s: %w", r.user.name, err)
		}
	}
	return nil
}

// run is where the server keeps its files and its socket.
func (r *room) run() string { return filepath.Join(r.path, "run") }

// leave removes the room. The lock goes last, so that nobody else sweeps at the same time.
func (r *room) leave() {
	_ = os.RemoveAll(r.path) // what cannot be removed now is swept by the next start
	_ = r.pid.Close()
}

var errSwept = errors.New("swept")

// claim writes and locks the pid file of a room. The lock, not the number, says whether the owner lives: numbers are
// used again.
func claim(path string) (*os.File, error) {
	name := filepath.Join(path, "pid")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
			return nil, errSwept
		}
		return nil, fmt.Errorf("writing the pid file: %w", err)
	}
	// Between creating and locking, a sweeper may have taken the room for an abandoned one.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, errSwept
	}
	here, err1 := f.Stat()
	there, err2 := os.Stat(name)
	if err1 != nil || err2 != nil || !os.SameFile(here, there) {
		_ = f.Close()
		return nil, errSwept
	}
	if _, err := f.WriteString(strconv.Itoa(os.Getpid()) + "\n"); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("writing the pid file: %w", err)
	}
	return f, nil
}

// sweep removes the rooms whose program is gone, and stops a server that was left in one. It is silent: a room that
// cannot be swept harms nobody but the disk.
func sweep() {
	found, err := filepath.Glob(filepath.Join(rooms, prefix+"*"))
	if err != nil {
		return
	}
	for _, path := range found {
		sweepOne(path)
	}
}

func sweepOne(path string) {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		return
	}
	// Anyone may make a directory of this name in /tmp. In one that is not ours, the pid file could be a pipe that
	// blocks us for ever, and the numbers in it could be processes that we shall not kill.
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Geteuid() {
		return
	}
	f, err := os.OpenFile(filepath.Join(path, "pid"), os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && time.Since(info.ModTime()) > time.Minute {
			_ = os.RemoveAll(path)
		}
		return
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return // its program lives
	}
	if pid := leftOver(path); pid > 0 {
		_ = syscall.Kill(pid, syscall.SIGQUIT)
	}
	_ = os.RemoveAll(path)
}

// leftOver finds the server that still runs in a room whose program is gone. It is gone too, or will be in a moment,
// unless its watch was killed together with the program.
func leftOver(path string) int {
	b, err := os.ReadFile(filepath.Join(path, "server.pid")) // ours: the room's own directory is not the server's
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 1 {
		return 0
	}
	// The number may have been given to another program since: only one that was started with this room is meant.
	if !mentions(pid, path) {
		return 0
	}
	return pid
}
