package mail

import "context"

// Route sends by tenant, else by the tenant's region, else by default.
type Route struct {
	Tenants map[string]Sender // by slug
	Regions map[string]Sender
	Default Sender
}

// Send sends the tenant's way.
func (r *Route) Send(ctx context.Context, m Message) error {
	return r.For(m.Slug, m.Region).Send(ctx, m)
}

// For is the sender of a tenant in a region.
func (r *Route) For(slug, region string) Sender {
	if s, ok := r.Tenants[slug]; ok {
		return s
	}
	if s, ok := r.Regions[region]; ok && region != "" {
		return s
	}
	return r.Default
}
