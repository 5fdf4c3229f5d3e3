package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portalgate/portalgate/internal/demo"
	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
)

const (
	benchHost     = "acme.localhost"
	benchPassword = "Pallets and parcels before breakfast"
	connections   = 32
)

// benchWorld is a gateway with real servers and a bare one beside it, and people to sign in. What is measured shares
// one core; we, the load and the upstream have the other.
type benchWorld struct {
	world          *demo.World
	dir            string
	measured, load int // cores
	upstream       *benchUpstream
	gate, bare     *gateway
	people         []person
	restore        func() // our own cores
}

// person may sign in; cookie is the header of a session, once there is one.
type person struct {
	id      portal.UserID
	email   string
	network int // a number that makes an address of its own
	cookie  string
	access  string
	refresh string
}

// openBench builds the binaries and starts everything; people is how many there are to sign in.
func openBench(ctx context.Context, r *run, people int) (b *benchWorld, err error) {
	b = &benchWorld{}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.measured, b.load, err = cores(); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "portalgate-bench-"); err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	r.say("building")
	// One command for both: this runner, too, because a test that runs a bench is another program.
	build := exec.CommandContext(ctx, "go", "build", "-o", b.dir+"/", "./cmd/portalgate", "./cmd/dev")
	build.Dir = r.root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building: %w\n%s", err, out)
	}
	if b.world, err = demo.Start(ctx, demo.Options{Say: r.say}); err != nil {
		return nil, err
	}
	if b.upstream, err = startUpstream(); err != nil {
		return nil, err
	}
	if err := b.settle(ctx, people); err != nil {
		return nil, err
	}
	if err := pin(b.world.Postgres.PID(), b.measured); err != nil {
		return nil, err
	}
	if b.world.Redis != nil {
		if err := pin(b.world.Redis.PID(), b.measured); err != nil {
			return nil, err
		}
	}
	if b.restore, err = pinSelf(b.load); err != nil {
		return nil, err
	}
	if b.gate, err = b.start(ctx, "gate", site{gated: true}); err != nil {
		return nil, err
	}
	if b.bare, err = b.start(ctx, "bare", site{}); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *benchWorld) close() {
	for _, g := range []*gateway{b.gate, b.bare} {
		if g != nil {
			g.stop()
		}
	}
	if b.upstream != nil {
		b.upstream.close()
	}
	if b.world != nil {
		b.world.Close()
	}
	if b.restore != nil {
		b.restore()
	}
	if b.dir != "" {
		_ = os.RemoveAll(b.dir) // in the directory for temporary files
	}
}

// settle adds people to a tenant. They share one hash, which costs a check as much as hashes of their own.
func (b *benchWorld) settle(ctx context.Context, n int) error {
	keys, err := secret.Open(b.world.Environment["PORTALGATE_KEYRING"])
	if err != nil {
		return err
	}
	hasher, err := password.New(password.Config{Pepper: keys.Pepper(time.Now)})
	if err != nil {
		return err
	}
	typed, err := password.Prepare(benchPassword)
	if err != nil {
		return err
	}
	hash, err := hasher.Hash(ctx, typed)
	if err != nil {
		return err
	}
	s, err := store.Open(b.world.Postgres.URL("postgres", "postgres"), store.Options{MaxConns: 2, Wait: 10 * time.Second})
	if err != nil {
		return err
	}
	defer s.Close()
	entries, err := s.Directory(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(entries, func(e store.HostEntry) bool { return e.Host == benchHost })
	if at < 0 {
		return fmt.Errorf("the demo has no tenant at %s", benchHost)
	}
	return s.Within(ctx, entries[at].Tenant, time.Now(), func(x *store.Tx) error {
		for i := range n {
			p := person{email: fmt.Sprintf("buyer%d@bench.example", i), network: i}
			if p.id, err = x.AddUser(ctx, store.NewUser{Email: portal.Email(p.email), FirstName: "Bo", LastName: fmt.Sprintf("Buyer %d", i), Role: portal.RoleUser,
				Customer: "C-1003", Verified: true, PHC: hash.PHC, KeyID: hash.KeyID}, store.Deed{Operator: "bench"}); err != nil {
				return err
			}
			b.people = append(b.people, p)
		}
		return nil
	})
}

const agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"

func ask(path, cookie string, network int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\n", path, benchHost)
	browser(&b, network)
	b.WriteString("Accept: application/json, text/plain, */*\r\nReferer: https://" + benchHost + "/orders\r\n")
	if cookie != "" {
		b.WriteString("Cookie: theme=dark; " + cookie + "; _tour=seen\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// browser writes the header lines of a browser behind a balancer.
func browser(b *bytes.Buffer, network int) {
	b.WriteString("User-Agent: " + agent + "\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.8\r\n" +
		"Sec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-origin\r\nX-Forwarded-Proto: https\r\n")
	fmt.Fprintf(b, "X-Forwarded-For: 198.18.%d.%d\r\n", network/256%256, network%256)
}

// knock is a sign-in.
func knock(p *person) []byte {
	body := "email=" + strings.ReplaceAll(p.email, "@", "%40") + "&password=" + strings.ReplaceAll(benchPassword, " ", "+")
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST /auth/login HTTP/1.1\r\nHost: %s\r\n", benchHost)
	browser(&b, p.network)
	fmt.Fprintf(&b, "Accept: text/html\r\nOrigin: https://%s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", benchHost, len(body), body)
	return b.Bytes()
}

// signOut is the end of a session.
func (p *person) signOut() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST /auth/logout HTTP/1.1\r\nHost: %s\r\n", benchHost)
	browser(&b, p.network)
	fmt.Fprintf(&b, "Accept: text/html\r\nOrigin: https://%s\r\nCookie: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n\r\n", benchHost, p.cookie)
	return b.Bytes()
}

// signIn gives the first n people a new session at a gateway.
func (b *benchWorld) signIn(g *gateway, n int) error { return b.signInAt(g, b.people[:n]) }

// signInAt gives people a new session at a gateway, a few at a time: there is a short queue for hashing.
func (b *benchWorld) signInAt(g *gateway, people []person) error {
	errs := make([]error, len(people))
	var (
		next atomic.Int64
		all  sync.WaitGroup
	)
	for range 8 {
		all.Go(func() {
			c := caller{addr: g.addr}
			defer c.close()
			for i := int(next.Add(1)) - 1; i < len(people); i = int(next.Add(1)) - 1 {
				errs[i] = people[i].signIn(&c)
			}
		})
	}
	all.Wait()
	for i, err := range errs {
		if err != nil { // the others say the same
			return fmt.Errorf("person %d: %w; the %s gateway: %s", i, err, g.name, g.said())
		}
	}
	return nil
}

func (p *person) signIn(c *caller) error {
	var (
		a   answer
		err error
	)
	for range 5 {
		a, err = c.ask(knock(p))
		if err != nil || a.status != 503 {
			break
		}
		time.Sleep(time.Second) // a busy machine
	}
	if err != nil {
		return fmt.Errorf("signing in: %w", err)
	}
	if a.status != 303 {
		return fmt.Errorf("signing in: status %d: %.300s", a.status, a.body)
	}
	p.take(a.header)
	if p.access == "" || p.refresh == "" {
		return fmt.Errorf("signing in: no session's cookies in %.600s", a.header)
	}
	return nil
}

// take reads the cookies of an answer.
func (p *person) take(header []byte) {
	var pairs []string
	for line := range strings.SplitSeq(string(header), "\r\n") {
		rest, ok := strings.CutPrefix(line, "Set-Cookie: ")
		if !ok {
			continue
		}
		pair, _, _ := strings.Cut(rest, ";")
		pairs = append(pairs, pair)
		switch name, value, _ := strings.Cut(pair, "="); name {
		case "__Host-portalgate":
			p.access = value
		case "__Host-portalgate-refresh":
			p.refresh = value
		}
	}
	p.cookie = strings.Join(pairs, "; ")
}
