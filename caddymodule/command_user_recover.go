package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
)

func userRecover() *cobra.Command {
	var (
		d  desk
		p  who
		to string
	)
	c := command("recover", "Mails a person a link to a new password; with --to opens the account of somebody who has lost everything, after a day in which it can be stopped",
		"  portalgate user recover --tenant acme --email ann@buyer.example --reason \"called, forgot it\"\n"+
			"  portalgate user recover --tenant acme --email ann@buyer.example --to ann@elsewhere.example --operator olga --reason \"passport shown, called back at the number on file\"\n"+
			"  portalgate user recover confirm --tenant acme --id 0b8c… --operator otto --reason \"looked at the same papers\"", takes(), func(c *cobra.Command, _ []string) error {
			email, err := p.parse()
			if err != nil {
				return err
			}
			keys, err := d.keys()
			if err != nil {
				return err
			}
			if c.Flags().Changed("to") {
				return d.beginRecovery(c, keys, p, email, to)
			}
			err = d.within(c.Context(), p.tenant, func(t portal.TenantID, x *store.Tx) error {
				a, err := recoverable(c.Context(), x, p.tenant, email)
				if err != nil {
					return err
				}
				q, err := auth.Seal(keys, t, portal.Letter{Kind: portal.LetterRecover, To: email, Language: a.User.Language, Facts: map[string]string{}}, x.Now())
				if err != nil {
					return err
				}
				return errors.Join(x.Post(c.Context(), q), x.Recovers(c.Context(), a.User.ID, d.by()))
			})
			if err != nil {
				return err
			}
			return d.print(c, map[string]any{"email": email, "tenant": p.tenant, "mailed": true}, func(w io.Writer) {
				fmt.Fprintf(w, "a link to a new password is queued for %s, and %s; it works for an hour\n", email, leaving)
			})
		})
	d.flags(c, true, true)
	d.deed(c)
	p.flags(c)
	c.Flags().StringVar(&to, "to", "", "address that the account is to have, for somebody who has no way into the present one; waits 24 hours")
	c.Annotations = map[string]string{acts: "yes"}
	c.AddCommand(recoverList(), recoverConfirm(), recoverStop())
	return c
}

// recoverable is the row of a person who may have a new password.
func recoverable(ctx context.Context, x *store.Tx, slug string, email portal.Email) (store.Account, error) {
	rows, err := x.Named(ctx, email)
	if err != nil {
		return store.Account{}, err
	}
	i := slices.IndexFunc(rows, func(a store.Account) bool { return a.User.Active && !a.Secret.Missing })
	if i < 0 {
		return store.Account{}, fmt.Errorf("tenant %s has nobody with the address %s who may sign in with a password; `portalgate user show --tenant %s --email %s`", slug, email, slug, email)
	}
	return rows[i], nil
}

// beginRecovery begins the recovery of somebody who has no way into their mailbox either.
func (d *desk) beginRecovery(c *cobra.Command, keys *secret.Keyring, p who, email portal.Email, wanted string) error {
	to, err := portal.ParseEmail(wanted)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not one plain e-mail address", wanted)
	case to == email:
		return fmt.Errorf("%s is the address already; without --to a link to a new password goes there at once", email)
	case strings.TrimSpace(d.operator) == "":
		return errors.New("who does this? give --operator")
	case strings.TrimSpace(d.reason) == "":
		return errors.New("how do you know that it is them? give --reason; it stays in the trail")
	}
	var r portal.Recovery
	err = d.within(c.Context(), p.tenant, func(t portal.TenantID, x *store.Tx) error {
		a, err := recoverable(c.Context(), x, p.tenant, email)
		if err != nil {
			return err
		}
		if rows, err := x.Named(c.Context(), to); err != nil {
			return err
		} else if len(rows) > 0 {
			return fmt.Errorf("somebody has the address %s in this portal already; `portalgate user show --tenant %s --email %s`", to, p.tenant, to)
		}
		if dead, err := x.IsSuppressed(c.Context(), to); err != nil {
			return err
		} else if dead {
			return fmt.Errorf("mail to %s comes back; `portalgate why %s --tenant %s`", to, to, p.tenant)
		}
		r, err = auth.BeginRecovery(c.Context(), x, keys, t, a.User, email, to, d.by())
		return err
	})
	var taken *store.TakenError
	if errors.As(err, &taken) {
		return fmt.Errorf("a recovery of %s waits already; `portalgate user recover list --tenant %s` shows it, `portalgate user recover stop` ends it", email, p.tenant)
	}
	if err != nil {
		return err
	}
	return d.print(c, map[string]any{"id": r.ID, "tenant": p.tenant, "from": email, "to": to, "due_at": r.DueAt.UTC()}, func(w io.Writer) {
		fmt.Fprintf(w, "recovery %s waits until %s; both addresses are told and can stop it\nthen a link to a new password goes to %s, and to nobody else\na second operator ends the wait with `portalgate user recover confirm --tenant %s --id %s`\n",
			r.ID, stamp(r.DueAt), to, p.tenant, r.ID)
	})
}

type recoveryRow struct {
	ID        portal.RecoveryID    `json:"id"`
	User      portal.UserID        `json:"user"`
	From      portal.Email         `json:"from,omitempty"`
	To        portal.Email         `json:"to,omitempty"`
	State     portal.RecoveryState `json:"state"`
	BegunBy   string               `json:"begun_by"`
	Reason    string               `json:"reason"`
	BegunAt   time.Time            `json:"begun_at"`
	DueAt     time.Time            `json:"due_at"`
	Confirmed string               `json:"confirmed_by,omitempty"`
	EndedBy   string               `json:"ended_by,omitempty"`
	EndedAt   *time.Time           `json:"ended_at,omitempty"`
	Why       string               `json:"why,omitempty"`
}

func recoverList() *cobra.Command {
	var (
		d      desk
		tenant string
		all    bool
	)
	c := command("list", "Lists the recoveries that wait", "  portalgate user recover list --tenant acme\n  portalgate user recover list --tenant acme --all --json", takes(), func(c *cobra.Command, _ []string) error {
		var keys *secret.Keyring
		if d.keyring != "" {
			var err error
			if keys, err = d.keys(); err != nil {
				return err
			}
		}
		rows := []recoveryRow{}
		err := d.within(c.Context(), tenant, func(t portal.TenantID, x *store.Tx) error {
			state := portal.RecoveryWaits
			if all {
				state = ""
			}
			list, err := x.Recoveries(c.Context(), state, "", 500)
			if err != nil {
				return err
			}
			for _, r := range list {
				if keys != nil {
					if err := auth.OpenRecovery(keys, t, &r, x.Now()); err != nil {
						return err
					}
				}
				rows = append(rows, recoveryRow{r.ID, r.User, r.From, r.To, r.State, r.BegunBy, r.Reason, r.BegunAt, r.DueAt, r.ConfirmedBy, r.EndedBy, moment(r.EndedAt), r.Why})
			}
			return nil
		})
		if err != nil {
			return err
		}
		return d.print(c, rows, func(w io.Writer) {
			if len(rows) == 0 {
				fmt.Fprintln(w, "no recovery waits")
				return
			}
			fmt.Fprintln(w, "RECOVERY\tSTATE\tFROM\tTO\tBEGUN BY\tDUE\tCONFIRMED BY\tREASON\tWHY")
			for _, r := range rows {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.State, orNone(string(r.From), "-"), orNone(string(r.To), "-"), r.BegunBy, stamp(r.DueAt), orNone(r.Confirmed, "-"), r.Reason, orNone(r.Why, r.EndedBy))
			}
			if keys == nil {
				fmt.Fprintln(w, "\naddresses are sealed; --keyring shows those of recoveries that wait")
			}
		})
	})
	c.Flags().StringVar(&tenant, "tenant", "", "slug of the tenant")
	c.Flags().BoolVar(&all, "all", false, "those that are over as well")
	d.flags(c, true, true)
	return c
}

func recoverConfirm() *cobra.Command {
	return recoverAct("confirm", "Ends the wait of a recovery, as a second operator", "the account is opened within seconds where a gateway runs, and the link goes to the new address",
		func(c *cobra.Command, x *store.Tx, r store.Recovery, d store.Deed) error {
			if store.SameOperator(r.BegunBy, d.Operator) {
				return fmt.Errorf("%s has begun this recovery; somebody else has to confirm it, or it waits until %s", r.BegunBy, stamp(r.DueAt))
			}
			if !r.ConfirmedAt.IsZero() {
				return fmt.Errorf("%s has confirmed it already", r.ConfirmedBy)
			}
			ok, err := x.ConfirmRecovery(c.Context(), r, d)
			return orOver(ok, err)
		})
}

func recoverStop() *cobra.Command {
	return recoverAct("stop", "Stops a recovery; the account stays as it is", "the recovery is stopped, and the account is as it was",
		func(c *cobra.Command, x *store.Tx, r store.Recovery, d store.Deed) error {
			ok, err := x.StopRecovery(c.Context(), r, d)
			return orOver(ok, err)
		})
}

func orOver(ok bool, err error) error {
	if err == nil && !ok {
		return errors.New("it is over at this moment")
	}
	return err
}

// recoverAct makes a command that does something with a recovery that waits.
func recoverAct(name, short, done string, act func(*cobra.Command, *store.Tx, store.Recovery, store.Deed) error) *cobra.Command {
	var (
		d          desk
		tenant, id string
	)
	c := command(name, short, fmt.Sprintf("  portalgate user recover %s --tenant acme --id 0b8c… --operator otto --reason \"called back\"", name), takes(), func(c *cobra.Command, _ []string) error {
		if id == "" || tenant == "" {
			return errors.New("which recovery? give --tenant and --id; `portalgate user recover list --tenant TENANT` shows them")
		}
		which, err := portal.ParseID[portal.RecoveryID](id)
		if err != nil {
			return fmt.Errorf("%q is no recovery's id; `portalgate user recover list --tenant %s` shows them", id, tenant)
		}
		if strings.TrimSpace(d.operator) == "" || strings.TrimSpace(d.reason) == "" {
			return errors.New("who does this, and why? give --operator and --reason")
		}
		err = d.change(c.Context(), tenant, func(x *store.Tx) error {
			r, err := x.Recovery(c.Context(), which)
			if errors.Is(err, store.ErrNone) {
				return fmt.Errorf("tenant %s has no recovery %s", tenant, which)
			}
			if err != nil {
				return err
			}
			if r.State != portal.RecoveryWaits {
				return fmt.Errorf("the recovery waits no more: it is %s since %s", r.State, stamp(r.EndedAt))
			}
			return act(c, x, r, d.by())
		})
		if err != nil {
			return err
		}
		return d.print(c, map[string]any{"id": which, "tenant": tenant, "done": name}, func(w io.Writer) { fmt.Fprintln(w, done) })
	})
	c.Flags().StringVar(&tenant, "tenant", "", "slug of the tenant")
	c.Flags().StringVar(&id, "id", "", "the recovery")
	d.flags(c, true, false)
	d.deed(c)
	return c
}
