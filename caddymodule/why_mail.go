package caddymodule

import (
	"context"
	"fmt"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// ofMail says what of a person waits for a mail, or cannot be mailed.
func (k *clerk) ofMail(ctx context.Context, x *store.Tx, slug string, _ portal.Email, rows []store.Account, out []obstacle) ([]obstacle, error) {
	for _, a := range rows {
		waiting, err := x.Recoveries(ctx, portal.RecoveryWaits, a.User.ID, 1)
		if err != nil {
			return nil, err
		}
		for _, r := range waiting {
			out = append(out, obstacle{Rule: "recovery", Until: moment(r.DueAt), Says: fmt.Sprintf("%s has begun a recovery at %s; it is carried out at %s", r.BegunBy, stamp(r.BegunAt), stamp(r.DueAt)),
				Command: fmt.Sprintf("portalgate user recover stop --tenant %s --id %s", slug, r.ID), Tell: "Both addresses have a mail with which the recovery can be stopped."})
		}
	}
	return out, nil
}
