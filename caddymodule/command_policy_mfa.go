package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// mostGrace is how long people can put a second step off: longer, and it is optional.
const mostGrace = 365

// policyMFA sets how much a tenant asks for a second step.
func policyMFA() *cobra.Command {
	var (
		d                   desk
		tenant, role, grace string
	)
	c := command("mfa off|optional|required", "Sets how much is asked for a second step, of everybody or of one role; with --grace each person may put it off that long, from their next sign-in on",
		"  portalgate policy set mfa required --tenant acme --grace 14d --reason \"contract 17\"\n  portalgate policy set mfa required --tenant acme --role CUSTOMER_ADMIN", takes("off|optional|required"), func(c *cobra.Command, args []string) error {
			m, ok := portal.ParseMFA(args[0])
			if !ok {
				return fmt.Errorf("%q is none of off, optional, required", args[0])
			}
			r, err := roleOf(role)
			if err != nil {
				return err
			}
			days, err := daysOf(grace)
			if err != nil {
				return err
			}
			if grace != "" && m != portal.MFARequired {
				return fmt.Errorf("--grace is for `required`: with %s nobody has to add a second step", m)
			}
			what := map[string]string{"mfa": string(m)}
			if r != "" {
				what["role"] = string(r)
			}
			if m == portal.MFARequired {
				what["grace_days"] = strconv.Itoa(days)
			}
			p, err := d.setMFA(c.Context(), tenant, what, func(p *portal.MFAPolicy, now time.Time) {
				if r == "" {
					p.Default = m
				} else {
					if p.Roles == nil {
						p.Roles = map[portal.Role]portal.MFA{}
					}
					p.Roles[r] = m
				}
				if m == portal.MFARequired {
					p.GraceDays, p.Since, p.Paused = days, now, false
				}
			})
			if err != nil {
				return err
			}
			return d.print(c, map[string]any{"tenant": tenant, "mfa": p}, func(w io.Writer) {
				whom := "everybody at " + tenant
				if r != "" {
					whom = string(r) + " at " + tenant
				}
				fmt.Fprintf(w, "a second step is %s for %s, in force on every gateway within 2 seconds\n", m, whom)
				if m == portal.MFARequired && days > 0 {
					fmt.Fprintf(w, "who has none may put it off for %s, from their next sign-in on\n", count(days, "day"))
				}
				if r == "" && len(p.Roles) > 0 {
					fmt.Fprintf(w, "for these roles something else is set and stays: %s\n", rolesOf(p))
				}
			})
		})
	c.Flags().StringVar(&tenant, "tenant", "", "slug of the tenant")
	c.Flags().StringVar(&role, "role", "", "for this role alone: CUSTOMER_ADMIN, CUSTOMER_USER or APPROVER")
	c.Flags().StringVar(&grace, "grace", "", "how long each person may put it off, in days, like 14d (default none)")
	d.flags(c, true, false)
	d.deed(c)
	return c
}

// policySwitch turns one thing of a tenant on or off.
func policySwitch(name, what, short string, set func(*portal.MFAPolicy) *bool) *cobra.Command {
	var (
		d      desk
		tenant string
	)
	c := command(name+" on|off", short, "  portalgate policy set "+name+" on --tenant acme", takes("on|off"), func(c *cobra.Command, args []string) error {
		if args[0] != "on" && args[0] != "off" {
			return fmt.Errorf("%q is neither on nor off", args[0])
		}
		p, err := d.setMFA(c.Context(), tenant, map[string]string{strings.ReplaceAll(name, "-", "_"): args[0]}, func(p *portal.MFAPolicy, _ time.Time) { *set(p) = args[0] == "on" })
		if err != nil {
			return err
		}
		return d.print(c, map[string]any{"tenant": tenant, "mfa": p}, func(w io.Writer) {
			fmt.Fprintf(w, "%s at %s: %s, in force on every gateway within 2 seconds\n", what, tenant, args[0])
		})
	})
	c.Flags().StringVar(&tenant, "tenant", "", "slug of the tenant")
	d.flags(c, true, false)
	d.deed(c)
	return c
}

func policySwitches() []*cobra.Command {
	return []*cobra.Command{
		policySwitch("email-codes", "codes by mail", "Lets people have codes by mail as a second step, which NIST SP 800-63B-4 does not let count", func(p *portal.MFAPolicy) *bool { return &p.EmailCodes }),
		policySwitch("sms-codes", "codes by text message", "Lets people have codes by text message as a second step, which NIST SP 800-63B-4 restricts", func(p *portal.MFAPolicy) *bool { return &p.SMSCodes }),
		policySwitch("remember-device", "remembering devices", "Lets people have a device not asked again for 30 days", func(p *portal.MFAPolicy) *bool { return &p.Remember }),
	}
}

// setMFA changes what a tenant asks for, from what is set at this moment.
func (d *desk) setMFA(ctx context.Context, slug string, what map[string]string, change func(*portal.MFAPolicy, time.Time)) (p portal.MFAPolicy, err error) {
	err = d.within(ctx, slug, func(_ portal.TenantID, x *store.Tx) error {
		if p, err = x.MFA(ctx); err != nil {
			return err
		}
		change(&p, x.Now())
		return x.SetMFA(ctx, p, what, d.by())
	})
	return p, err
}

// policyPause stops that people are led through adding a second step, at one tenant or at all of them.
func policyPause() *cobra.Command {
	var (
		d      desk
		tenant string
		resume bool
	)
	c := command("pause", "Stops at once that people are led through adding a second step, at one tenant or everywhere; who has one is asked as before; --resume goes on",
		"  portalgate policy pause --reason \"the telephones are ringing\"\n  portalgate policy pause --tenant acme --resume", takes(), func(c *cobra.Command, _ []string) error {
			s, err := d.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			rows, err := tenants(c.Context(), s)
			if err != nil {
				return err
			}
			if tenant != "" {
				if _, err := find(c.Context(), s, tenant); err != nil {
					return err
				}
			}
			changed := []string{}
			for _, t := range rows {
				if tenant != "" && t.Slug != tenant {
					continue
				}
				err := s.Within(c.Context(), t.ID, time.Now(), func(x *store.Tx) error {
					p, err := x.MFA(c.Context())
					if err != nil || p.Paused == !resume {
						return err
					}
					p.Paused = !resume
					changed = append(changed, t.Slug)
					return x.SetMFA(c.Context(), p, map[string]string{"paused": strconv.FormatBool(p.Paused)}, d.by())
				})
				if err != nil {
					return fmt.Errorf("%s: %w; done so far: %s", t.Slug, explained(err), orNone(strings.Join(changed, ", "), "nothing"))
				}
			}
			return d.print(c, map[string]any{"paused": !resume, "tenants": changed}, func(w io.Writer) {
				switch {
				case len(changed) == 0:
					fmt.Fprintln(w, "nothing to change")
				case resume:
					fmt.Fprintf(w, "people are led through adding a second step again, where it is required: %s\n", strings.Join(changed, ", "))
				default:
					fmt.Fprintf(w, "nobody is led through adding a second step within 2 seconds: %s\n", strings.Join(changed, ", "))
				}
			})
		})
	c.Flags().StringVar(&tenant, "tenant", "", "slug of one tenant (default every tenant)")
	c.Flags().BoolVar(&resume, "resume", false, "go on")
	d.flags(c, true, false)
	d.deed(c)
	return c
}

// policyPreview counts whom a rule would meet.
func policyPreview() *cobra.Command {
	var (
		d            desk
		tenant, role string
	)
	c := command("mfa required", "Counts whom a required second step would meet, and how; it changes nothing",
		"  portalgate policy preview mfa required --tenant acme\n  portalgate policy preview mfa required --tenant acme --role CUSTOMER_ADMIN --json", takes("required"), func(c *cobra.Command, args []string) error {
			if args[0] != string(portal.MFARequired) {
				return fmt.Errorf("only `required` meets anybody, not %q", args[0])
			}
			r, err := roleOf(role)
			if err != nil {
				return err
			}
			list := []store.Impact{}
			err = d.change(c.Context(), tenant, func(x *store.Tx) error {
				p, err := x.MFA(c.Context())
				if err != nil {
					return err
				}
				all, err := x.Impacts(c.Context(), p)
				list = slices.DeleteFunc(append([]store.Impact{}, all...), func(i store.Impact) bool { return r != "" && i.Role != r })
				return err
			})
			if err != nil {
				return err
			}
			return d.print(c, map[string]any{"tenant": tenant, "roles": list}, func(w io.Writer) { tellImpacts(w, list) })
		})
	c.Flags().StringVar(&tenant, "tenant", "", "slug of the tenant")
	c.Flags().StringVar(&role, "role", "", "this role alone: CUSTOMER_ADMIN, CUSTOMER_USER or APPROVER")
	d.flags(c, true, false)
	return group("preview", "Counts whom a rule would meet; it changes nothing", "  portalgate policy preview mfa required --tenant acme", c)
}

func tellImpacts(w io.Writer, list []store.Impact) {
	if len(list) == 0 {
		fmt.Fprintln(w, "nobody would be met: no such people may sign in")
		return
	}
	fmt.Fprintln(w, "ROLE\tPEOPLE\tHAVE ONE\tWILL BE LED THROUGH IT\tMUST CONFIRM THEIR ADDRESS FIRST\tERP SAYS THEY HAVE ONE")
	var all store.Impact
	for _, i := range list {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\n", i.Role, i.People, i.Ready, i.Mailed, i.Stuck, i.Claimed)
		all.People, all.Ready, all.Mailed, all.Stuck, all.Claimed = all.People+i.People, all.Ready+i.Ready, all.Mailed+i.Mailed, all.Stuck+i.Stuck, all.Claimed+i.Claimed
	}
	fmt.Fprintf(w, "\n%d of %d notice nothing new: they have a second step and are asked for it already.\n", all.Ready, all.People)
	fmt.Fprintf(w, "%d are led through adding one at their next sign-in, or when their grace is over; a code by mail proves that they are the owner.\n", all.Mailed)
	fmt.Fprintf(w, "%d have to confirm their address first, as at any sign-in. Nobody is locked out.\n", all.Stuck)
	if all.Claimed > 0 {
		fmt.Fprintf(w, "%d have a second step according to the ERP: a real secret there goes on working once a code of it was right; who has another is led through adding one in any case.\n", all.Claimed)
	}
}

func roleOf(s string) (portal.Role, error) {
	if s == "" {
		return "", nil
	}
	r, ok := portal.ParseRole(s)
	if !ok {
		return "", fmt.Errorf("%q is no role; CUSTOMER_ADMIN, CUSTOMER_USER or APPROVER", s)
	}
	return r, nil
}

func daysOf(s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.TrimSuffix(s, "d"))
	if err != nil || !strings.HasSuffix(s, "d") {
		return 0, fmt.Errorf("--grace %q is not a number of days like 14d", s)
	}
	if n < 0 || n > mostGrace {
		return 0, errors.New("--grace is between 0d and 365d; a second step that may be put off for longer is `optional`")
	}
	return n, nil
}

// rolesOf lists what is different for some roles.
func rolesOf(p portal.MFAPolicy) string {
	var out []string
	for _, r := range slices.Sorted(maps.Keys(p.Roles)) {
		out = append(out, fmt.Sprintf("%s %s", r, p.Roles[r]))
	}
	return strings.Join(out, ", ")
}

// tellMFA says what is set for a tenant about second steps.
func tellMFA(w io.Writer, p portal.MFAPolicy) {
	fmt.Fprintf(w, "second step\t%s\n", orNone(string(p.Default), "as the configuration says, optional without a word"))
	fmt.Fprintf(w, "second step by role\t%s\n", orNone(rolesOf(p), "no difference"))
	if !p.Since.IsZero() {
		fmt.Fprintf(w, "required since\t%s, to be put off for %s\n", stamp(p.Since), count(p.GraceDays, "day"))
	}
	if p.Paused {
		fmt.Fprintf(w, "paused\tyes: nobody is led through adding one; `portalgate policy pause --resume` goes on\n")
	}
	fmt.Fprintf(w, "codes by mail\t%s\ncodes by text message\t%s\nremembering devices\t%s\n", yes(p.EmailCodes), yes(p.SMSCodes), yes(p.Remember))
}
