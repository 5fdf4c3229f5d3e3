package store

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// encrypted refuses a connection that leaves the machine without TLS (CFG-02). What a name stands for may change, so that
// a connection without TLS is judged once more when it is made.
func encrypted(c *pgx.ConnConfig, plaintext []netip.Prefix) error {
	hosts := []struct {
		host string
		tls  bool
	}{{c.Host, c.TLSConfig != nil}}
	for _, f := range c.Fallbacks {
		hosts = append(hosts, struct {
			host string
			tls  bool
		}{f.Host, f.TLSConfig != nil})
	}
	for _, h := range hosts {
		if h.tls || onDisk(h.host) {
			continue
		}
		if !LocalHost(h.host, plaintext) {
			return fmt.Errorf("the connection to the database at %s could be without TLS; add sslmode=verify-full to its address, or name the network with `plaintext_network`", h.host)
		}
		c.DialFunc = Sheltered(c.ConnectTimeout, plaintext)
	}
	return nil
}

// Sheltered dials for a connection without TLS: addresses of this machine and of the networks that the operator excepted by
// name, and no other, whatever a name stands for by then.
func Sheltered(timeout time.Duration, except []netip.Prefix) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{Timeout: timeout, KeepAlive: 5 * time.Minute, Control: func(network, address string, _ syscall.RawConn) error {
		if strings.HasPrefix(network, "unix") || strings.HasPrefix(address, ":") { // no host at all is this machine
			return nil
		}
		at, err := netip.ParseAddrPort(address)
		if addr := at.Addr().Unmap(); err != nil || !addr.IsLoopback() && !within(addr, except) {
			return fmt.Errorf("%s is outside of the networks that may be reached without TLS", address)
		}
		return nil
	}}
	return d.DialContext
}

func onDisk(host string) bool {
	return host == "" || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@")
}

// LocalHost says whether a host is this machine, or lies in one of the networks that the operator excepted by name. A name
// that stands for nothing at the moment may: whoever connects asks again, with Sheltered.
func LocalHost(host string, except []netip.Prefix) bool {
	if onDisk(host) || host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err == nil {
		return addr.Unmap().IsLoopback() || within(addr.Unmap(), except)
	}
	if len(except) == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupWait)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return true
	}
	for _, ip := range ips {
		if !within(ip.Unmap(), except) {
			return false
		}
	}
	return true
}

// lookupWait is for how long a configuration waits for a name server.
const lookupWait = 2 * time.Second

func within(addr netip.Addr, nets []netip.Prefix) bool {
	for _, n := range nets {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}
