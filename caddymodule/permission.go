package caddymodule

import (
	"context"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
)

func init() {
	caddy.RegisterModule(new(Permission))
}

// Permission lets Caddy get certificates on demand for the hosts of known tenants, and for no other name.
type Permission struct {
	ctx caddy.Context
}

// CaddyModule returns the module's registration.
func (*Permission) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tls.permission.portalgate", New: func() caddy.Module { return new(Permission) }}
}

// Provision remembers where to find the app; the app may be provisioned later than this.
func (p *Permission) Provision(ctx caddy.Context) error {
	p.ctx = ctx
	return nil
}

// CertificateAllowed says whether a name is a host of ours. It asks no server.
func (p *Permission) CertificateAllowed(_ context.Context, name string) error {
	app, err := p.ctx.AppIfConfigured("portalgate")
	if err != nil {
		return fmt.Errorf("no portalgate app: %w", err)
	}
	if !app.(*App).world.hosts.Known(name) {
		return fmt.Errorf("%q is not a host of a tenant: %w", name, caddytls.ErrPermissionDenied)
	}
	return nil
}

// UnmarshalCaddyfile reads `permission portalgate`, which takes nothing.
func (p *Permission) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.Errf("permission portalgate takes no value; leave %q out", d.Val())
	}
	return nil
}

var (
	_ caddytls.OnDemandPermission = (*Permission)(nil)
	_ caddyfile.Unmarshaler       = (*Permission)(nil)
	_ caddy.Provisioner           = (*Permission)(nil)
)
