package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

func userRevoke() *cobra.Command {
	var (
		d desk
		p who

		everybody bool
	)
	c := command("revoke-sessions", "Ends every session of a person, or of everybody, on every gateway within 2 seconds",
		"  portalgate user revoke-sessions --tenant acme --email ann@buyer.example --reason \"lost laptop\"\n  portalgate user revoke-sessions --tenant acme --all --reason \"stolen backup\"", takes(), func(c *cobra.Command, _ []string) error {
			if everybody {
				return d.revokeEverybody(c, p)
			}
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
			return d.print(c, map[string]any{"email": p.email, "sessions_ended": n}, func(w io.Writer) { fmt.Fprintf(w, "%s ended\n", count(n, "session")+" of "+p.email) })
		})
	d.flags(c, true, false)
	d.deed(c)
	p.flags(c)
	c.Flags().BoolVar(&everybody, "all", false, "end the sessions of everybody at the tenant, in place of a person's; needs a --reason")
	return c
}

// revokeEverybody ends all sessions of a tenant. What is done to everybody has a reason, and names nobody besides.
func (d *desk) revokeEverybody(c *cobra.Command, p who) error {
	if p.email != "" {
		return errors.New("whose? give either --email or --all")
	}
	if d.reason == "" {
		return errors.New("why? everybody has to sign in again; give --reason")
	}
	n := 0
	err := d.tenant(c.Context(), p.tenant, func(s *store.Store, t portal.TenantID) error {
		began := time.Now()
		for more := true; more; {
			ended := 0
			if err := s.Within(c.Context(), t, time.Now(), func(x *store.Tx) (err error) {
				ended, err = x.RevokeEverybody(c.Context(), began, d.by())
				return err
			}); err != nil {
				return fmt.Errorf("after %s: %w", count(n, "session"), err)
			}
			n += ended
			more = ended == store.RevokedAtOnce
		}
		return nil
	})
	if err != nil {
		return err
	}
	return d.print(c, map[string]any{"tenant": p.tenant, "sessions_ended": n}, func(w io.Writer) { fmt.Fprintf(w, "%s of %s ended\n", count(n, "session"), p.tenant) })
}

func userUnlock() *cobra.Command {
	var (
		d desk
		p who
	)
	c := command("unlock", "Ends a pause after wrong passwords", "  portalgate user unlock --tenant acme --email ann@buyer.example", takes(), func(c *cobra.Command, _ []string) error {
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
	c := command("verify", "Confirms a person's address by hand", "  portalgate user verify --tenant acme --email ann@buyer.example --reason \"called back\"", takes(), func(c *cobra.Command, _ []string) error {
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

// count says how many, in words that agree.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
