package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// surroundings are what Caddy's own configuration puts around the gate: an admin endpoint, trusted proxies, and other
// roads to the same upstream.
type surroundings struct {
	adminOff, adminRemote bool
	admin                 string // empty: Caddy's default
	http                  json.RawMessage
}

// around reads the configuration that is being loaded; false when this Caddy does not show it. A module is told about
// itself only, in a Caddyfile as in JSON, so the field is read by its name; a test notices when Caddy renames it.
func around(ctx caddy.Context) (s surroundings, ok bool) {
	cfg := reflect.ValueOf(ctx).FieldByName("cfg")
	if !cfg.IsValid() || cfg.Kind() != reflect.Pointer || cfg.IsNil() {
		return s, false
	}
	admin, apps := cfg.Elem().FieldByName("Admin"), cfg.Elem().FieldByName("AppsRaw")
	if !admin.IsValid() || admin.Type() != reflect.TypeFor[*caddy.AdminConfig]() || !apps.IsValid() || apps.Type() != reflect.TypeFor[caddy.ModuleMap]() {
		return s, false
	}
	if !admin.IsNil() {
		s.adminOff = admin.Elem().FieldByName("Disabled").Bool()
		s.adminRemote = !admin.Elem().FieldByName("Remote").IsNil()
		s.admin = admin.Elem().FieldByName("Listen").String()
	}
	if raw := apps.MapIndex(reflect.ValueOf("http")); raw.IsValid() && !raw.IsNil() {
		s.http = slices.Clone(raw.Bytes())
	}
	return s, true
}

// survey judges what stands around the gate.
func (a *App) survey() error {
	s, ok := around(a.ctx)
	if !ok {
		a.log.Warn("this Caddy does not show its configuration: its admin endpoint, trusted proxies and roads around the gate are not checked")
		return nil
	}
	v := s.judge()
	if s.http == nil {
		// The sites were read before us, so none of them asked for us.
		if _, err := a.ctx.AppIfConfigured("http"); err == nil {
			v.wrong.add(noGate())
		}
	}
	for _, n := range v.notes {
		a.log.Warn(n)
	}
	a.plainOnly = v.plainOnly
	return v.wrong.err()
}

func noGate() error {
	return bad("sites", "no site has the gate; write `portalgate` before `reverse_proxy` in the site that people reach, `https://` as a rule")
}

// verdict is what a survey finds.
type verdict struct {
	wrong     complaints
	notes     []string
	plainOnly bool // there are gates, and each speaks plain HTTP and trusts no proxy
}

func (s surroundings) judge() (v verdict) {
	v.wrong.add(s.judgeAdmin(&v))
	if s.http == nil {
		return v
	}
	var sites struct {
		HTTPPort int               `json:"http_port"`
		Servers  map[string]server `json:"servers"`
	}
	if err := json.Unmarshal(s.http, &sites); err != nil {
		v.wrong.add(bad("sites", "cannot be read: %v", err))
		return v
	}
	roads := roads{}
	var gates []gate
	plain := 0
	for _, name := range slices.Sorted(maps.Keys(sites.Servers)) {
		srv := sites.Servers[name]
		w := walk{server: &srv, roads: roads}
		w.routes(srv.Routes, passed{}, nil)
		if srv.Errors != nil {
			w.routes(srv.Errors.Routes, passed{}, []string{"handling errors"})
		}
		if len(w.gates) == 0 {
			continue
		}
		gates = append(gates, w.gates...)
		v.wrong.add(srv.judgeProxies())
		for _, g := range w.gates {
			if len(g.hosts) > 0 {
				v.notes = append(v.notes, fmt.Sprintf("the gate stands in a site with named hosts (%s): for hosts that no site names, Caddy itself answers an empty 200; put the gate in `https://`, or behind another proxy in `http://`", strings.Join(g.hosts, ", ")))
			}
			if srv.plain(sites.HTTPPort, len(g.hosts) > 0) && srv.TrustedProxies == nil {
				plain++
				if !srv.here() {
					v.notes = append(v.notes, fmt.Sprintf("the gate at %s speaks plain HTTP and trusts no proxy: only localhost is served there, everybody else is answered 421", strings.Join(srv.Listen, ", ")))
				}
			}
		}
	}
	v.plainOnly = len(gates) > 0 && plain == len(gates)
	if len(gates) == 0 && len(sites.Servers) > 0 {
		v.wrong.add(noGate())
	}
	for _, dial := range slices.Sorted(maps.Keys(roads)) {
		if r := roads[dial]; r.gated && len(r.bare) > 0 {
			v.wrong.add(bad("reverse_proxy", "%s is behind the gate and can also be reached without it (%s); put `portalgate`, without a matcher, before each `reverse_proxy` to it, and name what needs no session with `public`", dial, strings.Join(r.bare, "; ")))
		}
	}
	return v
}

// judgeAdmin keeps the admin endpoint off the network (CFG-04): whoever reaches it can change everything.
func (s surroundings) judgeAdmin(v *verdict) error {
	const mend = "use a socket, `admin unix//run/portalgate/admin.sock`, or `admin off`"
	if s.adminRemote {
		return bad("admin", "the remote endpoint is on; %s", mend)
	}
	if s.adminOff {
		return nil
	}
	listen := orElse(s.admin, caddy.DefaultAdminListen)
	addr, err := caddy.ParseNetworkAddress(listen)
	if err != nil || addr.IsUnixNetwork() || addr.IsFdNetwork() {
		return nil // Caddy has its own words for an address it cannot read
	}
	if !loopback(addr.Host) {
		return bad("admin", "%s can be reached from the network, and whoever reaches it can change everything; %s", listen, mend)
	}
	v.notes = append(v.notes, fmt.Sprintf("the admin endpoint at %s is open to every program on this machine; %s", listen, mend))
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.Unmap().IsLoopback()
}

// server is what we read of an HTTP server.
type server struct {
	Listen         []string         `json:"listen"`
	Routes         []route          `json:"routes"`
	Named          map[string]route `json:"named_routes"`
	Errors         *errorRoutes     `json:"errors"`
	TLS            json.RawMessage  `json:"tls_connection_policies"`
	TrustedProxies *struct {
		Ranges []string `json:"ranges"`
	} `json:"trusted_proxies"`
	Strict    int `json:"trusted_proxies_strict"`
	AutoHTTPS *struct {
		Disabled bool `json:"disable"`
	} `json:"automatic_https"`
}

type errorRoutes struct {
	Routes []route `json:"routes"`
}

// plain says whether a gate's server speaks HTTP without TLS.
func (s *server) plain(httpPort int, hosts bool) bool {
	if len(s.TLS) > 0 {
		return false
	}
	if httpPort == 0 {
		httpPort = 80
	}
	if !hosts || s.AutoHTTPS != nil && s.AutoHTTPS.Disabled {
		return true // nothing to get a certificate for, or told not to
	}
	for _, l := range s.Listen {
		if a, err := caddy.ParseNetworkAddress(l); err != nil || int(a.StartPort) != httpPort {
			return false
		}
	}
	return true
}

// here says whether a server can be reached from this machine only.
func (s *server) here() bool {
	for _, l := range s.Listen {
		a, err := caddy.ParseNetworkAddress(l)
		if err != nil || !a.IsUnixNetwork() && !a.IsFdNetwork() && !loopback(a.Host) {
			return false
		}
	}
	return true
}

// judgeProxies refuses proxies that would let a client choose its own address (CFG-01).
func (s *server) judgeProxies() error {
	if s.TrustedProxies == nil {
		return nil
	}
	var wrong complaints
	if s.Strict == 0 {
		wrong.add(bad("trusted_proxies", "without `trusted_proxies_strict` the first address of X-Forwarded-For counts, which a client writes itself; add it"))
	}
	for _, r := range s.TrustedProxies.Ranges {
		p, err := netip.ParsePrefix(r)
		if err != nil {
			continue // one address, or Caddy complains
		}
		if p.Addr().Is4() && p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 7 {
			wrong.add(bad("trusted_proxies", "%s trusts everybody; name the network of the proxy", r))
		}
	}
	return wrong.err()
}

type route struct {
	Group string                       `json:"group"`
	Match []map[string]json.RawMessage `json:"match"`
	Then  []handling                   `json:"handle"`
}

type handling struct {
	Handler   string  `json:"handler"`
	Routes    []route `json:"routes"`
	Name      string  `json:"name"`
	Upstreams []struct {
		Dial string `json:"dial"`
	} `json:"upstreams"`
}

// UnmarshalJSON reads what it knows and lets everything else be: other handlers have fields of the same names.
func (h *handling) UnmarshalJSON(b []byte) error {
	var kind struct {
		Handler string `json:"handler"`
	}
	if err := json.Unmarshal(b, &kind); err != nil {
		return err
	}
	h.Handler = kind.Handler
	switch kind.Handler {
	case "subroute", "invoke", "reverse_proxy":
		type plain handling
		return json.Unmarshal(b, (*plain)(h))
	}
	return nil
}

// passed says whether a request has passed the gate where it is: each has, or some have.
type passed struct{ each, some bool }

// roads are the upstreams, and how they can be reached.
type roads map[string]*road

type road struct {
	gated bool
	bare  []string // where it is reached without the gate
}

type gate struct{ hosts []string }

// walk goes the ways a request may take through a server (CFG-03).
type walk struct {
	server *server
	roads  roads
	gates  []gate
	depth  int
}

func (w *walk) routes(list []route, p passed, where []string) passed {
	if w.depth++; w.depth > 50 {
		return p // a named route that invokes itself
	}
	defer func() { w.depth-- }()
	for _, r := range list {
		at := slices.Clone(where)
		for _, m := range r.Match {
			for _, kind := range slices.Sorted(maps.Keys(m)) {
				at = append(at, kind+" "+string(m[kind]))
			}
		}
		in := p
		for _, h := range r.Then {
			in = w.handle(h, in, at)
		}
		if len(r.Match) == 0 && r.Group == "" {
			p = in
		} else {
			p.some = p.some || in.some
		}
	}
	return p
}

func (w *walk) handle(h handling, p passed, where []string) passed {
	switch h.Handler {
	case "portalgate":
		w.gates = append(w.gates, gate{hosts(where)})
		return passed{true, true}
	case "subroute":
		return w.routes(h.Routes, p, where)
	case "invoke":
		return w.routes([]route{w.server.Named[h.Name]}, p, where)
	case "reverse_proxy":
		for _, u := range h.Upstreams {
			r := w.roads[u.Dial]
			if r == nil {
				r = &road{}
				w.roads[u.Dial] = r
			}
			r.gated = r.gated || p.some
			if !p.each {
				r.bare = append(r.bare, strings.Join(append([]string{strings.Join(w.server.Listen, ", ")}, where...), ", "))
			}
		}
	}
	return p
}

// hosts are the named hosts on the way to a place.
func hosts(where []string) (out []string) {
	for _, w := range where {
		var names []string
		if list, ok := strings.CutPrefix(w, "host "); ok && json.Unmarshal([]byte(list), &names) == nil {
			out = append(out, names...)
		}
	}
	return out
}

// stranded complains when nobody could be served: every gate speaks plain HTTP without a proxy in front, and every
// tenant that is on has public hosts, whose people would be answered 421 (CFG-01).
func (a *App) stranded() error {
	public := a.world.public.Load()
	if !a.plainOnly || public == nil || *public == "" {
		return nil
	}
	return errors.New("portalgate: sites: the gate stands in `http://` sites only and trusts no proxy, while the tenants that are on have public hosts such as " +
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
