package caddymodule

import (
	"context"
	"errors"
	"fmt"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// ofMail says what of a person waits for a mail, or cannot be mailed.
func (k *clerk) ofMail(ctx context.Context, x *store.Tx, slug string, email portal.Email, rows []store.Account, out []obstacle) ([]obstacle, error) {
	switch s, err := x.Suppressed(ctx, email); {
	case err == nil:
		out = append(out, obstacle{Stops: true, Rule: "mail_suppressed", Says: fmt.Sprintf("no mail is sent to this address since %s: %s", stamp(s.At), said(s)),
			Command: fmt.Sprintf("portalgate mail suppressed remove --tenant %s --email %s", slug, email), Tell: "Our mails to this address came back. Please see whether the mailbox exists and takes mail."})
	case !errors.Is(err, store.ErrNone):
		return nil, err
	}
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

// said is why mail to an address was stopped.
func said(s store.Suppression) string {
	if s.Cause == "complaint" {
		return "its owner called one of our mails unwanted"
	}
	return fmt.Sprintf("a mail came back for good (%s)", s.Detail)
}
