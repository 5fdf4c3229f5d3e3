package caddymodule

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
)

func init() {
	caddy.RegisterModule(new(Admin))
}

// Admin answers on Caddy's admin endpoint: /portalgate/health says that the program runs, /portalgate/ready whether it
// can serve, neighbour by neighbour; /portalgate/limits and /portalgate/why what stands in people's way. /portalgate/mail is
// a page of the mails that were captured.
type Admin struct{}

// CaddyModule returns the module's registration.
func (*Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.portalgate", New: func() caddy.Module { return new(Admin) }}
}

// Routes are the admin routes.
func (a *Admin) Routes() []caddy.AdminRoute {
	return append(slices.Concat(limitRoutes(), mailRoutes()), []caddy.AdminRoute{
		{Pattern: "/portalgate/health", Handler: reading(health)},
		{Pattern: "/portalgate/ready", Handler: reading(func(w http.ResponseWriter, r *http.Request) { ready(w, r, everyWorld) })},
	}...)
}

// reading lets only requests through that ask.
func reading(h http.HandlerFunc) caddy.AdminHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed}
		}
		h(w, r)
		return nil
	}
}

// everyWorld is each world that a configuration of this process uses.
func everyWorld() (all []*world) {
	worlds.Range(func(_, v any) bool {
		all = append(all, v.(*world))
		return true
	})
	return all
}

func health(w http.ResponseWriter, _ *http.Request) {
	tell(w, http.StatusOK, map[string]any{"status": "up"})
}

// ready answers 200 when every world may be sent traffic, else 503, with the reasons in both.
func ready(w http.ResponseWriter, r *http.Request, of func() []*world) {
	all := of()
	out := readiness{Ready: len(all) > 0, Neighbours: []neighbour{}}
	for _, x := range all {
		one := x.ready(r.Context())
		out.Ready = out.Ready && one.Ready
		out.Draining = out.Draining || one.Draining
		out.Neighbours = append(out.Neighbours, one.Neighbours...)
	}
	status := http.StatusOK
	if !out.Ready {
		status = http.StatusServiceUnavailable
	}
	tell(w, status, out)
}

func tell(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the asker has gone: nobody to tell
}

var _ caddy.AdminRouter = (*Admin)(nil)
