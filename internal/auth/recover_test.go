package auth_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/testenv"
)

// one is the only mail there is.
func one(t testing.TB, mails []mail.Message, kind portal.LetterKind) mail.Message {
	t.Helper()
	var kinds []portal.LetterKind
	for _, m := range mails {
		kinds = append(kinds, m.Kind)
	}
	if len(mails) != 1 || mails[0].Kind != kind {
		t.Fatalf("the mails are %v, and should be one, %s", kinds, kind)
	}
	return mails[0]
}

func (b *browser) askReset(t testing.TB, email string) {
	t.Helper()
	if _, err := b.house.Auth.AskReset(t.Context(), b.tenant, b.client(), email); err != nil {
		t.Fatalf("asking for a reset of %s: %v", email, err)
	}
}

// REC-02, REC-04, REC-05: a reset works once, signs nobody in, and ends sessions, families, attempts and known browsers.
func TestAResetEndsAllThatHungOnTheOldPasswordAndSignsNobodyIn(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	phone, laptop := open(h, &tenant, "203.0.113.8"), open(h, &tenant, "203.0.113.9")
	phone.in(t, "ann@buyer.example", testenv.Password)
	laptop.in(t, "ann@buyer.example", testenv.Password)
	h.Courier(t, tenant.ID)

	ann := open(h, &tenant, "203.0.113.7")
	ann.askReset(t, "ANN@Buyer.Example ")
	m := one(t, h.Courier(t, tenant.ID), portal.LetterRecover)
	if m.To != "ann@buyer.example" || m.From.Email != "no-reply@"+tenant.Slug+".example" || m.ID == "" || m.Date.IsZero() {
		t.Errorf("the mail goes to %s from %+v", m.To, m.From)
	}
	token := testenv.TokenIn(t, m, "/auth/reset-password")
	for range 3 { // looking spends nothing (REC-08)
		if l, err := h.Auth.Look(t.Context(), &tenant, ann.client(), token, "", portal.PurposeRecover); err != nil || l.Email != "ann@buyer.example" {
			t.Fatalf("looking: %+v, %v", l, err)
		}
	}
	if err := h.Auth.Reset(t.Context(), &tenant, ann.client(), token, "short"); kind(t, err) != portal.ProblemInput {
		t.Errorf("a short password: %v", err)
	}
	if err := h.Auth.Reset(t.Context(), &tenant, ann.client(), token, fresh); err != nil {
		t.Fatal(err)
	}
	if err := h.Auth.Reset(t.Context(), &tenant, ann.client(), token, fresh+"!"); kind(t, err) != portal.ProblemNotFound {
		t.Errorf("a second time: %v", err)
	}
	for name, b := range map[string]*browser{"the phone": phone, "the laptop": laptop} {
		if _, ok := b.session(t); ok {
			t.Errorf("%s goes on", name)
		}
		if _, err := h.Sessions.Resume(t.Context(), &tenant, session.Cookies{Refresh: b.cookies.Refresh}, b.client(), true); kind(t, err) != portal.ProblemSessionExpired {
			t.Errorf("%s, the refresh cookie: %v", name, err)
		}
	}
	var devices, sessions int
	h.DB.Row(t, `select (select count(*) from portalgate.devices where tenant_id = $1), (select count(*) from portalgate.sessions where tenant_id = $1 and ended_at is null)`, []any{tenant.ID}, &devices, &sessions)
	if devices != 0 || sessions != 0 {
		t.Errorf("%d browsers are known, %d sessions live", devices, sessions)
	}
	if _, err := ann.signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemCredentials {
		t.Errorf("the old password: %v", err)
	}
	ann.in(t, "ann@buyer.example", fresh)
	notice := one(t, h.Courier(t, tenant.ID), portal.LetterReset)
	testenv.TokenIn(t, notice, "/auth/not-me")
	trailed(t, h, tenant, "LOGIN ok 203.0.113.8", "LOGIN ok 203.0.113.9", "RESET_ASKED ok 203.0.113.7", "PASSWORD_RESET ok 203.0.113.7", "LOGIN_FAILED refused 203.0.113.7", "LOGIN ok 203.0.113.7")
}

// REC-02 ★: twenty posts of one link at the same moment are one reset.
func TestALinkIsSpentOnceByTwentyParallelPosts(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	other := h.Neighbour(t)
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	ann := open(h, &tenant, "203.0.113.7")
	ann.askReset(t, "ann@buyer.example")
	token := testenv.TokenIn(t, one(t, h.Courier(t, tenant.ID), portal.LetterRecover), "/auth/reset-password")
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		done []string
		gate = make(chan struct{})
	)
	for i := range 20 {
		wg.Go(func() {
			<-gate
			house := h
			if i%2 == 1 {
				house = other
			}
			next := fmt.Sprintf("lorry %d of the morning", i)
			err := house.Auth.Reset(context.Background(), &tenant, ann.client(), token, next)
			if err == nil {
				mu.Lock()
				done = append(done, next)
				mu.Unlock()
			} else if k := kind(t, err); k != portal.ProblemNotFound && k != portal.ProblemInput && k != portal.ProblemBusy {
				t.Errorf("post %d: %v", i, err)
			}
		})
	}
	close(gate)
	wg.Wait()
	if len(done) != 1 {
		t.Fatalf("%d of twenty posts were taken", len(done))
	}
	ann.in(t, "ann@buyer.example", done[0])
}

// REC-02: a link is void after an hour, after a newer one, and after the account changed in any way.
func TestALinkIsVoidWhenItIsOldReplacedOrTheAccountIsAnother(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(t *testing.T, h *testenv.House, tenant *portal.Tenant, id portal.UserID){
		"after an hour": func(_ *testing.T, h *testenv.House, _ *portal.Tenant, _ portal.UserID) { h.Clock.Advance(time.Hour) },
		"after a newer one": func(t *testing.T, h *testenv.House, tenant *portal.Tenant, _ portal.UserID) {
			h.Clock.Advance(3 * time.Minute)
			open(h, tenant, "198.51.100.1").askReset(t, "ann@buyer.example")
			one(t, h.Courier(t, tenant.ID), portal.LetterRecover)
		},
		"after the ERP changed the password": func(t *testing.T, h *testenv.House, _ *portal.Tenant, id portal.UserID) {
			h.DB.Exec(t, `update public.customer_users set password_hash = '$2b$10$abcdefghijklmnopqrstuv' where id = $1`, id)
		},
		"after the ERP changed the address": func(t *testing.T, h *testenv.House, _ *portal.Tenant, id portal.UserID) {
			h.DB.Exec(t, `update public.customer_users set email = 'other@buyer.example' where id = $1`, id)
		},
		"after the person was switched off": func(t *testing.T, h *testenv.House, _ *portal.Tenant, id portal.UserID) {
			h.DB.Exec(t, `update public.customer_users set is_active = false where id = $1`, id)
		},
		"after the person was deleted": func(t *testing.T, h *testenv.House, _ *portal.Tenant, id portal.UserID) {
			h.DB.Exec(t, `update public.customer_users set deleted_at = now() where id = $1`, id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := testenv.NewHouse(t, testenv.Plan{})
			tenant := testenv.Tenant(t)
			id := h.Person(t, tenant, testenv.Visitor{})
			b := open(h, &tenant, "203.0.113.7")
			b.askReset(t, "ann@buyer.example")
			token := testenv.TokenIn(t, one(t, h.Courier(t, tenant.ID), portal.LetterRecover), "/auth/reset-password")
			if _, err := h.Auth.Look(t.Context(), &tenant, b.client(), token, "", portal.PurposeRecover); err != nil {
				t.Fatal(err)
			}
			do(t, h, &tenant, id)
			if _, err := h.Auth.Look(t.Context(), &tenant, b.client(), token, "", portal.PurposeRecover); kind(t, err) != portal.ProblemNotFound {
				t.Errorf("looking: %v", err)
			}
			if err := h.Auth.Reset(t.Context(), &tenant, b.client(), token, fresh); kind(t, err) != portal.ProblemNotFound {
				t.Errorf("resetting: %v", err)
			}
		})
	}
}

// TEN-03, TOK-02, REC-03: a link is nothing at another tenant, at another door, cut, lengthened, or empty.
func TestALinkOpensNothingAnywhereElse(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	a, b := testenv.Tenant(t), testenv.Tenant(t)
	for _, tenant := range []portal.Tenant{a, b} {
		h.Person(t, tenant, testenv.Visitor{})
	}
	here, there := open(h, &a, "203.0.113.7"), open(h, &b, "203.0.113.7")
	here.askReset(t, "ann@buyer.example")
	token := testenv.TokenIn(t, one(t, h.Courier(t, a.ID), portal.LetterRecover), "/auth/reset-password")
	if err := h.Auth.Reset(t.Context(), &b, there.client(), token, fresh); kind(t, err) != portal.ProblemNotFound {
		t.Errorf("at the other tenant: %v", err)
	}
	if _, err := h.Auth.Verify(t.Context(), &a, here.client(), token, ""); kind(t, err) != portal.ProblemNotFound {
		t.Errorf("as a confirmation: %v", err)
	}
	if err := h.Auth.Accept(t.Context(), &a, here.client(), token, fresh); kind(t, err) != portal.ProblemNotFound {
		t.Errorf("as an invitation: %v", err)
	}
	if err := h.Auth.Undo(t.Context(), &a, here.client(), token); kind(t, err) != portal.ProblemNotFound {
		t.Errorf("as an undo: %v", err)
	}
	for _, bad := range []string{"", token[:42], token + "A", strings.ToUpper(token), strings.Repeat("A", 43), "null", "undefined"} {
		if err := h.Auth.Reset(t.Context(), &a, here.client(), bad, fresh); kind(t, err) != portal.ProblemNotFound {
			t.Errorf("%q: %v", bad, err)
		}
	}
	there.in(t, "ann@buyer.example", testenv.Password)
	here.in(t, "ann@buyer.example", testenv.Password)
	if err := h.Auth.Reset(t.Context(), &a, here.client(), token, fresh); err != nil {
		t.Errorf("at its own door: %v", err)
	}
	there.in(t, "ann@buyer.example", testenv.Password)
}

// REC-01, REC-07: whoever asks hears the same; a mail leaves only for a person who may be here, to the stored address.
func TestAResetIsMailedOnlyToWhomeverHasTheAddress(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	h.Person(t, tenant, testenv.Visitor{Email: "off@buyer.example"})
	h.Person(t, tenant, testenv.Visitor{Email: "gone@buyer.example"})
	h.Person(t, tenant, testenv.Visitor{Email: "sso@buyer.example"})
	h.Person(t, tenant, testenv.Visitor{Email: "new@buyer.example", Unverified: true})
	h.DB.Exec(t, `update public.customer_users set is_active = false where tenant_id = $1 and email = 'off@buyer.example'`, tenant.ID)
	h.DB.Exec(t, `update public.customer_users set deleted_at = now() where tenant_id = $1 and email = 'gone@buyer.example'`, tenant.ID)
	h.DB.Exec(t, `update public.customer_users set password_hash = null, sso_provider = 'x' where tenant_id = $1 and email = 'sso@buyer.example'`, tenant.ID)
	b := open(h, &tenant, "203.0.113.7")
	for _, email := range []string{"ann@buyer.example", "off@buyer.example", "gone@buyer.example", "sso@buyer.example", "new@buyer.example", "nobody@buyer.example"} {
		b.askReset(t, email)
	}
	var to []string
	for _, m := range h.Courier(t, tenant.ID) {
		to = append(to, string(m.To))
	}
	slices.Sort(to)
	if want := []string{"ann@buyer.example", "new@buyer.example"}; !slices.Equal(to, want) {
		t.Errorf("mails to %q, and should be to %q", to, want)
	}
	for _, bad := range []string{"ann@buyer.example,eve@evil.test", "ann@buyer.example\r\nBcc: eve@evil.test", "al\u0131ce@x.test", "", "ann", "ann@buyer.example ann@evil.test"} {
		if _, err := h.Auth.AskReset(t.Context(), &tenant, b.client(), bad); kind(t, err) != portal.ProblemInput {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// REC-09: a flood neither fills a mailbox nor makes the link void that its owner is using more often than three times
// an hour, and the account is as it was.
func TestAFloodOfResetsReachesAMailboxThreeTimesAnHour(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	id := h.Person(t, tenant, testenv.Visitor{})
	before := stored(t, h, id)
	refusals, mails := 0, []mail.Message{}
	for i := range 120 { // an hour, from as many networks
		b := open(h, &tenant, fmt.Sprintf("203.0.%d.7", i))
		if _, err := h.Auth.AskReset(t.Context(), &tenant, b.client(), "ann@buyer.example"); kind(t, err) == portal.ProblemLimit {
			refusals++
		}
		h.Clock.Advance(29 * time.Second)
		mails = append(mails, h.Courier(t, tenant.ID)...)
	}
	if len(mails) != 3 || refusals < 60 {
		t.Errorf("%d mails, %d refusals", len(mails), refusals)
	}
	if s := stored(t, h, id); s != before {
		t.Errorf("the account was changed: %+v", s)
	}
	b := open(h, &tenant, "198.51.100.7")
	if err := h.Auth.Reset(t.Context(), &tenant, b.client(), testenv.TokenIn(t, mails[2], "/auth/reset-password"), fresh); err != nil {
		t.Errorf("the last link: %v", err)
	}
	h.Clock.Advance(time.Hour)
	b.askReset(t, "ann@buyer.example")
	if got := h.Courier(t, tenant.ID); len(got) != 2 { // the notice of the reset, and the link
		t.Errorf("an hour later %d mails", len(got))
	}
}

// A newer link that never arrived makes no older one void.
func TestAnUndeliveredLinkLeavesTheOneBeforeGood(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "203.0.113.7")
	b.askReset(t, "ann@buyer.example")
	token := testenv.TokenIn(t, one(t, h.Courier(t, tenant.ID), portal.LetterRecover), "/auth/reset-password")
	h.Clock.Advance(3 * time.Minute)
	h.Mail.Fails = func(mail.Message) error { return errors.New("no route") }
	b.askReset(t, "ann@buyer.example")
	if got := h.Courier(t, tenant.ID); len(got) != 0 {
		t.Fatalf("%d mails left", len(got))
	}
	if err := h.Auth.Reset(t.Context(), &tenant, b.client(), token, fresh); err != nil {
		t.Errorf("the link that arrived: %v", err)
	}
}

// M04: at the first rest the owner gets one mail, with a link that lets that browser try at once.
func TestTheOwnerIsToldOfTheFirstRestAndMayTryNow(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	stranger, ann := open(h, &tenant, "198.51.100.1"), open(h, &tenant, "203.0.113.7")
	for range 5 {
		_, _ = stranger.signIn("ann@buyer.example", "wrong")
	}
	token := testenv.TokenIn(t, one(t, h.Courier(t, tenant.ID), portal.LetterPaused), "/auth/try-now")
	if _, err := ann.signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemLimit {
		t.Fatalf("while it rests: %v", err)
	}
	given, err := h.Auth.TryNow(t.Context(), &tenant, ann.client(), token)
	if err != nil || given == nil {
		t.Fatal(err)
	}
	if _, err := h.Auth.TryNow(t.Context(), &tenant, stranger.client(), token); kind(t, err) != portal.ProblemNotFound {
		t.Errorf("a second time: %v", err)
	}
	ann.take(session.Grant{Device: given})
	ann.in(t, "ann@buyer.example", testenv.Password)
	if _, err := stranger.signIn("ann@buyer.example", testenv.Password); kind(t, err) != portal.ProblemLimit {
		t.Errorf("the stranger: %v", err)
	}
	h.Clock.Advance(31 * time.Minute)
	_, _ = stranger.signIn("ann@buyer.example", "wrong") // the sixth: another rest, no other mail
	for _, m := range h.Courier(t, tenant.ID) {
		if m.Kind == portal.LetterPaused {
			t.Error("a second mail about a rest")
		}
	}
}
