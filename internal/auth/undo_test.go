package auth_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// asksFor asks for another address for the browser's session, and confirms it from the new mailbox.
func (b *browser) asksFor(t testing.TB, to string) {
	t.Helper()
	ses, ok := b.session(t)
	if !ok {
		t.Fatal("no session asks for another address")
	}
	if _, err := b.house.Auth.AskAddress(t.Context(), b.tenant, b.client(), ses, to, testenv.Password); err != nil {
		t.Fatal(err)
	}
	var link string
	for _, m := range ofKind(b.house.Courier(t, b.tenant.ID), portal.LetterNewAddress) {
		link = testenv.TokenIn(t, m, "/auth/verify-email")
	}
	if _, err := b.house.Auth.Verify(t.Context(), b.tenant, b.client(), link, ""); err != nil {
		t.Fatal(err)
	}
}

// moves changes the address, an hour later than whatever was before, and returns the link that the old mailbox gets.
func (b *browser) moves(t testing.TB, to string) (undo string) {
	t.Helper()
	b.house.Clock.Advance(time.Hour)
	b.asksFor(t, to)
	return testenv.TokenIn(t, ofKind(b.house.Courier(t, b.tenant.ID), portal.LetterOldAddress)[0], "/auth/undo")
}

// robbed is an account whose thief has moved its address twice: what Ann was mailed, and what the thief was.
func robbed(t *testing.T) (thief *browser, owners, thiefs string) {
	t.Helper()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	thief = open(h, &tenant, "198.51.100.1")
	thief.in(t, "ann@buyer.example", testenv.Password)
	return thief, thief.moves(t, "one@evil.example"), thief.moves(t, "two@evil.example")
}

func (b *browser) undo(raw string) error {
	return b.house.Auth.Undo(context.Background(), b.tenant, b.client(), raw)
}

func addressOf(t testing.TB, b *browser) (email string) {
	t.Helper()
	b.house.DB.Row(t, `select email from public.customer_users where tenant_id = $1`, []any{b.tenant.ID}, &email)
	return email
}

// REC-11 ★: whoever moves an address twice is mailed a way back of their own, from the second change to their first mailbox.
// It opens nothing once the owner has used theirs, however long the thief waits; and the owner's works after the thief's.
func TestTheMailboxThatHadTheAccountFirstHasTheLastWord(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]bool{"the owner comes first": false, "the thief comes first": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			thief, owners, thiefs := robbed(t)
			h, tenant := thief.house, thief.tenant
			if first {
				if err := thief.undo(thiefs); err != nil || addressOf(t, thief) != "one@evil.example" {
					t.Fatalf("the thief's link: %v", err)
				}
			}
			lost := addressOf(t, thief)
			h.Clock.Advance(4 * 24 * time.Hour)
			h.Courier(t, tenant.ID)
			owner := open(h, tenant, "203.0.113.7")
			if err := owner.undo(owners); err != nil {
				t.Fatalf("the owner's link: %v", err)
			}
			var link string
			for _, m := range h.Courier(t, tenant.ID) {
				switch {
				case m.Kind == portal.LetterReopen && m.To == "ann@buyer.example":
					link = testenv.TokenIn(t, m, "/auth/reset-password")
				case m.Kind != portal.LetterUndone || string(m.To) != lost:
					t.Errorf("a mail of kind %s leaves for %s", m.Kind, m.To)
				case strings.Contains(m.Text+m.HTML, "token=") || strings.Contains(m.Text+m.HTML, "203.0.113.7") || strings.Contains(m.Text+m.HTML, "Firefox"):
					t.Errorf("whoever had changed the address is told more than that it was changed back:\n%s", m.Text)
				default:
					lost = ""
				}
			}
			if lost != "" {
				t.Errorf("%s does not hear that it is the account's no more", lost)
			}
			if err := h.Auth.Reset(t.Context(), tenant, owner.client(), link, fresh); err != nil {
				t.Fatal(err)
			}
			owner.in(t, "ann@buyer.example", fresh)
			h.Clock.Advance(2 * 24 * time.Hour)
			if err := thief.undo(thiefs); kind(t, err) != portal.ProblemNotFound {
				t.Errorf("the thief's link afterwards: %v", err)
			}
			if got := addressOf(t, thief); got != "ann@buyer.example" {
				t.Errorf("the account is %s's", got)
			}
			owner.in(t, "ann@buyer.example", fresh)
		})
	}
}

// The same at the same moment, at two gateways, in whichever order they come.
func TestOfTwoUndosAtTheSameMomentTheOwnersHolds(t *testing.T) {
	t.Parallel()
	thief, owners, thiefs := robbed(t)
	next := thief.house.Neighbour(t)
	var all sync.WaitGroup
	errs := make([]error, 2)
	gate := make(chan struct{})
	all.Go(func() {
		<-gate
		errs[0] = open(next, thief.tenant, "203.0.113.7").undo(owners)
	})
	all.Go(func() {
		<-gate
		errs[1] = thief.undo(thiefs)
	})
	close(gate)
	all.Wait()
	if errs[0] != nil || errs[1] != nil && kind(t, errs[1]) != portal.ProblemNotFound {
		t.Errorf("the owner's: %v, the thief's: %v", errs[0], errs[1])
	}
	if got := addressOf(t, thief); got != "ann@buyer.example" {
		t.Errorf("the account is %s's", got)
	}
}

// REC-11: a thief's own mailbox takes their way back, and the notices with theirs, only when the owner has thrown them out;
// and tries so at the very moment. What is dropped is made into no link by an operator who sends letters again.
func TestAMailboxThatIsSlowToTakeItsMailHasNoWayBackWhenAllIsOver(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	thief, owner := open(h, &tenant, "198.51.100.1"), open(h, &tenant, "203.0.113.7")
	thief.in(t, "ann@buyer.example", testenv.Password)
	owners := thief.moves(t, "one@evil.example")
	h.Clock.Advance(time.Hour)
	h.Mail.Fails = func(m mail.Message) error {
		if m.To == "one@evil.example" {
			return errors.New("451 greylisted")
		}
		return nil
	}
	ses, _ := thief.session(t)
	grant, err := h.Auth.ChangePassword(t.Context(), &tenant, thief.client(), ses, testenv.Password, fresh) // a notice with "this wasn't me"
	if err != nil {
		t.Fatal(err)
	}
	thief.take(grant)
	ses, _ = thief.session(t)
	if _, err := h.Auth.AskAddress(t.Context(), &tenant, thief.client(), ses, "two@evil.example", fresh); err != nil {
		t.Fatal(err)
	}
	for _, m := range ofKind(h.Courier(t, tenant.ID), portal.LetterNewAddress) {
		if _, err := h.Auth.Verify(t.Context(), &tenant, thief.client(), testenv.TokenIn(t, m, "/auth/verify-email"), ""); err != nil {
			t.Fatal(err)
		}
	}
	h.Courier(t, tenant.ID)
	var waits []string
	h.DB.Row(t, `select array_agg(id::text) from portalgate.outbox where tenant_id = $1 and state = 'waiting'`, []any{tenant.ID}, &waits)
	if len(waits) != 2 {
		t.Fatalf("%d letters wait for the thief's mailbox, and should be two", len(waits))
	}
	var all sync.WaitGroup
	for _, id := range waits {
		all.Go(func() {
			if err := h.Auth.DeliverOne(context.Background(), store.Due{Tenant: tenant.ID, Letter: portal.LetterID(id)}); err != nil {
				t.Error(err)
			}
		})
	}
	if err := owner.undo(owners); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	h.Mail.Fails = nil
	h.AsOperator(t, tenant.ID, func(x *store.Tx) error {
		_, err := x.RetryLetters(t.Context(), "", store.Deed{Operator: "olga", Reason: "all of them"})
		return err
	})
	h.Clock.Advance(2 * time.Hour)
	for _, m := range h.Courier(t, tenant.ID) {
		if m.To != "ann@buyer.example" && (m.Kind != portal.LetterUndone || strings.Contains(m.Text, "token=")) {
			t.Errorf("a mail of kind %s leaves for %s", m.Kind, m.To)
		}
	}
	var good int
	h.DB.Row(t, `select count(*) from portalgate.tickets where tenant_id = $1 and email <> 'ann@buyer.example' and spent_at is null`, []any{tenant.ID}, &good)
	if good != 0 {
		t.Errorf("%d links of the thief's are good", good)
	}
}

// REC-11: the thief must not be able to make the owner's way back void by doing more before its mail leaves.
func TestTheOwnersWayBackLeavesWhateverTheAccountIsByThen(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	thief := open(h, &tenant, "198.51.100.1")
	thief.in(t, "ann@buyer.example", testenv.Password)
	h.Mail.Fails = func(m mail.Message) error {
		if m.To == "ann@buyer.example" {
			return errors.New("451 greylisted")
		}
		return nil
	}
	thief.asksFor(t, "one@evil.example")
	h.Clock.Advance(time.Minute)
	thief.asksFor(t, "two@evil.example")
	thiefs := testenv.TokenIn(t, ofKind(h.Courier(t, tenant.ID), portal.LetterOldAddress)[0], "/auth/undo")
	h.Mail.Fails = nil
	h.Clock.Advance(2 * time.Hour)
	late := one(t, h.Courier(t, tenant.ID), portal.LetterOldAddress) // it is the younger ticket, of the older change
	h.Clock.Advance(7*24*time.Hour - time.Minute)
	if err := open(h, &tenant, "203.0.113.7").undo(testenv.TokenIn(t, late, "/auth/undo")); err != nil || addressOf(t, thief) != "ann@buyer.example" {
		t.Errorf("the owner's link, a minute less than a week later: %v", err)
	}
	if err := thief.undo(thiefs); kind(t, err) != portal.ProblemNotFound {
		t.Errorf("the thief's: %v", err)
	}
}

// REC-11: whoever has moved the address reads the codes that prove the mailbox. What they add with them is gone with the
// undo; what the owner had before is not.
func TestAnUndoTakesAwayWhatWasAddedSince(t *testing.T) {
	t.Parallel()
	for name, had := range map[string]bool{"from an account without a second step": false, "beside the owner's": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := testenv.NewHouse(t, testenv.Plan{})
			tenant := testenv.Tenant(t)
			tenant.MFA.Remember = true
			h.Person(t, tenant, testenv.Visitor{})
			thief, owners, thiefs := open(h, &tenant, "198.51.100.1"), &testenv.Passkey{}, &testenv.Passkey{}
			thief.in(t, "ann@buyer.example", testenv.Password)
			if had { // a laptop was stolen in the middle of a session that had just shown it
				thief.prove(t)
				thief.addPasskey(t, owners)
				h.Clock.Advance(portal.FreshFor - time.Second)
				thief.asksFor(t, "thief@evil.example")
			} else {
				thief.asksFor(t, "thief@evil.example")
				thief.prove(t)
			}
			h.Courier(t, tenant.ID)
			undo := testenv.TokenIn(t, ofKind(h.Mail.Sent(tenant.ID), portal.LetterOldAddress)[0], "/auth/undo")
			thief.addPasskey(t, thiefs)
			h.Courier(t, tenant.ID)
			if err := open(h, &tenant, "203.0.113.7").undo(undo); err != nil {
				t.Fatal(err)
			}
			enter := func(k *testenv.Passkey) error {
				b := open(h, &tenant, "203.0.113.8")
				_, err := b.enter(k.Answer(t, "https://"+tenant.Canonical(), b.options(t)))
				return err
			}
			if err := enter(thiefs); kind(t, err) != portal.ProblemCredentials {
				t.Errorf("the thief's passkey: %v", err)
			}
			if had {
				if err := enter(owners); err != nil {
					t.Errorf("the owner's passkey: %v", err)
				}
			}
			var factors, handles, devices int
			h.DB.Row(t, `select (select count(*) from portalgate.factors where tenant_id = $1), (select count(*) from portalgate.second_steps where tenant_id = $1 and handle is not null),
				(select count(*) from portalgate.devices where tenant_id = $1)`, []any{tenant.ID}, &factors, &handles, &devices)
			want := map[bool][3]int{false: {0, 0, 0}, true: {2, 1, 1}}[had] // with the codes that came with hers, and the browser that she is in by now
			if got := [3]int{factors, handles, devices}; got != want {
				t.Errorf("factors, handles and devices are %v, want %v", got, want)
			}
		})
	}
}

// Honest people: whoever must have a second step adds it with the new mailbox alone, also while the change can be taken back.
func TestWhoHasChangedTheirAddressCanAddTheSecondStepThatTheyMustHave(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "203.0.113.7")
	b.in(t, "ann@buyer.example", testenv.Password)
	b.moves(t, "bea@buyer.example")
	tenant.MFA = portal.MFAPolicy{Default: portal.MFARequired, Since: h.Clock.Now()}
	other := open(h, &tenant, "203.0.113.9")
	if out := other.start(t, "bea@buyer.example", testenv.Password); out.Step != portal.StepEnrol {
		t.Fatalf("%q", out.Step)
	}
	if _, err := other.say(t, auth.Answer{Kind: auth.KindMailbox, Text: other.code(t), Enrol: true}); err != nil {
		t.Fatal(err)
	}
	other.addApp(t)
	if _, ok := other.session(t); !ok {
		t.Error("she is not signed in")
	}
}

// Somebody who has changed the address twice by mistake gets back, to either mailbox, for seven days.
func TestWhoHasChangedTheirAddressTwiceGetsBackToEither(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "203.0.113.7")
	b.in(t, "ann@buyer.example", testenv.Password)
	first, second := b.moves(t, "bea@buyer.example"), b.moves(t, "cleo@buyer.example")
	h.Clock.Advance(7*24*time.Hour - 2*time.Hour)
	for _, c := range []struct{ link, to string }{{second, "bea@buyer.example"}, {first, "ann@buyer.example"}} {
		if err := b.undo(c.link); err != nil || addressOf(t, b) != c.to {
			t.Fatalf("back to %s: %v", c.to, err)
		}
	}
	var reset string
	for _, m := range ofKind(h.Courier(t, tenant.ID), portal.LetterReopen) {
		if m.To == "ann@buyer.example" {
			reset = testenv.TokenIn(t, m, "/auth/reset-password")
		}
	}
	if err := h.Auth.Reset(t.Context(), &tenant, b.client(), reset, fresh); err != nil {
		t.Fatal(err)
	}
	b.in(t, "ann@buyer.example", fresh)
}

// The ERP's staff give the account back to Ann, who chooses a new password: what the thief was mailed is void. What a thief
// does so at a mailbox of theirs makes nothing void that is Ann's.
func TestANewPasswordEndsTheWaysBackOfThoseWhoCameAfter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		now       string // whose account it is when a new password is chosen
		ann, evil portal.ProblemKind
	}{
		"at the mailbox that had it first":  {"ann@buyer.example", "", portal.ProblemNotFound},
		"at the mailbox that had it second": {"one@evil.example", "", ""},
		"at the mailbox that has it":        {"two@evil.example", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			thief, owners, thiefs := robbed(t)
			h, tenant := thief.house, thief.tenant
			h.DB.Exec(t, `update public.customer_users set email = $2 where tenant_id = $1`, tenant.ID, c.now)
			thief.askReset(t, c.now)
			link := one(t, h.Courier(t, tenant.ID), portal.LetterRecover)
			if err := h.Auth.Reset(t.Context(), tenant, thief.client(), testenv.TokenIn(t, link, "/auth/reset-password"), fresh); err != nil {
				t.Fatal(err)
			}
			if err := thief.undo(thiefs); kind(t, err) != c.evil {
				t.Errorf("the thief's link: %v", err)
			}
			if err := thief.undo(owners); kind(t, err) != c.ann || addressOf(t, thief) != "ann@buyer.example" {
				t.Errorf("the owner's link: %v", err)
			}
		})
	}
}

// REC-05 ★, REC-11: a change of address whose mail waits, since the thief's own mailbox is slow to take it, is over with a new
// password, with "this wasn't me" and with an undo: no link is made of it any more.
func TestAPendingChangeOfAddressIsOverWithWhatItWasAskedWith(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]func(t *testing.T, owner *browser, notice string){
		"by a reset": func(t *testing.T, owner *browser, _ string) {
			owner.askReset(t, "ann@buyer.example")
			link := ofKind(owner.house.Courier(t, owner.tenant.ID), portal.LetterRecover)[0]
			if err := owner.house.Auth.Reset(t.Context(), owner.tenant, owner.client(), testenv.TokenIn(t, link, "/auth/reset-password"), fresh); err != nil {
				t.Fatal(err)
			}
		},
		"by this wasn't me": func(t *testing.T, owner *browser, notice string) {
			if _, err := owner.house.Auth.Disown(t.Context(), owner.tenant, owner.client(), notice); err != nil {
				t.Fatal(err)
			}
		},
		"by a change of the password": func(t *testing.T, owner *browser, _ string) {
			ses := owner.in(t, "ann@buyer.example", testenv.Password)
			if _, err := owner.house.Auth.ChangePassword(t.Context(), owner.tenant, owner.client(), ses, testenv.Password, fresh); err != nil {
				t.Fatal(err)
			}
		},
		"by the ERP": func(t *testing.T, owner *browser, _ string) {
			owner.house.DB.Exec(t, `update public.customer_users set email = 'anna@buyer.example' where tenant_id = $1`, owner.tenant.ID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := testenv.NewHouse(t, testenv.Plan{})
			tenant := testenv.Tenant(t)
			h.Person(t, tenant, testenv.Visitor{})
			owner, thief := open(h, &tenant, "203.0.113.7"), open(h, &tenant, "198.51.100.1")
			owner.in(t, "ann@buyer.example", testenv.Password)
			ses := thief.in(t, "ann@buyer.example", testenv.Password)
			notice := testenv.TokenIn(t, one(t, h.Courier(t, tenant.ID), portal.LetterNewDevice), "/auth/not-me")
			if _, err := h.Auth.AskAddress(t.Context(), &tenant, thief.client(), ses, "thief@evil.example", testenv.Password); err != nil {
				t.Fatal(err)
			}
			h.Mail.Fails = func(m mail.Message) error {
				if m.To == "thief@evil.example" {
					return errors.New("451 greylisted")
				}
				return nil
			}
			h.Courier(t, tenant.ID)
			ends(t, owner, notice)
			h.Mail.Fails = nil
			h.Clock.Advance(time.Hour)
			if got := ofKind(h.Courier(t, tenant.ID), portal.LetterNewAddress); len(got) != 0 {
				t.Errorf("a link leaves for %s", got[0].To)
			}
			var state, why string
			h.DB.Row(t, `select state, last_error from portalgate.outbox where tenant_id = $1 and kind = 'new_address'`, []any{tenant.ID}, &state, &why)
			if state != "dropped" {
				t.Errorf("its letter is %s: %s", state, why)
			}
		})
	}
}
