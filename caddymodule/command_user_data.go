package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// whoever runs an act on all rows of an address, those included that the ERP has deleted.
func (d *desk) whoever(ctx context.Context, p who, act func(x *store.Tx, people []portal.UserID) error) error {
	email, err := p.parse()
	if err != nil {
		return err
	}
	return d.change(ctx, p.tenant, func(x *store.Tx) error {
		people, err := x.Whoever(ctx, email)
		if err != nil {
			return err
		}
		if len(people) == 0 {
			return fmt.Errorf("tenant %s knows nobody with the address %s; whoever had it before is erased, or has another one now", p.tenant, email)
		}
		return act(x, people)
	})
}

// userExport writes what is stored about a person.
func userExport() *cobra.Command {
	var (
		d desk
		p who
	)
	c := command("export", "Writes everything that is stored about a person as JSON, for them; nothing in it opens anything",
		"  portalgate user export --tenant acme --email ann@buyer.example --reason \"asked by letter, ticket 88\" > ann.json", takes(), func(c *cobra.Command, _ []string) error {
			var out store.Dossier
			err := d.whoever(c.Context(), p, func(x *store.Tx, people []portal.UserID) (err error) {
				if out, err = x.Dossier(c.Context(), people); err != nil {
					return err
				}
				return x.Exported(c.Context(), people, d.by())
			})
			if err != nil {
				return err
			}
			e := json.NewEncoder(c.OutOrStdout())
			e.SetIndent("", "  ")
			e.SetEscapeHTML(false)
			return e.Encode(out)
		})
	d.flags(c, true, false)
	d.deed(c)
	p.flags(c)
	return c
}

// userErase takes away what names a person, or lists who has asked for it.
func userErase() *cobra.Command {
	var (
		d     desk
		p     who
		asked bool
	)
	c := command("erase", "Erases a person for good: sessions, password, second steps, devices, links and mails go, the trail and the ERP's row lose their name. Make sure first that it may be done",
		"  portalgate user erase --tenant acme --asked\n  portalgate user erase --tenant acme --email ann@buyer.example --operator olga --reason \"asked on her page, nothing is owed\"", takes(), func(c *cobra.Command, _ []string) error {
			if asked {
				return d.eraseAsked(c, p)
			}
			if _, err := p.parse(); err != nil {
				return err
			}
			if strings.TrimSpace(d.operator) == "" || strings.TrimSpace(d.reason) == "" {
				return errors.New("why may this be done? give --reason, and --operator; both stay in the trail, so do not name the person there")
			}
			var (
				out  store.Erased
				rows int
			)
			err := d.whoever(c.Context(), p, func(x *store.Tx, people []portal.UserID) (err error) {
				rows = len(people)
				out, err = x.Erase(c.Context(), people, d.by())
				return err
			})
			if err != nil {
				return err
			}
			return d.print(c, struct {
				Tenant string `json:"tenant"`
				Rows   int    `json:"accounts_erased"`
				store.Erased
			}{p.tenant, rows, out}, func(w io.Writer) {
				fmt.Fprintf(w, "%s erased, %s ended, %s of activity made nameless\n", count(rows, "account"), count(int(out.Sessions), "session"), count(int(out.Activity), "row"))
				fmt.Fprintln(w, "what the ERP keeps of them elsewhere, such as orders and invoices, is not touched; nor are backups and dumps made before")
			})
		})
	d.flags(c, true, false)
	d.deed(c)
	p.flags(c)
	c.Flags().BoolVar(&asked, "asked", false, "list who has asked to be erased, and erase nobody")
	return c
}

func (d *desk) eraseAsked(c *cobra.Command, p who) error {
	type waits struct {
		Email string    `json:"email"`
		Name  string    `json:"name"`
		Asked time.Time `json:"asked_at"`
	}
	out := []waits{}
	err := d.change(c.Context(), p.tenant, func(x *store.Tx) error {
		list, err := x.ErasuresAsked(c.Context())
		for _, a := range list {
			out = append(out, waits{a.User.Email, a.User.Name(), a.Since.UTC()})
		}
		return err
	})
	if err != nil {
		return err
	}
	return d.print(c, out, func(w io.Writer) {
		if len(out) == 0 {
			fmt.Fprintf(w, "nobody at %s has asked to be erased\n", p.tenant)
			return
		}
		fmt.Fprintln(w, "E-MAIL\tNAME\tASKED")
		for _, a := range out {
			fmt.Fprintf(w, "%s\t%s\t%s\n", a.Email, a.Name, stamp(a.Asked))
		}
	})
}
