package auth_test

import (
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

type hashes struct {
	legacy  string // the ERP's column
	phc     string
	version int
}

func stored(t testing.TB, h *testenv.House, id portal.UserID) (s hashes) {
	t.Helper()
	h.DB.Row(t, `select coalesce(u.password_hash, ''), coalesce(k.phc, ''), coalesce(k.version, 0) from public.customer_users u
		left join portalgate.credentials k on k.user_id = u.id where u.id = $1`, []any{id}, &s.legacy, &s.phc, &s.version)
	return s
}

// The ERP's bcrypt works on day one; our hash is made beside it, its column stays what the old backend can verify, and
// when the ERP changes it, it wins.
func TestABcryptPasswordIsHashedAnewBesideTheERPsColumn(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	old := bcrypted(t, "customer123")
	id := h.Person(t, tenant, testenv.Visitor{Legacy: old})
	b := open(h, &tenant, "203.0.113.7")
	b.in(t, "ann@buyer.example", "customer123")
	first := stored(t, h, id)
	if first.legacy != old || !strings.HasPrefix(first.phc, "$argon2id$") || first.version != 1 {
		t.Fatalf("after the first sign-in %+v", first)
	}
	b.in(t, "ann@buyer.example", "customer123")
	if again := stored(t, h, id); again != first {
		t.Errorf("after the second sign-in %+v; it was %+v", again, first)
	}
	for wrong, deed := range map[string]string{"customer124": ``, "customer123": bcrypted(t, "set by staff")} {
		if deed != "" {
			h.DB.Exec(t, `update public.customer_users set password_hash = $2 where id = $1`, id, deed)
		}
		if _, err := b.signIn("ann@buyer.example", wrong); kind(t, err) != portal.ProblemCredentials {
			t.Errorf("%s: %v", wrong, err)
		}
		if deed != "" {
			b.in(t, "ann@buyer.example", "set by staff")
		}
	}
	if last := stored(t, h, id); last.phc == first.phc || last.version < 2 || bcryptOpens(t, h, last.legacy, "customer123") {
		t.Errorf("after the ERP's change %+v", last)
	}
}

func bcryptOpens(t testing.TB, h *testenv.House, hash, text string) bool {
	t.Helper()
	p, err := password.Prepare(text)
	if err != nil {
		t.Fatal(err)
	}
	v, err := h.Hasher.Check(t.Context(), p, password.Stored{Legacy: hash})
	if err != nil {
		t.Fatal(err)
	}
	return v.Match
}

// PWD-08: parameters that were raised, and a keyed step that was rotated or taken up, reach a row at its next sign-in
// and at no other time; a wrong password changes nothing.
func TestRaisedParametersReachARowAtItsNextSignIn(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	id := h.Person(t, tenant, testenv.Visitor{MustChange: false})
	before := stored(t, h, id)
	raised := testenv.NewHouse(t, testenv.Plan{Keys: h.Keys, Hashing: &password.Config{Memory: 128, Passes: 2}})
	b := open(raised, &tenant, "203.0.113.7")
	if _, err := b.signIn("ann@buyer.example", "wrong"); kind(t, err) != portal.ProblemCredentials {
		t.Fatal(err)
	}
	if s := stored(t, h, id); s != before {
		t.Errorf("a wrong password changed the row: %+v", s)
	}
	b.in(t, "ann@buyer.example", testenv.Password)
	after := stored(t, h, id)
	if !strings.Contains(after.phc, "$m=128,t=2,p=1$") || after.version != before.version+1 {
		t.Errorf("after the sign-in %+v", after)
	}
	// A gateway that has not been told yet leaves the stronger row alone.
	open(h, &tenant, "203.0.113.7").in(t, "ann@buyer.example", testenv.Password)
	if s := stored(t, h, id); s != after {
		t.Errorf("a gateway with the old parameters made of it %+v", s)
	}
}

// PWD-07: two people with one password have two rows, of which none holds the password's hash alone.
func TestTwoPeopleWithOnePasswordHaveTwoRows(t *testing.T) {
	t.Parallel()
	h := testenv.NewHouse(t, testenv.Plan{})
	tenant := testenv.Tenant(t)
	a, b := stored(t, h, h.Person(t, tenant, testenv.Visitor{})), stored(t, h, h.Person(t, tenant, testenv.Visitor{Email: "bob@buyer.example"}))
	if a.phc == b.phc || a.phc == "" || a.legacy != "!portalgate" {
		t.Errorf("%+v and %+v", a, b)
	}
	var keyed int
	h.DB.Row(t, `select count(*) from portalgate.credentials where tenant_id = $1 and key_id <> ''`, []any{tenant.ID}, &keyed)
	if keyed != 2 {
		t.Errorf("%d of 2 rows have a keyed step", keyed)
	}
}
