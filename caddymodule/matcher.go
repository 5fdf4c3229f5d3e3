package caddymodule

import (
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(new(Matcher))
}

// Matcher matches requests by what the gate has found out about them. It stands after `portalgate` in a route.
type Matcher struct {
	// Matches requests with a session. Default: false.
	Authenticated bool `json:"authenticated,omitempty"`
	// Matches requests whose session has a second factor. Default: false.
	MFA bool `json:"mfa,omitempty"`
	// Matches requests of these tenants, by slug. Default: all.
	Tenants []string `json:"tenants,omitempty"`
}

// CaddyModule returns the module's registration.
func (*Matcher) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.matchers.portalgate", New: func() caddy.Module { return new(Matcher) }}
}

// MatchWithError says whether a request matches everything that is asked for.
func (m *Matcher) MatchWithError(r *http.Request) (bool, error) {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return false, fmt.Errorf("no placeholders in this request")
	}
	if m.Authenticated {
		if _, ok := repl.GetString("http.auth.user.id"); !ok {
			return false, nil
		}
	}
	if m.MFA {
		if v, _ := repl.GetString("http.auth.user.mfa"); v != "true" {
			return false, nil
		}
	}
	if len(m.Tenants) > 0 {
		slug, _ := repl.GetString("portalgate.tenant.slug")
		for _, t := range m.Tenants {
			if t == slug {
				return true, nil
			}
		}
		return false, nil
	}
	return true, nil
}

// UnmarshalCaddyfile reads the matcher.
//
//	portalgate {
//		authenticated
//		mfa
//		tenant <slugs...>
//	}
func (m *Matcher) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	flag := func(to *bool) option {
		return func(d *caddyfile.Dispenser) error {
			name := d.Val()
			if d.NextArg() {
				return d.Errf("%s takes no value; leave %q out", name, d.Val())
			}
			*to = true
			return nil
		}
	}
	return block(d, "matcher portalgate", noting{}, map[string]option{
		"authenticated": flag(&m.Authenticated), "mfa": flag(&m.MFA), "tenant": many(&m.Tenants),
	})
}

var (
	_ caddyhttp.RequestMatcherWithError = (*Matcher)(nil)
	_ caddyfile.Unmarshaler             = (*Matcher)(nil)
)
