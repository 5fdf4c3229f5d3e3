package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
)

type letterRow struct {
	ID      portal.LetterID   `json:"id"`
	Kind    portal.LetterKind `json:"kind"`
	To      string            `json:"to,omitempty"`
	State   string            `json:"state"`
	Tries   int               `json:"tries"`
	Next    *time.Time        `json:"next_try_at,omitempty"`
	Created time.Time         `json:"created_at"`
	Error   string            `json:"last_error,omitempty"`
}

func mailQueue() *cobra.Command {
	var (
		d             desk
		tenant, state string
	)
	c := command("queue", "Lists letters: those that wait, and those that could not be delivered", "  portalgate mail queue --tenant acme\n  portalgate mail queue --tenant acme --state failed --json", takes(), func(c *cobra.Command, _ []string) error {
		switch state {
		case "", "waiting", "failed", "sent", "dropped":
		default:
			return fmt.Errorf("%q is no state; waiting, failed, sent or dropped", state)
		}
		var keys *secret.Keyring
		if d.keyring != "" {
			var err error
			if keys, err = d.keys(); err != nil {
				return err
			}
		}
		rows := []letterRow{}
		err := d.within(c.Context(), tenant, func(t portal.TenantID, x *store.Tx) error {
			states := []string{state}
			if state == "" {
				states = []string{"waiting", "failed"}
			}
			for _, s := range states {
				list, err := x.Letters(c.Context(), s, 500)
				if err != nil {
					return err
				}
				for _, q := range list {
					r := letterRow{ID: q.ID, Kind: q.Kind, State: q.State, Tries: q.Tries, Created: q.CreatedAt, Error: q.LastError}
					if q.State == "waiting" {
						r.Next = &q.At
					}
					if keys != nil && q.Address != "" {
						if to, err := auth.OpenAddress(keys, t, q, time.Now()); err == nil { // of another keyring: it stays sealed
							r.To = string(to)
						}
					}
					rows = append(rows, r)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		return d.print(c, rows, func(w io.Writer) {
			if len(rows) == 0 {
				fmt.Fprintln(w, "no letter waits, and none could not be delivered")
				return
			}
			fmt.Fprintln(w, "LETTER\tKIND\tTO\tSTATE\tTRIES\tNEXT TRY\tLAST ERROR")
			for _, r := range rows {
				next := ""
				if r.Next != nil {
					next = r.Next.UTC().Format("2006-01-02 15:04:05Z")
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", r.ID, r.Kind, orNone(r.To, "-"), r.State, r.Tries, next, r.Error)
			}
			if keys == nil {
				fmt.Fprintln(w, "\naddresses are sealed; --keyring shows them")
			}
		})
	})
	c.Flags().StringVar(&tenant, "tenant", "", "slug of the tenant")
	c.Flags().StringVar(&state, "state", "", "waiting, failed, sent or dropped (default waiting and failed)")
	d.flags(c, true, true)
	return c
}

// leaving is when a letter in the queue does so: a command knows the database, and not who sends.
const leaving = "leaves within seconds where a gateway with a mail provider runs"

func mailRetry() *cobra.Command {
	var (
		d          desk
		tenant, id string
		all        bool
	)
	c := command("retry", "Sends letters again that could not be delivered, and lets those that wait for another try leave now", "  portalgate mail retry --tenant acme --id 0b8c…\n  portalgate mail retry --tenant acme --all", takes(), func(c *cobra.Command, _ []string) error {
		if all == (id != "") {
			return errors.New("which letters? give --id, or --all")
		}
		var letter portal.LetterID
		if id != "" {
			var err error
			if letter, err = portal.ParseID[portal.LetterID](id); err != nil {
				return fmt.Errorf("%q is no letter's id; `portalgate mail queue --tenant %s` shows them", id, tenant)
			}
		}
		n := int64(0)
		err := d.change(c.Context(), tenant, func(x *store.Tx) (err error) {
			n, err = x.RetryLetters(c.Context(), letter, d.by())
			return err
		})
		if err != nil {
			return err
		}
		if n == 0 && id != "" {
			return fmt.Errorf("no letter %s waits or could not be delivered; what was sent or dropped is erased", id)
		}
		return d.print(c, map[string]any{"tenant": tenant, "letters": n}, func(w io.Writer) {
			fmt.Fprintf(w, "%s in the queue again, and %s\n", count(int(n), "letter"), leaving)
		})
	})
	c.Flags().StringVar(&tenant, "tenant", "", "slug of the tenant")
	c.Flags().StringVar(&id, "id", "", "one letter")
	c.Flags().BoolVar(&all, "all", false, "every letter that could not be delivered or waits")
	d.flags(c, true, false)
	d.deed(c)
	return c
}
