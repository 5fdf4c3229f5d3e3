package auth_test

import (
	"fmt"
	"maps"
	"slices"
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

// paced is a house whose courier keeps to a pace, with people to write to.
func paced(t *testing.T, perMinute int) (*testenv.House, portal.Tenant, portal.UserID) {
	t.Helper()
	h, tenant := posthouse(t)
	h.Auth.Mail.Pace = func() int { return perMinute }
	return h, tenant, h.Person(t, tenant, testenv.Visitor{})
}

// letters queues letters of a kind to n addresses of a domain.
func letters(t *testing.T, h *testenv.House, tenant portal.Tenant, id portal.UserID, kind portal.LetterKind, domain string, n int) {
	t.Helper()
	err := h.Store.Within(t.Context(), tenant.ID, h.Clock.Now(), func(x *store.Tx) error {
		for i := range n {
			q, err := auth.Seal(h.Keys, tenant.ID, portal.Letter{Kind: kind, User: id, To: portal.Email(fmt.Sprintf("p%d@%s", i, domain)), Facts: map[string]string{"code": "123456", "device": "Firefox"}}, x.Now())
			if err != nil {
				return err
			}
			if err := x.Post(t.Context(), q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// arrived counts the mails by their domain, and complains about one that came twice.
func arrived(t *testing.T, h *testenv.House, tenant portal.Tenant) map[string]int {
	t.Helper()
	out, seen := map[string]int{}, map[string]bool{}
	for _, m := range h.Mail.Sent(tenant.ID) {
		_, domain, _ := strings.Cut(string(m.To), "@")
		out[domain]++
		if key := string(m.Kind) + string(m.To); seen[key] {
			t.Errorf("%s came twice", key)
		} else {
			seen[key] = true
		}
	}
	return out
}

func TestManyMailsToOneDomainHoldUpNoOtherAndAllOfThemArrive(t *testing.T) {
	t.Parallel()
	h, tenant, id := paced(t, 300)
	letters(t, h, tenant, id, portal.LetterNewDevice, "big.example", 500)
	letters(t, h, tenant, id, portal.LetterNewDevice, "small.example", 5)
	courier(t, h)
	if got := arrived(t, h, tenant); got["small.example"] != 5 || got["big.example"] < 20 || got["big.example"] > 50 {
		t.Errorf("at once: %v", got)
	}
	var tries int
	h.DB.Row(t, `select coalesce(max(tries), 0) from portalgate.outbox where tenant_id = $1 and state = 'waiting'`, []any{tenant.ID}, &tries)
	if tries != 0 {
		t.Errorf("a letter that was held back counts %d tries", tries)
	}
	before := arrived(t, h, tenant)["big.example"]
	for range 12 {
		h.Clock.Advance(5 * time.Second)
		courier(t, h)
	}
	if n := arrived(t, h, tenant)["big.example"] - before; n < 240 || n > 310 {
		t.Errorf("%d in a minute", n)
	}
	for range 30 {
		h.Clock.Advance(5 * time.Second)
		courier(t, h)
	}
	if s := outbox(t, h, tenant); s != (boxed{Sent: 505}) {
		t.Errorf("at the end: %+v", s)
	}
	arrived(t, h, tenant)
}

func TestALetterThatSomebodyWaitsForGoesAheadOfNotices(t *testing.T) {
	t.Parallel()
	h, tenant, id := paced(t, 60)
	letters(t, h, tenant, id, portal.LetterNewDevice, "big.example", 60)
	courier(t, h)
	letters(t, h, tenant, id, portal.LetterCode, "big.example", 4)
	courier(t, h)
	kinds := map[portal.LetterKind]int{}
	for _, m := range h.Mail.Sent(tenant.ID) {
		kinds[m.Kind]++
	}
	if kinds[portal.LetterCode] != 4 || kinds[portal.LetterNewDevice] >= 20 {
		t.Errorf("%v", kinds)
	}
	// Among those that are due at the same moment, too.
	h.Clock.Advance(time.Hour)
	letters(t, h, tenant, id, portal.LetterNewDevice, "other.example", 20)
	letters(t, h, tenant, id, portal.LetterCode, "other.example", 1)
	before := len(h.Mail.Sent(tenant.ID))
	if _, err := h.Auth.Deliver(t.Context(), 100, func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	var first []portal.LetterKind
	for _, m := range h.Mail.Sent(tenant.ID)[before:] {
		if strings.HasSuffix(string(m.To), "@other.example") {
			first = append(first, m.Kind)
		}
	}
	if at := slices.Index(first, portal.LetterCode); at < 0 || at > 1 { // two are under way at the same time
		t.Errorf("%v", first)
	}
}

func TestADomainThatSaysLaterIsLeftAloneForAGrowingWhile(t *testing.T) {
	t.Parallel()
	h, tenant, id := paced(t, 300)
	var (
		mu    sync.Mutex
		tried []time.Duration
	)
	began := h.Clock.Now()
	h.Mail.Fails = func(m mail.Message) error {
		mu.Lock()
		defer mu.Unlock()
		if !strings.HasSuffix(string(m.To), "@slow.example") {
			return nil
		}
		if at := h.Clock.Now().Sub(began); len(tried) == 0 || tried[len(tried)-1] != at {
			tried = append(tried, at)
		}
		return &mail.Failure{Provider: "x", Step: mail.StepRecipient, Code: 451, Text: "4.7.1 too many"}
	}
	letters(t, h, tenant, id, portal.LetterNewDevice, "slow.example", 30)
	letters(t, h, tenant, id, portal.LetterNewDevice, "quick.example", 5)
	courier(t, h)
	if got := arrived(t, h, tenant); got["quick.example"] != 5 {
		t.Errorf("others: %v", got)
	}
	var tries int
	h.DB.Row(t, `select sum(tries)::int from portalgate.outbox where tenant_id = $1 and state = 'waiting'`, []any{tenant.ID}, &tries)
	if tries > 2 {
		t.Errorf("%d letters were tried at a domain that said later", tries)
	}
	for range 10 * 30 {
		h.Clock.Advance(2 * time.Second)
		courier(t, h)
	}
	if len(tried) < 3 || len(tried) > 6 {
		t.Errorf("it was asked again after %v", tried)
	}
	for i := 2; i < len(tried); i++ {
		if tried[i]-tried[i-1] < (tried[i-1]-tried[i-2])*3/2 {
			t.Errorf("the pauses do not grow: %v", tried)
		}
	}
	h.Mail.Fails = nil
	h.Clock.Advance(time.Hour)
	for range 20 {
		courier(t, h)
		h.Clock.Advance(5 * time.Second)
	}
	if s := outbox(t, h, tenant); s != (boxed{Sent: 35}) {
		t.Errorf("at the end: %+v", s)
	}
}

// One full mailbox says nothing about its domain, and a provider that is down nothing about any.
func TestOnlyTheDomainsOwnAnswerIsHeld(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"a full mailbox": &mail.Failure{Step: mail.StepRecipient, Code: 452, Text: "4.2.2 mailbox full"}, "no connection": &mail.Failure{Step: mail.StepConnect, Text: "refused"},
		"sign-in": &mail.Failure{Step: mail.StepSignIn, Code: 454, Text: "4.7.0 later"}, "for good": &mail.Failure{Step: mail.StepRecipient, Code: 550, Text: "5.1.1 no"}, "nothing": nil,
	} {
		if mail.Slow(err) {
			t.Errorf("%s makes the domain rest", name)
		}
	}
	for _, code := range []int{421, 450, 451} {
		if !mail.Slow(fmt.Errorf("wrapped: %w", &mail.Failure{Step: mail.StepContent, Code: code, Text: "slow down"})) {
			t.Errorf("%d does not", code)
		}
	}
}

// Whoever asks for mails to people that do not exist takes no room from those that do.
func TestLettersToNobodyTakeNoRoom(t *testing.T) {
	t.Parallel()
	h, tenant, id := paced(t, 60)
	letters(t, h, tenant, id, portal.LetterRecover, "big.example", 40)
	courier(t, h)
	if s := outbox(t, h, tenant); s.Dropped != 40 {
		t.Errorf("%+v", s)
	}
	letters(t, h, tenant, id, portal.LetterCode, "big.example", 10)
	courier(t, h)
	if got := arrived(t, h, tenant)["big.example"]; got != 10 {
		t.Errorf("%d codes left", got)
	}
}

func TestTwoGatewaysWithAPaceSendEachLetterOnce(t *testing.T) {
	t.Parallel()
	h, tenant, id := paced(t, 600)
	other := h.Neighbour(t)
	other.Auth.Mail.Pace = h.Auth.Mail.Pace
	letters(t, h, tenant, id, portal.LetterNewDevice, "big.example", 150)
	letters(t, h, tenant, id, portal.LetterCode, "small.example", 10)
	for range 12 {
		var wg sync.WaitGroup
		for _, house := range []*testenv.House{h, other} {
			wg.Go(func() { courier(t, house) })
		}
		wg.Wait()
		h.Clock.Advance(5 * time.Second)
	}
	if got := arrived(t, h, tenant); !maps.Equal(got, map[string]int{"big.example": 150, "small.example": 10}) {
		t.Errorf("%v", got)
	}
	if s := outbox(t, h, tenant); s != (boxed{Sent: 160}) {
		t.Errorf("%+v", s)
	}
}
