package auth_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/internal/testenv"
)

// posthouse is a house whose courier claims letters of all tenants, in a database of its own.
func posthouse(t *testing.T) (*testenv.House, portal.Tenant) {
	t.Helper()
	db := testenv.FreshDatabase(t)
	h := testenv.NewHouse(t, testenv.Plan{DB: &db})
	return h, db.Tenant(t)
}

// courier runs until nothing is due.
func courier(t testing.TB, h *testenv.House) {
	t.Helper()
	for {
		n, err := h.Auth.Deliver(context.Background(), 10, func(err error) { t.Error(err) })
		if err != nil {
			t.Error(err)
		}
		if n == 0 {
			return
		}
	}
}

type boxed struct {
	Waiting, Sent, Dropped, Failed, Unerased int
}

func outbox(t testing.TB, h *testenv.House, tenant portal.Tenant) (s boxed) {
	t.Helper()
	h.DB.Row(t, `select count(*) filter (where state = 'waiting'), count(*) filter (where state = 'sent'), count(*) filter (where state = 'dropped'), count(*) filter (where state = 'failed'),
		count(*) filter (where state in ('sent', 'dropped') and (content is not null or address <> ''))
		from portalgate.outbox where tenant_id = $1`, []any{tenant.ID}, &s.Waiting, &s.Sent, &s.Dropped, &s.Failed, &s.Unerased)
	return s
}

func TestTwoCouriersSendEachLetterOnceAndEraseIt(t *testing.T) {
	t.Parallel()
	h, tenant := posthouse(t)
	b := open(h, &tenant, "203.0.113.7")
	for i := range 40 {
		email := fmt.Sprintf("p%d@buyer.example", i)
		h.Person(t, tenant, testenv.Visitor{Email: email})
		b.askReset(t, email)
	}
	other := h.Neighbour(t)
	var wg sync.WaitGroup
	for _, house := range []*testenv.House{h, other, h, other} {
		wg.Go(func() { courier(t, house) })
	}
	wg.Wait()
	to := map[portal.Email]int{}
	for _, m := range h.Mail.Sent(tenant.ID) {
		to[m.To]++
	}
	if len(to) != 40 || slices.Max(slices.Collect(maps.Values(to))) != 1 {
		t.Errorf("mails by address: %v", to)
	}
	if s := outbox(t, h, tenant); s != (boxed{Sent: 40}) {
		t.Errorf("%+v", s)
	}
}

func TestAProviderThatIsDownForAnHourLosesNothing(t *testing.T) {
	t.Parallel()
	h, tenant := posthouse(t)
	b := open(h, &tenant, "203.0.113.7")
	for i := range 6 {
		email := fmt.Sprintf("p%d@buyer.example", i)
		h.Person(t, tenant, testenv.Visitor{Email: email})
		b.askReset(t, email)
	}
	var tries atomic.Int64
	h.Mail.Fails = func(mail.Message) error { tries.Add(1); return errors.New("421 come back later") }
	for range 120 {
		courier(t, h)
		h.Clock.Advance(30 * time.Second)
	}
	if s := outbox(t, h, tenant); s != (boxed{Waiting: 6}) {
		t.Errorf("after an hour: %+v", s)
	}
	if n := tries.Load(); n < 6*4 || n > 6*9 {
		t.Errorf("%d tries of six letters in an hour", n)
	}
	h.Mail.Fails = nil
	h.Clock.Advance(80 * time.Minute) // the longest pause between two tries, and its spread
	courier(t, h)
	if s := outbox(t, h, tenant); s != (boxed{Sent: 6}) {
		t.Errorf("at the end: %+v", s)
	}
	// The link's hour begins when its mail leaves.
	m := h.Mail.Sent(tenant.ID)[0]
	if _, err := h.Auth.Look(t.Context(), &tenant, b.client(), testenv.TokenIn(t, m, "/auth/reset-password"), "", portal.PurposeRecover); err != nil {
		t.Errorf("the link: %v", err)
	}
}

func TestALetterThatNobodyWillEverTakeIsPutAsideAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	h, tenant := posthouse(t)
	b := open(h, &tenant, "203.0.113.7")
	for _, email := range []string{"bad@buyer.example", "ann@buyer.example"} {
		h.Person(t, tenant, testenv.Visitor{Email: email})
		b.askReset(t, email)
	}
	h.Mail.Fails = func(m mail.Message) error {
		if m.To == "bad@buyer.example" {
			return fmt.Errorf("550 no such mailbox: %w", mail.ErrRejected)
		}
		return nil
	}
	courier(t, h)
	if s := outbox(t, h, tenant); s != (boxed{Sent: 1, Failed: 1}) {
		t.Errorf("%+v", s)
	}
	// An operator sees it, and sends it again when the mailbox is mended.
	h.Mail.Fails = nil
	ops, err := store.Open(h.DB.OperatorURL, store.Options{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer ops.Close()
	err = ops.Within(t.Context(), tenant.ID, h.Clock.Now(), func(x *store.Tx) error {
		list, err := x.Letters(t.Context(), "failed", 10)
		if err != nil {
			return err
		}
		if len(list) != 1 || !strings.Contains(list[0].LastError, "550") || list[0].Tries != 1 {
			t.Errorf("%+v", list)
		}
		n, err := x.RetryLetters(t.Context(), list[0].ID, store.Deed{Operator: "test"})
		if n != 1 {
			t.Errorf("%d letters are sent again", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	courier(t, h)
	if s := outbox(t, h, tenant); s != (boxed{Sent: 2}) {
		t.Errorf("after the retry: %+v", s)
	}
}

// The one doubt: the provider has said yes and the courier dies before it can note it. The letter comes again after two
// minutes, with the same Message-ID, and its newer link is the one that counts.
func TestACourierThatDiesAfterTheProvidersYesSendsTheSameMailAgain(t *testing.T) {
	t.Parallel()
	h, tenant := posthouse(t)
	h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "203.0.113.7")
	b.askReset(t, "ann@buyer.example")
	var died mail.Message
	h.Mail.Fails = func(m mail.Message) error {
		died = m
		h.DB.Exec(t, `alter table portalgate.outbox add constraint dead check (state <> 'sent') not valid, add constraint dying check (last_error = '') not valid`)
		return nil
	}
	if n, err := h.Auth.Deliver(t.Context(), 10, func(error) {}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	h.DB.Exec(t, `alter table portalgate.outbox drop constraint dead, drop constraint dying`)
	h.Mail.Fails = nil
	courier(t, h)
	if n := len(h.Mail.Sent(tenant.ID)); n != 1 {
		t.Fatalf("%d mails, before anybody could know that the courier is dead", n)
	}
	h.Clock.Advance(2*time.Minute + time.Second)
	courier(t, h)
	sent := h.Mail.Sent(tenant.ID)
	if len(sent) != 2 || sent[1].ID != died.ID || died.ID == "" {
		t.Fatalf("%d mails, %q and %q", len(sent), died.ID, sent[len(sent)-1].ID)
	}
	if err := h.Auth.Reset(t.Context(), &tenant, b.client(), testenv.TokenIn(t, died, "/auth/reset-password"), fresh); kind(t, err) != portal.ProblemNotFound {
		t.Errorf("the link of the first: %v", err)
	}
	if err := h.Auth.Reset(t.Context(), &tenant, b.client(), testenv.TokenIn(t, sent[1], "/auth/reset-password"), fresh); err != nil {
		t.Errorf("the link of the second: %v", err)
	}
}

func TestALateCodeIsDroppedAndAnyOtherLateLetterPutAside(t *testing.T) {
	t.Parallel()
	h, tenant := posthouse(t)
	id := h.Person(t, tenant, testenv.Visitor{})
	now := h.Clock.Now()
	for _, l := range []portal.Letter{
		{Kind: portal.LetterCode, User: id, To: "ann@buyer.example", Facts: map[string]string{"code": "123456"}, Expires: now.Add(10 * time.Minute)},
		{Kind: portal.LetterNewDevice, User: id, To: "ann@buyer.example", Facts: map[string]string{"device": "Firefox on Windows"}},
	} {
		q, err := auth.Seal(h.Keys, tenant.ID, l, now)
		if err != nil {
			t.Fatal(err)
		}
		h.Queue(t, tenant.ID, q)
	}
	h.Mail.Fails = func(mail.Message) error { return errors.New("421 later") }
	courier(t, h)
	h.Clock.Advance(11 * time.Minute)
	h.Mail.Fails = func(m mail.Message) error {
		if m.Kind == portal.LetterCode {
			t.Error("a late code leaves")
		}
		return errors.New("421 later")
	}
	courier(t, h)
	if s := outbox(t, h, tenant); s != (boxed{Waiting: 1, Dropped: 1}) {
		t.Errorf("%+v", s)
	}
	h.Clock.Advance(73 * time.Hour)
	courier(t, h)
	if s := outbox(t, h, tenant); s != (boxed{Failed: 1, Dropped: 1}) {
		t.Errorf("after three days: %+v", s)
	}
}

// A mail says of which region its tenant is, so that the configuration can choose who carries it.
func TestAMailKnowsItsTenantsRegion(t *testing.T) {
	t.Parallel()
	h, tenant := posthouse(t)
	h.DB.Exec(t, `insert into portalgate.settings (tenant_id, key, value, changed_at) values ($1, 'mail_region', '"eu"', now())`, tenant.ID)
	h.Person(t, tenant, testenv.Visitor{Email: "ann@buyer.example"})
	b := open(h, &tenant, "203.0.113.7")
	b.askReset(t, "ann@buyer.example")
	courier(t, h)
	if sent := h.Mail.Sent(tenant.ID); len(sent) != 1 || sent[0].Region != "eu" {
		t.Errorf("%+v", sent)
	}
}

// Looking for letters is a question to the database: only who has posted one causes it.
func TestOnlyAPostedLetterWakesTheCourier(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	woken := 0
	h.Auth.Wake = func() { woken++ }
	b := open(h, &tenant, "203.0.113.7")
	b.in(t, "ann@buyer.example", testenv.Password)
	_, _ = b.signIn("ann@buyer.example", "wrong")
	b.in(t, "ann@buyer.example", testenv.Password)
	if woken != 0 {
		t.Errorf("sign-ins that post nothing wake the courier %d times", woken)
	}
	b.askReset(t, "ann@buyer.example")
	if woken != 1 {
		t.Errorf("asking for a mail wakes it %d times", woken)
	}
}

// A letter whose key is gone is put aside at once and told in the log, and not claimed again for ever.
func TestALetterThatDoesNotOpenIsPutAside(t *testing.T) {
	t.Parallel()
	h, tenant := posthouse(t)
	h.Person(t, tenant, testenv.Visitor{})
	open(h, &tenant, "203.0.113.7").askReset(t, "ann@buyer.example")
	h.DB.Exec(t, `update portalgate.outbox set content = 'v1:gone:AAAA' where tenant_id = $1`, tenant.ID)
	var told []error
	for range 3 {
		if _, err := h.Auth.Deliver(t.Context(), 10, func(err error) { told = append(told, err) }); err != nil {
			t.Fatal(err)
		}
		h.Clock.Advance(5 * time.Minute)
	}
	if got := outbox(t, h, tenant); got.Failed != 1 || got.Waiting != 0 || len(told) != 1 {
		t.Errorf("%+v, told %d times: %v", got, len(told), told)
	}
}
