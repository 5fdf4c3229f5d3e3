package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

func userInvite() *cobra.Command {
	var (
		d                              desk
		p                              who
		name, role, customer, language string
	)
	c := command("invite", "Adds a person and mails them a link, with which they choose a password; once more for somebody who was invited already",
		"  portalgate user invite --tenant acme --email ann@buyer.example --name \"Ann Buyer\" --role CUSTOMER_USER --customer C-1003", takes(),
		func(c *cobra.Command, _ []string) error {
			email, err := p.parse()
			if err != nil {
				return err
			}
			r, ok := portal.ParseRole(role)
			if !ok {
				return fmt.Errorf("%q is no role; CUSTOMER_ADMIN, CUSTOMER_USER or APPROVER", role)
			}
			if name = strings.TrimSpace(name); name == "" || len(name) > 200 || strings.ContainsAny(name, "\r\n\x00") {
				return errors.New("what is the person called? give --name, at most 200 characters")
			}
			keys, err := d.keys()
			if err != nil {
				return err
			}
			s, err := d.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			tenant, err := find(c.Context(), s, p.tenant)
			if err != nil {
				return err
			}
			t, err := s.Tenant(c.Context(), tenant, time.Now())
			if err != nil {
				return explained(err)
			}
			if t.Registration == portal.RegistrationClosed {
				return fmt.Errorf("tenant %s takes no invitations; `portalgate policy set registration invite --tenant %s` changes that, `portalgate user add` sets a password", p.tenant, p.tenant)
			}
			if err := s.RegisterKeys(c.Context(), prints(keys), time.Now()); err != nil {
				return explained(err)
			}
			first, last, _ := strings.Cut(name, " ")
			var id portal.UserID
			again := false
			err = s.Within(c.Context(), tenant, time.Now(), func(x *store.Tx) error {
				rows, err := x.Named(c.Context(), email)
				if err != nil {
					return err
				}
				again = false
				for _, a := range rows {
					switch {
					case a.Secret.Missing:
						return fmt.Errorf("%s comes by single sign-on, and needs no invitation", email)
					case a.Secret.Version > 0 || a.User.Verified:
						return fmt.Errorf("%s has an account already; `portalgate user recover --tenant %s --email %s` mails a link to a new password", email, p.tenant, email)
					}
					id, again = a.User.ID, true
				}
				if !again {
					if id, err = x.AddUser(c.Context(), store.NewUser{Email: email, FirstName: first, LastName: last, Role: r, Customer: customer, Language: language}, d.by()); err != nil {
						return err
					}
				}
				q, err := auth.Seal(keys, tenant, portal.Letter{Kind: portal.LetterInvite, User: id, To: email, Language: language, Once: string(id), Facts: map[string]string{}}, x.Now())
				if err != nil {
					return err
				}
				return errors.Join(x.Post(c.Context(), q), x.Invited(c.Context(), id, d.by()))
			})
			if errors.Is(err, store.ErrCustomer) {
				return fmt.Errorf("tenant %s has no customer company with the code %q", p.tenant, customer)
			}
			if err != nil {
				return explained(err)
			}
			return d.print(c, map[string]any{"id": id, "email": email, "tenant": p.tenant, "again": again}, func(w io.Writer) {
				fmt.Fprintf(w, "an invitation to %s is queued, and %s; its link works for 7 days\n", email, leaving)
			})
		})
	d.flags(c, true, true)
	d.deed(c)
	p.flags(c)
	f := c.Flags()
	f.StringVar(&name, "name", "", "first and last name")
	f.StringVar(&role, "role", string(portal.RoleUser), "CUSTOMER_ADMIN, CUSTOMER_USER or APPROVER")
	f.StringVar(&customer, "customer", "", "code of the customer company; without it the tenant's own")
	f.StringVar(&language, "language", "", "like en-US; the mail is written in it")
	return c
}
