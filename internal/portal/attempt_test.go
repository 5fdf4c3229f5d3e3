package portal

import (
	"testing"
	"time"
)

// The whole sign-in in one table.
func TestNextSaysWhatASignInNeeds(t *testing.T) {
	t.Parallel()
	one, two := []UserID{"a"}, []UserID{"a", "b"}
	pwd, both, key, mailed := []AMR{AMRPassword}, []AMR{AMRPassword, AMROTP, AMRMulti}, []AMR{AMRWebAuthn, AMRMulti}, []AMR{AMRPassword, AMREmail}
	app := []FactorKind{FactorTOTP, FactorBackup}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	can := func(but func(*Situation)) Situation {
		s := Situation{MFA: MFAOptional, Now: now, Grace: now, Passkeys: true, Makes: true, Known: now.Add(-KnownFor)}
		if but != nil {
			but(&s)
		}
		return s
	}
	for _, c := range []struct {
		why  string
		at   Attempt
		sit  Situation
		want Step
	}{
		{"nothing is missing", Attempt{Users: one, Verified: true, Shown: pwd}, Situation{MFA: MFAOptional}, StepDone},
		{"several companies", Attempt{Users: two, Verified: true, Shown: pwd}, Situation{MFA: MFAOptional}, StepChoose},
		{"the mailbox was never proved", Attempt{Users: one, Shown: pwd}, Situation{MFA: MFAOptional}, StepConfirmAddress},
		{"nor here", Attempt{Users: two, Shown: pwd}, Situation{MFA: MFARequired}, StepConfirmAddress},
		{"nor with an app, whoever set it up", Attempt{Users: one, Shown: pwd}, Situation{MFA: MFARequired, Factors: app}, StepConfirmAddress},
		{"a temporary password", Attempt{Users: one, Verified: true, Expired: true, Shown: pwd}, Situation{MFA: MFAOptional}, StepNewPassword},
		{"who has not proved the mailbox sets no password", Attempt{Users: one, Expired: true, Shown: pwd}, Situation{MFA: MFAOptional}, StepConfirmAddress},
		{"nothing at all", Attempt{}, Situation{}, StepConfirmAddress},

		{"an app", Attempt{Users: one, Verified: true, Shown: pwd}, Situation{MFA: MFAOptional, Factors: app}, StepSecond},
		{"an app, and several companies", Attempt{Users: two, Verified: true, Shown: pwd}, Situation{MFA: MFAOptional, Factors: app}, StepSecond},
		{"an app comes before the choice of a password", Attempt{Users: one, Verified: true, Expired: true, Shown: pwd}, Situation{MFA: MFARequired, Factors: app}, StepSecond},
		{"the app was shown", Attempt{Users: one, Verified: true, Shown: both}, Situation{MFA: MFARequired, Factors: app}, StepDone},
		{"the app was shown, and the password is a temporary one", Attempt{Users: one, Verified: true, Expired: true, Shown: both}, Situation{MFA: MFARequired, Factors: app}, StepNewPassword},
		{"a code by mail was shown", Attempt{Users: one, Verified: true, Shown: mailed}, Situation{MFA: MFARequired, Factors: []FactorKind{FactorEmail}}, StepDone},
		{"a passkey alone", Attempt{Users: two, Verified: true, Shown: key}, Situation{MFA: MFARequired, Factors: []FactorKind{FactorWebAuthn}}, StepChoose},
		{"this device is not asked", Attempt{Users: one, Verified: true, Shown: pwd}, Situation{MFA: MFAOptional, Factors: app, Trusted: true}, StepDone},
		{"this device is not asked where one is required either, because there is one", Attempt{Users: one, Verified: true, Shown: pwd}, Situation{MFA: MFARequired, Factors: app, Trusted: true}, StepDone},
		{"nobody is asked", Attempt{Users: one, Verified: true, Shown: pwd}, Situation{MFA: MFAOff, Factors: app}, StepDone},
		{"nobody is asked, and the ERP claims one", Attempt{Users: one, Verified: true, Shown: pwd}, Situation{MFA: MFAOff, Claimed: true}, StepDone},

		{"one is required, and there is none", Attempt{Users: one, Verified: true, Shown: pwd}, Situation{MFA: MFARequired, Now: now, Grace: now}, StepEnrol},
		{"one is required from tomorrow on", Attempt{Users: one, Verified: true, Shown: pwd}, Situation{MFA: MFARequired, Now: now, Grace: now.Add(time.Second)}, StepDone},
		{"a device that was not asked has no right to have none", Attempt{Users: one, Verified: true, Shown: pwd}, Situation{MFA: MFARequired, Now: now, Grace: now, Trusted: true}, StepEnrol},
		{"a temporary password is replaced before one is added", Attempt{Users: one, Verified: true, Expired: true, Shown: pwd}, Situation{MFA: MFARequired, Now: now, Grace: now}, StepNewPassword},
		{"the ERP claims one that never was", Attempt{Users: two, Verified: true, Shown: pwd}, Situation{MFA: MFAOptional, Now: now, Grace: now.Add(time.Hour), Claimed: true}, StepEnrol},

		{"a passkey is offered", Attempt{Users: one, Verified: true, Shown: pwd}, can(nil), StepOffer},
		{"and the company is chosen after it", Attempt{Users: two, Verified: true, Shown: pwd}, can(nil), StepOffer},
		{"beside an app, after the second step", Attempt{Users: one, Verified: true, Shown: both}, can(func(s *Situation) { s.Factors = app }), StepOffer},
		{"there the browser need not be known for a week", Attempt{Users: one, Verified: true, Shown: both}, can(func(s *Situation) { s.Factors, s.Known = app, now.Add(-time.Minute) }), StepOffer},
		{"also where one is required", Attempt{Users: one, Verified: true, Shown: both}, can(func(s *Situation) { s.Factors, s.MFA = app, MFARequired }), StepOffer},
		{"the second step comes first", Attempt{Users: one, Verified: true, Shown: pwd}, can(func(s *Situation) { s.Factors = app }), StepSecond},
		{"a temporary password comes first", Attempt{Users: one, Verified: true, Expired: true, Shown: pwd}, can(nil), StepNewPassword},
		{"the mailbox comes first", Attempt{Users: one, Shown: pwd}, can(nil), StepConfirmAddress},
		{"a claim of the ERP's comes first", Attempt{Users: one, Verified: true, Shown: pwd}, can(func(s *Situation) { s.Claimed = true }), StepEnrol},
		{"the days of grace have their own page", Attempt{Users: one, Verified: true, Shown: pwd}, can(func(s *Situation) { s.MFA, s.Grace = MFARequired, now.Add(time.Hour) }), StepDone},
		{"and after them one is added", Attempt{Users: one, Verified: true, Shown: pwd}, can(func(s *Situation) { s.MFA = MFARequired }), StepEnrol},
		{"the tenant has none of it", Attempt{Users: one, Verified: true, Shown: pwd}, can(func(s *Situation) { s.MFA = MFAOff }), StepDone},
		{"passkeys are not taken here", Attempt{Users: one, Verified: true, Shown: pwd}, can(func(s *Situation) { s.Passkeys = false }), StepDone},
		{"the browser cannot make one", Attempt{Users: two, Verified: true, Shown: pwd}, can(func(s *Situation) { s.Makes = false }), StepChoose},
		{"one was offered before", Attempt{Users: one, Verified: true, Shown: pwd}, can(func(s *Situation) { s.Offered = true }), StepDone},
		{"there is one", Attempt{Users: one, Verified: true, Shown: both}, can(func(s *Situation) { s.Factors = []FactorKind{FactorWebAuthn} }), StepDone},
		{"no password was asked for", Attempt{Users: one, Verified: true, Shown: key}, can(nil), StepDone},
		{"the browser may be a borrowed one", Attempt{Users: one, Verified: true, Shown: pwd}, can(func(s *Situation) { s.Known = time.Time{} }), StepDone},
		{"and with an app too", Attempt{Users: one, Verified: true, Shown: both}, can(func(s *Situation) { s.Factors, s.Known = app, time.Time{} }), StepDone},
		{"a second less than a week", Attempt{Users: one, Verified: true, Shown: pwd}, can(func(s *Situation) { s.Known = now.Add(time.Second - KnownFor) }), StepDone},
		{"a device that was not asked would have to show its app first", Attempt{Users: one, Verified: true, Shown: pwd}, can(func(s *Situation) { s.Factors, s.Trusted = app, true }), StepDone},
	} {
		if got := Next(c.at, c.sit); got != c.want {
			t.Errorf("%s: %s, want %s (%+v, %+v)", c.why, got, c.want, c.at, c.sit)
		}
	}
}

// Whatever else holds: nobody who has a second proof gets past it with a password, but where the tenant asks nobody or
// the device is not asked; and nobody whom it is required of gets in without one when the days are over.
func TestNobodyGetsPastASecondStepWithAPassword(t *testing.T) {
	t.Parallel()
	yes := []bool{false, true}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	seen := 0
	for _, mfa := range []MFA{MFAOff, MFAOptional, MFARequired} {
		for _, has := range yes {
			for _, trusted := range yes {
				for _, claimed := range yes {
					for _, expired := range yes {
						for _, users := range [][]UserID{{"a"}, {"a", "b"}} {
							sit := Situation{MFA: mfa, Trusted: trusted, Claimed: claimed, Now: now, Grace: now}
							if has {
								sit.Factors = []FactorKind{FactorWebAuthn}
							}
							in := func(s Step) bool { return s == StepDone || s == StepChoose || s == StepNewPassword }
							got := Next(Attempt{Users: users, Verified: true, Expired: expired, Shown: []AMR{AMRPassword}}, sit)
							if has && mfa != MFAOff && !trusted && got != StepSecond {
								t.Errorf("%+v: %s with a password alone", sit, got)
							}
							if !has && mfa == MFARequired && !expired && in(got) {
								t.Errorf("%+v: %s without the second step that is required", sit, got)
							}
							if got := Next(Attempt{Users: users, Shown: []AMR{AMRPassword, AMROTP, AMRMulti}}, sit); got != StepConfirmAddress {
								t.Errorf("%+v: %s though nobody has proved the mailbox", sit, got)
							}
							seen++
						}
					}
				}
			}
		}
	}
	if seen != 96 {
		t.Errorf("%d situations were looked at", seen)
	}
}

// An offer takes nothing away: whoever could go on goes on to the same afterwards.
func TestAnOfferIsOnlyAStopOnTheWay(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	sit := Situation{MFA: MFAOptional, Now: now, Grace: now, Passkeys: true, Makes: true, Known: now.Add(-KnownFor)}
	for after, users := range map[Step][]UserID{StepDone: {"a"}, StepChoose: {"a", "b"}} {
		at := Attempt{Users: users, Verified: true, Shown: []AMR{AMRPassword}}
		first, again := Next(at, sit), sit
		again.Makes = false
		if then := Next(at, again); first != StepOffer || then != after {
			t.Errorf("%d rows: %s, and then %s", len(users), first, then)
		}
	}
}
