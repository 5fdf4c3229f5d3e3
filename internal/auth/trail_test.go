package auth_test

import (
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// rows counts what the trail says of a person with a fact.
func rows(t testing.TB, h *testenv.House, tenant portal.Tenant, verb portal.Verb, fact, value string) (n int) {
	t.Helper()
	h.DB.Row(t, `select count(*) from public.customer_activity_log where tenant_id = $1 and activity_type = $2 and ($3 = '' or metadata ->> $3 = $4)`, []any{tenant.ID, verb, fact, value}, &n)
	return n
}

// counted adds up what is written of refusals that are counted, and the rows that it takes.
func counted(t testing.TB, h *testenv.House, tenant portal.Tenant, fact string) (n, lines int) {
	t.Helper()
	if err := h.Auth.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.DB.Row(t, `select coalesce(sum((facts ->> $2)::int), 0), count(*) from portalgate.events where tenant_id = $1 and user_id is null and facts ? $2`, []any{tenant.ID, fact}, &n, &lines)
	return n, lines
}

// AUD-02, DOS-04: a passkey that is refused is a row of its owner's; what is nobody's is counted by network and minute.
func TestARefusedPasskeyStandsInTheTrail(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	_, k := withPasskey(t, h, &tenant, "ann@buyer.example")
	k.Unverified = true
	for range 3 {
		b := open(h, &tenant, "198.51.100.3")
		if _, err := b.enter(k.Answer(t, "https://"+tenant.Canonical(), b.options(t))); kind(t, err) != portal.ProblemCredentials {
			t.Fatal(err)
		}
	}
	if n := rows(t, h, tenant, portal.VerbLoginFailed, "method", "webauthn"); n != 3 {
		t.Errorf("%d rows of three refused passkeys", n)
	}
	for range 5 {
		b := open(h, &tenant, "198.51.100.4")
		b.options(t)
		if _, err := b.enter("{}"); kind(t, err) != portal.ProblemCredentials {
			t.Fatal(err)
		}
	}
	if n, lines := counted(t, h, tenant, "unknown_passkey"); n != 5 || lines != 1 {
		t.Errorf("%d of five passkeys of nobody's, in %d rows", n, lines)
	}
}

// AUD-02, TIM-02: a reset is recorded when its mail leaves, once, and not when it is asked for; one that nobody gets, or
// that a command has asked for, is not.
func TestAResetThatIsMailedStandsInTheTrail(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "198.51.100.3")
	b.askReset(t, "ann@buyer.example")
	b.askReset(t, "nobody@buyer.example")
	if n := rows(t, h, tenant, portal.VerbResetAsked, "", ""); n != 0 {
		t.Errorf("%d rows before a mail has left", n)
	}
	asked := h.Clock.Now()
	h.Clock.Advance(time.Minute)
	h.Courier(t, tenant.ID)
	if n := rows(t, h, tenant, portal.VerbResetAsked, "asked", asked.UTC().Format(time.RFC3339)); n != 1 {
		t.Errorf("%d rows after it has", n)
	}
	trailed(t, h, tenant, "RESET_ASKED ok 198.51.100.3")
}

// AUD-02: a wrong code at a set-up is a row of whoever's session it is.
func TestAWrongCodeAtASetUpStandsInTheTrail(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "203.0.113.6")
	b.in(t, "ann@buyer.example", testenv.Password)
	b.prove(t)
	set, err := h.Auth.Begin(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorTOTP, "")
	if err != nil {
		t.Fatal(err)
	}
	_ = set
	for _, code := range []string{"12", "000000"} { // the first is no code at all
		if _, err := h.Auth.Confirm(t.Context(), &tenant, b.client(), b.holder(t), portal.FactorTOTP, code, ""); kind(t, err) != portal.ProblemInput {
			t.Fatal(err)
		}
	}
	if n := rows(t, h, tenant, portal.VerbSecondFailed, "at", "set_up"); n != 1 {
		t.Errorf("%d rows of one wrong code", n)
	}
}

// AUD-02: a sign-in of another tenant is counted where it is brought to, and opens nothing.
func TestASignInOfAnotherTenantIsCounted(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant, elsewhere := testenv.Tenant(t), testenv.Tenant(t)
	h.Person(t, tenant, testenv.Visitor{})
	b := open(h, &tenant, "203.0.113.6")
	b.in(t, "ann@buyer.example", testenv.Password)
	there := open(h, &elsewhere, "198.51.100.9")
	there.cookies = b.cookies
	next := h.Neighbour(t) // has not seen the token before
	for _, house := range []*testenv.House{h, next, next} {
		there.house = house
		if _, ok := there.session(t); ok {
			t.Fatal("it opens another tenant")
		}
	}
	one, lines := counted(t, h, elsewhere, "another_tenants")
	two, both := counted(t, next, elsewhere, "another_tenants")
	if one != 1 || lines != 1 || two != 3 || both != 2 {
		t.Errorf("%d in %d rows, then %d in %d", one, lines, two, both)
	}
	if _, ok := b.session(t); !ok {
		t.Error("whose it is has been signed out")
	}
}
