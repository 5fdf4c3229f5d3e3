package caddymodule

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/portal"
)

func mailCaptured() *cobra.Command {
	var (
		d          desk
		tenant, id string
		html       bool
	)
	c := command("captured", "Shows the mails and text messages that the provider `capture` has kept in place of sending them", "  portalgate mail captured --tenant acme\n  portalgate mail captured --tenant acme --id 0b8c…", takes(), func(c *cobra.Command, _ []string) error {
		keys, err := d.keys()
		if err != nil {
			return err
		}
		if html && id == "" {
			return fmt.Errorf("--html is for one mail: give --id; `portalgate mail captured --tenant %s` lists them", orNone(tenant, "SLUG"))
		}
		s, err := d.open(c.Context())
		if err != nil {
			return err
		}
		defer s.Close()
		t, err := find(c.Context(), s, tenant)
		if err != nil {
			return err
		}
		mails, err := captured(c.Context(), s, keys, t, id, time.Now())
		if err != nil {
			return explained(err)
		}
		if id == "" {
			return d.print(c, mails, func(w io.Writer) { listCaptured(w, mails) })
		}
		if len(mails) == 0 {
			return fmt.Errorf("no captured mail %s; they are kept for 7 days, and the newest 1000 of a tenant", id)
		}
		m := mails[0]
		if m.Problem != "" {
			return fmt.Errorf("the mail %s is %s", m.ID, m.Problem)
		}
		if d.json {
			return d.print(c, m, nil)
		}
		return showCaptured(c.OutOrStdout(), m, html)
	})
	c.Flags().StringVar(&tenant, "tenant", "", "slug of the tenant")
	c.Flags().StringVar(&id, "id", "", "show this mail; without it the newest are listed")
	c.Flags().BoolVar(&html, "html", false, "show the HTML part alone")
	d.flags(c, true, true)
	return c
}

func listCaptured(w io.Writer, mails []capturedMail) {
	if len(mails) == 0 {
		fmt.Fprintln(w, "no mail was captured in the last 7 days; mails are kept where the configuration has `mail { capture trial }`")
		return
	}
	fmt.Fprintln(w, "MAIL\tAT\tKIND\tTO\tSUBJECT")
	for _, m := range mails {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", m.ID, m.At.UTC().Format("2006-01-02 15:04:05Z"), m.Kind, orNone(m.To, "-"), printable(m.title()))
	}
	if len(mails) == capturedShown {
		fmt.Fprintf(w, "\nthe newest %d; --id shows any other\n", capturedShown)
	}
}

// title is what a list calls a captured mail.
func (m capturedMail) title() string {
	if m.Kind == portal.LetterTextCode && m.Problem == "" {
		return "(a text message)"
	}
	return orNone(m.Subject, m.Problem)
}

func showCaptured(w io.Writer, m capturedMail, html bool) (err error) {
	if html {
		_, err = io.WriteString(w, m.HTML)
		return err
	}
	if m.Kind == portal.LetterTextCode {
		_, err = fmt.Fprintf(w, "To: %s\nDate: %s\n\n%s\n", printable(m.To), m.At.UTC().Format(time.RFC3339), printable(m.Text))
		return err
	}
	head := "From: " + m.From
	if m.ReplyTo != "" {
		head += "\nReply-To: " + m.ReplyTo
	}
	_, err = fmt.Fprintf(w, "%s\nTo: %s\nSubject: %s\nDate: %s\n\n%s", printable(head), printable(m.To), printable(m.Subject), m.At.UTC().Format(time.RFC3339), printable(m.Text))
	return err
}

// printable is a text without what a terminal would take for orders: a person's name may stand in a mail.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
}
