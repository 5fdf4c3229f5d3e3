package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

func userCommand() *cobra.Command {
	return group("user", "Adds, shows and helps people", "  portalgate user list --tenant acme\n  portalgate user revoke-sessions --tenant acme --email ann@buyer.example --reason \"lost laptop\"",
		userAdd(), userInvite(), userRecover(), userList(), userShow(), userPassword(), userRevoke(), userUnlock(), userResetMFA(), userVerify(), userExport(), userErase())
}

// who are the flags that name a person.
type who struct{ tenant, email string }

func (p *who) flags(c *cobra.Command) {
	c.Flags().StringVar(&p.tenant, "tenant", "", "slug of the tenant")
	c.Flags().StringVar(&p.email, "email", "", "e-mail address of the person")
}

func (p *who) parse() (portal.Email, error) {
	if p.email == "" {
		return "", errors.New("who? give --email")
	}
	e, err := portal.ParseEmail(p.email)
	if err != nil {
		return "", fmt.Errorf("%q is not one plain e-mail address", p.email)
	}
	return e, nil
}

// person runs an act on all rows of an address.
func (d *desk) person(ctx context.Context, p who, act func(x *store.Tx, e portal.Email, rows []store.Account) error) error {
	email, err := p.parse()
	if err != nil {
		return err
	}
	return d.change(ctx, p.tenant, func(x *store.Tx) error {
		rows, err := x.Named(ctx, email)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return fmt.Errorf("tenant %s knows nobody with the address %s", p.tenant, email)
		}
		return act(x, email, rows)
	})
}

type userRow struct {
	ID       portal.UserID `json:"id"`
	Email    string        `json:"email"`
	Name     string        `json:"name"`
	Role     portal.Role   `json:"role"`
	Company  string        `json:"company"`
	Verified bool          `json:"verified"`
	State    string        `json:"state"`
}

func row(a store.Account) userRow {
	u := a.User
	state := "active"
	switch {
	case !u.Active:
		state = u.Blocked
	case a.Secret.MustChange:
		state = "must change the password"
	case a.Secret.Missing:
		state = "no password"
	}
	company := u.CustomerCode
	if u.OwnCompany {
		company = "-"
	}
	return userRow{u.ID, u.Email, u.Name(), u.Role, company, u.Verified, state}
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func userList() *cobra.Command {
	var (
		d     desk
		p     who
		limit int
	)
	c := command("list", "Lists a tenant's people", "  portalgate user list --tenant acme", takes(), func(c *cobra.Command, _ []string) error {
		rows := []userRow{}
		err := d.change(c.Context(), p.tenant, func(x *store.Tx) error {
			list, err := x.Users(c.Context(), limit)
			for _, a := range list {
				rows = append(rows, row(a))
			}
			return err
		})
		if err != nil {
			return err
		}
		return d.print(c, rows, func(w io.Writer) {
			if len(rows) == 0 {
				fmt.Fprintf(w, "%s has no people yet; `portalgate user add --tenant %s` adds one\n", p.tenant, p.tenant)
				return
			}
			fmt.Fprintln(w, "E-MAIL\tNAME\tROLE\tCOMPANY\tCONFIRMED\tSTATE")
			for _, r := range rows {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Email, r.Name, r.Role, r.Company, yes(r.Verified), r.State)
			}
		})
	})
	d.flags(c, true, false)
	c.Flags().StringVar(&p.tenant, "tenant", "", "slug of the tenant")
	c.Flags().IntVar(&limit, "limit", 1000, "how many at most")
	return c
}

func userShow() *cobra.Command {
	var (
		d desk
		p who
	)
	c := command("show", "Shows a person: state, last sign-in, pauses, open sessions, second steps", "  portalgate user show --tenant acme --email ann@buyer.example", takes(), func(c *cobra.Command, _ []string) error {
		type shown struct {
			userRow
			LastSignIn *time.Time  `json:"last_sign_in"`
			Sessions   int         `json:"sessions"`
			Failures   int         `json:"failures"`
			PausedTo   *time.Time  `json:"paused_until"`
			Second     []factorRow `json:"second_steps"`
			SecondTo   *time.Time  `json:"second_step_paused_until"`
			Claims     bool        `json:"erp_claims_second_step"`
		}
		var out []shown
		err := d.person(c.Context(), p, func(x *store.Tx, e portal.Email, rows []store.Account) error {
			purses, err := x.Purses(c.Context(), e)
			if err != nil {
				return err
			}
			factors, err := x.FactorsOf(c.Context(), rows[0].User.ID)
			if err != nil {
				return err
			}
			claims, err := x.Claims(c.Context(), rows[0].User.ID)
			if err != nil {
				return err
			}
			for _, a := range rows {
				r := shown{userRow: row(a), Failures: purses[""].Failures, Second: factorRows(factors), Claims: claims}
				if until := purses[store.SecondPurse].RestsUntil; until.After(time.Now()) {
					r.SecondTo = &until
				}
				if until := purses[""].RestsUntil; until.After(time.Now()) {
					r.PausedTo = &until
				}
				last, err := x.LastSignIn(c.Context(), a.User.ID)
				if err != nil {
					return err
				}
				if !last.IsZero() {
					r.LastSignIn = &last
				}
				live, err := x.Sessions(c.Context(), []portal.UserID{a.User.ID})
				if err != nil {
					return err
				}
				for _, s := range live {
					if ok, _ := s.Alive(time.Now()); ok {
						r.Sessions++
					}
				}
				out = append(out, r)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return d.print(c, out, func(w io.Writer) {
			for i, r := range out {
				if i > 0 {
					fmt.Fprintln(w)
				}
				last, paused := "never", "no"
				if r.LastSignIn != nil {
					last = r.LastSignIn.Format(time.RFC3339)
				}
				if r.PausedTo != nil {
					paused = "until " + r.PausedTo.Format(time.RFC3339) + "; `portalgate user unlock` ends it"
				}
				fmt.Fprintf(w, "id\t%s\ne-mail\t%s\nname\t%s\nrole\t%s\ncompany\t%s\nconfirmed\t%s\nstate\t%s\nlast sign-in\t%s\nopen sessions\t%d\nwrong passwords\t%d\npaused\t%s\n",
					r.ID, r.Email, r.Name, r.Role, r.Company, yes(r.Verified), r.State, last, r.Sessions, r.Failures, paused)
				if len(r.Second) == 0 {
					fmt.Fprintf(w, "second steps\tnone\n")
				}
				for _, f := range r.Second {
					fmt.Fprintf(w, "second step\t%s\n", f)
				}
				if r.SecondTo != nil {
					fmt.Fprintf(w, "codes paused\tuntil %s; `portalgate user unlock` ends it\n", stamp(*r.SecondTo))
				}
				if r.Claims {
					fmt.Fprintf(w, "ERP\tsays that there is a second step; it is asked for a code, or led through adding one, at the next sign-in\n")
				}
			}
		})
	})
	d.flags(c, true, false)
	p.flags(c)
	return c
}
