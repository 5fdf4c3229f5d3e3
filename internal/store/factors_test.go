package store_test

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// factor adds a factor of a person.
func (p *place) factor(t *testing.T, u portal.UserID, k portal.FactorKind) store.Factor {
	t.Helper()
	f := store.Factor{Factor: portal.Factor{ID: newID[portal.FactorID](), User: u, Kind: k, Name: "App"}, State: "v1:first", KeyID: "k1"}
	p.in(t, func(x *store.Tx) error {
		ok, err := x.PutFactor(t.Context(), f)
		if !ok && err == nil {
			return errors.New("it was there already")
		}
		return err
	})
	return f
}

func (p *place) factors(t *testing.T, u portal.UserID) (list []store.Factor) {
	t.Helper()
	p.in(t, func(x *store.Tx) (err error) { list, err = x.Factors(t.Context(), u); return err })
	return list
}

// TOTP-02, BKP-02: of those who store the state after one answer, checked against the same state, one succeeds.
func TestOfFiftyAnswersToOneFactorOneCounts(t *testing.T) {
	t.Parallel()
	p := newPlace(t, testenv.Database(t))
	p.factor(t, p.ann, portal.FactorTOTP)
	for round := range 2 {
		f := p.factors(t, p.ann)[0]
		if f.Version != int64(round)+1 {
			t.Fatalf("round %d begins with version %d", round, f.Version)
		}
		var won atomic.Int64
		p.atOnce(t, 50, func(i int, x *store.Tx) error {
			mine := f
			mine.State = fmt.Sprintf("v1:%d of round %d", i, round)
			mine.Facts = map[string]string{"left": fmt.Sprint(i)}
			ok, err := x.StepFactor(t.Context(), mine)
			if ok {
				won.Add(1)
			}
			return err
		})
		after := p.factors(t, p.ann)[0]
		if won.Load() != 1 || after.Version != f.Version+1 || !after.UsedAt.Equal(p.clock.Now()) || after.State != fmt.Sprintf("v1:%s of round %d", after.Facts["left"], round) {
			t.Errorf("round %d: %d have won; stored is %+v", round, won.Load(), after)
		}
	}
}

// WA-06: a passkey that somebody in the tenant has is nobody else's; in another tenant it is another one.
func TestAPasskeyBelongsToOnePersonOfATenant(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p, elsewhere := newPlace(t, db), newPlace(t, db)
	bob := p.person(t, "bob@buyer.example")
	lookup := digestOf(newID[string]())
	put := func(p *place, u portal.UserID, lookup []byte) (ok bool) {
		t.Helper()
		f := store.Factor{Factor: portal.Factor{ID: newID[portal.FactorID](), User: u, Kind: portal.FactorWebAuthn, Name: "Key"}, State: "v1:", KeyID: "k1", Lookup: lookup}
		p.in(t, func(x *store.Tx) (err error) { ok, err = x.PutFactor(t.Context(), f); return err })
		return ok
	}
	if !put(p, p.ann, lookup[:]) || put(p, bob, lookup[:]) || put(p, p.ann, lookup[:]) || !put(elsewhere, elsewhere.ann, lookup[:]) {
		t.Error("a passkey belongs to nobody, or to two")
	}
	for range 2 {
		if !put(p, bob, nil) {
			t.Error("two factors that are found by their person alone are in each other's way")
		}
	}
	p.in(t, func(x *store.Tx) error {
		f, err := x.FactorAt(t.Context(), lookup[:])
		if f.User != p.ann {
			t.Errorf("the passkey is found as %s's", f.User)
		}
		return err
	})
	var won atomic.Int64
	again := digestOf(newID[string]())
	p.atOnce(t, 20, func(i int, x *store.Tx) error {
		ok, err := x.PutFactor(t.Context(), store.Factor{Factor: portal.Factor{ID: newID[portal.FactorID](), User: []portal.UserID{p.ann, bob}[i%2], Kind: portal.FactorWebAuthn}, State: "v1:", KeyID: "k1", Lookup: again[:]})
		if ok {
			won.Add(1)
		}
		return err
	})
	if won.Load() != 1 {
		t.Errorf("one passkey was added %d times", won.Load())
	}
}

// One address is one person: what was added from one company's row guards the others, in that tenant and no other.
func TestTheRowsOfOneAddressShareTheirFactors(t *testing.T) {
	t.Parallel()
	db := testenv.Database(t)
	p, elsewhere := newPlace(t, db), newPlace(t, db)
	second := newID[portal.UserID]()
	company := newID[string]()
	db.Exec(t, `insert into public.customers (id, tenant_id, customer_code, customer_name) values ($1, $2, 'C-2', 'Second')`, company, p.tenant.ID)
	db.Exec(t, `insert into public.customer_users (id, tenant_id, customer_id, email, password_hash) values ($1, $2, $3, 'Ann@Buyer.Example', '!portalgate')`, second, p.tenant.ID, company)
	bob := p.person(t, "bob@buyer.example")
	f := p.factor(t, p.ann, portal.FactorTOTP)
	p.factor(t, second, portal.FactorBackup)
	for _, u := range []portal.UserID{p.ann, second} {
		if list := p.factors(t, u); len(list) != 2 || list[0].ID != f.ID && list[1].ID != f.ID { // of one moment, in whichever order
			t.Errorf("%s has %+v", u, list)
		}
		p.in(t, func(x *store.Tx) error {
			a, err := x.Account(t.Context(), u)
			if !a.Second.Has {
				t.Errorf("%s is taken for somebody without a factor", u)
			}
			return err
		})
	}
	if len(p.factors(t, bob)) != 0 {
		t.Error("bob has factors of ann's")
	}
	if len(elsewhere.factors(t, elsewhere.ann)) != 0 || len(elsewhere.factors(t, p.ann)) != 0 {
		t.Error("another tenant sees them")
	}
	elsewhere.in(t, func(x *store.Tx) error {
		f.Version = 1
		stepped, err := x.StepFactor(t.Context(), f)
		renamed, err2 := x.RenameFactor(t.Context(), p.ann, f.ID, "mine")
		n, err3 := x.DropFactors(t.Context(), []portal.FactorID{f.ID})
		if stepped || renamed || n != 0 {
			t.Errorf("another tenant changes them: %t, %t, %d", stepped, renamed, n)
		}
		return errors.Join(err, err2, err3)
	})
	p.in(t, func(x *store.Tx) error {
		if ok, err := x.RenameFactor(t.Context(), second, f.ID, "Phone"); !ok || err != nil {
			return fmt.Errorf("renamed from the other row: %t, %w", ok, err)
		}
		if ok, err := x.RenameFactor(t.Context(), bob, f.ID, "Bob's"); ok || err != nil {
			t.Errorf("bob renames it: %t, %v", ok, err)
		}
		return nil
	})
}

// question stores a question to somebody.
func (p *place) question(t *testing.T, holder []byte, keep bool) (left int) {
	t.Helper()
	p.in(t, func(x *store.Tx) (err error) {
		left, err = x.PutChallenge(t.Context(), store.Challenge{ID: newID[portal.ChallengeID](), Holder: holder, Purpose: "sign_in", Kind: portal.FactorEmail, State: "v1:", KeyID: "k1", Tries: 5, ExpiresAt: x.Now().Add(10 * time.Minute)}, keep)
		return err
	})
	return left
}

// answer pays a try of it; false when there is none left.
func (p *place) answer(t *testing.T, holder []byte, purpose string) (c store.Challenge, ok bool) {
	t.Helper()
	p.in(t, func(x *store.Tx) (err error) {
		c, err = x.SpendChallenge(t.Context(), holder, purpose, portal.FactorEmail)
		if ok = err == nil; errors.Is(err, store.ErrNone) {
			return nil
		}
		return err
	})
	return c, ok
}

// OOB-02: a code that is sent again is another code, and the tries that were used stay used.
func TestACodeSentAgainBringsNoNewTries(t *testing.T) {
	t.Parallel()
	p := newPlace(t, testenv.Database(t))
	d := digestOf(newID[string]())
	holder := d[:]
	if left := p.question(t, holder, true); left != 5 {
		t.Fatalf("a new question has %d tries", left)
	}
	first, _ := p.answer(t, holder, "sign_in")
	p.answer(t, holder, "sign_in")
	if left := p.question(t, holder, true); left != 3 {
		t.Errorf("after two wrong answers and a new code %d are left", left)
	}
	if _, ok := p.answer(t, holder, "enrol"); ok {
		t.Error("it answers for another purpose")
	}
	second, _ := p.answer(t, holder, "sign_in")
	if second.ID == first.ID || second.Tries != 2 {
		t.Errorf("after the new code: %+v", second)
	}
	p.in(t, func(x *store.Tx) error {
		if ok, err := x.EndChallenge(t.Context(), first.ID); ok || err != nil {
			t.Errorf("the old code is still good: %t, %v", ok, err)
		}
		return nil
	})
	for range 2 {
		p.answer(t, holder, "sign_in")
	}
	if _, ok := p.answer(t, holder, "sign_in"); ok {
		t.Error("a sixth answer is looked at")
	}
	if left := p.question(t, holder, true); left != 0 {
		t.Errorf("another code brings %d tries", left)
	}
	if left := p.question(t, holder, false); left != 5 {
		t.Errorf("a question whose answer cannot be guessed has %d tries", left)
	}
	p.clock.Advance(10*time.Minute + time.Second)
	if _, ok := p.answer(t, holder, "sign_in"); ok {
		t.Error("an old question is answered")
	}
}

func TestOfFiftyAnswersToOneQuestionFiveAreLookedAtAndOneEndsIt(t *testing.T) {
	t.Parallel()
	p := newPlace(t, testenv.Database(t))
	d := digestOf(newID[string]())
	holder := d[:]
	p.question(t, holder, true)
	var paid, ended atomic.Int64
	p.atOnce(t, 50, func(_ int, x *store.Tx) error {
		c, err := x.SpendChallenge(t.Context(), holder, "sign_in", portal.FactorEmail)
		if errors.Is(err, store.ErrNone) {
			return nil
		}
		if err != nil {
			return err
		}
		paid.Add(1)
		ok, err := x.EndChallenge(t.Context(), c.ID)
		if ok {
			ended.Add(1)
		}
		return err
	})
	if paid.Load() != 1 || ended.Load() != 1 { // each ends it in the transaction that has paid, so that nobody pays after
		t.Errorf("%d were paid, %d have ended it", paid.Load(), ended.Load())
	}
	p.question(t, holder, true)
	paid.Store(0)
	p.atOnce(t, 50, func(_ int, x *store.Tx) error {
		_, err := x.SpendChallenge(t.Context(), holder, "sign_in", portal.FactorEmail)
		if err == nil {
			paid.Add(1)
		}
		if errors.Is(err, store.ErrNone) {
			return nil
		}
		return err
	})
	if paid.Load() != 5 {
		t.Errorf("%d of 50 answers were paid", paid.Load())
	}
}

// RL-06, RL-07: guesses at a second proof have purses of their own, by browser; a password's success empties none.
func TestGuessesAtASecondProofArePaidFromAPurseOfTheirOwn(t *testing.T) {
	t.Parallel()
	p := newPlace(t, testenv.Database(t))
	known := newID[portal.DeviceID]()
	rule := p.gateway.Lockout()
	spend := func(device portal.DeviceID) (try store.Try) {
		t.Helper()
		p.in(t, func(x *store.Tx) (err error) { try, err = x.SpendCode(t.Context(), annsAddress, device); return err })
		return try
	}
	for range rule.Free + 1 {
		if spend("").Resting {
			t.Fatal("a try that the rule allows rests")
		}
	}
	if !spend("").Resting {
		t.Error("the purse does not rest")
	}
	if spend(known).Resting {
		t.Error("a stranger's guesses shut a known browser out (RL-05)")
	}
	p.in(t, func(x *store.Tx) error {
		try, err := x.SpendTry(t.Context(), annsAddress, "")
		if try.Resting {
			t.Error("guesses at codes shut the password out")
		}
		return errors.Join(err, x.ReturnTry(t.Context(), annsAddress, ""), x.ReturnTry(t.Context(), annsAddress, known))
	})
	if !spend("").Resting {
		t.Error("the right password has emptied the purse of codes")
	}
	p.in(t, func(x *store.Tx) error {
		until, err := x.CodeRest(t.Context(), annsAddress, "")
		if !until.Equal(x.Now().Add(rule.First)) {
			t.Errorf("it rests until %v", until)
		}
		rests, err2 := x.Rests(t.Context(), 10)
		if len(rests) != 1 || !rests[0].Second || rests[0].Device || rests[0].Email != annsAddress {
			t.Errorf("an operator sees %+v", rests)
		}
		return errors.Join(err, err2, x.ReturnCode(t.Context(), annsAddress, known))
	})
	if purses := p.purses(t); len(purses) != 1 || purses["second:"].Failures != rule.Free+1 {
		t.Errorf("after a right code on the known browser: %+v", purses)
	}
	p.in(t, func(x *store.Tx) error { return x.UnlockCodes(t.Context(), annsAddress) })
	if purses := p.purses(t); len(purses) != 0 {
		t.Errorf("unlocked: %+v", purses)
	}
}

// claim has the ERP's row say that a person has a second step.
func (p *place) claim(t *testing.T, secret string) {
	t.Helper()
	p.db.Exec(t, `update public.customer_users set mfa_enabled = true, mfa_secret = $2 where id = $1`, p.ann, secret)
}

func (p *place) claimed(t *testing.T) (claimed bool) {
	t.Helper()
	p.in(t, func(x *store.Tx) error {
		a, err := x.Account(t.Context(), p.ann)
		claimed = a.Second.Claimed
		return err
	})
	return claimed
}

func TestAClaimOfTheERPsIsDealtWithOnceAndAnotherIsAnotherMatter(t *testing.T) {
	t.Parallel()
	p := newPlace(t, testenv.Database(t))
	if p.claimed(t) {
		t.Error("nothing is claimed yet")
	}
	p.claim(t, "PLACEHOLDER_SECRET")
	if !p.claimed(t) {
		t.Error("the claim is not seen")
	}
	p.in(t, func(x *store.Tx) error { return errors.Join(x.Told(t.Context(), p.ann), x.Settle(t.Context(), p.ann)) })
	if p.claimed(t) {
		t.Error("what was dealt with comes back")
	}
	p.in(t, func(x *store.Tx) error {
		a, err := x.Account(t.Context(), p.ann)
		if !a.Second.ToldAt.Equal(x.Now()) {
			t.Errorf("told at %v", a.Second.ToldAt)
		}
		return err
	})
	p.claim(t, "ANOTHER")
	if !p.claimed(t) {
		t.Error("another claim is taken for the old one")
	}
}

// M22: an operator takes second steps away and sees which there are, and nothing that checks one.
func TestAnOperatorTakesSecondStepsAwayAndDoesNothingElseToThem(t *testing.T) {
	t.Parallel()
	p := newPlace(t, testenv.Database(t))
	f := p.factor(t, p.ann, portal.FactorTOTP)
	p.factor(t, p.ann, portal.FactorBackup)
	bob := p.person(t, "bob@buyer.example")
	p.factor(t, bob, portal.FactorTOTP)
	p.claim(t, "PLACEHOLDER_SECRET")
	p.in(t, func(x *store.Tx) error {
		_, err := x.SpendCode(t.Context(), annsAddress, "")
		return err
	})
	p.asOperator(t, func(x *store.Tx) error {
		list, err := x.FactorsOf(t.Context(), p.ann)
		if !slices.ContainsFunc(list, func(o portal.Factor) bool { return o.ID == f.ID && o.Kind == portal.FactorTOTP && o.Name == "App" }) || len(list) != 2 {
			t.Errorf("an operator sees %+v", list)
		}
		return err
	})
	for what, act := range map[string]func(*store.Tx) error{
		"reads states": func(x *store.Tx) error { _, err := x.Factors(t.Context(), p.ann); return err },
		"adds one":     func(x *store.Tx) error { _, err := x.PutFactor(t.Context(), f); return err },
		"changes one":  func(x *store.Tx) error { _, err := x.StepFactor(t.Context(), f); return err },
		"renames one":  func(x *store.Tx) error { _, err := x.RenameFactor(t.Context(), p.ann, f.ID, "x"); return err },
		"sees questions": func(x *store.Tx) error {
			_, err := x.Challenge(t.Context(), []byte("h"), "sign_in", portal.FactorEmail)
			return err
		},
		"passes a question": func(x *store.Tx) error {
			_, err := x.PassChallenge(t.Context(), newID[portal.ChallengeID](), "", x.Now())
			return err
		},
		"pays a guess": func(x *store.Tx) error { _, err := x.SpendCode(t.Context(), annsAddress, ""); return err },
		"spares a browser": func(x *store.Tx) error {
			_, err := x.Exec(t.Context(), `update portalgate.devices set digest = digest`)
			return err
		},
	} {
		if err := p.operator.Within(t.Context(), p.tenant.ID, p.clock.Now(), act); code(err) != denied {
			t.Errorf("an operator %s: %v", what, err)
		}
	}
	p.asOperator(t, func(x *store.Tx) error {
		n, err := x.ResetFactors(t.Context(), p.ann, annsAddress, store.Deed{Operator: "olga", Reason: "lost all"})
		if n != 2 {
			t.Errorf("%d were taken away", n)
		}
		return err
	})
	if len(p.factors(t, p.ann)) != 0 || len(p.factors(t, bob)) != 1 || p.claimed(t) || len(p.purses(t)) != 0 {
		t.Error("after a reset there is something left, or somebody else has lost theirs")
	}
	var by, why, n string
	p.db.Row(t, `select operator, note, facts->>'factors' from portalgate.events where tenant_id = $1 and verb = $2`, []any{p.tenant.ID, portal.VerbFactorRemoved}, &by, &why, &n)
	if by != "olga" || why != "lost all" || n != "2" {
		t.Errorf("the trail says %q, %q, %q", by, why, n)
	}
}

func TestAPreviewCountsPeopleByRoleAndByWhatTheyHave(t *testing.T) {
	t.Parallel()
	p := newPlace(t, testenv.Database(t))
	p.factor(t, p.ann, portal.FactorTOTP)
	bob := p.person(t, "bob@buyer.example")
	p.factor(t, bob, portal.FactorBackup) // codes alone are no second step
	carl, dora, gone := p.person(t, "carl@buyer.example"), p.person(t, "dora@buyer.example"), p.person(t, "gone@buyer.example")
	p.db.Exec(t, `update public.customer_users set is_email_verified = false, mfa_enabled = true where id = $1`, carl)
	p.db.Exec(t, `update public.customer_users set role = 'CUSTOMER_ADMIN' where id = $1`, dora)
	p.db.Exec(t, `update public.customer_users set is_active = false where id = $1`, gone)
	p.asOperator(t, func(x *store.Tx) error {
		got, err := x.Impacts(t.Context(), portal.MFAPolicy{})
		want := []store.Impact{{Role: portal.RoleAdmin, People: 1, Mailed: 1}, {Role: portal.RoleUser, People: 3, Ready: 1, Mailed: 1, Stuck: 1, Claimed: 1, Holding: 2}}
		if !slices.Equal(got, want) {
			t.Errorf("counted %+v", got)
		}
		return err
	})
	// What the tenant does not take is no second step; what was dealt with is no claim.
	p.factor(t, carl, portal.FactorEmail)
	p.in(t, func(x *store.Tx) error { return x.Settle(t.Context(), carl) })
	for _, codes := range []bool{false, true} {
		p.asOperator(t, func(x *store.Tx) error {
			got, err := x.Impacts(t.Context(), portal.MFAPolicy{EmailCodes: codes})
			want := store.Impact{Role: portal.RoleUser, People: 3, Ready: 1, Mailed: 1, Stuck: 1, Holding: 3}
			if codes {
				want.Ready, want.Stuck = 2, 0
			}
			if len(got) != 2 || got[1] != want {
				t.Errorf("with codes by mail %t: %+v", codes, got)
			}
			return err
		})
	}
}

// ux 40: an offer is a person's, whichever of their rows it was made at, and is noted once. So is their handle.
func TestAnOfferAndAHandleBelongToAPersonAndNotToARow(t *testing.T) {
	t.Parallel()
	p := newPlace(t, testenv.Database(t))
	bob := p.person(t, "bob@buyer.example")
	var other portal.UserID
	p.asOperator(t, func(x *store.Tx) (err error) {
		if err := x.AddCustomer(t.Context(), "C-2", "Second company"); err != nil {
			return err
		}
		other, err = x.AddUser(t.Context(), store.NewUser{Email: annsAddress, Role: portal.RoleUser, Verified: true, Customer: "C-2"}, store.Deed{Operator: "test"})
		return err
	})
	first := p.clock.Now()
	p.in(t, func(x *store.Tx) error {
		return errors.Join(x.Offer(t.Context(), other), x.PutHandle(t.Context(), other, []byte("handle")))
	})
	p.clock.Advance(time.Hour)
	p.in(t, func(x *store.Tx) error { return x.Offer(t.Context(), p.ann) })
	for _, u := range []portal.UserID{p.ann, other} {
		var a store.Account
		p.in(t, func(x *store.Tx) (err error) { a, err = x.Account(t.Context(), u); return err })
		if !a.Second.Offered || string(a.Second.Handle) != "handle" {
			t.Errorf("%s: %+v", u, a.Second)
		}
		var at time.Time
		p.db.Row(t, `select offered_at from portalgate.second_steps where user_id = $1`, []any{u}, &at)
		if !at.Equal(first) {
			t.Errorf("%s: noted at %s, not at %s", u, at, first)
		}
	}
	var a store.Account
	p.in(t, func(x *store.Tx) (err error) { a, err = x.Account(t.Context(), bob); return err })
	if a.Second.Offered || a.Second.Handle != nil {
		t.Errorf("somebody else: %+v", a.Second)
	}
}
