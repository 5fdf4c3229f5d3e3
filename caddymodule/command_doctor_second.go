package caddymodule

import (
	"context"
	"fmt"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// examineSecond says what the tenants' second steps mean.
func (d *doctor) examineSecond(ctx context.Context, s *store.Store, rows []tenantRow) {
	for _, r := range rows {
		var (
			p    portal.MFAPolicy
			list []store.Impact
		)
		err := s.Within(ctx, r.ID, time.Now(), func(x *store.Tx) (err error) {
			t, err := s.Tenant(ctx, r.ID, time.Now())
			if err != nil {
				return err
			}
			p = t.MFA
			list, err = x.Impacts(ctx, p)
			return err
		})
		if err != nil {
			d.found.add("second steps", wrong, "%s: %v", r.Slug, explained(err))
			continue
		}
		off, claimed, holding := 0, 0, 0
		for _, i := range list {
			if claimed, holding = claimed+i.Claimed, holding+i.Holding; p.For(i.Role, "") == portal.MFAOff {
				off += i.Holding
			}
		}
		if off > 0 {
			d.found.add("second steps", note, "%s: off; the second steps of %s are not asked for; `portalgate policy set mfa optional --tenant %s`", r.Slug, persons(off), r.Slug)
		}
		if claimed > 0 {
			d.found.add("second steps", note, "%s: the ERP says of %s that they have one; a real secret is taken over with its first right code, everybody else is led through adding one", r.Slug, persons(claimed))
		}
		if p.Paused {
			d.found.add("second steps", note, "%s: paused, nobody is led through adding one; `portalgate policy pause --tenant %s --resume`", r.Slug, r.Slug)
		}
		if p.EmailCodes {
			d.found.add("second steps", note, "%s: codes by mail are on: whoever reads the mail has the code and can set the password anew, which is why NIST SP 800-63B-4 section 3.1.3.1 does not let them count; they open no path that has `require mfa`", r.Slug)
		}
		if p.SMSCodes {
			d.found.add("second steps", note, "%s: codes by text message are on: a number can be taken over at its operator, which is why NIST SP 800-63B-4 section 3.1.3.3 restricts them; without an `sms` block in the configuration none leaves", r.Slug)
		}
	}
}

func persons(n int) string {
	if n == 1 {
		return "1 person"
	}
	return fmt.Sprintf("%d people", n)
}
