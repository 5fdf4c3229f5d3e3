package auth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/sms"
	"github.com/portalgate/portalgate/internal/testenv"
)

const phone = "+4915112345678"

// textCode posts a code for a telephone, as a flow does.
func textCode(t *testing.T, h *testenv.House, n portal.Tenant, user portal.UserID, to, code string) {
	t.Helper()
	now := h.Clock.Now()
	q, err := auth.Seal(h.Keys, n.ID, portal.Letter{Kind: portal.LetterTextCode, User: user, To: portal.Email(to), Facts: map[string]string{"code": code}, Once: string(user), Expires: now.Add(10 * time.Minute)}, now)
	if err != nil {
		t.Fatal(err)
	}
	h.Queue(t, n.ID, q)
}

// codes are what has arrived so far: the code of each message.
func codes(h *testenv.House, n portal.Tenant) (out []string) {
	for _, m := range h.Text.Sent(n.ID) {
		code, _, _ := strings.Cut(m.Text, " ")
		out = append(out, code)
	}
	return out
}

func TestACodeArrivesByTextMessageInThePersonsLanguageAndIsErased(t *testing.T) {
	t.Parallel()
	h, tenant := posthouse(t)
	id := h.Person(t, tenant, testenv.Visitor{})
	h.DB.Exec(t, `update public.customer_users set preferred_language = 'de' where id = $1`, id)
	textCode(t, h, tenant, id, phone, "918273")
	courier(t, h)
	sent := h.Text.Sent(tenant.ID)
	host := strings.TrimPrefix(h.Auth.Origin(&tenant), "https://")
	if len(sent) != 1 || sent[0].To != phone || sent[0].Slug != tenant.Slug || sent[0].ID == "" || sent[0].Within != 10*time.Minute ||
		!strings.HasPrefix(sent[0].Text, "918273 ist Ihr Code für ") || !strings.Contains(sent[0].Text, "10 Minuten") || !strings.HasSuffix(sent[0].Text, "\n@"+host+" #918273") {
		t.Errorf("%d messages: %+v", len(sent), []any{sent, sent[0].To, sent[0].Text, sent[0].Within})
	}
	if s := outbox(t, h, tenant); s != (boxed{Sent: 1}) {
		t.Errorf("%+v", s)
	}
	if n := len(h.Mail.Sent(tenant.ID)); n != 0 {
		t.Errorf("%d mails left as well", n)
	}
}

// Whoever reads the table, or the log, finds neither the code nor the number: while it waits, after a failure, after a
// refusal, and when it has left.
func TestNeitherCodeNorNumberStandsInTheOutboxOrInAnError(t *testing.T) { // OOB-04
	t.Parallel()
	h, tenant := posthouse(t)
	look := func(when string) {
		t.Helper()
		var rows string
		h.DB.Row(t, `select string_agg(o::text || encode(address, 'escape') || coalesce(encode(content, 'escape'), ''), E'\n') from portalgate.outbox o where tenant_id = $1`, []any{tenant.ID}, &rows)
		for _, secret := range []string{"918273", "15112345678"} {
			if rows == "" || strings.Contains(rows, secret) {
				t.Errorf("%s the row shows %q: %s", when, secret, rows)
			}
		}
	}
	deliver := func() {
		t.Helper()
		if _, err := h.Auth.Deliver(context.Background(), 10, func(err error) {
			if said := fmt.Sprintf("%+v", err); strings.Contains(said, "918273") || strings.Contains(said, "15112345678") {
				t.Errorf("the log says %s", said)
			}
		}); err != nil {
			t.Error(err)
		}
	}
	textCode(t, h, tenant, "", phone, "918273")
	look("waiting")
	h.Text.Fails = func(sms.Message) error {
		return &sms.Failure{Provider: "twilio", Status: 503, Text: "it is in trouble"}
	}
	deliver()
	look("after a failure")
	h.Text.Fails = func(sms.Message) error {
		return &sms.Failure{Provider: "twilio", Status: 400, Code: 21211, Text: "nobody has this number", Rejected: true}
	}
	h.Clock.Advance(10 * time.Second)
	deliver()
	look("after a refusal")
	if s := outbox(t, h, tenant); s != (boxed{Failed: 1}) {
		t.Errorf("%+v", s)
	}
	h.Text.Fails = nil
	textCode(t, h, tenant, "", phone, "918273")
	deliver()
	look("after it has left")
}

func TestATextMessageIsTriedAgainWhileItsCodeHoldsAndNotAfterwards(t *testing.T) {
	t.Parallel()
	h, tenant := posthouse(t)
	tries := 0
	h.Text.Fails = func(sms.Message) error { tries++; return errors.New("503") }
	textCode(t, h, tenant, "", phone, "111111")
	for range 60 { // five minutes
		courier(t, h)
		h.Clock.Advance(5 * time.Second)
	}
	if s := outbox(t, h, tenant); s != (boxed{Waiting: 1}) || tries < 4 || tries > 12 {
		t.Errorf("%d tries: %+v", tries, s)
	}
	h.Text.Fails = nil
	h.Clock.Advance(90 * time.Second)
	courier(t, h)
	if got := codes(h, tenant); len(got) != 1 {
		t.Errorf("when the provider is back: %v", got)
	}
	if m := h.Text.Sent(tenant.ID)[0]; m.Within <= 0 || m.Within > 5*time.Minute {
		t.Errorf("the provider is told that it holds for %s", m.Within)
	}
	h.Text.Fails = func(sms.Message) error { return errors.New("503") }
	textCode(t, h, tenant, "", "+4915112345699", "222222")
	courier(t, h)
	h.Text.Fails = nil
	h.Clock.Advance(10 * time.Minute)
	courier(t, h)
	if s, got := outbox(t, h, tenant), codes(h, tenant); s != (boxed{Sent: 1, Dropped: 1}) || len(got) != 1 {
		t.Errorf("too late: %+v, %v", s, got)
	}
}

func TestWithoutAProviderNoTextMessageLeavesAndFlowsKnowIt(t *testing.T) {
	t.Parallel()
	h, tenant := posthouse(t)
	if !h.Auth.CanText() {
		t.Error("there is a provider, and flows do not know it")
	}
	h.Text.None = true
	textCode(t, h, tenant, "", phone, "111111")
	courier(t, h)
	if s := outbox(t, h, tenant); h.Auth.CanText() || s != (boxed{Waiting: 1}) || len(codes(h, tenant)) != 0 {
		t.Errorf("%+v", s)
	}
	h.Auth.Text = auth.Texts{}
	if h.Auth.CanText() {
		t.Error("nothing is configured, and flows would offer it")
	}
}

// A hundred codes to one number, asked for at once and by several accounts: one a minute and five an hour arrive.
func TestANumberGetsOneMessageAMinuteAndFiveAnHour(t *testing.T) { // OOB-05
	t.Parallel()
	h, tenant := posthouse(t)
	var people []portal.UserID
	for i := range 10 {
		people = append(people, h.Person(t, tenant, testenv.Visitor{Email: fmt.Sprintf("p%d@buyer.example", i)}))
	}
	ask := func(round int) {
		for i := range 10 {
			textCode(t, h, tenant, people[i], phone, fmt.Sprintf("%d%05d", round+1, i))
		}
	}
	other := h.Neighbour(t)
	for round := range 10 {
		ask(round)
		var all sync.WaitGroup
		for _, house := range []*testenv.House{h, other} {
			all.Go(func() { courier(t, house) })
		}
		all.Wait()
		if got := len(codes(h, tenant)); got > 1 && round == 0 {
			t.Errorf("%d arrive at once", got)
		}
		h.Clock.Advance(6 * time.Second)
	}
	if got := codes(h, tenant); len(got) != 1 {
		t.Errorf("in the first minute: %v", got)
	}
	for range 12 { // 54 minutes more
		courier(t, h)
		h.Clock.Advance(270 * time.Second)
		ask(9)
	}
	courier(t, h)
	if got := codes(h, tenant); len(got) != 5 {
		t.Errorf("in an hour: %v", got)
	}
	// Another number is counted by itself.
	h.Clock.Advance(time.Second)
	textCode(t, h, tenant, people[0], "+4915112345699", "999999")
	courier(t, h)
	if got := codes(h, tenant); got[len(got)-1] != "999999" {
		t.Errorf("%v", got)
	}
}

// A code that is asked for again is the only one that works: it must not wait behind the one before, nor be lost in it.
func TestANewerCodeOvertakesOneThatWaits(t *testing.T) { // OOB-02
	t.Parallel()
	h, tenant := posthouse(t)
	id := h.Person(t, tenant, testenv.Visitor{})
	h.Text.Fails = func(sms.Message) error { return errors.New("503") }
	textCode(t, h, tenant, id, phone, "111111")
	courier(t, h)
	h.Text.Fails = nil
	h.Clock.Advance(time.Second)
	textCode(t, h, tenant, id, phone, "222222")
	courier(t, h)
	h.Clock.Advance(2 * time.Minute)
	courier(t, h)
	if got := codes(h, tenant); len(got) != 1 || got[0] != "222222" {
		t.Errorf("%v arrived", got)
	}
	if s := outbox(t, h, tenant); s.Waiting != 0 || s.Sent != 1 {
		t.Errorf("%+v", s)
	}
}

func TestATextMessageForNobodyGoesNowhere(t *testing.T) {
	t.Parallel()
	h, tenant := posthouse(t)
	id := h.Person(t, tenant, testenv.Visitor{})
	textCode(t, h, tenant, id, phone, "111111")
	h.DB.Exec(t, `update public.customer_users set deleted_at = now() where id = $1`, id)
	courier(t, h)
	if s := outbox(t, h, tenant); s.Waiting != 0 || s.Sent != 0 {
		t.Errorf("for somebody who is gone: %+v", s)
	}
	textCode(t, h, tenant, "", "ann@buyer.example", "222222")
	courier(t, h)
	if s := outbox(t, h, tenant); s != (boxed{Dropped: 2}) || len(codes(h, tenant)) != 0 || len(h.Mail.Sent(tenant.ID)) != 0 {
		t.Errorf("for an address: %+v", s)
	}
}
