package mail

import "context"

// Route sends by tenant, else by the tenant's region, else by default.
type Route struct {
	Tenants  map[string]Sender // by slug
	Regions  map[string]Sender
	RegionOf func(slug string) string // nil: no tenant has one
	Default  Sender
}

// Send sends the tenant's way.
func (r *Route) Send(ctx context.Context, m Message) error { return r.For(m.Slug).Send(ctx, m) }

// For is a tenant's sender.
func (r *Route) For(slug string) Sender {
	if s, ok := r.Tenants[slug]; ok {
		return s
	}
	if r.RegionOf != nil {
		if s, ok := r.Regions[r.RegionOf(slug)]; ok {
			return s
		}
	}
	return r.Default
}
