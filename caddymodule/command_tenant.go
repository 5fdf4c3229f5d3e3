package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/admission"
	"github.com/portalgate/portalgate/internal/pages"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
)

var slugForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$`)

func tenantCommand() *cobra.Command {
	return group("tenant", "Adds and shows tenants and their hosts", "  portalgate tenant add acme --name \"Acme Packaging\" --host acme.portal.example\n  portalgate tenant list",
		tenantAdd(), tenantList(), tenantShow(),
		group("host", "Gives a tenant a host name, or takes it away", "  portalgate tenant host add acme acme.portal.example\n  portalgate tenant host remove acme acme.portal.example", tenantHost("add"), tenantHost("remove")),
		tenantMode(), tenantBrand(), tenantHome(), tenantRegion())
}

// face are the flags of a tenant's looks.
type face struct{ name, accent, contact, logo string }

func (f *face) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.name, "name", "", "what people see, like \"Acme Packaging\"")
	c.Flags().StringVar(&f.accent, "accent", "", "colour of buttons and links, like #2f5d8a")
	c.Flags().StringVar(&f.contact, "contact", "", "whom people ask for help: an e-mail address, a telephone number or an https address")
	c.Flags().StringVar(&f.logo, "logo", "", "file with the logo: SVG, PNG or WebP, at most 64 KiB")
}

func (f *face) lay(b portal.Brand) (portal.Brand, error) {
	if f.accent != "" {
		if _, ok := pages.ParseColour(f.accent); !ok {
			return b, fmt.Errorf("--accent %q is not a colour like #2f5d8a", f.accent)
		}
		b.Accent = f.accent
	}
	if f.contact != "" {
		if len(f.contact) > 200 {
			return b, errors.New("--contact is longer than 200 characters")
		}
		b.Contact = f.contact
	}
	if f.logo != "" {
		logo, err := os.ReadFile(f.logo)
		if err != nil {
			return b, fmt.Errorf("reading the logo: %w", err)
		}
		if pages.LogoType(logo) == "" {
			return b, fmt.Errorf("%s is not an SVG, PNG or WebP of at most 64 KiB", f.logo)
		}
		b.Logo = logo
	}
	return b, nil
}

func tenantAdd() *cobra.Command {
	var (
		d     desk
		f     face
		hosts []string
	)
	c := command("add SLUG", "Adds a tenant", "  portalgate tenant add acme --name \"Acme Packaging\" --host acme.portal.example --database \"$OWNER_URL\"", takes("SLUG"),
		func(c *cobra.Command, args []string) error {
			slug := args[0]
			if !slugForm.MatchString(slug) {
				return fmt.Errorf("%q cannot be a slug; use lower-case letters, digits and dashes, at most 50", slug)
			}
			if f.name == "" || len(f.name) > 255 {
				return errors.New("what is it called? give --name, at most 255 characters")
			}
			brand, err := f.lay(portal.Brand{})
			if err != nil {
				return err
			}
			for i, h := range hosts {
				if hosts[i], err = host(h); err != nil {
					return err
				}
			}
			s, err := d.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			id := portal.TenantID(portal.FormatID(secret.NewID()))
			err = s.Within(c.Context(), id, time.Now(), func(x *store.Tx) error {
				if err := x.AddTenant(c.Context(), slug, f.name, d.by()); err != nil {
					return err
				}
				for _, h := range hosts {
					if err := x.AddHost(c.Context(), h, d.by()); err != nil {
						return err
					}
				}
				if brand.Accent != "" || brand.Contact != "" || len(brand.Logo) > 0 {
					return x.SetBrand(c.Context(), brand, d.by())
				}
				return nil
			})
			if err := taken(c.Context(), s, err, slug, hosts); err != nil {
				return err
			}
			return d.print(c, map[string]any{"id": id, "slug": slug, "name": f.name, "mode": portal.ModeOn, "hosts": append([]string{}, hosts...)}, func(w io.Writer) {
				fmt.Fprintf(w, "added tenant %s (%s), mode on\n", slug, id)
				for _, h := range hosts {
					fmt.Fprintf(w, "host %s\n", h)
				}
			})
		})
	d.flags(c, true, false)
	d.deed(c)
	f.flags(c)
	c.Flags().StringArrayVar(&hosts, "host", nil, "a host name of the tenant; may be given several times")
	return c
}

// host is a host name as requests are compared with it.
func host(h string) (string, error) {
	c, ok := admission.CanonicalHost(h)
	if !ok {
		return "", fmt.Errorf("%q is not a host name; write it without a scheme, a port or a path, and as it goes over the wire (xn--…) if it has other letters than a to z", h)
	}
	return c, nil
}

// taken explains a name that is taken, and any other error.
func taken(ctx context.Context, s *store.Store, err error, slug string, hosts []string) error {
	var t *store.TakenError
	if !errors.As(err, &t) {
		return explained(err)
	}
	switch {
	case strings.Contains(t.What, "tenant_code"):
		return fmt.Errorf("there is a tenant %q already; give it hosts with `portalgate tenant host add %s HOST`", slug, slug)
	case strings.Contains(t.What, "hosts"):
		entries, lerr := s.Directory(ctx)
		if lerr != nil {
			return explained(err)
		}
		for _, e := range entries {
			if oneOf(e.Host, hosts) {
				return fmt.Errorf("host %s belongs to tenant %q already; `portalgate tenant host remove %s %s` takes it away", e.Host, e.Slug, e.Slug, e.Host)
			}
		}
		return errors.New("one of the hosts is given twice")
	}
	return err
}

type tenantRow struct {
	ID    portal.TenantID `json:"id"`
	Slug  string          `json:"slug"`
	Name  string          `json:"name"`
	Mode  portal.Mode     `json:"mode"`
	Hosts []string        `json:"hosts"`
}

func tenants(ctx context.Context, s *store.Store) ([]tenantRow, error) {
	entries, err := s.Directory(ctx)
	if err != nil {
		return nil, explained(err)
	}
	rows := []tenantRow{}
	for _, e := range entries {
		if len(rows) == 0 || rows[len(rows)-1].ID != e.Tenant {
			t, err := s.Tenant(ctx, e.Tenant, time.Now())
			if err != nil {
				return nil, fmt.Errorf("reading tenant %s: %w", e.Slug, err)
			}
			rows = append(rows, tenantRow{e.Tenant, e.Slug, t.Name, e.Mode, []string{}})
		}
		if e.Host != "" {
			last := &rows[len(rows)-1]
			last.Hosts = append(last.Hosts, e.Host)
		}
	}
	return rows, nil
}

func tenantList() *cobra.Command {
	var d desk
	c := command("list", "Lists the tenants", "  portalgate tenant list", takes(), func(c *cobra.Command, _ []string) error {
		s, err := d.open(c.Context())
		if err != nil {
			return err
		}
		defer s.Close()
		rows, err := tenants(c.Context(), s)
		if err != nil {
			return err
		}
		return d.print(c, rows, func(w io.Writer) {
			if len(rows) == 0 {
				fmt.Fprintln(w, "no tenants yet; `portalgate tenant add` makes one")
				return
			}
			fmt.Fprintln(w, "SLUG\tNAME\tMODE\tHOSTS")
			for _, r := range rows {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Slug, r.Name, r.Mode, strings.Join(r.Hosts, ", "))
			}
		})
	})
	d.flags(c, true, false)
	return c
}

func tenantShow() *cobra.Command {
	var d desk
	c := command("show SLUG", "Shows a tenant", "  portalgate tenant show acme", takes("SLUG"), func(c *cobra.Command, args []string) error {
		s, err := d.open(c.Context())
		if err != nil {
			return err
		}
		defer s.Close()
		if _, err := find(c.Context(), s, args[0]); err != nil {
			return err
		}
		rows, err := tenants(c.Context(), s)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.Slug == args[0] {
				return d.print(c, r, func(w io.Writer) {
					fmt.Fprintf(w, "id\t%s\nslug\t%s\nname\t%s\nmode\t%s\nhosts\t%s\n", r.ID, r.Slug, r.Name, r.Mode, strings.Join(r.Hosts, ", "))
				})
			}
		}
		return fmt.Errorf("there is no tenant %q", args[0])
	})
	d.flags(c, true, false)
	return c
}

// change runs a deed on a tenant.
func (d *desk) change(ctx context.Context, slug string, act func(x *store.Tx) error) error {
	return d.within(ctx, slug, func(_ portal.TenantID, x *store.Tx) error { return act(x) })
}

// within runs an act in a tenant's transaction.
func (d *desk) within(ctx context.Context, slug string, act func(t portal.TenantID, x *store.Tx) error) error {
	return d.tenant(ctx, slug, func(s *store.Store, id portal.TenantID) error {
		return s.Within(ctx, id, time.Now(), func(x *store.Tx) error { return act(id, x) })
	})
}

// tenant runs an act on a tenant, which may take several transactions.
func (d *desk) tenant(ctx context.Context, slug string, act func(s *store.Store, t portal.TenantID) error) error {
	s, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	id, err := find(ctx, s, slug)
	if err != nil {
		return err
	}
	return explained(act(s, id))
}

func tenantHost(act string) *cobra.Command {
	var d desk
	short := map[string]string{"add": "Gives a tenant a host name", "remove": "Takes a host name away from a tenant"}[act]
	c := command(act+" SLUG HOST", short, "  portalgate tenant host "+act+" acme acme.portal.example", takes("SLUG", "HOST"), func(c *cobra.Command, args []string) error {
		slug := args[0]
		h, err := host(args[1])
		if err != nil {
			return err
		}
		s, err := d.open(c.Context())
		if err != nil {
			return err
		}
		defer s.Close()
		id, err := find(c.Context(), s, slug)
		if err != nil {
			return err
		}
		err = s.Within(c.Context(), id, time.Now(), func(x *store.Tx) error {
			if act == "add" {
				return x.AddHost(c.Context(), h, d.by())
			}
			ok, err := x.RemoveHost(c.Context(), h, d.by())
			if err == nil && !ok {
				return fmt.Errorf("tenant %s has no host %s; `portalgate tenant show %s` lists them", slug, h, slug)
			}
			return err
		})
		if err := taken(c.Context(), s, err, slug, []string{h}); err != nil {
			return err
		}
		return d.print(c, map[string]any{"tenant": slug, "host": h, "done": act}, func(w io.Writer) {
			fmt.Fprintf(w, "%s: host %s %s, in force on every gateway within 2 seconds\n", slug, h, map[string]string{"add": "added", "remove": "removed"}[act])
		})
	})
	d.flags(c, true, false)
	d.deed(c)
	return c
}

func tenantMode() *cobra.Command {
	var d desk
	c := command("mode SLUG off|observe|on", "Sets how much of the gate a tenant has", "  portalgate tenant mode acme on", takes("SLUG", "off|observe|on"), func(c *cobra.Command, args []string) error {
		m, ok := portal.ParseMode(args[1])
		if !ok {
			return fmt.Errorf("%q is no mode; off, observe or on", args[1])
		}
		if err := d.change(c.Context(), args[0], func(x *store.Tx) error { return x.SetMode(c.Context(), m, d.by()) }); err != nil {
			return err
		}
		return d.print(c, map[string]any{"tenant": args[0], "mode": m}, func(w io.Writer) {
			fmt.Fprintf(w, "%s is %s, in force on every gateway within 2 seconds\n", args[0], m)
		})
	})
	d.flags(c, true, false)
	d.deed(c)
	return c
}

func tenantBrand() *cobra.Command {
	var (
		d desk
		f face
	)
	c := command("brand SLUG", "Changes a tenant's name, logo, colour and contact", "  portalgate tenant brand acme --accent \"#0a7f5a\" --logo acme.svg --contact help@acme.example", takes("SLUG"),
		func(c *cobra.Command, args []string) error {
			if f == (face{}) {
				return errors.New("nothing to change: give --name, --accent, --contact or --logo")
			}
			s, err := d.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			id, err := find(c.Context(), s, args[0])
			if err != nil {
				return err
			}
			t, err := s.Tenant(c.Context(), id, time.Now())
			if err != nil {
				return err
			}
			brand, err := f.lay(t.Brand)
			if err != nil {
				return err
			}
			err = s.Within(c.Context(), id, time.Now(), func(x *store.Tx) error {
				if f.name != "" {
					if err := x.RenameTenant(c.Context(), f.name, d.by()); err != nil {
						return err
					}
				}
				return x.SetBrand(c.Context(), brand, d.by())
			})
			if err != nil {
				return explained(err)
			}
			return d.print(c, map[string]any{"tenant": args[0], "changed": true}, func(w io.Writer) {
				fmt.Fprintf(w, "%s looks new, on every gateway within 2 seconds\n", args[0])
			})
		})
	d.flags(c, true, false)
	d.deed(c)
	f.flags(c)
	return c
}
