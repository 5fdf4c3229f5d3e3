package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// gateway is a running portalgate.
type gateway struct {
	site
	name, addr string
	socket     string // of its admin endpoint, where it has one
	port       int
	cmd        *exec.Cmd
	ended      chan error
	log        string
}

// site is how a gateway is set up.
type site struct {
	gated   bool
	admin   bool              // it has an admin endpoint
	app     string            // further options of the gate's app
	answers string            // what a bare gateway does with everything, in place of handing it on
	turn    int               // tells the configurations of one gateway apart
	env     map[string]string // on top of the world's
}

// config is the Caddyfile of a gateway. Both believe the client's address and its https, as they would behind a
// balancer, so that people come from networks of their own and cookies have their real names.
func (b *benchWorld) config(port int, socket string, s site) string {
	redis, app, handler := "", "", "\n\treverse_proxy "+b.upstream.addr()
	if b.world.Redis != nil {
		redis = "\n\t\tredis {env.PORTALGATE_REDIS_URL}"
	}
	if s.answers != "" {
		handler = "\n\t" + s.answers
	}
	if s.gated {
		app = "\n\tportalgate {\n\t\tdatabase {env.PORTALGATE_DATABASE_URL}" + redis + `
		keyring {env.PORTALGATE_KEYRING}
		upstream_token jwt {
			secret {env.PORTALGATE_DEMO_OLD_SECRET}
		}
		` + s.app + `
	}`
		handler = `
	portalgate {
		public /assets/* /favicon.ico
		require mfa /billing/*
		graphql /graphql
		cross_site POST /payment/return
	}` + handler
	}
	admin := "off"
	if s.admin {
		admin = "unix/" + socket
	}
	return fmt.Sprintf(`{
	admin %s
	grace_period %ds
	persist_config off
	auto_https off
	log {
		level ERROR
	}
	servers {
		trusted_proxies static 127.0.0.1/32
		trusted_proxies_strict
	}%s
}

http://:%d {
	bind 127.0.0.1%s
}
`, admin, 30+s.turn, app, port, handler)
}

// start runs a gateway on the measured core, and waits until it answers.
func (b *benchWorld) start(ctx context.Context, name string, s site) (*gateway, error) {
	g, err := b.run(name, s)
	if err != nil {
		return nil, err
	}
	if err := g.await(ctx, 50*time.Millisecond); err != nil {
		g.stop()
		return nil, err
	}
	return g, nil
}

// run begins to run a gateway.
func (b *benchWorld) run(name string, s site) (*gateway, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("looking for a free port: %w", err)
	}
	g := &gateway{site: s, name: name, port: l.Addr().(*net.TCPAddr).Port, log: filepath.Join(b.dir, name+".log"), socket: filepath.Join(b.dir, name+".sock")}
	if err := l.Close(); err != nil {
		return nil, fmt.Errorf("looking for a free port: %w", err)
	}
	g.addr = fmt.Sprintf("127.0.0.1:%d", g.port)
	file := filepath.Join(b.dir, name+".Caddyfile")
	if err := os.WriteFile(file, []byte(b.config(g.port, g.socket, s)), 0o600); err != nil {
		return nil, fmt.Errorf("writing a configuration: %w", err)
	}
	out, err := os.Create(g.log)
	if err != nil {
		return nil, fmt.Errorf("writing a log: %w", err)
	}
	defer out.Close()
	g.cmd = exec.Command(filepath.Join(b.dir, "portalgate"), "run", "--config", file)
	g.cmd.Stdout, g.cmd.Stderr = out, out
	g.cmd.Dir = b.dir
	// The collector is as we ship it, whatever is set for this program.
	inherited := slices.DeleteFunc(os.Environ(), func(s string) bool {
		name, _, _ := strings.Cut(s, "=")
		return name == "GOGC" || name == "GOMEMLIMIT" || name == "AUTOMEMLIMIT" // empty ones would do as well as any: Caddy then sets no limit
	})
	g.cmd.Env = append(inherited, "HOME="+b.dir, "XDG_DATA_HOME="+b.dir, "XDG_CONFIG_HOME="+b.dir)
	env := maps.Clone(b.world.Environment)
	maps.Copy(env, s.env)
	for k, v := range env {
		g.cmd.Env = append(g.cmd.Env, k+"="+v)
	}
	if g.ended, err = launch(g.cmd, b.measured); err != nil {
		return nil, fmt.Errorf("starting the %s gateway: %w", name, err)
	}
	return g, nil
}

// await asks every so often until the gateway answers as it will: 401 behind the gate, 200 without it.
func (g *gateway) await(ctx context.Context, every time.Duration) error {
	want := 200
	if g.gated {
		want = 401
	}
	c := caller{addr: g.addr}
	defer c.close()
	var (
		a   answer
		err error
	)
	for began := time.Now(); time.Since(began) < 15*time.Second; {
		if a, err = c.ask(ask("/small/nobody", "", 0)); err == nil && a.status == want {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case ended := <-g.ended:
			g.ended <- ended
			return fmt.Errorf("the %s gateway ended: %w\n%s", g.name, errors.Join(ended), g.said())
		case <-time.After(every):
		}
	}
	return fmt.Errorf("the %s gateway does not answer %d: status %d, %w\n%s", g.name, want, a.status, errors.Join(err), g.said())
}

// said is what the gateway wrote.
func (g *gateway) said() string {
	b, err := os.ReadFile(g.log)
	if err != nil {
		return err.Error()
	}
	return indent(string(b))
}

func (g *gateway) pid() int { return g.cmd.Process.Pid }

func (g *gateway) stop() {
	_ = g.cmd.Process.Signal(syscall.SIGTERM) // or it has ended already
	select {
	case <-g.ended:
	case <-time.After(10 * time.Second):
		_ = g.cmd.Process.Kill()
		<-g.ended
	}
}

// memory is what the kernel counts for a process, in bytes: VmRSS is what it holds now, VmHWM what it has held at most.
func memory(pid int, name string) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the memory of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			var kib float64
			if _, err := fmt.Sscan(value, &kib); err != nil {
				return 0, fmt.Errorf("reading the memory of process %d: %q: %w", pid, line, err)
			}
			return kib * 1024, nil
		}
	}
	return 0, fmt.Errorf("reading the memory of process %d: no %s", pid, name)
}
