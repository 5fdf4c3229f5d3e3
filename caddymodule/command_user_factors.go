package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// userResetMFA takes a person's second steps away.
func userResetMFA() *cobra.Command {
	var (
		d desk
		p who
	)
	c := command("reset-mfa", "Takes every second step of a person away and ends their sessions; they are told by mail. Make sure first that it is them",
		"  portalgate user reset-mfa --tenant acme --email ann@buyer.example --operator olga --reason \"telephone lost, called back at the number on file\"", takes(), func(c *cobra.Command, _ []string) error {
			email, err := p.parse()
			if err != nil {
				return err
			}
			if strings.TrimSpace(d.operator) == "" || strings.TrimSpace(d.reason) == "" {
				return errors.New("how do you know that it is them? give --reason, and --operator; both stay in the trail")
			}
			keys, err := d.keys()
			if err != nil {
				return err
			}
			var (
				gone  int64
				ended int
			)
			err = d.within(c.Context(), p.tenant, func(t portal.TenantID, x *store.Tx) error {
				rows, err := x.Named(c.Context(), email)
				if err != nil {
					return err
				}
				if len(rows) == 0 {
					return fmt.Errorf("tenant %s knows nobody with the address %s", p.tenant, email)
				}
				var ids []portal.UserID
				for _, a := range rows {
					ids = append(ids, a.User.ID)
				}
				if err := x.TakeTurns(c.Context(), ids); err != nil {
					return err
				}
				claims, err := x.Claims(c.Context(), ids[0])
				if err != nil {
					return err
				}
				if gone, err = x.ResetFactors(c.Context(), ids[0], email, d.by()); err != nil {
					return err
				}
				if gone == 0 && !claims {
					return fmt.Errorf("%s: %w; `portalgate why %s --tenant %s` says what stands in their way", email, store.ErrNoFactor, email, p.tenant)
				}
				over, err := x.EndSessions(c.Context(), ids, "", portal.EndFactor)
				if err != nil {
					return err
				}
				ended = len(over)
				u := rows[0].User
				q, err := auth.Seal(keys, t, portal.Letter{Kind: portal.LetterFactor, User: u.ID, To: email, Language: u.Language, Once: string(u.ID),
					Facts: map[string]string{"at": x.Now().UTC().Format(time.RFC3339), "what": "two_step_off"}}, x.Now())
				if err != nil {
					return err
				}
				return x.Post(c.Context(), q)
			})
			if err != nil {
				return err
			}
			return d.print(c, map[string]any{"email": email, "tenant": p.tenant, "second_steps_removed": gone, "sessions_ended": ended}, func(w io.Writer) {
				fmt.Fprintf(w, "%s of %s taken away, %s ended; a notice to them is queued\n", count(int(gone), "second step"), email, count(ended, "session"))
				fmt.Fprintln(w, "at the next sign-in the password alone is asked; where a second step is required they are led through adding one")
			})
		})
	d.flags(c, true, true)
	d.deed(c)
	p.flags(c)
	return c
}

// factorRow is a second step as an operator sees it.
type factorRow struct {
	Kind    portal.FactorKind `json:"kind"`
	Name    string            `json:"name"`
	Created time.Time         `json:"created_at"`
	Used    *time.Time        `json:"used_at"`
	Clock   string            `json:"clock,omitempty"` // how far the device's clock is off
	Left    string            `json:"left,omitempty"`  // of backup codes
}

func factorRows(list []portal.Factor) (out []factorRow) {
	for _, f := range list {
		out = append(out, factorRow{f.Kind, f.Name, f.CreatedAt.UTC(), moment(f.UsedAt), strings.TrimPrefix(f.Facts["clock"], "+0"), f.Facts["left"]})
	}
	return out
}

func (r factorRow) String() string {
	used := "never used"
	if r.Used != nil {
		used = "used " + stamp(*r.Used)
	}
	out := fmt.Sprintf("%s %q, added %s, %s", r.Kind, r.Name, stamp(r.Created), used)
	if r.Left != "" {
		out += ", " + r.Left + " left"
	}
	if r.Clock != "" {
		out += ", its clock is off by " + r.Clock
	}
	return out
}

// factorKinds lists the kinds of somebody's second steps.
func factorKinds(list []portal.Factor) string {
	var out []string
	for _, f := range list {
		if !slices.Contains(out, string(f.Kind)) {
			out = append(out, string(f.Kind))
		}
	}
	return strings.Join(out, ", ")
}
