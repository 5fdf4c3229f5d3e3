package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/portalgate/portalgate/internal/store"
)

// redisWait bounds each question to Redis; the limiter waits for less.
const redisWait = time.Second

// redisBuffer is what a connection reads and writes by, in bytes. Commands here are a key and a few numbers; the
// driver's own are made for bulk, and at a storm of sign-ins hold 3 MiB for twenty connections.
const redisBuffer = 4 << 10

// openRedis reads an address and dials nothing. There are three forms:
//
//	redis://host:6379                                            one node (rediss:// with TLS, unix:///path for a socket)
//	redis://host1:6379?addr=host2:6379&addr=host3:6379           a Cluster
//	redis://sentinel1:26379?addr=sentinel2:26379&master_name=one Sentinel
func openRedis(address string, plaintext []netip.Prefix) (redis.UniversalClient, error) {
	redis.SetLogger(driverLog{})
	unreadable := errors.New("its address cannot be read; write redis://host:6379, rediss://host:6379 or unix:///path, a Cluster with ?addr=host:port for each further node, Sentinel with ?master_name=name")
	u, err := url.Parse(address)
	if err != nil { // its text may hold the password
		return nil, unreadable
	}
	switch q := u.Query(); {
	case q.Has("master_name"):
		o, err := redis.ParseFailoverURL(address)
		if err != nil {
			return nil, unreadable
		}
		if o.Dialer, err = sheltered(o.TLSConfig != nil, plaintext, o.SentinelAddrs...); err != nil {
			return nil, err
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = redisWait, redisWait, redisWait
		o.ReadBufferSize, o.WriteBufferSize, o.PipelineReadBufferSize, o.PipelineWriteBufferSize = redisBuffer, redisBuffer, redisBuffer, redisBuffer
		o.MaxRetries, o.ContextTimeoutEnabled = -1, true
		return redis.NewFailoverClient(o), nil
	case q.Has("addr"):
		o, err := redis.ParseClusterURL(address)
		if err != nil {
			return nil, unreadable
		}
		if o.Dialer, err = sheltered(o.TLSConfig != nil, plaintext, o.Addrs...); err != nil {
			return nil, err
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = redisWait, redisWait, redisWait
		o.ReadBufferSize, o.WriteBufferSize, o.PipelineReadBufferSize, o.PipelineWriteBufferSize = redisBuffer, redisBuffer, redisBuffer, redisBuffer
		o.ContextTimeoutEnabled = true
		o.MaxRedirects = 3 // a key's node may have moved; that is no failure
		return redis.NewClusterClient(o), nil
	}
	o, err := redis.ParseURL(address)
	if err != nil {
		return nil, unreadable
	}
	if o.Network != "unix" {
		if o.Dialer, err = sheltered(o.TLSConfig != nil, plaintext, o.Addr); err != nil {
			return nil, err
		}
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = redisWait, redisWait, redisWait
	o.ReadBufferSize, o.WriteBufferSize, o.PipelineReadBufferSize, o.PipelineWriteBufferSize = redisBuffer, redisBuffer, redisBuffer, redisBuffer
	o.MaxRetries, o.ContextTimeoutEnabled = -1, true
	return redis.NewClient(o), nil
}

// driverLog is where the driver complains by itself, which would be standard error, past the log that the operator has
// set up. Whoever asks Redis says better what came of it, so that this is for who looks for more.
type driverLog struct{}

// Printf writes a line.
func (driverLog) Printf(_ context.Context, format string, args ...any) {
	if line := caddy.Log().Named("portalgate.redis").Check(zapcore.DebugLevel, "the driver says"); line != nil {
		line.Write(zap.String("text", fmt.Sprintf(format, args...)))
	}
}

// sheltered refuses a connection that leaves the machine without TLS (CFG-02), and is the dialer of one that does not: a
// Sentinel or a Cluster names further addresses, and a name may come to stand for another one. With TLS the driver's own
// is as good.
func sheltered(tls bool, plaintext []netip.Prefix, addrs ...string) (func(ctx context.Context, network, addr string) (net.Conn, error), error) {
	if tls {
		return nil, nil
	}
	for _, a := range addrs {
		host, _, err := net.SplitHostPort(a)
		if err != nil {
			host = a
		}
		if !store.LocalHost(host, plaintext) {
			return nil, fmt.Errorf("the connection to %s is without TLS; write rediss:// or name the network with `plaintext_network`", a)
		}
	}
	return store.Sheltered(redisWait, plaintext), nil
}
