package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

func userAdd() *cobra.Command {
	var (
		d                              desk
		p                              who
		name, role, customer, language string
		typed                          secretFlags
		verified                       bool
	)
	c := command("add", "Adds a person with a password",
		"  printf '%s' \"$PASSWORD\" | portalgate user add --tenant acme --email ann@buyer.example --name \"Ann Buyer\" --role CUSTOMER_USER --verified --password-stdin", takes(),
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
			text, err := typed.read(c)
			if err != nil {
				return err
			}
			s, err := d.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			id, err := find(c.Context(), s, p.tenant)
			if err != nil {
				return err
			}
			first, last, _ := strings.Cut(name, " ")
			h, err := d.hash(c.Context(), s, text, id, portal.User{Email: string(email), FirstName: first, LastName: last})
			if err != nil {
				return err
			}
			var made portal.UserID
			err = s.Within(c.Context(), id, time.Now(), func(x *store.Tx) (err error) {
				made, err = x.AddUser(c.Context(), store.NewUser{Email: email, FirstName: first, LastName: last, Role: r, Customer: customer,
					Verified: verified, Language: language, PHC: h.PHC, KeyID: h.KeyID}, d.by())
				return err
			})
			var taken *store.TakenError
			switch {
			case errors.As(err, &taken):
				return fmt.Errorf("%s is known in that company already; `portalgate user show --tenant %s --email %s`", email, p.tenant, email)
			case errors.Is(err, store.ErrCustomer):
				return fmt.Errorf("tenant %s has no customer company with the code %q", p.tenant, customer)
			case err != nil:
				return explained(err)
			}
			return d.print(c, map[string]any{"id": made, "email": email, "tenant": p.tenant, "role": r, "verified": verified}, func(w io.Writer) {
				fmt.Fprintf(w, "added %s (%s) to %s\n", email, made, p.tenant)
				if !verified {
					fmt.Fprintln(w, "the address is not confirmed; `portalgate user verify` confirms it by hand")
				}
			})
		})
	d.flags(c, true, true)
	d.deed(c)
	p.flags(c)
	f := c.Flags()
	f.StringVar(&name, "name", "", "first and last name")
	f.StringVar(&role, "role", string(portal.RoleUser), "CUSTOMER_ADMIN, CUSTOMER_USER or APPROVER")
	f.StringVar(&customer, "customer", "", "code of the customer company; without it the tenant's own")
	f.StringVar(&language, "language", "", "like en-US")
	f.BoolVar(&verified, "verified", false, "the address is known to be the person's")
	typed.flags(c)
	return c
}
