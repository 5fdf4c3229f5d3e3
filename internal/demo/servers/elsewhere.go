//go:build !unix

package servers

import (
	"context"
	"fmt"
)

// Postgres is a private PostgreSQL. On this system there is none: a private socket, and servers that end with their
// program, are things of Unix.
type Postgres struct{}

// StartPostgres says what to do instead.
func StartPostgres(context.Context, Options) (*Postgres, error) {
	return nil, fmt.Errorf("a private PostgreSQL is %w on this system: name one with --database-url, or use %s", ErrMissing, Advice(PostgreSQL))
}

// URL is empty: nothing was started.
func (*Postgres) URL(string, string) string { return "" }

// Chosen is empty: nothing was started.
func (*Postgres) Chosen() string { return "" }

// Dir is empty: nothing was started.
func (*Postgres) Dir() string { return "" }

// Socket is empty: nothing was started.
func (*Postgres) Socket() string { return "" }

// Log is empty: nothing was started.
func (*Postgres) Log() string { return "" }

// PID is none: nothing was started.
func (*Postgres) PID() int { return 0 }

// Gone never closes: nothing was started.
func (*Postgres) Gone() <-chan struct{} { return nil }

// Close has nothing to stop.
func (*Postgres) Close() {}

// RedisServer is a private Redis. On this system there is none.
type RedisServer struct{}

// StartRedis returns [ErrMissing]: everything works without Redis.
func StartRedis(context.Context, Options) (*RedisServer, error) {
	return nil, fmt.Errorf("a private Redis is %w on this system", ErrMissing)
}

// URL is empty: nothing was started.
func (*RedisServer) URL() string { return "" }

// Socket is empty: nothing was started.
func (*RedisServer) Socket() string { return "" }

// Chosen is empty: nothing was started.
func (*RedisServer) Chosen() string { return "" }

// Dir is empty: nothing was started.
func (*RedisServer) Dir() string { return "" }

// PID is none: nothing was started.
func (*RedisServer) PID() int { return 0 }

// Calls are none: nothing was started.
func (*RedisServer) Calls(context.Context) (map[string]int64, error) { return nil, ErrMissing }

// Gone never closes: nothing was started.
func (*RedisServer) Gone() <-chan struct{} { return nil }

// Close has nothing to stop.
func (*RedisServer) Close() {}

func findPostgres() (string, bool) { return "", false }

// FetchPostgres says what to do instead.
func FetchPostgres(ctx context.Context, o Options) error {
	_, err := StartPostgres(ctx, o)
	return err
}
