package admission

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
)

// town is a table of two tenants, and of as many more as are asked for.
func town(more int) *Hosts {
	table := map[string]*portal.Tenant{
		"acme.portal.test":   {ID: "0190aaaa-0000-7000-8000-00000000000a", Slug: "acme", Mode: portal.ModeOn},
		"globex.portal.test": {ID: "0190aaaa-0000-7000-8000-00000000000b", Slug: "globex", Mode: portal.ModeOn},
		"acme.localhost":     {ID: "0190aaaa-0000-7000-8000-00000000000a", Slug: "acme", Mode: portal.ModeOn},
	}
	for i := range more {
		slug := fmt.Sprintf("t%03d", i)
		table[slug+".portal.test"] = &portal.Tenant{ID: portal.TenantID(fmt.Sprintf("0190aaaa-0000-7000-8000-%012d", i)), Slug: slug, Mode: portal.ModeOn}
	}
	h := new(Hosts)
	h.Set(table)
	return h
}

func secured(host, sni string) *http.Request {
	return &http.Request{Method: "GET", Host: host, RequestURI: "/", RemoteAddr: "192.0.2.7:4711", Header: http.Header{}, ProtoMajor: 1,
		TLS: &tls.ConnectionState{ServerName: sni, HandshakeComplete: true}}
}

// TEN-01, appendix D: one tenant or none, with two tenants and with a hundred and fifty more.
func TestAHostIsOneTenantsOrNobodys(t *testing.T) {
	for _, more := range []int{0, 150} {
		hosts := town(more)
		for host, want := range map[string]string{
			"acme.portal.test": "acme", "ACME.PORTAL.TEST": "acme", "acme.portal.test.": "acme", "acme.portal.test:8443": "acme", "acme.portal.test:": "acme", "Acme.Portal.Test.:443": "acme",
			"globex.portal.test": "globex",
			"acme.portal.test..": "", "acme.portal.test:99999": "", "acme.portal.test:-1": "", "acme.portal.test:80a": "", "acme.portal.test:443:443": "",
			"acme.portal.test%00": "", "acme.portal.test\x00": "", "acme.portal.test/": "", "acme.portal.test@globex.portal.test": "", "globex.portal.test#acme.portal.test": "",
			" acme.portal.test": "", "acme.portal.test ": "", "acme.portal.test,globex.portal.test": "", "acme.portal.test\tglobex.portal.test": "",
			"": "", ".": "", ":": "", ":443": "", "[::1]": "", "127.0.0.1": "", "localhost": "", "evil.test": "", "acme.portal.test.evil.test": "", "evilacme.portal.test": "",
			"portal.test": "", ".portal.test": "", "*.portal.test": "", "xn--acme-.portal.test": "", "xn--80ak6aa92e.portal.test": "", "аcme.portal.test": "", "acme。portal。test": "", "ＡＣＭＥ.portal.test": "",
			"acme.portal.test?": "", "acme.portal.test\\": "", "user:pw@acme.portal.test": "", "acme_.portal.test": "", "acme..portal.test": "", "-.portal.test": "",
			strings.Repeat("a", 64) + ".portal.test": "", strings.Repeat("a.", 130) + "portal.test": "",
		} {
			got := ""
			if a, _ := arrive(hosts, secured(host, ""), Wire{Now: time.Unix(1, 0)}); a.Tenant != nil {
				got = a.Tenant.Slug
				if a.Host != got+".portal.test" || !strings.HasPrefix(a.Origin, "https://"+a.Host) {
					t.Errorf("%q: host %q, origin %q", host, a.Host, a.Origin)
				}
			}
			if got != want {
				t.Errorf("with %d tenants more, %q leads to %q, want %q", more, host, got, want)
			}
		}
		if more > 0 {
			for i := range more {
				if a, err := arrive(hosts, secured(fmt.Sprintf("T%03d.portal.test", i), ""), Wire{}); err != nil || a.Tenant.Slug != fmt.Sprintf("t%03d", i) {
					t.Fatalf("tenant %d: %v", i, err)
				}
			}
		}
	}
}

func TestAnEmptyTableKnowsNobody(t *testing.T) {
	if a, err := arrive(new(Hosts), secured("acme.portal.test", ""), Wire{}); a.Tenant != nil || kind(err) != portal.ProblemUnknownHost {
		t.Errorf("tenant %v, %v", a.Tenant, err)
	}
	if new(Hosts).Known("acme.portal.test") {
		t.Error("a name is known")
	}
}

// TEN-02: a request that names two hosts is refused, whichever of them is ours.
func TestARequestThatNamesTwoHostsIsRefused(t *testing.T) {
	hosts := town(0)
	for _, c := range []struct {
		host, sni string
		also      []string // a Host header beside :authority
		ok        bool
	}{
		{"acme.portal.test", "acme.portal.test", nil, true},
		{"acme.portal.test", "ACME.portal.test", nil, true},
		{"acme.portal.test:8443", "acme.portal.test", nil, true},
		{"acme.portal.test", "", nil, true},
		{"globex.portal.test", "acme.portal.test", nil, false},
		{"acme.portal.test", "globex.portal.test", nil, false},
		{"acme.portal.test", "evil.test", nil, false},
		{"acme.portal.test", "acme.portal.test", []string{"acme.portal.test"}, true},
		{"acme.portal.test", "acme.portal.test", []string{"globex.portal.test"}, false},
		{"acme.portal.test", "acme.portal.test", []string{"acme.portal.test", "acme.portal.test"}, false},
		{"acme.portal.test", "acme.portal.test", []string{""}, false},
	} {
		r := secured(c.host, c.sni)
		if c.also != nil {
			r.Header["Host"] = c.also
		}
		_, err := arrive(hosts, r, Wire{})
		if ok := err == nil; ok != c.ok || !ok && kind(err) != portal.ProblemMisdirected {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Contract 5: plain HTTP is for localhost, and for what a trusted proxy says it has taken the TLS off.
func TestPlainHTTPIsForLocalhostAndTrustedProxies(t *testing.T) {
	hosts := town(0)
	for _, c := range []struct {
		host    string
		trusted bool
		proto   []string
		ok      bool
		origin  string
	}{
		{"acme.localhost:8080", false, nil, true, "http://acme.localhost:8080"},
		{"acme.localhost:80", false, nil, true, "http://acme.localhost"},
		{"acme.localhost", false, []string{"https"}, true, "http://acme.localhost"},
		{"acme.portal.test", false, nil, false, ""},
		{"acme.portal.test", false, []string{"https"}, false, ""},
		{"acme.portal.test", true, nil, false, ""},
		{"acme.portal.test", true, []string{"http"}, false, ""},
		{"acme.portal.test", true, []string{"https"}, true, "https://acme.portal.test"},
		{"acme.portal.test:443", true, []string{"https"}, true, "https://acme.portal.test"},
		{"acme.portal.test", true, []string{"https", "https"}, false, ""},
		{"acme.portal.test", true, []string{"https, http"}, false, ""},
		{"acme.portal.test", true, []string{"HTTPS"}, false, ""},
	} {
		r := secured(c.host, "")
		r.TLS = nil
		if c.proto != nil {
			r.Header["X-Forwarded-Proto"] = c.proto
		}
		a, err := arrive(hosts, r, Wire{Trusted: c.trusted})
		if ok := err == nil; ok != c.ok || ok && (a.Origin != c.origin || a.Jar.Secure != strings.HasPrefix(c.origin, "https")) {
			t.Errorf("%+v: origin %q, secure %v, %v", c, a.Origin, a.Jar.Secure, err)
		}
	}
}

// IP-02: an entry that cannot be read yields the peer, and every address has one form.
func TestTheClientsAddressIsThePeersUnlessEveryWordOfItCanBeRead(t *testing.T) {
	for _, c := range []struct {
		told    string // what Caddy found
		trusted bool
		lines   []string
		want    string
	}{
		{"192.0.2.7", false, []string{"9.9.9.9"}, "192.0.2.7"},
		{"198.51.100.4", true, []string{"198.51.100.4"}, "198.51.100.4"},
		{"198.51.100.4", true, []string{"9.9.9.9, 198.51.100.4"}, "198.51.100.4"},
		{"198.51.100.4", true, []string{"junk, 198.51.100.4"}, "198.51.100.4"}, // the client's own words, further left
		{"198.51.100.4", true, []string{"9.9.9.9", "198.51.100.4"}, "198.51.100.4"},
		{"198.51.100.4", true, []string{"198.51.100.4:99"}, "198.51.100.4"},
		{"198.51.100.4", true, []string{"::ffff:198.51.100.4"}, "198.51.100.4"},
		{"::ffff:198.51.100.4", true, []string{"::ffff:198.51.100.4"}, "198.51.100.4"},
		{"fe80::1", true, []string{"fe80::1%eth0"}, "fe80::1"},
		{"2001:db8::4", true, []string{"[2001:db8::4]:99"}, "2001:db8::4"},
		{"9.9.9.9", true, []string{"9.9.9.9, a"}, "192.0.2.7"}, // Caddy steps over the word
		{"9.9.9.9", true, []string{"9.9.9.9", ""}, "192.0.2.7"},
		{"9.9.9.9", true, []string{"9.9.9.9, unknown, 192.0.2.1"}, "192.0.2.7"},
		{"192.0.2.7", true, []string{"a"}, "192.0.2.7"},
		{"192.0.2.7", true, nil, "192.0.2.7"},
		{"", true, []string{"a"}, "192.0.2.7"},
		{"@", true, nil, "192.0.2.7"},
	} {
		r := secured("acme.portal.test", "")
		if c.lines != nil {
			r.Header["X-Forwarded-For"] = c.lines
		}
		told := c.told
		if told == "198.51.100.4" && len(c.lines) == 1 && strings.HasPrefix(c.lines[0], "::ffff") {
			told = c.lines[0]
		}
		if got := client(r, Wire{Client: told, Trusted: c.trusted, Told: []string{"X-Forwarded-For"}}); got.Addr.String() != c.want {
			t.Errorf("%+v: %s", c, got.Addr)
		}
	}
}

func TestAnAgentIsBoundedAndIsText(t *testing.T) {
	r := secured("acme.portal.test", "")
	r.Header.Set("User-Agent", strings.Repeat("é", 400)+"\x00\xff")
	got := client(r, Wire{}).Agent
	if len(got) > maxAgent || strings.ContainsAny(got, "\x00") || strings.ToValidUTF8(got, "") != got {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

// FuzzHost: whatever is accepted is spelt in the one alphabet of the table, and reads the same when read again.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"acme.portal.test", "ACME.PORTAL.TEST.:8443", "a..b", "[::1]:80", "xn--a", "a:b:c", "аcme", "a.b:65536", strings.Repeat("a", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, ok := canonicalHost(s)
		if !ok {
			return
		}
		if strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" || strings.HasPrefix(host, ".") || strings.HasSuffix(host, ".") || strings.Contains(host, "..") || len(host) > 253 {
			t.Fatalf("%q became %q", s, host)
		}
		if again, ok := canonicalHost(host); !ok || again != host {
			t.Fatalf("%q became %q, and that %q", s, host, again)
		}
		if !strings.HasPrefix(strings.ToLower(s), host) {
			t.Fatalf("%q became %q, which is not how it begins", s, host)
		}
	})
}

// FuzzClientAddress: nothing a client writes to the left of what a proxy added becomes its address, and nothing panics.
func FuzzClientAddress(f *testing.F) {
	f.Add("9.9.9.9", "junk")
	f.Add("", "::ffff:1.2.3.4")
	f.Add("1.2.3.4:5, [::1]:7", "fe80::1%lo")
	f.Fuzz(func(t *testing.T, own, added string) {
		r := secured("acme.portal.test", "")
		r.Header["X-Forwarded-For"] = []string{own, added}
		got := client(r, Wire{Client: "203.0.113.250", Trusted: true, Told: []string{"X-Forwarded-For"}}).Addr.String()
		if got != "203.0.113.250" && got != "192.0.2.7" {
			t.Fatalf("%q and %q made %s", own, added, got)
		}
	})
}
