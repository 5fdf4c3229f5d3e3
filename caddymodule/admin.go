package caddymodule

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
)

func init() {
	caddy.RegisterModule(new(Admin))
}

// Admin answers on Caddy's admin endpoint: /portalgate/health says that the program runs, /portalgate/ready whether it
// can serve, neighbour by neighbour.
type Admin struct{}

// CaddyModule returns the module's registration.
func (*Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.portalgate", New: func() caddy.Module { return new(Admin) }}
}

// Routes are the admin routes. They change nothing.
func (a *Admin) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/portalgate/health", Handler: caddy.AdminHandlerFunc(a.health)},
		{Pattern: "/portalgate/ready", Handler: caddy.AdminHandlerFunc(a.ready)},
	}
}

func (a *Admin) health(w http.ResponseWriter, r *http.Request) error {
	return tell(w, r, http.StatusOK, map[string]any{"status": "up"})
}

type neighbour struct {
	Up    bool   `json:"up"`
	Says  string `json:"says,omitempty"`
	Works string `json:"still_works,omitempty"`
}

func (a *Admin) ready(w http.ResponseWriter, r *http.Request) error {
	status := http.StatusOK
	var rows []map[string]any
	worlds.Range(func(_, v any) bool {
		x := v.(*world)
		row := map[string]any{}
		db := neighbour{Up: x.fit.Load()}
		if !db.Up {
			db.Says, db.Works = "not judged fit yet", "nothing: the gate is shut"
			if why := x.why.Load(); why != nil {
				db.Says = (*why).Error()
			}
		} else if err := x.store.Ready(r.Context()); err != nil {
			db = neighbour{false, "does not answer", "signed-in people go on until their access token ends"}
		} else if at, err := x.store.Clock(r.Context()); err == nil && time.Until(at).Abs() > 2*time.Second {
			db = neighbour{false, "its clock and ours differ by " + time.Until(at).Abs().Round(time.Millisecond).String(), "everything; times are wrong"}
		}
		row["postgresql"] = db
		if !db.Up {
			status = http.StatusServiceUnavailable
		}
		if x.redis != nil {
			rd := neighbour{Up: true}
			if err := x.redis.Ping(r.Context()).Err(); err != nil {
				rd = neighbour{false, "does not answer", "everything; limits by network are kept by this process"}
			}
			row["redis"] = rd
		}
		rows = append(rows, row)
		return true
	})
	if len(rows) == 0 {
		status = http.StatusServiceUnavailable
	}
	return tell(w, r, status, map[string]any{"ready": status == http.StatusOK, "neighbours": rows})
}

func tell(w http.ResponseWriter, r *http.Request, status int, body any) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(body)
}

var _ caddy.AdminRouter = (*Admin)(nil)
