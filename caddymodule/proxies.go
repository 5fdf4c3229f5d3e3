package caddymodule

import (
	"net/http"
	"reflect"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// checkProxies refuses a server that takes the client's address from somebody who may write what they like (IP-01,
// CFG-01). Without `trusted_proxies_strict` Caddy believes the left-most address of X-Forwarded-For, which is the
// client's own invention; with everybody trusted every address is.
func checkProxies(server *caddyhttp.Server) error {
	if server == nil {
		return nil // set up outside of a server, as some tests and plugins do; then nothing is trusted
	}
	// Caddy keeps what it has loaded to itself. A field of another name would read as "configured", which refuses.
	source := reflect.ValueOf(server).Elem().FieldByName("trustedProxies")
	configured := !source.IsValid() || !source.IsNil() || server.TrustedProxiesRaw != nil || server.TrustedProxiesUnix
	if !configured {
		return nil
	}
	if server.TrustedProxiesStrict == 0 {
		return bad("trusted_proxies", "stands without trusted_proxies_strict, so that a client can write the address that is counted and logged; add `trusted_proxies_strict` beside it, in `servers { … }` of the global options")
	}
	if trusts(server, "192.0.2.1", "198.51.100.1", "203.0.113.1") || trusts(server, "2001:db8::1", "3fff::1") {
		return bad("trusted_proxies", "covers the whole internet, so that everybody can write their own address; name the networks of your proxies")
	}
	return nil
}

// trusts asks the server itself whether it believes all of these, which are addresses that nobody has (RFC 5737, RFC
// 3849, RFC 9637): however the list is written, whoever covers all of them covers everybody.
func trusts(server *caddyhttp.Server, addrs ...string) bool {
	for _, addr := range addrs {
		r, err := http.NewRequest(http.MethodGet, "http://localhost/", nil)
		if err != nil {
			return true
		}
		r.RemoteAddr = "[" + addr + "]:1"
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), nil, server)
		if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); !trusted {
			return false
		}
	}
	return true
}
