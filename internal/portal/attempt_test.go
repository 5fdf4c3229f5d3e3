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
