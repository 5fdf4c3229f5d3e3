package caddymodule

import (
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// met counts a gate, and whether its server speaks plain HTTP without a proxy that could have ended TLS before it.
func (a *App) met(server *caddyhttp.Server) {
	a.gates++
	if server == nil {
		return
	}
	// Caddy keeps what it has loaded to itself. A field of another name reads as "trusts somebody", which says nothing.
	source := reflect.ValueOf(server).Elem().FieldByName("trustedProxies")
	trusts := !source.IsValid() || !source.IsNil() || server.TrustedProxiesRaw != nil || server.TrustedProxiesUnix
	if len(server.TLSConnPolicies) == 0 {
		a.world.listens(server)
	}
	if len(server.TLSConnPolicies) == 0 && !trusts {
		a.plain++
	}
}

// stranded complains when nobody could be served: every gate speaks plain HTTP without a proxy in front, and every
// tenant that is on has public hosts, whose people would be answered 421 (CFG-01).
func (a *App) stranded() error {
	public := a.world.verdict.public.Load()
	if a.gates == 0 || a.plain < a.gates || public == nil || *public == "" {
		return nil
	}
	return errors.New("portalgate: the gate stands in `http://` sites only and trusts no proxy, while the tenants that are on have public hosts such as " +
		*public + ", which are never served without TLS; put the gate in `https://`, or name the proxy in front of it with `trusted_proxies` and `trusted_proxies_strict`")
}

// publicHost is one of the hosts, when none of them is a name of this machine.
func publicHost(hosts []string) string {
	for _, h := range hosts {
		if h == "localhost" || strings.HasSuffix(h, ".localhost") {
			return ""
		}
	}
	if len(hosts) == 0 {
		return ""
	}
	return slices.Min(hosts)
}
