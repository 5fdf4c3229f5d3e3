package store

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// A name that stands for nothing at the moment is a server that does not answer yet.
func TestANameThatDoesNotResolveIsTriedLater(t *testing.T) {
	t.Parallel()
	nets := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	s, err := Open("postgres://app@nowhere.invalid/x?sslmode=disable", Options{Plaintext: nets, Wait: time.Second})
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	defer s.Close()
	if err := s.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("asked, it says %v", err)
	}
	for address, why := range map[string]string{
		"postgres://app@nowhere.invalid/x?sslmode=disable": "no network is named", "postgres://app@192.0.2.1/x?sslmode=disable": "it lies outside",
	} {
		o := Options{}
		if strings.Contains(address, "192.0.2.1") {
			o.Plaintext = nets
		}
		if s, err := Open(address, o); err == nil {
			s.Close()
			t.Errorf("taken, although %s", why)
		}
	}
}

// Whatever a name stands for when it is dialled, nothing leaves the named networks without TLS.
func TestAConnectionWithoutTLSIsJudgedWhenItIsMade(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial := Sheltered(time.Second, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	c, err := dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatalf("this machine: %v", err)
	}
	c.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String()) // as a Cluster of one names itself
	if c, err = dial(t.Context(), "tcp", ":"+port); err != nil {
		t.Fatalf("no host: %v", err)
	}
	c.Close()
	for _, far := range []string{"192.0.2.1:1", "[2001:db8::1]:1"} {
		if c, err := dial(t.Context(), "tcp", far); err == nil || !strings.Contains(err.Error(), "outside of the networks") {
			t.Errorf("%s: %v, %v", far, c, err)
		}
	}
}
