package testenv

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/portalgate/portalgate/internal/demo/servers"
)

// cluster is where the databases of this test binary are made.
type cluster struct {
	root    func(database string) string // the address for a superuser
	role    func(database, role string) string
	private bool
}

// One PostgreSQL and one Redis for a test binary. Nothing closes them: they end with the binary, and that also holds
// for one that panics or runs out of time, which no cleanup would survive.
var (
	theCluster = sync.OnceValues(findCluster)
	theRedis   = sync.OnceValues(findRedis)
)

func findCluster() (*cluster, error) {
	if address := os.Getenv("PORTALGATE_TEST_DATABASE_URL"); address != "" {
		return external(address)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// Where every test must run, fetching PostgreSQL is better than failing.
	pg, err := servers.StartPostgres(ctx, servers.Options{Offline: !Everything()})
	if err != nil {
		return nil, err
	}
	return &cluster{
		root:    func(database string) string { return pg.URL(database, "postgres") },
		role:    pg.URL,
		private: true,
	}, nil
}

func findRedis() (string, error) {
	if address := os.Getenv("PORTALGATE_TEST_REDIS_URL"); address != "" {
		return address, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := servers.StartRedis(ctx, servers.Options{})
	if err != nil {
		return "", err
	}
	return r.URL(), nil
}

// Redis returns the address of a Redis that all tests of the package share. Tenants keep them apart.
func Redis(t testing.TB) string {
	t.Helper()
	address, err := theRedis()
	need(t, err)
	return address
}

// LoneRedis returns a Redis for this test alone, to be stopped in the middle.
func LoneRedis(t testing.TB) *servers.RedisServer {
	t.Helper()
	r, err := servers.StartRedis(t.Context(), servers.Options{})
	need(t, err)
	t.Cleanup(r.Close)
	return r
}

func need(t testing.TB, err error) {
	t.Helper()
	switch {
	case errors.Is(err, servers.ErrMissing):
		Missing(t, err.Error())
	case err != nil:
		t.Fatal("bringing up a server: ", err)
	}
}

// RedisInfo is a number that a Redis tells of itself, such as connected_clients.
func RedisInfo(t testing.TB, address, name string) int {
	t.Helper()
	o, err := redis.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	defer c.Close()
	info, err := c.Info(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(v))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("Redis says nothing of %s", name)
	return 0
}
