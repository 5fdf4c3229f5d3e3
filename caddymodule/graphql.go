package caddymodule

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/portalgate/portalgate/internal/admission"
	"github.com/portalgate/portalgate/internal/graphql"
	"github.com/portalgate/portalgate/internal/portal"
)

// fields takes names of GraphQL fields, and complains on the line that has a wrong one.
func fields(to *[]string) option {
	return func(d *caddyfile.Dispenser) error {
		name := d.Val()
		args := d.RemainingArgs()
		if len(args) == 0 {
			return d.Errf("%s takes one name or more, and has none", name)
		}
		for _, a := range args {
			if err := graphql.ParseName(a); err != nil {
				return d.Errf("%s: %v", name, err)
			}
		}
		*to = append(*to, args...)
		return nil
	}
}

// named lets only one line of several bring a list: two would each seem to hold for its own paths.
func (h *Handler) named(line option) option {
	return func(d *caddyfile.Dispenser) error {
		before := len(h.GraphQLAllow)
		err := line(d)
		if err == nil && before > 0 && len(h.GraphQLAllow) > before {
			err = d.Err("graphql has its names already; one list holds for all graphql paths of a gate, so write it once")
		}
		return err
	}
}

// operations reads what may be asked on the graphql paths.
func (h *Handler) operations() (graphql.Gate, error) {
	names, err := graphql.ParseNames(h.GraphQLAllow)
	switch {
	case err != nil:
		return graphql.Gate{}, bad("graphql allow", "%v", err)
	case len(h.GraphQLAllow) > 0 && len(h.GraphQL) == 0:
		return graphql.Gate{}, bad("graphql allow", "there is no graphql path that it could hold for")
	}
	return graphql.Gate{Allow: names}, nil
}

// wideOpen says once, at each start, that a gate does not look at what is asked. place is where.
func (a *App) wideOpen(place string) {
	if a.saidOpen {
		return
	}
	a.saidOpen = true
	a.log.Warn("graphql has no list of operations: whoever is signed in reaches all that the upstream has, those without a guard of their own too. Write `graphql /graphql { allow customer* }` with what your portal asks", zap.String("place", place))
}

// formerly lets the old portal's browser code know, in words it can show, where people sign in now. err is why nobody is
// signed in.
func (h *Handler) formerly(w http.ResponseWriter, r *http.Request, a *admission.Admitted, err error) error {
	p, ok := errors.AsType[*portal.Problem](err)
	if !a.GraphQL || a.Wants == admission.WantsSocket || !ok || p.Kind.Status() != http.StatusUnauthorized {
		return err
	}
	if moved := graphql.Moved(w, r, a.Origin+h.rules.Prefix); moved != nil {
		return moved
	}
	return err
}
