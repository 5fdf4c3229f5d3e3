package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"
)

// survey walks the routes of all servers and finds out which reverse_proxy can be reached without passing a gate
// (CFG-03), and which gate behind another. The servers may be in the middle of being set up: a route has its handlers either as text or as values,
// never as neither.
type survey struct {
	gates  int
	served map[string]bool // sites that have a gate
	named  []place         // gates in sites with named hosts
	behind map[string]bool // upstreams behind a gate
	open   []proxy         // what is reached without one
	twice  []error         // gates behind a gate
	server *caddyhttp.Server
	depth  int
}

// place is where a handler stands.
type place struct {
	server string
	listen []string
	site   int      // index of the route in its server; -1: the server's error routes
	hosts  []string // named hosts; none: a catch-all site
}

func (p place) id() string { return fmt.Sprintf("%s %d", p.server, p.site) }

func (p place) String() string {
	at := "the site " + strings.Join(p.listen, " ")
	if len(p.hosts) > 0 {
		at = "the site of " + strings.Join(p.hosts, ", ")
	}
	if p.site < 0 {
		return "the error routes of " + at
	}
	return at
}

type proxy struct {
	place
	dials   []string
	written []string
	dynamic bool
}

func (p *proxy) add(dial string) {
	p.dials, p.written = append(p.dials, dialled(dial)), append(p.written, dial)
}

// passed says how many of the requests that come to a place have passed a gate.
type passed int

const (
	byNone passed = iota
	bySome        // those that a gate's matcher let into it
	byAll
)

// order refuses routes that reach an upstream around the gate, and warns of what cannot work. It asks Caddy for its
// HTTP app, which may be the very one that is being set up and has asked for us.
func (a *App) order(ctx caddy.Context) error {
	app, err := ctx.AppIfConfigured("http")
	if err != nil {
		return nil // there is none, or it is unfit, which Caddy says in its own words
	}
	a.world.plainAt(int64(app.(*caddyhttp.App).HTTPPort))
	if err := a.unshared(app.(*caddyhttp.App).Servers); err != nil {
		return err
	}
	veilServers(app.(*caddyhttp.App), a.settings)
	s := survey{served: map[string]bool{}, behind: map[string]bool{}}
	for name, server := range app.(*caddyhttp.App).Servers {
		s.server = server
		at := place{server: name, listen: server.Listen}
		gated := byNone // the lines of a server's only site are routes of the server itself, one after the other
		for i := range server.Routes {
			at.site = i
			gated = s.route(&server.Routes[i], at, gated)
		}
		if server.Errors != nil {
			at.site = -1
			s.routes(server.Errors.Routes, at, byNone)
		}
	}
	for _, p := range s.named {
		a.log.Warn("the gate stands in a site with named hosts; for all other hosts of your tenants Caddy answers an empty 200. Write the site as https:// or http://", zap.String("place", p.String()))
	}
	for name, server := range app.(*caddyhttp.App).Servers {
		if s.hasGate(name) && server.Logs != nil && server.Logs.ShouldLogCredentials {
			return errors.New("portalgate: log_credentials would write everybody's session into the access log, where it opens the portal until it ends; take it out of `servers { … }` in the global options")
		}
	}
	return s.judge()
}

func (s *survey) judge() error {
	if s.gates == 0 {
		if len(s.open) == 0 {
			return nil
		}
		return fmt.Errorf("portalgate: no site has the gate, and %s has a reverse_proxy: write `portalgate` before it", s.open[0].place)
	}
	all := s.twice
	for _, p := range s.open {
		gated := s.served[p.id()] || len(p.hosts) == 0 && s.hasGate(p.server)
		same := p.dynamic || slices.ContainsFunc(p.dials, func(d string) bool { return s.behind[d] })
		if !gated && !same {
			continue // another program's site, which has nothing to do with the portal
		}
		all = append(all, fmt.Errorf("portalgate: in %s the reverse_proxy to %s can be reached without passing the gate: put `portalgate` before it, for the same requests (a gate with a matcher belongs into the same handle or route block)", p.place, strings.Join(p.written, " ")))
	}
	return errors.Join(all...)
}

func (s *survey) hasGate(server string) bool {
	for id := range s.served {
		if strings.HasPrefix(id, server+" ") {
			return true
		}
	}
	return false
}

// routes walks a list in its order and says what of that which comes after it has passed a gate.
func (s *survey) routes(list caddyhttp.RouteList, at place, gated passed) passed {
	for i := range list {
		gated = s.route(&list[i], at, gated)
	}
	return gated
}

func (s *survey) route(r *caddyhttp.Route, at place, gated passed) passed {
	if hosts := hostsOf(r); len(hosts) > 0 {
		at.hosts = hosts
	}
	if len(r.MatcherSets)+len(r.MatcherSetsRaw) == 0 && r.Group == "" {
		return s.handlers(r, at, gated)
	}
	// Requests that do not match come by without it; which of those that do have met another gate is not known.
	inside := gated
	if inside == bySome {
		inside = byNone
	}
	inside = s.handlers(r, at, inside)
	if gated == byNone && inside == byAll && r.Group == "" && endsInGate(r) {
		return bySome
	}
	return gated
}

// endsInGate says whether a route hands on what has passed its gate.
func endsInGate(r *caddyhttp.Route) bool {
	if n := len(r.Handlers); n > 0 {
		_, ok := r.Handlers[n-1].(*Handler)
		return ok
	}
	if n := len(r.HandlersRaw); n > 0 {
		var h struct {
			Handler string `json:"handler"`
		}
		return json.Unmarshal(r.HandlersRaw[n-1], &h) == nil && h.Handler == "portalgate"
	}
	return false
}

func (s *survey) handlers(r *caddyhttp.Route, at place, gated passed) passed {
	if s.depth++; s.depth > 32 { // named routes may invoke each other
		return gated
	}
	defer func() { s.depth-- }()
	for _, h := range r.Handlers {
		gated = s.value(h, at, gated)
	}
	if len(r.Handlers) == 0 {
		for _, raw := range r.HandlersRaw {
			gated = s.text(raw, at, gated)
		}
	}
	return gated
}

// value judges a handler that has been set up.
func (s *survey) value(h caddyhttp.MiddlewareHandler, at place, gated passed) passed {
	switch h := h.(type) {
	case *Handler:
		return s.gate(at, gated, h.Places)
	case *reverseproxy.Handler:
		p := proxy{place: at, dynamic: h.DynamicUpstreams != nil || h.DynamicUpstreamsRaw != nil}
		for _, u := range h.Upstreams {
			p.add(u.Dial)
		}
		s.proxy(p, gated)
	case *caddyhttp.Subroute:
		if h.Errors != nil {
			s.routes(h.Errors.Routes, at, gated)
		}
		return s.routes(h.Routes, at, gated)
	case *caddyhttp.Invoke:
		return s.invoke(h.Name, at, gated)
	}
	s.within(reflect.ValueOf(h), at, gated, 0)
	return gated
}

// text judges a handler that is still to be set up.
func (s *survey) text(raw json.RawMessage, at place, gated passed) passed {
	var h struct {
		Handler   string                     `json:"handler"`
		Name      string                     `json:"name"`
		Routes    caddyhttp.RouteList        `json:"routes"`
		Errors    *caddyhttp.HTTPErrorConfig `json:"errors"`
		Upstreams []struct {
			Dial string `json:"dial"`
		} `json:"upstreams"`
		Places         places                      `json:"places"`
		Dynamic        json.RawMessage             `json:"dynamic_upstreams"`
		HandleResponse []caddyhttp.ResponseHandler `json:"handle_response"`
	}
	if json.Unmarshal(raw, &h) != nil {
		return gated // some other handler, whose fields mean other things; Caddy judges it when it sets it up
	}
	switch h.Handler {
	case "portalgate":
		return s.gate(at, gated, h.Places)
	case "reverse_proxy":
		p := proxy{place: at, dynamic: h.Dynamic != nil}
		for _, u := range h.Upstreams {
			p.add(u.Dial)
		}
		s.proxy(p, gated)
	case "invoke":
		return s.invoke(h.Name, at, gated)
	}
	if h.Errors != nil {
		s.routes(h.Errors.Routes, at, gated)
	}
	for _, r := range h.HandleResponse {
		s.routes(r.Routes, at, gated)
	}
	inside := s.routes(h.Routes, at, gated)
	if h.Handler == "subroute" {
		return inside
	}
	return gated
}

func (s *survey) gate(at place, gated passed, written places) passed {
	s.gates++
	if gated != byNone {
		s.twice = append(s.twice, complaints{places(written).at(bad("portalgate", "stands a second time in %s, behind another gate, which takes the cookies that the second asks for: it would send everybody to sign in, for ever; join the two, or put each into a handle block of its own", at))})
	}
	s.served[at.id()] = true
	if len(at.hosts) > 0 {
		s.named = append(s.named, at)
	}
	return byAll
}

func (s *survey) proxy(p proxy, gated passed) {
	if gated != byAll {
		s.open = append(s.open, p)
		return
	}
	for _, d := range p.dials {
		s.behind[d] = true
	}
}

func (s *survey) invoke(name string, at place, gated passed) passed {
	if r := s.server.NamedRoutes[name]; r != nil {
		return s.route(r, at, gated)
	}
	return gated
}

// within finds the lists of routes that any other handler holds.
func (s *survey) within(v reflect.Value, at place, gated passed, depth int) {
	if depth > 6 {
		return
	}
	if list, ok := v.Interface().(caddyhttp.RouteList); ok {
		s.routes(list, at, gated)
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			s.within(v.Elem(), at, gated, depth+1)
		}
	case reflect.Slice:
		if k := v.Type().Elem().Kind(); k != reflect.Struct && k != reflect.Pointer && k != reflect.Interface && k != reflect.Slice {
			return
		}
		for i := range v.Len() {
			s.within(v.Index(i), at, gated, depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				s.within(v.Field(i), at, gated, depth+1)
			}
		}
	}
}

// hostsOf are the hosts that a route is limited to.
func hostsOf(r *caddyhttp.Route) (hosts []string) {
	for _, set := range r.MatcherSets {
		for _, m := range set {
			if h, ok := m.(*caddyhttp.MatchHost); ok {
				hosts = append(hosts, *h...)
			}
		}
	}
	for _, set := range r.MatcherSetsRaw {
		var names []string
		if json.Unmarshal(set["host"], &names) == nil {
			hosts = append(hosts, names...)
		}
	}
	return hosts
}

// dialled is an upstream's address in the one form in which two are compared: this machine has several names.
func dialled(dial string) string {
	dial = strings.ToLower(dial)
	if host, port, err := net.SplitHostPort(dial); err == nil {
		if ip := net.ParseIP(host); host == "" || host == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsUnspecified()) {
			return "localhost:" + port
		}
	}
	return dial
}
