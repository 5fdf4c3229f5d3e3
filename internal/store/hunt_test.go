package store_test

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/session"
	"github.com/portalgate/portalgate/internal/testenv"
)

// hunted are the spellings in which a row could hold a secret in clear: as it was sent, decoded, and either of the two
// as the bytes that PostgreSQL writes in hexadecimal.
func hunted(secret string) (out []string) {
	out = []string{secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret))}
	for _, part := range strings.Split(secret, ".") {
		if raw, err := base64.RawURLEncoding.DecodeString(part); err == nil && len(raw) >= 16 {
			out = append(out, hex.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw))
		}
	}
	// A refresh token is a secret and a check of it; the secret alone would be enough.
	if raw, err := base64.RawURLEncoding.DecodeString(secret); err == nil && len(raw) == 48 {
		out = append(out, hex.EncodeToString(raw[:32]))
	}
	return out
}

// held are the tables in whose rows a secret stands in clear.
func held(t *testing.T, db testenv.DB, secrets map[string]string) (found []string) {
	t.Helper()
	c := connect(t, db.RootURL)
	for _, table := range texts(t, c, `select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('public', 'portalgate') and c.relkind in ('r', 'p', 'm') order by 1`) {
		rows := strings.Join(texts(t, c, `select x::text from `+table+` x`), "\n")
		for name, secret := range secrets {
			if slices.ContainsFunc(hunted(secret), func(s string) bool { return strings.Contains(rows, s) }) {
				found = append(found, name+" in "+table)
			}
		}
	}
	slices.Sort(found)
	return found
}

// TOK-01, REF-01, PWD rows: what a browser sends or is given is in no column of no table, in no spelling: whoever steals
// a dump signs in nowhere.
func TestNoRowHoldsWhatABrowserSends(t *testing.T) {
	t.Parallel()
	db := testenv.FreshDatabase(t)
	h := testenv.NewHouse(t, testenv.Plan{DB: &db})
	tenant := db.Tenant(t)
	h.Hear(t)
	h.Person(t, tenant, testenv.Visitor{})
	h.Person(t, tenant, testenv.Visitor{Email: "new@buyer.example", MustChange: true})
	const wrong, next, last = "Wrong pallet trucks at dusk", "Green pallet trucks at noon", "Grey pallet trucks at night"
	secrets := map[string]string{"the password": testenv.Password, "a wrong password": wrong, "the new password": next, "the last password": last}
	client := h.Client("203.0.113.7")
	sign := func(email, password string) (auth.Outcome, error) {
		return h.Auth.SignIn(t.Context(), &tenant, client, session.Cookies{}, auth.Credentials{Email: email, Password: password, Remember: true})
	}
	for _, email := range []string{"ann@buyer.example", "nobody@buyer.example"} {
		if _, err := sign(email, wrong); err == nil {
			t.Fatal("a wrong password opens")
		}
	}
	out, err := sign("ann@buyer.example", testenv.Password)
	if err != nil || out.Grant == nil || out.Grant.Device == nil {
		t.Fatalf("%+v, %v", out, err)
	}
	secrets["an access token"], secrets["a refresh token"], secrets["a device's cookie"] = out.Grant.Access, out.Grant.Refresh, out.Grant.Device.Reveal()
	h.Clock.Advance(26 * time.Minute)
	client = h.Client("203.0.113.7")
	again, err := h.Sessions.Resume(t.Context(), &tenant, session.Cookies{Access: out.Grant.Access, Refresh: out.Grant.Refresh, Device: secrets["a device's cookie"]}, client, true)
	if err != nil || again.Grant == nil {
		t.Fatalf("renewing: %+v, %v", again, err)
	}
	secrets["a renewed access token"], secrets["its refresh token"] = again.Grant.Access, again.Grant.Refresh
	changed, err := h.Auth.ChangePassword(t.Context(), &tenant, client, again.Grant.Session, testenv.Password, next)
	if err != nil {
		t.Fatal(err)
	}
	secrets["the access token after a change"], secrets["the refresh token after a change"] = changed.Access, changed.Refresh
	first, err := sign("new@buyer.example", testenv.Password)
	if err != nil || first.Attempt == nil {
		t.Fatalf("%+v, %v", first, err)
	}
	secrets["an attempt's cookie"] = first.Attempt.Reveal()
	if _, err := h.Auth.FinishPassword(t.Context(), &tenant, client, secrets["an attempt's cookie"], last); err != nil {
		t.Fatal(err)
	}
	if _, err := sign("new@buyer.example", last); err != nil {
		t.Fatal(err)
	}
	if err := h.Auth.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found := held(t, db, secrets); len(found) > 0 {
		t.Errorf("in clear: %q", found)
	}
	// That the hunter can find: of each secret one spelling is planted, another one in each turn.
	for turn := range 3 {
		var want []string
		var planted strings.Builder
		for name, secret := range secrets {
			spellings := hunted(secret)
			planted.WriteString(spellings[len(spellings)*turn/3] + " ")
			want = append(want, name+" in portalgate.events")
		}
		slices.Sort(want)
		db.Exec(t, `update portalgate.events set note = $1`, planted.String())
		if found := held(t, db, secrets); !slices.Equal(found, want) {
			t.Errorf("planted, and found %q", found)
		}
	}
}
