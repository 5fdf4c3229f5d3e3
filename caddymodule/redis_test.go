package caddymodule

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/portalgate/portalgate/internal/demo/servers"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/ratelimit"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/testenv"
)

// launchRedis starts a redis-server on a TCP port of its own, which a Cluster and Sentinel need.
func launchRedis(t *testing.T, args ...string) (port string) {
	t.Helper()
	program, found := servers.Find(servers.Redis)
	if !found {
		testenv.Missing(t, "redis-server is not installed; this installs it: "+servers.Advice(servers.Redis))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ = net.SplitHostPort(l.Addr().String())
	l.Close()
	cmd := exec.Command(program, append(args, "--port", port, "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it keeps nothing
		_ = cmd.Wait()
	})
	return port
}

// eventually asks until a server that was just started says yes.
func eventually(t *testing.T, what string, ask func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// spends shows that the limits work through a client.
func spends(t *testing.T, c redis.UniversalClient) {
	t.Helper()
	l := ratelimit.New(c, portal.DefaultLimits())
	limit := ratelimit.Limit{Name: "test", Number: 2, Period: time.Minute}
	for i, want := range []bool{true, true, false} {
		d := l.Spend(t.Context(), time.Now(), ratelimit.Charge{Limit: limit, Key: []string{t.Name()}})
		if d.Allowed != want || d.Degraded {
			t.Errorf("try %d: %+v", i, d)
		}
	}
	tenant := portal.TenantID(portal.FormatID(secret.NewID()))
	for i := range 11 {
		p := l.Pay(t.Context(), time.Now(), ratelimit.Guess{Tenant: tenant, Network: "192.0.2.1", Account: portal.Email(fmt.Sprint(i)), Stranger: true})
		if d := p.Decision(false); d.Allowed != (i < 10) {
			t.Errorf("guess %d: %+v", i, d)
		}
		p.Settle(t.Context(), time.Now(), ratelimit.Wrong)
	}
	if err := l.Clear(t.Context(), tenant, "192.0.2.1"); err != nil {
		t.Error(err)
	}
	if n := l.Degraded(); n > 0 {
		t.Errorf("%d questions were not answered", n)
	}
}

func TestRedisMayBeACluster(t *testing.T) {
	t.Parallel()
	port := launchRedis(t, "--cluster-enabled", "yes")
	one := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port})
	defer one.Close()
	eventually(t, "the node", func(ctx context.Context) error { return one.Ping(ctx).Err() })
	if err := one.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cluster", func(ctx context.Context) error {
		s, err := one.ClusterInfo(ctx).Result()
		if err == nil && !strings.Contains(s, "cluster_state:ok") {
			err = fmt.Errorf("not ready: %s", s)
		}
		return err
	})
	c, err := openRedis(fmt.Sprintf("redis://127.0.0.1:%s?addr=127.0.0.1:%s", port, port), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	spends(t, c)
}

func TestRedisMayBeBehindSentinel(t *testing.T) {
	t.Parallel()
	port := launchRedis(t)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "sentinel monitor portal 127.0.0.1 %s 1\n", port), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := launchRedis(t, conf, "--sentinel")
	c, err := openRedis("redis://127.0.0.1:"+sentinel+"?master_name=portal", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	eventually(t, "the node behind Sentinel", func(ctx context.Context) error { return c.Ping(ctx).Err() })
	spends(t, c)
}

func TestRedisIsNotReachedOverTheNetworkWithoutTLS(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"redis://192.0.2.1:6379":                                   "without TLS",
		"redis://127.0.0.1:6379?addr=192.0.2.1:6379":               "192.0.2.1:6379 is without TLS",
		"redis://192.0.2.1:26379?master_name=one":                  "without TLS",
		"http://127.0.0.1":                                         "cannot be read",
		"redis://:geheim%zz@127.0.0.1":                             "cannot be read",
		"redis://127.0.0.1:6379?addr=127.0.0.1:1&no_such_option=1": "cannot be read",
	} {
		_, err := openRedis(address, nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{"rediss://192.0.2.1:6379", "unix:///run/redis.sock", "redis://10.1.2.3:6379", "redis://nowhere.invalid:6379", "rediss://192.0.2.1:26379?master_name=one"} {
		c, err := openRedis(address, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")})
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		_ = c.Close()
	}
}
