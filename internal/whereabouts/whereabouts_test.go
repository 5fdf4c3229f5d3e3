package whereabouts

import (
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"
)

// RL-09: what one household or server has to itself is one network.
func TestANetworkIsAnAddressOrTheFirst64Bits(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"203.0.113.7": "203.0.113.7", "::ffff:203.0.113.7": "203.0.113.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::": "2001:db8:1:2::/64", "2001:db8:1:2:ffff::": "2001:db8:1:2::/64",
		"2001:db8:1:3::1": "2001:db8:1:3::/64", "fe80::1%eth0": "fe80::/64", "::1": "::/64", "127.0.0.1": "127.0.0.1",
	} {
		if got := Network(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if got := Network(netip.Addr{}); got != "none" {
		t.Errorf("no address: %s", got)
	}
}

func TestADeviceIsCalledWhatItsOwnerWouldCallIt(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                        "Firefox on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15":                   "Safari on macOS",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1": "Safari on iOS",
		"Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36":                            "Chrome on Android",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0":           "Edge on Windows",
		"curl/8.5.0": "curl", "": Unknown, "\x00\x01": Unknown,
	} {
		if got := Device(agent); got != want {
			t.Errorf("%q is called %q, want %q", agent, got, want)
		}
	}
}

// AUD-03, FE-03: an agent is free text of a stranger; what becomes of it may stand in a list.
func FuzzDevice(f *testing.F) {
	for _, s := range []string{"Mozilla/5.0 (<script>alert(1)</script>) Firefox/1", "\r\nX: y", "Mozilla/5.0 (Windows NT 10.0) {{.}} Chrome/1\x1b[31m", strings.Repeat("(", 5000), "\xff\xfe/1.0", "a/b (c; d) e/f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, agent string) {
		d := Device(agent)
		if d == "" || len(d) > 100 || !utf8.ValidString(d) || strings.ContainsAny(d, "<>&\"'`{}\r\n\x00\x1b") || strings.TrimSpace(d) != d {
			t.Fatalf("%q is called %q", agent, d)
		}
	})
}
