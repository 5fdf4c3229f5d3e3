//go:build unix

package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// RedisServer is a private Redis that keeps nothing on disk.
type RedisServer struct {
	process *process
	program string
}

// StartRedis brings up an empty Redis, or returns an error that wraps [ErrMissing]: everything works without one.
func StartRedis(ctx context.Context, o Options) (*RedisServer, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("redis-server is %w; this installs it: %s", ErrMissing, Advice(Redis))
	}
	r, err := enter("redis")
	if err != nil {
		return nil, fmt.Errorf("starting Redis: %w", err)
	}
	socket := filepath.Join(r.run(), "redis.sock")
	p, err := launch(r, []syscall.Signal{syscall.SIGTERM}, program,
		"--port", "0", "--unixsocket", socket, "--unixsocketperm", "700",
		"--save", "", "--appendonly", "no", "--dir", r.run(), "--daemonize", "no", "--maxmemory", "64mb", "--maxmemory-policy", "noeviction")
	if err != nil {
		r.leave()
		return nil, err
	}
	if err := p.await(ctx, "Redis", func(ctx context.Context) error { return ping(ctx, socket) }); err != nil {
		p.stop()
		return nil, err
	}
	s := &RedisServer{process: p, program: program}
	o.say(s.Chosen())
	return s, nil
}

func ping(ctx context.Context, socket string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	if strings.TrimSpace(line) != "+PONG" {
		return fmt.Errorf("answered %q", line)
	}
	return nil
}

// URL is the server's address as go-redis reads it.
func (s *RedisServer) URL() string { return "unix://" + s.Socket() }

// Socket is the path of the server's socket.
func (s *RedisServer) Socket() string { return filepath.Join(s.process.room.run(), "redis.sock") }

// Chosen says in one line which Redis this is.
func (s *RedisServer) Chosen() string { return "Redis from " + s.program }

// Dir is the directory that holds everything of this server; it is gone after Close.
func (s *RedisServer) Dir() string { return s.process.room.path }

// PID is the server's process.
func (s *RedisServer) PID() int { return s.process.cmd.Process.Pid }

// Calls is how often each command was called since the server began, by its own account (INFO commandstats).
func (s *RedisServer) Calls(ctx context.Context) (map[string]int64, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", s.Socket())
	if err != nil {
		return nil, fmt.Errorf("asking Redis for its counts: %w", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, fmt.Errorf("asking Redis for its counts: %w", err)
	}
	if _, err := c.Write([]byte("INFO commandstats\r\n")); err != nil {
		return nil, fmt.Errorf("asking Redis for its counts: %w", err)
	}
	lines := bufio.NewScanner(c)
	length := -1
	calls := map[string]int64{}
	for lines.Scan() {
		line := lines.Text()
		if length < 0 {
			// The length of the text, and then the text.
			if _, err := fmt.Sscanf(line, "$%d", &length); err != nil {
				return nil, fmt.Errorf("asking Redis for its counts: it answered %q", line)
			}
			continue
		}
		if name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls="); ok {
			count, _, _ := strings.Cut(rest, ",")
			n, err := strconv.ParseInt(count, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("reading Redis's counts: %w", err)
			}
			calls[name] = n
		}
		if length -= len(line) + 2; length <= 0 {
			return calls, nil
		}
	}
	return nil, fmt.Errorf("asking Redis for its counts: the answer ended early: %w", errors.Join(io.ErrUnexpectedEOF, lines.Err()))
}

// Gone is closed when the server has ended, whoever ended it.
func (s *RedisServer) Gone() <-chan struct{} { return s.process.gone }

// Close stops the server and removes its directory. A second call does nothing.
func (s *RedisServer) Close() { s.process.stop() }
