package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// mailBounce takes what comes into the mailbox that mails are sent from. What is no report, or none about us, is passed
// over without an error: the mail server that pipes it here would send the error to whoever wrote it.
func mailBounce() *cobra.Command {
	var (
		d      desk
		tenant string
	)
	c := command("bounce", "Reads a delivery report or a complaint from standard input, as a mailbox pipes it; an address that is dead, or complains, gets no more mail",
		"  portalgate mail bounce --tenant acme < message.eml\n  |\"/usr/local/bin/portalgate mail bounce --tenant acme\"   # in a mailbox's .forward", takes(), func(c *cobra.Command, _ []string) error {
			keys, err := d.keys()
			if err != nil {
				return err
			}
			r, err := mail.ReadReport(c.InOrStdin())
			if err != nil && !errors.Is(err, mail.ErrNoReport) {
				return err
			}
			heard, to := auth.HeardNothing, portal.Email("")
			if err == nil {
				err = d.within(c.Context(), tenant, func(t portal.TenantID, x *store.Tx) (err error) {
					heard, to, err = auth.Heed(c.Context(), x, keys, t, r, d.by())
					return err
				})
				if err != nil {
					return err
				}
			}
			letter, _, _ := strings.Cut(r.MessageID, "@")
			did := map[auth.Heard]string{
				auth.HeardNothing:    "passed over: it is no report about a mail of ours",
				auth.HeardNoted:      fmt.Sprintf("noted: letter %s was not delivered (%s); that says nothing about the next one", letter, orNone(r.Status, "it may be yet")),
				auth.HeardSuppressed: "no more mail is sent to " + string(to),
				auth.HeardKnown:      "known already: no mail is sent to " + string(to),
			}[heard]
			return d.print(c, map[string]any{"tenant": tenant, "letter": letter, "email": to, "dead": r.Dead, "complaint": r.Complaint, "status": r.Status}, func(w io.Writer) { fmt.Fprintln(w, did) })
		})
	c.Flags().StringVar(&tenant, "tenant", "", "slug of the tenant")
	d.flags(c, true, true)
	d.deed(c)
	return c
}

func mailSuppressed() *cobra.Command {
	return group("suppressed", "Lists the addresses that no mail is sent to any more, and lets mail go there again", "  portalgate mail suppressed list --tenant acme\n  portalgate mail suppressed remove --tenant acme --email ann@buyer.example --reason \"mailbox is back\"",
		suppressedList(), suppressedRemove())
}

type suppressionRow struct {
	Email  portal.Email    `json:"email"`
	Cause  string          `json:"cause"`
	Detail string          `json:"detail,omitempty"`
	Letter portal.LetterID `json:"letter"`
	Since  time.Time       `json:"since"`
}

func suppressedList() *cobra.Command {
	var (
		d      desk
		tenant string
	)
	c := command("list", "Lists the addresses that no mail is sent to, and why", "  portalgate mail suppressed list --tenant acme", takes(), func(c *cobra.Command, _ []string) error {
		keys, err := d.keys()
		if err != nil {
			return err
		}
		rows := []suppressionRow{}
		err = d.within(c.Context(), tenant, func(t portal.TenantID, x *store.Tx) error {
			list, err := x.Suppressions(c.Context(), 1000)
			if err != nil {
				return err
			}
			for _, s := range list {
				e, err := auth.OpenSuppression(keys, t, s, x.Now())
				if err != nil {
					return err
				}
				rows = append(rows, suppressionRow{e, s.Cause, s.Detail, s.Letter, s.At})
			}
			return nil
		})
		if err != nil {
			return err
		}
		return d.print(c, rows, func(w io.Writer) {
			if len(rows) == 0 {
				fmt.Fprintln(w, "mail is sent to every address")
				return
			}
			fmt.Fprintln(w, "E-MAIL\tCAUSE\tSTATUS\tSINCE\tLETTER")
			for _, r := range rows {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Email, r.Cause, orNone(r.Detail, "-"), stamp(r.Since), r.Letter)
			}
		})
	})
	c.Flags().StringVar(&tenant, "tenant", "", "slug of the tenant")
	d.flags(c, true, true)
	return c
}

func suppressedRemove() *cobra.Command {
	var (
		d desk
		p who
	)
	c := command("remove", "Lets mail go to an address again", "  portalgate mail suppressed remove --tenant acme --email ann@buyer.example --reason \"mailbox is back\"", takes(), func(c *cobra.Command, _ []string) error {
		email, err := p.parse()
		if err != nil {
			return err
		}
		err = d.change(c.Context(), p.tenant, func(x *store.Tx) error {
			ok, err := x.Unsuppress(c.Context(), email, d.by())
			if err == nil && !ok {
				return fmt.Errorf("%s is not on the list of tenant %s", email, p.tenant)
			}
			return err
		})
		if err != nil {
			return err
		}
		return d.print(c, map[string]any{"tenant": p.tenant, "email": email}, func(w io.Writer) { fmt.Fprintf(w, "mail goes to %s again\n", email) })
	})
	d.flags(c, true, false)
	d.deed(c)
	p.flags(c)
	return c
}
