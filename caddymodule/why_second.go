package caddymodule

import (
	"context"
	"fmt"
	"strings"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

const tellCodes = "After several wrong codes the second step pauses for a while. A passkey works all the same, and so does a browser in which you have signed in before."

// ofSecond says what is known of a person's second step, and whether guesses at it rest.
func (k *clerk) ofSecond(ctx context.Context, x *store.Tx, t portal.Tenant, email portal.Email, rows []store.Account) ([]obstacle, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	factors, err := x.FactorsOf(ctx, rows[0].User.ID)
	if err != nil {
		return nil, err
	}
	claims, err := x.Claims(ctx, rows[0].User.ID)
	if err != nil {
		return nil, err
	}
	has := "no second step"
	if kinds := factorKinds(factors); kinds != "" {
		has = "as second steps " + kinds
	}
	asks := orNone(string(t.MFA.Default), "what the configuration says")
	if r := rolesOf(t.MFA); r != "" {
		asks += ", and by role " + r
	}
	says := fmt.Sprintf("the person has %s; the tenant asks %s", has, asks)
	if t.MFA.Paused {
		says += "; nobody is led through adding one, because that is paused"
	}
	out := []obstacle{{Rule: auth.RuleSecond, Says: says}}
	for _, f := range factors {
		if off := f.Facts["clock"]; off != "" && off != "+0" {
			out = append(out, obstacle{Rule: auth.RuleSecond, Says: fmt.Sprintf("the clock of the device behind %q is off by %s", f.Name, off),
				Tell: "Set the time of your device automatically. Its codes fit again then."})
		}
		if !t.MFA.Allows(f.Kind) {
			out = append(out, obstacle{Rule: auth.RuleSecond, Says: fmt.Sprintf("%q is of the kind %s, which the tenant does not take", f.Name, f.Kind), Command: fmt.Sprintf("portalgate policy set %s-codes on --tenant %s", f.Kind, t.Slug)})
		}
	}
	if len(factors) > 0 {
		out[0].Command = fmt.Sprintf("portalgate user reset-mfa --tenant %s --email %s, for somebody who has lost them", t.Slug, email)
	}
	if claims {
		out = append(out, obstacle{Rule: auth.RuleSecond, Says: "the ERP says that there is a second step: a real secret is asked for a code, anything else never was one, and the person is led through adding one at the next sign-in"})
	}
	return out, nil
}

// ofCodes says whether a purse of guesses at second steps rests.
func (k *clerk) ofCodes(slug string, email portal.Email, l portal.Lockout, device, known bool) []obstacle {
	where := "in browsers that are new to the account"
	if device {
		where = "in a browser that the account knows"
	}
	help := fmt.Sprintf("portalgate user unlock --tenant %s --email %s", slug, email)
	if !known {
		help = fmt.Sprintf("portalgate limits clear --tenant %s --email %s", slug, email)
	}
	wait, resting := l.Resting(k.now())
	switch {
	case k.store.Lockout().Closed(l):
		return []obstacle{{Stops: true, Rule: auth.RuleSecond, Says: fmt.Sprintf("codes are not taken %s after %d wrong ones, the last at %s, until they are unlocked or the second steps taken away", where, l.Failures, stamp(l.LastFailure)), Command: help, Tell: tellCodes}}
	case resting:
		return []obstacle{{Stops: true, Rule: auth.RuleSecond, Until: moment(l.RestsUntil), Says: fmt.Sprintf("codes are not taken %s for %s more, after %s", where, short(wait), count(l.Failures, "wrong code")), Command: help, Tell: tellCodes}}
	case l.Failures > 0:
		return []obstacle{{Rule: auth.RuleSecond, Says: fmt.Sprintf("%s %s, the last at %s; nothing pauses", count(l.Failures, "wrong code"), where, stamp(l.LastFailure))}}
	}
	return nil
}

// purse says what a purse is of, by its name.
func (k *clerk) purse(slug string, email portal.Email, name string, l portal.Lockout, known bool) []obstacle {
	if device, second := strings.CutPrefix(name, store.SecondPurse); second {
		return k.ofCodes(slug, email, l, device != "", known)
	}
	return k.ofPurse(slug, email, l, name != "", known)
}
