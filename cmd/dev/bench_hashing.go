package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/portalgate/portalgate/internal/password"
)

// hashingWorker is the argument with which this program becomes the bare argon2id of P11: a process of its own on the
// measured core, with the parameters, the workers and the collector of the gateway.
const hashingWorker = "--hashing-worker"

// The two that P11's worker is asked for: x/crypto's function as anybody calls it, which the row compares with, and
// what the gateway hashes with, for whoever asks what else a sign-in costs.
const (
	bareHash = "bare"
	ownHash  = "own"
)

// hashAway reads a hash's name and a duration, one pair a line, checks a password over and over for as long, and
// answers with how many checks a second that made.
func hashAway(in io.Reader, out io.Writer) error {
	h, err := password.New(password.Config{Queue: 1 << 10, Wait: time.Minute})
	if err != nil {
		return err
	}
	typed, err := password.Prepare(benchPassword)
	if err != nil {
		return err
	}
	ctx := context.Background()
	stored, err := h.Hash(ctx, typed)
	if err != nil {
		return err
	}
	salt := []byte("the bench's salt")
	hash := func() []byte {
		return argon2.IDKey([]byte(benchPassword), salt, password.DefaultPasses, password.DefaultMemory, password.DefaultLanes, 32)
	}
	key := hash()
	checks := map[string]func() bool{
		bareHash: func() bool { return bytes.Equal(hash(), key) },
		ownHash:  func() bool { v, err := h.Check(ctx, typed, stored); return err == nil && v.Match },
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		name, words, _ := strings.Cut(lines.Text(), " ")
		check := checks[name]
		d, err := time.ParseDuration(words)
		if err != nil || check == nil {
			return fmt.Errorf("reading %q: want %s or %s and a duration", lines.Text(), bareHash, ownHash)
		}
		var (
			done    atomic.Int64
			failed  atomic.Bool
			workers sync.WaitGroup
		)
		began := time.Now()
		for range runtime.GOMAXPROCS(0) {
			workers.Go(func() {
				for time.Since(began) < d {
					if !check() {
						failed.Store(true)
						return
					}
					done.Add(1)
				}
			})
		}
		workers.Wait()
		if failed.Load() {
			return errors.New("a check failed")
		}
		fmt.Fprintln(out, float64(done.Load())/time.Since(began).Seconds())
	}
	return lines.Err()
}

// hashing is the worker as we see it.
type hashing struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	ended chan error
}

func (b *bench) startHashing() (*hashing, error) {
	h := &hashing{cmd: exec.Command(filepath.Join(b.dir, "dev"), "bench", hashingWorker)}
	h.cmd.Dir = b.r.root
	h.cmd.Env = append(os.Environ(), "GOGC=400") // as the gateway sets it for itself
	h.cmd.Stderr = b.r.err
	var err error
	if h.in, err = h.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting the hashing worker: %w", err)
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the hashing worker: %w", err)
	}
	h.out = bufio.NewScanner(out)
	if h.ended, err = launch(h.cmd, b.measured); err != nil {
		return nil, fmt.Errorf("starting the hashing worker: %w", err)
	}
	return h, nil
}

func (h *hashing) run(name string, d time.Duration) (rate float64, err error) {
	if _, err := fmt.Fprintln(h.in, name, d); err != nil {
		return 0, fmt.Errorf("asking the hashing worker: %w", err)
	}
	if !h.out.Scan() {
		return 0, fmt.Errorf("the hashing worker ended: %w", errors.Join(io.ErrUnexpectedEOF, h.out.Err()))
	}
	_, err = fmt.Sscan(h.out.Text(), &rate)
	return rate, err
}

func (h *hashing) stop() {
	_ = h.in.Close() // its end
	<-h.ended
}

// answerAfter is how long after its arrival a sign-in is answered at the earliest, as the gateway ships.
const answerAfter = 250 * time.Millisecond

// signIns compares sign-ins with nothing but a hash, by x/crypto's argon2.IDKey as it comes. So many people are at the door that those whose answers are
// held until their moment leave no worker idle, and no more than may wait for one.
func signIns(ctx context.Context, b *bench) (s series, note string, err error) {
	h, err := b.startHashing()
	if err != nil {
		return nil, "", err
	}
	defer h.stop()
	bare, err := h.run(ownHash, b.round)
	if err != nil {
		return nil, "", err
	}
	l, next := b.door(b.gate, int(bare*answerAfter.Seconds())+5)
	defer l.hangUp()
	warm, d := 2*answerAfter+200*time.Millisecond, 3*b.round
	if b.brief {
		d = 4 * answerAfter // somebody is answered, on a busy machine too
	}
	l.run(warm, d)
	if err := b.analyze(ctx); err != nil {
		return nil, "", err
	}
	next.Store(0)
	var gates, bares, owns, work series
	for range b.rounds {
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
		before, err := b.servers()
		if err != nil {
			return nil, "", err
		}
		got := l.run(warm, d)
		after, err := b.servers()
		if err != nil {
			return nil, "", err
		}
		if got.wrong > 0 || got.answers == 0 {
			return nil, "", fmt.Errorf("%d right and %d wrong answers, the first: %s", got.answers, got.wrong, got.first)
		}
		rate, err := h.run(bareHash, 2*b.round)
		if err != nil {
			return nil, "", err
		}
		alone, err := h.run(ownHash, 2*b.round)
		if err != nil {
			return nil, "", err
		}
		s = append(s, got.rate()/rate)
		gates, bares, owns = append(gates, got.rate()), append(bares, rate), append(owns, alone)
		work = append(work, (after-before).Seconds()*1e3/float64(next.Swap(0)))
	}
	return s, fmt.Sprintf("%.1f against %.1f a second (and %.1f of the gateway's own hash alone), %d people at the door; %.1f ms of gateway, PostgreSQL and Redis for each",
		gates.median(), bares.median(), owns.median(), len(l.callers), work.median()), nil
}

// analyze has PostgreSQL know its tables, as it does by itself within a minute: this one is a minute old.
func (b *bench) analyze(ctx context.Context) error {
	conn, err := b.counter(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `vacuum analyze`); err != nil {
		return fmt.Errorf("analyzing the tables: %w", err)
	}
	return nil
}

// door is a number of people who sign in, over and over, one after the other on each connection; knocks counts them.
func (b *bench) door(g *gateway, n int) (l *load, knocks *atomic.Int64) {
	people := b.people[connections:]
	knocks = new(atomic.Int64)
	requests := make([][]byte, len(people))
	for i := range requests {
		requests[i] = knock(&people[i])
	}
	return &load{
		callers: callers(n, g.addr),
		ask:     func(int, int) []byte { return requests[int(knocks.Add(1))%len(requests)] },
		right: func(_ int, a answer) bool {
			return a.status == 303 && bytes.Contains(a.header, []byte("Set-Cookie: __Host-portalgate=")) && bytes.Contains(a.header, []byte("Location: /\r\n"))
		},
		spread: answerAfter,
		busy:   func(a answer) bool { return a.status == 503 },
	}, knocks
}

// servers is the CPU time of everything that works on a sign-in.
func (b *bench) servers() (time.Duration, error) {
	pids := []int{b.gate.pid(), b.world.Postgres.PID()}
	if b.world.Redis != nil {
		pids = append(pids, b.world.Redis.PID())
	}
	var all time.Duration
	for _, pid := range pids {
		d, err := cpuBelow(pid)
		if err != nil {
			return 0, err
		}
		all += d
	}
	return all, nil
}
