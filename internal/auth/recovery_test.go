package auth_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

const (
	lost  portal.Email = "ann@buyer.example"
	given portal.Email = "ann@elsewhere.example"
)

// begun is a recovery that has begun, and the two mails about it.
type begun struct {
	portal.Recovery
	house    *testenv.House
	tenant   portal.Tenant
	ann      portal.UserID
	old, new mail.Message
	known    *browser // in which Ann has signed in before
}

func begin(t *testing.T) *begun {
	t.Helper()
	h := testenv.NewHouse(t, testenv.Plan{})
	r := &begun{house: h, tenant: testenv.Tenant(t)}
	r.ann = h.Person(t, r.tenant, testenv.Visitor{})
	r.known = open(h, &r.tenant, "203.0.113.8")
	r.known.in(t, string(lost), testenv.Password)
	h.Clock.Advance(time.Minute)
	r.Recovery = h.Recover(t, r.tenant.ID, lost, given)
	for _, m := range h.Courier(t, r.tenant.ID) {
		switch {
		case m.Kind != portal.LetterRecovery:
			t.Fatalf("a mail of kind %s left", m.Kind)
		case m.To == lost:
			r.old = m
		case m.To == given:
			r.new = m
		}
	}
	if r.old.To == "" || r.new.To == "" {
		t.Fatal("one of the two addresses hears nothing")
	}
	return r
}

func (r *begun) token(t *testing.T, m mail.Message) string {
	t.Helper()
	return testenv.TokenIn(t, m, "/auth/stop-recovery")
}

func (r *begun) state(t *testing.T) (state portal.RecoveryState, email string, sessions int) {
	t.Helper()
	r.house.DB.Row(t, `select (select state from portalgate.recoveries where id = $2), u.email, (select count(*) from portalgate.sessions where user_id = u.id and ended_at is null)
		from public.customer_users u where u.id = $1`, []any{r.ann, r.ID}, &state, &email, &sessions)
	return state, email, sessions
}

func (r *begun) is(t *testing.T, state portal.RecoveryState, email portal.Email) {
	t.Helper()
	if s, e, _ := r.state(t); s != state || e != string(email) {
		t.Errorf("the recovery is %s and the address %s, want %s and %s", s, e, state, email)
	}
}

// REC-11: an operator has seen whose the account is, and so nobody takes it back any more with what they were mailed before,
// or are mailed only now: a thief who has moved the address twice no more than one who has stolen the mailbox of before.
func TestAfterARecoveryNobodyTakesBackWhatWasChangedBefore(t *testing.T) {
	t.Parallel()
	thief, owners, thiefs := robbed(t)
	h, tenant := thief.house, thief.tenant
	h.Mail.Fails = func(m mail.Message) error {
		if m.To == "two@evil.example" {
			return errors.New("451 greylisted")
		}
		return nil
	}
	thief.asksFor(t, "three@evil.example")
	h.Recover(t, tenant.ID, "three@evil.example", given)
	h.Clock.Advance(portal.RecoveryWait)
	h.Courier(t, tenant.ID)
	h.Mail.Fails = nil
	h.Clock.Advance(2 * time.Hour)
	for _, m := range h.Courier(t, tenant.ID) {
		if m.To == "two@evil.example" {
			t.Errorf("a mail of kind %s leaves for %s", m.Kind, m.To)
		}
	}
	for _, link := range []string{thiefs, owners} {
		if err := thief.undo(link); kind(t, err) != portal.ProblemNotFound {
			t.Errorf("a change of before is taken back: %v", err)
		}
	}
	if got := addressOf(t, thief); got != string(given) {
		t.Errorf("the account is %s's", got)
	}
}

// M22, REC-10: a recovery waits a day, whatever hurries its letter; then the address is another, the password is shut,
// everybody is out, the old address hears of it, and the person chooses a password with a link that nobody else has seen.
func TestARecoveryWaitsADayAndThenOpensTheAccountAtTheNewAddress(t *testing.T) {
	t.Parallel()
	r := begin(t)
	h := r.house
	const account, new = "a•••@b•••.example", "a•••@e•••.example"
	if !strings.Contains(r.new.Text, account) || strings.Contains(r.old.Text, account) || !strings.Contains(r.old.Text, new) {
		t.Errorf("which address is told of which:\n%s\n%s", r.old.Text, r.new.Text)
	}
	if _, ok := r.known.session(t); !ok {
		t.Error("a recovery that waits signs people out")
	}
	h.Clock.Advance(portal.RecoveryWait - time.Minute)
	h.DB.Exec(t, `update portalgate.outbox set next_try_at = created_at where tenant_id = $1 and state = 'waiting'`, r.tenant.ID) // as `mail retry --all` does
	if mails := h.Courier(t, r.tenant.ID); len(mails) != 0 {
		t.Fatalf("before its time %d mails leave", len(mails))
	}
	r.is(t, portal.RecoveryWaits, lost)
	h.Clock.Advance(time.Minute)
	mails := h.Courier(t, r.tenant.ID)
	m := one(t, mails, portal.LetterRecover)
	r.is(t, portal.RecoveryDone, given)
	if m.To != given {
		t.Errorf("the link goes to %s", m.To)
	}
	if notice := one(t, h.Courier(t, r.tenant.ID), portal.LetterRecoveryDone); notice.To != lost {
		t.Errorf("the notice goes to %s", notice.To)
	}
	if _, ok := r.known.session(t); ok {
		t.Error("a session goes on")
	}
	if _, err := r.known.signIn(string(given), testenv.Password); kind(t, err) != portal.ProblemCredentials {
		t.Errorf("the old password at the new address: %v", err)
	}
	ann := open(h, &r.tenant, "203.0.113.7")
	if err := h.Auth.Reset(t.Context(), &r.tenant, ann.client(), testenv.TokenIn(t, m, "/auth/reset-password"), fresh); err != nil {
		t.Fatal(err)
	}
	ann.in(t, string(given), fresh)
	for _, told := range []mail.Message{r.old, r.new} {
		if err := h.Auth.StopRecovery(t.Context(), &r.tenant, ann.client(), r.token(t, told)); kind(t, err) != portal.ProblemNotFound {
			t.Errorf("stopped from %s when it is over: %v", told.To, err)
		}
	}
	var operator, reason, letters, addresses string
	h.DB.Row(t, `select operator, note, facts->>'to', (select octet_length(addresses)::text from portalgate.recoveries where id = $2) from portalgate.events where tenant_id = $1 and verb = 'RECOVERED'`,
		[]any{r.tenant.ID, r.ID}, &operator, &reason, &letters, &addresses)
	if operator != "olga" || reason != "passport shown" || letters != given.Masked() || addresses != "0" {
		t.Errorf("the trail says %q, %q, %q; %s bytes of addresses are left", operator, reason, letters, addresses)
	}
}

func TestARecoveryIsStoppedFromEitherMailboxAndLookingStopsNothing(t *testing.T) {
	t.Parallel()
	for name, which := range map[string]func(*begun) mail.Message{"the old one": func(r *begun) mail.Message { return r.old }, "the new one": func(r *begun) mail.Message { return r.new }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := begin(t)
			h, anybody := r.house, open(r.house, &r.tenant, "203.0.113.9")
			token := r.token(t, which(r))
			for range 3 {
				l, err := h.Auth.Look(t.Context(), &r.tenant, anybody.client(), token, "", portal.PurposeStop)
				if err != nil || !l.Due.Equal(r.DueAt) || l.Vouches {
					t.Fatalf("looking: %+v, %v", l, err)
				}
			}
			r.is(t, portal.RecoveryWaits, lost)
			if err := h.Auth.StopRecovery(t.Context(), &r.tenant, anybody.client(), token); err != nil {
				t.Fatal(err)
			}
			r.is(t, portal.RecoveryStopped, lost)
			h.Clock.Advance(2 * portal.RecoveryWait)
			if mails := h.Courier(t, r.tenant.ID); len(mails) != 0 {
				t.Errorf("%d mails leave after the stop", len(mails))
			}
			r.is(t, portal.RecoveryStopped, lost)
			if s := outbox(t, h, r.tenant); s.Waiting != 0 || s.Unerased != 0 {
				t.Errorf("of its letters is left: %+v", s)
			}
			open(h, &r.tenant, "203.0.113.10").in(t, string(lost), testenv.Password)
		})
	}
}

// Only a browser that the account knew before the help desk was called, with the mail to the new address, need not wait.
func TestABrowserThatTheAccountKnowsNeedNotWait(t *testing.T) {
	t.Parallel()
	r := begin(t)
	h := r.house
	stranger := open(h, &r.tenant, "203.0.113.9")
	late := open(h, &r.tenant, "203.0.113.10")
	late.in(t, string(lost), testenv.Password)
	h.DB.Exec(t, `delete from portalgate.outbox where tenant_id = $1 and kind = 'new_device'`, r.tenant.ID)
	for name, c := range map[string]struct {
		b *browser
		m mail.Message
	}{"a stranger": {stranger, r.new}, "a browser met since": {late, r.new}, "the old mailbox": {r.known, r.old}} {
		if l, err := h.Auth.Look(t.Context(), &r.tenant, c.b.client(), r.token(t, c.m), "", portal.PurposeStop); err != nil || l.Vouches {
			t.Errorf("%s is offered it: %+v, %v", name, l, err)
		}
		if err := h.Auth.AgreeRecovery(t.Context(), &r.tenant, c.b.client(), r.token(t, c.m)); kind(t, err) != portal.ProblemNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.is(t, portal.RecoveryWaits, lost)
	if l, err := h.Auth.Look(t.Context(), &r.tenant, r.known.client(), r.token(t, r.new), "", portal.PurposeStop); err != nil || !l.Vouches {
		t.Fatalf("a known browser is not offered it: %+v, %v", l, err)
	}
	if err := h.Auth.AgreeRecovery(t.Context(), &r.tenant, r.known.client(), r.token(t, r.new)); err != nil {
		t.Fatal(err)
	}
	one(t, h.Courier(t, r.tenant.ID), portal.LetterRecover)
	r.is(t, portal.RecoveryDone, given)
}

// Two pairs of eyes: whoever has begun a recovery cannot end its wait, however they spell their name.
func TestASecondOperatorEndsTheWaitAndTheFirstCannot(t *testing.T) {
	t.Parallel()
	r := begin(t)
	confirm := func(who string) (ok bool) {
		r.house.AsOperator(t, r.tenant.ID, func(x *store.Tx) error {
			at, err := x.Recovery(t.Context(), r.ID)
			if err != nil {
				return err
			}
			ok, err = x.ConfirmRecovery(t.Context(), at, store.Deed{Operator: who, Reason: "called back"})
			return err
		})
		return ok
	}
	for _, same := range []string{"olga", "Olga", " OLGA "} {
		if confirm(same) {
			t.Errorf("%q confirms what olga has begun", same)
		}
	}
	if mails := r.house.Courier(t, r.tenant.ID); len(mails) != 0 {
		t.Fatalf("%d mails leave", len(mails))
	}
	if !confirm("otto") || confirm("otilie") {
		t.Error("a second operator confirms it, once")
	}
	one(t, r.house.Courier(t, r.tenant.ID), portal.LetterRecover)
	r.is(t, portal.RecoveryDone, given)
}

// A recovery that cannot be carried out changes nothing, and says why.
func TestARecoveryThatCannotBeCarriedOutChangesNothing(t *testing.T) {
	t.Parallel()
	for why, change := range map[string]func(*begun){
		"somebody else has the new address by now": func(r *begun) { r.house.Person(t, r.tenant, testenv.Visitor{Email: string(given)}) },
		"the account has another address by now": func(r *begun) {
			r.house.DB.Exec(t, `update public.customer_users set email = 'third@buyer.example' where id = $1`, r.ann)
		},
		"the account may not be used any more": func(r *begun) {
			r.house.DB.Exec(t, `update public.customer_users set is_active = false where id = $1`, r.ann)
		},
	} {
		r := begin(t)
		change(r)
		r.house.Clock.Advance(portal.RecoveryWait)
		if mails := r.house.Courier(t, r.tenant.ID); len(mails) != 0 {
			t.Errorf("%s: %d mails leave", why, len(mails))
		}
		var said string
		r.house.DB.Row(t, `select why from portalgate.recoveries where id = $1 and state = 'failed'`, []any{r.ID}, &said)
		if said != why {
			t.Errorf("it says %q, and not %q", said, why)
		}
	}
}

// A mail that does not leave after the deed is tried again, with a link of its own; nothing is done twice.
func TestAfterAMailThatDidNotLeaveTheRecoveryIsNotCarriedOutAgain(t *testing.T) {
	t.Parallel()
	r := begin(t)
	h := r.house
	h.Clock.Advance(portal.RecoveryWait)
	h.Mail.Fails = func(m mail.Message) error {
		if m.Kind == portal.LetterRecover {
			return context.DeadlineExceeded
		}
		return nil
	}
	h.Courier(t, r.tenant.ID)
	r.is(t, portal.RecoveryDone, given)
	h.Mail.Fails = nil
	h.Clock.Advance(time.Hour)
	var m mail.Message
	for _, sent := range h.Courier(t, r.tenant.ID) {
		if sent.Kind == portal.LetterRecover {
			m = sent
		}
	}
	if err := h.Auth.Reset(t.Context(), &r.tenant, open(h, &r.tenant, "203.0.113.7").client(), testenv.TokenIn(t, m, "/auth/reset-password"), fresh); err != nil {
		t.Fatal(err)
	}
	var deeds int
	h.DB.Row(t, `select count(*) from portalgate.events where tenant_id = $1 and verb = 'RECOVERED'`, []any{r.tenant.ID}, &deeds)
	if deeds != 1 {
		t.Errorf("it is carried out %d times", deeds)
	}
}

// Stop and due at the same moment, on two gateways, with an operator who stops it as well: one of them wins, and the
// account is as that one has it.
func TestOfAStopAndADueRecoveryAtTheSameMomentOneWins(t *testing.T) {
	t.Parallel()
	for range 6 {
		r := begin(t)
		h, other := r.house, r.house.Neighbour(t)
		h.Clock.Advance(portal.RecoveryWait)
		anybody := open(other, &r.tenant, "203.0.113.9").client()
		token := r.token(t, r.old)
		var (
			wg       sync.WaitGroup
			start    = make(chan struct{})
			stopped  error
			operator bool
		)
		for _, house := range []*testenv.House{h, other} {
			wg.Go(func() {
				<-start
				if err := house.Auth.DeliverOne(context.Background(), store.Due{Tenant: r.tenant.ID, Letter: r.Letter}); err != nil {
					t.Logf("delivering: %v", err) // whoever comes late may be refused, and the letter is tried again
				}
			})
		}
		wg.Go(func() {
			<-start
			stopped = other.Auth.StopRecovery(context.Background(), &r.tenant, anybody, token)
		})
		wg.Go(func() {
			<-start
			h.AsOperator(t, r.tenant.ID, func(x *store.Tx) (err error) {
				operator, err = x.StopRecovery(context.Background(), store.Recovery{Recovery: r.Recovery}, store.Deed{Operator: "otto"})
				return err
			})
		})
		close(start)
		wg.Wait()
		h.Courier(t, r.tenant.ID)
		state, email, sessions := r.state(t)
		var deeds int
		h.DB.Row(t, `select count(*) from portalgate.events where tenant_id = $1 and verb = 'RECOVERED'`, []any{r.tenant.ID}, &deeds)
		switch {
		case state == portal.RecoveryDone && (stopped == nil || operator || email != string(given) || sessions != 0 || deeds != 1),
			state == portal.RecoveryStopped && ((stopped == nil) == operator || email != string(lost) || sessions != 1 || deeds != 0),
			state != portal.RecoveryDone && state != portal.RecoveryStopped:
			t.Errorf("%s: stopped by its owner: %v, by an operator: %t; the address is %s, %d sessions, %d deeds", state, stopped, operator, email, sessions, deeds)
		}
	}
}

// A dump holds no address of a recovery in clear, nor a link of its mails.
func TestARecoveryIsSealedInTheDatabase(t *testing.T) {
	t.Parallel()
	r := begin(t)
	var dump string
	r.house.DB.Row(t, `select (select string_agg(r::text, '') from portalgate.recoveries r where tenant_id = $1) || (select string_agg(o::text, '') from portalgate.outbox o where tenant_id = $1)
		|| (select string_agg(k.id::text || k.digest::text || k.content, '') from portalgate.tickets k where tenant_id = $1)`, []any{r.tenant.ID}, &dump)
	for _, secret := range []string{string(lost), string(given), r.token(t, r.old), r.token(t, r.new)} {
		if strings.Contains(dump, secret) {
			t.Errorf("%q is in the database", secret)
		}
	}
}
