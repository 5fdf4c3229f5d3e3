package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/ratelimit"
	"github.com/portalgate/portalgate/internal/store"
)

// limitRoutes answer the commands `limits` and `why`. What is posted is JSON alone, which no page of another origin can
// send.
func limitRoutes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/portalgate/limits", Handler: answering(http.MethodGet, func(r *http.Request) (any, error) {
			return listStanding(r.Context(), everyClerk(), r.URL.Query().Get("tenant"))
		})},
		{Pattern: "/portalgate/limits/clear", Handler: answering(http.MethodPost, clearLimits)},
		{Pattern: "/portalgate/why", Handler: answering(http.MethodPost, func(r *http.Request) (any, error) {
			var asked askedFor
			d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 16<<10))
			if err := d.Decode(&asked); err != nil {
				return nil, fmt.Errorf("reading what was asked: %w", err)
			}
			return reasons(r.Context(), everyClerk(), asked.About, asked.Tenant)
		})},
	}
}

// askedFor is what `why` sends. It travels in the body: Caddy logs the address of each request to its admin endpoint, and
// an e-mail address or a session belongs into no log.
type askedFor struct {
	About  string `json:"about"`
	Tenant string `json:"tenant,omitempty"`
}

func everyClerk() (all []*clerk) {
	for _, w := range everyWorld() {
		all = append(all, w.clerk())
	}
	return all
}

const adminWait = 10 * time.Second

// answering makes an admin route out of a function: its value as JSON, its error as Caddy's.
func answering(method string, answer func(*http.Request) (any, error)) caddy.AdminHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != method {
			return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed}
		}
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); method == http.MethodPost && (err != nil || kind != "application/json") {
			return caddy.APIError{HTTPStatus: http.StatusUnsupportedMediaType, Message: "send JSON"}
		}
		ctx, cancel := context.WithTimeout(r.Context(), adminWait)
		defer cancel()
		out, err := answer(r.WithContext(ctx))
		switch {
		case errors.Is(err, store.ErrUnavailable):
			return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Message: err.Error()}
		case err != nil:
			return caddy.APIError{HTTPStatus: http.StatusBadRequest, Message: err.Error()}
		}
		tell(w, http.StatusOK, out)
		return nil
	}
}

// reasons is the answer to `why`.
func reasons(ctx context.Context, clerks []*clerk, question, slug string) ([]obstacle, error) {
	out := []obstacle{}
	for _, k := range clerks {
		found, err := k.why(ctx, question, slug)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// standing is the answer to `limits list`.
type standing struct {
	Obstacles []obstacle `json:"standing"`
	Offices   []office   `json:"offices"`
	Rules     []ruleLine `json:"rules,omitempty"`
}

// office is a network that the limits by network leave alone.
type office struct {
	Tenant  string `json:"tenant,omitempty"` // empty: every tenant, by the configuration
	Network string `json:"network"`
}

// ruleLine is a declared limit.
type ruleLine struct {
	Name   string `json:"name"`
	Says   string `json:"says"`
	Holds  string `json:"holds,omitempty"`
	Public string `json:"public,omitempty"`
}

func listStanding(ctx context.Context, clerks []*clerk, slug string) (out standing, err error) {
	out = standing{Obstacles: []obstacle{}, Offices: []office{}}
	for _, k := range clerks {
		if err := k.list(ctx, slug, &out); err != nil {
			return out, err
		}
	}
	return out, nil
}

// restsListed is how many resting purses of a tenant are listed.
const restsListed = 1000

func (k *clerk) list(ctx context.Context, slug string, out *standing) error {
	shops, err := k.shops(ctx, slug)
	if err != nil {
		return err
	}
	for _, n := range k.exempt {
		out.Offices = append(out.Offices, office{Network: n.String()})
	}
	for _, s := range shops {
		var rests []store.Rest
		err := k.store.Within(ctx, s.id, k.now(), func(x *store.Tx) (err error) {
			nets, err := x.Offices(ctx)
			if err != nil {
				return err
			}
			for _, n := range nets {
				out.Offices = append(out.Offices, office{s.slug, n.String()})
			}
			rests, err = x.Rests(ctx, restsListed)
			return err
		})
		if err != nil {
			return explained(err)
		}
		for _, r := range rests {
			email, known := r.Email, r.Email != ""
			if !known {
				email = "an address that nobody has"
			}
			of := k.ofPurse
			if r.Second {
				of = k.ofCodes
			}
			for _, o := range of(s.slug, email, r.Lockout, r.Device, known) {
				if !known {
					o.Command = "" // the table keeps a digest, and the address cannot be had from it
				}
				o.Tenant, o.Says = s.slug, string(email)+": "+o.Says
				out.Obstacles = append(out.Obstacles, o)
			}
		}
		if k.limits != nil {
			out.Obstacles = append(out.Obstacles, k.networks(ctx, s)...)
		}
	}
	if k.limits != nil {
		for _, l := range k.limits.Limits().All() {
			out.Rules = append(out.Rules, ruleLine{l.Name, sentence(l), holding(l), l.Public})
		}
	}
	return nil
}

// networks are the networks of a tenant in whose way a limit stands, as far as this gateway has refused anybody there.
func (k *clerk) networks(ctx context.Context, s shop) (out []obstacle) {
	seen := map[string]bool{}
	for _, f := range k.refused.Standing(k.now()) {
		l, ok := k.limit(f.Rule)
		if !ok || f.Tenant != s.id {
			continue
		}
		if l.Kind == ratelimit.Rate {
			out = append(out, obstacle{Stops: true, Rule: f.Rule, Tenant: s.slug, Network: f.Network, Until: moment(f.Until), Says: sentence(l), Command: clearing(s.slug, f.Network), Tell: l.Public})
			continue
		}
		if seen[f.Network] {
			continue
		}
		seen[f.Network] = true
		for _, o := range k.ofNetwork(ctx, s.id, s.slug, f.Network) {
			if o.Stops {
				o.Tenant = s.slug
				out = append(out, o)
			}
		}
	}
	slices.SortFunc(out, func(a, b obstacle) int {
		return strings.Compare(a.Network+a.Rule, b.Network+b.Rule)
	})
	return out
}

// holding says for how long a reached limit holds.
func holding(l ratelimit.Limit) string {
	switch {
	case l.Effect == ratelimit.SlowsStrangers:
		return "250ms later, and as much again each time the number doubles, 2s at most"
	case l.Kind == ratelimit.Rate:
		return "until there is room again"
	case l.Most > 0:
		return fmt.Sprintf("for %s, then twice as long each time within a day, %s at most", short(l.Wait), short(l.Most))
	}
	return "for " + short(l.Wait)
}

// clearingOrder is what `limits clear` sends.
type clearingOrder struct {
	Tenant   string `json:"tenant"`
	Network  string `json:"network"`
	Operator string `json:"operator"`
	Reason   string `json:"reason"`
}

func clearLimits(r *http.Request) (any, error) {
	var order clearingOrder
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 16<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(&order); err != nil {
		return nil, fmt.Errorf("reading what to clear: %w", err)
	}
	network, err := networkOf(order.Network)
	if err != nil {
		return nil, err
	}
	for _, k := range everyClerk() {
		id, err := find(r.Context(), k.store, order.Tenant)
		if err != nil {
			return nil, err
		}
		if err := k.clear(r.Context(), id, network, store.Deed{Operator: order.Operator, Reason: order.Reason}); err != nil {
			return nil, err
		}
	}
	return map[string]string{"cleared": network, "tenant": order.Tenant}, nil
}

// clear forgets what was counted for a network, says so in the trail, and tells the other gateways, which count for
// themselves while Redis is away: just then it must not be Redis that keeps them from hearing it.
func (k *clerk) clear(ctx context.Context, id portal.TenantID, network string, by store.Deed) error {
	err := k.limits.Clear(ctx, id, network)
	return errors.Join(err, k.store.Within(ctx, id, k.now(), func(x *store.Tx) error { return x.LimitsCleared(ctx, network, firstOf(network), by) }))
}
