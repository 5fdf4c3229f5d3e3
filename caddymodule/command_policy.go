package caddymodule

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

func policyCommand() *cobra.Command {
	return group("policy", "Shows and sets what may change at run time", "  portalgate policy show --tenant acme\n  portalgate policy set registration open --tenant acme\n  portalgate policy set mfa required --tenant acme --grace 14d",
		group("set", "Sets one thing, on every gateway within 2 seconds", "  portalgate policy set registration open --tenant acme\n  portalgate policy set mfa required --tenant acme --grace 14d",
			append([]*cobra.Command{policyRegistration(), policyMFA()}, policySwitches()...)...),
		policyShow(), policyPreview(), policyPause())
}

func policyRegistration() *cobra.Command {
	var (
		d      desk
		tenant string
	)
	c := command("registration closed|invite|open", "Sets how people come to have an account: operators make them, or invite by mail, or whoever knows a customer number may register",
		"  portalgate policy set registration open --tenant acme", takes("closed|invite|open"), func(c *cobra.Command, args []string) error {
			r, ok := portal.ParseRegistration(args[0])
			if !ok {
				return fmt.Errorf("%q is none of closed, invite, open", args[0])
			}
			if err := d.change(c.Context(), tenant, func(x *store.Tx) error { return x.SetRegistration(c.Context(), r, d.by()) }); err != nil {
				return err
			}
			return d.print(c, map[string]any{"tenant": tenant, "registration": r}, func(w io.Writer) {
				fmt.Fprintf(w, "registration at %s is %s, in force on every gateway within 2 seconds\n", tenant, r)
			})
		})
	c.Flags().StringVar(&tenant, "tenant", "", "slug of the tenant")
	d.flags(c, true, false)
	d.deed(c)
	return c
}

func policyShow() *cobra.Command {
	var (
		d      desk
		tenant string
	)
	c := command("show", "Shows what is set for a tenant", "  portalgate policy show --tenant acme", takes(), func(c *cobra.Command, _ []string) error {
		s, err := d.open(c.Context())
		if err != nil {
			return err
		}
		defer s.Close()
		id, err := find(c.Context(), s, tenant)
		if err != nil {
			return err
		}
		t, err := s.Tenant(c.Context(), id, time.Now())
		if err != nil {
			return explained(err)
		}
		return d.print(c, map[string]any{"tenant": tenant, "mode": t.Mode, "registration": t.Registration, "home": t.Home, "mail_region": t.Region, "mfa": t.MFA}, func(w io.Writer) {
			fmt.Fprintf(w, "mode\t%s\nregistration\t%s\nhost of links in mails\t%s\nmail region\t%s\n", t.Mode, t.Registration, orNone(t.Home, "the first of its hosts"), orNone(t.Region, "none"))
			tellMFA(w, t.MFA)
		})
	})
	c.Flags().StringVar(&tenant, "tenant", "", "slug of the tenant")
	d.flags(c, true, false)
	return c
}

func orNone(s, none string) string {
	if s == "" {
		return none
	}
	return s
}

// tenantHome names the host that links in a tenant's mails lead to.
func tenantHome() *cobra.Command {
	var d desk
	c := command("home SLUG HOST", "Names the host that links in a tenant's mails lead to; it must be one of the tenant's", "  portalgate tenant home acme portal.acme.example", takes("SLUG", "HOST"), func(c *cobra.Command, args []string) error {
		host := strings.ToLower(args[1])
		s, err := d.open(c.Context())
		if err != nil {
			return err
		}
		defer s.Close()
		entries, err := s.Directory(c.Context())
		if err != nil {
			return explained(err)
		}
		has := false
		for _, e := range entries {
			has = has || e.Slug == args[0] && e.Host == host
		}
		if !has {
			return fmt.Errorf("tenant %s has no host %s; `portalgate tenant host add %s %s` gives it one", args[0], host, args[0], host)
		}
		if err := d.change(c.Context(), args[0], func(x *store.Tx) error { return x.SetHome(c.Context(), host, d.by()) }); err != nil {
			return err
		}
		return d.print(c, map[string]any{"tenant": args[0], "home": host}, func(w io.Writer) { fmt.Fprintf(w, "links in mails of %s lead to %s\n", args[0], host) })
	})
	d.flags(c, true, false)
	d.deed(c)
	return c
}

// tenantRegion says by which configured region a tenant's mail leaves.
func tenantRegion() *cobra.Command {
	var d desk
	c := command("region SLUG REGION", "Says by which `region` of the mail options a tenant's mail leaves", "  portalgate tenant region acme eu", takes("SLUG", "REGION"), func(c *cobra.Command, args []string) error {
		if err := d.change(c.Context(), args[0], func(x *store.Tx) error { return x.SetRegion(c.Context(), args[1], d.by()) }); err != nil {
			return err
		}
		return d.print(c, map[string]any{"tenant": args[0], "mail_region": args[1]}, func(w io.Writer) { fmt.Fprintf(w, "mail of %s leaves by region %s\n", args[0], args[1]) })
	})
	d.flags(c, true, false)
	d.deed(c)
	return c
}
