package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

func limitsCommand() *cobra.Command {
	return group("limits", "Shows what limits stand in people's way, clears them, leaves offices alone",
		"  portalgate limits list\n  portalgate limits allow --tenant acme 203.0.113.0/28 --reason \"head office of Buyer Ltd\"", limitsList(), limitsClear(), limitsAllow())
}

func limitsList() *cobra.Command {
	var (
		d     desk
		p     phone
		slug  string
		rules bool
	)
	c := command("list", "Lists networks and accounts that limits stand in the way of", "  portalgate limits list --admin unix//run/portalgate/admin.sock\n  portalgate limits list --tenant acme --rules", takes(),
		func(c *cobra.Command, _ []string) error {
			out := standing{Obstacles: []obstacle{}, Offices: []office{}}
			err := p.ask(http.MethodGet, "/portalgate/limits?tenant="+url.QueryEscape(slug), nil, func(_ string, answer []byte) error {
				var one standing
				if err := json.Unmarshal(answer, &one); err != nil {
					return err
				}
				out.Obstacles, out.Offices = merge(out.Obstacles, one.Obstacles), merge(out.Offices, one.Offices)
				out.Rules = one.Rules
				return nil
			})
			alone := errors.Is(err, errNobody)
			if alone {
				out, err = onDesk(c, &d, err, func(k *clerk) (standing, error) { return listStanding(c.Context(), []*clerk{k}, slug) })
			}
			if err != nil {
				return err
			}
			if !rules && !d.json {
				out.Rules = nil
			}
			return d.print(c, out, func(w io.Writer) {
				switch {
				case len(out.Obstacles) == 0 && alone:
					fmt.Fprintln(w, "no account rests; whether a limit by network stands in anybody's way, only a gateway knows")
				case len(out.Obstacles) == 0:
					fmt.Fprintln(w, "no limit stands in anybody's way")
				}
				writeObstacles(w, out.Obstacles)
				for _, o := range out.Offices {
					where := "at every tenant, by the configuration"
					if o.Tenant != "" {
						where = "at " + o.Tenant
					}
					fmt.Fprintf(w, "the limits by network leave %s alone %s\n", o.Network, where)
				}
				for _, r := range out.Rules {
					fmt.Fprintf(w, "%s\t%s, %s\n", r.Name, r.Says, r.Holds)
				}
			})
		})
	d.flags(c, true, false)
	p.flags(c)
	c.Flags().StringVar(&slug, "tenant", "", "slug of a tenant (default all)")
	c.Flags().BoolVar(&rules, "rules", false, "list the limits themselves too")
	return c
}

// merge adds what is not there yet.
func merge[T any](to, more []T) []T {
	seen := map[string]bool{}
	text := func(v T) string {
		b, _ := json.Marshal(v) // structs of texts and times always encode
		return string(b)
	}
	for _, v := range to {
		seen[text(v)] = true
	}
	for _, v := range more {
		if !seen[text(v)] {
			to = append(to, v)
		}
	}
	return to
}

// onDesk answers from the database alone, since no gateway answers, and says so.
func onDesk[T any](c *cobra.Command, d *desk, why error, answer func(*clerk) (T, error)) (out T, err error) {
	if d.database == "" {
		return out, fmt.Errorf("%w; name it with --admin, or give --database to hear what the database knows", why)
	}
	s, err := d.open(c.Context())
	if err != nil {
		return out, err
	}
	defer s.Close()
	fmt.Fprintln(c.ErrOrStderr(), "no gateway was asked: this is what the database knows, and limits by network are not in it; name a gateway with --admin")
	return answer(&clerk{store: s, now: time.Now})
}

// writeObstacles tells people.
func writeObstacles(w io.Writer, all []obstacle) {
	for _, o := range all {
		where := ""
		if o.Tenant != "" {
			where = " at " + o.Tenant
		}
		if o.Network != "" {
			where += ", network " + o.Network
		}
		until := ""
		if o.Until != nil {
			until = ", until " + o.Until.Local().Format("2006-01-02 15:04:05")
		}
		mark := "note"
		if o.Stops {
			mark = "stops"
		}
		fmt.Fprintf(w, "%s\t%s%s%s\n\t%s\n", mark, o.Rule, where, until, o.Says)
		if o.Command != "" {
			fmt.Fprintf(w, "\thelps: %s\n", o.Command)
		}
		if o.Tell != "" {
			fmt.Fprintf(w, "\ttell them: %s\n", o.Tell)
		}
	}
}

func limitsClear() *cobra.Command {
	var (
		d       desk
		p       phone
		who     who
		network string
	)
	c := command("clear", "Forgets what was counted for a network, or for an address, on every gateway within 2 seconds", "  portalgate limits clear --tenant acme --network 203.0.113.7 --reason \"called: new routers\"\n  portalgate limits clear --tenant acme --email ann@buyer.example", takes(),
		func(c *cobra.Command, _ []string) error {
			switch {
			case (network == "") == (who.email == ""):
				return errors.New("clear what? give --network or --email, one of them")
			case who.tenant == "":
				return errors.New("which tenant? give --tenant with its slug; `portalgate tenant list` shows them")
			case who.email != "":
				return clearEmail(c, &d, &who)
			}
			name, err := networkOf(network)
			if err != nil {
				return err
			}
			var asked []string
			err = p.ask(http.MethodPost, "/portalgate/limits/clear", clearingOrder{who.tenant, name, d.operator, d.reason}, func(admin string, _ []byte) error {
				asked = append(asked, admin)
				return nil
			})
			if errors.Is(err, errNobody) {
				return fmt.Errorf("%w; what is counted by network is kept by the gateways and Redis: name one with --admin", err)
			}
			if err != nil {
				return err
			}
			return d.print(c, map[string]any{"tenant": who.tenant, "network": name, "gateways": asked}, func(w io.Writer) {
				fmt.Fprintf(w, "what was counted for %s at %s is forgotten; a gateway that was not asked forgets what it has counted itself within 2 seconds\n", name, who.tenant)
			})
		})
	d.flags(c, true, false)
	d.deed(c)
	p.flags(c)
	who.flags(c)
	c.Flags().StringVar(&network, "network", "", "an IP address; IPv6 is counted by its /64")
	return c
}

// clearEmail empties the purses of an address, whether or not somebody has it.
func clearEmail(c *cobra.Command, d *desk, p *who) error {
	email, err := p.parse()
	if err != nil {
		return err
	}
	n := int64(0)
	err = d.change(c.Context(), p.tenant, func(x *store.Tx) error {
		rows, err := x.Named(c.Context(), email)
		if err != nil {
			return err
		}
		var user portal.UserID
		if len(rows) > 0 {
			user = rows[0].User.ID
		}
		n, err = x.UnlockBy(c.Context(), email, user, d.by())
		return err
	})
	if err != nil {
		return err
	}
	return d.print(c, map[string]any{"tenant": p.tenant, "email": email, "pauses_ended": n}, func(w io.Writer) {
		if n == 0 {
			fmt.Fprintf(w, "nothing was counted for %s\n", email)
			return
		}
		fmt.Fprintf(w, "what was counted for %s is forgotten\n", email)
	})
}

func limitsAllow() *cobra.Command {
	var (
		d      desk
		slug   string
		remove bool
	)
	c := command("allow NETWORK", "Leaves an office alone: no limit counts by network there, on every gateway within 2 seconds", "  portalgate limits allow --tenant acme 203.0.113.0/28 --reason \"head office of Buyer Ltd\"\n  portalgate limits allow --tenant acme 203.0.113.0/28 --remove", takes("NETWORK"),
		func(c *cobra.Command, args []string) error {
			network, err := officeNetwork(args[0])
			if err != nil {
				return err
			}
			changed := false
			err = d.change(c.Context(), slug, func(x *store.Tx) (err error) {
				changed, err = x.AllowOffice(c.Context(), network, !remove, d.by())
				return err
			})
			if err != nil {
				return err
			}
			return d.print(c, map[string]any{"tenant": slug, "network": network, "allowed": !remove, "changed": changed}, func(w io.Writer) {
				switch {
				case remove && changed:
					fmt.Fprintf(w, "the limits by network hold again for %s at %s\n", network, slug)
				case remove:
					fmt.Fprintf(w, "%s was not on the list of %s\n", network, slug)
				case changed:
					fmt.Fprintf(w, "the limits by network leave %s alone at %s; what counts per account counts as everywhere\n", network, slug)
				default:
					fmt.Fprintf(w, "%s is on the list of %s already\n", network, slug)
				}
			})
		})
	d.flags(c, true, false)
	d.deed(c)
	c.Flags().StringVar(&slug, "tenant", "", "slug of the tenant")
	c.Flags().BoolVar(&remove, "remove", false, "take the network off the list")
	return c
}

// officeNetwork reads a network that may be left alone: not so wide that the limits would mean nothing.
func officeNetwork(s string) (netip.Prefix, error) {
	var wrong []error
	nets := prefixes("network", []string{s}, func(err error) { wrong = append(wrong, err) })
	if len(wrong) > 0 {
		return netip.Prefix{}, errors.Join(wrong...)
	}
	n := nets[0]
	if least := map[bool]int{true: 16, false: 32}[n.Addr().Is4()]; n.Bits() < least {
		return n, fmt.Errorf("%s is wider than an office; name at most a /%d", n, least)
	}
	return n, nil
}

func whyCommand() *cobra.Command {
	var (
		d    desk
		p    phone
		slug string
	)
	c := command("why REFERENCE|E-MAIL|ADDRESS|SESSION", "Says what stands in somebody's way, by which rule, until when, and what helps",
		"  portalgate why 7KQ2M9XD\n  portalgate why ann@buyer.example --tenant acme\n  portalgate why 203.0.113.7 --admin unix//run/portalgate/admin.sock", takes("REFERENCE|E-MAIL|ADDRESS|SESSION"),
		func(c *cobra.Command, args []string) error {
			kind, err := kindOf(args[0])
			if err != nil {
				return err
			}
			out := []obstacle{}
			err = p.ask(http.MethodPost, "/portalgate/why", askedFor{args[0], slug}, func(_ string, answer []byte) error {
				var one []obstacle
				if err := json.Unmarshal(answer, &one); err != nil {
					return err
				}
				out = merge(out, one)
				return nil
			})
			asked := !errors.Is(err, errNobody)
			switch {
			case !asked && kind == askReference:
				return fmt.Errorf("%w; references are remembered by the gateways alone: name one with --admin", err)
			case !asked:
				nobody := err
				out, err = onDesk(c, &d, err, func(k *clerk) ([]obstacle, error) { return k.why(c.Context(), args[0], slug) })
				if err == nil && len(out) == 0 && kind == askAddress {
					return fmt.Errorf("%w; what stands in the way of a network is known to the gateways alone: name one with --admin", nobody)
				}
			}
			if err != nil {
				return err
			}
			return d.print(c, map[string]any{"about": kind, "gateways_asked": asked, "found": out}, func(w io.Writer) {
				if len(out) == 0 {
					fmt.Fprintln(w, nothing(kind, args[0]))
				}
				writeObstacles(w, out)
			})
		})
	d.flags(c, true, false)
	p.flags(c)
	c.Flags().StringVar(&slug, "tenant", "", "slug of a tenant (default all)")
	return c
}

// nothing says that nothing is known to stand in the way.
func nothing(kind, about string) string {
	switch kind {
	case askReference:
		return fmt.Sprintf("no gateway that was asked remembers %s; each keeps its last ones: ask the others, or look for it in their logs", strings.ToUpper(about))
	case askEmail:
		return fmt.Sprintf("no tenant knows anybody with the address %s, and nobody has tried it lately", about)
	case askSession:
		return fmt.Sprintf("no tenant has a session %s", about)
	}
	return fmt.Sprintf("no limit stands in the way of %s", about)
}
