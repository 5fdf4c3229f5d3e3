package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

// Statements is what the gateway's role asks PostgreSQL, by the server's own log.
type Statements struct {
	w   *World
	log *os.File
}

// Listen makes PostgreSQL log every statement of connections that the gateway's role opens from now on. What comes by
// the clock, whether or not anybody does, is left out: the feed's question every second, the courier's, and the sign of life that the
// pool asks of a connection which was idle for a second.
func (w *World) Listen(ctx context.Context) (*Statements, error) {
	if _, err := w.owner.Exec(ctx, `alter role app set log_statement = 'all'`); err != nil {
		return nil, fmt.Errorf("switching the log of statements on: %w", err)
	}
	f, err := os.Open(w.Postgres.Log())
	if err != nil {
		return nil, fmt.Errorf("opening PostgreSQL's log: %w", err)
	}
	s := &Statements{w, f}
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		s.Close()
		return nil, fmt.Errorf("reading PostgreSQL's log: %w", err)
	}
	return s, nil
}

// Next are the statements since the last call.
func (s *Statements) Next() ([]string, error) {
	b, err := io.ReadAll(s.log)
	if err != nil {
		return nil, fmt.Errorf("reading PostgreSQL's log: %w", err)
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		_, said, ok := strings.Cut(line, "LOG:  ")
		if !ok {
			continue // the rest of a statement, its parameters, something else
		}
		said = strings.TrimSpace(said)
		asked := strings.HasPrefix(said, "statement: ") || strings.HasPrefix(said, "execute ")
		if asked && said != "statement: -- ping" && !strings.Contains(said, "from portalgate.changes(") && !strings.Contains(said, "from portalgate.claim(") {
			out = append(out, said)
		}
	}
	return out, nil
}

// Close stops listening; connections that are open go on being logged.
func (s *Statements) Close() {
	_ = s.log.Close()                                                                 // it was only read
	_, _ = s.w.owner.Exec(context.Background(), `alter role app reset log_statement`) // the server ends with the world
}
