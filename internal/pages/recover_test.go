package pages_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/testenv"
)

// REC-01, REG-01: whoever asks for a mail gets one answer, to the byte, whatever the state of the address; what differs
// is only the random cookie by which a registration knows its browser again.
func TestAskingForAMailIsAnsweredAlikeForEveryStateOfTheAddress(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.tenant.Registration = portal.RegistrationOpen
	f.Person(t, *f.tenant, testenv.Visitor{})
	f.Person(t, *f.tenant, testenv.Visitor{Email: "new@buyer.example", Unverified: true})
	f.Person(t, *f.tenant, testenv.Visitor{Email: "off@buyer.example"})
	f.Person(t, *f.tenant, testenv.Visitor{Email: "first@buyer.example", MustChange: true})
	f.Person(t, *f.tenant, testenv.Visitor{Email: "rests@buyer.example"})
	f.DB.Exec(t, `update public.customer_users set is_active = false where tenant_id = $1 and email = 'off@buyer.example'`, f.tenant.ID)
	stranger := f.guest(t)
	for range 5 {
		stranger.post("/auth/login", url.Values{"email": {"rests@buyer.example"}, "password": {wrongPassword}})
	}
	for path, form := range map[string]url.Values{
		"/auth/forgot-password": {},
		"/auth/register":        {"name": {"Noor"}, "password": {"four crates of lids, please"}},
	} {
		first := ""
		for _, email := range []string{"ann@buyer.example", "new@buyer.example", "off@buyer.example", "first@buyer.example", "rests@buyer.example", "none@buyer.example"} {
			form.Set("email", email)
			g := f.guest(t)
			a := g.post(path, form)
			a.header.Del("Date")
			for i, c := range a.header["Set-Cookie"] {
				name, _, _ := strings.Cut(c, "=")
				_, rest, _ := strings.Cut(c, ";")
				a.header["Set-Cookie"][i] = name + ";" + rest
			}
			next := g.get(a.where)
			next.header.Del("Date")
			seen := strings.Join([]string{http.StatusText(a.status), headers(a.header), a.body, headers(next.header), next.body}, "\n")
			if first == "" {
				first = seen
			}
			if seen != first {
				t.Errorf("%s for %s is answered otherwise:\n%s\n\nthan for the first:\n%s", path, email, seen, first)
			}
			if a.status != http.StatusSeeOther {
				t.Errorf("%s for %s: %d", path, email, a.status)
			}
		}
	}
}

func headers(h http.Header) string {
	var b strings.Builder
	if err := h.Write(&b); err != nil {
		return err.Error()
	}
	return b.String()
}

// REG-04: reading a link's page changes nothing, by GET or HEAD, however often.
func TestReadingTheLinkOfAMailSpendsNothing(t *testing.T) {
	t.Parallel()
	f := newFront(t, testenv.Plan{})
	f.Person(t, *f.tenant, testenv.Visitor{Unverified: true})
	ann, scanner := f.guest(t), f.guest(t)
	ann.signIn("ann@buyer.example", testenv.Password)
	f.Courier(t, f.tenant.ID)
	verify := linked(t, f, portal.LetterVerify, "/auth/verify-email")
	before := f.state(t, f.tenant)
	for range 3 {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			if a := scanner.do(method, verify.page, "", ""); a.status != http.StatusOK || a.header.Get("Referrer-Policy") != "no-referrer" || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %v", method, a.status, a.header)
			}
		}
	}
	for table, rows := range f.state(t, f.tenant) {
		if rows != before[table] {
			t.Errorf("%s has changed:\n%s\n%s", table, before[table], rows)
		}
	}
	if a := ann.post("/auth/verify-email", url.Values{"token": {verify.token}}); a.where != "/auth/login?done=verified" {
		t.Errorf("the owner's button: %d %s", a.status, a.where)
	}
}
