package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

func userCommand() *cobra.Command {
	return group("user", "Adds, shows and helps people", userAdd(), userList(), userShow(), userPassword(), userRevoke(), userUnlock(), userVerify())
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

// hash makes the stored form of a password that an operator gives, after the rules that stand at every door.
func (d *desk) hash(ctx context.Context, s *store.Store, text string, context []string) (password.Stored, error) {
	ring, err := d.keys()
	if err != nil {
		return password.Stored{}, err
	}
	var prints []store.KeyPrint
	for _, k := range ring.Keys() {
		prints = append(prints, store.KeyPrint{ID: k.ID, Purpose: string(k.Purpose), Fingerprint: k.Fingerprint()})
	}
	// A hash made with another keyring than the gateway's would open to nobody.
	if err := s.RegisterKeys(ctx, prints, time.Now()); err != nil {
		return password.Stored{}, fmt.Errorf("keyring %s: %w", d.keyring, missing(err))
	}
	p, err := password.Prepare(text)
	if err != nil {
		return password.Stored{}, fmt.Errorf("the password cannot be used: %w; it may have 128 characters at most", err)
	}
	rules := portal.DefaultPolicy()
	if err := (password.Policy{Min: rules.PasswordMin, Max: rules.PasswordMax, Context: context}).Check(p); err != nil {
		return password.Stored{}, fmt.Errorf("the password cannot be used: %w", err)
	}
	var pepper password.Pepper
	if x := ring.Pepper(time.Now); x != nil {
		pepper = x
	}
	h, err := password.New(password.Config{Pepper: pepper})
	if err != nil {
		return password.Stored{}, err
	}
	return h.Hash(ctx, p)
}

func userAdd() *cobra.Command {
	var (
		d                              desk
		p                              who
		name, role, customer, language string
		file                           string
		verified, stdin                bool
	)
	c := command("add", "Adds a person with a password",
		"  printf '%s' \"$PASSWORD\" | portalgate user add --tenant acme --email ann@buyer.example --name \"Ann Buyer\" --role CUSTOMER_USER --verified --password-stdin", cobra.NoArgs,
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
			text, err := readSecret(c, stdin, file)
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
			h, err := d.hash(c.Context(), s, text, []string{string(email), first, last, p.tenant})
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
				return err
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
	f.BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	f.StringVar(&file, "password-file", "", "read the password from a file")
	return c
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
	case a.Secret.PHC == "" && a.Secret.Legacy == "":
		state = "no password"
	}
	company := u.CustomerCode
	if u.OwnCompany {
		company = "-"
	}
	return userRow{u.ID, u.Email, u.Name(), u.Role, company, u.Verified, state}
}

func userList() *cobra.Command {
	var (
		d     desk
		p     who
		limit int
	)
	c := command("list", "Lists a tenant's people", "  portalgate user list --tenant acme", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
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
			fmt.Fprintln(w, "E-MAIL\tNAME\tROLE\tCOMPANY\tCONFIRMED\tSTATE")
			for _, r := range rows {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%v\t%s\n", r.Email, r.Name, r.Role, r.Company, r.Verified, r.State)
			}
		})
	})
	d.flags(c, true, false)
	c.Flags().StringVar(&p.tenant, "tenant", "", "slug of the tenant")
	c.Flags().IntVar(&limit, "limit", 1000, "how many at most")
	return c
}

// person runs an act on all rows of an address.
func (d *desk) person(ctx context.Context, p who, act func(x *store.Tx, e portal.Email, rows []store.Account) error) error {
	email, err := p.parse()
	if err != nil {
		return err
	}
	return d.change(ctx, p.tenant, func(x *store.Tx) error {
		rows, err := x.People(ctx, email)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return fmt.Errorf("tenant %s knows nobody with the address %s", p.tenant, email)
		}
		return act(x, email, rows)
	})
}

func userShow() *cobra.Command {
	var (
		d desk
		p who
	)
	c := command("show", "Shows a person: state, last sign-in, pauses, open sessions", "  portalgate user show --tenant acme --email ann@buyer.example", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		type shown struct {
			userRow
			LastSignIn *time.Time `json:"last_sign_in"`
			Sessions   int        `json:"sessions"`
			Failures   int        `json:"failures"`
			PausedTo   *time.Time `json:"paused_until"`
		}
		var out []shown
		err := d.person(c.Context(), p, func(x *store.Tx, e portal.Email, rows []store.Account) error {
			purses, err := x.Purses(c.Context(), e)
			if err != nil {
				return err
			}
			for _, a := range rows {
				r := shown{userRow: row(a), Failures: purses[""].Failures}
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
			for _, r := range out {
				last, paused := "never", "no"
				if r.LastSignIn != nil {
					last = r.LastSignIn.Format(time.RFC3339)
				}
				if r.PausedTo != nil {
					paused = "until " + r.PausedTo.Format(time.RFC3339) + "; `portalgate user unlock` ends it"
				}
				fmt.Fprintf(w, "id\t%s\ne-mail\t%s\nname\t%s\nrole\t%s\ncompany\t%s\nconfirmed\t%v\nstate\t%s\nlast sign-in\t%s\nopen sessions\t%d\nwrong passwords\t%d\npaused\t%s\n\n",
					r.ID, r.Email, r.Name, r.Role, r.Company, r.Verified, r.State, last, r.Sessions, r.Failures, paused)
			}
		})
	})
	d.flags(c, true, false)
	p.flags(c)
	return c
}

func userPassword() *cobra.Command {
	var (
		d     desk
		p     who
		stdin bool
		file  string
	)
	c := command("set-password", "Sets a temporary password: it must be changed at the next sign-in, and every session ends",
		"  printf '%s' \"$PASSWORD\" | portalgate user set-password --tenant acme --email ann@buyer.example --password-stdin --reason \"called, identity checked\"", cobra.NoArgs,
		func(c *cobra.Command, _ []string) error {
			email, err := p.parse()
			if err != nil {
				return err
			}
			text, err := readSecret(c, stdin, file)
			if err != nil {
				return err
			}
			s, err := d.open(c.Context())
			if err != nil {
				return err
			}
			h, err := func() (password.Stored, error) {
				defer s.Close()
				return d.hash(c.Context(), s, text, []string{string(email), p.tenant})
			}()
			if err != nil {
				return err
			}
			ended := []portal.SessionID{}
			err = d.person(c.Context(), p, func(x *store.Tx, e portal.Email, rows []store.Account) error {
				for _, a := range rows {
					ids, err := x.SetPassword(c.Context(), a, e, h.PHC, h.KeyID, d.by())
					if err != nil {
						return err
					}
					ended = append(ended, ids...)
				}
				return nil
			})
			if err != nil {
				return err
			}
			return d.print(c, map[string]any{"email": email, "sessions_ended": len(ended)}, func(w io.Writer) {
				fmt.Fprintf(w, "%s has a temporary password, to be changed at the next sign-in; %d sessions ended\n", email, len(ended))
			})
		})
	d.flags(c, true, true)
	d.deed(c)
	p.flags(c)
	c.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	c.Flags().StringVar(&file, "password-file", "", "read the password from a file")
	return c
}

func userRevoke() *cobra.Command {
	var (
		d desk
		p who
	)
	c := command("revoke-sessions", "Ends every session of a person, on every gateway within 2 seconds",
		"  portalgate user revoke-sessions --tenant acme --email ann@buyer.example --reason \"lost laptop\"", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
			n := 0
			err := d.person(c.Context(), p, func(x *store.Tx, _ portal.Email, rows []store.Account) error {
				var ids []portal.UserID
				for _, a := range rows {
					ids = append(ids, a.User.ID)
				}
				ended, err := x.RevokeSessions(c.Context(), ids, d.by())
				n = len(ended)
				return err
			})
			if err != nil {
				return err
			}
			return d.print(c, map[string]any{"email": p.email, "sessions_ended": n}, func(w io.Writer) { fmt.Fprintf(w, "%d sessions of %s ended\n", n, p.email) })
		})
	d.flags(c, true, false)
	d.deed(c)
	p.flags(c)
	return c
}

func userUnlock() *cobra.Command {
	var (
		d desk
		p who
	)
	c := command("unlock", "Ends a pause after wrong passwords", "  portalgate user unlock --tenant acme --email ann@buyer.example", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		n := int64(0)
		err := d.person(c.Context(), p, func(x *store.Tx, e portal.Email, rows []store.Account) (err error) {
			n, err = x.UnlockBy(c.Context(), e, rows[0].User.ID, d.by())
			return err
		})
		if err != nil {
			return err
		}
		return d.print(c, map[string]any{"email": p.email, "pauses_ended": n}, func(w io.Writer) {
			if n == 0 {
				fmt.Fprintf(w, "nothing stood in the way of %s\n", p.email)
				return
			}
			fmt.Fprintf(w, "%s can sign in again\n", p.email)
		})
	})
	d.flags(c, true, false)
	d.deed(c)
	p.flags(c)
	return c
}

func userVerify() *cobra.Command {
	var (
		d desk
		p who
	)
	c := command("verify", "Confirms a person's address by hand", "  portalgate user verify --tenant acme --email ann@buyer.example --reason \"called back\"", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		err := d.person(c.Context(), p, func(x *store.Tx, _ portal.Email, rows []store.Account) error {
			for _, a := range rows {
				if err := x.Verify(c.Context(), a.User.ID, d.by()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		return d.print(c, map[string]any{"email": p.email, "verified": true}, func(w io.Writer) { fmt.Fprintf(w, "%s is confirmed\n", p.email) })
	})
	d.flags(c, true, false)
	d.deed(c)
	p.flags(c)
	return c
}
