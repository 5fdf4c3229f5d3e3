package upstream

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
)

func keys(t testing.TB, from time.Time) *secret.Keyring {
	t.Helper()
	b, err := secret.Generate(from)
	if err != nil {
		t.Fatal(err)
	}
	k, err := secret.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// endedKeys are keys of which those for assertions have come to their end.
func endedKeys(t testing.TB, now time.Time) *secret.Keyring {
	t.Helper()
	b, err := secret.Generate(now.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]any
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	for _, k := range file["keys"].([]any) {
		if key := k.(map[string]any); key["purpose"] == "assertion" {
			key["verify_until"] = now.Add(-time.Minute).UTC().Format(time.RFC3339)
		}
	}
	if b, err = json.Marshal(file); err != nil {
		t.Fatal(err)
	}
	k, err := secret.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func somebody() portal.Identity {
	return portal.Identity{
		Tenant: "0190aaaa-0000-7000-8000-00000000000a", Slug: "acme", User: "0190aaaa-0000-7000-8000-000000000001", Email: "ann@buyer.example", Name: "Ann Buyer", Roles: []portal.Role{"CUSTOMER_USER"},
		Customer: "0190aaaa-0000-7000-8000-000000000002", Session: "0190aaaa-0000-7000-8000-000000000003", AMR: []portal.AMR{portal.AMRPassword}, AuthTime: time.Unix(1700000000, 0),
	}
}

func stamped(t testing.TB, s *Stamper, id portal.Identity, now time.Time) http.Header {
	t.Helper()
	st, err := s.Prepare(id, "https://acme.portal.test")
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{Header: http.Header{}}
	if err := s.Stamp(r, st, now); err != nil {
		t.Fatal(err)
	}
	return r.Header
}

// Contract 6, HDR-03: each header once, under one name, however the operator writes the prefix.
func TestEachIdentityHeaderIsSetOnce(t *testing.T) {
	now := time.Now()
	for _, p := range []string{"X-Portal-", "x-portal-", "X-PORTAL-"} {
		s := NewStamper(keys(t, now.Add(-time.Hour)), NewPrefix(p), "portal-upstream", nil)
		h := stamped(t, s, somebody(), now)
		for name, want := range map[string]string{
			"X-Portal-Tenant-Id": "0190aaaa-0000-7000-8000-00000000000a", "X-Portal-Tenant-Slug": "acme", "X-Portal-User-Id": "0190aaaa-0000-7000-8000-000000000001", "X-Portal-User-Email": "ann@buyer.example",
			"X-Portal-User-Name": "Ann%20Buyer", "X-Portal-User-Roles": "CUSTOMER_USER", "X-Portal-Customer-Id": "0190aaaa-0000-7000-8000-000000000002", "X-Portal-Session-Id": "0190aaaa-0000-7000-8000-000000000003",
			"X-Portal-Auth-Methods": "pwd", "X-Portal-Auth-Time": "1700000000",
		} {
			if got := h[name]; len(got) != 1 || got[0] != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if len(h) != 11 || len(h["X-Portal-Assertion"]) != 1 || strings.Count(h["X-Portal-Assertion"][0], ".") != 2 {
			t.Errorf("%v", h)
		}
	}
	own := somebody()
	own.Customer = "" // the tenant's own company is never sent
	if h := stamped(t, NewStamper(keys(t, now.Add(-time.Hour)), prefix, "a", nil), own, now); len(h) != 10 || h["X-Portal-Customer-Id"] != nil {
		t.Errorf("%v", h)
	}
}

// HDR-09: no value of a person's can split, double or end a field.
func TestNoNameOfAPersonCanSplitAField(t *testing.T) {
	now := time.Now()
	s := NewStamper(keys(t, now.Add(-time.Hour)), prefix, "portal-upstream", nil)
	for _, name := range []string{"a\r\nX-Portal-User-Roles: admin", "a, b", "Änne 🙂 \x00", "100%", "\x7f\x80\xff", "", " ", "a;b=\"c\""} {
		id := somebody()
		id.Name, id.Email, id.Slug, id.Roles = name, name, "s"+name, []portal.Role{portal.Role("r" + name), "CUSTOMER_ADMIN"}
		h := stamped(t, s, id, now)
		for key, values := range h {
			for _, v := range values {
				if strings.Trim(v, legal) != "" {
					t.Errorf("%q made %s: %q", name, key, v)
				}
			}
		}
		if got, err := url.PathUnescape(h.Get("X-Portal-User-Name")); err != nil || got != name {
			t.Errorf("%q came back as %q, %v", name, got, err)
		}
		roles := strings.Split(h.Get("X-Portal-User-Roles"), ",")
		if len(roles) != 2 || roles[1] != "CUSTOMER_ADMIN" {
			t.Errorf("%q: roles %q", name, roles)
		}
	}
}

// legal are the bytes %x21-7E.
var legal = func() string {
	var b strings.Builder
	for c := byte(0x21); c < 0x7f; c++ {
		b.WriteByte(c)
	}
	return b.String()
}()

// HDR-10: what cannot be signed is an error, and so is somebody who is not wholly known.
func TestWhatCannotBeStampedIsAnError(t *testing.T) {
	now := time.Now()
	ended := NewStamper(endedKeys(t, now), prefix, "portal-upstream", nil)
	st, err := ended.Prepare(somebody(), "https://acme.portal.test")
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{Header: http.Header{}}
	if err := ended.Stamp(r, st, now); err == nil || len(r.Header) != 0 {
		t.Errorf("the key has ended: %v, %v", err, r.Header)
	}
	s := NewStamper(keys(t, now.Add(-time.Hour)), prefix, "portal-upstream", nil)
	for name, spoil := range map[string]func(*portal.Identity){
		"tenant": func(i *portal.Identity) { i.Tenant = "" }, "user": func(i *portal.Identity) { i.User = "" },
		"session": func(i *portal.Identity) { i.Session = "" }, "slug": func(i *portal.Identity) { i.Slug = "" },
	} {
		id := somebody()
		spoil(&id)
		if _, err := s.Prepare(id, "https://acme.portal.test"); err == nil {
			t.Errorf("an identity without %s is stamped", name)
		}
	}
	if _, err := s.Prepare(somebody(), ""); err == nil {
		t.Error("an identity without an origin is stamped")
	}
}

// Contract 6: an assertion is used again for 30 seconds, and a clock that steps back makes a new one.
func TestAnAssertionIsUsedAgainForAWhile(t *testing.T) {
	now := time.Now()
	s := NewStamper(keys(t, now.Add(-time.Hour)), prefix, "portal-upstream", nil)
	st, err := s.Prepare(somebody(), "https://acme.portal.test")
	if err != nil {
		t.Fatal(err)
	}
	at := func(d time.Duration) string {
		r := &http.Request{Header: http.Header{}}
		if err := s.Stamp(r, st, now.Add(d)); err != nil {
			t.Fatal(err)
		}
		return r.Header.Get("X-Portal-Assertion")
	}
	first := at(0)
	if at(29*time.Second) != first {
		t.Error("not used again after 29 s")
	}
	second := at(30 * time.Second)
	if second == first {
		t.Error("still used after 30 s")
	}
	if at(-time.Second) == second {
		t.Error("an assertion of the future is used")
	}
}

// FuzzEncode: one field's worth of bytes, and the same text again when decoded.
func FuzzEncode(f *testing.F) {
	for _, s := range []string{"", "ann@buyer.example", "a\r\nb", "%2C", ",", "Ä", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := encode(s)
		if strings.Trim(got, legal) != "" || strings.Contains(got, ",") {
			t.Fatalf("%q became %q", s, got)
		}
		if back, err := url.PathUnescape(got); err != nil || back != s {
			t.Fatalf("%q became %q, and that %q: %v", s, got, back, err)
		}
	})
}

// Contract 6: one order, whatever the order in which somebody has shown what, and "mfa" once.
func TestTheMethodsAreListedInOneOrder(t *testing.T) {
	t.Parallel()
	for shown, want := range map[string]string{
		"pwd": "pwd", "pwd,otp,mfa": "pwd,otp,mfa", "mfa,otp,pwd": "pwd,otp,mfa", "webauthn,mfa": "webauthn,mfa", "pwd,backup,mfa,otp": "pwd,otp,backup,mfa",
		"sms,email,webauthn,otp,pwd,mfa,backup": "pwd,otp,webauthn,email,sms,backup,mfa", "pwd,email": "pwd,email", "pwd,card,otp,mfa": "pwd,otp,card,mfa", "otp,otp": "otp",
	} {
		var amr []portal.AMR
		for m := range strings.SplitSeq(shown, ",") {
			amr = append(amr, portal.AMR(m))
		}
		before := portal.JoinAMR(amr)
		if got := portal.JoinAMR(methods(amr)); got != want || portal.JoinAMR(amr) != before {
			t.Errorf("%s is listed as %s, want %s", shown, got, want)
		}
	}
}

// A reload that changes something else has nothing signed anew; one that changes what is said does.
func TestWhatAnotherConfigurationSaysTheSameWayIsUsedAgain(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ring, prefix := keys(t, now.Add(-time.Hour)), NewPrefix("X-Portal-")
	bearer := func(secretText string) *secret.Bearer {
		b, err := secret.NewBearer(secretText)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const one, other = "w3Rk8sPq0ZxLmN5vT7yBc2dF", "another0ZxLmN5vT7yBc2dFq"
	first := NewStamper(ring, prefix, "erp", bearer(one))
	st, err := first.Prepare(somebody(), "https://acme.example")
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		s    *Stamper
		same bool
	}{
		"the same":         {NewStamper(ring, prefix, "erp", bearer(one)), true},
		"another audience": {NewStamper(ring, prefix, "crm", bearer(one)), false},
		"another prefix":   {NewStamper(ring, NewPrefix("X-Gate-"), "erp", bearer(one)), false},
		"another secret":   {NewStamper(ring, prefix, "erp", bearer(other)), false},
		"no bearer token":  {NewStamper(ring, prefix, "erp", nil), false},
		"other keys":       {NewStamper(keys(t, now.Add(-time.Hour)), prefix, "erp", bearer(one)), false},
	} {
		if c.s.Made(st, "https://acme.example") != c.same {
			t.Errorf("%s: taken for the same: %t", what, !c.same)
		}
	}
	if !first.Made(st, "https://acme.example") || first.Made(st, "https://portal.acme.example") || first.Made(nil, "") {
		t.Error("the origin does not matter, or the maker is forgotten")
	}
	if bare := NewStamper(ring, prefix, "erp", nil); !(*secret.Bearer)(nil).Same(nil) || bare.Made(st, "https://acme.example") {
		t.Error("no bearer token is as good as one")
	}
}
