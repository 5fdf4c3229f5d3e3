package upstream

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// HDR-07, appendix B: what other gateways tell a backend is a lie from a client, in any spelling.
func TestAClientsClaimsAreRemoved(t *testing.T) {
	lies := []string{
		"Authorization", "Proxy-Authorization", "Forwarded", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Server", "X-Forwarded-User", "X-Forwarded-Email",
		"X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X-Forwarded-Access-Token", "X-Forwarded", "X-Forwarded-Client-Cert", "X_Forwarded_Proto", "X-Forwarded_For", "X.Forwarded.Host", "-X-Forwarded-For",
		"X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip", "Client-Ip", "X-Original-Url", "X-Original-Uri", "X-Original-Forwarded-For", "X-Rewrite-Url", "X-Http-Method-Override", "X-Method-Override",
		"Remote-User", "X-Remote-User", "X-Auth-Request-User", "X-Auth-Request-Email", "X-Authentik-Username", "X-Webauth-User", "Ssl-Client-Verify", "X-Ssl-Client-Cn", "Client-Cert", "Http2-Settings", "Proxy",
		"X-Tenant-Id", "X-User-Id", "X-Username", "X-Auth-User", "X-Proxy-User", "X-Host", "X-Scheme", "X-Url-Scheme", "Front-End-Https", "Cf-Access-Jwt-Assertion", "X-Goog-Iap-Jwt-Assertion",
		"X-Goog-Authenticated-User-Email", "X-Amzn-Oidc-Data", "X-Ms-Client-Principal", "Tailscale-User-Login", "Impersonate-User", "X-Envoy-External-Address", "X-Azure-Clientip", "X-Middleware-Subrequest",
		"authorization", "REMOTE_USER", "remote.user", "_Authorization",
	}
	kept := []string{"Accept", "Content-Type", "X-Requested-With", "X-Csrf-Token", "Sec-Fetch-Site", "Range", "If-None-Match", "If-Modified-Since", "Traceparent", "Apollo-Require-Preflight", "X-Forward", "Remote", "Referer", "Host-Name", "User-Agent", "Priority"}
	r := &http.Request{Header: http.Header{}}
	for _, name := range append(slices.Clone(lies), kept...) {
		r.Header[name] = []string{"x"}
	}
	Clean(r, Arrival{})
	for _, name := range lies {
		if _, left := r.Header[name]; left {
			t.Errorf("%s is left", name)
		}
	}
	for _, name := range kept {
		if _, left := r.Header[name]; !left {
			t.Errorf("%s is gone", name)
		}
	}
}

// What is passed on about the way is what was judged, whoever else wrote something there.
func TestOnlyWhatWasJudgedIsPassedOnOfTheWay(t *testing.T) {
	for _, c := range []struct {
		a          Arrival
		fors       []string
		protos     []string
		wantFor    string
		wantProtos string
	}{
		{Arrival{Client: netip.MustParseAddr("192.0.2.7")}, []string{"127.0.0.1"}, []string{"https"}, "", ""},
		{Arrival{Client: netip.MustParseAddr("192.0.2.7"), Secure: true}, []string{"127.0.0.1"}, []string{"http"}, "", ""},
		{Arrival{Client: netip.MustParseAddr("198.51.100.4"), Trusted: true, Secure: true}, []string{"6.6.6.6, junk, 198.51.100.4"}, []string{"https"}, "198.51.100.4", "https"},
		{Arrival{Client: netip.MustParseAddr("198.51.100.4"), Trusted: true}, []string{"6.6.6.6", "198.51.100.4"}, []string{"gopher", "https"}, "198.51.100.4", ""},
		{Arrival{Trusted: true}, []string{"junk"}, nil, "", ""},
		{Arrival{Client: netip.MustParseAddr("10.0.0.1"), Trusted: true, Secure: true}, nil, nil, "", ""},
	} {
		r := &http.Request{Header: http.Header{"X-Forwarded-Host": {"evil.test"}, "Host": {"acme.portal.test"}}}
		if c.fors != nil {
			r.Header["X-Forwarded-For"] = c.fors
		}
		if c.protos != nil {
			r.Header["X-Forwarded-Proto"] = c.protos
		}
		Clean(r, c.a)
		if got := strings.Join(r.Header["X-Forwarded-For"], "|"); got != c.wantFor {
			t.Errorf("%+v: X-Forwarded-For %q", c, got)
		}
		if got := strings.Join(r.Header["X-Forwarded-Proto"], "|"); got != c.wantProtos {
			t.Errorf("%+v: X-Forwarded-Proto %q", c, got)
		}
		if r.Header["X-Forwarded-Host"] != nil || r.Header["Host"] != nil {
			t.Errorf("%+v: %v", c, r.Header)
		}
	}
}

// SES-02: the Cookie header that goes on is what was left of it.
func TestOnlyTheirOwnCookiesGoOn(t *testing.T) {
	for rest, want := range map[string]string{"theirs=1": "theirs=1", "": ""} {
		r := &http.Request{Header: http.Header{"Cookie": {"__Host-portalgate=x", "theirs=1"}}}
		Clean(r, Arrival{Cookies: rest})
		if got := strings.Join(r.Header["Cookie"], "|"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	r := &http.Request{Header: http.Header{}}
	Clean(r, Arrival{})
	if len(r.Header) != 0 {
		t.Errorf("made up: %v", r.Header)
	}
}

// HDR-11: an error page's server learns nothing of who asked.
func TestNothingOfWhoAsksGoesToAnErrorPage(t *testing.T) {
	r := &http.Request{Header: http.Header{"X-Portal-User-Id": {"1"}, "X-Portal-Assertion": {"e30"}, "Authorization": {"Bearer x"}, "Cookie": {"theirs=1"}, "Proxy-Authorization": {"x"}, "Accept": {"*/*"}}}
	prefix.Withdraw(r)
	if len(r.Header) != 1 || r.Header.Get("Accept") == "" {
		t.Errorf("left: %v", r.Header)
	}
}
