package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/portalgate/portalgate/internal/admission"
	"github.com/portalgate/portalgate/internal/graphql"
	"github.com/portalgate/portalgate/internal/pages"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/upstream"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler is the gate: it serves the portal's own pages, refuses what has no session, and hands the rest to the next
// handler with an identity that nobody can forge. It belongs before `reverse_proxy`, in a site without named hosts.
type Handler struct {
	// Paths that are forwarded without a session and without identity: exact, or a prefix ending in `/*`. They are
	// compared byte for byte. Default: none.
	Public []string `json:"public,omitempty"`

	// Paths that are forwarded only when the session has a second factor. Compared in the widest reading: decoded,
	// case folded, slashes collapsed. Default: none.
	RequireMFA []string `json:"require_mfa,omitempty"`

	// Paths, compared as those of `require_mfa`, that are forwarded only when the second factor was shown not long ago. Of
	// several that a path meets the shortest time holds. Open sockets and streams end when that time is over. Default: none.
	RequireMFAWithin []Fresh `json:"require_mfa_within,omitempty"`

	// Paths, with everything below them, where GraphQL is spoken: each request is read, judged and written anew before it
	// is forwarded. Introspection and the operations of the old portal's sign-in are refused, refusals are GraphQL errors,
	// and WebSockets are refused for now. Default: none.
	GraphQL []string `json:"graphql,omitempty"`

	// The fields that operations may begin with on all graphql paths of this gate: exact, or the beginning of names and a
	// `*`. Default: every field of the upstream, which is warned about.
	GraphQLAllow []string `json:"graphql_allow,omitempty"`

	// Paths that other sites may send to, each with its method: forwarded without session and identity. Default: none.
	CrossSite []CrossSite `json:"cross_site,omitempty"`

	// A bearer token for the upstream of this site, in place of the app's. Default: the app's.
	UpstreamToken *UpstreamToken `json:"upstream_token,omitempty"`

	// Where in the Caddyfile the options stand, for error messages; the adapter writes it. Default: none.
	Places map[string]string `json:"places,omitempty"`

	app     *App
	w       *world
	rules   admission.Rules
	asked   graphql.Gate
	stamper *upstream.Stamper
}

// CrossSite is an exact method and path that other sites may post to, such as the return from a payment page.
type CrossSite struct {
	// The method, in capitals. Required.
	Method string `json:"method,omitempty"`
	// The exact path. Required.
	Path string `json:"path,omitempty"`
}

// CaddyModule returns the module's registration.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.portalgate", New: func() caddy.Module { return new(Handler) }}
}

// headerWait is for how long a header may arrive (DOS-02), where the operator says nothing of it; Caddy's own default is
// a minute, which is long for somebody who holds connections open on purpose.
const headerWait = 10 * time.Second

// Provision finds the app and reads the rules.
func (h *Handler) Provision(ctx caddy.Context) error {
	app, err := ctx.AppIfConfigured("portalgate")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return errors.New("portalgate: the global options have no `portalgate { … }`, which names the database and the keyring")
	}
	prefix := ""
	if a, ok := app.(*App); ok {
		prefix = a.settings.prefix
	}
	server, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	rules, own := h.judge(prefix)
	if own == nil && err != nil {
		return err
	}
	var wrong complaints
	wrong.add(own)
	wrong.add(err)
	wrong.add(checkProxies(server))
	if err := wrong.err(); err != nil {
		return err
	}
	h.app = app.(*App)
	h.app.met(server)
	if len(h.GraphQL) > 0 && len(h.GraphQLAllow) == 0 {
		h.app.wideOpen(places(h.Places).of("graphql"))
	}
	if server != nil && server.ReadHeaderTimeout == 0 {
		server.ReadHeaderTimeout = caddy.Duration(headerWait)
	}
	h.w = h.app.world
	h.stamper = h.w.stamper
	h.rules = rules
	if h.UpstreamToken != nil {
		bearer, _, err := h.UpstreamToken.bearer(h.app.LiteralSecrets)
		if err != nil {
			return complaints{places(h.Places).at(err)}
		}
		h.stamper = upstream.NewStamper(h.w.keys, h.w.prefix, h.app.settings.audience, bearer)
	}
	return nil
}

// judge reads the rules that need nothing but themselves and the place of our own pages.
func (h *Handler) judge(prefix string) (rules admission.Rules, err error) {
	rules.Prefix, rules.LinkPages = prefix, pages.LinkPages
	var wrong complaints
	read := func(option string, in []string) (out []admission.Pattern) {
		for _, s := range in {
			p, err := admission.ParsePattern(s)
			if err != nil {
				wrong.add(bad(option, "%v", err))
				continue
			}
			out = append(out, p)
		}
		return out
	}
	rules.Public = read("public", h.Public)
	rules.MFA = admission.GuardingWithin(read("require", h.RequireMFA), 0)
	for _, f := range h.RequireMFAWithin {
		within := time.Duration(f.Within)
		if within < leastFresh || within > mostFresh {
			wrong.add(bad("require", "%s is not between 1m and 24h; leave the time out where the second step counts for the whole session", within))
		}
		if len(f.Paths) == 0 {
			wrong.add(bad("require", "a freshness of %s has no path", within))
		}
		rules.MFA = append(rules.MFA, admission.GuardingWithin(read("require", f.Paths), within)...)
	}
	rules.GraphQL = admission.Guarding(read("graphql", h.GraphQL))
	if h.asked, err = h.operations(); err != nil {
		wrong.add(err)
	}
	for _, p := range h.Public {
		if p == "/*" {
			wrong.add(bad("public", "/* would open everything; name the paths that need no session"))
		}
	}
	for _, c := range h.CrossSite {
		if c.Method == "" || c.Method != strings.ToUpper(c.Method) || !strings.HasPrefix(c.Path, "/") || strings.ContainsAny(c.Path, "*?#%") {
			wrong.add(bad("cross_site", "%q %q is not a method in capitals and an exact path", c.Method, c.Path))
			continue
		}
		if prefix != "" && (c.Path == prefix || strings.HasPrefix(c.Path, prefix+"/")) {
			wrong.add(bad("cross_site", "%s is one of the portal's own pages, which take nothing from other sites", c.Path))
			continue
		}
		rules.CrossSite = append(rules.CrossSite, admission.Exception{Method: c.Method, Path: c.Path})
	}
	return rules, places(h.Places).at(wrong.err())
}

// ServeHTTP is the journey of every request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	h.w.prefix.Scrub(r)
	p := passage{h: h}
	p.gate(w, r)
	switch p.way {
	case wayThrough:
		return next.ServeHTTP(w, r)
	case wayUnknown:
		p.shield = h.w.prefix.Shield(w, nil, nil)
		return p.hand(next, r)
	case wayKnown:
		p.shield = h.w.prefix.Shield(w, p.cookies, p.answered)
		return p.forward(w, r, next)
	}
	return nil
}

// told is what the rest of Caddy may ask about a request: whose portal it is for, and who asks.
type told struct {
	tenant *portal.Tenant
	id     *portal.Identity // nil: nobody, or not known yet
}

// placeholder answers one question; the access log asks for the person as `user_id`.
func (t *told) placeholder(key string) (any, bool) {
	switch key {
	case "portalgate.tenant.id":
		return string(t.tenant.ID), true
	case "portalgate.tenant.slug":
		return t.tenant.Slug, true
	}
	if t.id == nil {
		return nil, false
	}
	switch key {
	case "http.auth.user.id":
		return string(t.id.User), true
	case "http.auth.user.tenant_id":
		return string(t.id.Tenant), true
	case "http.auth.user.email":
		return t.id.Email, true
	case "http.auth.user.name":
		return t.id.Name, true
	case "http.auth.user.roles":
		if len(t.id.Roles) > 0 {
			return string(t.id.Roles[0]), true
		}
		return "", true
	case "http.auth.user.customer_id":
		return string(t.id.Customer), true
	case "http.auth.user.session":
		return string(t.id.Session), true
	case "http.auth.user.amr":
		return portal.JoinAMR(t.id.AMR), true
	case "http.auth.user.mfa":
		return fmt.Sprint(!t.id.MFAAt.IsZero()), true
	case "http.auth.user.auth_time":
		return fmt.Sprint(t.id.AuthTime.Unix()), true
	}
	return nil, false
}

var (
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddy.Provisioner           = (*Handler)(nil)
)
